//! Jobs as the API shows them.

use std::collections::{BTreeMap, HashSet};

use model::job::{AgentJobState, JobDetail, JobOperation, JobResponse, ListJobsResponse, TimelineEvent};
use model::ntp::{NtpMutationResult, NtpStatusEntry};

use super::{BusError, FailureKind, HostResult, JobRecord, JobState, Jobs, Outcome, Uuid};

impl Jobs {
    /// A page of jobs, newest first, past `offset`; only those in `state` if one is given.
    ///
    /// # Errors
    /// [`BusError`] when the store cannot be read.
    pub async fn list(
        &self,
        state: Option<JobState>,
        limit: usize,
        offset: usize,
    ) -> Result<ListJobsResponse, BusError> {
        let (total, page, counts) = {
            let known = self.lock();
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for job in known.values() {
                *counts.entry(state_name(job.state())).or_default() += 1;
            }
            let matching = known
                .iter()
                .rev()
                .filter(|(_, job)| state.is_none_or(|s| s == job.state()));
            let total = matching.clone().count();
            let page: Vec<Uuid> = matching.skip(offset).take(limit).map(|(id, _)| *id).collect();
            (total, page, counts)
        };
        let mut items = Vec::with_capacity(page.len());
        for id in page {
            // One that was deleted in the meantime is left out.
            if let Some((record, _)) = self.record(id).await? {
                items.push(summary(&record));
            }
        }
        Ok(ListJobsResponse {
            total_items: u64::try_from(total).unwrap_or(u64::MAX),
            status_counts: counts,
            items,
        })
    }

    /// A job with its answers and timeline; `None` when it is not remembered.
    ///
    /// # Errors
    /// [`BusError`] when the store cannot be read.
    pub async fn detail(&self, id: Uuid) -> Result<Option<JobDetail>, BusError> {
        let Some((record, _)) = self.record(id).await? else {
            return Ok(None);
        };
        let results = self.results(id).await?;
        Ok(Some(detail(&record, &results)))
    }
}

fn summary(record: &JobRecord) -> JobDetail {
    let job = &record.job;
    let operation = serde_json::to_value(&job.operation).unwrap_or_default();
    let only = (job.expected.len() == 1)
        .then(|| job.expected.values().next().cloned())
        .flatten();
    JobDetail {
        id: job.id,
        status: state_name(record.ended.map_or(JobState::Processing, |ended| ended.state)),
        created: job.created.to_string(),
        operation: JobOperation {
            kind: job.operation.name().to_owned(),
            data: operation.get("data").cloned(),
        },
        target: Some(job.target.to_string()),
        user: Some(job.user.clone()),
        hostname: only,
        updated_at: record.ended.map(|ended| ended.at.to_string()),
        retry_of: job.retry_of,
        ..JobDetail::default()
    }
}

fn detail(record: &JobRecord, results: &[HostResult]) -> JobDetail {
    let mut detail = summary(record);
    let names = row_names(record);
    let name_of = |machine_id: &str| {
        names
            .get(machine_id)
            .cloned()
            .unwrap_or_else(|| machine_id.to_owned())
    };
    let answered: HashSet<&str> = results.iter().map(|result| result.machine_id.as_str()).collect();
    for (machine_id, name) in &names {
        if !answered.contains(machine_id.as_str()) {
            let submitted = AgentJobState {
                status: "submitted".to_owned(),
                error: None,
                duration: None,
            };
            detail.agent_states.insert(name.clone(), submitted);
        }
    }
    detail
        .timeline
        .push(event(&record.job.created.to_string(), "submitted", "", ""));
    for result in results {
        let name = name_of(&result.machine_id);
        let status = status_name(&result.outcome);
        let answered = !is_silent(result);
        detail.agent_states.insert(
            name.clone(),
            AgentJobState {
                status: status.to_owned(),
                error: result.error().map(str::to_owned),
                duration: answered.then(|| format!("{}ms", result.duration_ms)),
            },
        );
        detail.responses.insert(name, response(result, status));
    }
    if let Some(ended) = record.ended {
        let recovered = results.iter().filter(|result| result.recovered);
        for result in recovered {
            detail.timeline.push(event(
                &ended.at.to_string(),
                "recovered",
                &result.hostname,
                "the agent was stopped in the middle and settled the job when it was started again",
            ));
        }
        detail
            .timeline
            .push(event(&ended.at.to_string(), &state_name(ended.state), "", ""));
    }
    let changed = |result: &HostResult| matches!(result.outcome, Outcome::Changed(_));
    if record.job.operation.changes_host() && !results.is_empty() {
        detail.changed = Some(results.iter().any(changed));
    }
    if let [only] = results {
        detail.error = only.error().map(str::to_owned);
        detail.result = response(only, "").data;
    }
    detail
}

/// Names of the rows: host names, and machine ids where two hosts share a name.
fn row_names(record: &JobRecord) -> BTreeMap<String, String> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for hostname in record.job.expected.values() {
        *times.entry(hostname).or_default() += 1;
    }
    record
        .job
        .expected
        .iter()
        .map(|(machine_id, hostname)| {
            let alone = times.get(hostname.as_str()) == Some(&1) && !hostname.is_empty();
            (
                machine_id.clone(),
                if alone {
                    hostname.clone()
                } else {
                    machine_id.clone()
                },
            )
        })
        .collect()
}

fn response(result: &HostResult, status: &str) -> JobResponse {
    let data = match &result.outcome {
        Outcome::Status(_) => serde_json::to_value(NtpStatusEntry::from(result)).ok(),
        Outcome::Changed(_) | Outcome::Unchanged(_) | Outcome::Skipped { .. } | Outcome::Failed(_) => {
            serde_json::to_value(NtpMutationResult::from(result)).ok()
        }
    };
    JobResponse {
        status: status.to_owned(),
        data,
        changed: match &result.outcome {
            Outcome::Changed(_) => Some(true),
            Outcome::Unchanged(_) => Some(false),
            Outcome::Status(_) | Outcome::Skipped { .. } | Outcome::Failed(_) => None,
        },
        error: result.error().map(str::to_owned),
        hostname: result.hostname.clone(),
    }
}

pub(super) fn is_silent(result: &HostResult) -> bool {
    matches!(&result.outcome, Outcome::Failed(failure) if failure.kind == FailureKind::NoAnswer)
}

fn status_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Status(_) | Outcome::Changed(_) | Outcome::Unchanged(_) => "completed",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Failed(_) => "failed",
    }
}

fn event(timestamp: &str, event: &str, hostname: &str, message: &str) -> TimelineEvent {
    TimelineEvent {
        timestamp: timestamp.to_owned(),
        event: event.to_owned(),
        hostname: hostname.to_owned(),
        message: message.to_owned(),
        error: String::new(),
    }
}

pub(super) fn state_name(state: JobState) -> String {
    match state {
        JobState::Submitted => "submitted",
        JobState::Processing => "processing",
        JobState::Completed => "completed",
        JobState::Failed => "failed",
        JobState::PartialFailure => "partial_failure",
        JobState::Skipped => "skipped",
    }
    .to_owned()
}
