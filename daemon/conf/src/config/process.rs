//! The process itself, and its log files.

use std::collections::BTreeSet;

/// Says how the process runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// The file with its id; default where the program under this name has it.
    pub pid_file: PathSetting,
    /// The file to which it logs; default the system's log.
    pub log_file: Option<String>,
    /// What it logs beside problems, which are always logged (`logconfig` of ntp.conf); default everything.
    pub log_topics: LogTopics,
    /// The user it becomes; default that of the program under this name.
    pub user: Option<String>,
    /// The priority of its real-time scheduling, 0…100; default 0, which is none.
    pub sched_priority: u8,
    /// Keeps its memory from being paged out; default off.
    pub lock_memory: bool,
}

/// What a message is about that is no problem, as ntpd tells its messages apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The daemon itself, its files and rules (`sysinfo`).
    System,
    /// Which sources there are (`peerinfo`).
    Source,
    /// What happens to a source (`peerevents`).
    SourceEvent,
    /// Which source is followed (`syncstatus`).
    Clock,
    /// What is done to the clock (`syncevents`).
    ClockEvent,
}

/// A set of messages: a bit for each of four types (info, events, status, statistics) of each of four classes (sys, peer,
/// clock, sync), the first the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogTopics(pub u16);

impl Default for LogTopics {
    fn default() -> Self {
        Self(u16::MAX)
    }
}

impl LogTopics {
    /// Whether messages about this are among them.
    #[must_use]
    pub const fn has(self, topic: Topic) -> bool {
        let (class, kind) = match topic {
            Topic::System => (0, 0),
            Topic::Source => (1, 0),
            Topic::SourceEvent => (1, 1),
            Topic::ClockEvent => (3, 1),
            Topic::Clock => (3, 2),
        };
        self.0 >> (4 * class + kind) & 1 == 1
    }
}

/// Says where a file is that a program has unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum PathSetting {
    /// Where the program has it.
    #[default]
    Default,
    /// Nowhere.
    Disabled,
    /// At this path.
    Path(String),
}

/// Says which logs of measurements are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// The directory of `<name>.log` files; default none, and then none are written. Made with
    /// mode 0750 when missing.
    pub dir: Option<String>,
    /// What is logged; default nothing.
    pub kinds: BTreeSet<LogKind>,
    /// After how many lines the heading is repeated; default 32, and 0 is never.
    pub banner_lines: u32,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            dir: None,
            kinds: BTreeSet::new(),
            banner_lines: 32,
        }
    }
}

/// Names a log, by its word in `log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogKind {
    /// `rawmeasurements`: every answer of a source. Goes to the same file as `measurements`.
    RawMeasurements,
    /// `measurements`: answers that passed the first tests.
    Measurements,
    /// `selection`
    Selection,
    /// `statistics`
    Statistics,
    /// `tracking`
    Tracking,
    /// `rtc`
    Rtc,
    /// `refclocks`
    RefClocks,
    /// `tempcomp`
    TempComp,
}

impl LogKind {
    /// Every log.
    pub const ALL: [Self; 8] = [
        Self::RawMeasurements,
        Self::Measurements,
        Self::Selection,
        Self::Statistics,
        Self::Tracking,
        Self::Rtc,
        Self::RefClocks,
        Self::TempComp,
    ];

    /// Returns its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RawMeasurements => "rawmeasurements",
            Self::Measurements => "measurements",
            Self::Selection => "selection",
            Self::Statistics => "statistics",
            Self::Tracking => "tracking",
            Self::Rtc => "rtc",
            Self::RefClocks => "refclocks",
            Self::TempComp => "tempcomp",
        }
    }
}
