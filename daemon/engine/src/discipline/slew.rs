//! How fast an offset is taken away.
//!
//! A correction changes the frequency of the clock for a while, and everybody who measures intervals pays for
//! it. An offset that is within what the estimate itself is uncertain by is therefore spread over half of the
//! time to the next update; one that is far beyond it is an error of the clock and goes quickly.

use units::Mono;

/// The share of the update interval over which an offset is taken away that may be noise.
const SHARE_OF_INTERVAL: f64 = 0.5;

/// Up to so many standard deviations an offset may be noise.
const NOISE_DEVIATIONS: f64 = 3.0;

/// The shortest slew, seconds.
const DURATION_MIN_S: f64 = 1.0;

/// A change of rate under way, beside the one that makes up for the oscillator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slew {
    /// The additional rate, as a part; positive: faster.
    pub rate: f64,
    /// When it has done its work, on the monotonic clock.
    pub until: Mono,
}

impl Slew {
    /// Plans how to take an offset away; `deviation_s` is the standard deviation of the estimate, `interval_s` the
    /// time to the next update. All in seconds; `rate_max` is a part.
    pub(super) fn plan(
        now: Mono,
        offset_s: f64,
        deviation_s: f64,
        interval_s: f64,
        rate_max: f64,
    ) -> Option<Self> {
        if offset_s == 0.0 || !offset_s.is_finite() || rate_max <= 0.0 {
            return None;
        }
        let relaxed_s = SHARE_OF_INTERVAL * interval_s;
        let beyond = (offset_s.abs() / (NOISE_DEVIATIONS * deviation_s).max(f64::MIN_POSITIVE)).max(1.0);
        let wanted_s = relaxed_s / (beyond * beyond);
        let duration_s = wanted_s
            .max(DURATION_MIN_S.min(relaxed_s))
            .max(offset_s.abs() / rate_max);
        Some(Self {
            rate: offset_s / duration_s,
            until: now.plus_seconds(duration_s),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_MAX: f64 = 1.0 / 12.0;

    fn duration_s(offset_s: f64, deviation_s: f64) -> f64 {
        let slew = Slew::plan(Mono::ZERO, offset_s, deviation_s, 64.0, RATE_MAX).expect("there is an offset");
        assert!(slew.rate.abs() <= RATE_MAX * 1.000_001);
        assert!((slew.rate * slew.until.seconds_since(Mono::ZERO) - offset_s).abs() < 1e-8);
        slew.until.seconds_since(Mono::ZERO)
    }

    #[test]
    fn what_may_be_noise_is_spread_over_half_the_interval() {
        assert!((duration_s(20e-6, 10e-6) - 32.0).abs() < 1e-9);
    }

    #[test]
    fn a_real_error_goes_quickly() {
        assert!((duration_s(-10e-3, 10e-6) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn no_slew_is_faster_than_allowed() {
        assert!((duration_s(100.0, 10e-6) - 1200.0).abs() < 1e-6);
    }
}
