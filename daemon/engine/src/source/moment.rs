//! When a packet left or came.

use units::{Mono, UnixTime};

use crate::io::{Stamp, StampSource};
use crate::timeline::Timeline;

/// The instant of a packet, told on the system clock as it was and on the oscillator.
///
/// It stays right whatever is done to the system clock afterwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// The system clock as it was read.
    pub wall: UnixTime,
    /// The oscillator.
    pub at: Mono,
    /// The system clock − the oscillator then, seconds.
    correction_s: f64,
    /// Who took the stamp.
    pub source: StampSource,
}

impl Moment {
    /// The instant of a stamp that was taken not long ago.
    pub fn of(stamp: Stamp, timeline: &Timeline) -> Self {
        let mono = timeline.mono(stamp.at);
        Self {
            wall: stamp.at,
            at: timeline.oscillator(mono),
            correction_s: timeline.correction_s(mono),
            source: stamp.source,
        }
    }

    /// True time − oscillator if the true time of this instant was `truth`, seconds.
    pub fn phase_s(&self, truth: UnixTime) -> f64 {
        truth.seconds_since(self.wall) + self.correction_s
    }

    /// What a clock that had always been as the system clock is at `now` would have read at this instant;
    /// `frequency` is the rate that makes up for the oscillator.
    pub fn told_at(&self, now: Mono, timeline: &Timeline, frequency: f64) -> UnixTime {
        let age_s = timeline.oscillator(now).seconds_since(self.at);
        timeline.wall(now).plus_seconds(-age_s * (1.0 + frequency))
    }

    /// Moves phases with their origin, seconds.
    pub fn shift(&mut self, by_s: f64) {
        self.correction_s += by_s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Now;

    #[test]
    fn a_moment_survives_a_step_of_the_clock() {
        let at = |seconds: i64| Mono::from_nanos(seconds * 1_000_000_000);
        let start = Now {
            mono: at(100),
            wall: UnixTime::from_seconds(1_000_100),
            slept_ns: 0,
        };
        let mut timeline = Timeline::new(start, 0.0);
        let stamp = Stamp {
            at: UnixTime::from_seconds(1_000_100),
            source: StampSource::Kernel,
        };
        let moment = Moment::of(stamp, &timeline);
        timeline.step(5.0);
        assert_eq!(moment.at, at(100));
        let told = moment.told_at(at(110), &timeline, 0.0);
        assert_eq!(told, UnixTime::from_seconds(1_000_105));
        assert!((moment.phase_s(UnixTime::from_seconds(1_000_103)) - 3.0).abs() < 1e-9);
    }
}
