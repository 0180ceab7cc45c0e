//! What the engine wants done, done: one arm for each of its outputs.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use conf::config::Server;
use engine::io::{
    ClockCommand, Input, KernelClock, KernelPulses, Output, RefClockReading, Severity, SocketUse,
};
use os::files::ReplaceError;
use os::{ClockError, KernelState, SharedMemory, Token, Trace, UdpOptions, UdpSocket, Watch, reason};
use units::Mono;

use crate::conflict::refusal;
use crate::constraint::Request;
use crate::files::{SourceFiles, dump_path, take_dumps, write_drift, write_dump, write_rtc};
use crate::keys;
use crate::log::Log;
use crate::log_files::Change;
use crate::passed::{Port, server_address};
use crate::run::{Daemon, Hands, now};

impl Daemon {
    /// Carries out one output; `Some` is the exit status.
    pub(crate) fn carry_out(&mut self, output: Output) -> Option<u8> {
        let hands = &mut self.hands;
        match output {
            Output::Open { socket, purpose } => match hands.open(purpose) {
                Ok(open) => {
                    hands
                        .waiter
                        .watch(Token(socket.0), &open, Watch::ReadableOrStamped);
                    hands.sockets.insert(socket, open);
                }
                Err(error) => {
                    // Without a network every request fails; that nobody is reached is said elsewhere, once.
                    let severity = match purpose {
                        SocketUse::Client { .. } => Severity::Debug,
                        SocketUse::Server { .. } => Severity::Warning,
                    };
                    let text = format!(
                        "Could not open NTP socket {} : {}",
                        named(purpose, &hands.config.server),
                        reason(&error)
                    );
                    hands.log.write(severity, &text);
                    if let SocketUse::Client { remote, .. } = purpose
                        && let Some(warning) = hands.links.explain(hands.links.with_link(remote))
                    {
                        hands.log.warn(&warning);
                    }
                }
            },
            Output::Close { socket } => {
                hands.waiter.forget(Token(socket.0));
                hands.sockets.remove(&socket);
            }
            Output::Datagram {
                socket,
                to,
                from,
                bytes,
            } => {
                let sent = hands
                    .sockets
                    .get(&socket)
                    .is_some_and(|open| open.send(&bytes, hands.links.with_link(to), from).is_ok());
                if !sent {
                    self.tell(Input::SendFailed { socket });
                }
            }
            Output::ReadLater { socket, until } => hands.waiter.put_off(Token(socket.0), until),
            Output::ControlReply { peer, bytes } => hands.control.reply(peer, &bytes),
            Output::Clock(command) => self.steer(command),
            Output::Resolve { lookup, name } => {
                hands.resolver.ask(lookup.0, name);
                hands.look_up();
            }
            Output::AskConstraint {
                request,
                address,
                url,
                true_time,
            } => {
                let asked = Request {
                    address,
                    url,
                    true_time,
                };
                match hands.constraints.ask(request, asked) {
                    Ok(()) => hands.ask_constraints(),
                    Err(error) => {
                        let answer = Err(error);
                        self.tell(Input::Constraint { request, answer });
                    }
                }
            }
            Output::Log {
                severity,
                topic,
                text,
            } => hands.log.write_about(topic, severity, &text),
            Output::LogFile { file, line } => match hands.log_files.write(file, &line) {
                Some(Change::Fails(text)) => hands.log.warn(&text),
                Some(Change::Works(text)) => hands.log.info(&text),
                None => {}
            },
            Output::Statistics { kind, at, line } => match hands.statistics_files.write(kind, at, &line) {
                Some(Change::Fails(text)) => hands.log.warn(&text),
                Some(Change::Works(text)) => hands.log.info(&text),
                None => {}
            },
            Output::WriteDrift {
                frequency_ppm,
                skew_ppm,
            } => {
                if let Some(voice) = &mut hands.voice {
                    voice.remember(frequency_ppm, &mut hands.log);
                } else if let Some(drift) = &hands.config.clock.drift_file {
                    said(&mut hands.log, write_drift(drift, frequency_ppm, skew_ppm));
                }
            }
            Output::WriteDump { source, text } => {
                if let Some(directory) = &hands.dump_dir {
                    let path = dump_path(directory, &source);
                    said(&mut hands.log, write_dump(&path, &text));
                }
            }
            Output::Rtc(command) => self.act_on_rtc(command),
            Output::WriteRtcFile(error) => {
                let path = hands.config.rtc.file.as_deref().map(Path::new);
                let is_written = path.is_some_and(|path| {
                    let written = write_rtc(path, &error);
                    let is_written = written.is_ok();
                    said(&mut hands.log, written);
                    is_written
                });
                self.tell(Input::RtcFileWritten { is_written });
            }
            Output::ReadRefClock { ref_clock } => self.read_ref_clock(ref_clock),
            Output::ReadKernelClock => {
                let state = hands.clock.kernel_state().ok();
                self.tell(Input::KernelClock(state.as_ref().map(kernel_clock)));
            }
            Output::FindRoute { source, remote } => {
                let found = hands.open(SocketUse::Client {
                    remote,
                    local_port: 0,
                });
                let exists = found.is_ok();
                self.tell(Input::Route { source, exists });
            }
            Output::ReadSourceFiles => {
                let (sources, problems) =
                    conf::chrony::read_source_dirs(&hands.config.source_dirs, &SourceFiles);
                for problem in problems {
                    hands.log.warn(&problem.as_original());
                }
                self.tell(Input::SourceFiles(sources));
            }
            Output::ReadKeys => match keys::load(&hands.config, &mut hands.log) {
                Ok(keys) => self.tell(Input::Keys(keys)),
                Err(refused) => hands.log.warn(&format!("{refused} : the keys stay as they were")),
            },
            Output::CycleLogs => {
                hands.log.reopen();
                hands.log_files.close();
                hands.statistics_files.close();
            }
            Output::Happened(event) => {
                if let Some(voice) = &mut hands.voice {
                    voice.tell(event, &mut hands.log);
                }
            }
            Output::Ready => self.ready(),
            Output::Exit { status } => return Some(status),
        }
        None
    }

