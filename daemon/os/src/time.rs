//! Times as the C library has them, and as we do.

use units::{Mono, UnixTime};

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// A reading of the system clock.
#[allow(
    clippy::useless_conversion,
    reason = "the width of the fields differs between platforms"
)]
pub(crate) fn unix_time(time: &libc::timespec) -> UnixTime {
    UnixTime::from_parts(i64::from(time.tv_sec), i64::from(time.tv_nsec))
}

/// A reading of the monotonic clock.
#[allow(
    clippy::useless_conversion,
    reason = "the width of the fields differs between platforms"
)]
pub(crate) fn mono(time: &libc::timespec) -> Mono {
    let seconds = i64::from(time.tv_sec).saturating_mul(NANOS_PER_SEC);
    Mono::from_nanos(seconds.saturating_add(i64::from(time.tv_nsec)))
}

/// An instant of the monotonic clock, as a timer takes it: the clock's own zero would turn the timer off.
pub(crate) fn mono_timespec(instant: Mono) -> libc::timespec {
    let nanos = instant.as_nanos().max(1);
    timespec(nanos / NANOS_PER_SEC, nanos % NANOS_PER_SEC)
}

/// A time of whole seconds and nanoseconds.
pub(crate) fn timespec(seconds: i64, nanos: i64) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::try_from(nanos).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_the_way_to_a_timer() {
        for nanos in [1, 999_999_999, 1_000_000_000, 86_400_000_000_007] {
            assert_eq!(mono(&mono_timespec(Mono::from_nanos(nanos))).as_nanos(), nanos);
        }
        for past in [Mono::ZERO, Mono::from_nanos(-5)] {
            assert_eq!(mono(&mono_timespec(past)).as_nanos(), 1);
        }
    }
}
