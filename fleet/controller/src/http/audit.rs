//! The audit trail: list, show, export.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bus::{Bus, BusError, Log};
use bytes::Bytes;
use futures::stream;
use model::audit::AuditEntryResponse;
use serde::de::IgnoredAny;

use super::ApiError;
use super::call::Call;

pub(super) async fn list(call: &mut Call) -> Result<Response, ApiError> {
    let query = call.query()?;
    let number = |name| query.number(name).unwrap_or_default();
    let page = call.api.audit.page(number("offset"), number("limit")).await?;
    Ok(Json(page).into_response())
}

pub(super) async fn show(call: &mut Call) -> Result<Response, ApiError> {
    let id = call.id().await?;
    match call.api.audit.find(id).await? {
        Some(entry) => Ok(Json(AuditEntryResponse { entry }).into_response()),
        None => Err(ApiError::not_found(format!(
            "audit entry {id} not found; entries are kept for 30 days"
        ))),
    }
}

/// Writes the whole trail, page by page: it can be larger than what should be in memory at once.
pub(super) fn export(call: &Call) -> Result<Response, ApiError> {
    let export = Export {
        bus: Arc::clone(call.api.controller.bus()),
        stage: Stage::Begin,
        ended: false,
    };
    let json = HeaderValue::from_static("application/json");
    let chunks = stream::unfold(export, |mut export| async move {
        let chunk = export.next().await?;
        Some((chunk, export))
    });
    Ok(([(header::CONTENT_TYPE, json)], Body::from_stream(chunks)).into_response())
}

struct Export {
    bus: Arc<dyn Bus>,
    stage: Stage,
    ended: bool,
}

enum Stage {
    Begin,
    /// Entries before this sequence are still to come; how many were written, and where the next page is.
    Page {
        before: u64,
        written: u64,
        offset: u64,
    },
}

/// How many entries are read at once.
const PAGE: u64 = 500;

impl Export {
    /// The next piece of `{"items": [...], "total_items": n}`; an error breaks the answer off, so that nobody
    /// takes a part of the trail for the whole.
    async fn next(&mut self) -> Option<Result<Bytes, BusError>> {
        if self.ended {
            return None;
        }
        let (before, written, offset, mut text) = match self.stage {
            Stage::Begin => (u64::MAX, 0, 0, b"{\"items\":[".to_vec()),
            Stage::Page {
                before,
                written,
                offset,
            } => (before, written, offset, Vec::new()),
        };
        let page = match self.bus.page(Log::AUDIT, offset, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        let (mut last, mut count) = (before, written);
        // Entries that come in meanwhile push the others back; those are not written twice.
        for entry in page.entries.iter().filter(|entry| entry.sequence < before) {
            last = entry.sequence;
            if serde_json::from_slice::<IgnoredAny>(&entry.value).is_err() {
                tracing::error!(entry = %entry.id, "an audit entry is damaged; it is left out");
                continue;
            }
            if count > 0 {
                text.push(b',');
            }
            text.extend_from_slice(&entry.value);
            count += 1;
        }
        let read = u64::try_from(page.entries.len()).unwrap_or(u64::MAX);
        if read < PAGE {
            text.extend_from_slice(format!("],\"total_items\":{count}}}").as_bytes());
            self.ended = true;
        }
        self.stage = Stage::Page {
            before: last,
            written: count,
            offset: offset + read,
        };
        Some(Ok(text.into()))
    }
}
