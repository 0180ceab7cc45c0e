//! API tokens: HS256 JWTs that say who asks and what they may.
//!
//! A token is good until it expires **by the controller's clock** or is revoked. Where that clock is set
//! back or ahead, tokens live longer or shorter by as much; the local administrator's token is renewed when
//! it has expired, so that a controller that began with a wrong clock does not lock its owner out. When a
//! token was issued (`iat`) is not checked: a token made while the clock was ahead stays good when the clock
//! is set right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bus::{Bucket, Bus, BusError, Change, Subscription};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use model::Invalid;
use model::permission::{Permission, Roles};
use model::token::{TokenInfo, TokenRequest, TokenResponse};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys::{KeysError, write_private};

mod admin;
mod verify;
pub use verify::{Caller, TokenError};

/// Makes, checks, lists and revokes tokens.
#[derive(Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    bus: Arc<dyn Bus>,
    roles: Roles,
    signing: EncodingKey,
    verifying: DecodingKey,
    /// What is known of tokens, by id, with the revision it was stored as.
    known: RwLock<BTreeMap<String, (u64, Record)>>,
}

/// What is stored of a token; never the token.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    #[serde(default)]
    subject: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
}

/// The claims of a token that is made here.
#[derive(Serialize)]
struct Claims<'a> {
    roles: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    permissions: &'a [String],
    iss: &'static str,
    aud: [&'static str; 2],
    iat: i64,
    exp: i64,
    sub: &'a str,
    jti: &'a str,
}

/// Tokens cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The signing key's file, or the administrator's token, could not be read or written.
    #[error(transparent)]
    File(#[from] KeysError),
    /// The key could be guessed.
    #[error(
        "the key of API tokens in {0} has fewer than 32 characters; write 64 random hexadecimal digits into it"
    )]
    ShortKey(PathBuf),
    /// The key is gone, but tokens were given out with it.
    #[error(
        "{path} is missing, the key with which {tokens} API tokens were signed; restore it from a backup, or make \
         an empty file of this name to have a new key made, which makes all of these tokens void"
    )]
    LostKey {
        /// Where it should be.
        path: PathBuf,
        /// How many tokens are remembered that were neither revoked nor have expired.
        tokens: usize,
    },
    /// The system has no random numbers to give.
    #[error("the system has no random numbers to give")]
    Random,
    /// The store failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The administrator's token could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// A token could not be made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// What was asked for is not right.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There are too many already.
    #[error("{TOKENS_MAX} tokens are remembered already; revoke those that nobody uses and let them expire")]
    TooMany,
    /// It could not be signed.
    #[error("the token cannot be signed: {0}")]
    Sign(String),
    /// The store failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// How many tokens are remembered, the revoked ones included.
const TOKENS_MAX: usize = 10_000;

/// Shortest signing key, in bytes: what HS256 asks for (RFC 7518 §3.2).
const KEY_BYTES_MIN: usize = 32;

impl Tokens {
    /// Name of the file in the data directory with the key of API tokens.
    pub const KEY_FILE: &'static str = "token.key";

    /// Name of the same file in older versions; the key of jobs has this name, in `keys/`.
    const FORMER_KEY_FILE: &'static str = "signing.key";

    /// Reads the key, or makes one at the first start, and the tokens that were given out or revoked.
    ///
    /// # Errors
    /// [`TokensError`] when the key or the store cannot be used.
    pub async fn open(
        data: &Path,
        bus: Arc<dyn Bus>,
        roles: BTreeMap<String, BTreeSet<Permission>>,
    ) -> Result<Self, TokensError> {
        let issued = issued(bus.as_ref()).await?;
        let key = signing_key(data, issued)?;
        let mut changes = bus.watch(Bucket::TOKENS, "").await?;
        let inner = Arc::new(Inner {
            bus,
            roles: Roles::new(roles),
            signing: EncodingKey::from_secret(&key),
            verifying: DecodingKey::from_secret(&key),
            known: RwLock::new(BTreeMap::new()),
        });
        while let Some(change) = changes.next().await {
            if change == Change::Caught {
                break;
            }
            inner.note(change)?;
        }
        tokio::spawn(follow(changes, Arc::downgrade(&inner)));
        Ok(Tokens { inner })
    }

