//! A world in virtual time: hosts, paths between them, and everything that happens, in order.
//!
//! Nobody waits. The world goes from one event to the next: a datagram that arrives, a timer of an engine, the
//! next whole second at which the true error of every clock is noted, an act of the scenario. True time is known
//! to the world only; an engine sees the clocks of its host.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use conf::config::Config;
use conf::rtc::RtcError;
use engine::discipline::leap::LeapTable;
use engine::io::{
    ClockCommand, ControlPeer, Input, LookupError, LookupId, Now, Output, RtcCommand, SocketId, SocketUse,
    Stamp, StampSource,
};
use engine::rtc::{RtcStart, time_of};
use engine::{Engine, Options};
use units::rounding::f64_from_i64;
use units::{Leap, Mono, UnixTime};
use wire::candm::Request;
use wire::mode6::{Answer, Assembly, Fragment, Operation, Variables};

use crate::clock::{HostClock, Oscillator};
use crate::moment::Moment;
use crate::network::{Jitter, Path};
use crate::random::Random;
use crate::record::{Look, Record, RtcFile};
use crate::rtc::BatteryClock;
use crate::server::Server;

/// A host, by the order in which it came into the world.
pub type HostId = usize;

/// How a host with an engine is made.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientSetup {
    /// What the daemon is asked to do. Names in it are names of hosts.
    pub config: Config,
    /// The clock of the host.
    pub oscillator: Oscillator,
    /// When the daemon starts, seconds since the world began.
    pub start_s: f64,
    /// Frequency and error from the drift file, ppm.
    pub drift: Option<(f64, f64)>,
    /// The daemon must not touch the clock.
    pub observe: bool,
    /// The leap seconds it knows.
    pub leap_table: Option<LeapTable>,
    /// Who takes the timestamps.
    pub stamps: StampSource,
    /// How long the daemon waits for the processor when something has happened.
    pub latency: Jitter,
    /// The real-time clock of the host, if it has one.
    pub rtc: Option<BatteryClock>,
}

/// What happens to a host from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Somebody steps its clock by so many seconds.
    Step(f64),
    /// It goes to sleep.
    Sleep,
    /// It wakes up; its battery clock is wrong by so many seconds.
    Wake(f64),
    /// Its kernel tells the daemon that the clock was set or the host slept.
    Notice,
    /// Its kernel refuses to touch the clock, or no longer does.
    Refuse(bool),
    /// Its operator runs chronyc.
    Chronyc(Request),
    /// Its operator looks at `ntpq`.
    Ntpq,
    /// Its daemon is asked to end.
    Terminate,
    /// Its daemon is started again, with what its drift file says.
    Restart,
    /// Its daemon is started again, and sets the system clock from the real-time clock and what its file says (`-s`).
    RestartFromRtc,
    /// Somebody sets its real-time clock to that many seconds after true time.
    SetRtc(f64),
}

/// A virtual world.
pub struct World {
    seed: u64,
    begin: UnixTime,
    leap: Option<(Moment, f64)>,
    names: Vec<(Moment, String, Vec<HostId>)>,
    lookups_fail: Vec<(f64, f64)>,
    now: Moment,
    seconds: i64,
    hosts: Vec<Host>,
    paths: BTreeMap<(HostId, HostId), Link>,
    events: BTreeMap<(Moment, u64), Event>,
    events_made: u64,
}

/// A host of either kind.
enum Host {
    Client(Box<Client>),
    Server { name: String, server: Server },
}

/// A host with an engine.
struct Client {
    name: String,
    /// The true Unix time at the beginning of the world.
    begin: UnixTime,
    setup: ClientSetup,
    clock: HostClock,
    engine: Option<Engine>,
    sockets: BTreeMap<SocketId, Socket>,
    /// What came and is not read yet, oldest first.
    unread: Vec<Delivery>,
    next_port: u16,
    random: Random,
    /// The deadline for which a latency was drawn, and the latency.
    wake: Option<(Mono, f64)>,
    asleep: bool,
    refusing: bool,
    starts: u32,
    kernel_leap: KernelLeap,
    /// How long after a whole second its kernel looks at the clock, seconds.
    kernel_late_s: f64,
    rtc: Option<BatteryClock>,
    /// What it has sent to its own host.
    answers: Vec<Vec<u8>>,
    record: Record,
}

