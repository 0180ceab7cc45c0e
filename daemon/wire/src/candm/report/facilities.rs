//! Facilities of the daemon that are off unless configured: smoothing and the real-time clock.

use crate::candm::cursor::{BadField, Cursor, Writer};
use crate::candm::timespec::Timespec;

/// Bits of the flags word of the smoothing report.
const SMOOTHING_ACTIVE: u32 = 1;
const SMOOTHING_LEAP_ONLY: u32 = 2;

/// Reports the smoothing of served time (chrony command protocol, SMOOTHING reply).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smoothing {
    /// Whether smoothing is going on.
    pub active: bool,
    /// Whether only leap seconds are smoothed.
    pub leap_only: bool,
    /// The offset of the served time, seconds.
    pub offset_s: f64,
    /// The frequency offset of the served time, ppm.
    pub frequency_ppm: f64,
    /// The change of that frequency, ppm per second.
    pub wander_ppm_per_s: f64,
    /// The age of the last update, seconds.
    pub last_update_ago_s: f64,
    /// The time left until the served time is the true one, seconds.
    pub remaining_s: f64,
}

impl Smoothing {
    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        let active = if self.active { SMOOTHING_ACTIVE } else { 0 };
        let leap_only = if self.leap_only { SMOOTHING_LEAP_ONLY } else { 0 };
        writer.u32(active | leap_only);
        writer.float(self.offset_s);
        writer.float(self.frequency_ppm);
        writer.float(self.wander_ppm_per_s);
        writer.float(self.last_update_ago_s);
        writer.float(self.remaining_s);
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let flags = cursor.u32("flags")?;
        Ok(Self {
            active: flags & SMOOTHING_ACTIVE != 0,
            leap_only: flags & SMOOTHING_LEAP_ONLY != 0,
            offset_s: cursor.float("offset")?,
            frequency_ppm: cursor.float("frequency")?,
            wander_ppm_per_s: cursor.float("wander")?,
            last_update_ago_s: cursor.float("age of last update")?,
            remaining_s: cursor.float("remaining time")?,
        })
    }
}

/// Reports the state of the real-time clock (chrony command protocol, RTC reply).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rtc {
    /// When the real-time clock was last compared.
    pub reference_time: Timespec,
    /// The number of samples in the regression.
    pub samples: u16,
    /// The number of runs of residuals with the same sign.
    pub runs: u16,
    /// The interval between the oldest and the newest sample, seconds.
    pub span_s: u32,
    /// How far the real-time clock is ahead, seconds.
    pub fast_s: f64,
    /// The rate at which it gains, ppm.
    pub gain_ppm: f64,
}

impl Rtc {
    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        writer.timespec(self.reference_time);
        writer.u16(self.samples);
        writer.u16(self.runs);
        writer.u32(self.span_s);
        writer.float(self.fast_s);
        writer.float(self.gain_ppm);
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            reference_time: cursor.timespec("reference time")?,
            samples: cursor.u16("samples")?,
            runs: cursor.u16("runs")?,
            span_s: cursor.u32("span")?,
            fast_s: cursor.float("offset")?,
            gain_ppm: cursor.float("gain")?,
        })
    }
}
