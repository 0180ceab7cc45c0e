//! One source of time: asking it, judging its answers, keeping what they tell.
//!
//! A [`Source`] composes its packets ([`request`]) and judges what comes back ([`answer`], [`exchange`]); a good
//! measurement goes through the median filter ([`median`]), if there is one, into the
//! [`Estimator`]. [`poll`] says when the next one is due. Nothing here knows other
//! sources, names or sockets; those are in [`sources`](crate::sources).

pub mod answer;
#[cfg(test)]
mod between_peers;
#[cfg(test)]
mod conversations;
pub mod dump;
pub mod exchange;
pub mod line;
pub mod median;
pub mod moment;
pub mod poll;
pub mod quantile;
pub mod request;
pub mod symmetric;

use std::net::{IpAddr, SocketAddr};

use conf::config::{SourceConfig, SourceKind, SourceName};
use units::{Leap, Mono, PollInterval, ReferenceId, Stratum};
use wire::ntp::Header;

use crate::constraint::Constrained;
use crate::estimate::{Estimator, Prior, Sample};
use crate::io::{SocketId, StampSource};
use crate::select::Origin;
use crate::source::exchange::{LastAnswer, Past, Pending};
use crate::source::median::MedianFilter;
use crate::source::poll::Polling;
use crate::source::quantile::Quantile;
use crate::source::symmetric::Symmetric;
use crate::timeline::Timeline;

/// A peer is late when it was not heard for so many of its intervals.
const PEER_LATE: f64 = 1.5;

/// Answers of who is asked less often than this may be read later than they come, seconds.
const READ_LATER_INTERVAL_S: f64 = 4.0;

/// A source, by a number that is not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// Counts of packets, for `chronyc ntpdata`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub sent: u32,
    /// Packets received.
    pub received: u32,
    /// Those whose sender did not prove to be the source.
    pub unauthenticated: u32,
    /// Those that answered a request.
    pub valid: u32,
    /// Those that gave a sample.
    pub good: u32,
    /// Transmit timestamps of the kernel.
    pub sent_by_kernel: u32,
    /// Receive timestamps of the kernel.
    pub received_by_kernel: u32,
    /// Transmit timestamps of the network card.
    pub sent_by_hardware: u32,
    /// Receive timestamps of the network card.
    pub received_by_hardware: u32,
}

impl Counts {
    /// A packet came.
    fn arrived(&mut self, stamped_by: StampSource) {
        self.received = self.received.saturating_add(1);
        match stamped_by {
            StampSource::Daemon => {}
            StampSource::Kernel => self.received_by_kernel = self.received_by_kernel.saturating_add(1),
            StampSource::Hardware => {
                self.received_by_hardware = self.received_by_hardware.saturating_add(1);
            }
        }
    }

    /// The timestamp of a packet that was sent came back.
    fn transmitted(&mut self, stamped_by: StampSource) {
        match stamped_by {
            StampSource::Daemon => {}
            StampSource::Kernel => self.sent_by_kernel = self.sent_by_kernel.saturating_add(1),
            StampSource::Hardware => self.sent_by_hardware = self.sent_by_hardware.saturating_add(1),
        }
    }
}

/// One source of time.
#[derive(Debug)]
pub struct Source {
    /// What it was asked for.
    pub config: SourceConfig,
    /// Its address; `None` while its name is not resolved.
    pub address: Option<IpAddr>,
    /// Its reference identifier, if it is a reference clock and not a server.
    pub ref_clock: Option<ReferenceId>,
    /// The number that stands for the address while the name is not resolved (`ID#0000000001`), from 1.
    pub placeholder: u32,
    /// Its address came from a name, and nobody there has answered yet.
    pub is_tentative: bool,
    /// Whether it is asked.
    pub online: bool,
    /// When it is asked.
    pub polling: Polling,
    /// The last eight polls, newest in bit 0: 1 for an answer with time.
    pub reach: u8,
    /// How many polls there were, up to 8, for the width of `reach`.
    pub polls: u8,
    /// How many polls were missed since it is not reachable, the one that made it so included.
    pub unreachable_polls: u32,
    /// The socket of the request under way, if it is not shared.
    pub socket: Option<SocketId>,
    /// The last answer had been stamped by the kernel before it was read. Simulators of the network may stamp while it is
    /// read.
    pub is_stamped_on_arrival: bool,
    /// The packet under way.
    pub pending: Option<Pending>,
    /// The exchange that an interleaved answer would complete.
    pub past: Option<Past>,
    /// What is to be remembered of a peer.
    pub symmetric: Symmetric,
    /// When its last valid packet came.
    pub heard_at: Option<Mono>,
    /// Requests in a row that were not answered.
    unanswered: u8,
    /// The last kiss code, of which it was said that it came.
    pub kissed: Option<wire::ntp::KissCode>,
    /// Whether the poll under way has not been counted by the median filter yet.
    is_poll_open: bool,
    /// Whether the poll under way has its bit in [`Self::reach`].
    is_reach_settled: bool,
    /// Makes one sample of several (`filter`).
    filter: Option<MedianFilter>,
    /// The longest delay that is allowed (`maxdelayquant`).
    quantile: Option<Quantile>,
    /// What its answers tell about the oscillator.
    pub estimator: Estimator,
    /// The newest measurement as measured, true time − where the system clock was heading then, seconds.
    pub last_offset_s: f64,
    /// How many answers in a row came with a delay that deviates too much.
    deviations: u8,
    /// The last valid answer.
    pub last_answer: Option<LastAnswer>,
    /// Counts of packets.
    pub counts: Counts,
    /// Whether there is a sample that the selection has not seen.
    pub updated: bool,
    /// Its stratum, as it last said.
    pub stratum: Stratum,
    /// Its leap announcement, as it last said.
    pub leap: Leap,
    /// Its reference, as it last said.
    pub reference_id: ReferenceId,
}

