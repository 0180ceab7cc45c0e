//! Hosts: who they are, what their agents report, and how the API shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Labels;
use crate::job::TimelineEvent;
use crate::ntp::NtpStatus;

/// What an agent says about its host when it connects, and again when something of it changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Content of `/etc/machine-id`: 32 hex digits, unique in the fleet.
    pub machine_id: String,
    /// Host name.
    pub hostname: String,
    /// Fully qualified name, empty when it is not known.
    #[serde(default)]
    pub fqdn: String,
    /// Labels from the agent's own settings.
    #[serde(default)]
    pub labels: Labels,
    /// Distribution id of os-release, such as `debian`.
    #[serde(default)]
    pub os_id: String,
    /// Distribution family: `debian`, `rhel` or whatever the host calls itself.
    #[serde(default)]
    pub os_family: String,
    /// Version of the distribution.
    #[serde(default)]
    pub os_version: String,
    /// Machine architecture, such as `x86_64`.
    #[serde(default)]
    pub architecture: String,
    /// Kernel release.
    #[serde(default)]
    pub kernel_version: String,
    /// Number of processors.
    #[serde(default)]
    pub cpu_count: u32,
    /// `systemd` or empty.
    #[serde(default)]
    pub service_mgr: String,
    /// `apt`, `dnf` or empty.
    #[serde(default)]
    pub package_mgr: String,
    /// Whether the agent runs inside a container.
    #[serde(default)]
    pub containerized: bool,
    /// The time services that run, ordered by name, each once.
    #[serde(default)]
    pub time_services: Vec<RunningService>,
    /// Network interfaces with their addresses.
    #[serde(default)]
    pub interfaces: Vec<NetworkInterface>,
    /// Version of the agent, such as `0.1.0`.
    #[serde(default)]
    pub agent_version: String,
    /// Seconds since the agent started, on its monotonic clock, at the time of the report.
    #[serde(default)]
    pub agent_uptime_s: u64,
    /// When the host was booted, in seconds before the report, on its monotonic clock.
    #[serde(default)]
    pub uptime_s: u64,
}

impl HostFacts {
    /// The time services that set the host's clock, where they are more than one.
    pub fn conflicting_services(&self) -> Option<Vec<&str>> {
        let setters = self.time_services.iter().filter(|service| service.sets_clock);
        let names: Vec<&str> = setters.map(|service| service.name.as_str()).collect();
        (names.len() > 1).then_some(names)
    }

    /// Says whether two facts tell the same of a host, but for how long it and its agent have been up.
    pub fn is_same_host(&self, other: &HostFacts) -> bool {
        let still = HostFacts {
            uptime_s: self.uptime_s,
            agent_uptime_s: self.agent_uptime_s,
            ..other.clone()
        };
        *self == still
    }
}

/// A time service that runs on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningService {
    /// Its program: `chronyd`, `timeballd`, `ntpd`, `openntpd`, `systemd-timesyncd` or `ntpd-rs`.
    pub name: String,
    /// Whether it may set the host's clock; two that may are an alarm.
    #[serde(default)]
    pub sets_clock: bool,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkInterface {
    /// Name, such as `eth0`.
    pub name: String,
    /// First IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// First IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// Hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// What an agent reports at every heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// State of the clock and its configuration; absent where the agent could not tell.
    #[serde(default)]
    pub ntp: Option<NtpStatus>,
    /// Why there is no `ntp`: skipped reason or error.
    #[serde(default)]
    pub ntp_error: Option<String>,
    /// Load averages over 1, 5 and 15 minutes.
    #[serde(default)]
    pub load: [f64; 3],
    /// Memory in bytes: total, free, used.
    #[serde(default)]
    pub memory_bytes: [u64; 3],
}

/// State of a host in the fleet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
pub enum HostState {
    /// Asked to join and waits for an administrator.
    #[default]
    Pending,
    /// Takes jobs.
    Ready,
    /// Takes no new jobs until it is undrained; those that it was given before it ends.
    #[serde(alias = "Draining")]
    Cordoned,
    /// Was refused by an administrator.
    Rejected,
    /// A state that only a newer controller knows; a host in it does nothing.
    #[serde(other)]
    Unknown,
}

