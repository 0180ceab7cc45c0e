//! Served time kept smooth, whatever is learned of true time (`smoothtime`).
//!
//! Clients of a server that was wrong for long should not see it jump. What is served is true time and an offset;
//! when true time turns out to be another, the offset takes up the difference, in time and in frequency, and then
//! goes away as quickly as the largest frequency and the largest change of frequency allow: the frequency rises
//! evenly, stays, and falls evenly. A leap second is smeared in the same way.

use conf::config::TimeSmoothing;
use units::Mono;

/// Activation waits until the skew is below so many times the wander per second that is allowed (chrony.conf(5)).
const SKEW_PER_WANDER_S: f64 = 10_000.0;

/// The smoothing of served time.
#[derive(Debug, Clone)]
pub struct Smoothing {
    rule: TimeSmoothing,
    is_active: bool,
    /// When the curve begins, on the oscillator; `None` before anything happened.
    begin: Option<Mono>,
    /// When something was learned of true time, on the oscillator.
    updated_at: Option<Mono>,
    /// Where the curve begins.
    offset_s: f64,
    frequency: f64,
    /// What follows, in turn; after the last one the offset is gone.
    stages: [Stage; 3],
}

/// A part of the curve.
#[derive(Debug, Clone, Copy, Default)]
struct Stage {
    duration_s: f64,
    /// The change of frequency per second.
    wander: f64,
}

/// The state of the smoothing at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Smoothed {
    /// Served − true time, seconds.
    pub offset_s: f64,
    /// Its change per second.
    pub frequency: f64,
    /// The change of that per second.
    pub wander: f64,
    /// How long it takes until nothing is left, seconds.
    pub remaining_s: f64,
}

impl Smoothing {
    /// Begins without an offset, and inactive.
    pub fn new(rule: TimeSmoothing) -> Self {
        Self {
            rule,
            is_active: false,
            begin: None,
            updated_at: None,
            offset_s: 0.0,
            frequency: 0.0,
            stages: [Stage::default(); 3],
        }
    }

    /// Whether changes are taken up.
    pub fn is_active(&self) -> bool {
        self.is_active
    }

    /// Whether only leap seconds are taken up.
    pub fn is_leap_only(&self) -> bool {
        self.rule.leap_only
    }

    /// Takes changes up from now on; says whether it did not before.
    pub fn activate(&mut self) -> bool {
        !std::mem::replace(&mut self.is_active, true)
    }

    /// The clock was updated and its frequency is known with this error; activates if that is good enough. Says
    /// whether it did.
    pub fn settle(&mut self, skew: f64) -> bool {
        let is_settled = skew < SKEW_PER_WANDER_S * self.wander_max();
        (self.rule.leap_only || is_settled) && self.activate()
    }

    /// Serves true time at once.
    pub fn reset(&mut self, at: Mono) {
        self.plan(at, 0.0, 0.0);
        self.updated_at = Some(at);
    }

    /// True time turns out to be later by so many seconds, and to gain so much more per second.
    pub fn moved(&mut self, at: Mono, by_s: f64, frequency: f64) {
        if !self.is_active {
            return;
        }
        self.updated_at = Some(at);
        if !self.rule.leap_only {
            let now = self.at(at);
            self.plan(at, now.offset_s - by_s, now.frequency - frequency);
        }
    }

    /// A leap second moved UTC by so many seconds.
    pub fn leap(&mut self, at: Mono, by_s: f64) {
        if self.is_active {
            let now = self.at(at);
            self.updated_at = Some(at);
            self.plan(at, now.offset_s - by_s, now.frequency);
        }
    }

    /// What is served.
    pub fn at(&self, at: Mono) -> Smoothed {
        let Some(begin) = self.begin else {
            return Smoothed::default();
        };
        let mut left_s = at.seconds_since(begin).max(0.0);
        let mut state = Smoothed {
            offset_s: self.offset_s,
            frequency: self.frequency,
            ..Smoothed::default()
        };
        for stage in self.stages {
            let spent_s = left_s.min(stage.duration_s);
            state.offset_s += (state.frequency + stage.wander / 2.0 * spent_s) * spent_s;
            state.frequency += stage.wander * spent_s;
            left_s -= spent_s;
            if spent_s < stage.duration_s && state.remaining_s == 0.0 {
                state.wander = stage.wander;
            }
            state.remaining_s += stage.duration_s - spent_s;
        }
        if state.remaining_s > 0.0 {
            state
        } else {
            Smoothed::default()
        }
    }

    /// How long ago something was learned of true time, seconds.
    pub fn updated_ago_s(&self, at: Mono) -> f64 {
        self.updated_at.map_or(0.0, |updated| at.seconds_since(updated))
    }

    /// Plans the quickest way to nothing from here.
    fn plan(&mut self, at: Mono, offset_s: f64, frequency: f64) {
        let (wander, top) = (self.wander_max(), self.rule.max_frequency_ppm / 1e6);
        self.begin = Some(at);
        self.offset_s = offset_s;
        self.frequency = frequency;
        self.stages = [Stage::default(); 3];
        if wander <= 0.0 || top <= 0.0 {
            // It may not change, so that it stays.
            self.frequency = 0.0;
            self.stages[1].duration_s = f64::MAX;
            return;
        }
        // Where it would come to rest if it braked at once decides in which direction it has to go.
        let rest_s = offset_s + frequency * frequency.abs() / (2.0 * wander);
        let side = if rest_s > 0.0 { -1.0 } else { 1.0 };
        let (way_s, speed) = (-side * offset_s, side * frequency);
        let peak = (wander * way_s + speed * speed / 2.0).max(0.0).sqrt();
        let cruise = peak.min(top);
        let change_s = (cruise - speed) / wander;
        let brake_s = cruise / wander;
        let changing_s = (cruise + speed) / 2.0 * change_s.abs();
        let left_s = way_s - changing_s - cruise * brake_s / 2.0;
        self.stages = [
            Stage {
                duration_s: change_s.abs(),
                wander: side * wander.copysign(change_s),
            },
            Stage {
                duration_s: if peak > top {
                    (left_s / cruise).max(0.0)
                } else {
                    0.0
                },
                wander: 0.0,
            },
            Stage {
                duration_s: brake_s,
                wander: -side * wander,
            },
        ];
    }

