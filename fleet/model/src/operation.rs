//! Operations: everything a host can be asked to do, as one closed list.

use serde::{Deserialize, Serialize};

use crate::Servers;
use crate::permission::Permission;

/// What a host is asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Operation {
    /// Report the state of time synchronisation and of the managed configuration.
    #[serde(rename = "node.ntp.get")]
    NtpGet,
    /// Put these servers under management on a host that is not managed yet.
    #[serde(rename = "node.ntp.create")]
    NtpCreate(Servers),
    /// Replace the managed servers of a host that is managed already.
    #[serde(rename = "node.ntp.update")]
    NtpUpdate(Servers),
    /// Remove the managed servers.
    #[serde(rename = "node.ntp.delete")]
    NtpDelete,
}

impl Operation {
    /// The name that jobs and audit entries carry: `node.ntp.get` and its siblings.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::NtpGet => "node.ntp.get",
            Operation::NtpCreate(_) => "node.ntp.create",
            Operation::NtpUpdate(_) => "node.ntp.update",
            Operation::NtpDelete => "node.ntp.delete",
        }
    }

    /// Says whether the operation can change the host. Only such operations are journalled by agents.
    pub fn changes_host(&self) -> bool {
        match self {
            Operation::NtpGet => false,
            Operation::NtpCreate(_) | Operation::NtpUpdate(_) | Operation::NtpDelete => true,
        }
    }

    /// The permission that a caller needs to ask for this, also when a stored job is retried.
    pub fn permission(&self) -> Permission {
        if self.changes_host() {
            Permission::NTP_WRITE
        } else {
            Permission::NTP_READ
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_type_and_data() {
        let servers: Servers =
            serde_json::from_value(serde_json::json!({"servers": ["ntp.example.com"]})).unwrap();
        let json = serde_json::to_value(Operation::NtpUpdate(servers)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"type": "node.ntp.update", "data": {"servers": ["ntp.example.com"]}})
        );
        for operation in [Operation::NtpGet, Operation::NtpDelete] {
            let json = serde_json::to_value(&operation).unwrap();
            assert_eq!(json["type"], operation.name());
            assert_eq!(serde_json::from_value::<Operation>(json).unwrap(), operation);
        }
    }
}