/// What the kernel was told of a leap second.
#[derive(Debug, Clone, Copy, PartialEq)]
enum KernelLeap {
    None,
    /// It moves the system clock by so many seconds when that reads this.
    Armed(UnixTime, f64),
    /// It has done so, and does it again only after it was told that there is none.
    Made,
}

/// A datagram that came to a socket.
struct Delivery {
    socket: SocketId,
    from: SocketAddr,
    /// The stamp of the kernel or of the card, if there is one.
    received: Option<Stamp>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Socket {
    port: u16,
    remote: Option<SocketAddr>,
    /// What comes need not be read before, if the daemon wakes by then.
    put_off_to: Option<Mono>,
}

/// A path with its chances: those of each direction are independent.
struct Link {
    path: Path,
    there: Random,
    back: Random,
}

enum Event {
    Start(HostId),
    Arrive {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Deliver {
        host: HostId,
        delivery: Delivery,
    },
    Resolved {
        host: HostId,
        lookup: LookupId,
        name: String,
    },
    Act {
        host: HostId,
        act: Act,
    },
}

/// The NTP port.
const NTP_PORT: u16 = 123;

/// The first local port of clients.
const PORT_FIRST: u16 = 40_000;

/// How long a name server takes, seconds.
const LOOKUP_S: f64 = 0.01;

/// The first second of servers' times that engines believe in: 1990.
const ERA_START_UNIX_SECONDS: i64 = 631_152_000;

/// The precision of clocks, seconds.
const PRECISION_S: f64 = 3e-8;

/// The longest time between two looks of a kernel at its clock, seconds (HZ = 250).
const KERNEL_TICK_S: f64 = 0.004;

const SECONDS_PER_DAY: i64 = 86_400;

/// A chain of events at one moment that is longer than this is a loop, and the test fails.
const EVENTS_AT_ONCE_MAX: u32 = 10_000;

impl World {
    /// An empty world of this seed that begins at this true time.
    pub fn new(seed: u64, begin: UnixTime) -> Self {
        Self {
            seed,
            begin,
            leap: None,
            names: Vec::new(),
            lookups_fail: Vec::new(),
            now: Moment::BEGIN,
            seconds: 0,
            hosts: Vec::new(),
            paths: BTreeMap::new(),
            events: BTreeMap::new(),
            events_made: 0,
        }
    }

    /// Adds a server that is no engine.
    pub fn add_server(&mut self, name: &str, server: Server) -> HostId {
        self.hosts.push(Host::Server {
            name: name.to_owned(),
            server,
        });
        self.hosts.len() - 1
    }

    /// Adds a host with an engine.
    pub fn add_client(&mut self, name: &str, setup: ClientSetup) -> HostId {
        let id = self.hosts.len();
        let start = Moment::at(setup.start_s);
        self.hosts.push(Host::Client(Box::new(Client {
            name: name.to_owned(),
            begin: self.begin,
            clock: HostClock::new(setup.oscillator.clone(), self.seed, name, self.begin),
            engine: None,
            sockets: BTreeMap::new(),
            unread: Vec::new(),
            next_port: PORT_FIRST,
            random: Random::stream(self.seed, &format!("{name} latency")),
            wake: None,
            asleep: false,
            refusing: false,
            starts: 0,
            kernel_leap: KernelLeap::None,
            kernel_late_s: Random::stream(self.seed, &format!("{name} tick")).between(0.0, KERNEL_TICK_S),
            rtc: setup.rtc.clone().map(|rtc| rtc.seeded(self.seed, name)),
            answers: Vec::new(),
            record: Record {
                started_s: setup.start_s,
                ..Record::default()
            },
            setup,
        })));
        self.schedule(start, Event::Start(id));
        id
    }

    /// UTC has a leap second so many seconds after the world began: from then on it is one second less than before
    /// when one is inserted, one more when one is deleted.
    pub fn plan_leap_second(&mut self, at_s: f64, leap: Leap) {
        let by_s = match leap {
            Leap::Insert => -1.0,
            Leap::Delete => 1.0,
            Leap::Normal | Leap::Unsynchronised => 0.0,
        };
        self.leap = Some((Moment::at(at_s), by_s));
    }

