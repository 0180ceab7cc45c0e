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

    /// Starts from the controller's answer to a question that was asked `asked` after boot ([`since_boot`]). The
    /// answer may have been held up on its way, so that the time counts from the question: never too early,
    /// and a job that came late is seen to be late.
    pub fn answered(controller_now_ms: i64, asked: Duration) -> Self {
        ControllerClock {
            at_handshake_ms: controller_now_ms,
            handshake: asked,
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

    #[test]
    fn an_answer_that_was_held_up_does_not_turn_the_time_back() {
        let asked = since_boot().saturating_sub(Duration::from_secs(20));
        let clock = ControllerClock::answered(1_000_000, asked);
        assert!(clock.now_ms() >= 1_020_000);
    }
}
