//! Tokens: of the API, and those that enrol hosts.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use model::Invalid;
use model::host::{EnrolmentTokenRequest, MessageResponse};
use model::token::{ListTokensResponse, TokenRequest};

use super::ApiError;
use super::call::Call;

/// Lifetimes of enrolment tokens in seconds: a minute to 30 days, an hour by default.
const ENROLMENT_LIFETIME_S: std::ops::RangeInclusive<u64> = 60..=30 * 24 * 60 * 60;
const ENROLMENT_LIFETIME_S_DEFAULT: u64 = 60 * 60;

/// How many hosts one enrolment token can enrol.
const ENROLMENT_USES: std::ops::RangeInclusive<u32> = 1..=100_000;

pub(super) async fn enrolment(call: &mut Call) -> Result<Response, ApiError> {
    let request = call.object::<EnrolmentTokenRequest>().await?.unwrap_or_default();
    let lifetime_s = request.lifetime_s.unwrap_or(ENROLMENT_LIFETIME_S_DEFAULT);
    let uses = request.uses.unwrap_or(1);
    in_range("lifetime_s", &lifetime_s, &ENROLMENT_LIFETIME_S)?;
    in_range("uses", &uses, &ENROLMENT_USES)?;
    let token = call
        .api
        .controller
        .enrolment()
        .create(Duration::from_secs(lifetime_s), uses)
        .await?;
    Ok(Json(token).into_response())
}

pub(super) fn list(call: &Call) -> Result<Response, ApiError> {
    let tokens = call.api.controller.tokens().list();
    let total = u64::try_from(tokens.len()).unwrap_or(u64::MAX);
    Ok(Json(ListTokensResponse { tokens, total }).into_response())
}

/// Nobody can give out more than they hold.
pub(super) async fn issue(call: &mut Call) -> Result<Response, ApiError> {
    let request = call.object::<TokenRequest>().await?.ok_or_else(|| {
        Invalid::new(
            "",
            "there is no body",
            "send {\"subject\": \"ci\", \"roles\": [\"read\"]}",
        )
    })?;
    let controller = Arc::clone(&call.api.controller);
    for permission in controller.tokens().resolve(&request.roles, &request.permissions) {
        call.needs(permission)?;
    }
    let issued = controller.tokens().issue(&request).await?;
    tracing::info!(
        by = call.caller()?.subject,
        jti = issued.jti,
        subject = issued.subject,
        "token made"
    );
    Ok(Json(issued).into_response())
}

pub(super) async fn revoke(call: &mut Call) -> Result<Response, ApiError> {
    const JTI_BYTES_MAX: usize = 128;
    let jti = call.parameter("jti").await?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if jti.is_empty() || jti.len() > JTI_BYTES_MAX || !jti.bytes().all(word) {
        return Err(Invalid::new("jti", "it is not a token's id", "give an id as the list shows it").into());
    }
    let is_ours = call.api.controller.tokens().revoke(&jti).await?;
    tracing::info!(by = call.caller()?.subject, jti, is_ours, "token revoked");
    let message = if is_ours {
        format!("token {jti} is refused from now on")
    } else {
        format!(
            "no token {jti} was given out here; one of this id that was made elsewhere with the same key is refused from \
             now on; if you mean another, see `timeball client token list`"
        )
    };
    Ok(Json(MessageResponse { message }).into_response())
}

fn in_range<T: PartialOrd + std::fmt::Display>(
    field: &str,
    value: &T,
    range: &std::ops::RangeInclusive<T>,
) -> Result<(), Invalid> {
    if range.contains(value) {
        return Ok(());
    }
    let remedy = format!("give {} to {}", range.start(), range.end());
    Err(Invalid::new(field, format!("{value} is out of range"), remedy))
}
