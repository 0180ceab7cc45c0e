//! One source of time: asking it, judging its answers, keeping what they tell.

pub mod exchange;
pub mod poll;

use std::net::{IpAddr, SocketAddr};

use conf::config::{SourceConfig, SourceKind, SourceName};
use units::{Leap, Mono, NtpTimestamp, ReferenceId, Stratum};
use wire::ntp::{Header, Version};

use crate::estimate::{Estimator, Prior, Sample};
use crate::io::{SocketId, Stamp, StampSource};
use crate::source::exchange::{LastAnswer, Measurement, Pending, Tests};
use crate::source::poll::Polling;
use crate::timeline::Timeline;

/// A source, by a number that is not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// The longest a server may take to answer, seconds: what it says after that tells little about now.
const RESPONSE_MAX_S: f64 = 4.0;

/// Counts of packets, for `chronyc ntpdata`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub sent: u32,
    /// Packets received.
    pub received: u32,
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

/// One source of time.
#[derive(Debug)]
pub struct Source {
    /// What it was asked for.
    pub config: SourceConfig,
    /// Its address; `None` while its name is not resolved.
    pub address: Option<IpAddr>,
    /// Whether it is asked.
    pub online: bool,
    /// When it is asked.
    pub polling: Polling,
    /// The last eight polls, newest in bit 0: 1 for a good answer.
    pub reach: u8,
    /// How many polls there were, up to 8, for the width of `reach`.
    pub polls: u8,
    /// How many polls went by since the last good answer.
    pub unreachable_polls: u32,
    /// The socket of the request under way.
    pub socket: Option<SocketId>,
    /// The request under way.
    pub pending: Option<Pending>,
    /// What its answers tell about the oscillator.
    pub estimator: Estimator,
    /// The newest measurement as measured, true time − system clock, seconds.
    pub last_offset_s: f64,
    /// The last valid answer.
    pub last_answer: Option<LastAnswer>,
    /// Counts of packets.
    pub counts: Counts,
    /// Whether there is a sample that the selection has not seen.
    pub updated: bool,
    /// Its time, as it last said.
    pub stratum: Stratum,
    /// Its leap announcement, as it last said.
    pub leap: Leap,
    /// Its reference, as it last said.
    pub reference_id: ReferenceId,
}

/// What the checks of an answer need to know of us.
#[derive(Debug, Clone, Copy)]
pub struct Local {
    /// The precision of our clock, seconds.
    pub precision_s: f64,
    /// The error of our frequency.
    pub skew: f64,
    /// The first second of the era of the server's time, Unix seconds.
    pub era_start: i64,
    /// Our stratum and the reference id under which we are known to those who ask us, when we are synchronised
    /// to somebody.
    pub stratum: Stratum,
}

impl Source {
    /// Returns a source that has not been asked yet.
    pub fn new(config: SourceConfig, prior: Prior, samples_max: u32) -> Self {
        let address = match &config.name {
            SourceName::Address(address) => Some(*address),
            SourceName::Name(_) => None,
        };
        let samples_max = config.max_samples.unwrap_or(samples_max);
        Self {
            address,
            online: !config.offline,
            polling: Polling::new(&config),
            reach: 0,
            polls: 0,
            unreachable_polls: 0,
            socket: None,
            pending: None,
            estimator: Estimator::new(prior, usize::try_from(samples_max).unwrap_or(0)),
            last_offset_s: 0.0,
            last_answer: None,
            counts: Counts::default(),
            updated: false,
            stratum: Stratum::ZERO,
            leap: Leap::Unsynchronised,
            reference_id: ReferenceId::UNSYNCHRONISED,
            config,
        }
    }

