//! The step at the start (OpenNTPD's `-s`): the clock is set by what the first answers say, and only then is the daemon
//! ready.

use units::Mono;

use crate::engine::Engine;
use crate::io::{Event, Output};
use crate::middle::median;
use crate::timer::Timer;

/// How long answers are waited for before the daemon goes on without, seconds (OpenNTPD's `SETTIME_TIMEOUT`).
const PATIENCE_S: f64 = 15.0;

/// How long others are waited for after the first answer, seconds. Sources are asked one after the other; with the
/// median of several one that is wrong does not set the clock.
const OTHERS_S: f64 = 0.5;

/// The step at the start, while it is awaited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstStep {
    /// A source has answered.
    is_answered: bool,
}

impl Engine {
    /// Begins to wait for the first answer, if it is to set the clock; says whether it is.
    pub(crate) fn await_first_answer(&mut self, now: Mono) -> bool {
        let is_asked = self.options.set_at_once && !self.options.observe;
        if is_asked {
            self.first_step = Some(FirstStep { is_answered: false });
            self.timers.set(Timer::FirstStep, now.plus_seconds(PATIENCE_S));
        }
        is_asked
    }

    /// A source has given a sample.
    pub(crate) fn first_answered(&mut self, now: Mono) {
        if let Some(step) = self.first_step.as_mut().filter(|step| !step.is_answered) {
            step.is_answered = true;
            self.timers.set(Timer::FirstStep, now.plus_seconds(OTHERS_S));
        }
    }

    /// Others have had their time, or nobody has answered.
    pub(crate) fn first_step_due(&mut self, now: Mono) {
        if self.first_step.take().is_none() {
            return;
        }
        let at = self.timeline.oscillator(now);
        let correction_s = self.timeline.correction_s(now);
        let frequency = self.discipline.frequency();
        let offsets_s: Vec<f64> = self
            .sources
            .values()
            .filter(|source| !source.config.select.noselect)
            .filter_map(|source| source.estimator.last())
            .map(|sample| sample.phase_s + frequency * at.seconds_since(sample.at) - correction_s)
            .collect();
        match median(offsets_s) {
            Some(by_s) => {
                if self.discipline.step_quietly(
                    now,
                    by_s,
                    &mut self.timeline,
                    &mut self.timers,
                    &mut self.out,
                ) {
                    self.out.happened(Event::Stepped { by_s });
                }
                self.move_origin();
            }
            None => self.out.happened(Event::NotSet),
        }
        self.out.push(Output::Ready);
    }
}

#[cfg(test)]
mod tests {
    use conf::config::Config;

    use super::*;
    use crate::io::Input;
    use crate::stage::{Server, Stage, server, silence, well};

    /// Servers of which the one whose address ends in `.3` is wrong by ten seconds.
    fn one_is_wrong() -> Server {
        let mut server = well();
        Box::new(move |to, bytes, came| {
            let error_s = if to.ip().to_string().ends_with(".3") {
                10.0
            } else {
                0.5
            };
            server(to, bytes, came.plus_seconds(error_s))
        })
    }

    fn play(names: &[&str], answers: Server, until_s: f64) -> Stage {
        let config = Config {
            sources: names.iter().map(|name| server(name)).collect(),
            ..Config::default()
        };
        let mut stage = Stage::with(config, answers, |options| {
            options.observe = false;
            options.tells = true;
            options.set_at_once = true;
        });
        stage.run_until(until_s);
        stage
    }

    #[test]
    fn the_first_answer_sets_the_clock_however_little_it_is_off() {
        let stage = play(&["192.0.2.1"], one_is_wrong(), 1.0);
        let [by_s] = stage.steps_s[..] else {
            panic!("{:?}", stage.steps_s)
        };
        assert!((by_s - 0.5).abs() < 1e-3, "{by_s}");
        assert!(
            stage.ready_at_s.is_some_and(|at_s| at_s < 0.8),
            "{:?}",
            stage.ready_at_s
        );
    }

    #[test]
    fn one_that_is_wrong_is_outvoted_though_it_answers_first() {
        let stage = play(&["192.0.2.3", "192.0.2.1", "192.0.2.2"], one_is_wrong(), 1.5);
        let [by_s] = stage.steps_s[..] else {
            panic!("{:?}", stage.steps_s)
        };
        assert!((by_s - 0.5).abs() < 1e-3, "{by_s}");
    }

    #[test]
    fn an_answer_that_is_under_way_during_the_step_is_good() {
        let mut server = well();
        let slow: Server = Box::new(move |to, bytes, came| server(to, bytes, came.plus_seconds(-0.5)));
        // The clock goes back by more than the answer of the second takes.
        let mut stage = play(&["192.0.2.1", "192.0.2.2"], slow, 0.3);
        stage.late_s = vec![0.0, 0.4];
        stage.run_until(1.0);
        let [by_s] = stage.steps_s[..] else {
            panic!("{:?}", stage.steps_s)
        };
        assert!((by_s + 0.5).abs() < 1e-3, "{by_s}");
        let place =
            |wanted: &dyn Fn(&Event) -> bool| stage.events.iter().position(|(_, event)| wanted(event));
        let stepped = place(&|event| matches!(event, Event::Stepped { .. }));
        let late = place(
            &|event| matches!(event, Event::Answered { delay_s, .. } if (delay_s - 0.402).abs() < 1e-3),
        );
        assert!(late > stepped && stepped.is_some(), "{:?}", stage.events);
    }

    #[test]
    fn after_fifteen_seconds_the_daemon_goes_on_without() {
        let stage = play(&["192.0.2.1"], silence(), 20.0);
        assert_eq!(stage.steps_s, [] as [f64; 0]);
        assert!(stage.events.iter().any(|(_, event)| *event == Event::NotSet));
        assert!(
            stage.ready_at_s.is_some_and(|at_s| (15.0..15.1).contains(&at_s)),
            "{:?}",
            stage.ready_at_s
        );
    }

    #[test]
    fn a_clock_that_has_another_keeper_is_not_set_and_nobody_says_so() {
        let mut stage = play(&["192.0.2.1"], one_is_wrong(), 0.1);
        let steering = Input::Steering {
            steers: false,
            rate_ppm: 0.0,
        };
        stage.tell(steering);
        stage.run_until(20.0);
        assert_eq!(stage.steps_s, [] as [f64; 0]);
        let is_told = |(_, event): &(f64, Event)| matches!(event, Event::Stepped { .. } | Event::NotSet);
        assert!(!stage.events.iter().any(is_told), "{:?}", stage.events);
        assert!(stage.ready_at_s.is_some_and(|at_s| at_s < 1.0));
    }

    #[test]
    fn of_two_in_the_middle_it_is_the_mean() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }
}
