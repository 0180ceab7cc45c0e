//! What is believed of time → what is done to the clock: slew, step, or hold.
//!
//! [`Discipline`] keeps the [`Target`], where true time is on the scale of the free oscillator, and makes the
//! system clock follow it. It decides between slewing and stepping, keeps the oscillator's frequency for times
//! without sources, and knows at every moment how far the clock can be off.

mod by_hand;
pub mod fallback;
pub mod leap;
pub mod local;
mod slew;
pub mod smoothing;
#[cfg(test)]
mod stories;

use std::net::IpAddr;

use conf::config::{Clock, MakeStep, TimeSmoothing, Topic};
use slew::{Plan, Slew, Stage};
use smoothing::{Smoothed, Smoothing};
use units::{Leap, Mono, ReferenceId, Stratum, UnixTime};

use crate::io::{ClockCommand, Event, Severity};
use crate::outbox::Outbox;
use crate::timeline::Timeline;
use crate::timer::{Timer, Timers};

/// The frequency error that is assumed before anything is known, as a part: that of the worst quartz in use.
pub const FREQUENCY_ERROR_UNKNOWN: f64 = 100e-6;

/// No frequency is believed to be more uncertain than this, as a part.
const FREQUENCY_ERROR_MAX: f64 = 1.0;

/// The weight of the newest offset in the running mean of their squares.
const RMS_WEIGHT: f64 = 0.1;

/// So many updates each count alone: what the clock was off by at the start tells nothing later (observed with chronyd).
const UPDATES_ALONE: u32 = 3;

/// The clock is being set for the first time during so many updates …
const UPDATES_AT_START: u32 = 4;
/// … and for so many seconds at most: later its rate is counted on.
const START_S: f64 = 3600.0;

/// Where true time is: true time − oscillator = `phase_s` at `at`, and changes by `frequency` each second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// The instant, on the oscillator.
    pub at: Mono,
    /// True time − oscillator, seconds.
    pub phase_s: f64,
    /// Its change per second.
    pub frequency: f64,
}

/// What the sources agree on, as the discipline needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// True time − system clock now, seconds; positive: the clock is behind.
    pub offset_s: f64,
    /// Its standard deviation, seconds.
    pub offset_error_s: f64,
    /// The change of true time − oscillator per second.
    pub frequency: f64,
    /// Its standard deviation.
    pub frequency_error: f64,
    /// By how much it may be wrong beyond that, as long as it is not known whether the first one fits.
    pub doubt: f64,
    /// When the next update is expected, seconds from now.
    pub interval_s: f64,
    /// Whether it is one of those that `makestep` and `maxchange` count, which are those of the selected source: of the
    /// others that are combined with it there may be several in the same seconds.
    pub counts: bool,
    /// What we tell others about where our time comes from.
    pub reference: Reference,
}

/// Where our time comes from, as it was at the last update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// Its identifier: the address of the source.
    pub id: ReferenceId,
    /// The address of the source, if it has one.
    pub address: Option<IpAddr>,
    /// Our stratum: one more than that of the source.
    pub stratum: Stratum,
    /// The leap second announced for the end of this UTC day.
    pub leap: Leap,
    /// The time of the last update: true time, which no step and no slew of the clock changes.
    pub time: UnixTime,
    /// The delay to the primary reference and back, seconds.
    pub root_delay_s: f64,
    /// The dispersion to the primary reference at that time, seconds.
    pub root_dispersion_s: f64,
}

/// The numbers of `chronyc tracking`, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracking {
    /// Where our time comes from; `None` when unsynchronised.
    pub reference: Option<Reference>,
    /// What is still to be corrected, true time − system clock, seconds.
    pub remaining_s: f64,
    /// The offset of the last update beyond what was being corrected already, true time − where the clock was
    /// heading, seconds.
    pub last_offset_s: f64,
    /// The running root mean square of these, seconds.
    pub rms_offset_s: f64,
    /// The rate that makes up for the oscillator, as a part; positive: the oscillator is slow.
    pub frequency: f64,
    /// What the sources say the frequency should be beyond that.
    pub residual_frequency: f64,
    /// The error of the frequency.
    pub skew: f64,
    /// The dispersion now, seconds.
    pub root_dispersion_s: f64,
    /// The time between the last two updates, seconds.
    pub update_interval_s: f64,
}

