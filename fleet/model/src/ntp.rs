//! Time synchronisation: what a host reports, and the rows the API shows.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{HostResult, Outcome, Server};

/// What a host says about its clock, its sources and its configuration.
///
/// Sign of every offset: positive means that the local clock is behind true time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NtpStatus {
    /// State of the clock.
    pub state: SyncState,
    /// The time service that was asked: `chrony`, `timeballd`, `ntpd`, `openntpd` or `timesyncd`.
    pub service: String,
    /// The version of the service; absent when its program does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_version: Option<String>,
    /// Stratum of this host, 1 to 15; absent when not synchronised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratum: Option<u8>,
    /// Estimated offset in seconds, positive when the local clock is behind true time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_s: Option<f64>,
    /// Greatest error the clock can have, in seconds: |offset| + root delay / 2 + root dispersion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_bound_s: Option<f64>,
    /// Root delay in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_delay_s: Option<f64>,
    /// Root dispersion in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_dispersion_s: Option<f64>,
    /// Frequency error of the local oscillator in parts per million, positive when it runs fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_ppm: Option<f64>,
    /// Error bound of the frequency in parts per million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ppm: Option<f64>,
    /// Leap state: `normal`, `insert`, `delete` or `unsynchronised`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leap: Option<String>,
    /// Name or address of the source that is followed, or a reference clock's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_source: Option<String>,
    /// Every source the daemon has now.
    #[serde(default)]
    pub sources: Vec<SourceStatus>,
    /// Names of the servers the host is configured with: the managed ones, or when it is not managed those
    /// that its own configuration files name.
    #[serde(default)]
    pub servers: Vec<String>,
    /// The managed servers with their options; empty when not managed.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "understood"
    )]
    pub managed_servers: Vec<Server>,
    /// Servers in the host's own files, beside the managed ones: `pool 2.debian.pool.ntp.org iburst
    /// (/etc/chrony/chrony.conf:8)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_servers: Vec<String>,
    /// Whether timeball manages the servers of this host.
    #[serde(default)]
    pub managed: bool,
    /// How the host differs from what was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// That more than one time service sets this clock: which ones, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    /// What else the operator should know, such as a file that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl NtpStatus {
    /// The time service with its version, as far as it is known: `chrony 4.3`.
    pub fn service_text(&self) -> String {
        match &self.service_version {
            Some(version) => format!("{} {version}", self.service),
            None => self.service.clone(),
        }
    }
}

/// Reads the servers that this version understands. One with an option of a newer version is left out; its name
/// is among [`NtpStatus::servers`] all the same.
fn understood<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Server>, D::Error> {
    let told = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(told
        .into_iter()
        .filter_map(|server| serde_json::from_value(server).ok())
        .collect())
}

/// State of a host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// It follows a source that answers; a pending leap second counts as synchronised.
    Synchronized,
    /// It followed a source, but none has answered for longer than its poll intervals explain. The error
    /// bound grows.
    FreeRunning,
    /// It follows nothing.
    #[default]
    Unsynchronized,
    /// A state that only a newer agent knows; nothing is claimed of the clock.
    #[serde(other)]
    Unknown,
}

/// One source as the daemon sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceStatus {
    /// Name as configured; the address when the daemon does not tell.
    pub name: String,
    /// Address in use; absent while the name is not resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `server`, `peer` or `refclock`.
    pub mode: String,
    /// `selected`, `combined`, `not_combined`, `falseticker`, `jittery` or `unusable`.
    pub state: String,
    /// Stratum of the source; 0 while unknown.
    pub stratum: u8,
    /// Polling interval, log2 seconds.
    pub poll: i8,
    /// Reach register: the last eight polls as bits, newest lowest; 255 is octal 377, all answered.
    pub reach: u8,
    /// Seconds since the last sample; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sample_s: Option<u32>,
    /// Offset of the last sample in seconds, positive when the local clock is behind the source.
    pub offset_s: f64,
    /// Greatest error of that sample in seconds.
    pub error_s: f64,
}

