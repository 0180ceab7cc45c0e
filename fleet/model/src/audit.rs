//! The audit trail: who asked the controller for what, and what it answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// The entry's id, a version 7 UUID.
    pub id: Uuid,
    /// When the request came, RFC 3339.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// Subject of the token; empty when there was no valid one.
    pub user: String,
    /// Roles of the token.
    pub roles: Vec<String>,
    /// HTTP method.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// The route's operation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// Address of the caller.
    pub source_ip: String,
    /// Status of the answer.
    pub response_code: u16,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// W3C trace id of the request, if it carried one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Body of a write, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
    /// The job that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<Uuid>,
}

/// Answer of `GET /api/audit` and `GET /api/audit/export`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListAuditResponse {
    /// How many entries there are.
    pub total_items: u64,
    /// The page, newest first.
    pub items: Vec<AuditEntry>,
}

/// Answer of `GET /api/audit/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntryResponse {
    /// The entry.
    pub entry: AuditEntry,
}
