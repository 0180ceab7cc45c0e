//! The API and the browser's way in: HTTP becomes calls of the [`Controller`], and its answers HTTP again.
//!
//! [`router`] walks the table of [`model::route`]; every endpoint goes through `call::take`, which
//! authorises by the table's row, has `dispatch` find the handler, and writes the audit entry. A handler
//! decodes, calls one method and encodes. `server` takes connections and bounds what a stranger can make
//! it hold.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use model::route::{Endpoint, Method, ROUTES};
use tower_http::catch_panic::CatchPanicLayer;

use crate::Controller;

mod agents;
mod api;
mod audit;
mod auth;
mod body;
mod call;
mod connection;
mod error;
mod health;
mod jobs;
mod operation;
mod query;
mod server;
pub mod session;
mod sign_in;
mod sse;
mod tokens;

pub use api::Api;
pub use auth::{SignedIn, signed_in};
pub use error::ApiError;
pub use server::serve;

use call::Call;

/// Everything that is served: the API, and signing in with a browser.
pub fn router(api: &Arc<Api>) -> Router {
    let mut router = Router::new();
    for route in &ROUTES {
        let filter = match route.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
            Method::Delete => MethodFilter::DELETE,
        };
        let api = Arc::clone(api);
        let handler = move |request: Request| call::take(Arc::clone(&api), route, request);
        router = router.route(route.path, on(filter, handler));
    }
    let counted = Arc::clone(api);
    router
        .merge(sign_in::router(api))
        .merge(crate::ui::router(api))
        .fallback(move |request: Request| async move {
            counted.metrics.http(
                request.method().as_str(),
                "other",
                StatusCode::NOT_FOUND.as_u16(),
                None,
            );
            crate::ui::not_found(&request).unwrap_or_else(|| {
                let path = shown_path(&request);
                ApiError::not_found(format!("there is no {path}; see /api/openapi.json")).into_response()
            })
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let text = format!("{} does not take {}", shown_path(&request), request.method());
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::internal("the request could not be worked on").into_response()
        }))
        .layer(axum::middleware::map_response(with_headers))
}

/// Finds the handler of an endpoint.
async fn dispatch(call: &mut Call) -> Result<Response, ApiError> {
    match call.route.endpoint {
        Endpoint::GetNodeNtp | Endpoint::PostNodeNtp | Endpoint::PutNodeNtp | Endpoint::DeleteNodeNtp => {
            operation::handle(call).await
        }
        Endpoint::GetJobs => jobs::list(call).await,
        Endpoint::GetJob => jobs::show(call).await,
        Endpoint::DeleteJob => jobs::delete(call).await,
        Endpoint::RetryJob => jobs::retry(call).await,
        Endpoint::GetAgents => agents::list(call),
        Endpoint::GetPendingAgents => agents::pending(call),
        Endpoint::GetAgent => agents::show(call).await,
        Endpoint::DeleteAgent => agents::remove(call).await,
        Endpoint::AcceptAgent => agents::accept(call).await,
        Endpoint::RejectAgent => agents::reject(call).await,
        Endpoint::DrainAgent => agents::drain(call).await,
        Endpoint::UndrainAgent => agents::undrain(call).await,
        Endpoint::GetFactKeys => agents::facts(call),
        Endpoint::GetHealth => health::alive(call),
        Endpoint::GetHealthReady => health::ready(call).await,
        Endpoint::GetHealthStatus => health::status(call).await,
        Endpoint::GetMetrics => health::metrics(call),
        Endpoint::GetAudit => audit::list(call).await,
        Endpoint::GetAuditExport => audit::export(call),
        Endpoint::GetAuditEntry => audit::show(call).await,
        Endpoint::PostEnrolmentToken => tokens::enrolment(call).await,
        Endpoint::GetTokens => tokens::list(call),
        Endpoint::PostToken => tokens::issue(call).await,
        Endpoint::DeleteToken => tokens::revoke(call).await,
        Endpoint::GetOpenApi => Ok(call.api.contract()),
    }
}

/// Adds what every answer carries for browsers.
async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let html = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/html"));
    if html && !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                 form-action 'self'; frame-ancestors 'none'",
            ),
        );
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// The path of a request, cut to what an error text can bear.
fn shown_path(request: &Request) -> String {
    const SHOWN_CHARS_MAX: usize = 100;
    request.uri().path().chars().take(SHOWN_CHARS_MAX).collect()
}
