//! Names of sources as the protocol carries them.

use std::fmt;
use std::str::FromStr;

/// Holds a source's name as configured: a host name or a literal address.
///
/// 1…255 bytes of visible ASCII; the field is 256 bytes long and ends in a NUL byte. A daemon
/// refuses anything else with `521 Invalid name`. Source: chrony command protocol, ADD_SOURCE
/// and NTP_SOURCE_NAME.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceName(String);

/// Says why a text is no [`SourceName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SourceNameError {
    /// The name has no characters.
    #[error("a source name cannot be empty")]
    Empty,
    /// The name does not fit its field; carries its length in bytes.
    #[error("a source name has at most 255 bytes, not {0}")]
    TooLong(usize),
    /// The name has a blank, a control character or a character outside ASCII.
    #[error("a source name has visible ASCII characters only")]
    InvalidCharacter,
}

impl SourceName {
    /// The longest name, in bytes.
    pub const LENGTH_MAX: usize = 255;

    /// Returns the name if it fits the protocol.
    pub fn new(name: impl Into<String>) -> Result<Self, SourceNameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(SourceNameError::Empty);
        }
        if name.len() > Self::LENGTH_MAX {
            return Err(SourceNameError::TooLong(name.len()));
        }
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SourceNameError::InvalidCharacter);
        }
        Ok(Self(name))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name in a zero-filled field, or `None` if the field does not end in NUL or
    /// what precedes the first NUL is no name.
    pub(super) fn from_field(field: &[u8]) -> Option<Self> {
        if field.last() != Some(&0) {
            return None;
        }
        let name = field.split(|byte| *byte == 0).next()?;
        Self::new(std::str::from_utf8(name).ok()?).ok()
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for SourceName {
    type Err = SourceNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        assert!(SourceName::new("a".repeat(255)).is_ok());
        assert_eq!(
            SourceName::new("a".repeat(256)),
            Err(SourceNameError::TooLong(256))
        );
        assert_eq!(SourceName::new(""), Err(SourceNameError::Empty));
        for name in ["a b", "a\n", "é", "a\0"] {
            assert_eq!(SourceName::new(name), Err(SourceNameError::InvalidCharacter));
        }
    }
}
