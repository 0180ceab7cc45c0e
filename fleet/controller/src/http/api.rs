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
use crate::shares::Shares;

/// How many reads of those with a token may be under way at once; each holds a task.
const READS_MAX: usize = 1024;

/// How many of their writes; each holds a body, too.
const WRITES_MAX: usize = 512;

/// How many requests of strangers, who are refused, or ask for what is open.
const STRANGERS_MAX: usize = 512;

/// The controller with what is only of the API: sessions, audit, metrics.
pub struct Api {
    pub(crate) controller: Arc<Controller>,
    pub(crate) sessions: Sessions,
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    /// Bound the requests under way; those of strangers, and reads, take no room from writes.
    pub(super) reads: Arc<Shares>,
    pub(super) writes: Arc<Shares>,
    pub(super) strangers: Arc<Semaphore>,
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
            reads: Shares::new(READS_MAX),
            writes: Shares::new(WRITES_MAX),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
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