/// Steers the clock.
#[derive(Debug)]
pub struct Discipline {
    rules: Clock,
    observe: bool,
    make_step: Option<MakeStep>,
    /// Updates before the check of `maxchange` begins.
    max_change_start: u32,
    /// Offsets that may still be ignored; `None` for no limit.
    max_change_left: Option<u32>,
    /// Somebody else moved the clock by more than the limit, and no update has been believed since.
    is_displaced: bool,
    frequency: f64,
    skew: f64,
    /// By how much the frequency may be wrong beyond that.
    doubt: f64,
    residual_frequency: f64,
    target: Option<Target>,
    slew: Option<Slew>,
    /// How served time is kept smooth.
    smoothing: Option<Smoothing>,
    reference: Option<Reference>,
    first_updated_at: Option<Mono>,
    updated_at: Option<Mono>,
    updates: u32,
    steps: u32,
    last_step_s: f64,
    last_offset_s: f64,
    mean_square_s2: f64,
    update_interval_s: f64,
}

/// What came of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The clock is being slewed.
    Slewed,
    /// The clock was stepped.
    Stepped,
    /// The offset was too large to be believed.
    Ignored,
    /// The offset was too large to be believed, once too often: the daemon ends.
    GivenUp,
}

impl Discipline {
    /// Begins with a frequency (as a part; positive: the oscillator is slow) and its error, from the drift file
    /// or guessed; a file can say anything, of which the nearest within `maxdrift` is taken. With `observe` the clock
    /// is never touched.
    pub fn new(rules: Clock, observe: bool, frequency: f64, skew: f64) -> Self {
        let max_change = rules.max_change;
        let limit = rules.max_drift_ppm / 1e6;
        Self {
            make_step: rules.make_step,
            max_change_start: max_change.map_or(0, |max| max.start),
            max_change_left: max_change.and_then(|max| max.ignore),
            is_displaced: false,
            rules,
            observe,
            frequency: frequency.clamp(-limit, limit),
            skew: skew.min(FREQUENCY_ERROR_MAX),
            doubt: 0.0,
            residual_frequency: 0.0,
            target: None,
            slew: None,
            smoothing: None,
            reference: None,
            first_updated_at: None,
            updated_at: None,
            updates: 0,
            steps: 0,
            last_step_s: 0.0,
            last_offset_s: 0.0,
            mean_square_s2: 0.0,
            update_interval_s: 0.0,
        }
    }

    /// Keeps served time smooth.
    #[must_use]
    pub fn smoothing(mut self, rule: Option<TimeSmoothing>) -> Self {
        self.smoothing = rule.map(Smoothing::new);
        self
    }

    /// Applies the frequency known from before.
    pub fn start(&self, out: &mut Outbox) {
        self.command_rate(out);
    }

    /// Touches the clock from now on, or does not. The frequency was measured on a scale that by now is faster by `change`,
    /// as a part.
    pub(crate) fn set_observe(&mut self, observe: bool, change: f64) {
        self.observe = observe;
        if self.updates > 0 {
            let limit = self.rules.max_drift_ppm / 1e6;
            self.frequency = (self.frequency + change).clamp(-limit, limit);
        }
    }

    /// The rate that makes up for the oscillator, as a part; positive: the oscillator is slow.
    pub fn frequency(&self) -> f64 {
        self.frequency
    }

    /// Its error.
    pub fn skew(&self) -> f64 {
        self.skew
    }

    /// Where our time comes from; `None` when unsynchronised.
    pub fn reference(&self) -> Option<&Reference> {
        self.reference.as_ref()
    }

