//! Enrolment tokens: what lets an agent in without an administrator's word, as one line of text.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use crate::key::Fingerprint;

/// A secret that enrols an agent, together with the authority of the controller it is for.
///
/// As text `tb1.` and the base64url form of a JSON object with `ca` and `secret`. The agent pins the
/// authority before it says the secret, so that nobody else can learn it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentToken {
    /// Fingerprint of the controller's authority.
    #[serde(rename = "ca")]
    pub authority: Fingerprint,
    /// What the controller knows the token by.
    pub secret: String,
}

/// A text is no enrolment token; it is not repeated, because it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no enrolment token; a token starts with tb1. and comes from the controller")]
pub struct TokenError;

/// What every token of this form starts with.
const PREFIX: &str = "tb1.";

/// Longest token that is read, in bytes.
const LENGTH_MAX: usize = 4096;

/// Writes the token as it is given to the operator.
impl fmt::Display for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{}", BASE64.encode(json))
    }
}

/// Leaves the secret out.
impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentToken({})", self.authority)
    }
}

impl FromStr for EnrolmentToken {
    type Err = TokenError;

    /// Reads a token; blanks around it are ignored.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > LENGTH_MAX {
            return Err(TokenError);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(TokenError)?;
        let json = BASE64.decode(encoded).map_err(|_| TokenError)?;
        let token: EnrolmentToken = serde_json::from_slice(&json).map_err(|_| TokenError)?;
        if token.secret.is_empty() {
            return Err(TokenError);
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> EnrolmentToken {
        EnrolmentToken {
            authority: Fingerprint::of(b"authority"),
            secret: "c2VjcmV0".to_owned(),
        }
    }

    #[test]
    fn a_token_is_read_back_from_its_text() {
        let text = token().to_string();
        assert!(text.starts_with("tb1."));
        assert!(text.bytes().all(|b| b.is_ascii_graphic()));
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token()));
    }

    #[test]
    fn other_texts_are_refused_without_being_repeated() {
        let empty = EnrolmentToken {
            secret: String::new(),
            ..token()
        };
        for bad in [
            "",
            "tb1.",
            "tb1.!",
            "tb2.e30",
            "tb1.e30",
            "secret",
            &empty.to_string(),
            &format!("tb1.{}", "A".repeat(LENGTH_MAX)),
        ] {
            let error = bad.parse::<EnrolmentToken>().unwrap_err();
            assert!(!error.to_string().contains("secret"));
        }
        assert!(!format!("{:?}", token()).contains("c2VjcmV0"));
    }
}
