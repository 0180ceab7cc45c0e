//! Jobs: list, show, forget, submit again.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::Target;
use model::job::{CreateJobResponse, JobState, RetryJobRequest};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::ApiError;
use super::call::{Call, no_content};
use super::error::refused_target;
use super::operation::gather;

pub(super) async fn list(call: &mut Call) -> Result<Response, ApiError> {
    let query = call.query()?;
    let state = query.text("status").and_then(|word| {
        let word: StrDeserializer<'_, ValueError> = word.into_deserializer();
        JobState::deserialize(word).ok()
    });
    let number = |name| usize::try_from(query.number(name).unwrap_or_default()).unwrap_or(usize::MAX);
    let jobs = call
        .api
        .controller
        .jobs()
        .list(state, number("limit"), number("offset"))
        .await?;
    Ok(Json(jobs).into_response())
}

pub(super) async fn show(call: &mut Call) -> Result<Response, ApiError> {
    let id = call.id().await?;
    call.job_id = Some(id);
    let job = call.api.controller.jobs().detail(id).await?;
    job.map(|job| Json(job).into_response())
        .ok_or_else(|| unknown(id))
}

pub(super) async fn delete(call: &mut Call) -> Result<Response, ApiError> {
    let id = call.id().await?;
    if call.api.controller.jobs().delete(id).await? {
        call.job_id = Some(id);
        Ok(no_content())
    } else {
        Err(unknown(id))
    }
}

/// Whoever retries a job needs the permission of its operation too: the job may be somebody else's.
pub(super) async fn retry(call: &mut Call) -> Result<Response, ApiError> {
    let id = call.id().await?;
    let target = target(call).await?;
    let controller = Arc::clone(&call.api.controller);
    let job = controller.jobs().stored(id).await?.ok_or_else(|| unknown(id))?;
    call.needs(job.operation.permission())?;
    let submitted = controller
        .retry(id, target, call.caller()?.subject.clone())
        .await?;
    let job = &submitted.job;
    call.job_id = Some(job.id);
    call.api.metrics.job_created();
    let answer = CreateJobResponse {
        job_id: job.id,
        status: "created".to_owned(),
        revision: None,
        timestamp: Some(job.created.to_string()),
    };
    let api = Arc::clone(&call.api);
    tokio::spawn(async move { gather(&api, submitted, |_| {}).await });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

async fn target(call: &mut Call) -> Result<Option<Target>, ApiError> {
    let request = call.object::<RetryJobRequest>().await?.unwrap_or_default();
    let target = request.target_hostname.map(|target| target.parse()).transpose();
    target.map_err(|refused| refused_target(&refused))
}

fn unknown(id: uuid::Uuid) -> ApiError {
    ApiError::not_found(crate::jobs::unknown(&id))
}