/// Answer of `GET /api/agent`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListAgentsResponse {
    /// The accepted hosts, ordered by name.
    pub agents: Vec<AgentInfo>,
    /// How many.
    pub total: u64,
}

/// One host as the API shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentInfo {
    /// Host name.
    pub hostname: String,
    /// `Ready` when the agent is connected and heard of, else `NotReady`.
    pub status: String,
    /// Machine id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Fingerprint of the agent's key, `SHA256:` and hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When the host was accepted, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub registered_at: Option<String>,
    /// When the agent was started, RFC 3339, by the controller's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When the agent was last heard of, RFC 3339, by the controller's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub last_seen: Option<String>,
    /// Operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_info: Option<OsInfo>,
    /// How long the host has been up, such as `3 days, 4 hours`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<String>,
    /// Load averages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_average: Option<LoadAverage>,
    /// Memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Kernel release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_version: Option<String>,
    /// Number of processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_count: Option<u32>,
    /// Fully qualified name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// Service manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_mgr: Option<String>,
    /// Package manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_mgr: Option<String>,
    /// Network interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<NetworkInterface>,
    /// The time services that run, ordered by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_services: Vec<RunningService>,
    /// State in the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<HostState>,
    /// What is wrong with the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What happened to the host, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineEvent>,
    /// Version of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// The last report about the clock. Of a host that is `Ready` it is at most three heartbeats old, else it is
    /// left out; one that is `NotReady` has the last that it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ntp: Option<NtpStatus>,
    /// When the last report came, RFC 3339, by the controller's clock: the age of everything in `ntp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub reported_at: Option<String>,
    /// Why there is no report about the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ntp_error: Option<String>,
}

/// Operating system of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OsInfo {
    /// Distribution.
    pub distribution: String,
    /// Its version.
    pub version: String,
}

/// Load averages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadAverage {
    /// Over one minute.
    #[serde(rename = "1min")]
    pub one: f64,
    /// Over five minutes.
    #[serde(rename = "5min")]
    pub five: f64,
    /// Over fifteen minutes.
    #[serde(rename = "15min")]
    pub fifteen: f64,
}

/// Memory in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// Available to new programs.
    pub free: u64,
    /// In use: total less free.
    pub used: u64,
}

/// Something that is wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// Kind, such as `ClockNotSynchronized`, `TimeServiceConflict`, `ConfigDrift` or `HighLoad`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Always true: conditions that do not hold are left out.
    pub status: bool,
    /// For the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when, RFC 3339.
    #[schema(format = DateTime)]
    pub last_transition_time: String,
}

/// Answer of `GET /api/agent/pending`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListPendingAgentsResponse {
    /// Hosts that wait for an administrator, oldest first.
    pub agents: Vec<PendingAgentInfo>,
    /// How many.
    pub total: u64,
}

/// A host that waits to be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingAgentInfo {
    /// Machine id.
    pub machine_id: String,
    /// Host name as the agent says it.
    pub hostname: String,
    /// Fingerprint of the agent's key, `SHA256:` and hex. Compare it with `timeball agent fingerprint` on
    /// the host.
    pub fingerprint: String,
    /// When it asked first, RFC 3339.
    #[schema(format = DateTime)]
    pub requested_at: String,
}

/// Answer of accept, reject, drain, undrain and remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageResponse {
    /// What was done.
    pub message: String,
}

/// Body of `POST /api/time/v1/enrolment-token`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentTokenRequest {
    /// How long the token can be used, in seconds, 60 to 2592000; one hour when absent.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 2_592_000)]
    pub lifetime_s: Option<u64>,
    /// How many hosts it can enrol, 1 to 100000; one when absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000)]
    pub uses: Option<u32>,
}

/// Answer of `POST /api/time/v1/enrolment-token`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentTokenResponse {
    /// The secret to give to the agent; it also pins the controller's certificate authority.
    pub token: String,
    /// Until when it can be used, RFC 3339, by the controller's clock.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// How many hosts it can enrol.
    pub uses: u32,
}
