//! What the handlers share.

use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::{Semaphore, watch};

use super::Controller;
use super::session::Sessions;
use crate::audit::Audit;
use crate::health::Health;
use crate::metrics::Metrics;

/// How many requests may be under way at once; each holds a task and at most one body.
const UNDER_WAY_MAX: usize = 1024;

/// The controller with what is only of the API: sessions, audit, metrics.
pub struct Api {
    pub(crate) controller: Arc<Controller>,
    pub(crate) sessions: Sessions,
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    /// Bounds the requests under way.
    pub(super) under_way: Arc<Semaphore>,
    contract: Bytes,
    /// Whether the controller is about to stop.
    stopping: watch::Sender<bool>,
}

impl Api {
    /// Makes the API of a controller; `secure` says that requests come in TLS. A task that writes the audit
    /// trail is started.
    pub fn new(controller: Arc<Controller>, secure: bool) -> Arc<Self> {
        let metrics = Metrics::new(&controller);
        Arc::new(Api {
            sessions: Sessions::new(controller.id(), secure),
            audit: Audit::start(Arc::clone(controller.bus()), metrics.audit_dropped()),
            health: Health::new(Arc::clone(&controller)),
            metrics,
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            contract: model::openapi::text().unwrap_or_default().into(),
            controller,
            stopping: watch::Sender::new(false),
        })
    }

    /// Ends what would otherwise go on as long as somebody listens.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Turns true when the controller is about to stop.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// The controller.
    pub fn controller(&self) -> &Arc<Controller> {
        &self.controller
    }

    /// The browsers that are signed in.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Says whether `/metrics` is open to everybody.
    pub(super) fn metrics_are_open(&self) -> bool {
        self.controller.settings().metrics_open || self.controller.api_address().ip().is_loopback()
    }

    pub(super) fn contract(&self) -> Response {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], self.contract.clone()).into_response()
    }
}
