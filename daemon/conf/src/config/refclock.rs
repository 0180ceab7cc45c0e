//! A reference clock: a receiver or another program of this machine that tells the time.

use super::source::SelectOptions;

/// Describes one reference clock.
#[derive(Debug, Clone, PartialEq)]
pub struct RefClock {
    /// Where its samples come from.
    pub driver: RefClockDriver,
    /// Its reference id, 1 to 4 bytes and zeros; default the first three letters of the driver and the place among
    /// the reference clocks.
    pub reference_id: [u8; 4],
    /// How often its samples are made into one, log2 s, −32…32; default 4.
    pub poll: i8,
    /// How often a driver that has to be asked is asked, log2 s, −32…32; default 0. Not above `poll`.
    pub driver_poll: i8,
    /// The largest number of samples that are made into one, at least 1; default 64.
    pub filter_length: u32,
    /// What is added to its offsets, seconds; default 0.
    pub offset_s: f64,
    /// What it adds to the root delay, seconds, at least 0; default 1e-9.
    pub delay_s: f64,
    /// What its samples may be wrong by, seconds; default the precision of the system clock.
    pub precision_s: Option<f64>,
    /// The stratum, 0…15; default 0.
    pub stratum: u8,
    /// Whether it tells TAI and not UTC; default off. Needs a table of leap seconds.
    pub is_tai: bool,
    /// The least number of samples kept; default [`super::Selection::min_samples`]. timeballd decides it
    /// itself.
    pub min_samples: Option<u32>,
    /// The largest number of samples kept; default [`super::Selection::max_samples`].
    pub max_samples: Option<u32>,
    /// For how many polls it may stay selected without a sample; default 100000.
    pub max_unreach: u32,
    /// How it takes part in the selection; default no restrictions.
    pub select: SelectOptions,
}

/// Says where samples come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefClockDriver {
    /// A segment of shared memory, into which another program writes (`SHM`).
    SharedMemory {
        /// Its number; its key is that of the driver 28 of ntpd and this.
        unit: i32,
        /// Who may use it if it has to be made, 0…0o777; default 0o600.
        permissions: u32,
    },
}

impl RefClock {
    /// Returns the clock with every option at its default.
    pub fn new(driver: RefClockDriver, reference_id: [u8; 4]) -> Self {
        Self {
            driver,
            reference_id,
            poll: 4,
            driver_poll: 0,
            filter_length: 64,
            offset_s: 0.0,
            delay_s: 1e-9,
            precision_s: None,
            stratum: 0,
            is_tai: false,
            min_samples: None,
            max_samples: None,
            max_unreach: 100_000,
            select: SelectOptions::default(),
        }
    }
}
