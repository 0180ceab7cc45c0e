//! Sources: the last measurement, the statistics, and how many do what.

use crate::candm::address::Address;
use crate::candm::cursor::{BadField, Cursor, Writer};
use crate::candm::reference_id::ReferenceId;

/// Reports one source and its last measurement (chrony command protocol, SOURCE_DATA reply).
///
/// Positive offsets mean that the local clock is ahead of the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceData {
    /// The NTP source, or a placeholder while its name is unresolved. A reference clock has its
    /// reference id here in the form of an IPv4 address, see
    /// [`reference_id`](Self::reference_id).
    pub address: Address,
    /// The polling interval in use, log2 s.
    pub poll_log2_s: i16,
    /// The stratum of the source; 0 without samples.
    pub stratum: u16,
    /// How the source takes part in the selection.
    pub state: SourceState,
    /// What kind of source it is.
    pub mode: SourceMode,
    /// Reserved; 0 in chrony 3.x to 4.8.
    pub flags: u16,
    /// Which of the last eight polls were answered, newest in bit 0.
    pub reachability: u16,
    /// The age of the last sample, seconds; `None` without samples.
    pub since_sample_s: Option<u32>,
    /// The offset of the last sample as measured, seconds.
    pub measured_offset_s: f64,
    /// The offset of the last sample, adjusted for the clock corrections made since, seconds.
    pub adjusted_offset_s: f64,
    /// The error bound of the last sample: half its root delay and its root dispersion, seconds.
    pub offset_error_s: f64,
}

impl SourceData {
    /// Returns the reference id of a reference clock, `None` for other sources.
    pub fn reference_id(&self) -> Option<ReferenceId> {
        match (self.mode, self.address) {
            (SourceMode::ReferenceClock, Address::V4(address)) => Some(ReferenceId(address.to_bits())),
            _ => None,
        }
    }

    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        writer.address(self.address);
        writer.i16(self.poll_log2_s);
        writer.u16(self.stratum);
        writer.u16(self.state.code());
        writer.u16(self.mode.code());
        writer.u16(self.flags);
        writer.u16(self.reachability);
        writer.age(self.since_sample_s);
        writer.float(self.measured_offset_s);
        writer.float(self.adjusted_offset_s);
        writer.float(self.offset_error_s);
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            address: cursor.address("address")?,
            poll_log2_s: cursor.i16("poll")?,
            stratum: cursor.u16("stratum")?,
            state: SourceState::read(cursor)?,
            mode: SourceMode::read(cursor)?,
            flags: cursor.u16("flags")?,
            reachability: cursor.u16("reachability")?,
            since_sample_s: cursor.age("age of last sample")?,
            measured_offset_s: cursor.float("measured offset")?,
            adjusted_offset_s: cursor.float("adjusted offset")?,
            offset_error_s: cursor.float("offset error")?,
        })
    }
}

/// Says how a source takes part in the selection (chrony command protocol, SOURCE_DATA state).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceState {
    /// The best source, the clock is synchronised to it.
    Selected,
    /// Cannot be selected: unreachable, unsynchronised, or without enough samples.
    Unselectable,
    /// Disagrees with the majority of sources.
    Falseticker,
    /// Too variable to be selected.
    Jittery,
    /// Combined with the selected source.
    Combined,
    /// Selectable, but not combined.
    NotCombined,
}

impl SourceState {
    /// Returns the character `chronyc sources` prints.
    pub const fn character(self) -> char {
        match self {
            Self::Selected => '*',
            Self::Unselectable => '?',
            Self::Falseticker => 'x',
            Self::Jittery => '~',
            Self::Combined => '+',
            Self::NotCombined => '-',
        }
    }

