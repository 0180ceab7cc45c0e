//! A job as server-sent events: who is asked, each row as it comes, and the whole answer at the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use model::error::ErrorResponse;
use model::ntp::{NtpMutationResult, NtpStatusEntry};
use model::{HostResult, Operation};
use serde_json::json;
use tokio::sync::mpsc;

use super::operation::{gather, json as encode};
use super::{Api, ApiError};
use crate::jobs::Submitted;

/// How often something is sent while nothing happens, so that nobody in between closes the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `event: job` with `job_id` and how many hosts are `expected`; `event: host` with a row each, as on the
/// endpoint without a stream; and at the end `event: result` with the `status` and `body` of the answer
/// there. The job goes on when the caller goes away.
pub(super) fn stream(api: Arc<Api>, submitted: Submitted) -> Response {
    // Bounded by the hosts of the job.
    let (sender, receiver) = mpsc::unbounded_channel::<Event>();
    tokio::spawn(async move {
        let job = &submitted.job;
        let begin = json!({"job_id": job.id, "expected": job.expected.len()});
        // Sending fails when the caller has gone, which ends nothing but the stream.
        let _ = sender.send(event("job", &begin.to_string()));
        let operation = job.operation.clone();
        let gathered = gather(&api, submitted, |result| {
            if let Ok(row) = row(&operation, result) {
                let _ = sender.send(event("host", &row));
            }
        })
        .await;
        let (status, body) = match gathered.encode() {
            Ok(answer) => (
                answer.status.as_u16(),
                String::from_utf8(answer.body).unwrap_or_default(),
            ),
            Err(error) => (error.status().as_u16(), error_body(&error)),
        };
        let _ = sender.send(event(
            "result",
            &format!("{{\"status\":{status},\"body\":{body}}}"),
        ));
    });
    let events = stream::unfold(receiver, |mut receiver| async move {
        receiver
            .recv()
            .await
            .map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

fn row(operation: &Operation, result: &HostResult) -> Result<String, ApiError> {
    let bytes = match operation {
        Operation::NtpGet => encode(&NtpStatusEntry::from(result)),
        Operation::NtpCreate(_) | Operation::NtpUpdate(_) | Operation::NtpDelete => {
            encode(&NtpMutationResult::from(result))
        }
    }?;
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

fn error_body(error: &ApiError) -> String {
    let body = ErrorResponse {
        error: error.to_string(),
    };
    serde_json::to_string(&body).unwrap_or_else(|_| "{}".to_owned())
}

fn event(name: &str, json: &str) -> Event {
    Event::default().event(name).data(json)
}
