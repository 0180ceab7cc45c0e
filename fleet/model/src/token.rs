//! API tokens: how they are asked for, and what is shown of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /api/time/v1/token`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenRequest {
    /// Who will use the token: a person, a script, a pipeline. Jobs and audit entries carry it.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f\\x7f]+$")]
    pub subject: String,
    /// Roles, built in (`admin`, `write`, `read`) or the organisation's own.
    #[schema(min_items = 1, max_items = 32)]
    pub roles: Vec<String>,
    /// Permissions that replace those of the roles, when there are any.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub permissions: Vec<String>,
    /// How long the token is valid, in seconds by the controller's clock, 60 to 31536000; 90 days when absent.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 31_536_000)]
    pub lifetime_s: Option<u64>,
}

impl TokenRequest {
    /// Longest subject, in characters.
    pub const SUBJECT_CHARS_MAX: usize = 200;
    /// How many roles a token can carry.
    pub const ROLES_MAX: usize = 32;
    /// How many permissions a token can carry.
    pub const PERMISSIONS_MAX: usize = 64;
    /// Shortest lifetime in seconds.
    pub const LIFETIME_S_MIN: u64 = 60;
    /// Longest lifetime in seconds: a year.
    pub const LIFETIME_S_MAX: u64 = 365 * 24 * 60 * 60;
    /// Lifetime in seconds when none is asked for: 90 days.
    pub const LIFETIME_S_DEFAULT: u64 = 90 * 24 * 60 * 60;
}

/// Answer of `POST /api/time/v1/token`: the only time the token itself is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenResponse {
    /// The secret to give to its user, for `Authorization: Bearer`.
    pub token: String,
    /// The token's id, by which it is listed and revoked.
    pub jti: String,
    /// Who will use it.
    pub subject: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Permissions that replace those of the roles; empty when the roles count.
    pub permissions: Vec<String>,
    /// Until when it is valid, RFC 3339, by the controller's clock.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// Leaves the secret out.
impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenResponse({} for {})", self.jti, self.subject)
    }
}

/// Answer of `GET /api/time/v1/token`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListTokensResponse {
    /// The tokens that were given out here and have not expired, and those that were revoked; newest first.
    pub tokens: Vec<TokenInfo>,
    /// How many.
    pub total: u64,
}

/// A token without its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenInfo {
    /// Its id.
    pub jti: String,
    /// Who uses it; empty for a token that was revoked here but given out elsewhere.
    #[serde(default)]
    pub subject: String,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Permissions that replace those of the roles.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// When it was given out, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub issued_at: Option<String>,
    /// Until when it is valid, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// When it was revoked, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub revoked_at: Option<String>,
}
