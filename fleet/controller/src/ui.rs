//! The controller's web page: rendered here, kept current by the server, usable without a script.
//!
//! A [`view`] is what somebody looks at; it is the page's address. Once a second the [`board`] takes the
//! state of the fleet for everybody who looks, [`pages::hosts::Screen`] is what the view shows of it, and the
//! difference between two screens is what [`stream`] sends. All HTML is made by templates that escape what
//! hosts say; the script in `assets/live.js` only exchanges elements.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use model::permission::Permission;
use serde::Deserialize;

use crate::http::session::Session;
use crate::http::{Api, SignedIn};
use crate::shares::Shares;

mod assets;
mod board;
mod clock;
mod pages;
mod parts;
mod stream;
#[cfg(test)]
mod tests;
mod text;
mod units;
mod view;

use board::{Board, Snapshot};
use pages::hosts::{Screen, Viewer};
use pages::message::Message;
use pages::sign_in::SignIn;
use view::View;

/// How many pages can be kept current at once; who is alone has half of them.
const STREAMS_MAX: usize = 512;

/// What a page may load and do: only what comes from here, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What one must be allowed to see the hosts.
const NEEDED: [Permission; 2] = [Permission::AGENT_READ, Permission::NTP_READ];

/// The pages: `/`, its stream of changes, the form to sign in, and what they load.
pub(crate) fn router(api: &Arc<Api>) -> Router {
    let ui = Ui {
        api: Arc::clone(api),
        board: Arc::new(Board::new(api.controller().hosts())),
        streams: Shares::new(STREAMS_MAX),
    };
    Router::new()
        .route("/", get(hosts))
        .route("/ui/hosts/stream", get(stream::open))
        .route("/sign-in", get(sign_in))
        .route("/ui/sign-in", get(sign_in))
        .route("/ui/assets/{hash}/{name}", get(assets::serve))
        .with_state(ui)
}

/// The answer to a browser that asks for a page that there is not; `None` for programs, which get the API's.
pub(crate) fn not_found(request: &Request) -> Option<Response> {
    let path = request.uri().path();
    let api = path == "/api" || path.starts_with("/api/");
    let accepts = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accepted| accepted.to_str().ok());
    let browser = accepts.is_some_and(|accepted| accepted.contains("text/html"));
    (browser && !api).then(|| page(StatusCode::NOT_FOUND, Message::not_found().render()))
}

/// The query of an address, as far as it can be read.
type Asked<T> = Result<Query<T>, QueryRejection>;

/// A query; of one that cannot be read the usual page is shown.
fn asked<T: Default>(query: Asked<T>) -> T {
    query.map(|Query(query)| query).unwrap_or_default()
}

/// What the pages share.
#[derive(Clone)]
struct Ui {
    api: Arc<Api>,
    board: Arc<Board>,
    streams: Arc<Shares>,
}

impl FromRef<Ui> for Arc<Api> {
    fn from_ref(ui: &Ui) -> Self {
        Arc::clone(&ui.api)
    }
}

impl Ui {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.board.snapshot(self.api.controller().hosts())
    }

    /// Address that agents dial.
    fn link(&self) -> String {
        let controller = self.api.controller();
        let advertised = controller.settings().link_advertised.clone();
        advertised.unwrap_or_else(|| controller.link_address().to_string())
    }
}

async fn hosts(State(ui): State<Ui>, SignedIn(session): SignedIn, query: Asked<view::Query>) -> Response {
    let Some(session) = session else {
        return Redirect::to("/sign-in").into_response();
    };
    if let Some(missing) = missing(&session) {
        return page(
            StatusCode::FORBIDDEN,
            Message::not_allowed(missing.as_str()).render(),
        );
    }
    let viewer = Viewer {
        name: text::shown(&session.caller.subject),
        csrf: session.csrf().to_owned(),
    };
    let rendered = tokio::task::spawn_blocking(move || {
        let view = View::from(asked(query));
        Screen::of(&ui.snapshot(), &view, &ui.link()).page(&view, &viewer)
    });
    match rendered.await {
        Ok(html) => page(StatusCode::OK, html),
        Err(error) => {
            tracing::error!(%error, "the page of the hosts could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SignInQuery {
    failed: Option<String>,
}

async fn sign_in(SignedIn(session): SignedIn, query: Asked<SignInQuery>) -> Response {
    if session.is_some_and(|session| missing(&session).is_none()) {
        return Redirect::to("/").into_response();
    }
    page(
        StatusCode::OK,
        SignIn {
            failed: asked(query).failed.is_some(),
        }
        .render(),
    )
}

/// The first permission that a session lacks to see the hosts.
fn missing(session: &Session) -> Option<Permission> {
    NEEDED.into_iter().find(|needed| !session.caller.may(*needed))
}

fn page(status: StatusCode, html: askama::Result<String>) -> Response {
    match html {
        Ok(html) => (status, PAGE_HEADERS, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

const PAGE_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];
