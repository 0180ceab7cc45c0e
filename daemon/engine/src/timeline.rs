//! Three clocks in one: the free oscillator, the system clock as it is steered, and how one becomes the other.
//!
//! The oscillator of the host runs at its own rate. The kernel multiplies it by the rate that we ask for, which
//! gives the monotonic clock, and adds what anybody stepped, which gives the system clock. The timeline keeps
//! what was asked for, so that any reading of the system clock can be told as a reading of the oscillator. On
//! that scale nothing ever jumps or bends because of us: samples stay valid across slews, steps and other
//! people's steps.

use units::rounding::{f64_from_i64, nearest_i64};
use units::{Mono, UnixTime};

use crate::io::Now;

/// The system clock has moved against the monotonic clock without our doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jump {
    /// By so many seconds; positive: forward.
    pub by_s: f64,
    /// The host slept meanwhile, so that the oscillator was not counted either.
    pub slept: bool,
}

/// What the readings of the two clocks may differ by because they are not read at quite the same time, ns.
const READING_ERROR_NS: i128 = 50_000;

/// Times that a clock may be set to by hand or by a driver, seconds since 1970: 1850 to 2300, twice the span in which
/// anybody sets clocks. What is outside is garbage.
pub(crate) const SANE_TIMES: std::ops::Range<i64> = -3_786_825_600..10_413_792_000;

/// For so long rates are remembered that are no more, seconds: stamps of packets are read within a second …
const MEMORY_S: f64 = 2.0;
/// … and so many of them at most.
const STRETCHES_MAX: usize = 32;

/// From here on the phases get another origin, so that they keep their precision, seconds.
const ORIGIN_DISTANCE_MAX_S: f64 = 1000.0;

/// The relation of the oscillator to the system clock.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The rate now.
    now: Stretch,
    /// The rates before it, oldest first: stamps are read a little later than they were taken.
    before: Vec<Stretch>,
    /// The system clock − the monotonic clock now, ns.
    wall_offset_ns: i128,
    /// The part of it that came from steps since the origin, seconds.
    stepped_s: f64,
    /// The steps that were asked for and have not been made yet, ns.
    asked_ns: i128,
    /// The one of them that is being made, ns.
    begun_ns: i128,
    /// How long the host had slept at the last reading, ns.
    slept_ns: i64,
    /// How often the clock was stepped, by us or by others.
    steps: u64,
}

/// A time in which the rate was the same.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// When it began.
    since: Mono,
    /// What the rates had added to the oscillator up to there, seconds.
    slewed_s: f64,
    /// The rate, as a part of the oscillator's: positive makes the clock faster.
    rate: f64,
}

impl Stretch {
    /// What the rates had added to the oscillator at `at`, seconds.
    fn slewed_until(&self, at: Mono) -> f64 {
        self.slewed_s + at.seconds_since(self.since) * self.rate / (1.0 + self.rate)
    }

    /// The oscillator when it began.
    fn since_oscillator(&self) -> Mono {
        self.since.plus_seconds(-self.slewed_s)
    }
}

impl Timeline {
    /// Begins at this moment with this rate applied (as a part; positive: faster).
    pub fn new(now: Now, rate: f64) -> Self {
        Self {
            now: Stretch {
                since: now.mono,
                slewed_s: 0.0,
                rate,
            },
            before: Vec::new(),
            wall_offset_ns: wall_offset_ns(now),
            stepped_s: 0.0,
            asked_ns: 0,
            begun_ns: 0,
            slept_ns: now.slept_ns,
            steps: 0,
        }
    }

    /// Looks whether the system clock was moved by somebody else since the last reading. It is accounted for
    /// at once. A step that was begun is in the reading.
    pub fn observe(&mut self, now: Now) -> Option<Jump> {
        self.step_made();
        // What waits to be made is not in the reading yet.
        let moved_ns = wall_offset_ns(now) - self.wall_offset_ns + self.asked_ns;
        let slept = now.slept_ns.saturating_sub(self.slept_ns) > 1_000_000;
        self.slept_ns = now.slept_ns;
        if moved_ns.abs() <= READING_ERROR_NS {
            return None;
        }
        self.steps += 1;
        self.wall_offset_ns += moved_ns;
        let by_s = seconds(moved_ns);
        self.stepped_s += by_s;
        Some(Jump { by_s, slept })
    }

