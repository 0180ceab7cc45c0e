//! From the sources to the clock: gather what they say, select, update the discipline.

use conf::config::{AuthSelectMode, Topic};
use units::{Leap, Mono, Stratum};

use crate::discipline::{Reference, Update, Verdict};
use crate::engine::{Engine, Once};
use crate::io::{ClockCommand, Event, LogFile, Output, Severity};
use crate::select::{self, AuthMode, Candidate, Rules, Status};
use crate::source::{Source, SourceId};
use crate::timer::Timer;

/// A jump of the clock that is so near to the leap second, in time and in size, is the leap second, seconds.
const KERNEL_LEAP_APART_S: f64 = 0.1;

/// How many samples make a source selectable.
const SAMPLES_NEEDED: usize = 3;

/// What tracking.log has as the bound of the error while nothing is known, seconds (chronyd's).
const BOUND_UNKNOWN_S: f64 = 1.5;

impl Engine {
    /// Selects among the sources and corrects the clock; `fresh` is the source with a new sample, if that is why.
    pub fn consider(&mut self, now: Mono, fresh: Option<SourceId>) {
        let ids: Vec<SourceId> = self.sources.keys().copied().collect();
        let candidates: Vec<Candidate> = self
            .sources
            .iter()
            .map(|(id, source)| self.candidate(now, *id, source))
            .collect();
        let rules = self.selection_rules();
        let sources = &self.sources;
        let name = |id| sources.get(&SourceId(id)).map(Source::label).unwrap_or_default();
        let had_none = self.selector.selected().is_none();
        let selection = self.selector.select(&candidates, &rules, &name);
        for source in self.sources.values_mut() {
            source.updated = false;
        }
        // What is measured once and first is not followed, and what comes of it is said as a whole.
        let is_passing = self.options.once.is_some() || self.is_measuring_first();
        for message in selection.messages.iter().filter(|_| !is_passing) {
            let severity = match message.severity {
                select::Severity::Info => Severity::Info,
                select::Severity::Warning => Severity::Warning,
            };
            self.out.log_about(Topic::Clock, severity, message.text.clone());
        }
        let best = selection.best.and_then(|index| ids.get(index).copied());
        let combined = selection.combined;
        // What is reported is against where the clock is heading, which counts as where it is.
        let remaining_s = self.discipline.remaining_s(now, &self.timeline);
        let verdicts = selection
            .verdicts
            .iter()
            .map(|verdict| verdict.after(remaining_s));
        if self.verdicts.keys().eq(&ids) {
            for (old, new) in self.verdicts.values_mut().zip(verdicts) {
                *old = new;
            }
        } else {
            self.verdicts = ids.into_iter().zip(verdicts).collect();
        }
        self.write_selection(now);
        match (best, combined) {
            (Some(best), Some(combined)) => {
                // The clock follows new measurements of the sources it follows, and what is known already of the first
                // one that may be followed.
                let follows = had_none
                    || fresh.is_some_and(|id| {
                        self.verdicts
                            .get(&id)
                            .is_some_and(|verdict| matches!(verdict.status, Status::Best | Status::Combined))
                    });
                if follows {
                    self.follow(now, best, &combined, had_none || fresh == Some(best));
                }
            }
            // A vote without a majority says that the clock may be wrong too; without any voter it goes on alone,
            // with a bound that grows.
            _ if matches!(selection.failure, Some(select::Failure::NoMajority { .. })) => self.lose(now),
            _ => {}
        }
        if is_passing && best.is_none() {
            self.give_up_if_settled(now);
        }
    }

    /// By how much the oscillator may drift from what is known of its frequency, as a part.
    fn drift(&self) -> f64 {
        self.discipline.skew() + self.config.clock.max_clock_error_ppm / 1e6
    }

