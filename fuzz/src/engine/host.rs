//! A host around an engine: its clocks, its sockets and its network; every act of the engine is looked at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use conf::config::{RestrictFlags, Restriction, Restrictions, SourceConfig, SourceName, Subnet};
use conf::rtc::RtcError;
use engine::discipline::leap::LeapTable;
use engine::io::{
    ClockCommand, ConstraintId, ControlPeer, Input, KernelClock, LookupError, LookupId, Now, Output,
    RefClockReading, RtcCommand, SocketId, SocketUse, Stamp, StampSource,
};
use engine::rtc::RtcStart;
use engine::{Engine, Options};
use units::rounding::nearest_i64;
use units::{Leap, Mode, Mono, NtpTimestamp, UnixTime};
use wire::candm::Request;
use wire::mode6::{self, DATA_LENGTH_MAX, FRAGMENTS_MAX, Fragment, Operation, Refusal, Variables};
use wire::ntp::auth::CODE_LENGTH_MAX;
use wire::ntp::{Datagram, Packet};

use super::rules::{Cause, Rules};
use super::servers::{Manner, answer};
use super::settings::{Setting, keys};

/// So many of each kind of thing are remembered by a host.
const REMEMBERED: usize = 32;

/// The clocks stay within these times: 1900 to 2400, seconds since 1970.
const TIMES: std::ops::Range<i64> = -2_208_988_800..13_569_465_600;

/// The longest life of a host, ns: some 200 years.
const LIFE_NS: i64 = 200 * 365 * 86_400 * 1_000_000_000;

/// After a call the engine must not ask for more than this: nothing in a story is so large.
const OUTPUTS_MAX: usize = 50_000;

/// The most wake-ups a second, and how many there may be besides.
const WAKES_PER_SECOND: f64 = 5000.0;
const WAKES_AT_ONCE: f64 = 20_000.0;

/// The most datagrams in an answer to another host that has proved nothing.
const DATAGRAMS_ELSEWHERE_MAX: usize = 4;

/// The longest dump file that is read again, bytes.
const DUMP_LENGTH_MAX: usize = 64 * 1024;

/// A request that was sent.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) socket: SocketId,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
    sent: UnixTime,
}

/// What the driver of a reference clock says when it is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Driver {
    /// So far its clock is ahead of UTC, seconds.
    pub(crate) ahead_s: f64,
    /// Its samples are so old, seconds.
    pub(crate) age_s: f64,
    pub(crate) leap: Leap,
    pub(crate) is_silent: bool,
}

impl Driver {
    /// As it should be, on this scale.
    pub(crate) fn honest(is_tai: bool) -> Self {
        Self {
            ahead_s: if is_tai { TAI_OFFSET_S } else { 0.0 },
            age_s: 0.0,
            leap: Leap::Normal,
            is_silent: false,
        }
    }
}

/// Somebody who has sent something, and may be answered.
#[derive(Debug, Clone, Copy)]
enum Asker {
    Ntp {
        from: SocketAddr,
        length: usize,
    },
    /// By a control message, and so many datagrams have answered it.
    Query {
        from: SocketAddr,
        asked: mode6::Header,
        told: usize,
    },
    Control {
        peer: ControlPeer,
        length: usize,
    },
}

impl Asker {
    const fn query(from: SocketAddr, asked: mode6::Header) -> Self {
        Self::Query { from, asked, told: 0 }
    }
}

/// Whether it answers the question for a nonce.
fn asked_for_nonce(answer: &Fragment<'_>) -> bool {
    answer.header.operation == Operation::REQUEST_NONCE && !answer.error
}