    /// Accounts for a step that we are making: by so many seconds, positive is forward.
    pub fn step(&mut self, by_s: f64) {
        // A step is rounded to a nanosecond by the kernel as well.
        let by_ns = nanos(by_s);
        self.steps += 1;
        self.asked_ns += by_ns;
        self.wall_offset_ns += by_ns;
        self.stepped_s += seconds(by_ns);
    }

    /// The oldest of the steps that were asked for is made now, by so many seconds: it is in the next reading unless it
    /// is [refused](Self::step_refused).
    pub fn begin_step(&mut self, by_s: f64) {
        self.begun_ns = nanos(by_s);
    }

    /// What was begun, if anything, was not refused.
    pub fn step_made(&mut self) {
        self.asked_ns -= std::mem::take(&mut self.begun_ns);
    }

    /// The step that was begun could not be made.
    pub fn step_refused(&mut self) {
        let refused_ns = std::mem::take(&mut self.begun_ns);
        self.asked_ns -= refused_ns;
        self.wall_offset_ns -= refused_ns;
        self.stepped_s -= seconds(refused_ns);
    }

    /// The rate has been changed at this moment.
    pub fn set_rate(&mut self, at: Mono, rate: f64) {
        let next = Stretch {
            since: at,
            slewed_s: self.now.slewed_until(at),
            rate,
        };
        let last = std::mem::replace(&mut self.now, next);
        if last.since < at {
            self.before.push(last);
        }
        let is_old = |stretch: &Stretch| at.seconds_since(stretch.since) >= MEMORY_S;
        let old = self.before.iter().rposition(is_old).unwrap_or(0);
        let too_many = self.before.len().saturating_sub(STRETCHES_MAX);
        self.before.drain(..old.max(too_many));
    }

    /// How often the clock was stepped, by us or by others: what was read before and after differs by more than time.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The rate applied, as a part; positive: faster than the oscillator.
    pub fn rate(&self) -> f64 {
        self.now.rate
    }

    /// The reading of the oscillator when the monotonic clock reads `at`.
    pub fn oscillator(&self, at: Mono) -> Mono {
        at.plus_seconds(-self.slewed_until(at))
    }

    /// The system clock − the oscillator, from the origin, when the monotonic clock reads `at`, seconds. True
    /// time − oscillator minus this is what the system clock is still off by.
    pub fn correction_s(&self, at: Mono) -> f64 {
        self.slewed_until(at) + self.stepped_s
    }

    /// The system clock − the oscillator, from the origin, when the oscillator reads `at`, seconds.
    pub fn correction_at_oscillator_s(&self, at: Mono) -> f64 {
        let stretch = self.stretch(|stretch| stretch.since_oscillator() <= at);
        let since_s = at.seconds_since(stretch.since_oscillator());
        stretch.slewed_s + since_s * stretch.rate + self.stepped_s
    }

    /// The monotonic clock when the system clock read `wall`, not long ago.
    pub fn mono(&self, wall: UnixTime) -> Mono {
        let (seconds, nanos) = wall.to_parts();
        let total = i128::from(seconds) * NANOS_PER_SECOND + i128::from(nanos) - self.wall_offset_ns;
        Mono::from_nanos(i64::try_from(total).unwrap_or(if total < 0 { i64::MIN } else { i64::MAX }))
    }

