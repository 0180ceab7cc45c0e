//! Reference clocks: asked for samples, of which every poll makes one.
//!
//! A driver is a part of the program; here it is a number and what it says. Several of its samples go through a
//! median filter, so that what the selection sees is a source like any other, without a path and at stratum 0.

use conf::config::{LogKind, RefClock, SourceConfig, SourceKind, SourceName};
use units::{Leap, Mono, ReferenceId, UnixTime};

use crate::engine::Engine;
use crate::estimate::Sample;
use crate::io::{LogFile, Now, Output, RefClockReading};
use crate::source::SourceId;
use crate::source::line::leap_letter;
use crate::source::median::combine;
use crate::steer::{exponential, scientific};
use crate::timeline::SANE_TIMES;
use crate::timer::Timer;

/// The most samples of one poll that are kept.
const SAMPLES_MAX: usize = 1024;

/// Over so many samples their noise is averaged.
const NOISE_SAMPLES: u32 = 64;

/// After so many samples jumps are known by being larger than usual …
const SAMPLES_TO_KNOW_JUMPS: u32 = 4;
/// … by so many times the usual variance.
const JUMP_VARIANCES: f64 = 16.0;

/// The mean of the middle samples of a poll has this variance, as a multiple of that of the mean of all (normal noise).
const VARIANCE_OF_MIDDLE: f64 = 1.2;

/// The most polls in a row without a sample that are counted: what a status word of ntpd has room for.
const SILENCE_COUNTED_MAX: u8 = 15;

/// A sample is no older than this, seconds; another has waited for somebody to read it.
const AGE_MAX_S: f64 = 16.0;

/// A reference clock at work.
#[derive(Debug, Clone)]
pub(crate) struct RefClockState {
    pub(crate) config: RefClock,
    pub(crate) source: SourceId,
    /// What came of asking the driver.
    pub(crate) told: Told,
    /// The newest samples of the poll under way.
    samples: Vec<Sample>,
    leap: Leap,
    /// How often the driver was asked in this poll.
    asked: u32,
    noise: Noise,
}

/// What came of asking a driver, as ntpd counts it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// Polls.
    pub(crate) polls: u64,
    /// Polls without a sample, …
    pub(crate) silent: u64,
    /// … and those in a row until now, up to 15.
    pub(crate) silent_in_row: u8,
    /// Readings that made no sense.
    pub(crate) bad: u64,
    /// The last that did: when it was, on the system clock, and the time that it told.
    pub(crate) last: Option<(UnixTime, UnixTime)>,
}

impl RefClockState {
    /// A line of refclocks.log, of what the driver said to a question or, without that, of what a poll made of it; `at`
    /// on the system clock.
    fn line(
        &self,
        at: UnixTime,
        leap: Leap,
        said_s: Option<f64>,
        offset_s: f64,
        dispersion_s: f64,
    ) -> String {
        let (question, pulse, said) = match said_s {
            Some(said_s) => (format!("{:3}", self.asked), '0', exponential(said_s, 6)),
            None => ("  -".to_owned(), '-', "      -      ".to_owned()),
        };
        format!(
            "{}.{:06} {:<5} {question} {} {pulse} {said} {} {}",
            at.date_time(),
            at.to_parts().1 / 1_000,
            ReferenceId(u32::from_be_bytes(self.config.reference_id)).ascii(),
            leap_letter(leap),
            exponential(offset_s, 6),
            scientific(dispersion_s),
        )
    }
}

/// The noise of a driver's samples, from how far each three of them are from a line.
#[derive(Debug, Clone, Copy, Default)]
struct Noise {
    /// The phases of the last two samples, the newest last.
    last_s: [Option<f64>; 2],
    variance: f64,
    count: u32,
}

impl Noise {
    /// Takes a sample in, of a clock with this precision.
    fn add(&mut self, phase_s: f64, precision_s: f64) {
        if let [Some(first_s), Some(second_s)] = self.last_s {
            // Of three independent samples this has six times the variance of one.
            let square = (phase_s - 2.0 * second_s + first_s).powi(2) / 6.0;
            // A jump is no noise.
            let usual = self.variance.max(precision_s * precision_s);
            let square = if self.count < SAMPLES_TO_KNOW_JUMPS {
                square
            } else {
                square.min(JUMP_VARIANCES * usual)
            };
            self.count = (self.count + 1).min(NOISE_SAMPLES);
            self.variance += (square - self.variance) / f64::from(self.count);
        }
        self.last_s = [self.last_s[1], Some(phase_s)];
    }

    fn shift(&mut self, by_s: f64) {
        for phase_s in self.last_s.iter_mut().flatten() {
            *phase_s += by_s;
        }
    }
}

