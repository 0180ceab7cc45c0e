//! What changes while the daemon runs: its configuration, and whether it steers the clock.

use conf::config::Config;

use crate::Engine;
use crate::control::Control;
use crate::io::{Now, Output};
use crate::server::access::Access;

impl Engine {
    /// Takes from a configuration what can change: sources, constraints, who may ask and how often. Keys and the files of source
    /// directories are read again. What is the same as before goes on as if nothing had happened; what operators have added
    /// by commands to the sources stays, and what they have added to the rules does not.
    pub(crate) fn reconfigure(&mut self, now: Now, config: Config) {
        if self.is_begun {
            let sources = config.sources;
            self.ask(now, |all, tools| all.configured_again(sources, tools));
        } else {
            // They are asked after the first measurement.
            self.config.sources = config.sources;
        }
        self.config.server.access = config.server.access;
        self.config.server.restrictions = config.server.restrictions;
        self.config.server.rate_limit = config.server.rate_limit;
        self.config.control.access = config.control.access;
        self.config.control.rate_limit = config.control.rate_limit;
        self.take_rules();
        if self.config.key_file.is_some() {
            self.out.push(Output::ReadKeys);
        }
        self.ask(now, |sources, tools| sources.reload(tools));
        self.configure_constraints(now, &config.constraints.from);
    }

    /// Puts the rules of the configuration into force.
    fn take_rules(&mut self) {
        let server = &self.config.server;
        self.server.access = Access::new();
        for rule in &server.access {
            // The configuration has checked its subnets.
            let _checked = self.server.access.set(rule);
        }
        self.server.restrictions.clone_from(&server.restrictions);
        self.server.rate_limit = server.rate_limit;
        self.control.take_rules(Control::new(&self.config.control));
        self.look_up_rules();
        self.open_for_clients();
    }

    /// Steers the clock from now on, or only measures it. `rate` is that at which the kernel runs the clock now, as a part.
    ///
    /// What was measured while somebody else steered is worth nothing: samples are told on the scale of an oscillator whose
    /// rate is known.
    pub(crate) fn set_steering(&mut self, now: Now, steers: bool, rate: f64) {
        if steers != self.options.observe {
            return;
        }
        self.options.observe = !steers;
        let change = rate - self.timeline.rate();
        self.timeline.set_rate(now.mono, rate);
        self.discipline.set_observe(!steers, change);
        let prior = self.prior();
        self.sources.forget(prior);
        self.forget_rtc();
        self.discipline.forget_phase(&mut self.timers, &mut self.out);
        self.sources.ask_often();
    }
}

#[cfg(test)]
mod tests {
    use conf::config::{AccessRule, Family, SourceConfig, SourceKind, SourceName, Subnet, Verdict};
    use units::{Mono, UnixTime};

    use super::*;
    use crate::Options;
    use crate::control::mode6::About;
    use crate::io::{ClockCommand, Input, SocketUse};

    const NOW: Now = Now {
        mono: Mono::ZERO,
        wall: UnixTime::from_seconds(1_795_168_800),
        slept_ns: 0,
    };

    fn config(sources: &[&str]) -> Config {
        let source = |name: &&str| {
            let name = name
                .parse()
                .map_or_else(|_| SourceName::Name((*name).to_owned()), SourceName::Address);
            SourceConfig::new(SourceKind::Server, name)
        };
        Config {
            sources: sources.iter().map(source).collect(),
            ..Config::default()
        }
    }

    fn options(observe: bool) -> Options {
        Options {
            observe,
            drift: None,
            precision_s: 1e-7,
            era_start: 0,
            leap_table: None,
            once: None,
            rtc: None,
            set_at_once: false,
            tells: false,
            about: About::default(),
        }
    }

    fn engine(config: Config, observe: bool) -> Engine {
        let mut engine = Engine::new(config, options(observe), NOW, Box::new(|| 1));
        while engine.poll_output().is_some() {}
        engine
    }

    fn outputs(engine: &mut Engine) -> Vec<Output> {
        std::iter::from_fn(|| engine.poll_output()).collect()
    }

    fn names(engine: &Engine) -> Vec<String> {
        engine
            .sources
            .values()
            .map(|source| source.config.name.to_string())
            .collect()
    }

    fn allow(subnet: Subnet) -> AccessRule {
        AccessRule {
            verdict: Verdict::Allow,
            all: false,
            subnet,
        }
    }