pub(crate) struct Host {
    engine: Engine,
    rules: Rules,
    cause: Cause,
    asker: Option<Asker>,
    mono_ns: i64,
    /// The system clock − the monotonic clock, ns.
    wall_offset_ns: i128,
    slept_ns: i64,
    /// True time, ns since 1970.
    true_ns: i128,
    /// The rate that was asked for, and what the oscillator gains by itself.
    rate: f64,
    pub(crate) gain: f64,
    /// The clock cannot be set.
    pub(crate) refuses: bool,
    /// Somebody else has moved the clock, and the engine does not know yet.
    is_disturbed: bool,
    /// By how much, seconds.
    moved_s: f64,
    pub(crate) sockets: BTreeMap<SocketId, SocketUse>,
    sockets_opened: BTreeSet<SocketId>,
    /// Everybody who may be asked.
    known: BTreeSet<IpAddr>,
    pub(crate) asked: VecDeque<Asked>,
    /// Answers that have been delivered.
    pub(crate) heard: VecDeque<(SocketId, SocketAddr, Vec<u8>)>,
    /// When servers sent their last answers.
    answered: BTreeMap<SocketAddr, NtpTimestamp>,
    pub(crate) lookups: VecDeque<LookupId>,
    /// Requests to constraints that are not answered yet.
    pub(crate) constraints: VecDeque<ConstraintId>,
    pub(crate) dumps: Vec<(String, String)>,
    pub(crate) files_asked_for: bool,
    /// The real-time clock tells when its seconds begin.
    rtc_interrupts: bool,
    /// The drivers of the reference clocks, as they stand in the configuration.
    pub(crate) drivers: Vec<Driver>,
    wakes: u32,
    pub(crate) has_ended: bool,
    /// What was logged, for tests of what is around an engine.
    pub(crate) log: Vec<String>,
    /// Who may do what, as the configuration says.
    restrictions: Option<Restrictions>,
    /// The last one that somebody was given.
    pub(crate) nonce: String,
}

/// What the files of the daemon that ran before say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Learned {
    /// Frequency and its error, ppm.
    pub(crate) drift: Option<(f64, f64)>,
    /// The error of the real-time clock; the system clock has been set from that.
    pub(crate) rtc: Option<RtcError>,
}

