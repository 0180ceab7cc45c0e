//! State of a host as the page tells it: the clock's, or that nothing is known of it.

use model::host::AgentInfo;
use model::ntp::SyncState;

/// What the controller knows of a host's clock now. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// The clock follows no source.
    NotSynchronised,
    /// The clock followed a source that does not answer any more.
    FreeRunning,
    /// The agent is silent: nothing it said before is current.
    NoWord,
    /// The agent reports, but cannot tell the state of the clock.
    Unknown,
    /// The clock follows a source.
    Synchronised,
}

impl State {
    /// All of them, in the order of the summary.
    pub(crate) const ALL: [State; 5] = [
        State::Synchronised,
        State::FreeRunning,
        State::NotSynchronised,
        State::NoWord,
        State::Unknown,
    ];

    /// State of a host.
    pub(crate) fn of(host: &AgentInfo) -> Self {
        if host.status != "Ready" {
            return State::NoWord;
        }
        match host.ntp.as_ref().map(|ntp| ntp.state) {
            Some(SyncState::Synchronized) => State::Synchronised,
            Some(SyncState::FreeRunning) => State::FreeRunning,
            Some(SyncState::Unsynchronized) => State::NotSynchronised,
            Some(SyncState::Unknown) | None => State::Unknown,
        }
    }

    /// In words.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Synchronised => "Synchronised",
            State::FreeRunning => "Free-running",
            State::NotSynchronised => "Not synchronised",
            State::NoWord => "No word",
            State::Unknown => "Clock unknown",
        }
    }

    /// In one word, for addresses, classes and the ids of the shapes.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            State::Synchronised => "synchronised",
            State::FreeRunning => "free-running",
            State::NotSynchronised => "not-synchronised",
            State::NoWord => "no-word",
            State::Unknown => "unknown",
        }
    }

    /// What it means, in a sentence.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            State::Synchronised => "The clock follows a source that answers.",
            State::FreeRunning => "The clock followed a source, but none answers any more; its error grows.",
            State::NotSynchronised => "The clock follows no source.",
            State::NoWord => "The agent is silent; what it said before may not be true any more.",
            State::Unknown => "The agent is there, but cannot tell the state of the clock.",
        }
    }

    /// Whether the values of the host's last report are current.
    pub(crate) fn is_current(self) -> bool {
        self != State::NoWord
    }
}

/// Reads a [`State::slug`].
impl std::str::FromStr for State {
    type Err = ();

    fn from_str(slug: &str) -> Result<Self, ()> {
        State::ALL
            .into_iter()
            .find(|state| state.slug() == slug)
            .ok_or(())
    }
}