    /// Takes in what the sources agree on.
    pub fn update(
        &mut self,
        now: Mono,
        update: &Update,
        timeline: &mut Timeline,
        timers: &mut Timers,
        out: &mut Outbox,
    ) -> Verdict {
        let offset_s = update.offset_s;
        let news_s = offset_s - self.remaining_s(now, timeline);
        // What is being corrected already was believed before, however large it is, and who says that less is wrong than was
        // believed says nothing new that is large. That others have moved the clock far is no reason to believe it.
        let change_s = if self.is_displaced || offset_s.abs() < news_s.abs() {
            offset_s
        } else {
            news_s
        };
        if let Some(verdict) = self.refuse(change_s, update.counts, out) {
            return verdict;
        }
        self.is_displaced = false;
        let is_frequency_believed = update.frequency_error * 1e6 < self.rules.max_update_skew_ppm;
        let target = Target {
            at: timeline.oscillator(now),
            phase_s: offset_s + timeline.correction_s(now),
            frequency: if is_frequency_believed {
                update.frequency
            } else {
                self.frequency
            },
        };
        self.retarget(now, target, timeline);
        self.note(now, update, news_s);
        if is_frequency_believed {
            let limit = self.rules.max_drift_ppm / 1e6;
            self.frequency = update.frequency.clamp(-limit, limit);
            self.skew = update.frequency_error;
        }
        self.doubt = update.doubt;
        self.residual_frequency = update.frequency - self.frequency;
        self.say_change(news_s, out);
        if let Some(smoothing) = &mut self.smoothing
            && smoothing.settle(self.skew)
        {
            out.info(activated(smoothing));
        }
        if self.may_step(offset_s, update.counts, out) {
            self.step(now, offset_s, timeline, timers, out);
            Verdict::Stepped
        } else {
            let plan = Plan {
                offset_s,
                offset_error_s: update.offset_error_s,
                frequency_error: update.frequency_error,
                frequency: self.frequency,
                interval_s: update.interval_s,
                rate_max: self.rules.max_slew_rate_ppm / 1e6,
                stage: self.stage(now),
                ratio: self.rules.correction_time_ratio,
            };
            self.begin(now, &plan, timers, out);
            Verdict::Slewed
        }
    }

    /// The clock took this rate, as a part. No clock can be made faster or slower without limit: on an oscillator that
    /// is far off little is left for a slew, which then takes longer.
    pub fn rate_applied(&mut self, now: Mono, rate: f64, timers: &mut Timers) {
        if let Some(slew) = &mut self.slew
            && slew.limit(now, rate - self.frequency, self.frequency)
        {
            timers.set(Timer::SlewEnd, slew.until);
        }
    }

    /// The time planned for a slew, or for its first part, is over.
    pub fn slew_end(&mut self, now: Mono, timers: &mut Timers, out: &mut Outbox) {
        self.slew = self.slew.and_then(|slew| slew.next(now, self.frequency));
        if let Some(slew) = self.slew {
            timers.set(Timer::SlewEnd, slew.until);
        }
        self.command_rate(out);
    }

    /// Somebody else moved the clock: puts it back as the rules for corrections allow.
    pub fn jumped(
        &mut self,
        now: Mono,
        by_s: f64,
        timeline: &mut Timeline,
        timers: &mut Timers,
        out: &mut Outbox,
    ) {
        if self.target.is_none() {
            return;
        }
        self.is_displaced |= !self.is_believed(by_s);
        let remaining_s = self.remaining_s(now, timeline);
        // A jump that puts the clock right, as the kernel's leap second does, is nothing to be told.
        let wrong_s = if remaining_s.abs() < by_s.abs() {
            remaining_s
        } else {
            -by_s
        };
        self.say_change(wrong_s, out);
        // What would not be believed of the sources is not believed here either: their next samples decide.
        if !self.is_believed(remaining_s) {
            return;
        }
        let rule = self.make_step;
        if self.may_step(remaining_s, true, out) {
            self.step(now, remaining_s, timeline, timers, out);
        } else {
            // The limit of the rule counts updates, and steps.
            self.make_step = rule;
            self.slew_remaining(now, timeline, timers, out);
        }
    }

    /// Whether an offset is one that `maxchange` lets be believed, once it applies.
    fn is_believed(&self, offset_s: f64) -> bool {
        let limit_s = self.rules.max_change.map(|max| max.offset_s);
        limit_s.is_none_or(|limit_s| offset_s.abs() <= limit_s)
    }

    /// Makes a leap second by a step, whatever the rule for steps says.
    pub fn leap_step(&mut self, now: Mono, by_s: f64, timeline: &mut Timeline, out: &mut Outbox) {
        if !self.observe {
            self.reset_smoothing(now, timeline, out);
            out.clock(ClockCommand::Step { by_s });
            timeline.step(by_s);
            out.info_about(Topic::ClockEvent, "System clock was stepped for leap second");
        }
    }

    /// Smears a leap second of so many seconds for clients, if served time is kept smooth.
    pub fn leap_slowly(&mut self, now: Mono, by_s: f64, timeline: &Timeline) {
        if let Some(smoothing) = &mut self.smoothing {
            smoothing.leap(timeline.oscillator(now), by_s);
        }
    }

