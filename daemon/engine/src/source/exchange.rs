//! One request and its answer: what is sent, and the tests an answer has to pass.
//!
//! The tests are numbered as in RFC 5905 §9.2 and §11 with chrony's additions, so that `chronyc ntpdata` and
//! the measurements log show them in the same places.

use std::net::IpAddr;

use units::{Leap, Mono, NtpTimestamp, UnixTime};
use wire::ntp::Header;

use crate::io::StampSource;
use crate::source::moment::Moment;

/// The largest sane root distance of a server, seconds (RFC 5905, MAXDISP).
const ROOT_DISTANCE_MAX_S: f64 = 16.0;

/// A packet of ours that waits for its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// The transmit timestamp it carried: what an answer in basic mode brings back.
    pub cookie: NtpTimestamp,
    /// The receive timestamp it carried: what an interleaved answer brings back; zero if there can be none.
    pub interleaved_cookie: NtpTimestamp,
    /// When it left, best knowledge so far.
    pub sent: Moment,
    /// When it left, on the monotonic clock.
    pub sent_at: Mono,
    /// An answer has been taken.
    pub answered: bool,
    /// The answer may be read later than it comes.
    pub is_put_off: bool,
    /// How often the clock had been stepped when it was sent.
    pub steps: u64,
    /// It only went ahead of the one that measures (`presend`).
    pub ahead: bool,
    /// When the packet came whose arrival [`Self::interleaved_cookie`] tells to a peer.
    pub acknowledges: Option<Moment>,
}

/// An exchange that is over, and of which the next interleaved answer tells when the answer really left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Past {
    /// The transmit timestamp of our packet.
    pub cookie: NtpTimestamp,
    /// When our packet left.
    pub sent: Moment,
    /// When it came there.
    pub remote_received: NtpTimestamp,
    /// When the answer came here.
    pub received: Moment,
    /// It gave a sample already.
    pub used: bool,
}

/// What the four timestamps of a measurement are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timestamps {
    /// Our packet left.
    pub sent: Moment,
    /// It came there.
    pub remote_received: NtpTimestamp,
    /// The answer left there.
    pub remote_sent: NtpTimestamp,
    /// It came here.
    pub received: Moment,
}

/// The results of the tests of one answer: passed or not. Later ones are not passed when earlier ones are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tests {
    /// 1: it is no duplicate.
    pub fresh: bool,
    /// 2: it answers our request.
    pub origin: bool,
    /// 3: its timestamps are there.
    pub timestamps: bool,
    /// 5: it is authentic, as far as we ask for that.
    pub authentic: bool,
    /// 6: the server is synchronised.
    pub synchronised: bool,
    /// 7: the root distance is sane.
    pub distance: bool,
    /// A: the delay and the interval between the timestamps make sense.
    pub delay: bool,
    /// B: the delay is within the allowed ratio to the least one.
    pub delay_ratio: bool,
    /// C: the delay is within the allowed deviation, or quantile.
    pub delay_deviation: bool,
    /// D: the server is not synchronised to us.
    pub no_loop: bool,
}

impl Tests {
    /// Whether the packet is one that the server meant for us: 1 to 5.
    pub fn valid(self) -> bool {
        self.fresh && self.origin && self.timestamps && self.authentic
    }

    /// Whether its time can be used: 1 to 7.
    pub fn synchronised(self) -> bool {
        self.valid() && self.synchronised && self.distance
    }

    /// Whether it gives a sample: all.
    pub fn good(self) -> bool {
        self.synchronised() && self.delay && self.delay_ratio && self.delay_deviation && self.no_loop
    }

    /// The bits of `chronyc ntpdata`: 1 in bit 9 down to D in bit 0.
    pub fn bits(self) -> u16 {
        [
            self.fresh,
            self.origin,
            self.timestamps,
            self.authentic,
            self.synchronised,
            self.distance,
            self.delay,
            self.delay_ratio,
            self.delay_deviation,
            self.no_loop,
        ]
        .into_iter()
        .fold(0, |bits, passed| bits << 1 | u16::from(passed))
    }
}

