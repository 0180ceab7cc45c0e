//! Everything that can wake the engine, and when.

use std::collections::{BTreeMap, BTreeSet};

use units::Mono;

use crate::source::SourceId;

/// A reason to wake up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The next request to a source is due.
    Poll(SourceId),
    /// A source has not answered for so long that its socket is closed.
    GiveUp(SourceId),
    /// The slew under way has done its work.
    SlewEnd,
    /// Names without an address are looked up again.
    Resolve,
    /// Names in rules without an address are looked up again.
    Rules,
    /// The leap second of this UTC day is close enough to prepare for.
    Leap,
    /// The drift file is written, if the clock was updated since.
    Drift,
    /// Nothing came from the sources for so long that an average frequency is used.
    Fallback,
    /// The state of the local reference is looked at again.
    Local,
    /// The first measurement waits no longer for names, or is over.
    Initial,
    /// A broadcast is due, by its place in the configuration.
    Broadcast(u32),
    /// The driver of a reference clock is to be asked, by its place in the configuration.
    RefClock(u32),
    /// The real-time clock is to be read, or has not interrupted.
    Rtc,
    /// The kernel's idea of the error bound is renewed.
    Status,
}

/// The timers that are set; each reason has at most one.
#[derive(Debug, Default, Clone)]
pub struct Timers {
    by_reason: BTreeMap<Timer, Mono>,
    by_time: BTreeSet<(Mono, Timer)>,
}

impl Timers {
    /// Sets a timer, or moves it.
    pub fn set(&mut self, timer: Timer, at: Mono) {
        if let Some(old) = self.by_reason.insert(timer, at) {
            self.by_time.remove(&(old, timer));
        }
        self.by_time.insert((at, timer));
    }

    /// Removes a timer, set or not.
    pub fn stop(&mut self, timer: Timer) {
        if let Some(old) = self.by_reason.remove(&timer) {
            self.by_time.remove(&(old, timer));
        }
    }

    /// When a timer will fire.
    pub fn get(&self, timer: Timer) -> Option<Mono> {
        self.by_reason.get(&timer).copied()
    }

    /// When the next one fires.
    pub fn next(&self) -> Option<Mono> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due.
    pub fn pop_due(&mut self, now: Mono) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.remove(&(at, timer));
        self.by_reason.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_timer_fires_once_at_its_new_time() {
        let mut timers = Timers::default();
        timers.set(Timer::SlewEnd, Mono::from_nanos(10));
        timers.set(Timer::Leap, Mono::from_nanos(20));
        timers.set(Timer::SlewEnd, Mono::from_nanos(30));
        assert_eq!(timers.next(), Some(Mono::from_nanos(20)));
        assert_eq!(timers.pop_due(Mono::from_nanos(19)), None);
        assert_eq!(timers.pop_due(Mono::from_nanos(40)), Some(Timer::Leap));
        assert_eq!(timers.pop_due(Mono::from_nanos(40)), Some(Timer::SlewEnd));
        assert_eq!(timers.pop_due(Mono::from_nanos(40)), None);
    }
}
