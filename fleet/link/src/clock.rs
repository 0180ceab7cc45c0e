//! The controller's time as its agents know it: begun by the controller, carried on by boot clocks that cannot be
//! set.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The controller's time at one moment, carried on by this host's boot clock, which cannot be set and goes on
/// while the host is suspended. An agent begins with the handshake; the controller itself with its start, so that
/// a step of its wall clock neither expires a job nor prolongs it.
#[derive(Clone, Copy, Debug)]
pub struct ControllerClock {
    at_handshake_ms: i64,
    handshake: Duration,
}

impl ControllerClock {
    /// Starts from the controller's time of now, in milliseconds since 1970 by the controller's clock.
    pub fn starting_at(controller_now_ms: i64) -> Self {
        ControllerClock {
            at_handshake_ms: controller_now_ms,
            handshake: since_boot(),
        }
    }

    /// The controller's time of now, in milliseconds since 1970 by the controller's clock.
    pub fn now_ms(&self) -> i64 {
        let elapsed = since_boot().saturating_sub(self.handshake);
        self.at_handshake_ms
            .saturating_add(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Time since the host was booted, suspended time included (`CLOCK_BOOTTIME`).
pub fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_where_the_controller_said() {
        let clock = ControllerClock::starting_at(4_000_000_000_000);
        let first = clock.now_ms();
        assert!(first >= 4_000_000_000_000);
        assert!(clock.now_ms() >= first);
    }
}