/// What packets need to know of us.
#[derive(Debug, Clone, Copy)]
pub struct Local {
    /// The precision of our clock, seconds.
    pub precision_s: f64,
    /// The rate that makes up for the oscillator, as a part; positive: the oscillator is slow.
    pub frequency: f64,
    /// Its error.
    pub skew: f64,
    /// What is left to correct, true time − system clock, seconds.
    pub remaining_s: f64,
    /// The first second of the era of remote times, Unix seconds.
    pub era_start: i64,
    /// What we tell others of our clock: leap, stratum, precision, reference and root values.
    pub announced: Header,
    /// The port on which we answer others, if we do: at one of our addresses that is ourselves.
    pub own_port: Option<u16>,
    /// What constraints say about the time of others.
    pub constrained: Constrained,
}

impl Source {
    /// Returns a source that has not been asked yet.
    pub fn new(config: SourceConfig, prior: Prior, samples_max: u32) -> Self {
        let address = match &config.name {
            SourceName::Address(address) => Some(*address),
            SourceName::Name(_) => None,
        };
        let samples_max = config.max_samples.unwrap_or(samples_max);
        let mut polling = Polling::new(&config);
        if config.iburst && !config.offline && config.kind != SourceKind::Peer {
            polling.start_initial_burst();
        }
        Self {
            address,
            ref_clock: None,
            placeholder: 0,
            is_tentative: false,
            online: !config.offline,
            polling,
            reach: 0,
            polls: 0,
            unreachable_polls: 0,
            socket: None,
            is_stamped_on_arrival: false,
            pending: None,
            past: None,
            symmetric: Symmetric::default(),
            heard_at: None,
            unanswered: 0,
            kissed: None,
            is_poll_open: false,
            is_reach_settled: true,
            filter: (config.filter_length > 0).then(|| MedianFilter::new(config.filter_length)),
            quantile: (config.max_delay_quantile > 0.0).then(|| Quantile::new(config.max_delay_quantile)),
            estimator: Estimator::new(prior, usize::try_from(samples_max).unwrap_or(0)),
            last_offset_s: 0.0,
            deviations: 0,
            last_answer: None,
            counts: Counts::default(),
            updated: false,
            stratum: Stratum::ZERO,
            leap: Leap::Unsynchronised,
            reference_id: ReferenceId::UNSYNCHRONISED,
            config,
        }
    }

    /// Makes it a reference clock.
    #[must_use]
    pub(crate) fn into_ref_clock(mut self, id: ReferenceId, stratum: Stratum) -> Self {
        self.ref_clock = Some(id);
        self.stratum = stratum;
        self.reference_id = id;
        self.polling.set_near(true);
        self
    }

    /// How far it can be trusted not to be somebody else.
    pub(crate) fn origin(&self) -> Origin {
        match (self.ref_clock, self.config.key_id) {
            (Some(_), _) => Origin::ReferenceClock,
            (None, Some(_)) => Origin::Authenticated,
            (None, None) => Origin::Unauthenticated,
        }
    }

    /// Whether constraints are about it: nobody vouches for what it says, and it is asked over the network.
    pub(crate) fn is_constrained(&self) -> bool {
        !self.config.select.trust && self.ref_clock.is_none()
    }

    /// What others call it as a reference.
    pub(crate) fn own_reference_id(&self) -> ReferenceId {
        let of_address = self.address.map(reference_id);
        self.ref_clock
            .or(of_address)
            .unwrap_or(ReferenceId::UNSYNCHRONISED)
    }

    /// A poll of a reference clock is over; says whether its sample, if there is one, was taken in. `remaining_s` is what is
    /// left to correct, true time − system clock, seconds.
    pub(crate) fn poll_ref_clock(
        &mut self,
        sample: Option<Sample>,
        leap: Leap,
        timeline: &Timeline,
        remaining_s: f64,
    ) -> bool {
        self.is_reach_settled = false;
        let Some(sample) = sample else {
            self.missed();
            self.polling.set_near(true);
            return false;
        };
        self.reached();
        self.leap = leap;
        let offset_s = sample.phase_s - timeline.correction_at_oscillator_s(sample.at);
        self.last_offset_s = offset_s - remaining_s;
        self.add(sample, false)
    }

