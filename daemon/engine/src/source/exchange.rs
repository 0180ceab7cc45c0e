//! One request and its answer: what is sent, and the tests an answer has to pass.
//!
//! The tests are numbered as in RFC 5905 §9.2 and §11 with chrony's additions, so that `chronyc ntpdata` and
//! the measurements log show them in the same places.

use std::net::IpAddr;

use units::{Leap, Mode, Mono, NtpTimestamp, PollInterval, Stratum, UnixTime};
use wire::ntp::{Header, Version};

use crate::io::{Stamp, StampSource};

/// The largest sane root distance of a server, seconds (RFC 5905, MAXDISP).
const ROOT_DISTANCE_MAX_S: f64 = 16.0;

/// A request that waits for its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// The transmit timestamp it carried: random, and what the answer has to bring back.
    pub cookie: NtpTimestamp,
    /// When it was sent, best knowledge so far.
    pub sent: Stamp,
    /// When it was sent, on the monotonic clock.
    pub sent_at: Mono,
    /// An answer has been taken.
    pub answered: bool,
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// True time − system clock, seconds; positive: the clock is behind.
    pub offset_s: f64,
    /// The round trip, seconds.
    pub delay_s: f64,
    /// What is known of its error beside the round trip, seconds.
    pub dispersion_s: f64,
    /// The middle between sending and receiving, on the system clock.
    pub middle: UnixTime,
    /// How long the server took to answer, seconds.
    pub response_s: f64,
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
}

/// The header of a request. It tells nothing about us but its version: servers need nothing else.
pub fn request(version: Version, poll: PollInterval, cookie: NtpTimestamp) -> Header {
    Header {
        leap: Leap::Normal,
        version,
        mode: Mode::Client,
        stratum: Stratum::ZERO,
        poll,
        precision: PRECISION_HIDDEN,
        transmit_time: cookie,
        ..Header::default()
    }
}

/// The precision that requests carry, log2 s: the same for everybody.
const PRECISION_HIDDEN: i8 = 32;

/// Reads the four timestamps of an exchange (RFC 5905 §8). `era_start` is the first second of the window of 2^32
/// in which the server's time is thought to lie, Unix seconds.
pub fn measure(
    sent: UnixTime,
    received: UnixTime,
    header: &Header,
    dispersion_s: f64,
    era_start: i64,
) -> Measurement {
    let server_received = UnixTime::from_ntp_in_window(header.receive_time, era_start);
    let server_sent = UnixTime::from_ntp_in_window(header.transmit_time, era_start);
    let round_trip_s = received.seconds_since(sent);
    let response_s = server_sent.seconds_since(server_received);
    let there_s = server_received.seconds_since(sent);
    let back_s = server_sent.seconds_since(received);
    Measurement {
        offset_s: f64::midpoint(there_s, back_s),
        delay_s: round_trip_s - response_s,
        dispersion_s,
        middle: sent.plus_seconds(round_trip_s / 2.0),
        response_s,
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
