//! How sources are chosen and how the clock follows them.

/// Says how sources are chosen and combined.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// How authentication changes the options of sources; default [`AuthSelectMode::Mix`].
    pub auth_select_mode: AuthSelectMode,
    /// How much farther than the selected source one may be to be combined with it, as a factor on
    /// its distance; default 3, and 0 combines none.
    pub combine_limit: f64,
    /// The largest root distance of a selectable source, seconds; default 3.
    pub max_distance_s: f64,
    /// The largest jitter of a selectable source, seconds; default 1.
    pub max_jitter_s: f64,
    /// The number of selectable sources without which the clock is not touched, at least 1; default 1.
    pub min_sources: u32,
    /// How much closer another source has to be to be selected instead, seconds; default 1e-4.
    pub reselect_distance_s: f64,
    /// What each stratum adds to the distance, seconds; default 0.001.
    pub stratum_weight_s: f64,
    /// The least stratum of a selectable source, 0…15; default 0.
    pub min_stratum: u8,
    /// The largest stratum of a selectable source, 0…15; default 15.
    pub max_stratum: u8,
    /// The least number of measurements kept of each source; default 6. timeballd decides it
    /// itself.
    pub min_samples: u32,
    /// The largest number of measurements kept of each source; default 0, which is as many as the
    /// daemon has room for. With 1 the frequency is not followed.
    pub max_samples: u32,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            auth_select_mode: AuthSelectMode::Mix,
            combine_limit: 3.0,
            max_distance_s: 3.0,
            max_jitter_s: 1.0,
            min_sources: 1,
            reselect_distance_s: 1e-4,
            stratum_weight_s: 1e-3,
            min_stratum: 0,
            max_stratum: 15,
            min_samples: 6,
            max_samples: 0,
        }
    }
}

/// Says how authentication changes the options of sources. Sources with `noselect` do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthSelectMode {
    /// Authenticated sources become `require` and `trust`; all others are never selected.
    Require,
    /// If there are authenticated sources, all others are never selected.
    Prefer,
    /// If there are both, authenticated ones become `require` and `trust`.
    Mix,
    /// It changes nothing.
    Ignore,
}

/// Says how the clock is corrected.
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    /// Whether it is only measured and never corrected; default off.
    pub observe: bool,
    /// Where the frequency is remembered; default nowhere.
    pub drift_file: Option<DriftFile>,
    /// The frequency with which the daemon starts, ppm, whatever was remembered: by how much the clock gains; default
    /// none.
    pub initial_frequency_ppm: Option<f64>,
    /// Frequencies for when sources are lost; default off.
    pub fallback_drift: Option<FallbackDrift>,
    /// When the clock is stepped; default never.
    pub make_step: Option<MakeStep>,
    /// Whether the first correction is a step, however small; default no.
    pub step_first: bool,
    /// Which offsets are not believed; default all are.
    pub max_change: Option<MaxChange>,
    /// By how much the clock may be wrong without correction, ppm, at least 0; default 1. It makes
    /// the dispersion grow.
    pub max_clock_error_ppm: f64,
    /// The largest frequency correction, ppm, at least 0; default 100000, which is also what kernels can do.
    pub max_drift_ppm: f64,
    /// The largest rate of slewing, ppm, at least 0; default 1e6/12.
    pub max_slew_rate_ppm: f64,
    /// The skew with which a frequency is not used, ppm, at least 0; default 1000.
    pub max_update_skew_ppm: f64,
    /// How long a slew takes, in relation to how fast the offset was measured; default 3.
    pub correction_time_ratio: f64,
    /// The precision of the clock, seconds, 1e-9…1; default measured.
    pub precision_s: Option<f64>,
    /// The offset from which on a correction is logged, seconds, at least 0; default 1.
    pub log_change_s: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            observe: false,
            drift_file: None,
            initial_frequency_ppm: None,
            fallback_drift: None,
            make_step: None,
            step_first: false,
            max_change: None,
            max_clock_error_ppm: 1.0,
            max_drift_ppm: 100_000.0,
            max_slew_rate_ppm: 1e6 / 12.0,
            max_update_skew_ppm: 1000.0,
            correction_time_ratio: 3.0,
            precision_s: None,
            log_change_s: 1.0,
        }
    }
}

/// Says where the frequency is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftFile {
    /// The file; it is replaced by renaming.
    pub path: String,
    /// The least time between two writes, seconds; default 3600.
    pub interval_s: f64,
    /// How it is written; what is read is told apart by itself.
    pub format: DriftFormat,
}

/// Says what a drift file has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DriftFormat {
    /// By how much the clock gains and the error of that, ppm, as chronyd writes it.
    #[default]
    Chrony,
    /// The correction of the frequency, ppm, as ntpd writes it: positive when the clock loses.
    Ntpd,
    /// The same with fewer digits, as OpenNTPD writes it.
    OpenNtpd,
}

