//! One source: what it said last, what its samples tell, and what the selection makes of it.

use std::fmt;
use std::net::IpAddr;

use units::{Leap, PollInterval, ReferenceId, Stratum};

use crate::select::{Options, Status};
use crate::source::Counts;
use crate::source::exchange::LastAnswer;

/// One source and its newest sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceReport {
    /// The name or address it was configured with.
    pub name: String,
    /// Its address, or the number that stands for it until its name is resolved.
    pub place: Place,
    /// How it is asked.
    pub mode: Mode,
    /// The interval between requests.
    pub poll: PollInterval,
    /// Its stratum; [`Stratum::ZERO`] before it said anything.
    pub stratum: Stratum,
    /// What the last selection made of it.
    pub status: Status,
    /// The last eight polls, newest in bit 0: 1 for a good answer.
    pub reach: u8,
    /// Its newest sample.
    pub newest: Option<Newest>,
}

/// Where a source is. Displays as the log and `chronyc` have it: an address, or `ID#0000000001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At this address.
    Address(IpAddr),
    /// In this machine: a reference clock with this identifier.
    ReferenceClock(ReferenceId),
    /// Nobody knows yet; this number, from 1, stands for the address.
    Unresolved(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::ReferenceClock(id) => formatter.write_str(&id.ascii()),
            Self::Unresolved(number) => write!(formatter, "ID#{number:010}"),
        }
    }
}

/// How a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As a client asks a server.
    Client,
    /// As a peer.
    Peer,
    /// As a reference clock.
    ReferenceClock,
}

/// The newest sample of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Newest {
    /// How old it is, whole seconds.
    pub age_s: u32,
    /// The offset as measured, true time − where the system clock was heading then, seconds.
    pub measured_offset_s: f64,
    /// The same after all corrections made and commanded since, seconds.
    pub offset_s: f64,
    /// The most that it can be wrong by, seconds.
    pub error_s: f64,
}

/// What the samples of a source tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// How many samples there are.
    pub samples: u32,
    /// How many runs of them lie on one side of the estimate.
    pub runs: u32,
    /// The time from the first to the last, seconds.
    pub span_s: f64,
    /// What can be estimated from them; `None` without samples.
    pub estimate: Option<Estimate>,
}

/// The estimate that the samples of a source give, at the moment of the report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The standard deviation of a sample, seconds.
    pub deviation_s: f64,
    /// How much our clock gains against the source, after compensation, ppm.
    pub frequency_ppm: f64,
    /// The error of that, ppm.
    pub skew_ppm: f64,
    /// True time − our clock, after all that is commanded, seconds.
    pub offset_s: f64,
    /// The most that this can be wrong by, seconds.
    pub offset_error_s: f64,
}

/// What the last selection made of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection {
    /// How far it came.
    pub status: Status,
    /// Whether its answers are authenticated.
    pub authenticated: bool,
    /// What it announces.
    pub leap: Leap,
    /// The options it was configured with.
    pub configured: Options,
    /// Its options after `authselectmode`.
    pub effective: Options,
    /// The age of its newest sample then, seconds.
    pub age_s: f64,
    /// How much better than the selected source it was lately.
    pub score: f64,
    /// The least that our clock is behind by what it says, seconds.
    pub low_s: f64,
    /// The most, seconds.
    pub high_s: f64,
}

/// The last valid packet of a source, and counts.
#[derive(Debug, Clone, PartialEq)]
pub struct PacketReport {
    /// Where it is asked; before its name is resolved, the number that stands for its address.
    pub place: Place,
    /// The UDP port at which it is asked.
    pub port: u16,
    /// The packet, if there was one.
    pub answer: Option<LastAnswer>,
    /// Whether its answers must be authentic.
    pub authenticated: bool,
    /// What part of the variable delay is thought to be on the way there, −0.5…0.5.
    pub asymmetry: f64,
    /// Counts of packets.
    pub counts: Counts,
}

/// How a source is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Authentication {
    /// By what.
    pub mode: AuthenticationMode,
    /// The number of the key's algorithm in chrony's protocol; 0 without a key.
    pub algorithm: u16,
    /// The length of the key, bits; 0 without a key.
    pub key_bits: u16,
}

/// By what a source is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthenticationMode {
    /// By nothing.
    #[default]
    None,
    /// By the symmetric key of this number.
    Key(u32),
}

/// How many sources do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// They are asked.
    pub online: u32,
    /// They are not asked.
    pub offline: u32,
    /// They are in a burst and asked afterwards too.
    pub burst_online: u32,
    /// They are in a burst and not asked afterwards.
    pub burst_offline: u32,
    /// Their names have no address yet.
    pub unresolved: u32,
}
