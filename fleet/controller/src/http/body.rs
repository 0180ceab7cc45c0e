//! Request bodies: bounded in size and time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;

use super::ApiError;

/// Largest body, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How much of a body that is not wanted is read and thrown away, so that its sender gets to read the answer
/// before the connection is closed.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a body that is not wanted is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a JSON body; `None` for an empty one.
///
/// # Errors
/// 413, 415 or 400.
pub(super) async fn json(headers: &HeaderMap, body: Body) -> Result<Option<serde_json::Value>, ApiError> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        drain(headers, body).await;
        return Err(too_large());
    }
    // A body that is not there has no type to be wrong.
    if body.is_end_stream() {
        return Ok(None);
    }
    if let Err(error) = check_type(headers) {
        drain(headers, body).await;
        return Err(error);
    }
    let bytes = tokio::time::timeout(BODY_TIMEOUT, read(body))
        .await
        .map_err(|_| {
            ApiError::bad_request(format!(
                "the body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            ))
        })??;
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))
}

/// Reads a body and throws it away.
pub(super) async fn drain(headers: &HeaderMap, body: Body) {
    // Who waits for a word before sending is not going to send after an answer.
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let mut left = DRAINED_BYTES_MAX;
    let mut chunks = body.into_data_stream();
    let all = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whatever has not come by then makes the server close the connection.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, all).await;
}

async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| ApiError::bad_request(format!("the body broke off: {error}")))?;
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            drain(&HeaderMap::new(), Body::from_stream(chunks)).await;
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let named = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("unreadable").trim())
    };
    if let Some(coding) = named(header::CONTENT_ENCODING)
        && !coding.eq_ignore_ascii_case("identity")
    {
        return Err(wrong_type("the body is encoded; send it as it is"));
    }
    let essence = |kind: &str| {
        kind.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    };
    match named(header::CONTENT_TYPE) {
        Some(kind) if essence(kind) != "application/json" => Err(wrong_type(
            "the body has another type; send Content-Type: application/json",
        )),
        _ => Ok(()),
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {BODY_BYTES_MAX} bytes"),
    )
}

fn wrong_type(text: &str) -> ApiError {
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
}