    /// What one source says, at this moment.
    fn candidate(&self, now: Mono, id: SourceId, source: &Source) -> Candidate {
        let at = self.timeline.oscillator(now);
        let state = source.estimator.state_at(at);
        let limit = source.estimator.samples_max();
        let drift = self.drift();
        let offset_error_s = state.map_or(0.0, |state| state.phase_variance.sqrt());
        let age_s = |sample: Option<&crate::estimate::Sample>| {
            sample.map_or(0.0, |sample| at.seconds_since(sample.at))
        };
        // The sample that is the least uncertain now stands for the path.
        let best = source.estimator.least_uncertain(at, drift);
        let root_delay_s = best.map_or(0.0, |sample| sample.delay_s + sample.root_delay_s);
        let root_dispersion_s = best.map_or(0.0, |sample| {
            sample.dispersion_s
                + sample.root_dispersion_s
                + drift * at.seconds_since(sample.at)
                + offset_error_s
                + source.estimator.doubt() * age_s(source.estimator.last())
        });
        Candidate {
            id: id.0,
            options: select::Options {
                noselect: source.config.select.noselect,
                prefer: source.config.select.prefer,
                trust: source.config.select.trust,
                require: source.config.select.require,
            },
            origin: source.origin(),
            is_online: source.online,
            reach: source.reach,
            polls: source.polls,
            polls_unreachable: if source.reach == 0 {
                source.unreachable_polls
            } else {
                0
            },
            polls_unreachable_max: source.config.max_unreach,
            samples: source.estimator.count(),
            samples_needed: SAMPLES_NEEDED.min(limit),
            has_new_sample: source.updated,
            last_sample_age_s: age_s(source.estimator.last()),
            oldest_sample_age_s: age_s(source.estimator.samples().next()),
            stratum: source.stratum,
            leap: source.leap,
            // What it told before it lost its time, or before it asked for fewer packets, counts until it is too old.
            is_synchronised: source.estimator.count() > 0
                || source
                    .last_answer
                    .as_ref()
                    .is_none_or(|answer| answer.tests.synchronised),
            reference_id: source.own_reference_id(),
            our_reference_id: source
                .last_answer
                .as_ref()
                .and_then(|answer| answer.local)
                .map(crate::source::reference_id),
            offset_s: state.map_or(0.0, |state| state.phase_s) - self.timeline.correction_s(now),
            offset_error_s,
            frequency: state.map_or(0.0, |state| state.frequency),
            frequency_error: state.map_or(1.0, |state| state.frequency_variance.sqrt()),
            jitter_s: source.estimator.jitter_s().unwrap_or(0.0),
            root_delay_s,
            root_dispersion_s,
            root_distance_s: root_delay_s / 2.0 + root_dispersion_s,
            vote_margin_s: source.estimator.unexplained_s()
                + source.estimator.frequency_error_max() * age_s(source.estimator.last()),
            waiting_growth_s: (drift + source.estimator.doubt())
                * age_s(source.estimator.last()).min(source.polling.used_interval().as_seconds()),
        }
    }

    /// What the configuration says about selecting.
    pub(crate) fn selection_rules(&self) -> Rules {
        let rules = &self.config.selection;
        Rules {
            auth_mode: match rules.auth_select_mode {
                AuthSelectMode::Require => AuthMode::Require,
                AuthSelectMode::Prefer => AuthMode::Prefer,
                AuthSelectMode::Mix => AuthMode::Mix,
                AuthSelectMode::Ignore => AuthMode::Ignore,
            },
            sources_min: usize::try_from(rules.min_sources).unwrap_or(usize::MAX),
            distance_max_s: rules.max_distance_s,
            jitter_max_s: rules.max_jitter_s,
            stratum_weight_s: rules.stratum_weight_s,
            combine_limit: rules.combine_limit,
            reselect_distance_s: rules.reselect_distance_s,
            stratum_min: Stratum(rules.min_stratum),
            stratum_max: Stratum(rules.max_stratum),
            orphan_stratum: self
                .local
                .rule()
                .filter(|rule| rule.orphan)
                .map(|rule| Stratum(rule.stratum)),
        }
    }

