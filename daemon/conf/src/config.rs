//! What a daemon is asked to do, whatever language it was asked in.
//!
//! Each dialect fills a [`Config`]; the engine and the program read it and nothing else. A value
//! that is here has been checked: it is in the range that its field documents. `Default` is what
//! chronyd does with an empty configuration file. Where the default depends on the name under
//! which the program runs (paths, user), the field says so by a variant or `None`.
//!
//! # What is not here
//!
//! Directives of chrony.conf for which this tree has no field, because timeballd does not do it:
//! NTS (`nts` of a source, `ntsservercert`, `ntsserverkey`), Samba's
//! signing (`ntpsigndsocket`) and NTP over PTP (`ptpport`) are refused; `hwtimestamp`, `tempcomp`,
//! `mailonchange` and `maxtxbuffers` are left out with a warning, and so is `minsamples`, which has a
//! field to be written again (the estimator decides itself how many samples count); what only
//! tunes one of these (`ntsdumpdir`, `ptpdomain`, …) has nothing to tune. The table
//! [`crate::chrony::DIRECTIVES`] is the list.

mod access;
mod clock;
mod constraint;
mod control;
mod interface;
mod ntp;
mod process;
mod refclock;
mod restrict;
mod server;
mod source;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

pub use access::{AccessRule, Subnet, Verdict};
pub use clock::{
    AuthSelectMode, Clock, DriftFile, DriftFormat, FallbackDrift, InitialStep, Leap, LeapMode, Local,
    MakeStep, MaxChange, Rtc, Selection, TimeSmoothing,
};
pub use constraint::{Constraint, ConstraintUrl, ConstraintUrlError, Constraints};
pub use control::{Control, OpenCommand};
pub use interface::{InterfaceRule, InterfaceTarget};
pub use ntp::{Statistics, StatisticsFile, StatisticsKind, SystemVariable};
pub use process::{LogKind, LogTopics, Logs, PathSetting, Process, Topic};
pub use refclock::{RefClock, RefClockDriver};
pub(crate) use restrict::network;
pub use restrict::{NTP_PORT, RestrictFlags, Restriction, Restrictions};
pub use server::{Broadcast, Client, ClientLog, RateLimit, Server};
pub use source::{Family, SelectOptions, SourceConfig, SourceKey, SourceKind, SourceName, is_of_a_host};

/// Holds everything a daemon is asked to do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Time sources, in the order of their lines. Those of [`Self::source_dirs`] are not among them.
    pub sources: Vec<SourceConfig>,
    /// Reference clocks, in the order of their lines.
    pub ref_clocks: Vec<RefClock>,
    /// Directories with files of further sources, read again on request. Each element is searched
    /// by itself: of several files with one name in its directories only the first is read.
    pub source_dirs: Vec<Vec<String>>,
    /// The first measurement, made before anything else; default none.
    pub initial_step: Option<InitialStep>,
    /// HTTPS servers that bound the time of sources that are not trusted; default none.
    pub constraints: Constraints,
    /// The weights that sources have by OpenNTPD's language, by their names, where that is not 1. They are told to `ntpctl`, and
    /// change nothing.
    pub weights: BTreeMap<String, u8>,
    /// How sources are chosen and combined.
    pub selection: Selection,
    /// How the clock is corrected.
    pub clock: Clock,
    /// How leap seconds are known and applied.
    pub leap: Leap,
    /// Serving the local clock when no source can be used; default off.
    pub local: Option<Local>,
    /// The real-time clock of the machine.
    pub rtc: Rtc,
    /// The family in which clients and commands are answered (`-4`, `-6`); default both.
    pub family: Option<Family>,
    /// Asking servers: addresses and ports of our requests.
    pub client: Client,
    /// Answering clients.
    pub server: Server,
    /// Answering the command protocol.
    pub control: Control,
    /// The file with symmetric keys; default none.
    pub key_file: Option<String>,
    /// The language of that file; default chrony's.
    pub key_format: KeyFormat,
    /// The numbers of the keys of that file that are used; default all.
    pub trusted_keys: Option<Vec<RangeInclusive<u32>>>,
    /// The directory of saved measurements; default none. Made with mode 0750 when missing.
    pub dump_dir: Option<String>,
    /// Logs of measurements.
    pub logs: Logs,
    /// Files of statistics as ntpd writes them; default none.
    pub statistics: Statistics,
    /// Variables that `ntpq` can read beside the daemon's own; default none.
    pub variables: Vec<SystemVariable>,
    /// The number of the key by which somebody may ask control packets for more than others; default none.
    pub control_key: Option<u32>,
    /// The process itself.
    pub process: Process,
    /// Where metrics are served as text over HTTP (`timeball.metrics-address`); default nowhere.
    pub metrics_address: Option<SocketAddr>,
    /// What is done when somebody else keeps the clock (`timeball.conflict`); default [`Conflict::Observe`] in a container
    /// and [`Conflict::Ignore`] elsewhere.
    pub conflict: Option<Conflict>,
}

/// Says what is done when somebody else keeps the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// The clock is measured and not steered until nobody else keeps it.
    Observe,
    /// The same, and the daemon says that it is not ready.
    Fail,
    /// The clock is steered; nobody looks.
    Ignore,
}

impl Conflict {
    /// Each with the word for it.
    pub const WORDS: [(&str, Self); 3] = [
        ("observe", Self::Observe),
        ("fail", Self::Fail),
        ("ignore", Self::Ignore),
    ];
}

/// Names the language of a file with symmetric keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyFormat {
    /// `NUMBER [TYPE] SECRET`, as chronyd reads it. Who can read the file besides its owner is warned about.
    #[default]
    Chrony,
    /// `NUMBER TYPE SECRET`, as ntpd reads it. A file that everybody can read is refused.
    Ntpd,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_that_of_an_empty_configuration() {
        let config = Config::default();
        assert_eq!(config.server.port, 123);
        assert_eq!(config.control.port, 323);
        assert_eq!(config.server.access, []);
        assert_eq!(config.selection.max_distance_s, 3.0);
        assert_eq!(config.clock.max_slew_rate_ppm, 1e6 / 12.0);
        assert_eq!(config.clock.make_step, None);
        assert_eq!(config.local, None);
        assert_eq!(config.control.open_commands.len(), 8);
    }
}
