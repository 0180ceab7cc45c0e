//! Outcomes: what became of an operation on one host.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ntp::NtpStatus;

/// One host's answer to one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostResult {
    /// The job that is answered.
    pub job_id: Uuid,
    /// The host's machine id, unique in the fleet.
    pub machine_id: String,
    /// The host's name as it was when it answered.
    pub hostname: String,
    /// What became of the operation.
    pub outcome: Outcome,
    /// How long the host worked on it, in milliseconds; 0 for a host that never did.
    #[serde(default)]
    pub duration_ms: u64,
    /// True when an agent finished or undid an interrupted job after it was started again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
}

/// What became of an operation. Decisions are made on the variant and the kind, never on the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", from = "Told")]
pub enum Outcome {
    /// The host reported its state.
    Status(Box<NtpStatus>),
    /// The host was changed.
    Changed(Change),
    /// The host is as asked already; nothing was written and nothing reloaded.
    Unchanged(Change),
    /// The host cannot do this kind of thing at all, which is no failure.
    Skipped {
        /// Why, for the operator.
        reason: String,
    },
    /// It did not work; the host is as it was before, unless `rolled_back` is `Some(false)`.
    Failed(Failure),
}

/// An outcome as it is read, which may be of a newer agent.
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Told {
    Status(Box<NtpStatus>),
    Changed(Change),
    Unchanged(Change),
    Skipped {
        reason: String,
    },
    Failed(Failure),
    #[serde(other)]
    Unknown,
}

impl From<Told> for Outcome {
    /// What is not understood is no success, and the job must not wait for it for ever.
    fn from(told: Told) -> Self {
        match told {
            Told::Status(status) => Outcome::Status(status),
            Told::Changed(change) => Outcome::Changed(change),
            Told::Unchanged(change) => Outcome::Unchanged(change),
            Told::Skipped { reason } => Outcome::Skipped { reason },
            Told::Failed(failure) => Outcome::Failed(failure),
            Told::Unknown => Outcome::Failed(Failure::new(
                FailureKind::Other,
                "the agent is newer and its answer is of a kind that this program does not know; upgrade the \
                 controller, and ask the host with `timeball client node ntp get` what it has",
            )),
        }
    }
}

/// What a write did to the managed file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Absolute path of the managed file.
    pub path: String,
    /// SHA-256 of the file's content in lower-case hex; absent when the file was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What else an operator should know, such as a file of another tool that was taken over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What on the host is not as asked for all the same, such as the servers of a time service that does not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why an operation failed on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// The kind, on which programs decide.
    pub kind: FailureKind,
    /// What happened, with the daemon's own words where it gave some, and the remedy.
    pub error: String,
    /// Whether the former configuration is in force again; absent when nothing had been changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<bool>,
}

impl Failure {
    /// Makes a failure of a host on which nothing was changed.
    pub fn new(kind: FailureKind, error: impl Into<String>) -> Self {
        Failure {
            kind,
            error: error.into(),
            rolled_back: None,
        }
    }
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Update or delete of a host that is not managed.
    NotManaged,
    /// Create on a host that is managed with other servers.
    AlreadyManaged,
    /// The agent may not do this as the user it runs as.
    NeedsRoot,
    /// The host's own configuration has no place for a managed file.
    NoPlace,
    /// A server has an option that the language of the host's time service cannot express.
    NotExpressible,
    /// The time daemon does not run or does not answer.
    DaemonUnreachable,
    /// Two time services run on the host, and nobody said which one is meant.
    Conflict,
    /// The time daemon refused, or did not take the change over.
    DaemonRefused,
    /// A file could not be read or written.
    File,
    /// The host is not connected, or did not answer before the deadline.
    NoAnswer,
    /// The job came after its lifetime had ended; it was not started.
    Expired,
    /// The agent refused the job: signature, controller or target is not right.
    Refused,
    /// The agent was stopped in the middle and undid the change when it was started again.
    Interrupted,
    /// A fault of the agent itself.
    Internal,
    /// A kind that a newer agent knows.
    #[serde(other)]
    Other,
}

impl HostResult {
    /// The error text of a skipped or failed host.
    pub fn error(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Skipped { reason } => Some(reason),
            Outcome::Failed(failure) => Some(&failure.error),
            Outcome::Status(_) | Outcome::Changed(_) | Outcome::Unchanged(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_of_a_newer_agent_is_a_failure_that_says_so() {
        let result: HostResult = serde_json::from_value(serde_json::json!({
            "job_id": Uuid::nil(),
            "machine_id": "m1",
            "hostname": "web-01",
            "outcome": {"outcome": "postponed", "until": 5},
        }))
        .unwrap();
        assert!(matches!(&result.outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Other));
        let skipped = Outcome::Skipped {
            reason: "x".to_owned(),
        };
        let text = serde_json::to_string(&skipped).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), skipped);
    }
}
