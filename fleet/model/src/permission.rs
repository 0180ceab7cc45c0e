//! Permissions and roles: who may ask for what.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::invalid::quoted;

/// A `resource:verb` pair out of the closed list [`Permission::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct Permission(&'static str);

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Permission {
            $($(#[$doc])* pub const $name: Permission = Permission($text);)*
            /// Every permission there is, in alphabetical order.
            pub const ALL: &'static [Permission] = &[$(Permission::$name),*];
        }
    };
}

permissions! {
    /// See hosts and their agents.
    AGENT_READ = "agent:read";
    /// Accept, reject, drain and remove hosts; make enrolment tokens.
    AGENT_WRITE = "agent:write";
    /// See the audit trail.
    AUDIT_READ = "audit:read";
    /// See the controller's own state in detail.
    HEALTH_READ = "health:read";
    /// See jobs.
    JOB_READ = "job:read";
    /// Retry and delete jobs.
    JOB_WRITE = "job:write";
    /// See facts about a host.
    NODE_READ = "node:read";
    /// See time synchronisation and its configuration.
    NTP_READ = "ntp:read";
    /// Change the configuration of time synchronisation.
    NTP_WRITE = "ntp:write";
    /// See tokens, never their secret.
    TOKEN_READ = "token:read";
    /// Make and revoke tokens.
    TOKEN_WRITE = "token:write";
}

impl Permission {
    /// The text form, `resource:verb`.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for Permission {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Permission::ALL
            .iter()
            .copied()
            .find(|known| known.0 == text)
            .ok_or_else(|| {
                let known: Vec<&str> = Permission::ALL.iter().map(|p| p.0).collect();
                Invalid::new(
                    "",
                    format!("{} is not a permission", quoted(text)),
                    format!("use one of {}", known.join(", ")),
                )
            })
    }
}

impl TryFrom<String> for Permission {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Permission> for &'static str {
    fn from(permission: Permission) -> Self {
        permission.0
    }
}

/// What a set of role names allows: the built-in roles, and those an organisation defines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    custom: BTreeMap<String, BTreeSet<Permission>>,
}

impl Roles {
    /// Names of the built-in roles. A custom role of the same name replaces it.
    pub const BUILT_IN: [&'static str; 3] = ["admin", "write", "read"];

    /// Makes the table from the organisation's own roles.
    pub fn new(custom: BTreeMap<String, BTreeSet<Permission>>) -> Self {
        Roles { custom }
    }

    /// What a role allows; `None` for a name that nobody defined.
    pub fn permissions(&self, role: &str) -> Option<BTreeSet<Permission>> {
        if let Some(custom) = self.custom.get(role) {
            return Some(custom.clone());
        }
        let all = Permission::ALL.iter().copied();
        match role {
            "admin" => Some(all.collect()),
            "write" => Some(
                all.filter(|p| {
                    *p == Permission::JOB_WRITE
                        || *p == Permission::NTP_WRITE
                        || (p.0.ends_with(":read")
                            && *p != Permission::AUDIT_READ
                            && *p != Permission::TOKEN_READ)
                })
                .collect(),
            ),
            "read" => Some(
                all.filter(|p| {
                    p.0.ends_with(":read") && *p != Permission::AUDIT_READ && *p != Permission::TOKEN_READ
                })
                .collect(),
            ),
            _ => None,
        }
    }

    /// Every role that exists, built in or not.
    pub fn names(&self) -> BTreeSet<String> {
        Self::BUILT_IN
            .iter()
            .map(ToString::to_string)
            .chain(self.custom.keys().cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_roles_are_those_of_the_contract() {
        let roles = Roles::default();
        let read = roles.permissions("read").unwrap();
        let write = roles.permissions("write").unwrap();
        let admin = roles.permissions("admin").unwrap();
        assert!(read.contains(&Permission::NTP_READ) && !read.contains(&Permission::NTP_WRITE));
        assert!(write.contains(&Permission::NTP_WRITE) && write.contains(&Permission::JOB_WRITE));
        assert!(!write.contains(&Permission::AGENT_WRITE) && !write.contains(&Permission::AUDIT_READ));
        assert!(read.is_subset(&write) && write.is_subset(&admin));
        assert_eq!(admin.len(), Permission::ALL.len());
        assert_eq!(roles.permissions("nobody"), None);
    }

    #[test]
    fn the_list_is_ordered_and_unknown_words_are_refused() {
        assert!(Permission::ALL.is_sorted());
        assert!(
            "ntp:execute"
                .parse::<Permission>()
                .unwrap_err()
                .to_string()
                .contains("ntp:read")
        );
    }
}
