//! One request on its way through the API: authorised, worked on, counted, audited.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use jiff::Timestamp;
use model::audit::AuditEntry;
use model::permission::Permission;
use model::route::{Access, PATH_PARAMETER_BYTES_MAX, Route};
use model::{Invalid, Target};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::query::Query;
use super::{Api, ApiError, auth, body, dispatch};
use crate::audit;
use crate::shares::Share;
use crate::strangers::Proof;
use crate::tokens::Caller;

/// Who is at the other end of the connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    /// Whether a good token was shown on the connection.
    pub(crate) proof: Proof,
}

impl Peer {
    pub(super) fn new(address: SocketAddr) -> Self {
        Peer {
            address,
            proof: Proof::default(),
        }
    }

    /// The peer's address, an IPv4 one as such also on a listener for both.
    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)
    }
}

/// A request under way.
pub(super) struct Call {
    pub(super) api: Arc<Api>,
    pub(super) route: &'static Route,
    parts: Parts,
    body: Option<Body>,
    /// Who asks, or why nobody knows.
    who: Result<Caller, ApiError>,
    /// Who asks, where that is to be known.
    caller: Option<Caller>,
    /// The job that came of it.
    pub(super) job_id: Option<Uuid>,
    /// The body as it came, for the audit trail.
    received: Option<serde_json::Value>,
}

/// How long anything may take: the longest job, and what comes after it.
const TIMEOUT: Duration = Duration::from_secs(model::route::TIMEOUT_S_MAX + 30);

/// Takes a request of the table. It is worked on to its end also when the caller goes away, so that the
/// audit entry says what came of it.
pub(super) async fn take(api: Arc<Api>, route: &'static Route, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let who = auth::caller(&api, &parts);
    if who.is_ok()
        && let Some(peer) = parts.extensions.get::<Peer>()
    {
        peer.proof.give();
    }
    let place = match place(&api, route, who.as_ref().ok()) {
        Ok(place) => place,
        Err(busy) => return busy.into_response(),
    };
    let call = Call {
        api,
        route,
        parts,
        body: Some(body),
        who,
        caller: None,
        job_id: None,
        received: None,
    };
    let working = tokio::spawn(async move {
        let response = call.work().await;
        drop(place);
        response
    });
    working.await.unwrap_or_else(|_| failed().into_response())
}

/// Room for a request under way, until it is dropped.
enum Place {
    /// It needs none.
    Free,
    Caller {
        _share: Share,
    },
    Stranger {
        _permit: OwnedSemaphorePermit,
    },
}

/// Finds room for a request. A stranger takes none that is for callers, whatever it asks for.
fn place(api: &Api, route: &Route, who: Option<&Caller>) -> Result<Place, ApiError> {
    match (route.access, who) {
        // Whoever asks for health must learn it however much is under way.
        (Access::Open, _) => Ok(Place::Free),
        (Access::Needs(_) | Access::OpenOrNeeds(_), Some(caller)) => {
            let (what, shares) = if route.method.writes() {
                ("writes", &api.writes)
            } else {
                ("reads", &api.reads)
            };
            shares
                .take(&caller.subject)
                .map(|share| Place::Caller { _share: share })
                .map_err(|no_room| ApiError::busy(format!("the controller is busy with {what}: {no_room}")))
        }
        (Access::Needs(_) | Access::OpenOrNeeds(_), None) => {
            let permit = Arc::clone(&api.strangers).try_acquire_owned();
            permit
                .map(|permit| Place::Stranger { _permit: permit })
                .map_err(|_| {
                    ApiError::busy(
                        "too many requests without a good token are under way; try again in a moment",
                    )
                })
        }
    }
}

fn failed() -> ApiError {
    ApiError::internal("the request could not be worked on; the controller's log says why")
}