    /// Asks the driver of a reference clock.
    fn read_ref_clock(&mut self, ref_clock: u32) {
        let place = usize::try_from(ref_clock).unwrap_or(usize::MAX);
        let driver = self.hands.ref_clocks.get_mut(place);
        let reading = driver.and_then(SharedMemory::take).map(|sample| RefClockReading {
            at: sample.at,
            offset_s: sample.offset_s,
            leap: sample.leap,
        });
        self.tell(Input::RefClock { ref_clock, reading });
    }

    /// Acts upon the clock, and tells the engine how that went.
    fn steer(&mut self, command: ClockCommand) {
        let clock = self.hands.clock;
        if let Some(finder) = &mut self.hands.conflict {
            let (trace, mono) = (clock.trace().ok(), now(&clock).mono);
            if let Err(reason) = finder.before_write(trace.as_ref(), mono) {
                let reason = reason.to_owned();
                return self.leave_clock(&command, &reason, trace);
            }
        }
        let done = match command {
            ClockCommand::SetFrequency { ppm } => clock.set_frequency(ppm).map(Some),
            ClockCommand::Step { by_s } => clock.step(by_s).map(|()| None),
            ClockCommand::SetStatus {
                synchronised,
                leap,
                estimated_error_s,
                max_error_s,
            } => clock
                .set_status(synchronised, leap, estimated_error_s, max_error_s)
                .map(|()| None),
            ClockCommand::SetTai { offset_s } => clock.set_tai(offset_s).map(|()| None),
        };
        if let Some(finder) = &mut self.hands.conflict
            && done.is_ok()
        {
            finder.written(clock.trace().ok());
        }
        let hands = &mut self.hands;
        let refused = match done {
            Ok(Some(ppm)) => {
                if let Some(voice) = &mut hands.voice {
                    voice.rate_set(ppm, &mut hands.log);
                }
                return self.tell(Input::FrequencyApplied { ppm });
            }
            Ok(None) => return,
            Err(ClockError::Refused(error)) => reason(&error),
            Err(error) => error.to_string(),
        };
        if let Some(voice) = &mut hands.voice {
            voice.refused(&command, &refused, &mut hands.log);
        }
        self.tell(Input::ClockRefused { reason: &refused });
    }

    /// Leaves the clock to its other keeper.
    fn leave_clock(&mut self, command: &ClockCommand, reason: &str, trace: Option<Trace>) {
        let hands = &mut self.hands;
        if let Some(voice) = &mut hands.voice {
            voice.steers(false, Some(command));
        }
        if hands.condition.conflict.is_none() {
            hands.log.warn(&refusal(reason));
            hands.condition.conflict = Some(reason.to_owned());
            hands.condition.steers = false;
        }
        // What was to be done is not done; after that nothing is asked for.
        self.tell(Input::ClockRefused {
            reason: "it has another keeper",
        });
        self.tell(Input::Steering {
            steers: false,
            rate_ppm: trace.map_or(0.0, |trace| trace.rate_ppm),
        });
    }

