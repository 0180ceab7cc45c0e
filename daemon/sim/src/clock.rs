//! A host's clocks: an oscillator that is as bad as asked for, and what the kernel makes of it.

use engine::io::Now;
use units::rounding::{down_i64, f64_from_i64, nearest_i64};
use units::{Mono, UnixTime};

use crate::moment::Moment;
use crate::random::Random;

/// What an oscillator does over time. Frequencies are parts; positive: the clock gains.
#[derive(Debug, Clone, PartialEq)]
pub struct Oscillator {
    frequency: f64,
    wander: f64,
    offset_s: (f64, f64),
    either_sign: bool,
    jumps: Vec<Jump>,
    swing: Option<(f64, f64)>,
}

/// A change of frequency that begins at a moment and is approached exponentially.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Jump {
    at_s: f64,
    by: f64,
    time_constant_s: f64,
}

impl Oscillator {
    /// A perfect one, set to true time.
    pub fn perfect() -> Self {
        Self {
            frequency: 0.0,
            wander: 0.0,
            offset_s: (0.0, 0.0),
            either_sign: false,
            jumps: Vec::new(),
            swing: None,
        }
    }

    /// That of a usual machine: up to 20 ms off at start, 10 ppm, wander 1e-9; either may gain or lose.
    pub fn quartz() -> Self {
        Self::perfect()
            .wander(1e-9)
            .gaining(10e-6)
            .off_by_between(10e-3, 20e-3)
            .either_sign()
    }

    /// Runs too fast by this part.
    #[must_use]
    pub fn gaining(mut self, part: f64) -> Self {
        self.frequency = part;
        self
    }

    /// Its frequency walks at random by this part per root second.
    #[must_use]
    pub fn wander(mut self, per_root_second: f64) -> Self {
        self.wander = per_root_second;
        self
    }

    /// The clock starts ahead of true time by so many seconds.
    #[must_use]
    pub fn off_by(self, seconds: f64) -> Self {
        self.off_by_between(seconds, seconds)
    }

    /// The clock starts ahead of true time by a time between these, seconds.
    #[must_use]
    pub fn off_by_between(mut self, low_s: f64, high_s: f64) -> Self {
        self.offset_s = (low_s, high_s);
        self
    }

    /// Half of the seeds have frequency and first offset the other way round.
    #[must_use]
    pub fn either_sign(mut self) -> Self {
        self.either_sign = true;
        self
    }

    /// From a moment on it gains more by this part, after a while: a heater switched on.
    #[must_use]
    pub fn frequency_jump(mut self, at_s: f64, by: f64, time_constant_s: f64) -> Self {
        self.jumps.push(Jump {
            at_s,
            by,
            time_constant_s,
        });
        self
    }

    /// Its frequency swings with the temperature of the room, by ± this part.
    #[must_use]
    pub fn swinging(mut self, amplitude: f64, period_s: f64) -> Self {
        self.swing = Some((amplitude, period_s));
        self
    }
}

/// The clocks of one host: the oscillator, `CLOCK_MONOTONIC`, `CLOCK_BOOTTIME` and the system clock.
#[derive(Debug, Clone)]
pub struct HostClock {
    oscillator: Oscillator,
    random: Random,
    sign: f64,
    walk: f64,
    /// What the room adds at the start: the swing's phase.
    swing_phase: f64,
    /// The second for which `gain` holds.
    second: i64,
    /// The oscillator's frequency error in this second.
    gain: f64,
    /// The rate the kernel adds.
    rate: f64,
    at: Moment,
    asleep: bool,
    /// What frequency errors and rates have added since the start, seconds.
    deviation_s: f64,
    /// What steps have added, and the offset at the start, ns.
    stepped_ns: i128,
    /// How long the host really slept, ns.
    asleep_ns: i64,
    /// How long it thinks it slept, ns.
    slept_ns: i64,
    /// The true Unix time at the beginning of the world.
    begin: UnixTime,
}

/// What a monotonic clock reads when its world begins, ns: a host that has been up for a while.
const UPTIME_NS: i64 = 1_000_000_000_000;

/// Rates are counted in 2^-16 ppm (adjtimex(2)).
const RATE_UNITS_PER_PPM: f64 = 65_536.0;

/// What adjtimex corrects without changing the length of a tick, ppm.
const RATE_FINE_MAX_PPM: f64 = 500.0;

/// What it corrects at most, ppm.
const RATE_MAX_PPM: f64 = 100_000.0;

