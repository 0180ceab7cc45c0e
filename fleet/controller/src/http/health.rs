//! Health and metrics.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::health::{HealthResponse, ReadyResponse};

use super::ApiError;
use super::call::Call;
use crate::metrics::CONTENT_TYPE;

pub(super) fn alive(_call: &Call) -> Result<Response, ApiError> {
    Ok(Json(HealthResponse {
        status: "ok".to_owned(),
    })
    .into_response())
}

pub(super) async fn ready(call: &mut Call) -> Result<Response, ApiError> {
    let (status, word, error) = match call.api.health.ready().await {
        Ok(()) => (StatusCode::OK, "ready", None),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", Some(error)),
    };
    Ok((
        status,
        Json(ReadyResponse {
            status: word.to_owned(),
            error,
        }),
    )
        .into_response())
}

pub(super) async fn status(call: &mut Call) -> Result<Response, ApiError> {
    let status = call.api.health.status().await;
    let code = if status.status == "ok" {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok((code, Json(status)).into_response())
}

pub(super) fn metrics(call: &Call) -> Result<Response, ApiError> {
    let text = call
        .api
        .metrics
        .text()
        .map_err(|error| ApiError::internal(format!("the metrics cannot be written: {error}")))?;
    Ok((
        [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))],
        text,
    )
        .into_response())
}
