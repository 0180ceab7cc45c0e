//! Times set by hand.

use crate::candm::cursor::{BadField, Cursor, Writer};
use crate::candm::timespec::Timespec;

/// Reports what setting the time by hand did (chrony command protocol, MANUAL_TIMESTAMP2 reply).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ManualTimestamp {
    /// The offset found, seconds; positive: the clock was ahead.
    pub offset_s: f64,
    /// The change of frequency, ppm.
    pub frequency_change_ppm: f64,
    /// The new frequency, ppm.
    pub frequency_ppm: f64,
}

impl ManualTimestamp {
    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        writer.float(self.offset_s);
        writer.float(self.frequency_change_ppm);
        writer.float(self.frequency_ppm);
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            offset_s: cursor.float("offset")?,
            frequency_change_ppm: cursor.float("frequency change")?,
            frequency_ppm: cursor.float("frequency")?,
        })
    }
}

/// Reports one time set by hand (chrony command protocol, MANUAL_LIST2 reply).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ManualSample {
    /// When it was set.
    pub when: Timespec,
    /// The offset, adjusted for corrections made since, seconds.
    pub slewed_offset_s: f64,
    /// The offset as found, seconds.
    pub original_offset_s: f64,
    /// The residual of the regression, seconds.
    pub residual_s: f64,
}

impl ManualSample {
    /// The number of samples that fit one reply.
    pub const SAMPLES_MAX: usize = 16;

    pub(in crate::candm) fn write_list(samples: &[Self], writer: &mut Writer) {
        let samples = samples.get(..Self::SAMPLES_MAX).unwrap_or(samples);
        writer.u32(u32::try_from(samples.len()).unwrap_or(0));
        for sample in samples {
            writer.timespec(sample.when);
            writer.float(sample.slewed_offset_s);
            writer.float(sample.original_offset_s);
            writer.float(sample.residual_s);
        }
    }

    pub(in crate::candm) fn read_list(cursor: &mut Cursor<'_>) -> Result<Vec<Self>, BadField> {
        let field = "number of samples";
        let samples = usize::try_from(cursor.u32(field)?).unwrap_or(usize::MAX);
        if samples > Self::SAMPLES_MAX {
            return Err(BadField(field));
        }
        (0..samples)
            .map(|_| {
                Ok(Self {
                    when: cursor.timespec("time")?,
                    slewed_offset_s: cursor.float("slewed offset")?,
                    original_offset_s: cursor.float("original offset")?,
                    residual_s: cursor.float("residual")?,
                })
            })
            .collect()
    }
}