    /// From so many seconds on a name is that of these hosts: a pool.
    pub fn name(&mut self, from_s: f64, name: &str, hosts: Vec<HostId>) {
        self.names.push((Moment::at(from_s), name.to_owned(), hosts));
    }

    /// No name is found between these times, seconds.
    pub fn fail_lookups(&mut self, from_s: f64, to_s: f64) {
        self.lookups_fail.push((from_s, to_s));
    }

    /// Connects two hosts; a server is the second.
    pub fn connect(&mut self, first: HostId, second: HostId, path: Path) {
        let stream = |direction: &str| Random::stream(self.seed, &format!("{first} {second} {direction}"));
        let link = Link {
            path,
            there: stream("there"),
            back: stream("back"),
        };
        self.paths.insert((first, second), link);
    }

    /// Lets something happen to a host.
    pub fn plan(&mut self, at_s: f64, host: HostId, act: Act) {
        self.schedule(Moment::at(at_s), Event::Act { host, act });
    }

    /// Lets time go on until so many seconds since the world began.
    ///
    /// # Panics
    /// An engine that keeps the world busy without time going on has failed.
    pub fn run_until(&mut self, end_s: f64) {
        let end = Moment::at(end_s);
        let mut at_once = 0;
        while let Some(next) = self.next_moment(end) {
            at_once = if next > self.now { 0 } else { at_once + 1 };
            assert!(
                at_once < EVENTS_AT_ONCE_MAX,
                "time stands still at {} s",
                self.now.seconds()
            );
            self.advance(next);
            self.note_second();
            self.tick_rtcs();
            while let Some(entry) = self.events.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let event = entry.remove();
                self.happen(event);
            }
            self.wake_up();
        }
        self.advance(end);
    }

    /// What was seen of a host with an engine.
    pub fn record(&self, host: HostId) -> Option<&Record> {
        match self.hosts.get(host)? {
            Host::Client(client) => Some(&client.record),
            Host::Server { .. } => None,
        }
    }