    /// How served time differs from true time, if it is kept smooth.
    pub fn smoothed(&self, now: Mono, timeline: &Timeline) -> Option<(&Smoothing, Smoothed)> {
        let smoothing = self.smoothing.as_ref()?;
        Some((smoothing, smoothing.at(timeline.oscillator(now))))
    }

    /// Served − true time, seconds.
    pub fn smoothing_offset_s(&self, now: Mono, timeline: &Timeline) -> f64 {
        self.smoothed(now, timeline)
            .map_or(0.0, |(_, smoothed)| smoothed.offset_s)
    }

    /// Whether leap seconds are smeared for clients, who must not know of them.
    pub fn smears(&self) -> bool {
        self.smoothing.is_some()
    }

    /// Begins to smooth served time (`chronyc smoothtime activate`); says whether that is asked for at all.
    pub fn activate_smoothing(&mut self, out: &mut Outbox) -> bool {
        let Some(smoothing) = &mut self.smoothing else {
            return false;
        };
        if smoothing.activate() {
            out.info(activated(smoothing));
        }
        true
    }

    /// Serves true time from now on (`chronyc smoothtime reset`); says whether it was smoothed at all.
    pub fn reset_smoothing(&mut self, now: Mono, timeline: &Timeline, out: &mut Outbox) -> bool {
        let Some(smoothing) = &mut self.smoothing else {
            return false;
        };
        smoothing.reset(timeline.oscillator(now));
        out.info("Reset time smoothing");
        true
    }

    /// Slews what is left to correct, as fast as is allowed.
    pub fn slew_remaining(&mut self, now: Mono, timeline: &Timeline, timers: &mut Timers, out: &mut Outbox) {
        let plan = Plan {
            offset_s: self.remaining_s(now, timeline),
            offset_error_s: 0.0,
            frequency_error: self.skew,
            frequency: self.frequency,
            interval_s: 1.0,
            rate_max: self.rules.max_slew_rate_ppm / 1e6,
            stage: Stage::Settled,
            ratio: self.rules.correction_time_ratio,
        };
        self.begin(now, &plan, timers, out);
    }

    /// Begins a slew.
    fn begin(&mut self, now: Mono, plan: &Plan, timers: &mut Timers, out: &mut Outbox) {
        // A clock that is only observed is not slewed, and nobody has to wake up at the end of it.
        self.slew = Slew::plan(now, plan).filter(|_| !self.observe);
        match self.slew {
            Some(slew) => timers.set(Timer::SlewEnd, slew.until),
            None => timers.stop(Timer::SlewEnd),
        }
        self.command_rate(out);
    }

    /// Steps the clock by what is left to correct (`chronyc makestep`).
    pub fn step_now(&mut self, now: Mono, timeline: &mut Timeline, timers: &mut Timers, out: &mut Outbox) {
        let remaining_s = self.remaining_s(now, timeline);
        self.step(now, remaining_s, timeline, timers, out);
    }

    /// Replaces the rule for steps; its limit counts from now.
    pub fn set_make_step(&mut self, rule: Option<MakeStep>) {
        self.make_step = rule;
    }

    /// Says whether `maxchange` forbids to set the clock once and for all by so much.
    pub fn refuses_once(&mut self, offset_s: f64, out: &mut Outbox) -> bool {
        self.refuse(offset_s, true, out).is_some()
    }

    /// Sets the clock once and for all: by a step, whatever the rule for steps says.
    pub fn set_once(
        &mut self,
        now: Mono,
        offset_s: f64,
        timeline: &mut Timeline,
        timers: &mut Timers,
        out: &mut Outbox,
    ) {
        self.step(now, offset_s, timeline, timers, out);
    }

    /// Forgets where our time comes from: the clock is no longer synchronised.
    pub fn lose_reference(&mut self) {
        self.reference = None;
    }

    /// The host slept, or samples were dropped: nothing is known of the phase any more.
    pub fn forget_phase(&mut self, timers: &mut Timers, out: &mut Outbox) {
        self.target = None;
        self.slew = None;
        timers.stop(Timer::SlewEnd);
        self.command_rate(out);
    }

    /// The daemon ends: what is left to correct stays so. A slew that nobody ends would drive the clock away.
    pub fn end(&mut self, timers: &mut Timers, out: &mut Outbox) {
        if self.slew.is_some() {
            self.forget_phase(timers, out);
        }
    }

