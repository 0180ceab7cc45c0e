//! Store time: the age of the store, which only running time advances.
//!
//! The hosts of this product have wrong clocks, the controller's among them: its wall clock may stand in 1970
//! until the network is up, or step ten years in either direction. Were a value's age measured by it, one
//! forward step would expire every job, and stepping back would not bring them home. So values are stamped
//! with *store time*, milliseconds that the store has lived:
//!
//! - **While the store is open** store time advances with the boot clock (`CLOCK_BOOTTIME`), which nobody can
//!   step and which counts suspended time. Steps of the wall clock change nothing.
//! - **Across a restart on the same boot of the machine** it advances by what the boot clock did: each commit
//!   saves store time together with the boot id and the boot clock. The wall clock is still not asked.
//! - **Across a boot** only the wall clock can say how long the machine was off. Store time advances by the
//!   difference of the wall clocks, but never backwards and never by more than [`OFF_TIME_MAX`]. A wall clock
//!   that is ten years ahead after the boot makes the store one day older, not ten years; one that was ahead
//!   at the last save, or is behind now, adds nothing.
//!
//! All errors of this are on the side of keeping: a value is never expired much before its time (at most
//! [`OFF_TIME_MAX`] for each boot with a wrong clock), and a machine that was off for a month keeps values a
//! month longer.

use std::sync::Arc;
use std::time::Duration;

/// The most that store time advances over a boot of the machine: 24 h, small against the days that buckets
/// keep values, large against the minutes that a boot takes.
pub(super) const OFF_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the readings come from; a test turns these hands itself.
pub(super) trait HostClock: Send + Sync + 'static {
    /// Milliseconds on the boot clock, suspended time included.
    fn boot_ms(&self) -> i64;
    /// Milliseconds since 1970 on the wall clock, right or wrong.
    fn wall_ms(&self) -> i64;
    /// Names the current boot of the machine; nothing when that is not known.
    fn boot_id(&self) -> String;
}

/// The clocks of this machine.
pub(super) struct SystemClock;

impl HostClock for SystemClock {
    fn boot_ms(&self) -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        now.tv_sec
            .saturating_mul(1000)
            .saturating_add(now.tv_nsec / 1_000_000)
    }

    fn wall_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    fn boot_id(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default()
    }
}

/// What is saved with every commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    /// Store time.
    pub(super) store_ms: i64,
    /// The boot clock then.
    pub(super) boot_ms: i64,
    /// The wall clock then.
    pub(super) wall_ms: i64,
    /// The boot then.
    pub(super) boot_id: String,
}

/// A running store's time.
#[derive(Clone)]
pub(super) struct StoreClock {
    host: Arc<dyn HostClock>,
    boot_id: String,
    /// Store time minus boot clock, milliseconds.
    lead_ms: i64,
}

impl StoreClock {
    /// Goes on from what was saved last.
    pub(super) fn resume(host: Arc<dyn HostClock>, saved: &Saved) -> Self {
        let boot_id = host.boot_id();
        let boot_ms = host.boot_ms();
        let passed_ms = if !boot_id.is_empty() && boot_id == saved.boot_id {
            boot_ms.saturating_sub(saved.boot_ms).max(0)
        } else {
            let off_ms_max = i64::try_from(OFF_TIME_MAX.as_millis()).unwrap_or(i64::MAX);
            host.wall_ms().saturating_sub(saved.wall_ms).clamp(0, off_ms_max)
        };
        let store_ms = saved.store_ms.saturating_add(passed_ms);
        StoreClock {
            host,
            boot_id,
            lead_ms: store_ms.saturating_sub(boot_ms),
        }
    }

    /// Store time now, milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        self.host.boot_ms().saturating_add(self.lead_ms)
    }

    /// What to save for the next [`resume`](Self::resume).
    pub(super) fn save(&self) -> Saved {
        let boot_ms = self.host.boot_ms();
        Saved {
            store_ms: boot_ms.saturating_add(self.lead_ms),
            boot_ms,
            wall_ms: self.host.wall_ms(),
            boot_id: self.boot_id.clone(),
        }
    }
}

/// The latest writing time whose values have expired: a value lives while `written > cutoff`.
pub(super) fn cutoff_ms(now_ms: i64, ttl: Option<Duration>) -> i64 {
    let Some(ttl) = ttl else { return i64::MIN };
    now_ms.saturating_sub(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Clocks whose hands a test turns.
    pub(in crate::embedded) struct Hands(pub(in crate::embedded) Mutex<(i64, i64, String)>);

    impl Hands {
        pub(in crate::embedded) fn new(boot_ms: i64, wall_ms: i64, boot_id: &str) -> Arc<Self> {
            Arc::new(Hands(Mutex::new((boot_ms, wall_ms, boot_id.to_owned()))))
        }

        pub(in crate::embedded) fn set(&self, boot_ms: i64, wall_ms: i64, boot_id: &str) {
            *self.0.lock().unwrap() = (boot_ms, wall_ms, boot_id.to_owned());
        }
    }

    impl HostClock for Hands {
        fn boot_ms(&self) -> i64 {
            self.0.lock().unwrap().0
        }
        fn wall_ms(&self) -> i64 {
            self.0.lock().unwrap().1
        }
        fn boot_id(&self) -> String {
            self.0.lock().unwrap().2.clone()
        }
    }

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const TEN_YEARS_MS: i64 = 3652 * DAY_MS;

    #[test]
    fn wall_steps_do_not_move_a_running_store() {
        let hands = Hands::new(1_000, 0, "a");
        let clock = StoreClock::resume(hands.clone(), &Saved::default());
        let start = clock.now_ms();
        for wall_ms in [TEN_YEARS_MS, -TEN_YEARS_MS, 0] {
            hands.set(1_500, wall_ms, "a");
            assert_eq!(clock.now_ms() - start, 500);
        }
    }

    #[test]
    fn a_restart_on_the_same_boot_counts_on_the_boot_clock() {
        let hands = Hands::new(10_000, 50_000, "a");
        let saved = StoreClock::resume(hands.clone(), &Saved::default()).save();
        hands.set(17_000, 50_000 + TEN_YEARS_MS, "a");
        assert_eq!(StoreClock::resume(hands, &saved).now_ms() - saved.store_ms, 7_000);
    }

    #[test]
    fn a_boot_counts_on_the_wall_clock_within_a_day() {
        let saved = Saved {
            store_ms: 5,
            boot_ms: 90_000,
            wall_ms: 1_000_000,
            boot_id: "a".into(),
        };
        for (wall_ms, passed_ms) in [
            (1_060_000, 60_000),
            (1_000_000 + TEN_YEARS_MS, DAY_MS),
            (1_000_000 - TEN_YEARS_MS, 0),
            (i64::MIN, 0),
            (i64::MAX, DAY_MS),
        ] {
            let clock = StoreClock::resume(Hands::new(3_000, wall_ms, "b"), &saved);
            assert_eq!(clock.now_ms(), 5 + passed_ms, "wall {wall_ms}");
        }
        // Where boots cannot be told apart, every start is taken for a boot.
        let unknown = Saved {
            boot_id: String::new(),
            ..saved
        };
        assert_eq!(
            StoreClock::resume(Hands::new(99_000, 1_000_100, ""), &unknown).now_ms(),
            105
        );
    }
}