impl Host {
    /// Starts at one of several times.
    pub(crate) fn new(setting: &Setting, begin: u8, learned: Learned) -> Self {
        let config = setting.config();
        let begin_s = match begin % 8 {
            0 | 1 => 1_770_000_000,
            2 => 0,
            3 => 2_085_978_490,
            4 => 4_294_967_290,
            5 => 1_483_228_000,
            6 => 1_735_689_000,
            _ => -1_000_000,
        };
        let now = Now {
            mono: Mono::from_nanos(5_000_000_000),
            wall: UnixTime::from_seconds(begin_s),
            slept_ns: 0,
        };
        let options = Options {
            observe: setting.observe,
            drift: learned.drift,
            precision_s: 1e-7,
            era_start: 1_262_304_000,
            leap_table: config.leap.list_file.as_ref().map(|_| leap_table()),
            tells: begin & 8 != 0,
            set_at_once: begin & 16 != 0,
            about: engine::control::mode6::About::default(),
            once: setting.once,
            rtc: config.rtc.file.as_ref().map(|_| RtcStart {
                has_set_clock: learned.rtc.is_some(),
                known: learned.rtc,
            }),
        };
        let mut rules = Rules::new(&config, setting.observe, setting.once);
        rules.sets_at_once = options.set_at_once;
        let mut known = addresses(&config.sources);
        known.extend(config.server.broadcasts.iter().map(|broadcast| broadcast.address));
        let first = config.initial_step.iter().flat_map(|step| &step.servers);
        known.extend(first.filter_map(|name| name.parse::<IpAddr>().ok()));
        let clocks = config.ref_clocks.iter();
        let drivers = clocks.map(|clock| Driver::honest(clock.is_tai)).collect();
        let restrictions = config.server.restrictions.clone();
        let mut random = u64::from(begin);
        let entropy = Box::new(move || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            random ^ (random >> 29)
        });
        let mut host = Self {
            engine: Engine::new(config, options, now, entropy),
            rules,
            cause: Cause::default(),
            asker: None,
            mono_ns: now.mono.as_nanos(),
            wall_offset_ns: i128::from(begin_s) * 1_000_000_000 - i128::from(now.mono.as_nanos()),
            slept_ns: 0,
            // Clocks from before the daemon was written are wrong.
            true_ns: i128::from(begin_s.max(1_483_228_000)) * 1_000_000_000,
            rate: 0.0,
            gain: 0.0,
            refuses: false,
            is_disturbed: false,
            moved_s: 0.0,
            sockets: BTreeMap::new(),
            sockets_opened: BTreeSet::new(),
            known,
            asked: VecDeque::new(),
            heard: VecDeque::new(),
            answered: BTreeMap::new(),
            lookups: VecDeque::new(),
            constraints: VecDeque::new(),
            dumps: Vec::new(),
            files_asked_for: false,
            rtc_interrupts: false,
            drivers,
            wakes: 0,
            has_ended: false,
            log: Vec::new(),
            restrictions,
            nonce: String::new(),
        };
        host.carry_out();
        host.tell(Input::Keys(keys()));
        host
    }

    /// Both clocks of the host.
    pub(crate) fn now(&self) -> Now {
        Now {
            mono: Mono::from_nanos(self.mono_ns),
            wall: time(i128::from(self.mono_ns) + self.wall_offset_ns),
            slept_ns: self.slept_ns,
        }
    }

    /// The true time.
    pub(crate) fn truth(&self) -> UnixTime {
        time(self.true_ns)
    }

    /// Time goes by, on the monotonic clock.
    pub(crate) fn pass(&mut self, seconds: f64) {
        let by_ns = nearest_i64(seconds * 1e9).max(0);
        if self.mono_ns.saturating_add(by_ns) > LIFE_NS {
            self.has_ended = true;
            return;
        }
        self.mono_ns += by_ns;
        self.true_ns += i128::from(nearest_i64(seconds * 1e9 / (1.0 + self.rate + self.gain)));
    }

    /// Somebody else steps the clock.
    pub(crate) fn step(&mut self, by_s: f64) {
        if self.move_wall(by_s) {
            self.is_disturbed = true;
            self.moved_s += by_s;
        }
    }

    /// The host sleeps, and its clock goes on meanwhile.
    pub(crate) fn sleep(&mut self, seconds: f64) {
        let by_ns = nearest_i64(seconds.abs() * 1e9);
        self.slept_ns = self.slept_ns.saturating_add(by_ns);
        self.true_ns += i128::from(by_ns);
        self.step(seconds.abs());
    }

    /// Tells the engine what happened.
    pub(crate) fn tell(&mut self, input: Input<'_>) {
        if self.has_ended {
            return;
        }
        self.rules.moved(std::mem::take(&mut self.moved_s));
        self.engine.handle_input(self.now(), input);
        self.is_disturbed = false;
        self.carry_out();
        self.cause = Cause::default();
        self.asker = None;
    }

    /// A second of the real-time clock begins, which is ahead of the system clock by so much.
    pub(crate) fn tick(&mut self, ahead_s: f64) {
        if self.rtc_interrupts {
            let second = self.now().wall.plus_seconds(ahead_s).seconds();
            self.tell(Input::RtcTicked { second });
        }
    }

    /// Sleeps until something is due, and does it; says whether there was anything.
    pub(crate) fn wake(&mut self) -> bool {
        let Some(due) = self.engine.poll_timeout().filter(|_| !self.has_ended) else {
            return false;
        };
        let wait_s = due.seconds_since(Mono::from_nanos(self.mono_ns)).max(0.0);
        self.pass(wait_s);
        if self.has_ended {
            return false;
        }
        // A length in seconds is rounded.
        self.mono_ns = self.mono_ns.max(due.as_nanos());
        self.timeout();
        self.wakes += 1;
        let life_s = Mono::from_nanos(self.mono_ns).seconds_since(Mono::ZERO);
        assert!(
            f64::from(self.wakes) < WAKES_AT_ONCE + WAKES_PER_SECOND * life_s,
            "it spins"
        );
        true
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self) {
        if self.has_ended {
            return;
        }
        let now = self.now();
        self.rules.moved(std::mem::take(&mut self.moved_s));
        self.engine.handle_timeout(now);
        self.is_disturbed = false;
        let next = self.engine.poll_timeout();
        assert!(
            next.is_none_or(|next| next > now.mono),
            "what was due is due again"
        );
        self.carry_out();
    }

    /// A datagram comes in. From somebody whom nobody knows, or once more, it must not move the clock.
    pub(crate) fn receive(
        &mut self,
        socket: SocketId,
        from: SocketAddr,
        stamp: Stamp,
        bytes: &[u8],
        again: bool,
    ) {
        let is_stranger = !self.known.contains(&from.ip());
        self.cause.is_idle = (is_stranger || again) && !self.is_disturbed;
        self.asker = Some(match mode6::Request::decode(bytes) {
            Ok((request, _)) => Asker::query(from, request.header),
            Err(Refusal::Error(asked, _)) => Asker::query(from, asked),
            Err(Refusal::Silent) => Asker::Ntp {
                from,
                length: bytes.len(),
            },
        });
        let to = Some(IpAddr::from([192, 0, 2, 250]));
        self.tell(Input::Datagram {
            socket,
            from,
            to,
            received: stamp,
            bytes,
        });
    }

    /// A server answers a request after so long on the way there and back, seconds.
    pub(crate) fn answer(
        &mut self,
        which: usize,
        ways_s: [f64; 2],
        mut manner: Manner,
        is_interleaved: bool,
    ) {
        let Some(asked) = self.asked.iter().rev().nth(which).cloned() else {
            return;
        };
        manner.interleaved = self.answered.get(&asked.to).copied().filter(|_| is_interleaved);
        let came = asked.sent.plus_seconds(ways_s[0]);
        let Some(bytes) = answer(&asked.bytes, came, &manner) else {
            return;
        };
        let sent = came.plus_seconds(manner.wrong_s + 2e-5).to_ntp();
        self.answered.insert(asked.to, sent);
        let arrives_s = came.plus_seconds(ways_s[1]).seconds_since(self.truth());
        self.pass(arrives_s.max(0.0));
        if !self.sockets.contains_key(&asked.socket) {
            return;
        }
        let stamp = self.stamp(0.0);
        self.receive(asked.socket, asked.to, stamp, &bytes, false);
        remember(&mut self.heard, (asked.socket, asked.to, bytes));
    }

    /// What the kernel says about something that happened so long ago, seconds.
    pub(crate) fn stamp(&self, ago_s: f64) -> Stamp {
        Stamp {
            at: self.now().wall.plus_seconds(-ago_s),
            source: StampSource::Kernel,
        }
    }

    /// A name has been looked up.
    pub(crate) fn resolve(&mut self, lookup: LookupId, answer: Result<Vec<IpAddr>, LookupError>) {
        self.known.extend(answer.iter().flatten());
        self.tell(Input::Resolved { lookup, answer });
    }

    /// The files with sources have been read.
    pub(crate) fn read_files(&mut self, sources: Vec<SourceConfig>) {
        self.known.extend(addresses(&sources));
        self.files_asked_for = false;
        self.tell(Input::SourceFiles(sources));
    }

    /// A request of the command protocol.
    pub(crate) fn command(&mut self, peer: ControlPeer, bytes: &[u8]) {
        if self.is_disturbed {
            // What somebody else did to the clock is mended under the rules from before the request.
            self.timeout();
        }
        self.cause.is_idle = !self.is_disturbed;
        if let (ControlPeer::Unix(_), Ok((_, request))) = (peer, Request::decode(bytes)) {
            self.cause = self.rules.ordered(&request);
            if let Request::AddSource(source) = &request {
                self.known.extend(source.name.as_str().parse::<IpAddr>().ok());
            }
        }
        self.asker = Some(Asker::Control {
            peer,
            length: bytes.len(),
        });
        self.tell(Input::Control { peer, bytes });
    }

    /// Everything that can be asked of the engine without changing it.
    pub(crate) fn look_at_reports(&self) {
        let now = self.now().mono;
        let bound_s = self.engine.error_bound_s(now);
        assert!(
            bound_s.is_none_or(|bound_s| bound_s >= 0.0 && bound_s.is_finite()),
            "{bound_s:?}"
        );
        let page = engine::control::metrics::text(&self.engine, now);
        assert!(!page.contains("NaN") && !page.contains("inf\n"), "{page}");
        let _ = self.engine.tracking(now);
    }

    fn carry_out(&mut self) {
        let mut count = 0;
        while let Some(output) = self.engine.poll_output() {
            count += 1;
            assert!(count < OUTPUTS_MAX, "the engine asks for too much");
            if self.has_ended {
                continue;
            }
            self.do_one(output);
        }
        self.rules.check_explained();
        let now = self.now().mono;
        let bound_s = self.engine.error_bound_s(now);
        assert!(
            bound_s.is_none_or(|bound_s| bound_s >= 0.0 && bound_s.is_finite()),
            "{bound_s:?}"
        );
    }

    fn do_one(&mut self, output: Output) {
        match output {
            Output::Open { socket, purpose } => {
                assert!(self.sockets_opened.insert(socket), "{socket:?} is used twice");
                if let SocketUse::Client { remote, .. } = purpose {
                    assert!(self.known.contains(&remote.ip()), "nobody named {remote}");
                }
                self.sockets.insert(socket, purpose);
            }
            Output::Close { socket } => {
                assert!(self.sockets.remove(&socket).is_some(), "{socket:?} is not open");
            }
            Output::Datagram {
                socket, to, bytes, ..
            } => self.send(socket, to, bytes),
            Output::ReadLater { socket, until } => {
                assert!(self.sockets.contains_key(&socket), "{socket:?} is not open");
                let next = self.engine.poll_timeout();
                assert!(
                    next.is_some_and(|next| next <= until),
                    "nobody wakes up by {until:?}"
                );
            }
            Output::ControlReply { peer, bytes } => match self.asker.take() {
                Some(Asker::Control { peer: asker, length }) if asker == peer => {
                    assert!(
                        bytes.len() <= length,
                        "a reply of {} bytes to {length}",
                        bytes.len()
                    );
                }
                other => panic!("a reply to {peer:?}, who did not ask: {other:?}"),
            },
            Output::Clock(command) => self.act(command),
            Output::Resolve { lookup, name } => {
                assert!(
                    !name.is_empty() && name.len() <= 255 && !name.contains(char::is_control),
                    "{name:?}"
                );
                remember(&mut self.lookups, lookup);
            }
            Output::AskConstraint { request, .. } => remember(&mut self.constraints, request),
            Output::Log { text, .. } => {
                assert!(!text.contains(char::is_control), "{text:?}");
                self.rules.check_refusal(&text);
                if self.log.len() < REMEMBERED {
                    self.log.push(text);
                }
            }
            Output::Happened(event) => check_told(&event),
            Output::LogFile { file, line } => {
                assert!(!line.contains(char::is_control), "{line:?}");
                match file {
                    engine::io::LogFile::Tracking => self.rules.check_update(&line),
                    engine::io::LogFile::Measurements => self.rules.measured(&line),
                    _ => {}
                }
            }
            Output::Statistics { line, .. } => assert!(!line.contains(char::is_control), "{line:?}"),
            Output::WriteDrift {
                frequency_ppm,
                skew_ppm,
            } => self.rules.check_drift(frequency_ppm, skew_ppm),
            Output::WriteDump { source, text } => {
                assert!(
                    source.parse::<IpAddr>().is_ok() || source.starts_with("refid:"),
                    "{source:?}"
                );
                assert!(text.len() <= DUMP_LENGTH_MAX);
                if self.dumps.len() < REMEMBERED {
                    self.dumps.push((source, text));
                }
            }
            Output::ReadSourceFiles => self.files_asked_for = true,
            Output::FindRoute { source, remote } => {
                let exists = remote.is_ipv4() || self.dumps.len().is_multiple_of(2);
                self.engine
                    .handle_input(self.now(), Input::Route { source, exists });
            }
            Output::ReadKernelClock => {
                let reading = Some(KernelClock::default());
                self.engine.handle_input(self.now(), Input::KernelClock(reading));
            }
            Output::ReadRefClock { ref_clock } => self.read_ref_clock(ref_clock),
            Output::Rtc(RtcCommand::Interrupt(is_on)) => self.rtc_interrupts = is_on,
            Output::Rtc(RtcCommand::Set { .. }) => {
                if self.refuses {
                    self.engine.handle_input(self.now(), Input::RtcNotSet);
                }
            }
            Output::WriteRtcFile(error) => {
                assert!(
                    error.fast_s.is_finite() && error.gain_ppm.is_finite(),
                    "{error:?}"
                );
                let is_written = !self.refuses;
                self.engine
                    .handle_input(self.now(), Input::RtcFileWritten { is_written });
            }
            Output::Ready => self.rules.ready(),
            Output::ReadKeys | Output::CycleLogs => {}
            Output::Exit { status } => {
                self.rules.check_exit(status);
                self.has_ended = true;
            }
        }
    }

    /// The driver of a reference clock is asked.
    fn read_ref_clock(&mut self, ref_clock: u32) {
        let place = usize::try_from(ref_clock).ok();
        let driver = place.and_then(|place| self.drivers.get(place));
        let driver = driver.expect("a reference clock of the configuration");
        let now = self.now();
        let reading = (!driver.is_silent).then(|| RefClockReading {
            at: now.wall.plus_seconds(-driver.age_s),
            offset_s: self.truth().seconds_since(now.wall) + driver.ahead_s,
            leap: driver.leap,
        });
        // What it says may move the clock.
        self.cause.is_idle = false;
        self.engine
            .handle_input(now, Input::RefClock { ref_clock, reading });
    }

    fn send(&mut self, socket: SocketId, to: SocketAddr, bytes: Vec<u8>) {
        let purpose = self.sockets.get(&socket).expect("it is sent on an open socket");
        if let SocketUse::Client { remote, .. } = purpose {
            assert_eq!(to, *remote, "the socket is connected");
        }
        if let Ok(Datagram::Control(bytes)) = Datagram::decode(&bytes) {
            return self.told(to, bytes);
        }
        let packet = Packet::decode(&bytes).expect("what is sent is a packet");
        match self.asker {
            Some(Asker::Ntp { from, length }) if from == to && is_answer(packet.header.mode) => {
                assert!(bytes.len() <= length, "{} bytes answer {length}", bytes.len());
                return;
            }
            _ => assert!(self.known.contains(&to.ip()), "nobody named {to}"),
        }
        let sent = self.truth();
        let asked = Asked {
            socket,
            to,
            bytes,
            sent,
        };
        remember(&mut self.asked, asked);
    }

    /// Looks at a datagram that answers a control message.
    fn told(&mut self, to: SocketAddr, bytes: &[u8]) {
        let Some(Asker::Query { from, asked, told }) = &mut self.asker else {
            panic!("{to} is told something, and has not asked");
        };
        assert_eq!(to, *from);
        let answer = Fragment::decode(bytes).expect("an answer");
        assert_eq!(answer.header, *asked);
        *told += 1;
        // These go to those only who have shown that it comes to them, or who they are.
        let is_proven = [Operation::READ_MRU, Operation::READ_ORDERED_LIST].contains(&asked.operation);
        let most = if is_proven || from.ip().is_loopback() {
            FRAGMENTS_MAX
        } else {
            DATAGRAMS_ELSEWHERE_MAX
        };
        assert!(*told <= most, "{told} datagrams");
        let length_max = mode6::HEADER_LENGTH + DATA_LENGTH_MAX + 4 + CODE_LENGTH_MAX;
        assert!(bytes.len() <= length_max, "{} bytes", bytes.len());
        // Behind the data only a code is not zero.
        let padding = bytes
            .get(mode6::HEADER_LENGTH + answer.data.len()..)
            .unwrap_or_default();
        let is_signed = asked.operation == Operation::READ_ORDERED_LIST;
        assert!(is_signed || padding.iter().all(|byte| *byte == 0), "{bytes:?}");
        if let Some(flags) = self.flags_of(to) {
            assert!(!flags.ignore && !flags.noquery, "{to} may not ask");
        }
        if asked_for_nonce(&answer)
            && let Some(nonce) = Variables::new(answer.data).get("nonce")
        {
            nonce.clone_into(&mut self.nonce);
        }
    }

    /// What a rule says of an address, where that can be known from the configuration alone.
    fn flags_of(&self, address: SocketAddr) -> Option<RestrictFlags> {
        let restrictions = self.restrictions.as_ref()?;
        let is_named = |rule: &Restriction| matches!(rule.subnet, Subnet::Name(_));
        let is_known = restrictions.of_sources.is_none() && !restrictions.rules.iter().any(is_named);
        is_known.then(|| restrictions.flags(address.ip(), address.port(), false))
    }

    fn act(&mut self, command: ClockCommand) {
        self.rules.check_act(command, self.cause);
        if self.refuses {
            return self.refuse("Operation not permitted");
        }
        match command {
            ClockCommand::SetFrequency { ppm } => {
                // Kernels have steps of 2^-16 ppm.
                let ppm = (ppm * 65536.0).round() / 65536.0;
                self.rate = ppm / 1e6;
                self.engine
                    .handle_input(self.now(), Input::FrequencyApplied { ppm });
            }
            ClockCommand::Step { by_s } => {
                if !self.move_wall(by_s) {
                    self.refuse("Invalid argument");
                }
            }
            ClockCommand::SetStatus { .. } | ClockCommand::SetTai { .. } => {}
        }
    }

    /// The clock cannot be set.
    fn refuse(&mut self, reason: &str) {
        self.engine
            .handle_input(self.now(), Input::ClockRefused { reason });
    }

    /// Moves the system clock, unless it would leave the times it has; says whether it did.
    fn move_wall(&mut self, by_s: f64) -> bool {
        let whole = by_s.trunc();
        let by_ns =
            i128::from(nearest_i64(whole)) * 1_000_000_000 + i128::from(nearest_i64((by_s - whole) * 1e9));
        let wall_s = (i128::from(self.mono_ns) + self.wall_offset_ns + by_ns) / 1_000_000_000;
        let can_be = i64::try_from(wall_s).is_ok_and(|wall_s| TIMES.contains(&wall_s));
        if can_be {
            self.wall_offset_ns += by_ns;
        }
        can_be
    }
}

