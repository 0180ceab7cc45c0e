//! What an operator does to the clock with `chronyc`.

use units::Mono;

use super::{Discipline, Target};
use crate::outbox::Outbox;
use crate::timeline::Timeline;
use crate::timer::Timers;

impl Discipline {
    /// Replaces the limit of `maxupdateskew`, ppm.
    pub fn set_max_update_skew_ppm(&mut self, skew_ppm: f64) {
        self.rules.max_update_skew_ppm = skew_ppm;
    }

    /// Takes the oscillator to gain so much more than was known, ppm (`dfreq`).
    pub fn add_gain_ppm(&mut self, now: Mono, gain_ppm: f64, timeline: &Timeline, out: &mut Outbox) {
        let mut target = self.target_at(now, timeline);
        target.frequency = self.set_frequency(target.frequency - gain_ppm / 1e6);
        self.retarget(now, target, timeline);
        self.command_rate(out);
    }

    /// Follows this frequency from now on (as a part; positive: the oscillator is slow), from where the clock is
    /// heading now.
    pub fn fall_back(&mut self, now: Mono, frequency: f64, timeline: &Timeline, out: &mut Outbox) {
        let mut target = self.target_at(now, timeline);
        target.frequency = self.set_frequency(frequency);
        self.retarget(now, target, timeline);
        self.residual_frequency = 0.0;
        self.command_rate(out);
    }

    /// Takes true time to be so many seconds later than was known, and slews (`doffset`, with the other sign).
    pub fn add_offset_s(
        &mut self,
        now: Mono,
        by_s: f64,
        timeline: &Timeline,
        timers: &mut Timers,
        out: &mut Outbox,
    ) {
        let mut target = self.target_at(now, timeline);
        target.phase_s += by_s;
        self.retarget(now, target, timeline);
        self.slew_remaining(now, timeline, timers, out);
    }

    /// Follows a typed time: true time − oscillator is `phase_s` now and changes by `frequency`, if that is known
    /// (`settime`). A typed time is no reference: the clock does not count as synchronised. `offset_s` is the
    /// offset found, true time − the clock with all that is commanded. The rule for steps holds for typed times too,
    /// as with chronyd; says whether the clock was stepped.
    pub fn follow_hand(
        &mut self,
        now: Mono,
        (phase_s, frequency, offset_s): (f64, Option<f64>, f64),
        timeline: &mut Timeline,
        timers: &mut Timers,
        out: &mut Outbox,
    ) -> bool {
        let frequency = self.set_frequency(frequency.unwrap_or(self.frequency));
        let target = Target {
            at: timeline.oscillator(now),
            phase_s,
            frequency,
        };
        self.retarget(now, target, timeline);
        self.note_offset(now, offset_s);
        let remaining_s = self.remaining_s(now, timeline);
        self.say_change(remaining_s, out);
        let is_stepped = self.may_step(remaining_s, true, out);
        if is_stepped {
            self.step(now, remaining_s, timeline, timers, out);
        } else {
            self.slew_remaining(now, timeline, timers, out);
        }
        is_stepped
    }

    /// True time − oscillator, seconds, on which the clock is heading, when the oscillator reads `at`; `None`
    /// before there was any.
    pub fn target_phase_s(&self, at: Mono) -> Option<f64> {
        self.target
            .map(|target| target.phase_s + target.frequency * at.seconds_since(target.at))
    }

    /// The target as of now; without one the clock is taken to be right.
    pub(super) fn target_at(&self, now: Mono, timeline: &Timeline) -> Target {
        let phase_s = self.remaining_s(now, timeline) + timeline.correction_s(now);
        let frequency = self.target.map_or(self.frequency, |target| target.frequency);
        Target {
            at: timeline.oscillator(now),
            phase_s,
            frequency,
        }
    }

    /// Makes up for this rate, within what is allowed.
    fn set_frequency(&mut self, frequency: f64) -> f64 {
        let limit = self.rules.max_drift_ppm / 1e6;
        self.frequency = frequency.clamp(-limit, limit);
        self.frequency
    }
}

#[cfg(test)]
mod tests {
    use conf::config::Clock;
    use units::UnixTime;

    use super::*;
    use crate::io::{ClockCommand, Now, Output};
    use crate::timer::Timer;

    fn parts() -> (Discipline, Timeline, Timers, Outbox) {
        let now = Now {
            mono: Mono::ZERO,
            wall: UnixTime::from_seconds(1_000_000),
            slept_ns: 0,
        };
        let discipline = Discipline::new(Clock::default(), false, 0.0, 1e-6);
        (
            discipline,
            Timeline::new(now, 0.0),
            Timers::default(),
            Outbox::default(),
        )
    }