    /// Follows what the selected sources say; `counts` as in [`Update`].
    fn follow(&mut self, now: Mono, best: SourceId, combined: &select::Combined, counts: bool) {
        let Some(source) = self.sources.get(&best) else {
            return;
        };
        let wall = self.timeline.wall(now);
        let copy = source.config.copy;
        let at = self.timeline.oscillator(now);
        let alone_s = source.estimator.state_at(at).map_or(0.0, |state| state.phase_s);
        let apart_s = (combined.offset_s + self.timeline.correction_s(now) - alone_s).abs();
        let error_max_s = source.estimator.error_max_s(at, self.drift()) + apart_s;
        let reference = Reference {
            id: match source.address {
                Some(_) if copy => source.reference_id,
                _ => source.own_reference_id(),
            },
            address: source.address,
            stratum: if copy {
                source.stratum
            } else {
                source.stratum.below()
            },
            leap: combined.leap,
            time: wall.plus_seconds(combined.offset_s),
            root_delay_s: combined.root_delay_s,
            root_dispersion_s: (combined.root_dispersion_s + source.estimator.unexplained_s())
                .max(error_max_s - combined.root_delay_s / 2.0),
        };
        let update = Update {
            offset_s: combined.offset_s,
            offset_error_s: combined.offset_error_s,
            frequency: combined.frequency,
            frequency_error: combined.frequency_error,
            doubt: source
                .estimator
                .doubt()
                .max(source.estimator.doubt_of_few(combined.frequency)),
            interval_s: source.polling.steady_wait_s(),
            counts,
            reference,
        };
        if let Some(once) = self.options.once {
            self.finish_once(now, once, combined.offset_s);
            return;
        }
        if self.is_measuring_first() {
            self.finish_initial(now, combined.offset_s);
            return;
        }
        let (was_remaining_s, was_bound_s) = (
            self.discipline.remaining_s(now, &self.timeline),
            self.error_bound_s(now),
        );
        let verdict =
            self.discipline
                .update(now, &update, &mut self.timeline, &mut self.timers, &mut self.out);
        match verdict {
            Verdict::Slewed | Verdict::Stepped => {}
            Verdict::Ignored => return,
            Verdict::GivenUp => return self.end(now, 1),
        }
        let offset_s = combined.offset_s;
        self.out.happened(Event::Followed { offset_s });
        self.move_origin();
        self.local
            .updated(reference.root_delay_s / 2.0 + reference.root_dispersion_s);
        self.announce_leap(now, combined.leap);
        self.tell_kernel(now);
        self.write_tracking(
            now,
            combined,
            was_remaining_s,
            was_bound_s.unwrap_or(BOUND_UNKNOWN_S),
        );
        if let Some(due) = self.fallback.updated(now, self.discipline.frequency()) {
            self.timers.set(Timer::Fallback, due);
        }
        if let (Some(drift), None) = (&self.config.clock.drift_file, self.timers.get(Timer::Drift)) {
            self.timers.set(Timer::Drift, now.plus_seconds(drift.interval_s));
        }
    }

    /// A daemon that measures once has its measurement.
    fn finish_once(&mut self, now: Mono, once: Once, offset_s: f64) {
        if once == Once::Set && self.discipline.refuses_once(offset_s, &mut self.out) {
            self.out.push(Output::Exit { status: 1 });
            return;
        }
        let done = match once {
            Once::Set if !self.options.observe => "step",
            Once::Set | Once::Log => "ignored",
        };
        self.out.info_about(
            Topic::ClockEvent,
            format!("System clock wrong by {offset_s:.6} seconds ({done})"),
        );
        if once == Once::Set {
            self.discipline
                .set_once(now, offset_s, &mut self.timeline, &mut self.timers, &mut self.out);
        }
        self.out.push(Output::Exit { status: 0 });
    }

    /// No source can be followed.
    fn lose(&mut self, now: Mono) {
        if self.discipline.reference().is_some() {
            self.write_tracking_of_loss(now);
            self.discipline.lose_reference();
            self.out.happened(Event::Lost);
            self.tell_kernel(now);
        }
    }

    /// Nothing has come from the sources for so long that the frequency of the last update is not trusted any more.
    pub fn fall_back(&mut self, now: Mono) {
        let (frequency, next) = self.fallback.fall_back();
        if let Some(due) = next {
            self.timers.set(Timer::Fallback, due);
        }
        if let Some(frequency) = frequency {
            self.discipline
                .fall_back(now, frequency, &self.timeline, &mut self.out);
            self.write_tracking_of_loss(now);
            self.discipline.lose_reference();
            self.out.happened(Event::Lost);
            self.tell_kernel(now);
        }
    }

    /// Takes in what is announced for the end of the day, and prepares for it.
    pub fn announce_leap(&mut self, now: Mono, announced: Leap) {
        let wall = self.timeline.wall(now);
        if self.leaps.announce(wall, announced) {
            self.tell_kernel(now);
        }
        match self.leaps.due(wall) {
            Some(due) => self.timers.set(Timer::Leap, self.timeline.mono(due)),
            None => self.timers.stop(Timer::Leap),
        }
    }

