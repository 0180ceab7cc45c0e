//! Names of time sources that are safe to write into a configuration.

use std::fmt;
use std::str::FromStr;

/// Holds the name of a time source: a host name or an IP address, with a zone if it needs one.
///
/// 1…253 characters (RFC 1035 §2.3.4 as text): ASCII letters, digits, and `.`, `-`, `_`, `:`,
/// `%`, the first of which is a letter, a digit, `_` or `:`. Nothing of this can end a word, a line
/// or start a comment, so a name that a stranger supplied stays one word of one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

/// Says why a text is no [`HostName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// The name has no characters.
    #[error("the name of a time source cannot be empty")]
    Empty,
    /// The name is longer than the domain name system allows; carries its length in bytes.
    #[error("the name of a time source has at most 253 characters, not {0}")]
    TooLong(usize),
    /// The name has a character that no host name or address has; carries the first one.
    #[error("the name of a time source cannot have {0:?}")]
    InvalidCharacter(char),
}

impl HostName {
    /// The longest name, in bytes.
    pub const LENGTH_MAX: usize = 253;

    /// Returns the name if it can be that of a time source.
    pub fn new(name: impl Into<String>) -> Result<Self, HostNameError> {
        let name = name.into();
        let first = name.chars().next().ok_or(HostNameError::Empty)?;
        if name.len() > Self::LENGTH_MAX {
            return Err(HostNameError::TooLong(name.len()));
        }
        let allowed = |character: &char| character.is_ascii_alphanumeric() || ".-_:%".contains(*character);
        if matches!(first, '.' | '-' | '%') {
            return Err(HostNameError::InvalidCharacter(first));
        }
        match name.chars().find(|character| !allowed(character)) {
            Some(character) => Err(HostNameError::InvalidCharacter(character)),
            None => Ok(Self(name)),
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken() {
        for name in [
            "a",
            "2.debian.pool.ntp.org",
            "192.0.2.1",
            "::1",
            "fe80::1%eth0",
            "_ntp._udp.example",
        ] {
            assert_eq!(HostName::new(name).unwrap().as_str(), name);
        }
        assert!(HostName::new("a".repeat(253)).is_ok());
    }

    #[test]
    fn what_could_be_more_than_a_name_is_refused() {
        assert_eq!(HostName::new(""), Err(HostNameError::Empty));
        assert_eq!(HostName::new("a".repeat(254)), Err(HostNameError::TooLong(254)));
        for name in [
            "a b", "a\nb", "a\rb", "a\0", "#a", "!a", "%a", "-a", ".a", "a#", "a;b", "é", "a\u{a0}b", "a/b",
        ] {
            assert!(
                matches!(HostName::new(name), Err(HostNameError::InvalidCharacter(_))),
                "{name:?}"
            );
        }
    }
}
