//! Everything that can wake the engine, and when.

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
    /// Constraints that did not answer are asked again.
    Constraint,
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
    /// The step at the start is due, or is not waited for any longer.
    FirstStep,
    /// A broadcast is due, by its place in the configuration.
    Broadcast(u32),
    /// The driver of a reference clock is to be asked, by its place in the configuration.
    RefClock(u32),
    /// The real-time clock is to be read, or has not interrupted.
    Rtc,
    /// The kernel's idea of the error bound is renewed.
    Status,
    /// A line of `sysstats` is due.
    Statistics,
}

/// The timers that are set, the next one first; each reason has at most one. They are few and looked at whenever
/// something happens: side by side they are in the processor's cache at once.
#[derive(Debug, Default, Clone)]
pub struct Timers(Vec<(Mono, Timer)>);

impl Timers {
    /// Sets a timer, or moves it.
    pub fn set(&mut self, timer: Timer, at: Mono) {
        self.stop(timer);
        let place = self.0.partition_point(|set| *set < (at, timer));
        self.0.insert(place, (at, timer));
    }

    /// Removes a timer, set or not.
    pub fn stop(&mut self, timer: Timer) {
        if let Some(place) = self.0.iter().position(|(_, set)| *set == timer) {
            self.0.remove(place);
        }
    }

    /// When a timer will fire.
    pub fn get(&self, timer: Timer) -> Option<Mono> {
        self.0.iter().find(|(_, set)| *set == timer).map(|(at, _)| *at)
    }

    /// The first source to be asked that is one of those looked for, and when.
    pub fn next_poll(&self, is_wanted: impl Fn(SourceId, Mono) -> bool) -> Option<(SourceId, Mono)> {
        self.0.iter().find_map(|(at, timer)| match timer {
            Timer::Poll(id) if is_wanted(*id, *at) => Some((*id, *at)),
            _ => None,
        })
    }

    /// Lets no source but this one be asked before then.
    pub fn put_off_polls(&mut self, asked: SourceId, until: Mono) {
        let is_early =
            |&(at, timer): &(Mono, Timer)| at < until && matches!(timer, Timer::Poll(id) if id != asked);
        while let Some(place) = self.0.iter().position(is_early) {
            let (_, timer) = self.0.remove(place);
            self.set(timer, until);
        }
    }

    /// When the next one fires.
    pub fn next(&self) -> Option<Mono> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due.
    pub fn pop_due(&mut self, now: Mono) -> Option<Timer> {
        let (at, timer) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.remove(0);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_wait_for_their_turn_and_nothing_else_does() {
        let mut timers = Timers::default();
        for (nanos, timer) in [
            (1, Timer::Poll(SourceId(1))),
            (2, Timer::Poll(SourceId(2))),
            (3, Timer::GiveUp(SourceId(2))),
            (4, Timer::Poll(SourceId(3))),
            (9, Timer::Poll(SourceId(4))),
        ] {
            timers.set(timer, Mono::from_nanos(nanos));
        }
        timers.put_off_polls(SourceId(3), Mono::from_nanos(8));
        let order: Vec<Timer> = std::iter::from_fn(|| timers.pop_due(Mono::from_nanos(8))).collect();
        let expected = [
            Timer::GiveUp(SourceId(2)),
            Timer::Poll(SourceId(3)),
            Timer::Poll(SourceId(1)),
            Timer::Poll(SourceId(2)),
        ];
        assert_eq!(order, expected);
        assert_eq!(timers.next(), Some(Mono::from_nanos(9)));
    }

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
