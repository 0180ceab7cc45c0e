//! How fast an offset is taken away.
//!
//! A correction changes the frequency of the clock for a while, and everybody who measures intervals pays for
//! it. An offset is therefore spread over the time to the next update, and what may be noise of the estimate
//! over even more, as long as its rate would stand out against what is known of the frequency. Only an offset
//! far beyond what the estimate is uncertain by, as after the start, goes faster.

use units::Mono;

/// Up to so many standard deviations an offset may be noise.
const NOISE_DEVIATIONS: f64 = 3.0;

/// From so many standard deviations on an offset goes faster than in one interval, …
const ERROR_DEVIATIONS: f64 = 300.0;
/// … and from so many on while the clock is being set for the first time: nobody counts on its rate yet, and what it
/// is off by is not noise.
const ERROR_DEVIATIONS_AT_START: f64 = 15.0;

/// A rate of so many standard deviations of the frequency does not stand out yet.
const RATE_DEVIATIONS: f64 = 0.8;

/// While the clock has never been set only what may be noise is left to go slowly: so many standard deviations.
const ERROR_DEVIATIONS_AT_FIRST: f64 = NOISE_DEVIATIONS;

/// Over so many intervals noise is spread at most.
const INTERVALS_MAX: f64 = 4.0;

/// Over so many intervals an offset is spread that is not noise.
const ERROR_INTERVALS: f64 = 1.7;

/// In this part of that time …
const FIRST_TIME: f64 = 0.4;
/// … this part of it is taken away: what goes early is not wrong for long. Compared with an even slew of the same
/// error of the frequency (root mean square) the one of the time is 8 % smaller.
const FIRST_SHARE: f64 = 0.6;

/// The ratio (`corrtimeratio`) for which these times are.
const RATIO_USUAL: f64 = 3.0;

/// The shortest slew, seconds.
const DURATION_MIN_S: f64 = 1.0;

/// A clock rounds rates; one that is slower than it was asked to be by this is at its limit.
const RATE_ROUNDING: f64 = 1e-6;

/// What a slew is planned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// What is to be taken away, true time − system clock, seconds.
    pub offset_s: f64,
    /// The standard deviation of the estimate, seconds; 0 takes it away as fast as is allowed.
    pub offset_error_s: f64,
    /// The standard deviation of the frequency.
    pub frequency_error: f64,
    /// The rate that makes up for the oscillator meanwhile, as a part.
    pub frequency: f64,
    /// The time to the next update, seconds.
    pub interval_s: f64,
    /// The largest rate, as a part.
    pub rate_max: f64,
    /// How far the clock has come.
    pub stage: Stage,
    /// How slowly corrections may go (`corrtimeratio`), 3 as usual: a larger one lets noise be spread over more time, as
    /// long as its rate stands out, and the quickest corrections take longer; a smaller one makes all quicker.
    pub ratio: f64,
}

/// How far the clock has come since the daemon began to steer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is being set for the first time.
    First,
    /// What it was off by at the start is still being taken away.
    Start,
    /// It is right, as far as is known.
    Settled,
}

impl Plan {
    /// By how much longer a correction may take than with the usual ratio.
    fn stretch(&self) -> f64 {
        if self.stage == Stage::Settled {
            self.ratio / RATIO_USUAL
        } else {
            1.0
        }
    }
}

/// A change of rate under way, beside the one that makes up for the oscillator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slew {
    /// The additional rate, as a part; positive: faster.
    pub rate: f64,
    /// When it has done its work, on the monotonic clock.
    pub until: Mono,
    /// What is to be taken away after that, seconds, and in which time.
    rest: Option<(f64, f64)>,
}