    /// The clock has jumped: when that is the leap second, made by the kernel at our request, it is over. Its timer
    /// and the kernel's clock do not come to it in the same instant.
    pub fn expect_leap(&mut self, now: Mono, by_s: f64) {
        let expected_s = match self.leaps.pending() {
            Leap::Insert => -1.0,
            Leap::Delete => 1.0,
            Leap::Normal | Leap::Unsynchronised => return,
        };
        let is_due = self
            .timers
            .get(Timer::Leap)
            .is_some_and(|due| due.seconds_since(now).abs() < KERNEL_LEAP_APART_S);
        let is_ours = self.leaps.mode() == conf::config::LeapMode::System;
        if is_ours && is_due && (by_s - expected_s).abs() < KERNEL_LEAP_APART_S {
            self.timers.stop(Timer::Leap);
            self.pass_leap(now);
        }
    }

    /// The leap second is here.
    pub fn pass_leap(&mut self, now: Mono) {
        use conf::config::LeapMode;
        let by_s = self.leaps.pass(self.timeline.wall(now));
        if by_s == 0.0 {
            return;
        }
        if self.leaps.mode() == LeapMode::Ignore {
            self.out.info_about(Topic::ClockEvent, "Ignoring leap second");
            return;
        }
        if self.leaps.mode() == LeapMode::Slew {
            self.out
                .info_about(Topic::ClockEvent, "Adjusting system clock for leap second");
            self.discipline.leap_slowly(now, by_s, &self.timeline);
        }
        self.sources.shift(by_s);
        self.shift_ref_clocks(by_s);
        self.discipline.shift(by_s);
        match self.leaps.mode() {
            // The kernel has moved the clock, or does it in this second; it is seen like any step. It has taken
            // back what it was told, and counts TAI − UTC itself.
            LeapMode::System => {
                if std::mem::replace(&mut self.told_leap, Leap::Normal) != Leap::Normal {
                    self.out
                        .info_about(Topic::ClockEvent, "System clock status reset after leap second");
                }
                let change_s = if by_s < 0.0 { 1 } else { -1 };
                self.tai_offset_s = self.tai_offset_s.map(|offset_s| offset_s + change_s);
            }
            LeapMode::Ignore => {}
            LeapMode::Step => self
                .discipline
                .leap_step(now, by_s, &mut self.timeline, &mut self.out),
            LeapMode::Slew => {
                self.discipline
                    .slew_remaining(now, &self.timeline, &mut self.timers, &mut self.out);
            }
        }
    }

    /// Tells the kernel how good its clock is.
    pub fn tell_kernel(&mut self, now: Mono) {
        if self.options.observe {
            return;
        }
        let wall = self.timeline.wall(now);
        let leap = match self.leaps.mode() {
            conf::config::LeapMode::System => self.leaps.pending(),
            _ => Leap::Normal,
        };
        if self.told_leap != leap {
            self.told_leap = leap;
            let what = match leap {
                Leap::Insert => "insert",
                Leap::Delete => "delete",
                Leap::Normal | Leap::Unsynchronised => "not insert/delete",
            };
            self.out.info_about(
                Topic::ClockEvent,
                format!("System clock status set to {what} leap second"),
            );
        }
        if let Some(offset_s) = self.leaps.tai_offset_s(wall)
            && self.leaps.mode() == conf::config::LeapMode::System
            && self.tai_offset_s != Some(offset_s)
        {
            self.tai_offset_s = Some(offset_s);
            self.out.info_about(
                Topic::ClockEvent,
                format!("System clock TAI offset set to {offset_s} seconds"),
            );
            self.out.clock(ClockCommand::SetTai { offset_s });
        }
        let error_s = self.error_bound_s(now);
        self.out.clock(ClockCommand::SetStatus {
            synchronised: error_s.is_some() && self.config.rtc.kernel_sync,
            leap,
            estimated_error_s: self.discipline.remaining_s(now, &self.timeline).abs(),
            max_error_s: error_s.unwrap_or(16.0),
        });
    }

    /// How far the system clock can be off now, seconds: |what is left to correct| + root delay / 2 + root
    /// dispersion; `None` when unsynchronised.
    pub fn error_bound_s(&self, now: Mono) -> Option<f64> {
        let reference = self.discipline.reference()?;
        Some(reference.root_delay_s / 2.0 + self.discipline.root_dispersion_s(now, &self.timeline)?)
    }

    /// Writes the drift file and waits for the next time.
    pub fn write_drift(&mut self) {
        if self.discipline.updates() > 0 && self.config.clock.drift_file.is_some() {
            self.out.push(Output::WriteDrift {
                frequency_ppm: -self.discipline.frequency() * 1e6,
                skew_ppm: self.discipline.skew() * 1e6,
            });
        }
    }