    fn wander_max(&self) -> f64 {
        self.rule.max_wander_ppm_per_s / 1e6
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Mono {
        Mono::ZERO.plus_seconds(seconds)
    }

    fn smoothing(max_frequency_ppm: f64, max_wander_ppm_per_s: f64) -> Smoothing {
        let mut smoothing = Smoothing::new(TimeSmoothing {
            max_frequency_ppm,
            max_wander_ppm_per_s,
            leap_only: false,
        });
        assert!(smoothing.activate() && !smoothing.activate());
        smoothing
    }

    #[test]
    fn a_leap_second_takes_as_long_as_the_manual_says() {
        let mut smoothing = smoothing(400.0, 0.001_024);
        smoothing.leap(at(0.0), -1.0);
        let begin = smoothing.at(at(0.0));
        assert!((begin.offset_s - 1.0).abs() < 1e-12 && (begin.remaining_s - 62_500.0).abs() < 1e-3);
        let middle = smoothing.at(at(31_250.0));
        assert!((middle.frequency + 32e-6).abs() < 1e-11 && (middle.offset_s - 0.5).abs() < 1e-9);
        assert_eq!(smoothing.at(at(62_500.1)), Smoothed::default());
    }

    #[test]
    fn the_frequency_has_a_limit() {
        let mut smoothing = smoothing(2000.0, 1.0);
        smoothing.moved(at(0.0), 10.0, 0.0);
        // chronyd 4.9: "Remaining time : 6971.7 seconds" after 28 s.
        let later = smoothing.at(at(28.0));
        assert!((later.remaining_s - 6972.0).abs() < 0.1 && (later.frequency - 28e-6).abs() < 1e-12);
        let middle = smoothing.at(at(3500.0));
        assert!((middle.frequency - 2e-3).abs() < 1e-12 && (middle.offset_s + 5.0).abs() < 1e-9);
    }

    #[test]
    fn it_waits_for_a_known_frequency_unless_it_is_for_leap_seconds_only() {
        let rule = TimeSmoothing {
            max_frequency_ppm: 400.0,
            max_wander_ppm_per_s: 0.001,
            leap_only: false,
        };
        let mut smoothing = Smoothing::new(rule);
        smoothing.moved(at(0.0), 1.0, 0.0);
        assert_eq!(smoothing.at(at(0.0)).offset_s, 0.0);
        assert!(!smoothing.settle(11e-6) && smoothing.settle(9e-6) && !smoothing.settle(9e-6));
        let mut smoothing = Smoothing::new(TimeSmoothing {
            leap_only: true,
            ..rule
        });
        assert!(smoothing.settle(1e-3));
        smoothing.moved(at(5.0), 1.0, 1e-6);
        assert_eq!(smoothing.at(at(5.0)).offset_s, 0.0);
        smoothing.leap(at(6.0), 1.0);
        assert_eq!(smoothing.at(at(6.0)).offset_s, -1.0);
    }

    #[test]
    fn a_reset_serves_true_time_at_once() {
        let mut smoothing = smoothing(400.0, 1.0);
        smoothing.moved(at(0.0), 3.0, 1e-6);
        smoothing.reset(at(1.0));
        assert_eq!(smoothing.at(at(1.0)), Smoothed::default());
        assert!(smoothing.is_active());
    }

    #[test]
    fn what_may_not_change_stays() {
        let mut smoothing = smoothing(400.0, 0.0);
        smoothing.moved(at(0.0), 3.0, 1e-6);
        assert_eq!(smoothing.at(at(1e6)).offset_s, -3.0);
    }

    proptest! {
        /// Whatever is learned and when: served time never jumps, its frequency neither, both stay within their
        /// limits, and at the end nothing is left.
        #[test]
        fn served_time_is_smooth(moves in prop::collection::vec((1.0..5000.0_f64, -2.0..2.0_f64, -1e-4..1e-4_f64), 1..6)) {
            let (top, wander) = (1000e-6, 0.1e-6);
            let mut smoothing = smoothing(top * 1e6, wander * 1e6);
            let mut now_s = 0.0;
            for (wait_s, by_s, frequency) in moves {
                now_s += wait_s;
                let before = smoothing.at(at(now_s));
                smoothing.moved(at(now_s), by_s, frequency);
                let after = smoothing.at(at(now_s));
                prop_assert!((after.offset_s + by_s - before.offset_s).abs() < 1e-9);
                prop_assert!((after.frequency + frequency - before.frequency).abs() < 1e-12);
                let (mut last, mut from_s) = (after, now_s);
                for _ in 0..50 {
                    from_s += after.remaining_s / 50.0;
                    let next = smoothing.at(at(from_s));
                    let step_s = after.remaining_s / 50.0;
                    prop_assert!((next.frequency - last.frequency).abs() <= wander * step_s * 1.001 + 1e-12);
                    prop_assert!(next.frequency.abs() <= top.max(after.frequency.abs()) * 1.001);
                    last = next;
                }
                let end = smoothing.at(at(now_s + after.remaining_s - 1e-6));
                prop_assert!(end.offset_s.abs() < 1e-6 && end.frequency.abs() < 1e-9, "{:?}", end);
            }
        }
    }
}
