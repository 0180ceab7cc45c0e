//! Directives of one value, or of none.

use crate::config::{ClientLog, Config, PathSetting};

/// Takes an integer, which is in the directive's range.
pub(super) fn set_integer(config: &mut Config, name: &str, value: i64) {
    match name {
        "acquisitionport" => config.client.port = Some(narrow(value)),
        "cmdport" => config.control.port = narrow(value),
        "dscp" => config.client.dscp = narrow(value),
        "logbanner" => config.logs.banner_lines = narrow(value),
        "maxsamples" => config.selection.max_samples = narrow(value),
        "maxstratum" => config.selection.max_stratum = narrow(value.min(15)),
        "minsamples" => config.selection.min_samples = narrow(value),
        "minsources" => config.selection.min_sources = narrow(value),
        "minstratum" => config.selection.min_stratum = narrow(value.min(16)),
        "port" => config.server.port = narrow(value),
        "refresh" => config.client.refresh_s = narrow(value),
        "sched_priority" => config.process.sched_priority = narrow(value),
        // The others are not supported.
        _ => {}
    }
}

/// Returns a value whose range fits the type.
fn narrow<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}

/// Takes a number, which is in the directive's range.
pub(super) fn set_number(config: &mut Config, name: &str, value: f64) {
    match name {
        "clockprecision" => config.clock.precision_s = Some(value),
        "combinelimit" => config.selection.combine_limit = value,
        "corrtimeratio" => config.clock.correction_time_ratio = value,
        "logchange" => config.clock.log_change_s = value,
        "maxclockerror" => config.clock.max_clock_error_ppm = value,
        "maxdistance" => config.selection.max_distance_s = value,
        "maxdrift" => config.clock.max_drift_ppm = value,
        "maxjitter" => config.selection.max_jitter_s = value,
        "maxslewrate" => config.clock.max_slew_rate_ppm = value,
        "maxupdateskew" => config.clock.max_update_skew_ppm = value,
        "reselectdist" => config.selection.reselect_distance_s = value,
        "rtcautotrim" => config.rtc.auto_trim_s = Some(value).filter(|value| *value > 0.0),
        "stratumweight" => config.selection.stratum_weight_s = value,
        _ => {}
    }
}

/// Takes a word, or that the directive is there.
pub(super) fn set_text(config: &mut Config, name: &str, value: String) {
    match name {
        "bindacqdevice" => config.client.bind_device = Some(value),
        "bindcmddevice" => config.control.bind_device = Some(value),
        "binddevice" => config.server.bind_device = Some(value),
        "dumpdir" => config.dump_dir = Some(value),
        "hwclockfile" => config.rtc.hwclock_file = Some(value),
        "keyfile" => config.key_file = Some(value),
        "leapseclist" => config.leap.list_file = Some(value),
        "leapsectz" => config.leap.time_zone = Some(value),
        "lock_all" => config.process.lock_memory = true,
        "logdir" => config.logs.dir = Some(value),
        "manual" => config.control.manual = true,
        "noclientlog" => config.server.client_log = ClientLog::Off,
        "pidfile" => config.process.pid_file = path_setting(value),
        "rtcdevice" => config.rtc.device = Some(value),
        "rtcfile" => config.rtc.file = Some(value),
        "rtconutc" => config.rtc.on_utc = true,
        "rtcsync" => config.rtc.kernel_sync = true,
        "timeball.constraint-ca" => config.constraints.authority_file = Some(value),
        "user" => config.process.user = Some(value),
        _ => {}
    }
}

/// Returns where a file is; `/` is nowhere.
pub(super) fn path_setting(path: String) -> PathSetting {
    if path == "/" {
        PathSetting::Disabled
    } else {
        PathSetting::Path(path)
    }
}