impl Engine {
    /// Adds the reference clocks of the configuration and asks them for their first samples.
    pub(crate) fn begin_ref_clocks(&mut self, now: Now) {
        let configs = std::mem::take(&mut self.config.ref_clocks);
        for (index, config) in (0..).zip(configs) {
            let id = ReferenceId(u32::from_be_bytes(config.reference_id));
            let of_source = as_source(&config, id);
            let stratum = config.stratum;
            let source = self.ask(now, |sources, tools| {
                sources.add_ref_clock(of_source, id, stratum, tools)
            });
            self.ref_clocks.push(RefClockState {
                config,
                source,
                told: Told::default(),
                samples: Vec::new(),
                leap: Leap::Normal,
                asked: 0,
                noise: Noise::default(),
            });
            self.timers.set(Timer::RefClock(index), now.mono);
        }
    }

    /// A driver is to be asked.
    pub(crate) fn ref_clock_due(&mut self, now: Mono, index: u32) {
        if let Some(state) = place(index).and_then(|place| self.ref_clocks.get(place)) {
            let wait_s = 2_f64.powi(i32::from(state.config.driver_poll));
            self.timers.set(Timer::RefClock(index), now.plus_seconds(wait_s));
            self.out.push(Output::ReadRefClock { ref_clock: index });
        }
    }

    /// A driver has answered, with or without a sample.
    pub(crate) fn ref_clock_read(&mut self, now: Now, index: u32, reading: Option<RefClockReading>) {
        let sample = reading.and_then(|reading| self.ref_clock_sample(now, index, &reading));
        let frequency = self.discipline.frequency();
        let is_logged = self.config.logs.kinds.contains(&LogKind::RefClocks);
        let news_s = self.news(now.mono);
        let Some(state) = place(index).and_then(|place| self.ref_clocks.get_mut(place)) else {
            return;
        };
        if let (Some(reading), Some((sample, leap))) = (reading, sample)
            && is_logged
        {
            let offset_s = news_s(&sample);
            let line = state.line(
                reading.at,
                leap,
                Some(reading.offset_s),
                offset_s,
                sample.dispersion_s,
            );
            self.out.line(LogFile::RefClocks, line);
        }
        if let Some((sample, leap)) = sample
            && state.samples.last().is_none_or(|last| sample.at > last.at)
        {
            let kept = usize::try_from(state.config.filter_length).unwrap_or(SAMPLES_MAX);
            if state.samples.len() >= kept.min(SAMPLES_MAX) {
                state.samples.remove(0);
            }
            state.noise.add(sample.phase_s, sample.dispersion_s);
            state.samples.push(sample);
            state.leap = leap;
        }
        match (reading, sample) {
            (Some(reading), Some(_)) => {
                state.told.last = Some((reading.at, reading.at.plus_seconds(reading.offset_s)));
            }
            (Some(_), None) => state.told.bad += 1,
            (None, _) => {}
        }
        state.asked += 1;
        let times = 2_f64.powi(i32::from(state.config.poll) - i32::from(state.config.driver_poll));
        if f64::from(state.asked) < times {
            return;
        }
        state.asked = 0;
        let samples = std::mem::take(&mut state.samples);
        let count = u32::try_from(samples.len()).map_or(f64::INFINITY, f64::from);
        let variance = VARIANCE_OF_MIDDLE * state.noise.variance / count;
        let sample = combine(samples, frequency).map(|sample| Sample {
            dispersion_s: sample.dispersion_s.hypot(variance.sqrt()),
            ..sample
        });
        state.told.polls += 1;
        if sample.is_some() {
            state.told.silent_in_row = 0;
        } else {
            state.told.silent += 1;
            state.told.silent_in_row = (state.told.silent_in_row + 1).min(SILENCE_COUNTED_MAX);
        }
        let (source, leap) = (state.source, state.leap);
        if let Some(sample) = sample.filter(|_| is_logged) {
            let correction_s = self.timeline.correction_at_oscillator_s(sample.at);
            let since_s = self.timeline.oscillator(now.mono).seconds_since(sample.at);
            let slewed_s = self.timeline.correction_s(now.mono) - correction_s;
            let at = now.wall.plus_seconds(-since_s - slewed_s);
            let line = state.line(at, leap, None, news_s(&sample), sample.dispersion_s);
            self.out.line(LogFile::RefClocks, line);
        }
        self.ask(now, |sources, tools| {
            sources.ref_clock_polled(source, sample, leap, tools);
        });
    }