impl Slew {
    /// Plans how to take an offset away; `None` when there is nothing to do.
    pub(super) fn plan(now: Mono, plan: &Plan) -> Option<Self> {
        let size_s = plan.offset_s.abs();
        if size_s == 0.0 || !size_s.is_finite() || plan.rate_max <= 0.0 {
            return None;
        }
        let deviations = size_s / plan.offset_error_s.max(f64::MIN_POSITIVE);
        let intervals = if deviations <= NOISE_DEVIATIONS {
            let unseen_s = size_s / (RATE_DEVIATIONS * plan.frequency_error).max(f64::MIN_POSITIVE);
            let intervals_max = (INTERVALS_MAX * plan.stretch()).max(1.0);
            (unseen_s / plan.interval_s).clamp(1.0, intervals_max)
        } else {
            let limit = match plan.stage {
                Stage::First => ERROR_DEVIATIONS_AT_FIRST,
                Stage::Start => ERROR_DEVIATIONS_AT_START,
                Stage::Settled => ERROR_DEVIATIONS,
            };
            ERROR_INTERVALS * (limit / deviations).powi(2).min(1.0) * plan.stretch().min(1.0)
        };
        let duration_min_s = (DURATION_MIN_S * plan.stretch().max(1.0)).min(plan.interval_s);
        let duration_s = (intervals * plan.interval_s)
            .max(duration_min_s)
            .max(size_s / plan.rate_max);
        let is_even = deviations <= NOISE_DEVIATIONS
            || size_s * FIRST_SHARE > duration_s * FIRST_TIME * plan.rate_max
            || duration_s <= duration_min_s;
        Some(if is_even {
            Self::even(now, plan.offset_s, duration_s, plan.frequency, None)
        } else {
            let rest = (
                plan.offset_s * (1.0 - FIRST_SHARE),
                duration_s * (1.0 - FIRST_TIME),
            );
            Self::even(
                now,
                plan.offset_s * FIRST_SHARE,
                duration_s * FIRST_TIME,
                plan.frequency,
                Some(rest),
            )
        })
    }

    /// What follows when this one has done its work; `frequency` is the rate that makes up for the oscillator.
    pub(super) fn next(&self, now: Mono, frequency: f64) -> Option<Self> {
        let (offset_s, duration_s) = self.rest?;
        Some(Self::even(now, offset_s, duration_s, frequency, None))
    }

    /// Goes on at the rate that the clock was able to take, which just begins; says whether that is slower than planned,
    /// so that it ends later. `frequency` is the rate that makes up for the oscillator.
    pub(super) fn limit(&mut self, now: Mono, rate: f64, frequency: f64) -> bool {
        let is_slower = rate.abs() + RATE_ROUNDING < self.rate.abs() && rate * self.rate > 0.0;
        if is_slower {
            let left_s = self.until.seconds_since(now) / (1.0 + self.rate + frequency) * self.rate;
            *self = Self::even(now, left_s, left_s / rate, frequency, self.rest);
        }
        is_slower
    }