/// What an answer says about the clock.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measurement {
    /// True time − where the system clock is heading, seconds: what is being corrected already is not in it, as in chronyd's
    /// logs and reports, while the source's own `offset` is. Positive: the clock is behind.
    pub offset_s: f64,
    /// The round trip, seconds.
    pub delay_s: f64,
    /// What is known of its error beside the round trip, seconds.
    pub dispersion_s: f64,
    /// The part of that which a wrong frequency makes, seconds: the round trip is off by it, while at the middle
    /// between sending and receiving it cancels out.
    pub frequency_dispersion_s: f64,
    /// The middle between sending and receiving, on the system clock.
    pub middle: UnixTime,
    /// The same on the oscillator.
    pub at: Mono,
    /// True time − oscillator, the source's own `offset` included, seconds.
    pub phase_s: f64,
    /// How long the server took to answer, seconds.
    pub response_s: f64,
}

/// Where the system clock is heading: where it will be when what is being corrected has been.
#[derive(Debug, Clone, Copy)]
pub struct Heading {
    /// An instant of the oscillator.
    pub at: Mono,
    /// Where it is heading − oscillator then, seconds.
    pub phase_s: f64,
    /// The rate that makes up for the oscillator.
    pub frequency: f64,
}

impl Heading {
    /// Where it is heading − oscillator at another instant of the oscillator, seconds.
    pub fn phase_s(&self, at: Mono) -> f64 {
        self.phase_s + self.frequency * at.seconds_since(self.at)
    }
}

/// The last valid answer of a source, for reports.
#[derive(Debug, Clone, PartialEq)]
pub struct LastAnswer {
    /// Its header.
    pub header: Header,
    /// The local address it came to.
    pub local: Option<IpAddr>,
    /// The tests.
    pub tests: Tests,
    /// The measurement.
    pub measurement: Measurement,
    /// Who took the transmit timestamp.
    pub sent_by: StampSource,
    /// Who took the receive timestamp.
    pub received_by: StampSource,
    /// Its transmit timestamp is that of the answer before.
    pub interleaved: bool,
}

impl Timestamps {
    /// Reads the clock off them (RFC 5905 §8).
    ///
    /// `era_start` is the first second of the window of 2^32 in which the remote time is thought to lie, Unix
    /// seconds; `frequency` the rate that makes up for the oscillator, `skew` its error; `precision_s` that of
    /// both clocks.
    pub fn measure(
        &self,
        era_start: i64,
        frequency: f64,
        skew: f64,
        heading: Heading,
        precision_s: f64,
    ) -> Measurement {
        let remote_received = UnixTime::from_ntp_in_window(self.remote_received, era_start);
        let remote_sent = UnixTime::from_ntp_in_window(self.remote_sent, era_start);
        let local_s = self.received.at.seconds_since(self.sent.at) * (1.0 + frequency);
        let response_s = remote_sent.seconds_since(remote_received);
        let phase_s = f64::midpoint(
            self.sent.phase_s(remote_received),
            self.received.phase_s(remote_sent),
        );
        let half_s = self.received.wall.seconds_since(self.sent.wall) / 2.0;
        let at = self
            .sent
            .at
            .plus_seconds(self.received.at.seconds_since(self.sent.at) / 2.0);
        Measurement {
            // Between packets of peers the oscillator goes on for a while.
            offset_s: phase_s + frequency * self.received.at.seconds_since(at)
                - heading.phase_s(self.received.at),
            delay_s: local_s - response_s,
            dispersion_s: precision_s + skew * local_s.abs(),
            frequency_dispersion_s: skew * local_s.abs(),
            middle: self.sent.wall.plus_seconds(half_s),
            at,
            phase_s,
            response_s,
        }
    }
}

/// Test 6: the server has time to give.
pub fn is_synchronised(header: &Header) -> bool {
    header.leap != Leap::Unsynchronised && header.stratum.is_valid()
}

/// Test 7: its distance to the primary reference is sane.
pub fn is_distance_sane(header: &Header) -> bool {
    header.root_delay.as_seconds() / 2.0 + header.root_dispersion.as_seconds() < ROOT_DISTANCE_MAX_S
}