    /// Makes a token. It is shown here and never again.
    ///
    /// # Errors
    /// [`IssueError`] when the request is not right or the token cannot be remembered.
    pub async fn issue(&self, request: &TokenRequest) -> Result<TokenResponse, IssueError> {
        self.check(request)?;
        self.make_room().await?;
        let lifetime_s = request.lifetime_s.unwrap_or(TokenRequest::LIFETIME_S_DEFAULT);
        let lifetime = SignedDuration::from_secs(i64::try_from(lifetime_s).unwrap_or(i64::MAX));
        let issued_at = Timestamp::now();
        let expires_at = issued_at.checked_add(lifetime).unwrap_or(Timestamp::MAX);
        let jti = Uuid::new_v4().to_string();
        let claims = Claims {
            roles: &request.roles,
            permissions: &request.permissions,
            iss: "timeball",
            aud: ["https://localhost", "http://localhost"],
            iat: issued_at.as_second(),
            exp: expires_at.as_second(),
            sub: &request.subject,
            jti: &jti,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.inner.signing)
            .map_err(|error| IssueError::Sign(error.to_string()))?;
        let record = Record {
            subject: request.subject.clone(),
            roles: request.roles.clone(),
            permissions: request.permissions.clone(),
            issued_at: Some(issued_at),
            expires_at: Some(expires_at),
            revoked_at: None,
        };
        let revision = self
            .inner
            .bus
            .create(Bucket::TOKENS, &jti, encode(&record)?)
            .await?;
        self.inner.know(&jti, revision, record);
        Ok(TokenResponse {
            token,
            jti,
            subject: request.subject.clone(),
            roles: request.roles.clone(),
            permissions: request.permissions.clone(),
            expires_at: seconds_text(expires_at),
        })
    }

    /// What a token with these roles and permissions allows.
    pub fn resolve(&self, roles: &[String], permissions: &[String]) -> BTreeSet<Permission> {
        self.inner.resolve(roles, permissions)
    }