    /// Takes the clock over if there has been no sign of another keeper for long enough.
    pub(crate) fn take_over_if_free(&mut self, now: Mono) {
        let hands = &mut self.hands;
        let Some(finder) = hands
            .conflict
            .as_mut()
            .filter(|finder| finder.deadline().is_some_and(|at| at <= now))
        else {
            return;
        };
        let trace = hands.clock.trace().ok();
        if finder.look_again(trace.as_ref(), now) {
            hands
                .log
                .info("The clock has no other keeper any more and is steered from now on");
            hands.condition.conflict = None;
            hands.condition.steers = true;
            if let Some(voice) = &mut hands.voice {
                voice.steers(true, None);
            }
            let rate_ppm = trace.map_or(0.0, |trace| trace.rate_ppm);
            self.tell(Input::Steering {
                steers: true,
                rate_ppm,
            });
        } else {
            hands.condition.conflict = finder.reason().map(str::to_owned);
        }
    }

    /// Takes past measurements, and tells who waits that the daemon is ready.
    fn ready(&mut self) {
        if let Some(directory) = self.hands.dump_dir.clone() {
            for (source, text) in take_dumps(&directory) {
                if self.hands.reload {
                    self.tell(Input::Dump {
                        source: &source,
                        text: &text,
                    });
                }
            }
        }
        self.hands.announcements.ready(&mut self.hands.log);
    }
}

impl Hands {
    /// Opens an NTP socket.
    fn open(&self, purpose: SocketUse) -> io::Result<UdpSocket> {
        let (client, server) = (&self.config.client, &self.config.server);
        let options = match purpose {
            SocketUse::Client { remote, local_port } => UdpOptions {
                ipv6: remote.is_ipv6(),
                address: match remote {
                    SocketAddr::V4(_) => client.bind_ipv4.map(IpAddr::V4),
                    SocketAddr::V6(_) => client.bind_ipv6.map(IpAddr::V6),
                },
                port: local_port,
                remote: Some(self.links.with_link(remote)),
                device: client.bind_device.as_deref(),
                early: local_port != 0,
                ..UdpOptions::default()
            },
            SocketUse::Server { ipv6, port } => UdpOptions {
                ipv6,
                address: bound_to(server, ipv6),
                port,
                passed: self.passed.at(Port::Ntp, server_address(server, ipv6, port)),
                device: server.bind_device.as_deref(),
                early: true,
                broadcast: !server.broadcasts.is_empty(),
                ..UdpOptions::default()
            },
        };
        UdpSocket::open(&UdpOptions {
            dscp: client.dscp,
            packet_info: true,
            stamp_received: true,
            stamp_sent: true,
            ..options
        })
    }
}

/// What the kernel says of its clock, in the engine's words.
const fn kernel_clock(state: &KernelState) -> KernelClock {
    KernelClock {
        offset_s: state.offset_s,
        frequency_ppm: state.frequency_ppm,
        max_error_s: state.max_error_s,
        estimated_error_s: state.estimated_error_s,
        status: state.status,
        time_constant: state.time_constant,
        precision_s: state.precision_s,
        tolerance_ppm: state.tolerance_ppm,
        pps: KernelPulses {
            frequency_ppm: state.pps_frequency_ppm,
            stability_ppm: state.pps_stability_ppm,
            jitter_s: state.pps_jitter_s,
            interval: state.pps_interval,
            calibrations: state.pps_calibrations,
            errors: state.pps_errors,
            jitter_exceeded: state.pps_jitter_exceeded,
            stability_exceeded: state.pps_stability_exceeded,
        },
    }
}

/// The address of this host at which requests are answered; none: all.
fn bound_to(server: &Server, ipv6: bool) -> Option<IpAddr> {
    if ipv6 {
        server.bind_ipv6.map(IpAddr::V6)
    } else {
        server.bind_ipv4.map(IpAddr::V4)
    }
}

/// How a socket is called in messages.
fn named(purpose: SocketUse, server: &Server) -> String {
    match purpose {
        SocketUse::Client { remote, .. } => format!("to {remote}"),
        SocketUse::Server { ipv6, port } => format!("on {}", server_address(server, ipv6, port)),
    }
}

/// Logs that a file could not be written.
fn said(log: &mut Log, written: Result<(), ReplaceError>) {
    if let Err(error) = written {
        log.warn(&error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn a_socket_is_called_by_the_address_that_it_is_to_have() {
        let socket = |ipv6| SocketUse::Server { ipv6, port: 123 };
        let mut server = Server::default();
        assert_eq!(named(socket(false), &server), "on 0.0.0.0:123");
        assert_eq!(named(socket(true), &server), "on [::]:123");
        server.bind_ipv4 = Some(Ipv4Addr::LOCALHOST);
        server.bind_ipv6 = Some(Ipv6Addr::LOCALHOST);
        assert_eq!(named(socket(false), &server), "on 127.0.0.1:123");
        assert_eq!(named(socket(true), &server), "on [::1]:123");
    }
}
