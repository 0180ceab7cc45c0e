//! The audit trail: list, show, export.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bus::BusError;
use bytes::Bytes;
use futures::stream;
use model::audit::AuditEntryResponse;
use serde::de::IgnoredAny;

use super::ApiError;
use super::call::Call;
use crate::audit::Newest;

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
            "audit entry {id} not found; it never was, is older than 30 days, or newer ones took its place"
        ))),
    }
}

/// Writes the whole trail, piece by piece: it can be larger than what should be in memory at once.
pub(super) fn export(call: &Call) -> Result<Response, ApiError> {
    let export = Export {
        newest: Newest::all(Arc::clone(call.api.controller.bus()), AT_ONCE),
        written: None,
        ended: false,
    };
    let json = HeaderValue::from_static("application/json");
    let chunks = stream::unfold(export, |mut export| async move {
        if export.ended {
            return None;
        }
        let chunk = export.next().await;
        // An error breaks the answer off, so that nobody takes a part of the trail for the whole.
        export.ended |= chunk.is_err();
        Some((chunk, export))
    });
    Ok(([(header::CONTENT_TYPE, json)], Body::from_stream(chunks)).into_response())
}

struct Export {
    newest: Newest,
    /// How many entries were written; nothing before the first piece.
    written: Option<u64>,
    ended: bool,
}

/// How many entries are read and written at once.
const AT_ONCE: u64 = 500;

impl Export {
    /// The next piece of `{"items": [...], "total_items": n}`.
    async fn next(&mut self) -> Result<Bytes, BusError> {
        let mut text = Vec::new();
        if self.written.is_none() {
            text.extend_from_slice(b"{\"items\":[");
        }
        let mut count = self.written.unwrap_or(0);
        for _ in 0..AT_ONCE {
            let Some(entry) = self.newest.next().await? else {
                text.extend_from_slice(format!("],\"total_items\":{count}}}").as_bytes());
                self.ended = true;
                break;
            };
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
        self.written = Some(count);
        Ok(text.into())
    }
}