/// TAI − UTC since 2017, seconds.
const TAI_OFFSET_S: f64 = 37.0;

/// The last leap seconds there were; a story can begin shortly before.
fn leap_table() -> LeapTable {
    LeapTable {
        entries: vec![(1_435_708_800, 36), (1_483_228_800, 37)],
        expires: 1_800_000_000,
    }
}

/// The addresses among the names of sources.
fn addresses(sources: &[SourceConfig]) -> BTreeSet<IpAddr> {
    sources
        .iter()
        .filter_map(|source| match source.name {
            SourceName::Address(address) => Some(address),
            SourceName::Name(_) => None,
        })
        .collect()
}

/// Whether a packet of this mode answers another.
fn is_answer(mode: Mode) -> bool {
    matches!(mode, Mode::SymmetricPassive | Mode::Server)
}

fn remember<T>(queue: &mut VecDeque<T>, one: T) {
    if queue.len() >= REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(one);
}

fn time(ns: i128) -> UnixTime {
    let seconds = i64::try_from(ns.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    UnixTime::from_parts(seconds, i64::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or(0))
}

/// What is told can be written down.
fn check_told(event: &engine::io::Event) {
    use engine::io::Event;
    let numbers_s = match event {
        Event::Said { text, .. } => {
            assert!(!text.contains(char::is_control), "{text:?}");
            vec![]
        }
        Event::Answered {
            offset_s,
            delay_s,
            next_s,
            ..
        } => vec![*offset_s, *delay_s, *next_s],
        Event::NoTime { next_s, .. } | Event::Unanswered { next_s, .. } | Event::NotSent { next_s, .. } => {
            vec![*next_s]
        }
        Event::Stepped { by_s } => vec![*by_s],
        Event::Followed { offset_s } => vec![*offset_s],
        Event::Began | Event::Undelivered { .. } | Event::Gone { .. } | Event::NotSet | Event::Lost => vec![],
    };
    assert!(numbers_s.iter().all(|number| number.is_finite()), "{event:?}");
}