    /// Tokens that were given out here and have not expired, and all that were revoked; newest first.
    pub fn list(&self) -> Vec<TokenInfo> {
        let now = Timestamp::now();
        let mut shown: Vec<(Option<Timestamp>, TokenInfo)> = self.inner.read(|known| {
            known
                .iter()
                .filter(|(_, (_, record))| {
                    record.revoked_at.is_some() || record.expires_at.is_none_or(|at| at > now)
                })
                .map(|(jti, (_, record))| (record.issued_at.or(record.revoked_at), info(jti, record)))
                .collect()
        });
        shown.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.jti.cmp(&b.1.jti)));
        shown.into_iter().map(|(_, info)| info).collect()
    }

    /// Revokes a token by its id, also one that was made elsewhere with the same key; says whether it was given
    /// out here. It stays revoked for ever: a clock that is set wrong and right again must not bring it back.
    ///
    /// # Errors
    /// [`IssueError::TooMany`], or that the store failed.
    pub async fn revoke(&self, jti: &str) -> Result<bool, IssueError> {
        let known = self
            .inner
            .read(|known| known.get(jti).map(|(_, record)| record.clone()));
        if known.is_none() {
            self.make_room().await?;
        }
        let mut record = known.unwrap_or_default();
        // One that was made elsewhere has a subject too, but nobody told us.
        let is_ours = !record.subject.is_empty();
        record.revoked_at.get_or_insert_with(Timestamp::now);
        let revision = self.inner.bus.put(Bucket::TOKENS, jti, encode(&record)?).await?;
        self.inner.know(jti, revision, record);
        Ok(is_ours)
    }

    /// Says whether a token was revoked.
    pub fn is_revoked(&self, jti: &str) -> bool {
        self.inner.is_revoked(jti)
    }

    // --- private

    fn check(&self, request: &TokenRequest) -> Result<(), Invalid> {
        let subject_chars = request.subject.chars().count();
        if subject_chars == 0
            || subject_chars > TokenRequest::SUBJECT_CHARS_MAX
            || request.subject.chars().any(char::is_control)
        {
            return Err(Invalid::new(
                "subject",
                "it is empty, too long or holds control characters",
                format!(
                    "give a name of 1 to {} characters",
                    TokenRequest::SUBJECT_CHARS_MAX
                ),
            ));
        }
        let known = || {
            self.inner
                .roles
                .names()
                .into_iter()
                .collect::<Vec<_>>()
                .join(", ")
        };
        if request.roles.is_empty() || request.roles.len() > TokenRequest::ROLES_MAX {
            return Err(Invalid::new(
                "roles",
                format!("{} roles were given", request.roles.len()),
                format!("give 1 to {} of {}", TokenRequest::ROLES_MAX, known()),
            ));
        }
        for (i, role) in request.roles.iter().enumerate() {
            if self.inner.roles.permissions(role).is_none() {
                return Err(Invalid::new(
                    format!("roles[{i}]"),
                    "there is no such role",
                    format!("use {}", known()),
                ));
            }
        }
        if request.permissions.len() > TokenRequest::PERMISSIONS_MAX {
            return Err(Invalid::new(
                "permissions",
                format!("{} are too many", request.permissions.len()),
                format!("give at most {}", TokenRequest::PERMISSIONS_MAX),
            ));
        }
        for (i, permission) in request.permissions.iter().enumerate() {
            permission
                .parse::<Permission>()
                .map_err(|error| error.within(&format!("permissions[{i}]")))?;
        }
        let range = TokenRequest::LIFETIME_S_MIN..=TokenRequest::LIFETIME_S_MAX;
        match request.lifetime_s {
            Some(lifetime_s) if !range.contains(&lifetime_s) => Err(Invalid::new(
                "lifetime_s",
                format!("{lifetime_s} is out of range"),
                format!("give {} to {} seconds", range.start(), range.end()),
            )),
            _ => Ok(()),
        }
    }

    /// Forgets expired tokens, never revoked ones, when there is no room for another.
    async fn make_room(&self) -> Result<(), IssueError> {
        if self.inner.read(BTreeMap::len) < TOKENS_MAX {
            return Ok(());
        }
        let now = Timestamp::now();
        let expired: Vec<String> = self.inner.read(|known| {
            let expired = known.iter().filter(|(_, (_, record))| {
                record.revoked_at.is_none() && record.expires_at.is_some_and(|at| at < now)
            });
            expired.map(|(jti, _)| jti.clone()).collect()
        });
        if expired.is_empty() {
            return Err(IssueError::TooMany);
        }
        for jti in expired {
            self.inner.bus.delete(Bucket::TOKENS, &jti).await?;
            self.inner.forget(&jti);
        }
        Ok(())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} known)", self.inner.read(BTreeMap::len))
    }
}

impl Inner {
    fn resolve(&self, roles: &[String], permissions: &[String]) -> BTreeSet<Permission> {
        if permissions.is_empty() {
            roles
                .iter()
                .filter_map(|role| self.roles.permissions(role))
                .flatten()
                .collect()
        } else {
            permissions
                .iter()
                .filter_map(|permission| permission.parse().ok())
                .collect()
        }
    }

    fn is_revoked(&self, jti: &str) -> bool {
        self.read(|known| {
            known
                .get(jti)
                .is_some_and(|(_, record)| record.revoked_at.is_some())
        })
    }

