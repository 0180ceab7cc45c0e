//! The event loop's own instants.

use std::ops::{Add, Sub};
use std::time::Duration;

use crate::rounding::{f64_from_i64, nearest_i64};

const NANOS_PER_SEC: f64 = 1e9;

/// An instant of the event loop's monotonic clock: nanoseconds since a start that nobody else knows.
///
/// It orders and measures what happens inside one process and is never sent, stored or shown.
/// Range ±292 years; arithmetic saturates. Later instants are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub i64);

impl Mono {
    /// The clock's own zero.
    pub const ZERO: Self = Self(0);

    /// The last instant there is; as a deadline: never.
    pub const MAX: Self = Self(i64::MAX);

    /// Returns the instant `nanos` after the clock's zero.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the clock's zero.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Returns the seconds from `earlier` to this; positive when this is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        f64_from_i64(self.0.saturating_sub(earlier.0)) / NANOS_PER_SEC
    }

    /// Returns how long this is after `earlier`, zero if it is not.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    /// Returns the instant `seconds` later (earlier if negative), to the nearest nanosecond.
    ///
    /// Not-a-number changes nothing.
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self(self.0.saturating_add(nearest_i64(seconds * NANOS_PER_SEC)))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_move_instants() {
        let start = Mono::from_nanos(5_000_000_000);
        assert_eq!((start + Duration::from_millis(1)).as_nanos(), 5_001_000_000);
        assert_eq!((start - Duration::from_secs(6)).as_nanos(), -1_000_000_000);
        assert_eq!(start.plus_seconds(-0.5).as_nanos(), 4_500_000_000);
        assert_eq!(start.plus_seconds(f64::NAN), start);
        assert!((start.seconds_since(Mono::ZERO) - 5.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_ends_hold() {
        assert_eq!(Mono::MAX + Duration::MAX, Mono::MAX);
        assert_eq!(Mono::ZERO.plus_seconds(f64::INFINITY), Mono::MAX);
        assert_eq!(Mono::ZERO.saturating_since(Mono::MAX), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn what_passed_leads_back(a in 0i64..1 << 60, b in 0i64..1 << 60) {
            let (early, late) = (Mono(a.min(b)), Mono(a.max(b)));
            prop_assert_eq!(early + late.saturating_since(early), late);
            prop_assert!(late.seconds_since(early) >= 0.0);
        }
    }
}