    /// The lines of selection.log, one for each source.
    fn write_selection(&mut self, now: Mono) {
        if !self.config.logs.kinds.contains(&conf::config::LogKind::Selection) {
            return;
        }
        let time = self.timeline.wall(now).date_time();
        for (id, verdict) in &self.verdicts {
            let Some(source) = self.sources.get(id) else {
                continue;
            };
            let letter = |is_set: bool, letter: char| if is_set { letter } else { '-' };
            let options = verdict.options;
            let line = format!(
                "{time} {:<15} {} -{}{}{}{} {:>4o} {:>5.2} {} {} {}",
                source.place(),
                verdict.status.character(),
                letter(options.noselect, 'N'),
                letter(options.prefer, 'P'),
                letter(options.trust, 'T'),
                letter(options.require, 'R'),
                source.reach,
                verdict.score,
                scientific(verdict.last_sample_age_s),
                scientific(verdict.low_s),
                scientific(verdict.high_s),
            );
            self.out.line(LogFile::Selection, line);
        }
    }

    /// A line of tracking.log. As in chronyd's, what is left to correct and the bound of the error are those of before the
    /// update, both in seconds.
    fn write_tracking(
        &mut self,
        now: Mono,
        combined: &select::Combined,
        was_remaining_s: f64,
        was_bound_s: f64,
    ) {
        if !self.config.logs.kinds.contains(&conf::config::LogKind::Tracking) {
            return;
        }
        let tracking = self.discipline.tracking(now, &self.timeline);
        let Some(reference) = tracking.reference else {
            return;
        };
        let name = match reference.address {
            Some(address) => address.to_string(),
            None => reference.id.ascii(),
        };
        let leap = match reference.leap {
            Leap::Normal => 'N',
            Leap::Insert => '+',
            Leap::Delete => '-',
            Leap::Unsynchronised => '?',
        };
        let line = format!(
            "{} {name:<15} {:>2} {:>10.3} {:>10.3} {} {leap} {:>2} {} {} {} {} {}",
            reference.time.date_time(),
            reference.stratum.0,
            0.0 - tracking.frequency * 1e6,
            tracking.skew * 1e6,
            scientific(-tracking.last_offset_s),
            combined.sources,
            scientific(combined.offset_error_s),
            scientific(was_remaining_s),
            scientific(reference.root_delay_s),
            scientific(reference.root_dispersion_s),
            scientific(was_bound_s),
        );
        self.out.line(LogFile::Tracking, line);
    }

    /// A line of tracking.log that says that the clock follows nobody from now on.
    pub(crate) fn write_tracking_of_loss(&mut self, now: Mono) {
        if !self.config.logs.kinds.contains(&conf::config::LogKind::Tracking) {
            return;
        }
        let tracking = self.discipline.tracking(now, &self.timeline);
        let root_delay_s = tracking.reference.map_or(1.0, |reference| reference.root_delay_s);
        let line = format!(
            "{} {:<15} {:>2} {:>10.3} {:>10.3} {} ? {:>2} {} {} {} {} {}",
            self.timeline.wall(now).date_time(),
            "0.0.0.0",
            0,
            0.0 - tracking.frequency * 1e6,
            tracking.skew * 1e6,
            scientific(0.0),
            0,
            scientific(0.0),
            scientific(tracking.remaining_s),
            scientific(root_delay_s),
            scientific(tracking.root_dispersion_s),
            scientific(root_delay_s / 2.0 + tracking.root_dispersion_s),
        );
        self.out.line(LogFile::Tracking, line);
    }
}

/// C's `%10.3e`.
pub(crate) fn scientific(value: f64) -> String {
    exponential(value, 3)
}

/// C's `%*.*e`: with so many digits after the point, and room for a sign before.
pub(crate) fn exponential(value: f64, digits: usize) -> String {
    let (text, width) = (format!("{value:.digits$e}"), digits + 7);
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return format!("{text:>width$}");
    };
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{:>width$}", format!("{mantissa}e{sign}{digits:0>2}"))
}

#[cfg(test)]
mod tests {
    use conf::config::{Config, FallbackDrift, LogKind};
    use units::Stratum;

    use super::BOUND_UNKNOWN_S;
    use super::scientific;
    use crate::io::LogFile;
    use crate::stage::{Server, Stage, answering, line, well};