    /// The address of a host.
    pub fn address(host: HostId) -> IpAddr {
        let [.., high, low] = host.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<HostId> {
        self.hosts.iter().position(|host| match host {
            Host::Client(client) => client.name == name,
            Host::Server { name: own, .. } => own == name,
        })
    }

    fn host_at(address: IpAddr) -> HostId {
        match address {
            IpAddr::V4(address) => {
                let [_, _, high, low] = address.octets();
                usize::from(u16::from_be_bytes([high, low]))
            }
            IpAddr::V6(_) => HostId::MAX,
        }
    }

    fn schedule(&mut self, at: Moment, event: Event) {
        self.events_made += 1;
        self.events.insert((at.max(self.now), self.events_made), event);
    }

    /// The next moment at which anything happens before the end.
    fn next_moment(&mut self, end: Moment) -> Option<Moment> {
        let mut next = Moment(self.seconds * 1_000_000_000);
        if let Some(((at, _), _)) = self.events.first_key_value() {
            next = next.min(*at);
        }
        for host in &mut self.hosts {
            if let Host::Client(client) = host {
                for at in [client.next_wake(), client.kernel_leap_at(), client.rtc_tick_at()]
                    .into_iter()
                    .flatten()
                {
                    next = next.min(at);
                }
            }
        }
        (next < end).then_some(next.max(self.now))
    }

    fn advance(&mut self, to: Moment) {
        self.now = to;
        for host in &mut self.hosts {
            if let Host::Client(client) = host {
                client.clock.advance(to);
                client.make_kernel_leap();
            }
        }
    }

    /// Notes the errors of all clocks once per second.
    fn note_second(&mut self) {
        if self.now.0 < self.seconds * 1_000_000_000 {
            return;
        }
        self.seconds += 1;
        let leapt_s = self.leapt_s();
        for host in &mut self.hosts {
            if let Host::Client(client) = host {
                if let Some(rtc) = &client.rtc {
                    let ahead_s = rtc.reading_s(self.now) - self.now.seconds();
                    client.record.rtc_offsets_s.push(ahead_s);
                }
                let (offset_s, frequency) = (client.clock.offset_s() - leapt_s, client.clock.frequency());
                client
                    .record
                    .offsets_s
                    .push(if client.asleep { f64::NAN } else { offset_s });
                client
                    .record
                    .frequencies
                    .push(if client.asleep { f64::NAN } else { frequency });
            }
        }
    }

    /// Lets the real-time clocks interrupt whose seconds begin.
    fn tick_rtcs(&mut self) {
        let now = self.now;
        for id in 0..self.hosts.len() {
            let Some(Host::Client(client)) = self.hosts.get_mut(id) else {
                continue;
            };
            if client.rtc_tick_at().is_none_or(|at| at > now) {
                continue;
            }
            let begin = client.begin.seconds();
            if let Some(second) = client.rtc.as_mut().and_then(|rtc| rtc.take_tick(now)) {
                let second = begin.saturating_add(second);
                self.tell(id, Input::RtcTicked { second });
            }
        }
    }

    /// What the leap second has moved UTC by.
    fn leapt_s(&self) -> f64 {
        self.leap
            .map_or(0.0, |(at, by_s)| if self.now >= at { by_s } else { 0.0 })
    }

    /// Calls the engines that have something to do.
    fn wake_up(&mut self) {
        for id in 0..self.hosts.len() {
            let Some(Host::Client(client)) = self.hosts.get_mut(id) else {
                continue;
            };
            if client.next_wake().is_none_or(|at| at > self.now) {
                continue;
            }
            client.wake = None;
            let now = client.clock.now();
            if let Some(engine) = &mut client.engine {
                // The clock may have been a little early, when the oscillator changed meanwhile.
                if engine.poll_timeout().is_some_and(|deadline| deadline <= now.mono) {
                    engine.handle_timeout(now);
                    self.carry_out(id);
                    self.read(id);
                }
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(host) => self.start(host, false),
            Event::Arrive { from, to, bytes } => self.arrive(from, to, bytes),
            Event::Deliver { host, delivery } => self.deliver(host, delivery),
            Event::Resolved { host, lookup, name } => {
                let answer = self.look_up(&name);
                self.tell(host, Input::Resolved { lookup, answer });
            }
            Event::Act { host, act } => self.act(host, &act),
        }
    }

    fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let now_s = self.now.seconds();
        if self
            .lookups_fail
            .iter()
            .any(|(from_s, to_s)| (*from_s..*to_s).contains(&now_s))
        {
            return Err(LookupError::TryAgain);
        }
        let is_meant = |(from, known, _): &&(Moment, String, _)| known == name && *from <= self.now;
        let named = self.names.iter().rfind(is_meant);
        let named = named.map(|(_, _, hosts)| hosts.clone());
        let own = || self.host(name).map(|host| vec![host]);
        let hosts = named.or_else(own).filter(|hosts| !hosts.is_empty());
        let hosts = hosts.ok_or(LookupError::NotFound)?;
        Ok(hosts.into_iter().map(Self::address).collect())
    }

    /// Starts a daemon, which sets the system clock from the real-time clock before or not.
    fn start(&mut self, id: HostId, from_rtc: bool) {
        let (seed, now) = (self.seed, self.now);
        let Some(Host::Client(client)) = self.hosts.get_mut(id) else {
            return;
        };
        client.starts += 1;
        client.sockets.clear();
        client.wake = None;
        let rtc = client.start_rtc(now, from_rtc);
        let options = Options {
            observe: client.setup.observe,
            drift: client.setup.drift,
            precision_s: PRECISION_S,
            era_start: ERA_START_UNIX_SECONDS,
            leap_table: client.setup.leap_table.clone(),
            once: None,
            rtc,
            tells: false,
            set_at_once: false,
            about: engine::control::mode6::About::default(),
        };
        let mut entropy = Random::stream(seed, &format!("{} entropy {}", client.name, client.starts));
        let entropy = Box::new(move || entropy.bits());
        client.engine = Some(Engine::new(
            client.setup.config.clone(),
            options,
            client.clock.now(),
            entropy,
        ));
        self.carry_out(id);
    }

    fn act(&mut self, id: HostId, act: &Act) {
        let Some(Host::Client(client)) = self.hosts.get_mut(id) else {
            return;
        };
        match act {
            Act::Step(by_s) => client.clock.step(*by_s),
            Act::Sleep => {
                client.asleep = true;
                client.clock.fall_asleep();
            }
            Act::Wake(error_s) => {
                client.asleep = false;
                client.clock.wake_up(*error_s);
            }
            Act::Notice => {
                let now = client.clock.now();
                if let Some(engine) = &mut client.engine {
                    engine.handle_timeout(now);
                    self.carry_out(id);
                }
            }
            Act::Refuse(refusing) => client.refusing = *refusing,
            Act::Chronyc(request) => {
                let bytes = request.encode(1);
                let peer = ControlPeer::Unix(0);
                self.tell(id, Input::Control { peer, bytes: &bytes });
            }
            Act::Ntpq => self.look_at_ntpq(id),
            Act::Terminate => self.tell(id, Input::Terminate),
            Act::Restart | Act::RestartFromRtc => {
                if let Some((_, frequency_ppm, skew_ppm)) = client.record.drifts.last() {
                    client.setup.drift = Some((*frequency_ppm, *skew_ppm));
                }
                self.start(id, *act == Act::RestartFromRtc);
            }
            Act::SetRtc(ahead_s) => {
                let now = self.now;
                if let Some(rtc) = &mut client.rtc {
                    rtc.set(now, now.seconds() + ahead_s);
                }
            }
        }
    }

    /// Asks a daemon from its own host for everything that `ntpq` shows.
    fn look_at_ntpq(&mut self, id: HostId) {
        let Some(status) = self.ask_mode6(id, Operation::READ_STATUS, 0) else {
            return;
        };
        let mut variables = |association: u16| {
            let answer = self.ask_mode6(id, Operation::READ_VARIABLES, association);
            let data = answer.map(|answer| answer.data).unwrap_or_default();
            let named = Variables::new(&data).map(|(name, value)| (name.to_owned(), value.to_owned()));
            named.collect::<BTreeMap<_, _>>()
        };
        let system = variables(0);
        let associations = status.data.chunks_exact(4);
        let numbers =
            associations.filter_map(|pair| Some(u16::from_be_bytes([*pair.first()?, *pair.get(1)?])));
        let sources = numbers.map(variables).collect();
        let at_s = self.now.seconds();
        if let Some(Host::Client(client)) = self.hosts.get_mut(id) {
            client.record.looks.push(Look {
                at_s,
                system,
                sources,
            });
        }
    }

    /// Asks a daemon from its own host; `None` if it does not answer.
    fn ask_mode6(&mut self, id: HostId, operation: Operation, association: u16) -> Option<Answer> {
        let Some(Host::Client(client)) = self.hosts.get_mut(id) else {
            return None;
        };
        let is_server = |socket: &Socket| socket.port == NTP_PORT && socket.remote.is_none();
        let mut sockets = client.sockets.iter();
        let (socket, _) = sockets.find(|(_, socket)| is_server(socket))?;
        let socket = *socket;
        let now = client.clock.now();
        let request = wire::mode6::Request::new(operation, 1, association, b"");
        client.tell(
            now,
            Input::Datagram {
                socket,
                from: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT_FIRST),
                to: Some(Ipv4Addr::LOCALHOST.into()),
                received: Stamp {
                    at: now.wall,
                    source: StampSource::Daemon,
                },
                bytes: &request.encode(),
            },
        );
        self.carry_out(id);
        let Some(Host::Client(client)) = self.hosts.get_mut(id) else {
            return None;
        };
        let mut assembly = Assembly::new(request.header);
        let datagrams = std::mem::take(&mut client.answers);
        let fragments = datagrams.iter().filter_map(|bytes| Fragment::decode(bytes).ok());
        fragments
            .filter_map(|fragment| assembly.push(&fragment).ok()?)
            .last()
    }