    /// Moves phases with their origin.
    pub fn shift(&mut self, by_s: f64) {
        if let Some(target) = &mut self.target {
            target.phase_s += by_s;
        }
    }

    /// What the clock is off by now as far as is known, true time − system clock, seconds.
    pub fn remaining_s(&self, now: Mono, timeline: &Timeline) -> f64 {
        let Some(target) = &self.target else { return 0.0 };
        let age_s = timeline.oscillator(now).seconds_since(target.at);
        target.phase_s + target.frequency * age_s - timeline.correction_s(now)
    }

    /// The dispersion of our time now, seconds; `None` when unsynchronised.
    pub fn root_dispersion_s(&self, now: Mono, timeline: &Timeline) -> Option<f64> {
        let reference = self.reference?;
        let age_s = now.seconds_since(self.updated_at?).max(0.0);
        Some(
            reference.root_dispersion_s
                + age_s * (self.skew + self.doubt + self.rules.max_clock_error_ppm / 1e6)
                + self.remaining_s(now, timeline).abs(),
        )
    }

    /// The numbers of `chronyc tracking`.
    pub fn tracking(&self, now: Mono, timeline: &Timeline) -> Tracking {
        Tracking {
            reference: self.reference,
            remaining_s: self.remaining_s(now, timeline),
            last_offset_s: self.last_offset_s,
            rms_offset_s: self.mean_square_s2.sqrt(),
            frequency: self.frequency,
            residual_frequency: self.residual_frequency,
            skew: self.skew + self.doubt,
            root_dispersion_s: self.root_dispersion_s(now, timeline).unwrap_or(1.0),
            update_interval_s: self.update_interval_s,
        }
    }

    /// When the last update was.
    pub fn updated_at(&self) -> Option<Mono> {
        self.updated_at
    }

    /// How many updates there were.
    pub fn updates(&self) -> u32 {
        self.updates
    }

    /// How often the clock was stepped.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// By how much it was stepped last, seconds; positive: forward.
    pub fn last_step_s(&self) -> f64 {
        self.last_step_s
    }

    /// True time is something else than what was thought.
    fn retarget(&mut self, now: Mono, target: Target, timeline: &Timeline) {
        let before = self.target_at(now, timeline);
        self.target = Some(target);
        if let Some(smoothing) = &mut self.smoothing {
            let by_s = target.phase_s - before.phase_s;
            smoothing.moved(target.at, by_s, target.frequency - before.frequency);
        }
    }

    /// Applies `maxchange`: offsets that are not believed. It [`counts`](Update::counts), or it is ignored without a word.
    fn refuse(&mut self, offset_s: f64, counts: bool, out: &mut Outbox) -> Option<Verdict> {
        let limit_s = self.rules.max_change?.offset_s;
        if self.max_change_start > 0 {
            self.max_change_start -= u32::from(counts);
            return None;
        }
        if self.is_believed(offset_s) {
            return None;
        }
        if !counts {
            return Some(Verdict::Ignored);
        }
        let given_up = self.max_change_left == Some(0);
        let action = if given_up { "exiting" } else { "ignored" };
        out.log(
            Severity::Warning,
            format!(
                "Adjustment of {offset_s:.3} seconds exceeds the allowed maximum of {limit_s:.3} seconds ({action})"
            ),
        );
        if given_up {
            return Some(Verdict::GivenUp);
        }
        if let Some(left) = &mut self.max_change_left {
            *left -= 1;
        }
        Some(Verdict::Ignored)
    }

    /// Keeps what reports tell of updates; `news_s` is the offset beyond what was being corrected already, seconds.
    fn note(&mut self, now: Mono, update: &Update, news_s: f64) {
        self.note_offset(now, news_s);
        self.reference = Some(update.reference);
    }

    /// Keeps what reports tell of offsets, true time − where the clock was heading, seconds.
    fn note_offset(&mut self, now: Mono, offset_s: f64) {
        self.update_interval_s = self.updated_at.map_or(0.0, |last| now.seconds_since(last));
        self.updated_at = Some(now);
        self.first_updated_at.get_or_insert(now);
        self.last_offset_s = offset_s;
        let square = offset_s * offset_s;
        self.mean_square_s2 = if self.updates < UPDATES_ALONE {
            square
        } else {
            self.mean_square_s2 + RMS_WEIGHT * (square - self.mean_square_s2)
        };
        self.updates = self.updates.saturating_add(1);
    }