    /// Where it is asked; `None` while its name is not resolved.
    pub fn remote(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, self.config.port))
    }

    /// What the log calls it: the address or what stands for it, and the name if that is another.
    pub fn label(&self) -> String {
        match &self.config.name {
            SourceName::Name(name) if self.ref_clock.is_none() => format!("{} ({name})", self.place()),
            _ => self.place(),
        }
    }

    /// Its address or what stands for it.
    pub fn place(&self) -> String {
        match (self.address, self.ref_clock) {
            (Some(address), _) => address.to_string(),
            (None, Some(id)) => id.ascii(),
            (None, None) => format!("ID#{:010}", self.placeholder),
        }
    }

    /// Whether it is a peer.
    pub fn is_peer(&self) -> bool {
        self.config.kind == SourceKind::Peer
    }

    /// Whether its answer can wait for a second without harm: nobody is in a hurry, and the kernel says when it came.
    pub fn can_be_read_later(&self) -> bool {
        self.polling.burst().is_none()
            && self.polling.wait_s() >= READ_LATER_INTERVAL_S
            && self.is_stamped_on_arrival
    }

    /// Its answer may be read later than it comes; says on which socket.
    pub fn put_off(&mut self) -> Option<SocketId> {
        let pending = self.pending.as_mut().filter(|pending| !pending.answered)?;
        pending.is_put_off = self.socket.is_some();
        self.socket
    }

    /// Whether it is to be asked: always, or until the end of a burst.
    pub fn is_asked(&self) -> bool {
        self.address.is_some() && (self.online || self.polling.burst().is_some())
    }

    /// A poll begins, and with it the last one is over; says whether that was missed, and whether a sample came of
    /// it. `frequency` is the rate that makes up for the oscillator.
    pub fn begin_poll(&mut self, now: Mono, frequency: f64) -> (bool, bool) {
        let unanswered = self.pending.as_ref().is_some_and(|pending| !pending.answered);
        let missed = !self.is_reach_settled && !self.is_peer_in_time(now);
        if missed {
            self.missed();
        }
        let sampled = self.end_poll(frequency);
        self.is_reach_settled = false;
        self.is_poll_open = true;
        if self.config.burst && !self.is_peer() && self.online {
            self.polling.start_poll_burst();
        }
        self.polling.sent(unanswered && self.reach == 0);
        (missed, sampled)
    }

    /// Whether this is a peer that asks less often than we do, and is not due yet.
    fn is_peer_in_time(&self, now: Mono) -> bool {
        let (true, Some(heard_at), Some(answer)) = (self.is_peer(), self.heard_at, &self.last_answer) else {
            return false;
        };
        let interval_s = PollInterval(answer.header.poll.0.clamp(-7, 17)).as_seconds();
        now.seconds_since(heard_at) < PEER_LATE * interval_s
    }

    /// Forgets all measurements, and what they led to; `prior` is where the next ones begin.
    pub fn forget(&mut self, prior: Prior) {
        self.estimator.reset(prior);
        if let Some(filter) = &mut self.filter {
            filter.reset();
        }
        self.past = None;
        self.pending = None;
        self.symmetric = Symmetric::default();
        self.updated = false;
        self.polling.restart();
    }

    /// Moves phases with their origin, seconds.
    pub fn shift(&mut self, by_s: f64) {
        self.estimator.shift(by_s);
        if let Some(filter) = &mut self.filter {
            filter.shift(by_s);
        }
        if let Some(pending) = &mut self.pending {
            pending.sent.shift(by_s);
            if let Some(moment) = &mut pending.acknowledges {
                moment.shift(by_s);
            }
        }
        if let Some(past) = &mut self.past {
            past.sent.shift(by_s);
            past.received.shift(by_s);
        }
        self.symmetric.shift(by_s);
    }

    /// The poll under way was answered with time.
    fn reached(&mut self) {
        if std::mem::replace(&mut self.is_reach_settled, true) {
            return;
        }
        self.reach = (self.reach << 1) | 1;
        self.polls = (self.polls + 1).min(8);
        self.unreachable_polls = 0;
    }

    /// Is to be asked quickly at first, if that is configured (`iburst`).
    pub fn start_initial_burst(&mut self) {
        if self.config.iburst && !self.is_peer() {
            self.polling.start_initial_burst();
        }
    }

    /// From now on it counts as one that has not answered.
    pub fn forget_reach(&mut self) {
        self.is_reach_settled = true;
        (self.reach, self.unreachable_polls) = (0, 0);
    }

    /// The poll under way was not answered with time.
    fn missed(&mut self) {
        self.is_reach_settled = true;
        self.reach <<= 1;
        self.polls = (self.polls + 1).min(8);
        if self.reach == 0 {
            self.unreachable_polls = self.unreachable_polls.saturating_add(1);
            self.polling.set_near(false);
        }
    }
}

/// What a clock at this address is called as a reference (RFC 5905 §7.3): the address itself, or for IPv6 the
/// first four bytes of its MD5 digest.
pub fn reference_id(address: IpAddr) -> ReferenceId {
    match address {
        IpAddr::V4(address) => ReferenceId::from_ipv4(address),
        IpAddr::V6(address) => ReferenceId::from_ipv6_md5(wire::ntp::auth::md5(&address.octets())),
    }
}
