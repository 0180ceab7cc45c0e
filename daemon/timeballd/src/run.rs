//! The loop: wait, tell the engine what happened, do what it says.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use conf::config::Config;
use engine::Engine;
use engine::control::report::Following;
use engine::io::{ControlPeer, Input, LookupError, LookupId, Now, Severity, SocketId, Stamp, StampSource};
use os::{
    Clock, DATAGRAM_LENGTH_MAX, Ready, Resolver, Rtc, SharedMemory, Stamping, Token, UdpSocket, Waiter,
    Woken, reason, signals,
};
use units::Mono;
use units::rounding::nearest_i64;
use wire::condition::{Condition, Constraints, REQUEST};

use crate::conflict::ConflictFinder;
use crate::constraint::ConstraintClient;
use crate::control::ControlSockets;
use crate::interfaces::Interfaces;
use crate::leap_files::LeapFiles;
use crate::links::Links;
use crate::log::Log;
use crate::log_files::LogFiles;
use crate::metrics::{MetricsServer, condition_text};
use crate::openntpd::voice::Voice;
use crate::passed::PassedSockets;
use crate::ready::Announcements;
use crate::reload::{CONFIGURATION, Reload};
use crate::statistics_files::StatisticsFiles;

/// How the loop calls the resolver's pipe.
const RESOLVER: Token = Token(u32::MAX);

/// The daemon at work: the engine, and everything it acts with.
pub(crate) struct Daemon {
    /// What decides.
    pub engine: Engine,
    /// What is acted with.
    pub hands: Hands,
}

/// The wait before a helper is started that could not be, seconds.
const HELPERS_AGAIN_S: f64 = 1.0;

/// Everything that the engine's outputs are carried out with.
pub(crate) struct Hands {
    /// The system clock.
    pub clock: Clock,
    /// What is waited with.
    pub waiter: Waiter,
    /// What keeps the kernel stamping between requests.
    pub _stamping: Stamping,
    /// The NTP sockets, by the engine's numbers.
    pub sockets: BTreeMap<SocketId, UdpSocket>,
    /// The sockets that a service manager has passed.
    pub passed: PassedSockets,
    /// The command sockets.
    pub control: ControlSockets,
    /// The drivers of reference clocks, in the order of the configuration.
    pub ref_clocks: Vec<SharedMemory>,
    /// The real-time clock, when it is tracked.
    pub rtc: Option<Rtc>,
    /// The files with the leap seconds.
    pub leap_files: LeapFiles,
    /// What looks names up.
    pub resolver: Resolver,
    /// What asks constraints.
    pub constraints: ConstraintClient,
    /// When those two try again to start a helper, after one could not be started.
    pub helpers_at: Option<Mono>,
    /// That it could not was said, and none was started since.
    pub is_helpless: bool,
    /// Where link-local addresses are.
    pub links: Links,
    /// The daemon's log.
    pub log: Log,
    /// What has words of its own for what happens, where chrony's are not wanted.
    pub voice: Option<Voice>,
    /// The logs of measurements.
    pub log_files: LogFiles,
    /// The files of statistics.
    pub statistics_files: StatisticsFiles,
    /// Where clients are answered.
    pub interfaces: Interfaces,
    /// Who waits to be told that the daemon is ready.
    pub announcements: Announcements,
    /// What was configured: where things are, and how sockets are made.
    pub config: Config,
    /// Whether past measurements are taken from dump files when the daemon is ready.
    pub reload: bool,
    /// Where dump files are.
    pub dump_dir: Option<PathBuf>,
    /// What looks for others who keep the clock, where that matters.
    pub conflict: Option<ConflictFinder>,
    /// What is told of the daemon beyond its engine.
    pub condition: Condition,
    /// What reads the configuration again.
    pub reloading: Reload,
    /// Where the daemon's numbers are.
    pub metrics: Option<MetricsServer>,
    /// When the daemon ends by itself.
    pub end_at: Option<Mono>,
}