    /// A datagram reaches a host.
    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let id = Self::host_at(to.ip());
        let truth = self
            .begin
            .plus_seconds(self.now.seconds())
            .plus_seconds(self.leapt_s());
        match self.hosts.get_mut(id) {
            None => {}
            Some(Host::Server { server, .. }) => {
                if to.port() != NTP_PORT {
                    return;
                }
                if let Some(answer) = server.answer(self.now, truth, &bytes) {
                    let leaves = self.now.plus_seconds(answer.after_s);
                    self.send(leaves, to, from, &answer.bytes);
                }
            }
            Some(Host::Client(client)) => {
                let found = client.sockets.iter().find(|(_, socket)| {
                    socket.port == to.port() && socket.remote.is_none_or(|remote| remote == from)
                });
                let Some((&socket, _)) = found else { return };
                if client.asleep || client.engine.is_none() {
                    return;
                }
                let stamp = Stamp {
                    at: client.clock.now().wall,
                    source: client.setup.stamps,
                };
                let received = (client.setup.stamps > StampSource::Daemon).then_some(stamp);
                let wait_s = client.setup.latency.draw(&mut client.random);
                let delivery = Delivery {
                    socket,
                    from,
                    received,
                    bytes,
                };
                if wait_s > 0.0 {
                    let at = self.now.plus_seconds(wait_s);
                    self.schedule(at, Event::Deliver { host: id, delivery });
                } else {
                    self.deliver(id, delivery);
                }
            }
        }
    }