impl HostClock {
    /// A clock in the world that begins at this Unix time.
    pub fn new(oscillator: Oscillator, seed: u64, host: &str, begin: UnixTime) -> Self {
        let mut start = Random::stream(seed, &format!("{host} start"));
        let sign = if oscillator.either_sign { start.sign() } else { 1.0 };
        let offset_s = sign * start.between(oscillator.offset_s.0, oscillator.offset_s.1);
        let mut clock = Self {
            oscillator,
            random: Random::stream(seed, &format!("{host} oscillator")),
            sign,
            walk: 0.0,
            swing_phase: start.between(0.0, std::f64::consts::TAU),
            second: 0,
            gain: 0.0,
            rate: 0.0,
            at: Moment::BEGIN,
            asleep: false,
            deviation_s: 0.0,
            stepped_ns: 0,
            asleep_ns: 0,
            slept_ns: 0,
            begin,
        };
        clock.step(offset_s);
        clock.gain = clock.draw_gain();
        clock
    }

    /// Lets true time go on.
    pub fn advance(&mut self, to: Moment) {
        while self.at < to {
            let second_end = Moment((self.second + 1) * 1_000_000_000);
            let until = to.min(second_end);
            if self.asleep {
                self.asleep_ns += until.0 - self.at.0;
            } else {
                self.deviation_s += (until - self.at) * self.frequency();
            }
            self.at = until;
            if until == second_end {
                self.second += 1;
                self.gain = self.draw_gain();
            }
        }
    }

    /// What the host reads now.
    pub fn now(&self) -> Now {
        let wall = i128::from(self.at.0) + i128::from(self.deviation_ns()) + self.stepped_ns;
        Now {
            mono: Mono::from_nanos(self.mono_ns()),
            wall: plus_nanos(self.begin, wall),
            slept_ns: self.slept_ns,
        }
    }

    /// System clock − true time, seconds; positive: the clock is ahead.
    pub fn offset_s(&self) -> f64 {
        let (seconds, nanos) = (self.stepped_ns / 1_000_000_000, self.stepped_ns % 1_000_000_000);
        let part = |value: i128| f64_from_i64(i64::try_from(value).unwrap_or(i64::MAX));
        part(seconds) + (part(nanos) / 1e9 + self.deviation_s)
    }

    /// How much faster than true time the system clock runs, as a part.
    pub fn frequency(&self) -> f64 {
        self.gain + self.rate + self.gain * self.rate
    }

    /// How much faster than true time the oscillator runs, as a part.
    pub fn gain(&self) -> f64 {
        self.gain
    }

    /// When the monotonic clock will read this, if nothing changes: not before now, and possibly a little early.
    pub fn when(&self, mono: Mono) -> Moment {
        let left_ns = mono.as_nanos().saturating_sub(self.mono_ns());
        if left_ns <= 0 {
            return self.at;
        }
        let true_ns = f64_from_i64(left_ns) / (1.0 + self.frequency());
        Moment(self.at.0.saturating_add(nearest_i64(true_ns).max(1)))
    }

    /// Sets the rate as Linux does and returns the one applied, ppm.
    pub fn set_rate(&mut self, ppm: f64) -> f64 {
        let ppm = ppm.clamp(-RATE_MAX_PPM, RATE_MAX_PPM);
        let ticks = if ppm.abs() <= RATE_FINE_MAX_PPM {
            0.0
        } else {
            (ppm / 100.0).round() * 100.0
        };
        let units = nearest_i64((ppm - ticks) * RATE_UNITS_PER_PPM);
        let applied = ticks + f64_from_i64(units) / RATE_UNITS_PER_PPM;
        self.rate = applied / 1e6;
        applied
    }

    /// Moves the system clock at once.
    pub fn step(&mut self, by_s: f64) {
        let whole_s = by_s.trunc();
        self.stepped_ns += i128::from(nearest_i64(whole_s)) * 1_000_000_000;
        self.stepped_ns += i128::from(nearest_i64((by_s - whole_s) * 1e9));
    }

    /// The host falls asleep: its oscillator is not counted any more.
    pub fn fall_asleep(&mut self) {
        self.asleep = true;
    }

    /// The host wakes up. It reads a clock on batteries to know how long it slept, with this error, seconds.
    pub fn wake_up(&mut self, error_s: f64) {
        self.asleep = false;
        let error_ns = nearest_i64(error_s * 1e9);
        self.slept_ns = self.asleep_ns + error_ns;
        self.stepped_ns += i128::from(error_ns);
    }

    fn mono_ns(&self) -> i64 {
        UPTIME_NS + self.at.0 - self.asleep_ns + self.deviation_ns()
    }

    fn deviation_ns(&self) -> i64 {
        down_i64(self.deviation_s * 1e9)
    }