    #[test]
    fn on_an_average_frequency_the_clock_is_not_synchronised() {
        let mut left = 40;
        let mut server = well();
        let falls_silent: Server = Box::new(move |to, bytes, came| {
            left -= 1;
            if left > 0 {
                server(to, bytes, came)
            } else {
                Vec::new()
            }
        });
        let mut config = Config {
            sources: vec![line(conf::config::SourceKind::Server, "192.0.2.1", |source| {
                source.min_poll = 2;
                source.max_poll = 2;
            })],
            ..Config::default()
        };
        config.clock.fallback_drift = Some(FallbackDrift { min: 6, max: 8 });
        config.logs.kinds.insert(LogKind::Tracking);
        let mut stage = Stage::new(config, falls_silent);
        stage.run_until(200.0);
        assert!(stage.engine.discipline.reference().is_some());
        stage.run_until(250.0);
        assert!(stage.engine.discipline.reference().is_none());
        let losses = |stage: &Stage| {
            let lines = stage.lines.iter();
            lines
                .filter(|(_, line)| line.contains(" 0.0.0.0          0 "))
                .count()
        };
        // The first one is that of the start.
        assert_eq!(losses(&stage), 2);
        stage.run_until(2000.0);
        assert_eq!(losses(&stage), 3, "nobody has 256 seconds to average");
    }

    /// What chronyd writes about a server that is told to be a quarter of a second further on, while the clock follows nobody's
    /// orders (`-x`): once it has been taken in, it is no news.
    #[test]
    fn what_is_being_corrected_is_no_news_in_the_logs() {
        let mut config = Config {
            sources: vec![line(conf::config::SourceKind::Server, "192.0.2.1", |source| {
                source.offset_s = 0.25;
            })],
            ..Config::default()
        };
        config.logs.kinds = [LogKind::Tracking, LogKind::RawMeasurements, LogKind::Statistics].into();
        let mut stage = Stage::new(config, well());
        stage.run_until(1000.0);
        let column = |file: LogFile, column: usize| -> Vec<f64> {
            let lines = stage.lines.iter().filter(|(of, _)| *of == file);
            let values = lines.map(|(_, line)| line.split_whitespace().nth(column).unwrap().parse().unwrap());
            values.collect()
        };
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-3, "{value} {expected}");
        // Both logs say it with the sign that they have in chronyd: behind is less than nothing in one of them.
        let (news, left) = (column(LogFile::Tracking, 6), column(LogFile::Tracking, 10));
        near(news[1], -0.25);
        near(news[4], 0.0);
        assert_eq!((left[0], left[1]), (0.0, 0.0), "that is what was left before");
        near(left[4], 0.25);
        near(column(LogFile::Tracking, 13)[1], BOUND_UNKNOWN_S);
        let measured = column(LogFile::Measurements, 11);
        near(measured[0], 0.25);
        near(*measured.last().unwrap(), 0.0);
        let estimated = column(LogFile::Statistics, 4);
        near(estimated[0], -0.25);
        near(*estimated.last().unwrap(), 0.0);
    }

    #[test]
    fn the_first_source_that_may_be_followed_is_followed_with_what_is_known_of_it() {
        // Its stratum becomes high enough with an answer that is too late to be a sample.
        let mut count = 0;
        let changing = answering(move |_, mut answer| {
            count += 1;
            answer.stratum = Stratum(if count < 11 { 1 } else { 2 });
            vec![answer]
        });
        let mut config = Config {
            sources: vec![line(conf::config::SourceKind::Server, "192.0.2.1", |source| {
                source.min_poll = 4;
                source.max_poll = 4;
            })],
            ..Config::default()
        };
        config.selection.min_stratum = 2;
        let mut stage = Stage::new(config, changing);
        stage.late_s = [vec![0.0; 10], vec![0.2; 30]].concat();
        stage.run_until(16.0 * 9.5);
        assert_eq!(stage.said("Selected source"), 0);
        stage.run_until(16.0 * 11.5);
        assert_eq!(stage.said("Selected source"), 1);
        let samples = stage.source().estimator.count();
        assert_eq!(samples, 10, "the late answer is no sample");
        assert!(stage.engine.discipline.reference().is_some());
    }

    #[test]
    fn numbers_look_like_those_of_c() {
        assert_eq!(scientific(-1.234_56e-5), "-1.235e-05");
        assert_eq!(scientific(0.0), " 0.000e+00");
        assert_eq!(scientific(12345.0), " 1.234e+04");
        assert_eq!(scientific(1e-123), "1.000e-123");
    }
}
