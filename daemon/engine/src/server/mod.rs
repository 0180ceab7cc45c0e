//! Answering clients.
//!
//! [`Server::answer`] is the way of one request: may its sender ask ([`access`]), did they ask too often
//! ([`client_log`], [`rate_limit`]), is it who it says and what do we say ([`reply`]), and when did the
//! answer before leave ([`interleave`]). It writes into a buffer of the caller's and tells what it did; nothing
//! here sends.

pub mod access;
pub mod client_log;
pub mod interleave;
pub mod rate_limit;
pub mod reply;
mod restrict;
mod statistics;

use std::net::{IpAddr, SocketAddr};

use conf::config::{RateLimit, Restrictions};
use units::{Mono, NtpTimestamp, PollInterval};
use wire::ntp::auth::Key;
use wire::ntp::{Header, KissCode, Packet};

use crate::io::StampSource;
use access::Access;
use client_log::{Arrival, ClientLog, Service};
use interleave::Interleave;
use rate_limit::Ruling;
use reply::{Moments, Proof, ServerState};

pub use statistics::{StampCounts, Statistics};

/// Holds everything that answers depend on, except the state of our clock.
#[derive(Debug, Clone)]
pub struct Server {
    /// Who may ask, where there are no `restrictions`.
    pub access: Access,
    /// Who may do what.
    pub restrictions: Option<Restrictions>,
    /// How often one client is answered; `None`: always. Without a client log it has no effect.
    pub rate_limit: Option<RateLimit>,
    /// What was counted.
    pub statistics: Statistics,
    log: Option<ClientLog>,
    interleave: Option<Interleave>,
}

/// A request and how it came.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The request.
    pub packet: Packet<'a>,
    /// Its sender.
    pub from: SocketAddr,
    /// When it arrived and when the answer leaves, on our clock.
    pub at: Moments,
    /// Who saw it arrive.
    pub received_by: StampSource,
    /// When it is answered, on the monotonic clock.
    pub now: Mono,
    /// Random bits.
    pub random: u8,
    /// Whether the sender's address is that of one of our sources.
    pub is_source: bool,
}

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The packet is not a request.
    NotARequest,
    /// The sender may not ask.
    Denied,
    /// The sender asks too often.
    RateLimited,
    /// The sender is not who they say. chronyd is silent too: a crypto-NAK would tell a forger as much as an
    /// honest client (observed with 4.3, all modes and versions).
    Unauthenticated,
    /// The answer did not fit into the buffer.
    BufferTooSmall,
}

impl Server {
    /// Returns a server whom nobody may ask, without a rate limit.
    ///
    /// `log` is what it remembers of clients; without it there is neither a rate limit nor the interleaved mode.
    #[must_use]
    pub fn new(log: Option<ClientLog>) -> Self {
        Self {
            access: Access::new(),
            restrictions: None,
            rate_limit: None,
            statistics: Statistics::default(),
            interleave: log.as_ref().map(|log| Interleave::new(log.most())),
            log,
        }
    }