    /// The system clock when the monotonic clock reads `at`.
    pub fn wall(&self, at: Mono) -> UnixTime {
        let total = i128::from(at.as_nanos()) + self.wall_offset_ns;
        let seconds = total.div_euclid(NANOS_PER_SECOND);
        let nanos = total.rem_euclid(NANOS_PER_SECOND);
        match (i64::try_from(seconds), i64::try_from(nanos)) {
            (Ok(seconds), Ok(nanos)) => UnixTime::from_parts(seconds, nanos),
            _ => UnixTime::EPOCH,
        }
    }

    /// Moves the origin of phases to now when it is so far away that they lose precision; returns by how much all
    /// phases have to be moved, seconds.
    pub fn move_origin(&mut self) -> Option<f64> {
        if self.stepped_s.abs() < ORIGIN_DISTANCE_MAX_S {
            return None;
        }
        let by_s = -self.stepped_s;
        self.stepped_s = 0.0;
        Some(by_s)
    }

    fn slewed_until(&self, at: Mono) -> f64 {
        self.stretch(|stretch| stretch.since <= at).slewed_until(at)
    }

    /// The last stretch that had begun; what was before all that are known was as the oldest of them.
    fn stretch(&self, had_begun: impl Fn(&Stretch) -> bool) -> &Stretch {
        if had_begun(&self.now) {
            return &self.now;
        }
        let found = self.before.iter().rev().find(|stretch| had_begun(stretch));
        found.or(self.before.first()).unwrap_or(&self.now)
    }
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;

fn wall_offset_ns(now: Now) -> i128 {
    let (seconds, nanos) = now.wall.to_parts();
    i128::from(seconds) * NANOS_PER_SECOND + i128::from(nanos) - i128::from(now.mono.as_nanos())
}

fn seconds(nanos: i128) -> f64 {
    let whole = i64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(i64::MAX);
    let part = i64::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0);
    f64_from_i64(whole) + f64_from_i64(part) / 1e9
}

