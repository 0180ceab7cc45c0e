//! The first measurement, before anything else (`initstepslew`): its servers alone are asked, quickly, and what
//! they agree on is stepped or slewed. Only then the sources of the configuration are added and the daemon is
//! ready.

use conf::config::{InitialStep, SourceConfig, SourceKind, SourceName, Topic};
use units::Mono;

use crate::engine::Engine;
use crate::io::{Now, Output};
use crate::source::{Source, SourceId};
use crate::timer::Timer;

/// The polling interval of the servers after their burst, log2 s.
const POLL: i8 = 6;

/// How long names may take to become addresses, seconds.
const NAMES_S: f64 = 10.0;

/// The wait between the end of the measurement and the normal operation, seconds (observed with chronyd 4.9).
const PAUSE_S: f64 = 2.0;

/// After so many polls a source has said what it has to say …
const POLLS_TO_SETTLE: u8 = 7;
/// … and after so many of which none was answered (both observed with chronyd 4.9).
const POLLS_UNANSWERED: u8 = 5;

/// The first measurement, while it is made.
#[derive(Debug, Clone)]
pub(crate) struct InitialMeasurement {
    step: InitialStep,
    /// Names without an address are not waited for any longer.
    is_naming_over: bool,
    /// It has its result, or has failed.
    is_over: bool,
}

impl Engine {
    /// Begins with the first measurement, if one is asked for; otherwise with the normal operation.
    pub(crate) fn begin(&mut self, now: Now) {
        let step = self.config.initial_step.take();
        let Some(step) = step.filter(|step| !step.servers.is_empty()) else {
            return self.begin_normal_operation(now);
        };
        let servers = step.servers.iter().map(|name| source(name)).collect();
        self.initial = Some(InitialMeasurement {
            step,
            is_naming_over: false,
            is_over: false,
        });
        self.ask(now, |sources, tools| sources.add_configured(servers, tools));
        self.timers.set(Timer::Initial, now.mono.plus_seconds(NAMES_S));
    }

    /// Whether the sources asked now are those of the first measurement.
    pub(crate) fn is_measuring_first(&self) -> bool {
        self.initial.is_some()
    }

    /// The timer of the first measurement fired.
    pub(crate) fn initial_due(&mut self, now: Now) {
        let Some(initial) = &mut self.initial else { return };
        if initial.is_over {
            self.initial = None;
            self.ask(now, |sources, tools| sources.remove_all(tools));
            self.begin_normal_operation(now);
            return;
        }
        initial.is_naming_over = true;
        for source in self.sources.values().filter(|source| source.address.is_none()) {
            let name = &source.config.name;
            let text = format!("Could not resolve address of initstepslew server {name}");
            self.out.warn(text);
        }
        self.give_up_if_settled(now.mono);
    }

    /// The servers agree that the clock is off by so much, true time − system clock, seconds.
    pub(crate) fn finish_initial(&mut self, now: Mono, offset_s: f64) {
        let Some(initial) = self.initial.as_mut().filter(|initial| !initial.is_over) else {
            return;
        };
        initial.is_over = true;
        let is_step = offset_s.abs() > initial.step.threshold_s;
        let side = if offset_s < 0.0 { "fast" } else { "slow" };
        let how = if is_step { "step" } else { "slew" };
        let size_s = offset_s.abs();
        self.out.info_about(
            Topic::ClockEvent,
            format!("System's initial offset : {size_s:.6} seconds {side} of true ({how})"),
        );
        if !is_step {
            let (timeline, timers) = (&self.timeline, &mut self.timers);
            self.discipline
                .add_offset_s(now, offset_s, timeline, timers, &mut self.out);
        } else if self.options.observe {
            self.out.warn("Could not step system clock");
        } else {
            self.discipline
                .step_quietly(now, offset_s, &mut self.timeline, &mut self.timers, &mut self.out);
            self.move_origin();
        }
        self.timers.set(Timer::Initial, now.plus_seconds(PAUSE_S));
    }

    /// A daemon that measures once ends when there is nobody to ask.
    pub(crate) fn give_up_if_alone(&mut self, now: Mono) {
        if self.options.once.is_some() && self.sources.is_empty() && self.ref_clocks.is_empty() {
            self.give_up_if_settled(now);
        }
    }