/// How a host differs from what timeball wrote last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// The kind of difference.
    pub kind: DriftKind,
    /// What differs, for the operator.
    pub detail: String,
}

/// Kinds of drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// The managed file was changed by somebody else.
    Edited,
    /// The managed file is gone.
    Missing,
    /// The file is as written, but the daemon does not have these sources.
    NotLoaded,
    /// A kind that only a newer agent knows; the detail says what it is.
    #[serde(other)]
    Unknown,
}

/// Answer of `GET /api/node/{target}/ntp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NtpCollectionResponse {
    /// The job that asked the hosts.
    pub job_id: Uuid,
    /// One row per host, ordered by host name.
    pub results: Vec<NtpStatusEntry>,
}

/// One host's row of [`NtpCollectionResponse`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NtpStatusEntry {
    /// Host name.
    pub hostname: String,
    /// Whether the host answered.
    pub status: RowStatus,
    /// Whether the clock is synchronised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronized: Option<bool>,
    /// Stratum; absent when not synchronised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratum: Option<u8>,
    /// Offset as text, such as `+0.000003422s`; positive when the local clock is behind true time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// The source that is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_source: Option<String>,
    /// Names of the configured servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Why there is no state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Machine id of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Everything the host reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<NtpStatus>,
}

/// Answer of `POST`, `PUT` and `DELETE /api/node/{target}/ntp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NtpMutationResponse {
    /// The job that changed the hosts.
    pub job_id: Uuid,
    /// One row per host, ordered by host name.
    pub results: Vec<NtpMutationResult>,
}

/// One host's row of [`NtpMutationResponse`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NtpMutationResult {
    /// Host name.
    pub hostname: String,
    /// Whether it worked.
    pub status: RowStatus,
    /// Whether the host was changed; absent when it did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// Why it did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the former configuration is in force again after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<bool>,
    /// Machine id of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// The managed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// SHA-256 of the managed file, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What else the operator should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What on the host is not as asked for all the same, such as the servers of a time service that does not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Status of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowStatus {
    /// It worked.
    #[default]
    Ok,
    /// The host cannot do this kind of thing.
    Skipped,
    /// It did not work.
    Failed,
}

impl From<&Outcome> for RowStatus {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Status(_) | Outcome::Changed(_) | Outcome::Unchanged(_) => RowStatus::Ok,
            Outcome::Skipped { .. } => RowStatus::Skipped,
            Outcome::Failed(_) => RowStatus::Failed,
        }
    }
}

impl From<&HostResult> for NtpStatusEntry {
    fn from(result: &HostResult) -> Self {
        let status = match &result.outcome {
            Outcome::Status(status) => Some(status.as_ref()),
            Outcome::Changed(_) | Outcome::Unchanged(_) | Outcome::Skipped { .. } | Outcome::Failed(_) => {
                None
            }
        };
        NtpStatusEntry {
            hostname: result.hostname.clone(),
            status: RowStatus::from(&result.outcome),
            synchronized: status.map(|s| s.state == SyncState::Synchronized),
            stratum: status.and_then(|s| s.stratum),
            offset: status.and_then(|s| s.offset_s).map(offset_text),
            current_source: status.and_then(|s| s.current_source.clone()),
            servers: status.map(|s| s.servers.clone()).unwrap_or_default(),
            error: result.error().map(str::to_owned),
            machine_id: Some(result.machine_id.clone()),
            detail: status.cloned(),
        }
    }
}

