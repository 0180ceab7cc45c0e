//! Lengths of time in NTP's two fixed-point forms.

use std::ops::{Add, Neg, Sub};

use crate::rounding::{f64_from_i64, nearest_i64, up_u32};

/// How many units of 32.32 fixed point make a second.
const UNITS_PER_SECOND: f64 = 4_294_967_296.0;

/// How many units of 16.16 fixed point make a second.
const SHORT_UNITS_PER_SECOND: f64 = 65_536.0;

/// A signed length of time: 32.32 fixed point, unit 2^-32 s (0.23 ns), −68…68 years.
///
/// As a difference `a - b` it is positive when `a` is later. Arithmetic saturates.
/// To calculate with lengths take [`as_seconds`](Self::as_seconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NtpDuration(pub i64);

impl NtpDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The longest, 2^31 s − 2^-32 s.
    pub const MAX: Self = Self(i64::MAX);

    /// The most negative, −2^31 s.
    pub const MIN: Self = Self(i64::MIN);

    /// Returns the length nearest to `seconds`; saturates, and gives zero for not-a-number.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Self {
        Self(nearest_i64(seconds * UNITS_PER_SECOND))
    }

    /// Returns the length in seconds; exact below 2^21 s (24 days), then with a relative error of 2^-53.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        f64_from_i64(self.0) / UNITS_PER_SECOND
    }
}

impl Add for NtpDuration {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for NtpDuration {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for NtpDuration {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// An unsigned length of time: 16.16 fixed point, unit 2^-16 s (15.3 µs), 0…65,536 s.
///
/// The form of root delay and root dispersion in an NTP header. Both bound an error, so that
/// [`from_seconds`](Self::from_seconds) rounds *up*. Source: RFC 5905 §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NtpShort(pub u32);

impl NtpShort {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The longest, 2^16 s − 2^-16 s.
    pub const MAX: Self = Self(u32::MAX);

    /// Returns the shortest length that is not below `seconds`: 0 below zero, [`MAX`](Self::MAX) above the
    /// range and for not-a-number.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Self {
        Self(up_u32(seconds * SHORT_UNITS_PER_SECOND))
    }

    /// Returns the length in seconds, exactly.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        f64::from(self.0) / SHORT_UNITS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_become_units_and_back() {
        assert_eq!(NtpDuration::from_seconds(-1.5), NtpDuration(-3 << 31));
        assert!((NtpDuration(1 << 31).as_seconds() - 0.5).abs() < f64::EPSILON);
        assert_eq!(-NtpDuration::from_seconds(2.0), NtpDuration::from_seconds(-2.0));
    }

    #[test]
    fn the_ends_hold() {
        assert_eq!(NtpDuration::from_seconds(1e12), NtpDuration::MAX);
        assert_eq!(NtpDuration::from_seconds(f64::NEG_INFINITY), NtpDuration::MIN);
        assert_eq!(NtpDuration::from_seconds(f64::NAN), NtpDuration::ZERO);
        assert_eq!(NtpDuration::MIN - NtpDuration::MAX, NtpDuration::MIN);
        assert_eq!(-NtpDuration::MIN, NtpDuration::MAX);
    }

    #[test]
    fn short_lengths_round_up() {
        assert_eq!(NtpShort::from_seconds(1e-9), NtpShort(1));
        assert_eq!(NtpShort::from_seconds(1.0), NtpShort(0x1_0000));
        assert_eq!(NtpShort::from_seconds(-1.0), NtpShort::ZERO);
        assert_eq!(NtpShort::from_seconds(65_536.0), NtpShort::MAX);
        assert_eq!(NtpShort::from_seconds(f64::NAN), NtpShort::MAX);
    }

    proptest! {
        #[test]
        fn short_lengths_round_trip(units: u32) {
            prop_assert_eq!(NtpShort::from_seconds(NtpShort(units).as_seconds()), NtpShort(units));
        }

        #[test]
        fn a_short_length_is_never_below(seconds in 0.0..65_535.0) {
            let short = NtpShort::from_seconds(seconds).as_seconds();
            prop_assert!(short >= seconds && short - seconds < 1.0 / 65_536.0);
        }

        #[test]
        fn lengths_round_trip(units in -(1i64 << 53)..(1 << 53)) {
            prop_assert_eq!(NtpDuration::from_seconds(NtpDuration(units).as_seconds()), NtpDuration(units));
        }
    }
}