    /// The oscillator's frequency error in the second that begins.
    fn draw_gain(&mut self) -> f64 {
        let oscillator = &self.oscillator;
        if oscillator.wander > 0.0 {
            self.walk += oscillator.wander * self.random.normal();
        }
        let now_s = f64_from_i64(self.second);
        let jumped: f64 = oscillator
            .jumps
            .iter()
            .filter(|jump| now_s >= jump.at_s)
            .map(|jump| jump.by * (1.0 - (-(now_s - jump.at_s) / jump.time_constant_s.max(1e-9)).exp()))
            .sum();
        let swing = oscillator.swing.map_or(0.0, |(amplitude, period_s)| {
            amplitude * (std::f64::consts::TAU * now_s / period_s + self.swing_phase).sin()
        });
        self.sign * oscillator.frequency + self.walk + jumped + swing
    }
}

fn plus_nanos(time: UnixTime, nanos: i128) -> UnixTime {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    let rest = i64::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0);
    let (whole, part) = time.to_parts();
    UnixTime::from_parts(whole.saturating_add(seconds), part + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(oscillator: Oscillator) -> HostClock {
        HostClock::new(oscillator, 1, "host", UnixTime::from_seconds(1_000_000))
    }

    #[test]
    fn a_clock_gains_what_its_oscillator_gains_and_the_kernel_takes_away() {
        let mut clock = clock(Oscillator::perfect().gaining(10e-6));
        clock.advance(Moment::at(100.0));
        assert!((clock.offset_s() - 1e-3).abs() < 1e-12);
        assert_eq!(clock.set_rate(-10.0), -10.0);
        clock.advance(Moment::at(200.0));
        assert!((clock.offset_s() - 1e-3).abs() < 1e-7);
        assert_eq!(clock.now().wall.to_parts(), (1_000_200, 999_989));
    }

    #[test]
    fn rates_are_rounded_as_the_kernel_does() {
        let mut clock = clock(Oscillator::perfect());
        assert_eq!(clock.set_rate(1.0 / 3.0), 21_845.0 / 65_536.0);
        assert_eq!(clock.set_rate(1234.0 + 1.0 / 3.0), 1234.0 + 21_845.0 / 65_536.0);
        assert_eq!(clock.set_rate(1e9), 100_000.0);
    }

    #[test]
    fn a_step_moves_the_system_clock_only() {
        let mut clock = clock(Oscillator::perfect().off_by(1e9));
        clock.advance(Moment::at(1.0));
        let before = clock.now();
        clock.step(-1e9 + 0.25);
        assert_eq!(clock.now().mono, before.mono);
        assert!((clock.offset_s() - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_sleeper_loses_monotonic_time_and_the_error_of_its_battery_clock() {
        let mut clock = clock(Oscillator::perfect());
        clock.advance(Moment::at(10.0));
        clock.fall_asleep();
        clock.advance(Moment::at(110.0));
        clock.wake_up(0.5);
        let now = clock.now();
        assert_eq!(now.mono.as_nanos() - UPTIME_NS, 10_000_000_000);
        assert_eq!(now.slept_ns, 100_500_000_000);
        assert!((clock.offset_s() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_deadline_is_met_to_the_nanosecond_while_nothing_changes() {
        let mut clock = clock(Oscillator::perfect().gaining(50e-6));
        let deadline = Mono::from_nanos(UPTIME_NS + 1_000_000_000);
        let when = clock.when(deadline);
        clock.advance(when);
        assert!((clock.now().mono.as_nanos() - deadline.as_nanos()).abs() <= 1);
    }

    #[test]
    fn the_walk_of_the_frequency_has_its_size() {
        let mut square = 0.0;
        for seed in 0..200 {
            let mut clock = HostClock::new(
                Oscillator::perfect().wander(1e-9),
                seed,
                "host",
                UnixTime::from_seconds(0),
            );
            clock.advance(Moment::at(10_000.0));
            square += (clock.gain() * 1e9).powi(2) / 200.0;
        }
        assert!((square.sqrt() - 100.0).abs() < 15.0, "{}", square.sqrt());
    }

    #[test]
    fn a_jump_is_approached_with_its_time_constant() {
        let mut clock = clock(Oscillator::perfect().frequency_jump(100.0, 2e-6, 60.0));
        clock.advance(Moment::at(99.0));
        assert_eq!(clock.gain(), 0.0);
        clock.advance(Moment::at(160.0));
        assert!((clock.gain() - 2e-6 * (1.0 - (-1.0_f64).exp())).abs() < 1e-12);
    }
}
