//! For tests: an engine on a clock that only steps move unless it is steered, a network that takes a while, and servers
//! written as closures.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use conf::config::{Config, SourceConfig, SourceKind, SourceName};
use units::{Leap, Mode, Mono, NtpShort, PollInterval, ReferenceId, Stratum, UnixTime};
use wire::ntp::{Datagram, Header, Packet};

use crate::control::mode6::About;
use crate::io::{
    ClockCommand, ConstraintId, Event, Input, KernelClock, LogFile, LookupError, LookupId, Now, Output,
    Severity, SocketId, SocketUse, Stamp, StampSource,
};
use crate::source::{Source, SourceId};
use crate::sources::{Sources, Tools};
use crate::{Engine, Options};

/// The system clock when a play begins.
pub(crate) const BEGIN_S: i64 = 1_262_304_000;

/// One way takes so long, seconds.
pub(crate) const WAY_S: f64 = 0.001;

/// What a server makes of a request that reaches it at some time: its answers.
pub(crate) type Server = Box<dyn FnMut(SocketAddr, &[u8], UnixTime) -> Vec<Vec<u8>>>;

/// A request that was sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at_s: f64,
    pub(crate) to: SocketAddr,
    pub(crate) header: Header,
    pub(crate) bytes: Vec<u8>,
    pub(crate) socket: SocketId,
}

/// The engine and all around it.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) requests: Vec<Request>,
    pub(crate) log: Vec<(f64, Severity, String)>,
    pub(crate) lines: Vec<(LogFile, String)>,
    /// Lines of the files of statistics.
    pub(crate) statistics: Vec<(conf::config::StatisticsKind, String)>,
    pub(crate) lookups: VecDeque<(f64, LookupId, String)>,
    /// Requests to constraints: when, the request, where, and whether the clock was good for certificates.
    pub(crate) constraints: Vec<(f64, ConstraintId, String, bool)>,
    pub(crate) dumps: Vec<(String, String)>,
    pub(crate) asked_for_files: usize,
    /// The status with which the program is to end.
    pub(crate) ended: Option<u8>,
    pub(crate) ref_clocks_asked: Vec<u32>,
    pub(crate) sockets: BTreeMap<SocketId, SocketUse>,
    /// Control messages that were sent, in the order in which they left.
    pub(crate) sent_to_clients: Vec<(SocketAddr, Vec<u8>)>,
    /// What was told, and when.
    pub(crate) events: Vec<(f64, Event)>,
    /// The steps of the clock that were asked for and made, seconds.
    pub(crate) steps_s: Vec<f64>,
    /// When the daemon was ready.
    pub(crate) ready_at_s: Option<f64>,
    /// What the kernel says of its clock, if it does, and how often it was asked.
    pub(crate) kernel_clock: Option<KernelClock>,
    pub(crate) kernel_readings: u32,
    /// There is a way to the sources.
    pub(crate) has_route: bool,
    /// So much later than usual the answers come, in turn, seconds.
    pub(crate) late_s: Vec<f64>,
    /// So long answers lie there before they are read, seconds.
    pub(crate) read_after_s: f64,
    /// Sockets that need not be read, and when that was said.
    pub(crate) read_later: Vec<(f64, SocketId)>,
    /// The clock goes as it is told to and as its oscillator does: it gains so much by itself, as a part. Without it only
    /// steps move the clock.
    pub(crate) gain: Option<f64>,
    /// The last rate that a clock that goes as it is told to was given, ppm.
    pub(crate) rate_ppm: f64,
    /// The frequencies that were to be written to the drift file, ppm.
    pub(crate) drifts_ppm: Vec<f64>,
    /// The clock cannot be stepped.
    pub(crate) refuses_steps: bool,
    /// By how much others have moved the clock, seconds.
    moved_s: f64,
    server: Server,
    underway: BTreeMap<(i64, usize), (SocketId, SocketAddr, Vec<u8>)>,
    sequence: usize,
    now_ns: i64,
    true_ns: i64,
}

impl Stage {
    pub(crate) fn new(config: Config, server: Server) -> Self {
        Self::with(config, server, |_| {})
    }