    /// Where it is asked; `None` while its name is not resolved.
    pub fn remote(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, self.config.port))
    }

    /// What the log calls it: the address, and the name if that is another.
    pub fn label(&self) -> String {
        match (&self.address, &self.config.name) {
            (Some(address), SourceName::Name(name)) => format!("{address} ({name})"),
            (Some(address), SourceName::Address(_)) => address.to_string(),
            (None, name) => name.to_string(),
        }
    }

    /// Whether it is a peer.
    pub fn is_peer(&self) -> bool {
        self.config.kind == SourceKind::Peer
    }

    /// A poll begins: its bit in the reachability register is not set yet. A burst is one poll.
    pub fn begin_poll(&mut self) {
        self.reach <<= 1;
        self.polls = (self.polls + 1).min(8);
        self.unreachable_polls = self.unreachable_polls.saturating_add(1);
    }

    /// The version of NTP in requests.
    pub fn version(&self) -> Version {
        self.config
            .version
            .and_then(Version::from_number)
            .unwrap_or_default()
    }

    /// Notes a request that goes out.
    pub fn sent(&mut self, cookie: NtpTimestamp, stamp: Stamp, at: Mono) {
        self.counts.sent = self.counts.sent.saturating_add(1);
        self.pending = Some(Pending {
            cookie,
            sent: stamp,
            sent_at: at,
            answered: false,
        });
        self.polling.sent(self.reach != 0);
    }

    /// A better timestamp of the request under way.
    pub fn transmitted(&mut self, cookie: NtpTimestamp, stamp: Stamp) {
        match stamp.source {
            StampSource::Daemon => {}
            StampSource::Kernel => self.counts.sent_by_kernel = self.counts.sent_by_kernel.saturating_add(1),
            StampSource::Hardware => {
                self.counts.sent_by_hardware = self.counts.sent_by_hardware.saturating_add(1);
            }
        }
        if let Some(pending) = &mut self.pending
            && pending.cookie == cookie
            && stamp.source >= pending.sent.source
        {
            pending.sent = stamp;
        }
    }

    /// Judges an answer; a good one becomes a sample.
    pub fn answered(
        &mut self,
        header: &Header,
        authentic: bool,
        received: Stamp,
        local_address: Option<IpAddr>,
        local: &Local,
        timeline: &Timeline,
    ) -> Tests {
        self.counts.received = self.counts.received.saturating_add(1);
        match received.source {
            StampSource::Daemon => {}
            StampSource::Kernel => {
                self.counts.received_by_kernel = self.counts.received_by_kernel.saturating_add(1);
            }
            StampSource::Hardware => {
                self.counts.received_by_hardware = self.counts.received_by_hardware.saturating_add(1);
            }
        }
        let mut tests = Tests::default();
        let Some(pending) = &self.pending else {
            return tests;
        };
        tests.fresh = !pending.answered;
        tests.origin = header.origin_time == pending.cookie;
        tests.timestamps = !header.receive_time.is_zero() && !header.transmit_time.is_zero();
        tests.authentic = authentic;
        if !tests.valid() {
            return tests;
        }
        let sent = pending.sent;
        let precision_s = local
            .precision_s
            .max(2_f64.powi(i32::from(header.precision.clamp(-32, 0))));
        let waited_s = received.at.seconds_since(sent.at).abs();
        let measurement = exchange::measure(
            sent.at,
            received.at,
            header,
            precision_s + local.skew * waited_s,
            local.era_start,
        );
        if let Some(pending) = &mut self.pending {
            pending.answered = true;
        }
        self.counts.valid = self.counts.valid.saturating_add(1);
        self.judge(&mut tests, header, &measurement, local, timeline);
        self.last_answer = Some(LastAnswer {
            header: *header,
            local: local_address,
            tests,
            measurement,
            sent_by: sent.source,
            received_by: received.source,
        });
        if tests.synchronised() {
            self.stratum = header.stratum.max(Stratum(self.config.min_stratum));
            self.leap = header.leap;
            self.reference_id = header.reference_id;
            self.reach |= 1;
            self.unreachable_polls = 0;
        }
        if tests.good() {
            self.counts.good = self.counts.good.saturating_add(1);
            self.take(header, &measurement, timeline);
        }
        tests
    }

    /// The tests that look at time and delay.
    fn judge(
        &self,
        tests: &mut Tests,
        header: &Header,
        measurement: &Measurement,
        local: &Local,
        timeline: &Timeline,
    ) {
        tests.synchronised = exchange::is_synchronised(header);
        tests.distance = exchange::is_distance_sane(header);
        let config = &self.config;
        let delay_s = measurement.delay_s;
        tests.delay = delay_s <= config.max_delay_s
            && delay_s > -2.0 * measurement.dispersion_s
            // Servers blur the digits beyond their precision, so that an answer may seem to leave before its request came.
            && (-4.0 * measurement.dispersion_s..=RESPONSE_MAX_S).contains(&measurement.response_s)
            && measurement.offset_s.is_finite();
        let least_s = self.estimator.delay_min_s().unwrap_or(delay_s);
        tests.delay_ratio = config.max_delay_ratio <= 0.0
            || delay_s <= least_s * config.max_delay_ratio + measurement.dispersion_s;
        tests.delay_deviation = self.is_deviation_allowed(measurement, least_s, timeline);
        tests.no_loop = !(header.stratum > Stratum::PRIMARY && self.is_our_address(header, local));
    }

    /// Test C: the delay is not so much larger than the least one that the sample can tell nothing new.
    fn is_deviation_allowed(&self, measurement: &Measurement, least_s: f64, timeline: &Timeline) -> bool {
        let ratio = self.config.max_delay_dev_ratio;
        let (Some(noise_s), true) = (
            self.estimator.noise_s(),
            ratio > 0.0 && self.estimator.count() >= 8,
        ) else {
            return true;
        };
        let excess_s = measurement.delay_s - least_s;
        if excess_s <= ratio * noise_s.max(measurement.dispersion_s) * 2.0 {
            return true;
        }
        // A sample with a long delay still counts when it shows an error larger than the delay explains.
        let at = timeline.oscillator(timeline.mono(measurement.middle));
        let phase_s = measurement.offset_s + timeline.correction_s(timeline.mono(measurement.middle));
        self.estimator
            .state_at(at)
            .is_some_and(|state| (phase_s - state.phase_s).abs() > excess_s + measurement.delay_s / 2.0)
    }

    /// Test D: the server's reference is the address at which it was asked from.
    fn is_our_address(&self, header: &Header, local: &Local) -> bool {
        let Some(IpAddr::V4(ours)) = self.last_answer.as_ref().and_then(|answer| answer.local) else {
            return false;
        };
        local.stratum <= header.stratum && header.reference_id == ReferenceId::from_ipv4(ours)
    }

    /// Takes a measurement in as a sample.
    fn take(&mut self, header: &Header, measurement: &Measurement, timeline: &Timeline) {
        let at = timeline.mono(measurement.middle);
        let offset_s = measurement.offset_s + self.config.offset_s;
        self.last_offset_s = offset_s;
        self.estimator.add(Sample {
            at: timeline.oscillator(at),
            phase_s: offset_s + timeline.correction_s(at),
            delay_s: measurement.delay_s.max(measurement.dispersion_s),
            dispersion_s: measurement.dispersion_s,
            root_delay_s: header.root_delay.as_seconds(),
            root_dispersion_s: header.root_dispersion.as_seconds(),
        });
        self.polling.sampled(&self.estimator);
        self.updated = true;
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