    /// How far the clock has come, after an update was counted.
    fn stage(&self, now: Mono) -> Stage {
        let age_s = self
            .first_updated_at
            .map_or(0.0, |first| now.seconds_since(first));
        match self.updates {
            0..=1 => Stage::First,
            2..=UPDATES_AT_START if age_s < START_S => Stage::Start,
            _ => Stage::Settled,
        }
    }

    /// Says that the clock is far off (`logchange`).
    fn say_change(&self, offset_s: f64, out: &mut Outbox) {
        if offset_s.abs() > self.rules.log_change_s && !out.tells() {
            out.warn(format!("System clock wrong by {offset_s:.6} seconds"));
        }
    }

    /// Whether an offset is to be stepped: it is the first, or above the threshold, and the rule still holds. Its limit
    /// counts steps, and updates that make none if this one [`counts`](Update::counts).
    fn may_step(&mut self, offset_s: f64, counts: bool, out: &mut Outbox) -> bool {
        let is_first = std::mem::take(&mut self.rules.step_first);
        let is_wanted = self.is_above_threshold(offset_s, counts) || is_first;
        if is_wanted && self.observe {
            out.warn("Could not step system clock");
        }
        is_wanted && !self.observe
    }

    /// Applies `makestep`: whether an offset is above the threshold of its direction, and the rule still holds.
    fn is_above_threshold(&mut self, offset_s: f64, counts: bool) -> bool {
        let Some(rule) = self.make_step else { return false };
        let is_exceeded = rule.is_exceeded(offset_s);
        let allowed = match rule.limit {
            None => true,
            Some(0) => false,
            Some(left) => {
                self.make_step = Some(MakeStep {
                    limit: Some(left - u32::from(counts || is_exceeded)),
                    ..rule
                });
                true
            }
        };
        allowed && is_exceeded
    }

    fn step(&mut self, now: Mono, by_s: f64, timeline: &mut Timeline, timers: &mut Timers, out: &mut Outbox) {
        if !self.step_quietly(now, by_s, timeline, timers, out) {
            return;
        }
        if out.tells() {
            out.happened(Event::Stepped { by_s });
        } else {
            out.warn(format!("System clock was stepped by {by_s:.6} seconds"));
        }
    }

    /// Steps the clock, which somebody else says; says whether it is stepped.
    pub(crate) fn step_quietly(
        &mut self,
        now: Mono,
        by_s: f64,
        timeline: &mut Timeline,
        timers: &mut Timers,
        out: &mut Outbox,
    ) -> bool {
        self.slew = None;
        timers.stop(Timer::SlewEnd);
        self.command_rate(out);
        if self.observe || by_s == 0.0 {
            return false;
        }
        self.reset_smoothing(now, timeline, out);
        out.clock(ClockCommand::Step { by_s });
        timeline.step(by_s);
        self.is_displaced = false;
        self.steps = self.steps.saturating_add(1);
        self.last_step_s = by_s;
        true
    }

    fn command_rate(&self, out: &mut Outbox) {
        if self.observe {
            return;
        }
        let rate = self.frequency + self.slew.map_or(0.0, |slew| slew.rate);
        out.clock(ClockCommand::SetFrequency { ppm: rate * 1e6 });
    }
}

fn activated(smoothing: &Smoothing) -> &'static str {
    if smoothing.is_leap_only() {
        "Activated time smoothing (leap seconds only)"
    } else {
        "Activated time smoothing"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rms_offset_forgets_how_wrong_the_clock_was_at_the_start() {
        let mut discipline = Discipline::new(Clock::default(), true, 0.0, 1e-6);
        let mut rms_s = Vec::new();
        for (second, offset_s) in [(0.0, 0.1), (64.0, -15e-6), (128.0, 24e-6), (192.0, -16e-6)] {
            discipline.note_offset(Mono::ZERO.plus_seconds(second), offset_s);
            rms_s.push(discipline.mean_square_s2.sqrt());
        }
        assert_eq!(rms_s[..3], [0.1, 15e-6, 24e-6]);
        assert!((rms_s[3] - 23.3238e-6).abs() < 1e-9, "{rms_s:?}");
    }
}