    /// A datagram can be read. It is, unless the daemon need not read it yet.
    fn deliver(&mut self, id: HostId, delivery: Delivery) {
        if let Some(Host::Client(client)) = self.hosts.get_mut(id)
            && !client.asleep
        {
            client.unread.push(delivery);
            self.read(id);
        }
    }

    /// The daemon reads what came, but for what it put off to an instant by which it wakes anyway.
    fn read(&mut self, id: HostId) {
        while let Some(Host::Client(client)) = self.hosts.get_mut(id)
            && let Some(Delivery {
                socket,
                from,
                received,
                bytes,
            }) = client.next_unread()
        {
            let received = received.unwrap_or(Stamp {
                at: client.clock.now().wall,
                source: StampSource::Daemon,
            });
            let input = Input::Datagram {
                socket,
                from,
                to: Some(Self::address(id)),
                received,
                bytes: &bytes,
            };
            self.tell(id, input);
        }
    }

    fn tell(&mut self, id: HostId, input: Input<'_>) {
        let Some(Host::Client(client)) = self.hosts.get_mut(id) else {
            return;
        };
        let Some(engine) = &mut client.engine else { return };
        engine.handle_input(client.clock.now(), input);
        self.carry_out(id);
    }

    /// Does what an engine asks for.
    fn carry_out(&mut self, id: HostId) {
        let mut sent = VecDeque::new();
        let now = self.now;
        let now_s = now.seconds();
        let mut lookups = Vec::new();
        let mut departed = Vec::new();
        if let Some(Host::Client(client)) = self.hosts.get_mut(id) {
            while let Some(output) = client.engine.as_mut().and_then(Engine::poll_output) {
                match output {
                    Output::Datagram {
                        socket,
                        to,
                        from,
                        bytes,
                    } => {
                        if to.ip().is_loopback() {
                            client.answers.push(bytes);
                            continue;
                        }
                        if client
                            .sockets
                            .get(&socket)
                            .is_some_and(|socket| socket.remote.is_some())
                        {
                            client.record.requests.push((now_s, Self::host_at(to.ip())));
                        }
                        departed.push((socket, bytes.clone()));
                        let port = client.sockets.get(&socket).map_or(0, |socket| socket.port);
                        let from = SocketAddr::new(from.unwrap_or(Self::address(id)), port);
                        sent.push_back((from, to, bytes));
                    }
                    Output::Resolve { lookup, name } => lookups.push((lookup, name)),
                    other => client.carry_out(now, other),
                }
            }
        }
        // The kernel tells when datagrams left, after everything was done.
        for (socket, bytes) in departed {
            self.departed(id, socket, &bytes);
        }
        for (lookup, name) in lookups {
            self.schedule(
                now.plus_seconds(LOOKUP_S),
                Event::Resolved {
                    host: id,
                    lookup,
                    name,
                },
            );
        }
        for (from, to, bytes) in sent {
            self.send(now, from, to, &bytes);
        }
    }

    fn departed(&mut self, id: HostId, socket: SocketId, bytes: &[u8]) {
        let Some(Host::Client(client)) = self.hosts.get_mut(id) else {
            return;
        };
        let source = client.setup.stamps;
        if source > StampSource::Daemon {
            let now = client.clock.now();
            client.tell(
                now,
                Input::Transmitted {
                    socket,
                    sent: Stamp { at: now.wall, source },
                    bytes,
                },
            );
        }
    }