impl Call {
    async fn work(mut self) -> Response {
        let (at, began) = (Timestamp::now(), Instant::now());
        let answer = tokio::time::timeout(TIMEOUT, AssertUnwindSafe(self.answer()).catch_unwind()).await;
        let response = match answer {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(error))) => {
                if error.status().is_server_error() {
                    tracing::error!(operation = self.route.operation_id, %error, "a request failed");
                }
                error.into_response()
            }
            // The panic's own message is in the log already.
            Ok(Err(_)) => failed().into_response(),
            Err(_) => ApiError::busy("the request took too long; try again in a moment").into_response(),
        };
        if let Some(body) = self.body.take() {
            body::drain(&self.parts.headers, body).await;
        }
        let status = response.status().as_u16();
        let took = began.elapsed();
        self.api
            .metrics
            .http(self.route.method.as_str(), self.route.path, status, Some(took));
        if audit::covers(self.route.endpoint) {
            let entry = self.entry(at, status, took);
            let is_change = self.is_change(response.status());
            self.api.audit.record(entry, is_change).await;
        }
        response
    }

    async fn answer(&mut self) -> Result<Response, ApiError> {
        match self.route.access {
            Access::Open => {}
            Access::OpenOrNeeds(_) if self.api.metrics_are_open() => {}
            Access::Needs(permission) | Access::OpenOrNeeds(permission) => {
                self.caller = Some(self.who.clone()?);
                self.needs(permission)?;
            }
        }
        dispatch(self).await
    }

    // --- for handlers

    /// Checks that the caller holds a permission.
    pub(super) fn needs(&self, permission: Permission) -> Result<(), ApiError> {
        auth::check(self.caller()?, permission)
    }

    /// Who asks.
    pub(super) fn caller(&self) -> Result<&Caller, ApiError> {
        self.caller
            .as_ref()
            .ok_or_else(|| ApiError::unauthorized(auth::TOKEN_REQUIRED))
    }

    /// The query parameters.
    pub(super) fn query(&self) -> Result<Query, ApiError> {
        Ok(Query::read(self.route, &self.parts.uri)?)
    }

    /// The header of this name, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// A path parameter, decoded.
    pub(super) async fn parameter(&mut self, name: &str) -> Result<String, ApiError> {
        let parameters = RawPathParams::from_request_parts(&mut self.parts, &())
            .await
            .map_err(|_| ApiError::bad_request(format!("{name}: it is not UTF-8 when percent-decoded")))?;
        let value = parameters
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
            .ok_or_else(|| ApiError::internal(format!("the route has no parameter {name}")))?;
        if value.len() > PATH_PARAMETER_BYTES_MAX {
            let problem = format!("it is longer than {PATH_PARAMETER_BYTES_MAX} bytes");
            return Err(Invalid::new(
                name,
                problem,
                "give the name as `timeball client agent list` shows it",
            )
            .into());
        }
        Ok(value)
    }

    /// The id in the path.
    pub(super) async fn id(&mut self) -> Result<Uuid, ApiError> {
        const HYPHENATED_LENGTH: usize = 36;
        let text = self.parameter("id").await?;
        Uuid::parse_str(&text)
            .ok()
            .filter(|_| text.len() == HYPHENATED_LENGTH)
            .ok_or_else(|| Invalid::new("id", "it is not a UUID", "give an id as the list shows it").into())
    }

    /// The host name or machine id in the path.
    pub(super) async fn hostname(&mut self) -> Result<String, ApiError> {
        let text = self.parameter("hostname").await?;
        match text.parse::<Target>() {
            Ok(Target::Host(name)) => Ok(name),
            Ok(Target::Any | Target::All | Target::Label(_)) | Err(_) => Err(Invalid::new(
                "hostname",
                "it is neither a host name nor a machine id",
                "give one as `timeball client agent list` shows it",
            )
            .into()),
        }
    }

    /// The body as JSON; `None` for an empty one.
    pub(super) async fn json(&mut self) -> Result<Option<serde_json::Value>, ApiError> {
        let Some(body) = self.body.take() else {
            return Ok(None);
        };
        let json = body::json(&self.parts.headers, body).await?;
        self.received.clone_from(&json);
        Ok(json)
    }

    /// The body as a JSON object of this shape; `None` for an empty one.
    pub(super) async fn object<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ApiError> {
        let refuse = |problem: String| Invalid::new("", problem, "see /api/openapi.json for the fields");
        let Some(body) = self.json().await? else {
            return Ok(None);
        };
        // A list would be taken for the fields in their order.
        if !body.is_object() {
            return Err(refuse("the body is not a JSON object".to_owned()).into());
        }
        let object = serde_json::from_value(body).map_err(|error| refuse(error.to_string()))?;
        Ok(Some(object))
    }

    // --- private

    fn entry(&self, at: Timestamp, status: u16, took: Duration) -> AuditEntry {
        let caller = self.caller.as_ref();
        AuditEntry {
            id: Uuid::now_v7(),
            timestamp: at.to_string(),
            user: caller.map(|caller| caller.subject.clone()).unwrap_or_default(),
            roles: caller.map(|caller| caller.roles.clone()).unwrap_or_default(),
            method: self.route.method.as_str().to_owned(),
            path: audit::shortened(&self.parts.uri.to_string()),
            operation_id: Some(self.route.operation_id.to_owned()),
            source_ip: self.peer().map(|peer| peer.ip().to_string()).unwrap_or_default(),
            response_code: status,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            trace_id: self.header("traceparent").and_then(trace_id),
            body: self.received.as_ref().map(audit::without_secrets),
            job_id: self.job_id,
        }
    }

    /// Says whether something was changed, or may have been: what was refused was not.
    fn is_change(&self, status: StatusCode) -> bool {
        let refused = status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE;
        self.route.method.writes() && (self.job_id.is_some() || !refused)
    }

    fn peer(&self) -> Option<&Peer> {
        self.parts.extensions.get::<Peer>()
    }
}

/// Reads the trace id of a `traceparent` header (W3C Trace Context §3.2).
fn trace_id(header: &str) -> Option<String> {
    let mut parts = header.trim().split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let formed = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let alone = version != "00" || parts.next().is_none();
    let named = trace.bytes().any(|byte| byte != b'0') && parent.bytes().any(|byte| byte != b'0');
    (formed && alone && named).then(|| trace.to_owned())
}

/// An answer with nothing in it.
pub(super) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    #[test]
    fn only_well_formed_trace_ids_are_taken_over() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let header = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(&header).as_deref(), Some(trace));
        assert_eq!(
            trace_id(&format!("cc-{trace}-00f067aa0ba902b7-01-later")).as_deref(),
            Some(trace)
        );
        for bad in [
            "",
            "00",
            &format!("00-{trace}-00f067aa0ba902b7"),
            &format!("ff-{trace}-00f067aa0ba902b7-01"),
            &format!("00-{trace}-00f067aa0ba902b7-01-more"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
