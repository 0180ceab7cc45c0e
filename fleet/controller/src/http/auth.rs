//! Who asks: a token in the header, or a browser's session.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::{HeaderMap, header, request::Parts};
use model::permission::Permission;

use super::call::Peer;
use super::session::{CSRF_HEADER, Session};
use super::{Api, ApiError};
use crate::tokens::Caller;

pub(super) const TOKEN_REQUIRED: &str = "Bearer token required";

/// Finds out who asks the API. A browser that writes has to show that the request comes from our own pages.
pub(super) fn caller(api: &Api, parts: &Parts) -> Result<Caller, ApiError> {
    if let Some(token) = bearer(&parts.headers)? {
        return api
            .controller
            .tokens()
            .verify(token)
            .map_err(|error| ApiError::unauthorized(format!("Invalid token: {error}")));
    }
    let session = session(api, &parts.headers).ok_or_else(|| ApiError::unauthorized(TOKEN_REQUIRED))?;
    if !parts.method.is_safe() {
        let shown = parts
            .headers
            .get(CSRF_HEADER)
            .and_then(|value| value.to_str().ok());
        if !shown.is_some_and(|shown| session.csrf_is(shown)) {
            return Err(ApiError::forbidden(format!(
                "a browser's write needs the session's CSRF token in the {CSRF_HEADER} header"
            )));
        }
    }
    Ok(session.caller)
}

/// Checks that a caller holds a permission.
pub(super) fn check(caller: &Caller, permission: Permission) -> Result<(), ApiError> {
    if caller.may(permission) {
        return Ok(());
    }
    let held: Vec<&str> = caller
        .permissions
        .iter()
        .map(|permission| permission.as_str())
        .collect();
    let held = if held.is_empty() {
        "none".to_owned()
    } else {
        held.join(", ")
    };
    Err(ApiError::forbidden(format!(
        "Insufficient permissions: {permission} is required, the token holds {held}"
    )))
}

/// The token of the `Authorization` header, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    const SCHEME: &str = "bearer ";
    let Some(header) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let text = header.to_str().unwrap_or_default();
    match text.split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) && !token.trim().is_empty() => {
            Ok(Some(token.trim()))
        }
        _ => Err(ApiError::unauthorized(TOKEN_REQUIRED)),
    }
}

/// The session of the request's cookie, while its token is good.
fn session(api: &Api, headers: &HeaderMap) -> Option<Session> {
    let session = api.sessions.find(headers)?;
    let revoked = session
        .caller
        .jti
        .as_deref()
        .is_some_and(|jti| api.controller.tokens().is_revoked(jti));
    (!revoked).then_some(session)
}

/// The session of a request for a page; `None` sends the browser to sign in.
pub fn signed_in(api: &Api, headers: &HeaderMap) -> Option<Session> {
    session(api, headers)
}

/// A page's visitor, as an extractor: signed in with a cookie, or not.
#[derive(Clone, Debug)]
pub struct SignedIn(pub Option<Session>);

impl<S> FromRequestParts<S> for SignedIn
where
    S: Send + Sync,
    Arc<Api>: FromRef<S>,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let api = Arc::<Api>::from_ref(state);
        let session = signed_in(&api, &parts.headers);
        if session.is_some()
            && let Some(peer) = parts.extensions.get::<Peer>()
        {
            peer.proof.give();
        }
        Ok(SignedIn(session))
    }
}