    fn send(&mut self, now: Moment, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let (first, second) = (Self::host_at(from.ip()), Self::host_at(to.ip()));
        let arrivals = if let Some(link) = self.paths.get_mut(&(first, second)) {
            link.path.arrivals(now, false, &mut link.there)
        } else if let Some(link) = self.paths.get_mut(&(second, first)) {
            link.path.arrivals(now, true, &mut link.back)
        } else {
            Vec::new()
        };
        for at in arrivals {
            self.schedule(
                at,
                Event::Arrive {
                    from,
                    to,
                    bytes: bytes.to_vec(),
                },
            );
        }
    }
}

impl Client {
    /// When the engine wants to be called.
    fn next_wake(&mut self) -> Option<Moment> {
        if self.asleep {
            return None;
        }
        let deadline = self.engine.as_ref()?.poll_timeout()?;
        let wait_s = match self.wake {
            Some((drawn_for, wait_s)) if drawn_for == deadline => wait_s,
            _ => {
                let wait_s = self.setup.latency.draw(&mut self.random);
                self.wake = Some((deadline, wait_s));
                wait_s
            }
        };
        Some(self.clock.when(deadline.plus_seconds(wait_s)))
    }

    /// Takes what is to be read now. What was for a socket that has been closed is lost.
    fn next_unread(&mut self) -> Option<Delivery> {
        let next = self.engine.as_ref()?.poll_timeout();
        let sockets = &self.sockets;
        self.unread
            .retain(|delivery| sockets.contains_key(&delivery.socket));
        let is_put_off = |delivery: &Delivery| {
            let put_off_to = sockets.get(&delivery.socket).and_then(|socket| socket.put_off_to);
            put_off_to.is_some_and(|put_off_to| next.is_some_and(|next| next <= put_off_to))
        };
        let place = self.unread.iter().position(|delivery| !is_put_off(delivery))?;
        Some(self.unread.remove(place))
    }

    fn carry_out(&mut self, now: Moment, output: Output) {
        let now_s = now.seconds();
        match output {
            Output::Open { socket, purpose } => {
                let opened = match purpose {
                    SocketUse::Client { remote, local_port } => {
                        let port = if local_port == 0 {
                            self.free_port()
                        } else {
                            local_port
                        };
                        Socket {
                            port,
                            remote: Some(remote),
                            put_off_to: None,
                        }
                    }
                    SocketUse::Server { port, ipv6: false } => Socket {
                        port,
                        remote: None,
                        put_off_to: None,
                    },
                    // There is no IPv6 in this world.
                    SocketUse::Server { ipv6: true, .. } => return,
                };
                self.sockets.insert(socket, opened);
            }
            Output::Close { socket } => {
                self.sockets.remove(&socket);
            }
            Output::ReadLater { socket, until } => {
                if let Some(socket) = self.sockets.get_mut(&socket) {
                    socket.put_off_to = Some(until);
                }
            }
            Output::Clock(command) => self.steer(now_s, command),
            Output::Log { severity, text, .. } => self.record.log.push((now_s, severity, text)),
            Output::LogFile { file, line } => self.record.log_files.push((now_s, file, line)),
            Output::WriteDrift {
                frequency_ppm,
                skew_ppm,
            } => {
                self.record.drifts.push((now_s, frequency_ppm, skew_ppm));
            }
            Output::Rtc(command) => self.act_on_rtc(now, command),
            Output::WriteRtcFile(error) => {
                self.note_rtc_file(now, error);
                let now = self.clock.now();
                self.tell(now, Input::RtcFileWritten { is_written: true });
            }
            Output::FindRoute { source, .. } => {
                // Packets get lost in this world, but there is always a way.
                let now = self.clock.now();
                self.tell(now, Input::Route { source, exists: true });
            }
            Output::ReadKernelClock => {
                // There is no kernel in this world.
                let now = self.clock.now();
                self.tell(now, Input::KernelClock(None));
            }
            Output::Ready => self.record.ready = true,
            Output::Exit { status } => {
                self.record.exit = Some((now_s, status));
                self.engine = None;
            }
            _ => {}
        }
    }

