//! Targets: which hosts an operation is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::invalid::quoted;
use crate::{Invalid, Label};

/// Which hosts are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// Exactly one host, whichever is ready: `_any`.
    Any,
    /// Every accepted host: `_all`.
    All,
    /// The hosts that carry a label, or one below it: `group:web`.
    Label(Label),
    /// One host, by hostname or machine id.
    Host(String),
}

impl Target {
    /// Longest host name or machine id, in bytes (a DNS name's limit is 253).
    pub const HOST_BYTES_MAX: usize = 255;
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Any => f.write_str("_any"),
            Target::All => f.write_str("_all"),
            Target::Label(label) => label.fmt(f),
            Target::Host(host) => f.write_str(host),
        }
    }
}

impl FromStr for Target {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let host_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        match text {
            "_any" => Ok(Target::Any),
            "_all" => Ok(Target::All),
            _ if text.contains(':') => text.parse().map(Target::Label),
            _ if !text.is_empty()
                && text.len() <= Self::HOST_BYTES_MAX
                && !text.starts_with(['_', '-', '.'])
                && text.bytes().all(host_byte) =>
            {
                Ok(Target::Host(text.to_owned()))
            }
            _ => Err(Invalid::new(
                "",
                format!("{} is not a target", quoted(text)),
                "write _all, _any, a host name, a machine id or a label such as group:web",
            )),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "_any",
            "_all",
            "web-01",
            "web-01.example.com",
            "3d1219c7c4c5404a",
            "group:web.eu",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!(
            "group:web".parse(),
            Ok(Target::Label(Label::new("group", "web").unwrap()))
        );
    }

    #[test]
    fn refuses_other_text() {
        for bad in [
            "",
            "_some",
            "a b",
            "a/b",
            "-x",
            "web\n01",
            "grüße",
            "group:",
            &"x".repeat(256),
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }
}
