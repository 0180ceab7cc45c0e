//! Health: whether the controller can do its work, and what it holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /api/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthResponse {
    /// `ok`.
    pub status: String,
}

/// Answer of `GET /api/health/ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyResponse {
    /// `ready` or `not_ready`.
    pub status: String,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Answer of `GET /api/health/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusResponse {
    /// `ok` or `degraded`.
    pub status: String,
    /// The controller's parts by name.
    pub components: BTreeMap<String, ComponentHealth>,
    /// Version of the controller.
    pub version: String,
    /// How long the controller has run, such as `3h12m5s`.
    pub uptime: String,
    /// The key-value buckets.
    #[serde(default)]
    pub kv_buckets: Vec<BucketInfo>,
    /// The bounded logs.
    #[serde(default)]
    pub streams: Vec<StreamInfo>,
    /// Jobs by state.
    pub jobs: JobCounts,
    /// Hosts.
    pub agents: AgentCounts,
}

/// State of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentHealth {
    /// `ok` or `error`.
    pub status: String,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where it listens, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A key-value bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BucketInfo {
    /// Name.
    pub name: String,
    /// How many keys it holds.
    pub keys: u64,
    /// How many bytes its values take.
    pub bytes: u64,
}

/// A bounded log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamInfo {
    /// Name.
    pub name: String,
    /// How many entries it holds.
    pub messages: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

/// Jobs by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobCounts {
    /// All that are remembered.
    pub total: u64,
    /// Not sent yet.
    pub unprocessed: u64,
    /// Under way.
    pub processing: u64,
    /// Ended well.
    pub completed: u64,
    /// Ended with a failure, on some hosts or all.
    pub failed: u64,
    /// Always 0: nothing is delivered twice, so nothing can be given up.
    pub dlq: u64,
}

/// Hosts by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentCounts {
    /// Accepted hosts.
    pub total: u64,
    /// Those that are connected and take jobs.
    pub ready: u64,
}