    /// Writes the answer to a question into `out` and returns its length, or why there is none.
    ///
    /// `find_key` gives the symmetric key with a number; it is called for questions with an authenticator.
    /// No answer is longer than its request. A question with extension fields gets an answer without.
    ///
    /// # Errors
    /// Nothing is to be sent.
    pub fn answer<'k>(
        &mut self,
        question: &Question<'_>,
        state: &ServerState,
        find_key: impl FnOnce(u32) -> Option<&'k Key>,
        out: &mut [u8],
    ) -> Result<usize, Silence> {
        let request = &question.packet.header;
        let mode = reply::answer_mode(request, question.from.port()).ok_or(Silence::NotARequest)?;
        let terms = self.terms(question).ok_or(Silence::Denied)?;
        let limit = terms.limit;
        let ruling = self.note_packet(question, limit.as_ref());
        if ruling == Ruling::Drop {
            return Err(Silence::RateLimited);
        }
        let key = match reply::prove(&question.packet, find_key) {
            Proof::None if terms.only_authenticated => return Err(Silence::Unauthenticated),
            Proof::None => None,
            Proof::Key(key) => Some(key),
            Proof::Failed => return Err(Silence::Unauthenticated),
        };
        if key.is_some() {
            self.statistics.authenticated += 1;
        }
        let header = if ruling == Ruling::Kiss {
            self.statistics.kisses += 1;
            reply::kiss(request, mode, KissCode::Rate, question.at, state)
        } else {
            let answer = reply::answer(request, mode, question.at, state, self.interleave.as_mut());
            self.statistics.received_by.count(question.received_by);
            self.statistics
                .transmitted_by
                .count(answer.interleaved.unwrap_or_default());
            self.statistics.interleaved += u64::from(answer.interleaved.is_some());
            answer.header
        };
        reply::write(&header, key, out).map_err(|_| Silence::BufferTooSmall)
    }

    /// Learns when an answer really left. `answer` is its header, `by` who saw it leave.
    pub fn sent(&mut self, answer: &Header, at: NtpTimestamp, by: StampSource) {
        if let Some(interleave) = &mut self.interleave {
            interleave.sent(answer.receive_time, at, by);
        }
    }

    /// Learns that our clock was stepped: what was remembered in its time is worth nothing.
    pub fn clock_stepped(&mut self) {
        if let Some(interleave) = &mut self.interleave {
            interleave.clear();
        }
    }

    /// Notes a request for the time and decides what becomes of it.
    fn note_packet(&mut self, question: &Question<'_>, limit: Option<&RateLimit>) -> Ruling {
        let header = &question.packet.header;
        let arrival = Arrival {
            port: question.from.port(),
            version_and_mode: header.version.number() << 3 | header.mode.bits(),
        };
        let ruling = match &mut self.log {
            Some(log) => log.note_packet(question.from.ip(), arrival, question.now, limit, question.random),
            None => Ruling::Answer,
        };
        self.statistics.ntp_hits += 1;
        self.statistics.ntp_drops += u64::from(ruling != Ruling::Answer);
        ruling
    }

    /// Notes a request and decides what becomes of it. Requests for other services than NTP are answered elsewhere.
    ///
    /// `limit` is that service's rate limit. The caller keeps `None` for those whom it never limits.
    pub fn note_request(
        &mut self,
        from: IpAddr,
        service: Service,
        now: Mono,
        limit: Option<&RateLimit>,
        random: u8,
    ) -> Ruling {
        let ruling = match &mut self.log {
            Some(log) => log.note(from, service, now, limit, random),
            None => Ruling::Answer,
        };
        let (hits, drops) = match service {
            Service::Ntp => (&mut self.statistics.ntp_hits, &mut self.statistics.ntp_drops),
            Service::NtsKe => (
                &mut self.statistics.nts_ke_hits,
                &mut self.statistics.nts_ke_drops,
            ),
            Service::Command => (
                &mut self.statistics.command_hits,
                &mut self.statistics.command_drops,
            ),
        };
        *hits += 1;
        *drops += u64::from(ruling != Ruling::Answer);
        ruling
    }

    /// Returns the log of clients, if there is one.
    #[must_use]
    pub const fn log(&self) -> Option<&ClientLog> {
        self.log.as_ref()
    }

    /// Returns the log of clients, if there is one, to count anew.
    pub const fn log_mut(&mut self) -> Option<&mut ClientLog> {
        self.log.as_mut()
    }

    /// Returns the pairs of timestamps for the interleaved mode, if it is possible.
    #[must_use]
    pub const fn interleave(&self) -> Option<&Interleave> {
        self.interleave.as_ref()
    }

    /// Returns the shortest poll interval to be told to clients.
    #[must_use]
    pub fn poll_min(&self) -> PollInterval {
        self.rate_limit
            .map_or(reply::POLL_MIN, |limit| PollInterval(limit.interval))
    }
}

#[cfg(test)]
mod tests;