    /// A stage with other options than that the clock is only observed.
    pub(crate) fn with(config: Config, server: Server, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            observe: true,
            drift: None,
            precision_s: 1e-7,
            era_start: 0,
            leap_table: None,
            once: None,
            rtc: None,
            tells: false,
            set_at_once: false,
            about: About::default(),
        };
        change(&mut options);
        let mut random = 1_u64;
        let entropy = Box::new(move || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            random ^ (random >> 29)
        });
        let mut stage = Self {
            engine: Engine::new(config, options, at(0), entropy),
            requests: Vec::new(),
            log: Vec::new(),
            lines: Vec::new(),
            statistics: Vec::new(),
            lookups: VecDeque::new(),
            constraints: Vec::new(),
            dumps: Vec::new(),
            asked_for_files: 0,
            ended: None,
            ref_clocks_asked: Vec::new(),
            sockets: BTreeMap::new(),
            sent_to_clients: Vec::new(),
            events: Vec::new(),
            steps_s: Vec::new(),
            ready_at_s: None,
            kernel_clock: None,
            kernel_readings: 0,
            has_route: true,
            late_s: vec![0.0],
            read_after_s: 0.0,
            read_later: Vec::new(),
            gain: None,
            rate_ppm: 0.0,
            drifts_ppm: Vec::new(),
            refuses_steps: false,
            moved_s: 0.0,
            server,
            underway: BTreeMap::new(),
            sequence: 0,
            now_ns: 0,
            true_ns: 0,
        };
        stage.carry_out();
        stage
    }

    /// Plays until this second.
    pub(crate) fn run_until(&mut self, until_s: f64) {
        let until_ns = units::rounding::nearest_i64(until_s * 1e9);
        loop {
            let timer = self.engine.poll_timeout().map_or(i64::MAX, Mono::as_nanos);
            let arrival = self.underway.first_key_value().map_or(i64::MAX, |(key, _)| key.0);
            let next = timer.min(arrival);
            if next > until_ns || self.ended.is_some() {
                break;
            }
            self.pass_until(next.max(self.now_ns));
            if arrival <= timer
                && let Some((_, (socket, from, bytes))) = self.underway.pop_first()
            {
                if self.sockets.contains_key(&socket) {
                    self.receive(socket, from, &bytes);
                }
            } else {
                self.engine.handle_timeout(self.now());
            }
            self.carry_out();
        }
        self.pass_until(until_ns);
    }

    fn pass_until(&mut self, until_ns: i64) {
        let by_ns = until_ns - self.now_ns;
        self.now_ns = until_ns;
        self.true_ns += match self.gain {
            Some(gain) => {
                let by_s = units::rounding::f64_from_i64(by_ns) / (1.0 + self.rate_ppm / 1e6 + gain);
                units::rounding::nearest_i64(by_s)
            }
            None => by_ns,
        };
    }

    /// Somebody else steps the clock, and the daemon wakes up.
    pub(crate) fn move_clock(&mut self, by_s: f64) {
        self.moved_s += by_s;
        self.engine.handle_timeout(self.now());
        self.carry_out();
    }

    /// The system clock − true time, seconds.
    pub(crate) fn error_s(&self) -> f64 {
        self.now().wall.seconds_since(at(self.true_ns).wall)
    }

    /// Both clocks now: the system clock was right at the beginning.
    pub(crate) fn now(&self) -> Now {
        let mono = at(self.now_ns);
        Now {
            wall: mono
                .wall
                .plus_seconds(self.steps_s.iter().sum::<f64>() + self.moved_s),
            ..mono
        }
    }

    pub(crate) fn tell(&mut self, input: Input<'_>) {
        self.engine.handle_input(self.now(), input);
        self.carry_out();
    }

    pub(crate) fn receive(&mut self, socket: SocketId, from: SocketAddr, bytes: &[u8]) {
        let received = Stamp {
            at: self.now().wall.plus_seconds(-self.read_after_s),
            source: StampSource::Kernel,
        };
        let to = Some(ours());
        self.tell(Input::Datagram {
            socket,
            from,
            to,
            received,
            bytes,
        });
    }

    /// Does something with the sources.
    pub(crate) fn act<R>(&mut self, act: impl FnOnce(&mut Sources, &mut Tools<'_>) -> R) -> R {
        let result = self.engine.ask(self.now(), act);
        self.carry_out();
        result
    }

    /// Answers the oldest lookup with these addresses; says what was asked for.
    pub(crate) fn resolve(&mut self, addresses: &[&str]) -> String {
        let (_, lookup, name) = self.lookups.pop_front().expect("a name is being looked up");
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let answer = if addresses.is_empty() {
            Err(LookupError::NotFound)
        } else {
            Ok(addresses)
        };
        self.tell(Input::Resolved { lookup, answer });
        name
    }

    /// The only source, or the first.
    pub(crate) fn source(&self) -> &Source {
        self.engine.sources.values().next().expect("there is a source")
    }

    pub(crate) fn id_at(&self, address: &str) -> SourceId {
        self.engine
            .sources
            .at(address.parse().unwrap())
            .expect("a source is there")
    }

    /// The places of all sources, in their order.
    pub(crate) fn places(&self) -> Vec<String> {
        self.engine.sources.values().map(Source::place).collect()
    }

    /// The times between requests without what is random in them, whole seconds.
    pub(crate) fn gaps(&self) -> Vec<i64> {
        let meant = [1, 2, 4, 8, 16, 32, 40, 64, 128, 256, 512, 1024];
        let is_near = |gap_s: f64, meant: i64| {
            let meant_s = units::rounding::f64_from_i64(meant);
            (0.9 * meant_s - 1e-6..1.1 * meant_s + 1e-6).contains(&gap_s)
        };
        let times: Vec<f64> = self.requests.iter().map(|request| request.at_s).collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.map(|gap| meant.into_iter().find(|meant| is_near(gap, *meant)).unwrap_or(-1))
            .collect()
    }

    /// What was logged for operators, and how often something with these words.
    pub(crate) fn said(&self, words: &str) -> usize {
        let visible = self
            .log
            .iter()
            .filter(|(_, severity, _)| *severity > Severity::Debug);
        visible.filter(|(_, _, text)| text.contains(words)).count()
    }

    pub(crate) fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            let at_s = Mono::from_nanos(self.now_ns).seconds_since(Mono::ZERO);
            match output {
                Output::Open { socket, purpose } => {
                    assert_eq!(self.sockets.insert(socket, purpose), None);
                }
                Output::Close { socket } => {
                    assert!(self.sockets.remove(&socket).is_some());
                }
                Output::Datagram {
                    socket, to, bytes, ..
                } => self.deliver(at_s, socket, to, bytes),
                Output::ReadLater { socket, .. } => self.read_later.push((at_s, socket)),
                Output::Log { severity, text, .. } => self.log.push((at_s, severity, text)),
                Output::LogFile { file, line } => self.lines.push((file, line)),
                Output::Statistics { kind, line, .. } => self.statistics.push((kind, line)),
                Output::Resolve { lookup, name } => self.lookups.push_back((at_s, lookup, name)),
                Output::AskConstraint {
                    request,
                    address,
                    url,
                    true_time,
                } => {
                    let asked = format!("{address} {url}");
                    self.constraints.push((at_s, request, asked, true_time.is_some()));
                }
                Output::WriteDrift { frequency_ppm, .. } => self.drifts_ppm.push(frequency_ppm),
                Output::WriteDump { source, text } => self.dumps.push((source, text)),
                Output::ReadRefClock { ref_clock } => self.ref_clocks_asked.push(ref_clock),
                Output::Exit { status } => self.ended = Some(status),
                Output::ReadSourceFiles => self.asked_for_files += 1,
                Output::Clock(ClockCommand::Step { .. }) if self.refuses_steps => {
                    let reason = "Operation not permitted";
                    self.engine
                        .handle_input(self.now(), Input::ClockRefused { reason });
                }
                Output::Clock(ClockCommand::Step { by_s }) => self.steps_s.push(by_s),
                Output::Clock(ClockCommand::SetFrequency { ppm }) if self.gain.is_some() => {
                    self.rate_ppm = ppm;
                    self.engine
                        .handle_input(self.now(), Input::FrequencyApplied { ppm });
                }
                Output::FindRoute { source, .. } => {
                    let exists = self.has_route;
                    self.engine
                        .handle_input(self.now(), Input::Route { source, exists });
                }
                Output::ReadKernelClock => {
                    self.kernel_readings += 1;
                    let reading = self.kernel_clock;
                    self.engine.handle_input(self.now(), Input::KernelClock(reading));
                }
                Output::Happened(event) => self.events.push((at_s, event)),
                Output::Ready => self.ready_at_s = Some(at_s),
                _ => {}
            }
        }
    }

    fn deliver(&mut self, at_s: f64, socket: SocketId, to: SocketAddr, bytes: Vec<u8>) {
        assert!(self.sockets.contains_key(&socket), "sent on an open socket");
        if let Ok(Datagram::Control(_)) = Datagram::decode(&bytes) {
            self.sent_to_clients.push((to, bytes));
            return;
        }
        let there = at(self.true_ns).wall.plus_seconds(WAY_S);
        for answer in (self.server)(to, &bytes, there) {
            self.sequence += 1;
            let late_s = self.late_s[self.requests.len() % self.late_s.len()];
            let when = Mono::from_nanos(self.now_ns).plus_seconds(2.0 * WAY_S + late_s);
            self.underway
                .insert((when.as_nanos(), self.sequence), (socket, to, answer));
        }
        let header = Packet::decode(&bytes).unwrap().header;
        self.requests.push(Request {
            at_s,
            to,
            header,
            bytes,
            socket,
        });
    }
}