    #[test]
    fn sources_come_and_go_and_those_that_are_the_same_stay() {
        let mut engine = engine(config(&["192.0.2.1", "192.0.2.2", "a.example"]), true);
        let kept = engine.sources.at("192.0.2.2".parse().unwrap());
        let new = config(&["192.0.2.2", "192.0.2.3", "a.example", "192.0.2.3"]);
        engine.handle_input(NOW, Input::Configuration(Box::new(new)));
        assert_eq!(names(&engine), ["192.0.2.2", "a.example", "192.0.2.3"]);
        assert_eq!(engine.sources.at("192.0.2.2".parse().unwrap()), kept);
        let said: Vec<String> = outputs(&mut engine)
            .into_iter()
            .filter_map(|output| match output {
                Output::Log { severity, text, .. } if severity > crate::io::Severity::Debug => Some(text),
                _ => None,
            })
            .collect();
        assert_eq!(
            said,
            [
                "Removed source 192.0.2.1",
                "Added source 192.0.2.3",
                "Could not add source 192.0.2.3 : Already in use"
            ]
        );
        engine.handle_input(
            NOW,
            Input::Configuration(Box::new(config(&["192.0.2.2", "192.0.2.3", "a.example"]))),
        );
        assert_eq!(outputs(&mut engine), [], "nothing has changed");
    }

    #[test]
    fn rules_are_those_of_the_new_file() {
        let mut engine = engine(config(&[]), true);
        let client = "192.0.2.9".parse().unwrap();
        assert!(!engine.server.is_allowed(client));
        let mut new = config(&[]);
        new.server.access = vec![
            allow(Subnet::prefix("192.0.2.0".parse().unwrap(), 24).unwrap()),
            allow(Subnet::Name("b.example".to_owned())),
        ];
        engine.handle_input(NOW, Input::Configuration(Box::new(new)));
        assert!(engine.server.is_allowed(client));
        let output = outputs(&mut engine);
        let is_opened = |output: &Output| matches!(output, Output::Open { .. });
        assert!(output.iter().any(is_opened), "{output:?}");
        let lookup = |output: &[Output]| {
            output.iter().find_map(|output| match output {
                Output::Resolve { lookup, name } if name.ends_with(".example") => Some(*lookup),
                _ => None,
            })
        };
        let old = lookup(&output).unwrap();

        let mut new = config(&[]);
        new.server.access = vec![allow(Subnet::Name("c.example".to_owned()))];
        engine.handle_input(NOW, Input::Configuration(Box::new(new)));
        assert!(!engine.server.is_allowed(client));
        let output = outputs(&mut engine);
        assert!(
            output.iter().any(|output| matches!(output, Output::Close { .. })),
            "{output:?}"
        );
        // The answer to the question of before is about a name that no rule has any more.
        assert_ne!(lookup(&output), Some(old));
        engine.handle_input(
            NOW,
            Input::Resolved {
                lookup: old,
                answer: Ok(vec![client]),
            },
        );
        assert!(!engine.server.is_allowed(client));
    }

