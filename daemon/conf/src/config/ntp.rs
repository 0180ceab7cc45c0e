//! What only ntpd has: files of statistics, variables, classes of messages.

use std::collections::BTreeMap;

/// Says what is written in ntpd's files of statistics; default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// The directory; `None` where nothing is written. Made with mode 0750 when missing.
    pub dir: Option<String>,
    /// The files that are written.
    pub files: BTreeMap<StatisticsKind, StatisticsFile>,
}

/// Names a file of statistics, by its word in `statistics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatisticsKind {
    /// `loopstats`: every correction of the clock.
    Loop,
    /// `peerstats`: every sample of a source.
    Peer,
    /// `protostats`: every event of the daemon and its sources.
    Protocol,
    /// `rawstats`: every answer of a source.
    Raw,
    /// `sysstats`: counts, once an hour.
    System,
}

/// Says how a file of statistics is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatisticsFile {
    /// Its name in the directory; default the word of its kind.
    pub name: String,
    /// Whether there is one for each UTC day, whose name ends with `.YYYYMMDD`; default yes.
    pub is_daily: bool,
    /// Whether the name without that is a link to the newest; default yes.
    pub has_link: bool,
}

impl StatisticsKind {
    /// Every kind, by word.
    pub const ALL: [Self; 5] = [Self::Loop, Self::Peer, Self::Protocol, Self::Raw, Self::System];

    /// Returns its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Loop => "loopstats",
            Self::Peer => "peerstats",
            Self::Protocol => "protostats",
            Self::Raw => "rawstats",
            Self::System => "sysstats",
        }
    }
}

impl StatisticsFile {
    /// Makes what ntpd has where nothing else is said.
    pub fn new(kind: StatisticsKind) -> Self {
        Self {
            name: kind.word().to_owned(),
            is_daily: true,
            has_link: true,
        }
    }
}

/// Holds a variable of the daemon that the configuration adds, for `ntpq` to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether it is told to those who ask for no variable by name.
    pub is_default: bool,
}