    fn rate_ppm(out: &mut Outbox) -> Option<f64> {
        std::iter::from_fn(|| out.pop())
            .filter_map(|output| match output {
                Output::Clock(ClockCommand::SetFrequency { ppm }) => Some(ppm),
                _ => None,
            })
            .last()
    }

    #[test]
    fn a_gain_is_made_up_for_by_running_slower() {
        let (mut discipline, timeline, _, mut out) = parts();
        discipline.add_gain_ppm(Mono::ZERO, 10.0, &timeline, &mut out);
        assert!((discipline.frequency() + 1e-5).abs() < 1e-15);
        assert!(rate_ppm(&mut out).is_some_and(|ppm| (ppm + 10.0).abs() < 1e-9));
        discipline.add_gain_ppm(Mono::ZERO, 1e9, &timeline, &mut out);
        assert!(
            (discipline.frequency() + 0.1).abs() < 1e-12,
            "no more than maxdrift"
        );
    }

    #[test]
    fn a_drift_file_says_no_more_than_maxdrift() {
        let rules = Clock {
            max_drift_ppm: 500.0,
            ..Clock::default()
        };
        for (frequency, skew, taken) in [(-1770.0, 646.0, -5e-4), (1e290, 1e290, 5e-4)] {
            let discipline = Discipline::new(rules.clone(), false, frequency, skew);
            assert_eq!((discipline.frequency(), discipline.skew()), (taken, 1.0));
            let mut out = Outbox::default();
            discipline.start(&mut out);
            assert_eq!(rate_ppm(&mut out), Some(taken * 1e6));
        }
    }

    #[test]
    fn an_added_offset_is_slewed_and_no_update() {
        let (mut discipline, timeline, mut timers, mut out) = parts();
        discipline.add_offset_s(Mono::ZERO, -0.5, &timeline, &mut timers, &mut out);
        assert!((discipline.remaining_s(Mono::ZERO, &timeline) + 0.5).abs() < 1e-12);
        assert!(rate_ppm(&mut out).is_some_and(|ppm| ppm < 0.0));
        assert_eq!(discipline.updates(), 0);
        discipline.add_offset_s(Mono::ZERO, 0.2, &timeline, &mut timers, &mut out);
        assert!((discipline.remaining_s(Mono::ZERO, &timeline) + 0.3).abs() < 1e-12);
    }

    #[test]
    fn no_slew_goes_on_when_the_daemon_ends() {
        let (mut discipline, timeline, mut timers, mut out) = parts();
        discipline.add_gain_ppm(Mono::ZERO, 10.0, &timeline, &mut out);
        discipline.add_offset_s(Mono::ZERO, 0.5, &timeline, &mut timers, &mut out);
        assert!(rate_ppm(&mut out).is_some_and(|ppm| ppm > 0.0));
        discipline.end(&mut timers, &mut out);
        assert!(rate_ppm(&mut out).is_some_and(|ppm| (ppm + 10.0).abs() < 1e-9));
        assert_eq!(timers.get(Timer::SlewEnd), None);
        discipline.end(&mut timers, &mut out);
        assert_eq!(rate_ppm(&mut out), None, "there is nothing to end");
    }

    #[test]
    fn a_slew_leaves_nothing_where_the_clock_is_corrected_as_well() {
        let (mut discipline, mut timeline, mut timers, mut out) = parts();
        let typed = (1.0, Some(-1e-4), 1.0);
        discipline.follow_hand(Mono::ZERO, typed, &mut timeline, &mut timers, &mut out);
        timeline.set_rate(Mono::ZERO, rate_ppm(&mut out).unwrap() / 1e6);
        let end = timers.get(Timer::SlewEnd).unwrap();
        let left_s = discipline.remaining_s(end, &timeline);
        assert!(left_s.abs() < 1e-8, "{left_s}");
    }

    #[test]
    fn a_typed_time_is_followed_and_no_reference() {
        let (mut discipline, mut timeline, mut timers, mut out) = parts();
        let typed = (2.0, Some(1e-5), 2.0);
        discipline.follow_hand(Mono::ZERO, typed, &mut timeline, &mut timers, &mut out);
        assert!(discipline.reference().is_none());
        let tracking = discipline.tracking(Mono::ZERO, &timeline);
        assert!((tracking.last_offset_s - 2.0).abs() < 1e-12 && (tracking.remaining_s - 2.0).abs() < 1e-12);
        assert!((tracking.frequency - 1e-5).abs() < 1e-15);
        let phase_s = discipline.target_phase_s(Mono::ZERO.plus_seconds(100.0));
        assert!(phase_s.is_some_and(|phase_s| (phase_s - 2.001).abs() < 1e-9));
    }
}
