//! Answering clients: the sockets, and what they are told about our clock.

use std::net::{IpAddr, SocketAddr};

use conf::config::{ClientLog as ClientLogRule, Config, Family, LeapMode};
use units::{Leap, Mode, Mono, NtpShort, ReferenceId, Stratum, UnixTime};
use wire::ntp::{DATAGRAM_LENGTH_MAX, Datagram, Packet, Version};

use crate::engine::Engine;
use crate::io::{Now, Output, SocketId, Stamp};
use crate::ports::Holder;
use crate::server::client_log::ClientLog;
use crate::server::reply::{Moments, ServerState};
use crate::server::{Question, Server, Silence};

/// ntpd looks at what is as long as a control message, and only then finds it too short.
const LOOKED_AT_MIN: usize = 12;

/// What others are told about our clock, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Served {
    /// Whether a leap second is announced, or the clock is not synchronised.
    pub leap: Leap,
    /// Our stratum; 0 when unsynchronised.
    pub stratum: Stratum,
    /// What we follow.
    pub reference_id: ReferenceId,
    /// The address of what we follow, if it is an NTP source.
    pub address: Option<IpAddr>,
    /// When the clock was last corrected.
    pub reference_time: UnixTime,
    /// The round trip to the primary reference, seconds.
    pub root_delay_s: f64,
    /// The dispersion to the primary reference now, seconds.
    pub root_dispersion_s: f64,
}

impl Engine {
    /// What is told about our clock now: what the sources say, or the local reference, or that it is not
    /// synchronised.
    pub fn served(&self, now: Mono) -> Served {
        let reference = self.discipline.reference();
        let dispersion_s = self.discipline.root_dispersion_s(now, &self.timeline);
        let distance_s = reference
            .zip(dispersion_s)
            .map(|(reference, dispersion_s)| reference.root_delay_s / 2.0 + dispersion_s);
        if let Some(rule) = self.local.active(now, distance_s, self.discipline.updated_at()) {
            // It is as good as new all the time; the whole second hides nothing and blurs nothing.
            let reference_time = UnixTime::from_seconds(self.true_time(now).seconds() - 1);
            return Served {
                leap: self.leaps.pending(),
                stratum: Stratum(rule.stratum),
                reference_id: ReferenceId::LOCAL,
                address: None,
                reference_time,
                root_delay_s: 0.0,
                root_dispersion_s: 0.0,
            };
        }
        match (reference, dispersion_s) {
            (Some(reference), Some(root_dispersion_s)) => Served {
                leap: self.leaps.pending(),
                stratum: reference.stratum,
                reference_id: reference.id,
                address: reference.address,
                reference_time: reference.time,
                root_delay_s: reference.root_delay_s,
                root_dispersion_s,
            },
            _ => Served {
                leap: Leap::Unsynchronised,
                stratum: Stratum::ZERO,
                reference_id: ReferenceId::UNSYNCHRONISED,
                address: None,
                reference_time: UnixTime::from_seconds(units::NTP_EPOCH_UNIX_SECONDS),
                root_delay_s: 1.0,
                root_dispersion_s: 1.0,
            },
        }
    }

    /// The best guess of true time: the system clock and what is left to correct of it.
    pub fn true_time(&self, now: Mono) -> UnixTime {
        self.timeline
            .wall(now)
            .plus_seconds(self.discipline.remaining_s(now, &self.timeline))
    }

    /// Opens the sockets for those who may ask, and closes those for whom nobody may.
    pub fn open_for_clients(&mut self) {
        let wanted = [
            (false, Family::V6, self.server.allows_any(false)),
            (true, Family::V4, self.server.allows_any(true)),
        ];
        for (ipv6, other, wanted) in wanted {
            if wanted && self.config.family != Some(other) {
                self.ports.hold(ipv6, Holder::Answering, &mut self.out);
            } else {
                self.ports.release(ipv6, Holder::Answering, &mut self.out);
            }
        }
    }

    /// Answers a client, if it may ask.
    pub fn answer(
        &mut self,
        now: Now,
        socket: SocketId,
        from: SocketAddr,
        to: Option<IpAddr>,
        received: Stamp,
        bytes: &[u8],
    ) {
        if !self.ports.is_server(socket) {
            match Packet::decode(bytes) {
                Ok(packet) => self.packets.count_declined(&packet.header),
                Err(_) => self.count_malformed(from, bytes),
            }
            return;
        }
        self.count_received(from, to);
        let packet = match Datagram::decode(bytes) {
            Ok(Datagram::Packet(packet)) => packet,
            Ok(Datagram::Control(bytes)) => return self.answer_query(now, socket, from, to, bytes),
            Ok(Datagram::Private(_)) | Err(_) => return self.count_malformed(from, bytes),
        };
        let remaining_s = self.served_after_s(now.mono);
        let state = self.server_state(now.mono);
        let [random, ..] = (self.entropy)().to_le_bytes();
        let question = Question {
            packet,
            from,
            at: Moments {
                received: received.at.plus_seconds(remaining_s).to_ntp(),
                sent: now.wall.plus_seconds(remaining_s).to_ntp(),
            },
            received_by: received.source,
            now: now.mono,
            random,
            is_source: self.is_source_of_rule(from.ip()),
        };
        let mut buffer = [0; DATAGRAM_LENGTH_MAX];
        let keys = &self.keys;
        let length = match self
            .server
            .answer(&question, &state, |id| keys.get(id), &mut buffer)
        {
            Ok(length) => length,
            Err(silence) => return self.count_unanswered(&question, silence),
        };
        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
        self.packets.count_processed(&question.packet.header);
        self.packets.answers += 1;
        self.count_answered(to);
        self.out.push(Output::Datagram {
            socket,
            to: from,
            from: to,
            bytes,
        });
    }

