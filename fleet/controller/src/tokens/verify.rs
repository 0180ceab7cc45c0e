//! From a token's text to who asks.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use model::permission::Permission;
use serde::Deserialize;

use super::Tokens;

/// Who asks, and what they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Subject of the token.
    pub subject: String,
    /// Roles of the token.
    pub roles: Vec<String>,
    /// What it allows.
    pub permissions: BTreeSet<Permission>,
    /// The token's id; absent in tokens that were made elsewhere.
    pub jti: Option<String>,
    /// Until when it is good, by the controller's clock.
    pub expires_at: Timestamp,
}

impl Caller {
    /// Says whether the caller holds a permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token is so long.
    #[error("it is longer than {LENGTH_MAX} bytes")]
    TooLong,
    /// It is no JWT, or not one that is signed with a shared key.
    #[error("it is not a JWT that is signed with HS256, HS384 or HS512")]
    Malformed,
    /// Another key signed it, or it was changed.
    #[error("it was not signed with the key of this controller")]
    Signature,
    /// Its claims are not of the right types.
    #[error("its claims cannot be read: {0}")]
    Claims(String),
    /// It says not until when it is good.
    #[error("it has no exp claim; make one that expires")]
    NoExpiry,
    /// It is too old.
    #[error("it expired at {expired_at}; the controller's clock says {now}")]
    Expired {
        /// When.
        expired_at: Timestamp,
        /// What the controller's clock says.
        now: Timestamp,
    },
    /// It is not good yet.
    #[error("it is good from {from} on; the controller's clock says {now}")]
    NotYet {
        /// From when on.
        from: Timestamp,
        /// What the controller's clock says.
        now: Timestamp,
    },
    /// It says nothing about what its owner may.
    #[error("it names no role; the roles are {0}")]
    NoRoles(String),
    /// Nobody defined any of its roles.
    #[error("role {roles} is not known; the roles are {known}")]
    UnknownRoles {
        /// Those of the token.
        roles: String,
        /// Those that exist.
        known: String,
    },
    /// It was revoked.
    #[error("it was revoked")]
    Revoked,
}

/// Longest token that is looked at, in bytes.
const LENGTH_MAX: usize = 8 * 1024;

/// By how much two clocks may differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    permissions: Option<Vec<String>>,
    #[serde(default)]
    exp: Option<serde_json::Number>,
    #[serde(default)]
    nbf: Option<serde_json::Number>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    jti: Option<String>,
}

impl Tokens {
    /// Checks a token: signature, lifetime, revocation and roles. Issuer and audience do not count, so that a
    /// token of another tool that was signed with the same key is good too.
    ///
    /// # Errors
    /// [`TokenError`] with the first check that failed.
    pub fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        self.verify_at(token, Timestamp::now())
    }

    pub(super) fn verify_at(&self, token: &str, now: Timestamp) -> Result<Caller, TokenError> {
        let claims = self.signed_claims(token)?;
        let expires_at = time(&claims.exp.ok_or(TokenError::NoExpiry)?);
        if now > expires_at.saturating_add(LEEWAY).unwrap_or(Timestamp::MAX) {
            return Err(TokenError::Expired {
                expired_at: expires_at,
                now,
            });
        }
        if let Some(from) = claims.nbf.as_ref().map(time)
            && now < from.saturating_sub(LEEWAY).unwrap_or(Timestamp::MIN)
        {
            return Err(TokenError::NotYet { from, now });
        }
        if claims
            .jti
            .as_deref()
            .is_some_and(|jti| self.inner.is_revoked(jti))
        {
            return Err(TokenError::Revoked);
        }
        let roles = claims.roles.unwrap_or_default();
        let permissions = claims.permissions.unwrap_or_default();
        if permissions.is_empty() {
            self.check_roles(&roles)?;
        }
        Ok(Caller {
            subject: claims.sub.unwrap_or_default(),
            permissions: self.inner.resolve(&roles, &permissions),
            roles,
            jti: claims.jti,
            expires_at,
        })
    }

    fn signed_claims(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > LENGTH_MAX {
            return Err(TokenError::TooLong);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        // The signature is checked here; times are checked by the caller, against a clock it is given.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        // In two steps, so that bad claims are told from a bad header.
        let claims = jsonwebtoken::decode::<serde_json::Value>(token, &self.inner.verifying, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => TokenError::Signature,
                _ => TokenError::Malformed,
            })?
            .claims;
        serde_json::from_value(claims).map_err(|error| TokenError::Claims(error.to_string()))
    }

    fn check_roles(&self, roles: &[String]) -> Result<(), TokenError> {
        let known = || {
            self.inner
                .roles
                .names()
                .into_iter()
                .collect::<Vec<_>>()
                .join(", ")
        };
        if roles.is_empty() {
            return Err(TokenError::NoRoles(known()));
        }
        if roles
            .iter()
            .all(|role| self.inner.roles.permissions(role).is_none())
        {
            return Err(TokenError::UnknownRoles {
                roles: roles.join(", "),
                known: known(),
            });
        }
        Ok(())
    }
}

/// Reads a `NumericDate` (RFC 7519 §2); one beyond all calendars counts as the last or first moment.
fn time(number: &serde_json::Number) -> Timestamp {
    let seconds = number.as_f64().unwrap_or(f64::MAX);
    let beyond = if seconds < 0.0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    match number.as_i64() {
        Some(seconds) => Timestamp::from_second(seconds).unwrap_or(beyond),
        None => SignedDuration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|duration| Timestamp::from_duration(duration).ok())
            .unwrap_or(beyond),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use bus::Bus;
    use bus::embedded::Embedded;
    use model::token::TokenRequest;

    use super::*;

    #[tokio::test]
    async fn a_token_lives_by_the_controllers_clock_however_that_is_set() {
        let data = tempfile::tempdir().unwrap();
        let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&data.path().join("store.db")).unwrap());
        let tokens = Tokens::open(data.path(), bus, BTreeMap::new()).await.unwrap();
        let request = TokenRequest {
            subject: "s".to_owned(),
            roles: vec!["read".to_owned()],
            permissions: Vec::new(),
            lifetime_s: Some(3600),
        };
        let token = tokens.issue(&request).await.unwrap().token;
        let now = Timestamp::now();
        let at = |offset_s| tokens.verify_at(&token, now + SignedDuration::from_secs(offset_s));
        assert!(at(0).is_ok());
        assert!(at(3600 + 30).is_ok());
        assert!(matches!(at(3600 + 120), Err(TokenError::Expired { .. })));
        // The clock was a year ahead when the token was made, and has been set right since.
        assert!(at(-365 * 24 * 3600).is_ok());
    }

    #[test]
    fn numeric_dates_of_every_size_are_times() {
        let read = |json: &str| time(&serde_json::from_str(json).unwrap());
        assert_eq!(read("1700000000"), Timestamp::from_second(1_700_000_000).unwrap());
        assert_eq!(read("1700000000.5").as_millisecond(), 1_700_000_000_500);
        assert_eq!(read("9223372036854775807"), Timestamp::MAX);
        assert_eq!(read("-9223372036854775808"), Timestamp::MIN);
        assert_eq!(read("18446744073709551615"), Timestamp::MAX);
        assert_eq!(read("1e300"), Timestamp::MAX);
        assert_eq!(read("-1e300"), Timestamp::MIN);
    }
}