/// Says over which times the frequency is averaged for when sources are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FallbackDrift {
    /// The shortest time, log2 s, at least 1.
    pub min: i8,
    /// The longest time, log2 s, not below `min`.
    pub max: i8,
}

/// Says when the clock is stepped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MakeStep {
    /// How far behind it is stepped forward, seconds; infinity is never.
    pub forward_s: f64,
    /// How far ahead it is stepped back, seconds; infinity is never.
    pub back_s: f64,
    /// In which of the first updates that can be; `None` in all.
    pub limit: Option<u32>,
}

impl MakeStep {
    /// Makes one with a threshold for both directions.
    pub const fn both(threshold_s: f64, limit: Option<u32>) -> Self {
        Self {
            forward_s: threshold_s,
            back_s: threshold_s,
            limit,
        }
    }

    /// Returns the threshold above which it steps whatever the direction; `None` where there is a direction in which it
    /// never does.
    pub fn threshold_s(&self) -> Option<f64> {
        let larger_s = self.forward_s.max(self.back_s);
        larger_s.is_finite().then_some(larger_s)
    }

    /// Reports whether an offset is above the threshold of its direction. A positive one is that of a clock that is behind.
    pub fn is_exceeded(&self, offset_s: f64) -> bool {
        if offset_s > 0.0 {
            offset_s > self.forward_s
        } else {
            -offset_s > self.back_s
        }
    }
}

/// Says which offsets are not believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxChange {
    /// The largest offset that is believed, seconds, either sign.
    pub offset_s: f64,
    /// How many updates pass before the check begins.
    pub start: u32,
    /// How many larger offsets are ignored before the daemon exits; `None` without end.
    pub ignore: Option<u32>,
}

/// Says how the clock is set before anything else.
#[derive(Debug, Clone, PartialEq)]
pub struct InitialStep {
    /// The offset from which on the clock is stepped and not slewed, seconds.
    pub threshold_s: f64,
    /// Names or addresses of the servers that are measured.
    pub servers: Vec<String>,
}

/// Says how leap seconds are known and applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leap {
    /// How one is applied; default [`LeapMode::System`].
    pub mode: LeapMode,
    /// The time zone whose file has the leap seconds, such as `right/UTC`; default none.
    pub time_zone: Option<String>,
    /// The file leap-seconds.list; default none. With both, the time zone is for when the list cannot
    /// be used.
    pub list_file: Option<String>,
}

/// Says how a leap second is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LeapMode {
    /// By the kernel.
    #[default]
    System,
    /// By a step of the daemon.
    Step,
    /// By slewing.
    Slew,
    /// By nobody; the offset is corrected when sources show it.
    Ignore,
}

/// Says how the local clock is served when no source can be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Local {
    /// The stratum that is served, 1…15; default 10.
    pub stratum: u8,
    /// The root distance of the sources from which on the local clock is served instead, seconds;
    /// default 1.
    pub distance_s: f64,
    /// The root distance that has to be reached once before it is served, seconds; default 0, which
    /// is served from the start.
    pub activate_s: f64,
    /// Serves together with others, of which the one with the least reference id is followed;
    /// default off.
    pub orphan: bool,
    /// For how long after the last update it is not yet served, seconds; default 0.
    pub wait_synced_s: f64,
    /// For how long after the start it is not yet served, seconds; default 0, or 300 with `orphan`.
    pub wait_unsynced_s: f64,
}

impl Local {
    /// Returns the default of [`Local::wait_unsynced_s`].
    pub const fn default_wait_unsynced_s(orphan: bool) -> f64 {
        if orphan { 300.0 } else { 0.0 }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self {
            stratum: 10,
            distance_s: 1.0,
            activate_s: 0.0,
            orphan: false,
            wait_synced_s: 0.0,
            wait_unsynced_s: Self::default_wait_unsynced_s(false),
        }
    }
}

/// Says how served time is kept smooth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeSmoothing {
    /// The largest frequency offset of served time, ppm.
    pub max_frequency_ppm: f64,
    /// How fast the frequency of served time changes, ppm per second.
    pub max_wander_ppm_per_s: f64,
    /// Smooths leap seconds only.
    pub leap_only: bool,
}

/// Says what is done with the real-time clock of the machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rtc {
    /// Lets the kernel copy the time to it; default off. Not together with `file`.
    pub kernel_sync: bool,
    /// Where its drift is remembered; default it is not measured.
    pub file: Option<String>,
    /// Its device; default `/dev/rtc`.
    pub device: Option<String>,
    /// The offset from which on it is set, seconds; default none. Only with `file`.
    pub auto_trim_s: Option<f64>,
    /// Whether it has UTC and not local time; default off.
    pub on_utc: bool,
    /// The file whose third line says whether it has UTC; default that of the system.
    pub hwclock_file: Option<String>,
}