fn nanos(seconds: f64) -> i128 {
    let whole = seconds.trunc();
    i128::from(nearest_i64(whole)) * NANOS_PER_SECOND + i128::from(nearest_i64((seconds - whole) * 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono_s: i64, wall_s: i64) -> Now {
        Now {
            mono: Mono::from_nanos(mono_s * 1_000_000_000),
            wall: UnixTime::from_seconds(wall_s),
            slept_ns: 0,
        }
    }

    #[test]
    fn a_slew_bends_the_system_clock_and_not_the_oscillator() {
        let mut timeline = Timeline::new(now(100, 1_000_100), 0.0);
        timeline.set_rate(Mono::from_nanos(100_000_000_000), 1e-4);
        let later = Mono::from_nanos(110_001_000_000);
        assert_eq!(timeline.oscillator(later), Mono::from_nanos(110_000_000_000));
        assert!((timeline.correction_s(later) - 1e-3).abs() < 1e-12);
        assert_eq!(
            timeline.observe(
                Now {
                    mono: later,
                    ..now(0, 0)
                }
                .with_wall(1_000_110, 1_000_000)
            ),
            None
        );
    }

    #[test]
    fn what_was_before_a_change_of_the_rate_stays_as_it_was() {
        let second = |nanos: i64| Mono::from_nanos(nanos);
        let mut timeline = Timeline::new(now(0, 1_000_000), 0.0);
        timeline.set_rate(second(10_000_000_000), 1e-3);
        timeline.set_rate(second(10_500_000_000), -0.08);
        timeline.set_rate(second(10_500_000_000), 0.08);
        for (at, slewed_s) in [
            (9_000_000_000, 0.0),
            (10_200_000_000, 0.2e-3 / 1.001),
            (10_500_000_000, 0.5e-3 / 1.001),
            (10_608_000_000, 0.5e-3 / 1.001 + 0.008),
        ] {
            assert!(
                (timeline.correction_s(second(at)) - slewed_s).abs() < 1e-9,
                "{at}"
            );
            let oscillator = timeline.oscillator(second(at));
            assert!(
                (timeline.correction_at_oscillator_s(oscillator) - slewed_s).abs() < 1e-9,
                "{at}"
            );
        }
        timeline.set_rate(second(20_000_000_000), 0.0);
        assert_eq!(timeline.before.len(), 1, "what was long ago is forgotten");
    }

    #[test]
    fn a_foreign_step_is_seen_once_and_is_part_of_the_correction() {
        let mut timeline = Timeline::new(now(0, 1_000_000), 0.0);
        assert_eq!(timeline.observe(now(10, 1_000_010)), None);
        assert_eq!(
            timeline.observe(now(20, 1_000_120)),
            Some(Jump {
                by_s: 100.0,
                slept: false
            })
        );
        assert_eq!(timeline.observe(now(30, 1_000_130)), None);
        assert!((timeline.correction_s(Mono::from_nanos(30_000_000_000)) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn our_own_step_is_no_jump() {
        let mut timeline = Timeline::new(now(0, 1_000_000), 0.0);
        timeline.step(-0.25);
        timeline.begin_step(-0.25);
        let after = now(10, 0).with_wall(1_000_009, 750_000_000);
        assert_eq!(timeline.observe(after), None);
        assert!((timeline.correction_s(after.mono) + 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_step_that_has_not_been_made_yet_is_no_jump_either() {
        let mut timeline = Timeline::new(now(0, 1_000_000), 0.0);
        timeline.step(5.0);
        assert_eq!(timeline.observe(now(1, 1_000_001)), None);
        timeline.begin_step(5.0);
        assert_eq!(timeline.observe(now(2, 1_000_007)), None);
        assert_eq!(
            timeline.observe(now(3, 1_000_003)),
            Some(Jump {
                by_s: -5.0,
                slept: false
            })
        );
    }

    #[test]
    fn who_undoes_our_step_before_we_looked_has_made_one() {
        let mut timeline = Timeline::new(now(0, 1_000_000), 0.0);
        timeline.step(5.0);
        timeline.begin_step(5.0);
        let undone = Jump {
            by_s: -5.0,
            slept: false,
        };
        assert_eq!(timeline.observe(now(1, 1_000_001)), Some(undone));
        assert_eq!(timeline.observe(now(2, 1_000_002)), None);
        assert_eq!(timeline.correction_s(now(2, 0).mono), 0.0);
    }

    #[test]
    fn a_refused_step_leaves_everything_as_it_was() {
        let mut timeline = Timeline::new(now(0, 1_000_000), 0.0);
        timeline.step(5.0);
        // So was the rate that was to be set with it.
        timeline.step_refused();
        timeline.begin_step(5.0);
        timeline.step_refused();
        timeline.step_made();
        assert_eq!(timeline.observe(now(1, 1_000_001)), None);
        assert_eq!(timeline.correction_s(now(1, 0).mono), 0.0);
    }

    #[test]
    fn a_refused_step_does_not_undo_one_that_was_made_before() {
        let mut timeline = Timeline::new(now(0, 1_000_000), 0.0);
        timeline.step(2.0);
        timeline.begin_step(2.0);
        timeline.step_made();
        let of_others = Jump {
            by_s: -100.0,
            slept: false,
        };
        assert_eq!(timeline.observe(now(1, 999_903)), Some(of_others));
        timeline.step(100.0);
        timeline.begin_step(100.0);
        timeline.step_refused();
        assert_eq!(timeline.observe(now(2, 999_904)), None);
        assert_eq!(timeline.correction_s(now(2, 0).mono), -98.0);
    }

    #[test]
    fn both_readings_lead_to_each_other() {
        let timeline = Timeline::new(now(7, -3_000_000_000), 0.0);
        let wall = timeline.wall(Mono::from_nanos(9_500_000_001));
        assert_eq!(timeline.mono(wall), Mono::from_nanos(9_500_000_001));
        assert_eq!(wall.to_parts(), (-2_999_999_998, 500_000_001));
    }

    impl Now {
        fn with_wall(self, seconds: i64, nanos: i64) -> Self {
            Self {
                wall: UnixTime::from_parts(seconds, nanos),
                ..self
            }
        }
    }
}