    /// Ends a measurement to which no source has anything to add and on which they do not agree: the first one, or
    /// the only one of a daemon that measures once.
    pub(crate) fn give_up_if_settled(&mut self, now: Mono) {
        let is_naming_over = self
            .initial
            .as_ref()
            .is_some_and(|initial| initial.is_naming_over);
        let is_settled = |(id, source): (&SourceId, &Source)| match source.address {
            Some(_) if self.sources.is_refused(*id) => true,
            Some(_) => {
                let is_silent = source.reach == 0 && source.polls >= POLLS_UNANSWERED;
                is_silent || source.polls >= POLLS_TO_SETTLE
            }
            None => is_naming_over,
        };
        if !self.sources.iter().all(is_settled) {
            return;
        }
        if self.options.once.is_some() {
            self.out.warn("No suitable source for synchronisation");
            self.out.push(Output::Exit { status: 1 });
        } else if let Some(initial) = self.initial.as_mut().filter(|initial| !initial.is_over) {
            initial.is_over = true;
            self.out.warn("No suitable source for initstepslew");
            self.timers.set(Timer::Initial, now.plus_seconds(PAUSE_S));
        }
    }
}

/// A server that is asked in a burst.
fn source(name: &str) -> SourceConfig {
    let name = match name.parse() {
        Ok(address) => SourceName::Address(address),
        Err(_) => SourceName::Name(name.to_owned()),
    };
    SourceConfig {
        iburst: true,
        min_poll: POLL,
        max_poll: POLL,
        ..SourceConfig::new(SourceKind::Server, name)
    }
}

#[cfg(test)]
mod tests {
    use conf::config::Config;

    use super::*;
    use crate::stage::{Server, Stage, server, silence, well};

    fn play(servers: &[&str], server: Server, until_s: f64) -> Stage {
        let config = Config {
            sources: vec![self::server("192.0.2.9")],
            initial_step: Some(InitialStep {
                threshold_s: 5.0,
                servers: servers.iter().map(|name| (*name).to_owned()).collect(),
            }),
            ..Config::default()
        };
        let mut stage = Stage::new(config, server);
        stage.run_until(until_s);
        stage
    }

    /// A server whose clock is wrong by so much.
    fn wrong_by(seconds: f64) -> Server {
        let mut server = well();
        Box::new(move |to, bytes, came| server(to, bytes, came.plus_seconds(seconds)))
    }

    #[test]
    fn its_servers_are_asked_alone_and_then_those_of_the_configuration() {
        let stage = play(&["192.0.2.1"], well(), 30.0);
        let asked: Vec<String> = stage
            .requests
            .iter()
            .map(|request| request.to.ip().to_string())
            .collect();
        assert_eq!(asked, ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.9"]);
        assert_eq!(stage.said("System's initial offset : 0.0000"), 1);
        assert_eq!(stage.said("Selected source"), 0);
        assert_eq!(stage.engine.sources.len(), 1);
        assert!(stage.engine.discipline.reference().is_none());
    }

    #[test]
    fn a_small_offset_is_slewed_and_a_large_one_stepped() {
        let stage = play(&["192.0.2.1"], wrong_by(-4.0), 5.0);
        assert_eq!(stage.said(" seconds fast of true (slew)"), 1);
        let stage = play(&["192.0.2.1"], wrong_by(6.0), 5.0);
        assert_eq!(stage.said(" seconds slow of true (step)"), 1);
        assert_eq!(
            stage.said("Could not step system clock"),
            1,
            "the stage only watches"
        );
    }

    #[test]
    fn silence_ends_it_after_a_burst() {
        let stage = play(&["192.0.2.1", "192.0.2.2"], silence(), 20.0);
        let ended = stage
            .log
            .iter()
            .find(|(_, _, text)| text == "No suitable source for initstepslew");
        assert!(ended.is_some_and(|(at_s, ..)| (10.0..11.0).contains(at_s)));
        assert!(
            stage
                .requests
                .iter()
                .any(|request| request.to.ip().to_string() == "192.0.2.9")
        );
    }

    #[test]
    fn disagreement_ends_it_after_seven_polls() {
        let (mut honest, mut liar) = (well(), wrong_by(10.0));
        let liars: Server = Box::new(move |to, bytes, came| {
            let server = if to.ip().to_string() == "192.0.2.1" {
                &mut honest
            } else {
                &mut liar
            };
            server(to, bytes, came)
        });
        let stage = play(&["192.0.2.1", "192.0.2.2"], liars, 230.0);
        let ended = stage
            .log
            .iter()
            .find(|(_, _, text)| text == "No suitable source for initstepslew");
        assert!(
            ended.is_some_and(|(at_s, ..)| (195.0..205.0).contains(at_s)),
            "{:?}",
            stage.log
        );
        assert_eq!(stage.said("Can't synchronise"), 0);
    }

    #[test]
    fn names_are_not_waited_for_without_end() {
        let mut stage = play(&["nowhere"], silence(), 5.0);
        stage.resolve(&[]);
        stage.run_until(30.0);
        assert_eq!(
            stage.said("Could not resolve address of initstepslew server nowhere"),
            1
        );
        assert_eq!(stage.said("No suitable source for initstepslew"), 1);
        assert_eq!(stage.requests.len(), 1);
    }
}
