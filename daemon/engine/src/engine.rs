//! The engine: one call for what happened, one for what is due, one for what to do.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use conf::config::Config;
use units::{Mode, Mono, NtpTimestamp, Stratum};
use wire::ntp::Packet;

use crate::discipline::leap::{LeapTable, Leaps};
use crate::discipline::local::LocalReference;
use crate::discipline::{self, Discipline};
use crate::estimate::Prior;
use crate::io::{Input, Now, Output, SocketId, SocketUse, Stamp, StampSource};
use crate::outbox::Outbox;
use crate::select::{self, Selector};
use crate::source::exchange::{self};
use crate::source::{Local, Source, SourceId};
use crate::timeline::{Jump, Timeline};
use crate::timer::{Timer, Timers};

/// The wait before the first request, and between the first requests to different sources, seconds.
const START_SPACING_S: f64 = 0.2;

/// How long an answer is waited for, seconds.
const ANSWER_WAIT_S: f64 = 4.0;

/// What the program tells the engine beside the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Never touch the clock.
    pub observe: bool,
    /// The frequency from the drift file and its error, ppm; positive: the oscillator gains.
    pub drift: Option<(f64, f64)>,
    /// The precision of the clock, seconds.
    pub precision_s: f64,
    /// The first second of the NTP era window, Unix seconds: servers' times are taken to be in the 2^32 seconds
    /// from there on.
    pub era_start: i64,
    /// The leap seconds, from the file that the configuration names.
    pub leap_table: Option<LeapTable>,
}

/// Random numbers that nobody can foresee.
pub type Entropy = Box<dyn FnMut() -> u64>;

/// The brain of the daemon.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) options: Options,
    pub(crate) timeline: Timeline,
    pub(crate) timers: Timers,
    pub(crate) sources: BTreeMap<SourceId, Source>,
    pub(crate) discipline: Discipline,
    pub(crate) out: Outbox,
    entropy: Entropy,
    source_of_socket: BTreeMap<SocketId, SourceId>,
    next_socket: u32,
    next_source: u32,
    pub(crate) selector: Selector,
    /// What the last selection found about each source.
    pub(crate) verdicts: BTreeMap<SourceId, select::Verdict>,
    pub(crate) local: LocalReference,
    pub(crate) leaps: Leaps,
    pub(crate) tai_offset_s: Option<i32>,
}

impl Engine {
    /// Begins to work. The outputs waiting afterwards set everything up.
    pub fn new(config: Config, options: Options, now: Now, entropy: Entropy) -> Self {
        let (frequency, skew) = match options.drift {
            Some((gain_ppm, skew_ppm)) => (-gain_ppm / 1e6, skew_ppm / 1e6),
            None => (0.0, discipline::FREQUENCY_ERROR_UNKNOWN),
        };
        let mut engine = Self {
            discipline: Discipline::new(config.clock.clone(), options.observe, frequency, skew),
            timeline: Timeline::new(now, 0.0),
            timers: Timers::default(),
            sources: BTreeMap::new(),
            out: Outbox::default(),
            entropy,
            source_of_socket: BTreeMap::new(),
            next_socket: 0,
            next_source: 0,
            selector: Selector::new(),
            verdicts: BTreeMap::new(),
            local: LocalReference::new(config.local, now.mono),
            leaps: Leaps::new(config.leap.mode, options.leap_table.clone()),
            tai_offset_s: None,
            options,
            config,
        };
        engine.start(now.mono);
        engine
    }

