//! The one handler of every operation on hosts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::job::JobState;
use model::ntp::{NtpCollectionResponse, NtpMutationResponse};
use model::route::Endpoint;
use model::{FailureKind, HostResult, Operation, Outcome, Servers, Target};
use serde::Serialize;
use uuid::Uuid;

use super::call::Call;
use super::error::refused_target;
use super::{Api, ApiError, sse};
use crate::jobs::{Asked, Submitted};

/// Decodes the request, submits the job, and answers when every host has a row; or tells of each row as it
/// comes, when the caller accepts `text/event-stream`.
pub(super) async fn handle(call: &mut Call) -> Result<Response, ApiError> {
    let timeout = call.query()?.number("timeout_s").map(Duration::from_secs);
    let target = call.parameter("hostname").await?;
    let target: Target = target.parse().map_err(|refused| refused_target(&refused))?;
    let operation = operation(call).await?;
    let asked = Asked {
        user: call.caller()?.subject.clone(),
        target,
        operation,
        timeout,
        retry_of: None,
    };
    let submitted = call.api.controller.submit(asked).await?;
    call.job_id = Some(submitted.job.id);
    call.api.metrics.job_created();
    if wants_events(call) {
        return Ok(sse::stream(Arc::clone(&call.api), submitted));
    }
    let answer = gather(&call.api, submitted, |_| {}).await.encode()?;
    Ok((
        answer.status,
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        answer.body,
    )
        .into_response())
}

async fn operation(call: &mut Call) -> Result<Operation, ApiError> {
    match call.route.endpoint {
        Endpoint::PostNodeNtp => Ok(Operation::NtpCreate(servers(call).await?)),
        Endpoint::PutNodeNtp => Ok(Operation::NtpUpdate(servers(call).await?)),
        Endpoint::DeleteNodeNtp => Ok(Operation::NtpDelete),
        _ => Ok(Operation::NtpGet),
    }
}

async fn servers(call: &mut Call) -> Result<Servers, ApiError> {
    let body = call.json().await?.unwrap_or_default();
    Servers::from_json(&body).map_err(|refused| {
        // The words of the contract's validator come first, for those who look for them.
        let tag = match body.get("servers") {
            None | Some(serde_json::Value::Null) => "required",
            Some(serde_json::Value::Array(servers)) if servers.is_empty() => "min",
            Some(_) => "valid_servers",
        };
        ApiError::bad_request(format!(
            "Field validation for 'Servers' failed on the '{tag}' tag: {refused}"
        ))
    })
}

fn wants_events(call: &Call) -> bool {
    call.header("accept").is_some_and(|accept| {
        accept
            .split(',')
            .any(|kind| kind.split(';').next().unwrap_or_default().trim() == "text/event-stream")
    })
}

/// Waits until every host has a row; `on_row` is told of each as it comes.
pub(super) async fn gather(api: &Api, submitted: Submitted, mut on_row: impl FnMut(&HostResult)) -> Gathered {
    let began = Instant::now();
    let Submitted { job, mut answers } = submitted;
    let mut results = Vec::with_capacity(job.expected.len());
    while let Some(result) = answers.recv().await {
        on_row(&result);
        results.push(result);
    }
    results.sort_by(|a: &HostResult, b| (&a.hostname, &a.machine_id).cmp(&(&b.hostname, &b.machine_id)));
    api.metrics
        .job_ended(JobState::of_ended(&results), began.elapsed());
    Gathered {
        job_id: job.id,
        target: job.target,
        operation: job.operation,
        results,
    }
}

/// A job with the answer of every host, ordered by host name and machine id.
pub(super) struct Gathered {
    job_id: Uuid,
    target: Target,
    operation: Operation,
    results: Vec<HostResult>,
}

/// A status and a JSON body.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Gathered {
    /// Encodes what the caller is told: rows, or that the one host meant is not managed.
    pub(super) fn encode(&self) -> Result<Answer, ApiError> {
        if let Some(error) = self.not_managed() {
            return Err(ApiError::not_found(format!("job failed: {error}")));
        }
        let (job_id, results) = (self.job_id, &self.results);
        let body = match self.operation {
            Operation::NtpGet => json(&NtpCollectionResponse {
                job_id,
                results: results.iter().map(Into::into).collect(),
            }),
            Operation::NtpCreate(_) | Operation::NtpUpdate(_) | Operation::NtpDelete => {
                json(&NtpMutationResponse {
                    job_id,
                    results: results.iter().map(Into::into).collect(),
                })
            }
        }?;
        Ok(Answer {
            status: StatusCode::OK,
            body,
        })
    }

    fn not_managed(&self) -> Option<&str> {
        let single = match self.target {
            Target::Host(_) | Target::Any => true,
            Target::All | Target::Label(_) => false,
        };
        match (self.results.as_slice(), &self.operation) {
            ([only], Operation::NtpUpdate(_) | Operation::NtpDelete) if single => match &only.outcome {
                Outcome::Failed(failure) if failure.kind == FailureKind::NotManaged => Some(&failure.error),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Encodes a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value)
        .map_err(|error| ApiError::internal(format!("the answer cannot be written as JSON: {error}")))
}