    const fn code(self) -> u16 {
        match self {
            Self::Selected => 0,
            Self::Unselectable => 1,
            Self::Falseticker => 2,
            Self::Jittery => 3,
            Self::Combined => 4,
            Self::NotCombined => 5,
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let field = "state";
        match cursor.u16(field)? {
            0 => Ok(Self::Selected),
            1 => Ok(Self::Unselectable),
            2 => Ok(Self::Falseticker),
            3 => Ok(Self::Jittery),
            4 => Ok(Self::Combined),
            5 => Ok(Self::NotCombined),
            _ => Err(BadField(field)),
        }
    }
}

/// Says what kind of source it is (chrony command protocol, SOURCE_DATA mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceMode {
    /// A server, asked in client mode.
    Client,
    /// A symmetric peer.
    Peer,
    /// A reference clock.
    ReferenceClock,
}

impl SourceMode {
    /// Returns the character `chronyc sources` prints.
    pub const fn character(self) -> char {
        match self {
            Self::Client => '^',
            Self::Peer => '=',
            Self::ReferenceClock => '#',
        }
    }

    const fn code(self) -> u16 {
        match self {
            Self::Client => 0,
            Self::Peer => 1,
            Self::ReferenceClock => 2,
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let field = "mode";
        match cursor.u16(field)? {
            0 => Ok(Self::Client),
            1 => Ok(Self::Peer),
            2 => Ok(Self::ReferenceClock),
            _ => Err(BadField(field)),
        }
    }
}

/// Reports the statistics of one source (chrony command protocol, SOURCESTATS reply).
///
/// Positive offsets mean that the local clock is ahead of the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceStats {
    /// The reference id of the source; zero while its name is unresolved.
    pub reference_id: ReferenceId,
    /// The NTP source; unspecified for a reference clock.
    pub address: Address,
    /// The number of samples in the regression.
    pub samples: u32,
    /// The number of runs of residuals with the same sign.
    pub runs: u32,
    /// The interval between the oldest and the newest sample, seconds.
    pub span_s: u32,
    /// The estimated standard deviation of the samples, seconds; 4 without samples.
    pub standard_deviation_s: f64,
    /// The frequency of the local clock relative to the source, after compensation, ppm.
    pub residual_frequency_ppm: f64,
    /// The error bound of the frequency, ppm; 2000 without samples.
    pub skew_ppm: f64,
    /// The offset estimated for the time of the request, seconds.
    pub offset_s: f64,
    /// The error bound of `offset_s`, seconds.
    pub offset_error_s: f64,
}

impl SourceStats {
    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        writer.u32(self.reference_id.0);
        writer.address(self.address);
        writer.u32(self.samples);
        writer.u32(self.runs);
        writer.u32(self.span_s);
        writer.float(self.standard_deviation_s);
        writer.float(self.residual_frequency_ppm);
        writer.float(self.skew_ppm);
        writer.float(self.offset_s);
        writer.float(self.offset_error_s);
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            reference_id: cursor.reference_id("reference id")?,
            address: cursor.address("address")?,
            samples: cursor.u32("samples")?,
            runs: cursor.u32("runs")?,
            span_s: cursor.u32("span")?,
            standard_deviation_s: cursor.float("standard deviation")?,
            residual_frequency_ppm: cursor.float("residual frequency")?,
            skew_ppm: cursor.float("skew")?,
            offset_s: cursor.float("offset")?,
            offset_error_s: cursor.float("offset error")?,
        })
    }
}

/// Counts NTP sources by what they are doing (chrony command protocol, ACTIVITY reply).
///
/// Each source counts once; reference clocks are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Activity {
    /// Sources that are polled.
    pub online: i32,
    /// Sources that are not polled.
    pub offline: i32,
    /// Sources in a burst that go online after it.
    pub burst_online: i32,
    /// Sources in a burst that go offline after it.
    pub burst_offline: i32,
    /// Sources whose names are not resolved yet.
    pub unresolved: i32,
}

impl Activity {
    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        writer.i32(self.online);
        writer.i32(self.offline);
        writer.i32(self.burst_online);
        writer.i32(self.burst_offline);
        writer.i32(self.unresolved);
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            online: cursor.i32("online")?,
            offline: cursor.i32("offline")?,
            burst_online: cursor.i32("burst to online")?,
            burst_offline: cursor.i32("burst to offline")?,
            unresolved: cursor.i32("unresolved")?,
        })
    }
}