impl From<&HostResult> for NtpMutationResult {
    fn from(result: &HostResult) -> Self {
        let (changed, change) = match &result.outcome {
            Outcome::Changed(change) => (Some(true), Some(change)),
            Outcome::Unchanged(change) => (Some(false), Some(change)),
            Outcome::Status(_) => (Some(false), None),
            Outcome::Skipped { .. } | Outcome::Failed(_) => (None, None),
        };
        NtpMutationResult {
            hostname: result.hostname.clone(),
            status: RowStatus::from(&result.outcome),
            changed,
            error: result.error().map(str::to_owned),
            rolled_back: match &result.outcome {
                Outcome::Failed(failure) => failure.rolled_back,
                Outcome::Status(_)
                | Outcome::Changed(_)
                | Outcome::Unchanged(_)
                | Outcome::Skipped { .. } => None,
            },
            machine_id: Some(result.machine_id.clone()),
            path: change.map(|c| c.path.clone()),
            sha256: change.and_then(|c| c.sha256.clone()),
            notes: change.map(|c| c.notes.clone()).unwrap_or_default(),
            warnings: change.map(|c| c.warnings.clone()).unwrap_or_default(),
        }
    }
}

/// Writes an offset in seconds as the API's text: sign, nine decimals, `s`.
pub fn offset_text(offset_s: f64) -> String {
    format!("{offset_s:+.9}s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, FailureKind};

    fn result(outcome: Outcome) -> HostResult {
        HostResult {
            job_id: Uuid::nil(),
            machine_id: "m1".into(),
            hostname: "web-01".into(),
            outcome,
            duration_ms: 1,
            recovered: false,
        }
    }

    #[test]
    fn a_status_becomes_the_fields_of_the_contract() {
        let status = NtpStatus {
            state: SyncState::Synchronized,
            service: "chrony".into(),
            stratum: Some(4),
            offset_s: Some(0.000_003_422),
            servers: vec!["ntp1.lab".into()],
            current_source: Some("ntp1.lab".into()),
            ..NtpStatus::default()
        };
        let row = NtpStatusEntry::from(&result(Outcome::Status(Box::new(status))));
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["synchronized"], true);
        assert_eq!(json["stratum"], 4);
        assert_eq!(json["offset"], "+0.000003422s");
        assert_eq!(json["servers"], serde_json::json!(["ntp1.lab"]));
        assert_eq!(json["status"], "ok");
        assert!(json.get("error").is_none());
    }

    #[test]
    fn a_service_is_called_with_its_version_where_that_is_known() {
        let mut status = NtpStatus {
            service: "timeballd".into(),
            ..NtpStatus::default()
        };
        assert_eq!(status.service_text(), "timeballd");
        status.service_version = Some("0.1.0".into());
        assert_eq!(status.service_text(), "timeballd 0.1.0");
    }

    #[test]
    fn words_of_a_newer_agent_leave_the_rest_readable() {
        let status: NtpStatus = serde_json::from_value(serde_json::json!({
            "state": "holdover",
            "service": "chrony",
            "stratum": 3,
            "servers": ["a.lab", "b.lab"],
            "managed_servers": [{"name": "a.lab", "quantum": true}, "b.lab"],
            "drift": {"kind": "renamed", "detail": "the file has another name"},
        }))
        .unwrap();
        assert_eq!(status.state, SyncState::Unknown);
        assert_eq!(status.stratum, Some(3));
        assert_eq!(status.drift.unwrap().kind, DriftKind::Unknown);
        let managed: Vec<&str> = status.managed_servers.iter().map(Server::name).collect();
        assert_eq!(managed, ["b.lab"]);
        assert_eq!(status.servers, ["a.lab", "b.lab"]);
    }

    #[test]
    fn a_failure_keeps_its_text_and_whether_it_was_rolled_back() {
        let failure = Failure {
            kind: FailureKind::DaemonRefused,
            error: "chronyd: 500 Failure".into(),
            rolled_back: Some(true),
        };
        let json = serde_json::to_value(NtpMutationResult::from(&result(Outcome::Failed(failure)))).unwrap();
        assert_eq!(json["status"], "failed");
        assert_eq!(json["rolled_back"], true);
        assert_eq!(json["error"], "chronyd: 500 Failure");
        assert!(json.get("changed").is_none());
    }
}