    fn steer(&mut self, now_s: f64, command: ClockCommand) {
        let now = self.clock.now();
        if self.refusing {
            self.tell(
                now,
                Input::ClockRefused {
                    reason: "Operation not permitted",
                },
            );
            return;
        }
        match command {
            ClockCommand::SetFrequency { ppm } => {
                let ppm = self.clock.set_rate(ppm);
                self.tell(now, Input::FrequencyApplied { ppm });
            }
            ClockCommand::Step { by_s } => {
                self.clock.step(by_s);
                self.record.steps.push((now_s, by_s));
            }
            ClockCommand::SetStatus { leap, .. } => {
                self.arm_kernel_leap(leap);
                self.record.commands.push((now_s, command));
            }
            ClockCommand::SetTai { .. } => self.record.commands.push((now_s, command)),
        }
    }

    fn arm_kernel_leap(&mut self, leap: Leap) {
        let wall = self.clock.now().wall;
        let day_end = (wall.seconds().div_euclid(SECONDS_PER_DAY) + 1) * SECONDS_PER_DAY;
        let (last_second, by_s) = match leap {
            Leap::Insert => (day_end, -1.0),
            Leap::Delete => (day_end - 1, 1.0),
            Leap::Normal | Leap::Unsynchronised => {
                self.kernel_leap = KernelLeap::None;
                return;
            }
        };
        let is_about_to = match self.kernel_leap {
            KernelLeap::None => false,
            KernelLeap::Armed(at, _) => wall >= at.plus_seconds(-self.kernel_late_s),
            KernelLeap::Made => true,
        };
        if !is_about_to {
            let at = UnixTime::from_seconds(last_second).plus_seconds(self.kernel_late_s);
            self.kernel_leap = KernelLeap::Armed(at, by_s);
        }
    }

    fn kernel_leap_at(&self) -> Option<Moment> {
        let KernelLeap::Armed(at, _) = self.kernel_leap else {
            return None;
        };
        let now = self.clock.now();
        Some(self.clock.when(now.mono.plus_seconds(at.seconds_since(now.wall))))
    }

    fn make_kernel_leap(&mut self) {
        if let KernelLeap::Armed(at, by_s) = self.kernel_leap
            && self.clock.now().wall >= at
        {
            self.clock.step(by_s);
            self.kernel_leap = KernelLeap::Made;
        }
    }

    fn tell(&mut self, now: Now, input: Input<'_>) {
        if let Some(engine) = &mut self.engine {
            engine.handle_input(now, input);
        }
    }

    /// What the program finds out about the real-time clock before it starts the engine.
    fn start_rtc(&mut self, now: Moment, from_rtc: bool) -> Option<RtcStart> {
        let rtc = self.rtc.as_mut()?;
        rtc.interrupt(now, false);
        let known = self.record.rtc_files.last().map(|file| file.error);
        if from_rtc {
            let second = self.begin.seconds().saturating_add(rtc.second(now));
            let time = time_of(second, known.as_ref());
            let by_s = time.seconds_since(self.clock.now().wall);
            self.clock.step(by_s);
        }
        self.setup.config.rtc.file.as_ref().map(|_| RtcStart {
            has_set_clock: from_rtc,
            known,
        })
    }

    fn note_rtc_file(&mut self, now: Moment, error: RtcError) {
        let reading_s = self.rtc.as_ref().map_or(0.0, |rtc| rtc.reading_s(now));
        let since_s = reading_s - f64_from_i64(error.reference - self.begin.seconds());
        let by_file_s = error.fast_s + error.gain_ppm * 1e-6 * since_s;
        self.record.rtc_files.push(RtcFile {
            at_s: now.seconds(),
            error,
            ahead_s: (by_file_s, reading_s - now.seconds()),
        });
    }

    /// When the real-time clock interrupts next.
    fn rtc_tick_at(&self) -> Option<Moment> {
        if self.asleep || self.engine.is_none() {
            return None;
        }
        self.rtc.as_ref()?.tick_at()
    }

    fn act_on_rtc(&mut self, now: Moment, command: RtcCommand) {
        let begin = self.begin.seconds();
        if let Some(rtc) = &mut self.rtc {
            match command {
                RtcCommand::Interrupt(is_on) => rtc.interrupt(now, is_on),
                // It has half of the second behind it.
                RtcCommand::Set { second } => rtc.set(now, f64_from_i64(second - begin) + 0.5),
            }
        }
    }

    fn free_port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(PORT_FIRST);
        self.next_port
    }
}
