//! Facts: which of them agents report about their hosts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /api/facts/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FactKeysResponse {
    /// The facts, ordered by key.
    pub keys: Vec<FactKeyEntry>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FactKeyEntry {
    /// Its key.
    pub key: String,
    /// What it says.
    pub description: String,
    /// Whether every agent reports it.
    pub builtin: bool,
}

/// Every fact that agents report, with its meaning.
pub const FACTS: [(&str, &str); 12] = [
    ("agent_version", "Version of the agent"),
    ("architecture", "Machine architecture, such as x86_64"),
    ("cpu_count", "Number of processors"),
    ("fqdn", "Fully qualified name"),
    ("hostname", "Host name"),
    ("interfaces", "Network interfaces with their addresses"),
    ("kernel_version", "Kernel release"),
    ("machine_id", "Content of /etc/machine-id"),
    ("os_info", "Distribution and its version"),
    ("package_mgr", "Package manager"),
    ("service_mgr", "Service manager"),
    (
        "time_services",
        "Time services that run, and whether they set the clock",
    ),
];

impl FactKeysResponse {
    /// The list of every fact.
    pub fn all() -> Self {
        let keys = FACTS.iter().map(|(key, description)| FactKeyEntry {
            key: (*key).to_owned(),
            description: (*description).to_owned(),
            builtin: true,
        });
        FactKeysResponse { keys: keys.collect() }
    }
}