    /// A leap second, or the origin of phases, moved them by so many seconds.
    pub(crate) fn shift_ref_clocks(&mut self, by_s: f64) {
        for state in &mut self.ref_clocks {
            state.noise.shift(by_s);
            for sample in &mut state.samples {
                sample.phase_s += by_s;
            }
        }
    }

    /// What a reading says of the oscillator, if it can be used.
    fn ref_clock_sample(&self, now: Now, index: u32, reading: &RefClockReading) -> Option<(Sample, Leap)> {
        let RefClockState { config, source, .. } = self.ref_clocks.get(place(index)?)?;
        let age_s = now.wall.seconds_since(reading.at);
        let is_usable = reading.leap != Leap::Unsynchronised
            && reading.offset_s.is_finite()
            && SANE_TIMES.contains(&reading.at.plus_seconds(reading.offset_s).seconds())
            && (-1.0..AGE_MAX_S).contains(&age_s);
        if !is_usable {
            return None;
        }
        let tai_s = if config.is_tai {
            self.tai_offset_s(reading.at.plus_seconds(reading.offset_s))?
        } else {
            0.0
        };
        let mono = self.timeline.mono(reading.at);
        // An operator may have changed it since.
        let offset_s = reading.offset_s - tai_s + self.sources.get(source)?.config.offset_s;
        let sample = Sample {
            at: self.timeline.oscillator(mono),
            phase_s: offset_s + self.timeline.correction_s(mono),
            delay_s: config.delay_s,
            dispersion_s: config.precision_s.unwrap_or(self.options.precision_s),
            root_delay_s: 0.0,
            root_dispersion_s: 0.0,
        };
        Some((sample, reading.leap))
    }

    /// TAI − UTC when TAI reads this, seconds.
    fn tai_offset_s(&self, tai: UnixTime) -> Option<f64> {
        let about_s = f64::from(self.leaps.tai_offset_s(tai)?);
        self.leaps.tai_offset_s(tai.plus_seconds(-about_s)).map(f64::from)
    }
}

/// A source that is never asked over the network.
fn as_source(config: &RefClock, id: ReferenceId) -> SourceConfig {
    SourceConfig {
        min_poll: config.poll,
        max_poll: config.poll,
        select: config.select,
        min_samples: config.min_samples,
        max_samples: config.max_samples,
        max_unreach: config.max_unreach,
        offset_s: config.offset_s,
        ..SourceConfig::new(SourceKind::Server, SourceName::Name(id.ascii()))
    }
}