    #[test]
    fn names_in_rules_keep_their_addresses_until_they_are_looked_up() {
        let (first, second) = ("192.0.2.9".parse().unwrap(), "192.0.2.10".parse().unwrap());
        let everybody = Subnet::prefix("0.0.0.0".parse().unwrap(), 0).unwrap();
        let named = Subnet::Name("a.example".to_owned());
        let with_access = |verdict| {
            let mut with = config(&[]);
            let is_deny = verdict == Verdict::Deny;
            let all = is_deny.then(|| allow(everybody.clone()));
            let rule = AccessRule {
                verdict,
                ..allow(named.clone())
            };
            with.server.access = all.into_iter().chain([rule]).collect();
            with
        };
        let with_flags = |verdict| {
            let mut with = config(&[]);
            let rules = with.server.restrictions.get_or_insert_default();
            rules.entry(&everybody, false).ignore = verdict == Verdict::Allow;
            rules.entry(&named, false).ignore = verdict == Verdict::Deny;
            with
        };
        let verdicts = [Verdict::Allow, Verdict::Deny];
        let mut configs: Vec<(Verdict, Config)> = Vec::new();
        for verdict in verdicts {
            configs.extend([(verdict, with_access(verdict)), (verdict, with_flags(verdict))]);
        }
        for (verdict, config) in configs {
            let is_allow = verdict == Verdict::Allow;
            let mut engine = Engine::new(config.clone(), options(true), NOW, Box::new(|| 1));
            let lookup_of = |engine: &mut Engine| {
                let lookup = outputs(engine).into_iter().find_map(|output| match output {
                    Output::Resolve { lookup, name } if name == "a.example" => Some(lookup),
                    _ => None,
                });
                lookup.expect("the name is looked up")
            };
            engine.handle_timeout(NOW);
            let lookup = lookup_of(&mut engine);
            let resolved = |lookup, addresses: &[std::net::IpAddr]| Input::Resolved {
                lookup,
                answer: Ok(addresses.to_vec()),
            };
            engine.handle_input(NOW, resolved(lookup, &[first]));
            assert_eq!(engine.server.is_allowed(first), is_allow, "{config:?}");
            assert_eq!(engine.server.is_allowed(second), !is_allow, "{config:?}");

            engine.handle_input(NOW, Input::Configuration(Box::new(config.clone())));
            assert_eq!(engine.server.is_allowed(first), is_allow, "{config:?}");
            let lookup = lookup_of(&mut engine);
            let none = Input::Resolved {
                lookup,
                answer: Err(crate::io::LookupError::TryAgain),
            };
            engine.handle_input(NOW, none);
            assert_eq!(engine.server.is_allowed(first), is_allow, "{config:?}");

            engine.handle_input(NOW, Input::Configuration(Box::new(config.clone())));
            let lookup = lookup_of(&mut engine);
            engine.handle_input(NOW, resolved(lookup, &[second]));
            assert_eq!(engine.server.is_allowed(second), is_allow, "{config:?}");
            // Nobody is let in by the name that another has by now.
            assert!(!is_allow || !engine.server.is_allowed(first), "{config:?}");

            // What no rule names any more is forgotten.
            let mut without = config.clone();
            without.server.access.retain(|rule| rule.subnet != named);
            if let Some(rules) = &mut without.server.restrictions {
                rules.rules.retain(|rule| rule.subnet != named);
            }
            engine.handle_input(NOW, Input::Configuration(Box::new(without)));
            assert_eq!(engine.server.is_allowed(second), !is_allow, "{config:?}");
        }
    }

    #[test]
    fn clients_of_one_family_are_answered_if_that_was_asked_for() {
        let families = [
            (None, vec![false, true]),
            (Some(Family::V4), vec![false]),
            (Some(Family::V6), vec![true]),
        ];
        for (family, expected) in families {
            let mut config = config(&[]);
            config.family = family;
            config.server.access = vec![allow(Subnet::Everyone)];
            let mut engine = Engine::new(config.clone(), options(true), NOW, Box::new(|| 1));
            engine.handle_timeout(NOW);
            engine.handle_input(NOW, Input::Configuration(Box::new(config)));
            let opened = outputs(&mut engine)
                .into_iter()
                .filter_map(|output| match output {
                    Output::Open {
                        purpose: SocketUse::Server { ipv6, .. },
                        ..
                    } => Some(ipv6),
                    _ => None,
                });
            assert_eq!(opened.collect::<Vec<_>>(), expected, "{family:?}");
        }
    }

    #[test]
    fn a_clock_that_somebody_else_keeps_is_not_touched() {
        let mut engine = engine(config(&["192.0.2.1"]), false);
        let steering = |steers, rate_ppm| Input::Steering { steers, rate_ppm };
        let touched = |engine: &mut Engine| -> Vec<ClockCommand> {
            let commands = outputs(engine).into_iter().filter_map(|output| match output {
                Output::Clock(command) => Some(command),
                _ => None,
            });
            commands.collect()
        };
        engine.handle_input(NOW, steering(false, 7.0));
        engine.tell_kernel(NOW.mono);
        assert_eq!(touched(&mut engine), []);
        assert_eq!(engine.timeline.rate(), 7e-6);
        engine.handle_input(NOW, steering(false, 9.0));
        assert_eq!(engine.timeline.rate(), 7e-6, "nothing has changed");
        engine.handle_input(NOW, steering(true, 7.0));
        let [ClockCommand::SetFrequency { ppm }] = touched(&mut engine)[..] else {
            panic!("the rate is set when the clock is taken over");
        };
        assert_eq!(ppm, 0.0, "the oscillator's rate is not known yet");
    }
}
