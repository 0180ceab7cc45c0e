//! Where files are: the data directory, the settings files, what the controller leaves for clients.

use std::path::PathBuf;

use crate::settings::Settings;

/// Data directory of root.
pub(crate) const ROOT_DATA: &str = "/var/lib/timeball";

/// Says whether the program runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The data directory: from the flag, the settings' `key`, or where this user keeps such things.
pub(crate) fn data(flag: Option<&PathBuf>, settings: &Settings, key: &'static str) -> PathBuf {
    flag.cloned()
        .or_else(|| settings.find(key).map(|found| found.path()))
        .unwrap_or_else(default_data)
}

/// The data directory when nobody names one.
fn default_data() -> PathBuf {
    if is_root() {
        return PathBuf::from(ROOT_DATA);
    }
    directory("XDG_STATE_HOME", ".local/state")
        .map_or_else(|| PathBuf::from(ROOT_DATA), |base| base.join("timeball"))
}

/// The settings files that are looked for, the first that exists counts.
pub(crate) fn settings_files() -> impl Iterator<Item = PathBuf> {
    directory("XDG_CONFIG_HOME", ".config")
        .map(|base| base.join("timeball/timeball.yaml"))
        .into_iter()
        .chain([PathBuf::from("/etc/timeball/timeball.yaml")])
}

/// A directory of the XDG base directory specification.
fn directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}