/// Both clocks, so many nanoseconds after the beginning.
pub(crate) fn at(nanos: i64) -> Now {
    Now {
        mono: Mono::from_nanos(nanos),
        wall: UnixTime::from_parts(BEGIN_S, nanos),
        slept_ns: 0,
    }
}

/// Our own address.
pub(crate) fn ours() -> IpAddr {
    "192.0.2.250".parse().unwrap()
}

/// A line `server …` with all options at their defaults but what `change` does.
pub(crate) fn line(kind: SourceKind, name: &str, change: impl FnOnce(&mut SourceConfig)) -> SourceConfig {
    let name = match name.parse() {
        Ok(address) => SourceName::Address(address),
        Err(_) => SourceName::Name(name.to_owned()),
    };
    let mut config = SourceConfig::new(kind, name);
    change(&mut config);
    config
}

pub(crate) fn server(name: &str) -> SourceConfig {
    line(SourceKind::Server, name, |_| {})
}

/// A configuration of these sources.
pub(crate) fn config(sources: Vec<SourceConfig>) -> Config {
    Config {
        sources,
        ..Config::default()
    }
}

/// What an honest server of stratum 2 answers to a request that came at this time.
pub(crate) fn honest(request: &Header, came: UnixTime) -> Header {
    Header {
        leap: Leap::Normal,
        version: request.version,
        mode: Mode::Server,
        stratum: Stratum(2),
        poll: PollInterval(request.poll.0),
        precision: -24,
        root_delay: NtpShort::from_seconds(0.01),
        root_dispersion: NtpShort::from_seconds(0.002),
        reference_id: ReferenceId(0xc000_0201),
        reference_time: came.plus_seconds(-10.0).to_ntp(),
        origin_time: request.transmit_time,
        receive_time: came.to_ntp(),
        transmit_time: came.plus_seconds(1e-6).to_ntp(),
    }
}

/// A server that makes this of every request.
pub(crate) fn answering(mut change: impl FnMut(&Header, Header) -> Vec<Header> + 'static) -> Server {
    Box::new(move |_, bytes, came| {
        let request = Packet::decode(bytes).unwrap().header;
        let answers = change(&request, honest(&request, came));
        answers.iter().map(|answer| answer.encode().to_vec()).collect()
    })
}

/// A server that does as it should.
pub(crate) fn well() -> Server {
    answering(|_, answer| vec![answer])
}

/// Nobody is there.
pub(crate) fn silence() -> Server {
    Box::new(|_, _, _| Vec::new())
}