impl Daemon {
    /// Runs until the engine says to end, and returns the exit status.
    pub(crate) fn run(&mut self) -> u8 {
        let mut ready = Vec::new();
        loop {
            if let Some(status) = self.act() {
                return status;
            }
            if signals::take_end() {
                self.tell(Input::Terminate);
                continue;
            }
            if signals::take_hangup() {
                self.hang_up();
                continue;
            }
            let until = self.next_due();
            let woken = match self.hands.waiter.wait(until, &mut ready) {
                Ok(woken) => woken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.hands
                        .log
                        .write(Severity::Fatal, &format!("Could not wait : {error}"));
                    return 1;
                }
            };
            if woken == Woken::ClockSet {
                // Whoever set it is found by looking at the clock.
                self.engine.handle_timeout(now(&self.hands.clock));
            }
            for &event in &ready {
                if let Some(status) = self.happened(event) {
                    return status;
                }
            }
            let is_over = ready.is_empty() && woken == Woken::AsWaitedFor;
            if let Some(status) = self.due(until.filter(|_| is_over)) {
                return status;
            }
        }
    }

    /// Carries out what the engine wants done, until that is nothing; `Some` is the exit status.
    pub(crate) fn act(&mut self) -> Option<u8> {
        while let Some(output) = self.engine.poll_output() {
            if let Some(status) = self.carry_out(output) {
                return Some(status);
            }
        }
        None
    }

    /// Tells the engine what happened just now.
    pub(crate) fn tell(&mut self, input: Input<'_>) {
        self.engine.handle_input(now(&self.hands.clock), input);
    }

    /// Takes in one event, and does what comes of it.
    fn happened(&mut self, event: Ready) -> Option<u8> {
        if event.token == RESOLVER {
            self.answer();
            return self.act();
        }
        if let Some((request, answer)) = self.hands.constraints.happened(event, &mut self.hands.waiter) {
            self.tell(Input::Constraint { request, answer });
            self.hands.ask_constraints();
            return self.act();
        }
        if self.is_for_rtc(event) {
            return self.act();
        }
        if event.token == CONFIGURATION {
            let now = now(&self.hands.clock).mono;
            self.hands.reloading.changed(now);
            return None;
        }
        let mut buffer = [0; DATAGRAM_LENGTH_MAX];
        if let Some((length, peer)) = self.hands.control.receive(event, &mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default();
            if bytes == REQUEST && matches!(peer, ControlPeer::Unix(_)) {
                let condition = Condition {
                    constraints: self.constraints(),
                    ..self.hands.condition.clone()
                };
                self.hands.control.reply(peer, &condition.encode());
                return None;
            }
            self.tell(Input::Control { peer, bytes });
            return self.act();
        }
        if self.is_for_metrics(event) {
            return None;
        }
        let socket = SocketId(event.token.0);
        if event.stamped {
            self.transmitted(socket, &mut buffer);
            if let Some(status) = self.act() {
                return Some(status);
            }
        }
        if event.readable {
            self.received(socket, &mut buffer);
        }
        self.act()
    }

    /// What is told of the constraints.
    fn constraints(&self) -> Option<Constraints> {
        let report = self.engine.constraint_report(now(&self.hands.clock))?;
        Some(Constraints {
            offset_s: report.offset_s.map(nearest_i64),
            refused: u32::try_from(report.refused).unwrap_or(u32::MAX),
        })
    }

    /// The next instant at which something is to be done.
    fn next_due(&self) -> Option<Mono> {
        let metrics = self.hands.metrics.as_ref().and_then(MetricsServer::deadline);
        let leap_files = self.hands.leap_files.deadline();
        let conflict = self.hands.conflict.as_ref().and_then(ConflictFinder::deadline);
        let reloading = self.hands.reloading.deadline();
        [
            self.engine.poll_timeout(),
            self.hands.end_at,
            self.hands.helpers_at,
            metrics,
            leap_files,
            conflict,
            reloading,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The daemon was hung up: it opens its logs again, which may have been moved, and reads its configuration again; or it
    /// ends.
    fn hang_up(&mut self) {
        if self.hands.reloading.is_on_hangup() {
            self.hands.log.reopen();
            self.hands.log_files.close();
            self.hands.statistics_files.close();
            let now = now(&self.hands.clock).mono;
            self.reload(now);
        } else {
            self.tell(Input::Terminate);
        }
    }

    /// Lets those who read the daemon's numbers go on, if the event is theirs.
    fn is_for_metrics(&mut self, event: Ready) -> bool {
        let Some(metrics) = &mut self.hands.metrics else {
            return false;
        };
        let now = now(&self.hands.clock).mono;
        let engine = &self.engine;
        let condition = &self.hands.condition;
        let page = &mut || engine::control::metrics::text(engine, now) + &condition_text(condition);
        metrics.happened(event, now, &mut self.hands.waiter, page)
    }

    /// Takes in the timestamp of something sent.
    fn transmitted(&mut self, socket: SocketId, buffer: &mut [u8]) {
        let Some(open) = self.hands.sockets.get(&socket) else {
            return;
        };
        match open.receive_transmitted(buffer) {
            Ok(Some(sent)) => {
                let stamp = Stamp {
                    at: sent.stamp,
                    source: StampSource::Kernel,
                };
                let bytes = buffer.get(sent.payload).unwrap_or_default();
                self.tell(Input::Transmitted {
                    socket,
                    sent: stamp,
                    bytes,
                });
            }
            Ok(None) => {}
            Err(error) => self.tell(Input::Undelivered {
                socket,
                reason: &reason(&error),
            }),
        }
    }

    /// Takes in a datagram.
    fn received(&mut self, socket: SocketId, buffer: &mut [u8]) {
        let Some(open) = self.hands.sockets.get(&socket) else {
            return;
        };
        match open.receive(buffer) {
            Ok(Some(datagram)) => {
                let now = now(&self.hands.clock);
                if !open.is_connected() && !self.hands.interfaces.answers(&datagram, now.mono) {
                    return;
                }
                let received = match datagram.stamp {
                    Some(at) => Stamp {
                        at,
                        source: StampSource::Kernel,
                    },
                    None => Stamp {
                        at: now.wall,
                        source: StampSource::Daemon,
                    },
                };
                let bytes = buffer.get(..datagram.length).unwrap_or_default();
                let (from, to) = (datagram.from, datagram.to);
                self.engine.handle_input(
                    now,
                    Input::Datagram {
                        socket,
                        from,
                        to,
                        received,
                        bytes,
                    },
                );
            }
            Ok(None) => {}
            Err(error) => self.tell(Input::Undelivered {
                socket,
                reason: &reason(&error),
            }),
        }
    }

    /// Takes in the answer of the resolver, and has it look up the next name.
    fn answer(&mut self) {
        self.hands.waiter.forget(RESOLVER);
        if let Some((lookup, name, answer)) = self.hands.resolver.finish() {
            let answer = answer.map_err(|error| match error {
                os::LookupError::NotFound => LookupError::NotFound,
                os::LookupError::TryAgain => LookupError::TryAgain,
            });
            let answer = answer.map(|addresses| {
                for warning in self.hands.links.learn(&name, &addresses) {
                    self.hands.log.warn(&warning);
                }
                addresses.iter().map(SocketAddr::ip).collect()
            });
            self.tell(Input::Resolved {
                lookup: LookupId(lookup),
                answer,
            });
        }
        self.hands.look_up();
    }

    /// Does what is due by now. `at_least` is the instant that was waited for when it was waited for in full: a
    /// clock that is rounded may say that it is not there yet.
    fn due(&mut self, at_least: Option<Mono>) -> Option<u8> {
        let mut now = now(&self.hands.clock);
        now.mono = at_least.map_or(now.mono, |instant| instant.max(now.mono));
        if self.hands.end_at.is_some_and(|end| end <= now.mono) {
            self.hands.end_at = None;
            self.hands.log.info("Timeout reached");
            let synchronised = self.engine.tracking(now.mono).following != Following::Nothing;
            self.engine.handle_input(now, Input::Terminate);
            let status = self.act();
            return status.map(|status| status.max(u8::from(!synchronised)));
        }
        if let Some(metrics) = &mut self.hands.metrics {
            metrics.expire(now.mono, &mut self.hands.waiter);
        }
        if self.hands.helpers_at.take_if(|at| *at <= now.mono).is_some() {
            self.hands.look_up();
            self.hands.ask_constraints();
        }
        self.take_over_if_free(now.mono);
        self.reload_if_due(now.mono);
        if let Some(table) = self.hands.leap_files.read_again(now, &mut self.hands.log) {
            self.engine.handle_input(now, Input::LeapTable(table.clone()));
        }
        if self
            .engine
            .poll_timeout()
            .is_some_and(|timeout| timeout <= now.mono)
        {
            self.engine.handle_timeout(now);
        }
        None
    }
}

impl Hands {
    /// Starts the next lookup, if one waits and none is under way.
    pub(crate) fn look_up(&mut self) {
        match self.resolver.start() {
            Ok(Some(pipe)) => {
                self.waiter.watch(RESOLVER, pipe, os::Watch::Readable);
                self.is_helpless = false;
            }
            Ok(None) => {}
            Err(error) => self.lack_helper("start resolver", &error),
        }
    }

    /// Has those constraints be asked whose turn it is.
    pub(crate) fn ask_constraints(&mut self) {
        if let Err(error) = self.constraints.start(&mut self.waiter) {
            self.lack_helper("ask constraint", &error);
        }
    }

    /// A helper could not be started, as there are too many threads or descriptors: whoever waits for it is waited for by
    /// the engine, so that it is tried again until it succeeds.
    fn lack_helper(&mut self, what: &str, error: &io::Error) {
        self.helpers_at = Some(self.clock.now().mono.plus_seconds(HELPERS_AGAIN_S));
        if !std::mem::replace(&mut self.is_helpless, true) {
            self.log.warn(&format!("Could not {what} : {}", reason(error)));
        }
    }
}

/// Reads the clocks for the engine.
pub(crate) fn now(clock: &Clock) -> Now {
    let reading = clock.now();
    Now {
        mono: reading.mono,
        wall: reading.wall,
        slept_ns: reading.slept_ns,
    }
}
