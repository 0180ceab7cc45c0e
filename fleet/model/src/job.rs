//! Jobs: an operation aimed at a target, and what came of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{HostResult, Operation, Outcome, Target};

/// What is stored of a job when it is submitted; it never changes afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The job's id, a version 7 UUID: ids sort by time.
    pub id: Uuid,
    /// When it was submitted, by the controller's clock.
    pub created: Timestamp,
    /// Who is meant, as the operator wrote it.
    pub target: Target,
    /// What is to be done.
    pub operation: Operation,
    /// Who asked: the subject of the token.
    pub user: String,
    /// How long hosts may take to start it, and the caller waits, in milliseconds.
    pub timeout_ms: u64,
    /// The hosts that are meant, by machine id, with their names at that time.
    pub expected: BTreeMap<String, String>,
    /// The job of which this is a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<Uuid>,
}

/// State of a job, made from the answers of its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Stored, not sent yet.
    Submitted,
    /// Sent; answers are awaited.
    Processing,
    /// Every host that was not skipped did it.
    Completed,
    /// No host did it.
    Failed,
    /// Some hosts did it and some failed.
    PartialFailure,
    /// Every host was skipped.
    Skipped,
}

impl JobState {
    /// The state of a job that has ended, from its answers.
    pub fn of_ended<'a>(results: impl IntoIterator<Item = &'a HostResult>) -> Self {
        let (mut done, mut failed, mut skipped) = (false, false, false);
        for result in results {
            match result.outcome {
                Outcome::Status(_) | Outcome::Changed(_) | Outcome::Unchanged(_) => done = true,
                Outcome::Skipped { .. } => skipped = true,
                Outcome::Failed(_) => failed = true,
            }
        }
        match (done, failed, skipped) {
            (true, true, _) => JobState::PartialFailure,
            (_, true, _) => JobState::Failed,
            (false, false, true) => JobState::Skipped,
            (_, false, _) => JobState::Completed,
        }
    }
}

/// Answer of `GET /api/job`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListJobsResponse {
    /// How many jobs match.
    pub total_items: u64,
    /// How many jobs there are per state, whatever the filter.
    pub status_counts: BTreeMap<String, u64>,
    /// The page, newest first, without answers and timeline.
    pub items: Vec<JobDetail>,
}

/// One job as the API shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    /// The job's id.
    pub id: Uuid,
    /// State of the job: see [`JobState`].
    pub status: String,
    /// When it was submitted, RFC 3339.
    #[schema(format = DateTime)]
    pub created: String,
    /// What was asked.
    pub operation: JobOperation,
    /// Who was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether any host was changed; absent for reads and while nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// The first failure, for a job of one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The host, for a job of one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The answer, for a job of one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// When the newest answer came, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub updated_at: Option<String>,
    /// Answers by host name (machine id where two hosts share a name).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub responses: BTreeMap<String, JobResponse>,
    /// State per host, the silent ones included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agent_states: BTreeMap<String, AgentJobState>,
    /// What happened when, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineEvent>,
    /// The job of which this is a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<Uuid>,
}

/// What a job asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobOperation {
    /// Name of the operation, such as `node.ntp.update`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its arguments; null without any.
    pub data: Option<serde_json::Value>,
}

/// One host's answer within [`JobDetail`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobResponse {
    /// `completed`, `failed` or `skipped`.
    pub status: String,
    /// The row that the operation's own endpoint showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// Whether the host was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// Why it did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Host name.
    pub hostname: String,
}

/// State of a job on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentJobState {
    /// `submitted`, `completed`, `failed` or `skipped`.
    pub status: String,
    /// Why it did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long the host worked on it, such as `12ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

/// One event of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEvent {
    /// When, RFC 3339.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// What: `submitted`, `completed`, `failed`, `skipped`, `recovered`, `drain` and so on.
    pub event: String,
    /// Which host, if it is about one.
    #[serde(default)]
    pub hostname: String,
    /// For the operator.
    #[serde(default)]
    pub message: String,
    /// Error text, empty without one.
    #[serde(default)]
    pub error: String,
}

/// Body of `POST /api/job/{id}/retry`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetryJobRequest {
    /// Another target; the job's own when absent.
    #[serde(default)]
    pub target_hostname: Option<String>,
}

/// Answer of `POST /api/job/{id}/retry`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateJobResponse {
    /// The new job.
    pub job_id: Uuid,
    /// Always `created`.
    pub status: String,
    /// Revision of the stored job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub timestamp: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Failure, FailureKind};

    #[test]
    fn the_state_of_a_job_follows_from_its_answers() {
        let result = |outcome| HostResult {
            job_id: Uuid::nil(),
            machine_id: String::new(),
            hostname: String::new(),
            outcome,
            duration_ms: 0,
            recovered: false,
        };
        let done = result(Outcome::Changed(Change::default()));
        let failed = result(Outcome::Failed(Failure::new(FailureKind::File, "")));
        let skipped = result(Outcome::Skipped {
            reason: String::new(),
        });
        let state = |results: &[&HostResult]| JobState::of_ended(results.iter().copied());
        assert_eq!(state(&[&done]), JobState::Completed);
        assert_eq!(state(&[&done, &skipped]), JobState::Completed);
        assert_eq!(state(&[&done, &failed]), JobState::PartialFailure);
        assert_eq!(state(&[&failed, &skipped]), JobState::Failed);
        assert_eq!(state(&[&skipped]), JobState::Skipped);
    }
}