    fn even(now: Mono, offset_s: f64, duration_s: f64, frequency: f64, rest: Option<(f64, f64)>) -> Self {
        // The clock that the slew is timed with is slewed as well.
        let rate = offset_s / duration_s;
        Self {
            rate,
            until: now.plus_seconds(duration_s * (1.0 + rate + frequency)),
            rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_MAX: f64 = 1.0 / 12.0;

    fn duration_s(offset_s: f64, offset_error_s: f64, frequency_error: f64) -> f64 {
        let plan = Plan {
            offset_s,
            offset_error_s,
            frequency_error,
            frequency: 0.0,
            interval_s: 64.0,
            rate_max: RATE_MAX,
            stage: Stage::Settled,
            ratio: RATIO_USUAL,
        };
        let slew = Slew::plan(Mono::ZERO, &plan).expect("there is an offset");
        assert!(slew.rate.abs() <= RATE_MAX * 1.000_001);
        let first_s = slew.until.seconds_since(Mono::ZERO) / (1.0 + slew.rate);
        let Some(next) = slew.next(slew.until, 0.0) else {
            assert!((slew.rate * first_s - offset_s).abs() < 1e-8);
            return first_s;
        };
        let second_s = next.until.seconds_since(slew.until) / (1.0 + next.rate);
        assert!((slew.rate * first_s + next.rate * second_s - offset_s).abs() < 1e-8);
        assert!(slew.rate.abs() > next.rate.abs());
        assert_eq!(next.next(next.until, 0.0), None);
        first_s + second_s
    }

    #[test]
    fn an_offset_is_spread_over_the_interval_or_a_little_more() {
        assert!((duration_s(4e-6, 10e-6, 1e-7) - 64.0).abs() < 1e-6);
        assert!((duration_s(200e-6, 10e-6, 1e-7) - 108.8).abs() < 1e-6);
    }

    #[test]
    fn noise_that_would_stand_out_is_spread_over_more() {
        assert!((duration_s(8e-6, 10e-6, 1e-7) - 100.0).abs() < 1e-3);
        assert!((duration_s(20e-6, 10e-6, 1e-9) - 256.0).abs() < 1e-6);
    }

    #[test]
    fn a_real_error_goes_quickly() {
        assert!((duration_s(-30e-3, 10e-6, 1e-7) - 1.088).abs() < 1e-6);
    }

    #[test]
    fn the_error_of_a_clock_that_starts_goes_quickly() {
        let mut plan = Plan {
            offset_s: 30e-3,
            offset_error_s: 1e-3,
            frequency_error: 1e-5,
            frequency: 0.0,
            interval_s: 64.0,
            rate_max: RATE_MAX,
            stage: Stage::Start,
            ratio: RATIO_USUAL,
        };
        let until = |plan: &Plan| {
            let slew = Slew::plan(Mono::ZERO, plan)?;
            Some(slew.next(slew.until, 0.0).map_or(slew.until, |next| next.until))
        };
        assert!(until(&plan) < Some(Mono::ZERO.plus_seconds(30.0)));
        plan.stage = Stage::Settled;
        assert!(until(&plan) > Some(Mono::ZERO.plus_seconds(90.0)));
    }

    #[test]
    fn no_slew_is_faster_than_allowed() {
        assert!((duration_s(100.0, 10e-6, 1e-7) - 1200.0).abs() < 1e-6);
    }

    #[test]
    fn a_clock_that_cannot_go_so_fast_takes_longer() {
        let frequency = 0.05;
        let plan = Plan {
            offset_s: 0.4,
            offset_error_s: 0.0,
            frequency_error: 1e-6,
            frequency,
            interval_s: 1.0,
            rate_max: 0.08,
            stage: Stage::Settled,
            ratio: RATIO_USUAL,
        };
        let mut slew = Slew::plan(Mono::ZERO, &plan).unwrap();
        assert!(!slew.limit(Mono::ZERO, 0.08 - 1e-8, frequency));
        assert!(slew.limit(Mono::ZERO, 0.05, frequency));
        assert!((slew.until.seconds_since(Mono::ZERO) - 8.0 * 1.1).abs() < 1e-8);
        assert!(!slew.limit(Mono::ZERO, -0.01, frequency));
    }

    #[test]
    fn corrections_take_as_long_as_is_asked_for() {
        let seconds = |deviations: f64, ratio: f64| {
            let plan = Plan {
                offset_s: deviations * 1e-5,
                offset_error_s: 1e-5,
                frequency_error: 1e-9,
                frequency: 0.0,
                interval_s: 64.0,
                rate_max: RATE_MAX,
                stage: Stage::Settled,
                ratio,
            };
            let slew = Slew::plan(Mono::ZERO, &plan).unwrap();
            let rest_s = slew.rest.map_or(0.0, |(_, seconds)| seconds);
            slew.until.seconds_since(Mono::ZERO) / (1.0 + slew.rate) + rest_s
        };
        for (deviations, ratio, expected_s) in [
            (1.0, 3.0, 256.0),
            (1.0, 30.0, 2560.0),
            (1.0, 1.5, 128.0),
            (10.0, 3.0, 108.8),
            (10.0, 30.0, 108.8),
            (10.0, 1.5, 54.4),
            (200.0, 3.0, 108.8),
            (6000.0, 3.0, 1.0),
            (6000.0, 30.0, 10.0),
            (6000.0, 1.5, 1.0),
        ] {
            let taken_s = seconds(deviations, ratio);
            assert!(
                (taken_s - expected_s).abs() < 1e-3,
                "{deviations} {ratio} {taken_s}"
            );
        }
    }

    #[test]
    fn nothing_is_nothing_to_do() {
        let plan = Plan {
            offset_s: 0.0,
            offset_error_s: 0.0,
            frequency_error: 0.0,
            frequency: 0.0,
            interval_s: 1.0,
            rate_max: RATE_MAX,
            stage: Stage::Settled,
            ratio: RATIO_USUAL,
        };
        assert_eq!(Slew::plan(Mono::ZERO, &plan), None);
        assert_eq!(
            Slew::plan(
                Mono::ZERO,
                &Plan {
                    offset_s: f64::NAN,
                    ..plan
                }
            ),
            None
        );
    }
}