    /// Counts a packet of the time that is not answered.
    fn count_unanswered(&mut self, question: &Question<'_>, silence: Silence) {
        let header = &question.packet.header;
        match silence {
            Silence::NotARequest if header.mode != Mode::Server => self.packets.malformed += 1,
            Silence::NotARequest if !self.server.is_allowed(question.from.ip()) => self.packets.denied += 1,
            // An answer, and nobody has asked.
            Silence::NotARequest | Silence::BufferTooSmall => self.packets.count_declined(header),
            Silence::Denied => self.packets.denied += 1,
            Silence::RateLimited => self.packets.limited += 1,
            Silence::Unauthenticated => self.packets.count_unauthenticated(header),
        }
    }

    /// Counts what is no packet. ntpd looks at the rules before it looks at the rest of a packet.
    fn count_malformed(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Some(&first) = bytes.first() else {
            return;
        };
        let version = Version::from_number(first >> 3 & 7);
        let mode = Mode::from_bits(first);
        if let (Some(version), Mode::Client | Mode::Server) = (version, mode)
            && bytes.len() >= LOOKED_AT_MIN
        {
            if !self.server.is_allowed(from.ip()) {
                self.packets.denied += 1;
                return;
            }
            self.packets.count_version(version, mode);
        }
        self.packets.malformed += 1;
    }

    /// Reports whether an address is that of a source, where a rule asks for that.
    pub(crate) fn is_source_of_rule(&self, address: IpAddr) -> bool {
        let restrictions = self.server.restrictions.as_ref();
        let is_asked = restrictions.is_some_and(|restrictions| restrictions.of_sources.is_some());
        is_asked && self.sources.at(address).is_some()
    }

    /// Learns when an answer left.
    pub fn answered(&mut self, now: Mono, sent: Stamp, bytes: &[u8]) {
        if let Ok(packet) = Packet::decode(bytes) {
            let remaining_s = self.served_after_s(now);
            self.server.sent(
                &packet.header,
                sent.at.plus_seconds(remaining_s).to_ntp(),
                sent.source,
            );
        }
    }

    /// By how much served time is ahead of the system clock, seconds: what is left to correct, and what keeps it
    /// smooth.
    pub(crate) fn served_after_s(&self, now: Mono) -> f64 {
        self.discipline.remaining_s(now, &self.timeline)
            + self.discipline.smoothing_offset_s(now, &self.timeline)
    }

    /// What clients are told about the clock. Time that is not our best says so in its reference identifier.
    pub(crate) fn served_to_clients(&self, now: Mono) -> Served {
        let served = self.served(now);
        let offset_s = self.discipline.smoothing_offset_s(now, &self.timeline);
        Served {
            leap: match served.leap {
                Leap::Insert | Leap::Delete if self.is_smearing() => Leap::Normal,
                leap => leap,
            },
            reference_id: if offset_s.abs() > self.options.precision_s {
                ReferenceId::SMOOTHED
            } else {
                served.reference_id
            },
            reference_time: served.reference_time.plus_seconds(offset_s),
            ..served
        }
    }

    /// Whether clients are led through leap seconds without knowing.
    fn is_smearing(&self) -> bool {
        self.discipline.smears() && self.leaps.mode() == LeapMode::Slew
    }

    pub(crate) fn server_state(&self, now: Mono) -> ServerState {
        let served = self.served_to_clients(now);
        let precision = self.precision;
        let poll_min = self.server.poll_min();
        if served.leap == Leap::Unsynchronised {
            return ServerState::unsynchronised(precision, poll_min);
        }
        ServerState {
            leap: served.leap,
            stratum: served.stratum,
            reference_id: served.reference_id,
            reference_time: served.reference_time.to_ntp(),
            root_delay: NtpShort::from_seconds(served.root_delay_s),
            root_dispersion: NtpShort::from_seconds(served.root_dispersion_s),
            precision,
            poll_min,
        }
    }
}

/// The server that a configuration asks for; the seed keeps strangers from filling chosen places of its table.
pub(crate) fn server(config: &Config, seed: u64) -> Server {
    let log = match config.server.client_log {
        ClientLogRule::Off => None,
        ClientLogRule::On { limit_bytes } => Some(ClientLog::new(limit_bytes, seed)),
    };
    // Only `ntpq` is told.
    let log = match config.server.restrictions {
        Some(_) => log.map(ClientLog::with_scores),
        None => log,
    };
    let mut server = Server::new(log);
    server.rate_limit = config.server.rate_limit;
    server.restrictions = config.server.restrictions.clone();
    for rule in &config.server.access {
        // The configuration has checked its subnets.
        let _checked = server.access.set(rule);
    }
    server
}