    fn note(&self, change: Change) -> Result<(), BusError> {
        match change {
            Change::Put(entry) => {
                let record = serde_json::from_slice(&entry.value)
                    .map_err(|error| BusError::Damaged(format!("token {}: {error}", entry.key)))?;
                self.know(&entry.key, entry.revision, record);
            }
            Change::Delete { key } => self.forget(&key),
            Change::Caught => {}
        }
        Ok(())
    }

    /// Takes a record over unless a later one is known: the watch tells of our own writes too, and late.
    fn know(&self, jti: &str, revision: u64, record: Record) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.get(jti).is_none_or(|(held, _)| *held <= revision) {
            known.insert(jti.to_owned(), (revision, record));
        }
    }

    fn forget(&self, jti: &str) {
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(jti);
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, (u64, Record)>) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes over what other controllers give out and revoke, for as long as anybody asks.
async fn follow(mut changes: Subscription<Change>, inner: Weak<Inner>) {
    while let Some(change) = changes.next().await {
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = inner.note(change) {
            tracing::error!(%error, "a stored token cannot be read");
        }
    }
}

/// How many tokens were given out here that are still good.
async fn issued(bus: &dyn Bus) -> Result<usize, BusError> {
    let now = Timestamp::now();
    let is_good = |entry: &bus::Entry| {
        let record: Result<Record, _> = serde_json::from_slice(&entry.value);
        record.is_ok_and(|record| record.revoked_at.is_none() && record.expires_at.is_none_or(|at| at > now))
    };
    let entries = bus.entries(Bucket::TOKENS, "").await?;
    Ok(entries.iter().filter(|entry| is_good(entry)).count())
}

/// Reads the key as its raw characters, or makes one of 64 hexadecimal digits: where no token was `issued` yet,
/// or where an empty file says that a new one is wanted.
fn signing_key(data: &Path, issued: usize) -> Result<Vec<u8>, TokensError> {
    let path = data.join(Tokens::KEY_FILE);
    let wrong = |source| {
        TokensError::File(KeysError::File {
            path: path.clone(),
            source,
        })
    };
    let make = || {
        let key = random_hex()?;
        write_private(&path, &format!("{key}\n"))?;
        Ok(key.into_bytes())
    };
    let former = data.join(Tokens::FORMER_KEY_FILE);
    if !path.exists() && former.exists() {
        std::fs::rename(&former, &path).map_err(wrong)?;
        tracing::info!(from = %former.display(), to = %path.display(), "the key of API tokens has a new name");
    }
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => {
            tracing::warn!(path = %path.display(), issued, "a new key of API tokens was made; all former tokens are void");
            make()
        }
        Ok(text) => {
            let key = text.trim_end();
            if key.len() < KEY_BYTES_MIN {
                return Err(TokensError::ShortKey(path));
            }
            let mode = std::fs::metadata(&path).map_err(wrong)?.mode();
            if mode & 0o077 != 0 {
                tracing::warn!(path = %path.display(), "others than its owner can read the key of API tokens");
            }
            Ok(key.as_bytes().to_vec())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if issued > 0 {
                return Err(TokensError::LostKey { path, tokens: issued });
            }
            make()
        }
        Err(error) => Err(wrong(error)),
    }
}

/// 64 random hexadecimal digits.
pub(crate) fn random_hex() -> Result<String, TokensError> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| TokensError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn info(jti: &str, record: &Record) -> TokenInfo {
    TokenInfo {
        jti: jti.to_owned(),
        subject: record.subject.clone(),
        roles: record.roles.clone(),
        permissions: record.permissions.clone(),
        issued_at: record.issued_at.map(seconds_text),
        expires_at: record.expires_at.map(seconds_text),
        revoked_at: record.revoked_at.map(seconds_text),
    }
}

/// Writes a time with whole seconds, as the claims have it.
fn seconds_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn encode(record: &Record) -> Result<bytes::Bytes, BusError> {
    serde_json::to_vec(record)
        .map(Into::into)
        .map_err(|error| BusError::Invalid(error.to_string()))
}
