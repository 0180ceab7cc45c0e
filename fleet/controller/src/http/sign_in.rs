//! Signing in and out with a browser: a token is exchanged for a session's cookie.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Form, Router};
use jiff::Timestamp;
use model::audit::AuditEntry;
use serde::Deserialize;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::call::Peer;
use super::{Api, ApiError, auth};
use crate::tokens::Caller;

/// How long a refused sign-in takes, so that nobody can try many tokens.
const REFUSAL_DELAY: Duration = Duration::from_millis(500);

/// How many refused sign-ins may wait at once; more are turned away unread.
const REFUSALS_MAX: usize = 8;

/// Largest form, in bytes: a token and a path.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// `POST /ui/sign-in` with the fields `token` and, where to go then, `next`; `POST /ui/sign-out` with the
/// session's `csrf`. Refused sign-ins go back to `/ui/sign-in?failed=1`.
pub(super) fn router(api: &Arc<Api>) -> Router {
    let door = Arc::new(Door {
        api: Arc::clone(api),
        refusals: Semaphore::new(REFUSALS_MAX),
    });
    Router::new()
        .route(SIGN_IN, post(sign_in))
        .route("/ui/sign-out", post(sign_out))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(door)
}

struct Door {
    api: Arc<Api>,
    refusals: Semaphore,
}

impl Door {
    /// Has a sign-in written to the audit trail; a refused one as 401, whatever the browser is told.
    async fn record(&self, peer: Option<Extension<Peer>>, caller: Option<&Caller>, status: StatusCode) {
        let entry = AuditEntry {
            id: Uuid::now_v7(),
            timestamp: Timestamp::now().to_string(),
            user: caller.map(|caller| caller.subject.clone()).unwrap_or_default(),
            roles: caller.map(|caller| caller.roles.clone()).unwrap_or_default(),
            method: "POST".to_owned(),
            path: SIGN_IN.to_owned(),
            operation_id: Some("SignIn".to_owned()),
            source_ip: peer
                .map(|Extension(peer)| peer.ip().to_string())
                .unwrap_or_default(),
            response_code: status.as_u16(),
            ..AuditEntry::default()
        };
        // To sign in changes nothing.
        self.api.audit.record(entry, false).await;
    }
}

const SIGN_IN: &str = "/ui/sign-in";

#[derive(Deserialize)]
struct SignInForm {
    token: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct SignOutForm {
    #[serde(default)]
    csrf: String,
}

async fn sign_in(
    State(door): State<Arc<Door>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    form: Result<Form<SignInForm>, FormRejection>,
) -> Response {
    if !is_from_here(&headers) {
        return ApiError::forbidden("sign in from the controller's own page").into_response();
    }
    let Ok(Form(form)) = form else {
        return see_other("/ui/sign-in?failed=1", None);
    };
    match door.api.controller.tokens().verify(form.token.trim()) {
        Ok(caller) => {
            door.record(peer, Some(&caller), StatusCode::SEE_OTHER).await;
            match door.api.sessions.begin(caller) {
                Ok(cookie) => see_other(local_path(&form.next), Some(cookie)),
                Err(error) => ApiError::internal(error.to_string()).into_response(),
            }
        }
        Err(error) => {
            tracing::warn!(%error, "a browser's sign-in was refused");
            door.record(peer, None, StatusCode::UNAUTHORIZED).await;
            let Ok(_waiting) = door.refusals.try_acquire() else {
                let text = "too many sign-ins were refused; try again in a moment";
                return ApiError::new(StatusCode::TOO_MANY_REQUESTS, text).into_response();
            };
            tokio::time::sleep(REFUSAL_DELAY).await;
            see_other("/ui/sign-in?failed=1", None)
        }
    }
}

async fn sign_out(
    State(door): State<Arc<Door>>,
    headers: HeaderMap,
    form: Result<Form<SignOutForm>, FormRejection>,
) -> Response {
    let Some(session) = auth::signed_in(&door.api, &headers) else {
        return see_other("/ui/sign-in", Some(door.api.sessions.end(&headers)));
    };
    if !form.is_ok_and(|Form(form)| session.csrf_is(&form.csrf)) {
        return ApiError::forbidden("sign out from the controller's own page").into_response();
    }
    see_other("/ui/sign-in", Some(door.api.sessions.end(&headers)))
}

/// Browsers say where a form was sent from; other programs say nothing.
fn is_from_here(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// A path on this controller, or the first page: never an address elsewhere.
fn local_path(next: &str) -> &str {
    let local = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if local { next } else { "/" }
}

fn see_other(path: &str, cookie: Option<HeaderValue>) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or_else(|_| HeaderValue::from_static("/"));
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::local_path;

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        assert_eq!(local_path("/hosts?state=Ready"), "/hosts?state=Ready");
        for elsewhere in [
            "",
            "hosts",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/a\r\nb",
        ] {
            assert_eq!(local_path(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
