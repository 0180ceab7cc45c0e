//! The state of the system clock.

use crate::candm::address::Address;
use crate::candm::cursor::{BadField, Cursor, Writer};
use crate::candm::reference_id::ReferenceId;
use crate::candm::timespec::Timespec;

/// Reports the state of the system clock (chrony command protocol, TRACKING reply).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracking {
    /// What the clock is synchronised to; [`ReferenceId::UNSYNCHRONISED`] or
    /// [`ReferenceId::LOCAL`] when to nothing.
    pub reference_id: ReferenceId,
    /// The selected NTP source; unspecified for a reference clock, the local reference, or none.
    pub address: Address,
    /// The stratum of this clock, one more than its source's; 0 when unsynchronised.
    pub stratum: u16,
    /// Whether a leap second is pending, or the clock is not synchronised.
    pub leap: Leap,
    /// The time of the last update from a source; zero when unsynchronised.
    pub reference_time: Timespec,
    /// The correction that is left to be slewed, seconds; positive: the system clock is behind.
    pub current_correction_s: f64,
    /// The offset estimated at the last clock update, seconds; positive: the local clock was ahead.
    pub last_offset_s: f64,
    /// The long-term root mean square of `last_offset_s`, seconds.
    pub rms_offset_s: f64,
    /// The frequency error being compensated, ppm; positive: the clock would run fast.
    pub frequency_ppm: f64,
    /// The difference between the frequency the reference suggests and the one in use, ppm.
    pub residual_frequency_ppm: f64,
    /// The error bound of the frequency, ppm.
    pub skew_ppm: f64,
    /// The round-trip delay to the stratum-1 source, seconds; 1 when unsynchronised.
    pub root_delay_s: f64,
    /// The dispersion accumulated back to the stratum-1 source, seconds; 1 when unsynchronised.
    pub root_dispersion_s: f64,
    /// The interval between the last two clock updates, seconds.
    pub last_update_interval_s: f64,
}

impl Tracking {
    /// Returns the bound of the system clock's error, in seconds: the correction that is left,
    /// half the root delay, and the root dispersion, added up.
    ///
    /// Meaningless while [`is_synchronised`](Self::is_synchronised) is false. Source: the chrony
    /// manual, command `tracking`, "root dispersion".
    pub fn error_bound_s(&self) -> f64 {
        self.current_correction_s.abs() + self.root_delay_s / 2.0 + self.root_dispersion_s
    }

    /// Reports whether the clock follows a source: an NTP source, a reference clock, or times set
    /// by hand, but not merely itself. This is the condition `chronyc waitsync` waits for.
    pub fn is_synchronised(&self) -> bool {
        self.address != Address::Unspecified
            || !matches!(
                self.reference_id,
                ReferenceId::UNSYNCHRONISED | ReferenceId::LOCAL
            )
    }

    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        writer.u32(self.reference_id.0);
        writer.address(self.address);
        writer.u16(self.stratum);
        writer.u16(u16::from(self.leap.code()));
        writer.timespec(self.reference_time);
        writer.float(self.current_correction_s);
        writer.float(self.last_offset_s);
        writer.float(self.rms_offset_s);
        writer.float(self.frequency_ppm);
        writer.float(self.residual_frequency_ppm);
        writer.float(self.skew_ppm);
        writer.float(self.root_delay_s);
        writer.float(self.root_dispersion_s);
        writer.float(self.last_update_interval_s);
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            reference_id: cursor.reference_id("reference id")?,
            address: cursor.address("address")?,
            stratum: cursor.u16("stratum")?,
            leap: Leap::from_code(cursor.u16("leap")?)?,
            reference_time: cursor.timespec("reference time")?,
            current_correction_s: cursor.float("current correction")?,
            last_offset_s: cursor.float("last offset")?,
            rms_offset_s: cursor.float("RMS offset")?,
            frequency_ppm: cursor.float("frequency")?,
            residual_frequency_ppm: cursor.float("residual frequency")?,
            skew_ppm: cursor.float("skew")?,
            root_delay_s: cursor.float("root delay")?,
            root_dispersion_s: cursor.float("root dispersion")?,
            last_update_interval_s: cursor.float("last update interval")?,
        })
    }
}

/// Says whether a leap second is pending (RFC 5905 §7.3, leap indicator).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leap {
    /// No leap second is pending.
    Normal,
    /// The last minute of the day has 61 seconds.
    InsertSecond,
    /// The last minute of the day has 59 seconds.
    DeleteSecond,
    /// The clock is not synchronised.
    NotSynchronised,
}

impl Leap {
    /// Returns the words `chronyc` prints.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::InsertSecond => "Insert second",
            Self::DeleteSecond => "Delete second",
            Self::NotSynchronised => "Not synchronised",
        }
    }

    /// Returns the character `chronyc selectdata` prints.
    pub const fn character(self) -> char {
        match self {
            Self::Normal => 'N',
            Self::InsertSecond => '+',
            Self::DeleteSecond => '-',
            Self::NotSynchronised => '?',
        }
    }

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::InsertSecond => 1,
            Self::DeleteSecond => 2,
            Self::NotSynchronised => 3,
        }
    }

    pub(super) const fn from_code(code: u16) -> Result<Self, BadField> {
        match code {
            0 => Ok(Self::Normal),
            1 => Ok(Self::InsertSecond),
            2 => Ok(Self::DeleteSecond),
            3 => Ok(Self::NotSynchronised),
            _ => Err(BadField("leap")),
        }
    }
}
