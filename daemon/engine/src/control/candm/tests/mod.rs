//! An engine, somebody who asks, and what they get.

mod clock;
mod properties;
mod protocol;
mod sources;

use std::net::IpAddr;

use conf::config::{Config, SourceConfig, SourceKind, SourceName};
use units::{Mono, UnixTime};
use wire::candm::{Command, Reply, ReplyError, Request, Status};

use crate::io::{ClockCommand, ControlPeer, Input, Now, Output};
use crate::{Engine, Options};

/// 2026-11-20 10:00:00 UTC.
const START: i64 = 1_795_168_800;

const UNIX: ControlPeer = ControlPeer::Unix(7);

/// What somebody got.
#[derive(Debug, Clone, PartialEq)]
enum Got {
    Nothing,
    Refusal(Status),
    Reply(Reply),
}

/// An engine under test.
struct Bench {
    engine: Engine,
    seconds: f64,
    /// By how much the clock was stepped, seconds.
    stepped_s: f64,
    /// What waits to be done.
    waiting: Vec<Output>,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self::with(config, false)
    }

    fn with(config: Config, observe: bool) -> Self {
        let options = Options {
            observe,
            ..Self::options()
        };
        let engine = Engine::new(config, options, now(0.0), Box::new(|| 0x5555_5555_5555_5555));
        let mut bench = Self {
            engine,
            seconds: 0.0,
            stepped_s: 0.0,
            waiting: Vec::new(),
        };
        bench.outputs();
        bench
    }

    fn options() -> Options {
        Options {
            observe: false,
            drift: None,
            precision_s: 1e-7,
            era_start: START,
            leap_table: None,
            once: None,
            rtc: None,
            tells: false,
            set_at_once: false,
            about: crate::control::mode6::About::default(),
        }
    }

    /// One server that answers nothing, at 192.0.2.1, and one at 2001:db8::1.
    fn with_servers() -> Self {
        let sources = vec![server("192.0.2.1"), server("2001:db8::1")];
        Self::new(Config {
            sources,
            ..Config::default()
        })
    }

    fn now(&self) -> Now {
        let now = now(self.seconds);
        Now {
            wall: now.wall.plus_seconds(self.stepped_s),
            ..now
        }
    }

    /// Lets time pass: what is due is done when it is due.
    fn run(&mut self, until_s: f64) {
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= now(until_s).mono) {
            self.seconds = due.seconds_since(now(0.0).mono).max(self.seconds);
            self.engine.handle_timeout(self.now());
            self.drain();
        }
        self.seconds = until_s;
    }

    fn send(&mut self, peer: &ControlPeer, bytes: &[u8]) -> Option<Vec<u8>> {
        self.engine
            .handle_input(self.now(), Input::Control { peer: *peer, bytes });
        self.drain();
        let is_reply = |output: &Output| matches!(output, Output::ControlReply { .. });
        let place = self.waiting.iter().position(is_reply)?;
        let Output::ControlReply { peer: to, bytes } = self.waiting.remove(place) else {
            return None;
        };
        assert_eq!(to, *peer);
        assert!(
            !self.waiting.iter().any(is_reply),
            "one request has one reply at most"
        );
        Some(bytes)
    }

    fn ask_as(&mut self, peer: &ControlPeer, request: &Request) -> Got {
        let Some(bytes) = self.send(peer, &request.encode(5)) else {
            return Got::Nothing;
        };
        match Reply::decode(&bytes, request.command(), 5) {
            Ok(reply) => Got::Reply(reply),
            Err(ReplyError::Status(status)) => Got::Refusal(status),
            Err(error) => panic!("{request:?}: {error}"),
        }
    }

    fn ask(&mut self, request: &Request) -> Got {
        self.ask_as(&UNIX, request)
    }

    fn done(&mut self, request: &Request) {
        assert_eq!(self.ask(request), Got::Reply(Reply::Done), "{request:?}");
    }

    fn refused(&mut self, request: &Request, status: Status) {
        assert_eq!(self.ask(request), Got::Refusal(status), "{request:?}");
    }

    /// Takes what waits to be done.
    fn outputs(&mut self) -> Vec<Output> {
        self.drain();
        std::mem::take(&mut self.waiting)
    }

    /// The clock does at once what it is told.
    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Clock(ClockCommand::SetFrequency { ppm }) => {
                    self.engine
                        .handle_input(self.now(), Input::FrequencyApplied { ppm });
                }
                Output::Clock(ClockCommand::Step { by_s }) => self.stepped_s += by_s,
                _ => {}
            }
            self.waiting.push(output);
        }
    }

    /// The lines for the log among what waits to be done.
    fn log(&mut self) -> Vec<String> {
        let lines = self.outputs().into_iter().filter_map(|output| match output {
            Output::Log { text, .. } => Some(text),
            _ => None,
        });
        lines.collect()
    }
}

fn now(seconds: f64) -> Now {
    let mono = Mono::ZERO.plus_seconds(1000.0 + seconds);
    Now {
        mono,
        wall: UnixTime::from_seconds(START).plus_seconds(seconds),
        slept_ns: 0,
    }
}

fn server(address: &str) -> SourceConfig {
    SourceConfig::new(SourceKind::Server, SourceName::Address(ip(address)))
}

fn ip(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

fn udp(from: &str) -> ControlPeer {
    ControlPeer::Udp {
        from: from.parse().expect("a socket address"),
        to: Some(ip("127.0.0.1")),
    }
}

/// A request with this header and nothing but zeros after it.
fn blank(command: u16, length: usize) -> Vec<u8> {
    let mut bytes = vec![6, 1, 0, 0];
    bytes.extend(command.to_be_bytes());
    bytes.extend([0, 0, 0x1e, 0x9c, 0x7c, 0x6c]);
    bytes.resize(length, 0);
    bytes
}

fn status_of(reply: &[u8]) -> u16 {
    u16::from_be_bytes([reply[8], reply[9]])
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("digits"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits"))
        .collect()
}

fn every_command() -> impl Iterator<Item = Command> {
    Command::ALL.iter().copied()
}