    /// Takes in what happened.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what happened is over once it is taken in"
    )]
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) {
        // The answers of the clock come while a step may still wait to be carried out that the timeline knows of.
        if !matches!(input, Input::FrequencyApplied { .. } | Input::ClockRefused { .. }) {
            self.observe(now);
        }
        match input {
            Input::Datagram {
                socket,
                from,
                to,
                received,
                bytes,
            } => {
                self.datagram(now.mono, socket, from, to, received, bytes);
            }
            Input::Transmitted { socket, sent, bytes } => self.transmitted(socket, sent, bytes),
            Input::SendFailed { socket } => self.send_failed(socket),
            Input::FrequencyApplied { ppm } => self.timeline.set_rate(now.mono, ppm / 1e6),
            Input::ClockRefused { reason } => {
                self.timeline.step_refused();
                self.out
                    .warn(format!("Could not adjust the system clock: {reason}"));
            }
            Input::Terminate => {
                self.write_drift();
                self.out.push(Output::Exit { status: 0 });
            }
            Input::Resolved { .. }
            | Input::Control { .. }
            | Input::SourceFiles(_)
            | Input::Keys(_)
            | Input::Dump { .. } => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.observe(now);
        while let Some(timer) = self.timers.pop_due(now.mono) {
            match timer {
                Timer::Poll(id) => self.poll(now, id),
                Timer::GiveUp(id) => self.close(id),
                Timer::SlewEnd => self.discipline.slew_end(&mut self.out),
                Timer::Leap => self.pass_leap(now.mono),
                Timer::Drift => self.write_drift(),
                Timer::Status => self.tell_kernel(now.mono),
                Timer::Resolve | Timer::Local => {}
            }
        }
    }

    /// What to do next; `None` when nothing is left.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.timers.next()
    }

    fn start(&mut self, now: Mono) {
        if !self.options.observe {
            self.discipline.start(&mut self.out);
        }
        for config in std::mem::take(&mut self.config.sources) {
            let id = SourceId(self.next_source);
            self.next_source += 1;
            let mut source = Source::new(config, self.prior(), self.config.selection.max_samples);
            if source.config.iburst {
                source.polling.start_initial_burst();
            }
            let wait_s = START_SPACING_S * f64::from(self.next_source);
            self.timers.set(Timer::Poll(id), now.plus_seconds(wait_s));
            self.sources.insert(id, source);
        }
        self.out.push(Output::Ready);
    }

    /// What a source begins with.
    fn prior(&self) -> Prior {
        Prior {
            frequency: self.discipline.frequency(),
            frequency_error: self.discipline.skew().max(1e-7),
            precision_s: self.options.precision_s,
        }
    }

    /// Notices when the clock was moved by somebody else or the host slept.
    fn observe(&mut self, now: Now) {
        let Some(Jump { by_s, slept }) = self.timeline.observe(now) else {
            return;
        };
        if slept {
            let prior = self.prior();
            for source in self.sources.values_mut() {
                source.estimator.reset(prior);
                source.polling.restart();
            }
            self.discipline.forget_phase(&mut self.timers, &mut self.out);
        } else {
            self.expect_leap(now.mono, by_s);
            self.discipline.jumped(
                now.mono,
                by_s,
                &mut self.timeline,
                &mut self.timers,
                &mut self.out,
            );
        }
        self.move_origin();
    }

    fn poll(&mut self, now: Now, id: SourceId) {
        let cookie = NtpTimestamp::from_bits((self.entropy)());
        let spreading = (self.entropy)();
        self.close(id);
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let (Some(remote), true) = (source.remote(), source.online) else {
            return;
        };
        let socket = SocketId(self.next_socket);
        self.next_socket = self.next_socket.wrapping_add(1);
        source.begin_poll();
        let header = exchange::request(source.version(), source.polling.interval(), cookie);
        let wait_s = {
            source.sent(
                cookie,
                Stamp {
                    at: now.wall,
                    source: StampSource::Daemon,
                },
                now.mono,
            );
            spread(source.polling.wait_s(), spreading)
        };
        source.socket = Some(socket);
        self.source_of_socket.insert(socket, id);
        self.out.push(Output::Open {
            socket,
            purpose: SocketUse::Client {
                remote,
                local_port: 0,
            },
        });
        self.out.push(Output::Datagram {
            socket,
            to: remote,
            from: None,
            bytes: header.encode().to_vec(),
        });
        self.timers.set(Timer::Poll(id), now.mono.plus_seconds(wait_s));
        self.timers
            .set(Timer::GiveUp(id), now.mono.plus_seconds(ANSWER_WAIT_S));
    }

    /// Closes the socket of a request.
    fn close(&mut self, id: SourceId) {
        self.timers.stop(Timer::GiveUp(id));
        if let Some(socket) = self.sources.get_mut(&id).and_then(|source| source.socket.take()) {
            self.source_of_socket.remove(&socket);
            self.out.push(Output::Close { socket });
        }
    }

    fn datagram(
        &mut self,
        now: Mono,
        socket: SocketId,
        from: SocketAddr,
        to: Option<IpAddr>,
        received: Stamp,
        bytes: &[u8],
    ) {
        let Some(&id) = self.source_of_socket.get(&socket) else {
            return;
        };
        let Ok(packet) = Packet::decode(bytes) else { return };
        // We ask as a client, and only a server answers.
        if packet.header.mode != Mode::Server {
            return;
        }
        let spreading = (self.entropy)();
        let local = Local {
            precision_s: self.options.precision_s,
            skew: self.discipline.skew(),
            era_start: self.options.era_start,
            stratum: self
                .discipline
                .reference()
                .map_or(Stratum::UNSYNCHRONISED, |reference| reference.stratum),
        };
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        if source.remote() != Some(from) {
            return;
        }
        let tests = source.answered(&packet.header, true, received, to, &local, &self.timeline);
        if tests.valid() {
            let wait_s = spread(source.polling.wait_s(), spreading);
            let sent_at = source.pending.as_ref().map_or(now, |pending| pending.sent_at);
            self.timers
                .set(Timer::Poll(id), sent_at.plus_seconds(wait_s).max(now));
            self.close(id);
        }
        if tests.good() {
            self.consider(now, Some(id));
        }
    }

    fn transmitted(&mut self, socket: SocketId, sent: Stamp, bytes: &[u8]) {
        let Some(id) = self.source_of_socket.get(&socket) else {
            return;
        };
        let (Some(source), Ok(packet)) = (self.sources.get_mut(id), Packet::decode(bytes)) else {
            return;
        };
        source.transmitted(packet.header.transmit_time, sent);
    }

    fn send_failed(&mut self, socket: SocketId) {
        if let Some(&id) = self.source_of_socket.get(&socket) {
            self.close(id);
        }
    }

    /// Keeps phases small, so that they keep their precision.
    pub(crate) fn move_origin(&mut self) {
        if let Some(by_s) = self.timeline.move_origin() {
            self.discipline.shift(by_s);
            for source in self.sources.values_mut() {
                source.estimator.shift(by_s);
            }
        }
    }
}

/// A wait that is up to a tenth shorter or longer, so that many clients do not ask at the same time, nor one client
/// always at the same phase of something that repeats; `random` has 64 random bits.
fn spread(wait_s: f64, random: u64) -> f64 {
    let part = f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    wait_s * (0.9 + 0.2 * part)
}
