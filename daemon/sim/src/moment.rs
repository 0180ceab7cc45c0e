//! True time in a virtual world.

use std::ops::Sub;

use units::rounding::{f64_from_i64, nearest_i64};

/// A moment of true time: nanoseconds since the world began. No host can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub i64);

impl Moment {
    /// The beginning of the world.
    pub const BEGIN: Self = Self(0);

    /// The moment so many seconds after the beginning.
    pub fn at(seconds: f64) -> Self {
        Self(nearest_i64(seconds * 1e9))
    }

    /// Seconds since the beginning.
    pub fn seconds(self) -> f64 {
        f64_from_i64(self.0) / 1e9
    }

    /// The moment so many seconds later, to the nearest nanosecond.
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self(self.0.saturating_add(nearest_i64(seconds * 1e9)))
    }
}

impl Sub for Moment {
    type Output = f64;

    /// Seconds from the other to this; positive when this is later.
    fn sub(self, other: Self) -> f64 {
        f64_from_i64(self.0 - other.0) / 1e9
    }
}

/// So many microseconds, in seconds.
pub const fn micros(value: f64) -> f64 {
    value * 1e-6
}

/// So many milliseconds, in seconds.
pub const fn millis(value: f64) -> f64 {
    value * 1e-3
}

/// So many minutes, in seconds.
pub const fn minutes(value: f64) -> f64 {
    value * 60.0
}

/// So many hours, in seconds.
pub const fn hours(value: f64) -> f64 {
    value * 3600.0
}

/// So many parts in 10^6, as a part.
pub const fn ppm(value: f64) -> f64 {
    value * 1e-6
}

/// So many parts in 10^9, as a part.
pub const fn ppb(value: f64) -> f64 {
    value * 1e-9
}