fn place(index: u32) -> Option<usize> {
    usize::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use conf::config::{Config, RefClockDriver};

    use super::*;
    use crate::control::operate::Setting;
    use crate::discipline::leap::LeapTable;
    use crate::io::Input;
    use crate::stage::{Stage, at, silence};

    fn clock(change: impl FnOnce(&mut RefClock)) -> RefClock {
        let driver = RefClockDriver::SharedMemory {
            unit: 0,
            permissions: 0o600,
        };
        let mut clock = RefClock::new(driver, *b"SHM0");
        change(&mut clock);
        clock
    }

    fn stage(clock: RefClock) -> Stage {
        let config = Config {
            ref_clocks: vec![clock],
            ..Config::default()
        };
        Stage::new(config, silence())
    }

    /// Lets the driver say each second that the clock is behind by what `offset_s` says.
    fn play(stage: &mut Stage, seconds: std::ops::Range<i64>, offset_s: impl Fn(i64) -> Option<f64>) {
        for second in seconds {
            stage.run_until(units::rounding::f64_from_i64(second));
            let at = at(second * 1_000_000_000).wall;
            let reading = offset_s(second).map(|offset_s| RefClockReading {
                at,
                offset_s,
                leap: Leap::Insert,
            });
            assert_eq!(std::mem::take(&mut stage.ref_clocks_asked), [0], "{second}");
            stage.tell(Input::RefClock {
                ref_clock: 0,
                reading,
            });
        }
    }

    #[test]
    fn every_poll_makes_one_sample_of_those_of_the_driver() {
        let mut stage = stage(clock(|_| {}));
        play(&mut stage, 0..16, |second| {
            // One in the middle is far off.
            Some(if second == 7 { 99.0 } else { 0.25 })
        });
        let source = stage.source();
        assert_eq!((source.estimator.count(), source.reach), (1, 1));
        let sample = source.estimator.last().unwrap();
        assert!((sample.phase_s - 0.25).abs() < 1e-9, "{sample:?}");
        play(&mut stage, 16..64, |_| Some(0.25));
        assert_eq!(stage.said("Selected source SHM0"), 1);
        let reference = stage.engine.discipline.reference().unwrap();
        assert_eq!(
            (reference.id, reference.address),
            (ReferenceId::from_ascii("SHM0"), None)
        );
        assert_eq!((reference.stratum.0, reference.leap), (1, Leap::Insert));
        assert!(stage.requests.is_empty() && stage.lookups.is_empty());
    }

    #[test]
    fn what_a_driver_says_and_what_is_made_of_it_is_logged() {
        let mut config = Config {
            ref_clocks: vec![clock(|clock| {
                (clock.poll, clock.offset_s, clock.precision_s) = (1, 0.5, Some(4e-8));
            })],
            ..Config::default()
        };
        config.logs.kinds.insert(LogKind::RefClocks);
        let mut stage = Stage::new(config, silence());
        play(&mut stage, 0..2, |_| Some(-0.25));
        let lines: Vec<_> = stage
            .lines
            .iter()
            .map(|(file, line)| (*file, line.as_str()))
            .collect();
        let expected = [
            "00.000000 SHM0    0 + 0 -2.500000e-01  2.500000e-01  4.000e-08",
            "01.000000 SHM0    1 + 0 -2.500000e-01  2.500000e-01  4.000e-08",
            "00.500000 SHM0    - + -       -        2.500000e-01  4.000e-08",
        ];
        let time = at(0).wall.date_time();
        let minute = time.get(..17).unwrap();
        let expected: Vec<_> = expected.iter().map(|line| format!("{minute}{line}")).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|line| (LogFile::RefClocks, line.as_str()))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn an_offset_given_later_counts_from_the_next_sample_on() {
        let mut stage = stage(clock(|clock| (clock.poll, clock.offset_s) = (0, 0.5)));
        play(&mut stage, 0..1, |_| Some(0.0));
        assert!((stage.source().estimator.last().unwrap().phase_s - 0.5).abs() < 1e-9);
        let source = stage.engine.ref_clocks[0].source;
        stage.engine.modify(source, Setting::Offset(-0.25));
        play(&mut stage, 1..2, |_| Some(0.0));
        assert!((stage.source().estimator.last().unwrap().phase_s + 0.25).abs() < 1e-9);
    }

    #[test]
    fn polls_without_a_sample_are_missed() {
        let mut stage = stage(clock(|clock| clock.poll = 1));
        play(&mut stage, 0..6, |_| Some(0.0));
        assert_eq!(stage.source().reach, 0b111);
        play(&mut stage, 6..10, |_| None);
        assert_eq!(stage.source().reach, 0b11100);
    }

    #[test]
    fn samples_that_are_old_or_not_synchronised_or_of_another_age_are_not_used() {
        let mut stage = stage(clock(|clock| clock.poll = 0));
        stage.run_until(100.0);
        for (second, leap, offset_s) in [
            (50, Leap::Normal, 1.0),
            (100, Leap::Unsynchronised, 1.0),
            (102, Leap::Normal, 1.0),
            (100, Leap::Normal, 2f64.powi(64)),
            (100, Leap::Normal, -2f64.powi(40)),
            (100, Leap::Normal, f64::NAN),
        ] {
            let reading = Some(RefClockReading {
                at: at(second * 1_000_000_000).wall,
                offset_s,
                leap,
            });
            stage.tell(Input::RefClock {
                ref_clock: 0,
                reading,
            });
        }
        assert_eq!(stage.source().estimator.count(), 0);
    }

    #[test]
    fn the_noise_of_a_driver_is_learned_and_a_jump_is_none() {
        let mut noise = Noise::default();
        for index in 0..1000 {
            let jitter_s = if index % 3 == 0 { 2e-3 } else { -1e-3 };
            noise.add(5.0 + 1e-4 * f64::from(index) + jitter_s, 1e-7);
        }
        let before = noise.variance.sqrt();
        assert!((1e-3..3e-3).contains(&before), "{before}");
        for _ in 0..3 {
            noise.add(99.0, 1e-7);
        }
        assert!(noise.variance.sqrt() < 2.0 * before);
    }

    #[test]
    fn tai_becomes_utc() {
        let config = Config {
            ref_clocks: vec![clock(|clock| (clock.poll, clock.is_tai) = (0, true))],
            ..Config::default()
        };
        let mut stage = Stage::new(config, silence());
        let table = LeapTable {
            entries: vec![(0, 34)],
            expires: i64::MAX,
        };
        stage.engine.leaps = crate::discipline::leap::Leaps::new(conf::config::LeapMode::System, Some(table));
        play(&mut stage, 0..1, |_| Some(34.5));
        let sample = *stage.source().estimator.last().unwrap();
        assert!((sample.phase_s - 0.5).abs() < 1e-9, "{sample:?}");
    }
}
