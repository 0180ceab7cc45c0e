//! What the log hears of a selection: each thing once, until it is over.

use super::candidate::Candidate;
use super::rules::Rules;
use super::status::Status;

/// For how many samples in a row a source is out of limits before the log hears of it: at the start jitter and
/// distance are guesses.
const SAMPLES_TO_COMPLAIN: u8 = 4;

/// How many polls a source may take to show itself before its absence is worth a line: a full register.
pub(super) const POLLS_TO_SETTLE: u8 = 8;

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A change of state.
    Info,
    /// Worth an operator's look.
    Warning,
}

/// What the log calls the source with an id: `192.168.123.1`, `192.0.2.1 (ntp.example.net)`, `PPS0`.
pub type Names<'a> = dyn Fn(u32) -> String + 'a;

/// A line for the log, in chrony's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How much it matters.
    pub severity: Severity,
    /// The line.
    pub text: String,
}

impl Message {
    /// The clock follows another source, or one again.
    pub(super) fn selected(name: &str) -> Self {
        Self {
            severity: Severity::Info,
            text: format!("Selected source {name}"),
        }
    }

    fn warning(text: String) -> Self {
        Self {
            severity: Severity::Warning,
            text,
        }
    }
}

/// Why nothing could be selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No source got as far as the vote. The clock may go on alone.
    NoSelectableSources {
        /// How many answer no more, or never did; those with `noselect` do not count.
        unreachable: usize,
    },
    /// The vote had no majority: some sources are wrong, and perhaps the clock is.
    NoMajority {
        /// The size of the largest group that agrees.
        agreeing: usize,
        /// How many voted.
        voters: usize,
        /// Whether only trusted sources voted.
        is_among_trusted: bool,
    },
    /// Fewer than `minsources` are selectable.
    NotEnoughSources,
    /// None with the option `require` is selectable.
    NoRequiredSource,
}

impl Failure {
    fn message(self) -> Message {
        let reason = match self {
            Self::NoSelectableSources { unreachable } => {
                format!("no selectable sources ({unreachable} unreachable sources)")
            }
            Self::NoMajority {
                agreeing,
                voters,
                is_among_trusted,
            } => {
                let kind = if is_among_trusted { "trusted " } else { "" };
                if agreeing > 1 {
                    format!("no majority (only {agreeing} of {voters} {kind}sources agree)")
                } else {
                    format!("no majority (no agreement among {voters} {kind}sources)")
                }
            }
            Self::NotEnoughSources => "not enough selectable sources".to_owned(),
            Self::NoRequiredSource => "no required source in selectable sources".to_owned(),
        };
        Message::warning(format!("Can't synchronise: {reason}"))
    }

    /// A bit for each kind: between two selections the log hears of each kind once.
    const fn bit(self) -> u8 {
        match self {
            Self::NoSelectableSources { .. } => 1,
            Self::NoMajority { .. } => 2,
            Self::NotEnoughSources => 4,
            Self::NoRequiredSource => 8,
        }
    }
}

/// Which failures the log has heard of since the clock followed a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FailuresTold(u8);

impl FailuresTold {
    /// Returns what to say of a failure, if it is new.
    pub(super) fn tell(&mut self, failure: Failure) -> Option<Message> {
        let is_new = self.0 & failure.bit() == 0;
        self.0 |= failure.bit();
        is_new.then(|| failure.message())
    }

    /// Something was selected.
    pub(super) fn clear(&mut self) {
        self.0 = 0;
    }
}

/// What the log has heard of one source since it was last selectable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SourceTold {
    is_falseticker: bool,
    is_out_of_limits: bool,
    /// Samples in a row that were out of limits.
    samples_out: u8,
}

impl SourceTold {
    /// That it is false may be said again.
    pub(super) fn clear_falseticker(&mut self) {
        self.is_falseticker = false;
    }

    /// Returns what to say of a source in this state, if it is new.
    pub(super) fn tell(
        &mut self,
        candidate: &Candidate,
        status: Status,
        rules: &Rules,
        names: &Names<'_>,
    ) -> Option<Message> {
        if status.is_selectable() {
            *self = Self::default();
            return None;
        }
        let name = || names(candidate.id);
        let text = match status {
            Status::Falseticker => {
                return (!std::mem::replace(&mut self.is_falseticker, true))
                    .then(|| Message::warning(format!("Detected falseticker {}", name())));
            }
            Status::StratumOutOfRange if candidate.stratum < rules.stratum_min => {
                format!("Stratum of {} below minstratum of {}", name(), rules.stratum_min)
            }
            Status::StratumOutOfRange => {
                format!("Stratum of {} above maxstratum of {}", name(), rules.stratum_max)
            }
            Status::TooDistant => {
                format!(
                    "Root distance of {} exceeds maxdistance of {:.3} seconds",
                    name(),
                    rules.distance_max_s
                )
            }
            Status::Jittery => {
                format!(
                    "Jitter of {} exceeds maxjitter of {:.3} seconds",
                    name(),
                    rules.jitter_max_s
                )
            }
            Status::NoSelect
            | Status::Unsynchronised
            | Status::MissingSamples
            | Status::WaitingForSamples
            | Status::Stale
            | Status::Orphan
            | Status::Untrusted
            | Status::WaitingForSources
            | Status::NotPreferred
            | Status::WaitingForUpdate
            | Status::Distant
            | Status::Outlier
            | Status::Combined
            | Status::Best => return None,
        };
        if candidate.has_new_sample {
            self.samples_out = self.samples_out.saturating_add(1);
        }
        if self.is_out_of_limits || self.samples_out < SAMPLES_TO_COMPLAIN {
            return None;
        }
        self.is_out_of_limits = true;
        Some(Message::warning(text))
    }
}
