//! The administrator's token of the machine that the controller runs on.

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::token::TokenRequest;

use super::{Inner, Tokens, TokensError};
use crate::keys::write_private;

/// Name of the file in the data directory.
const FILE: &str = "admin.token";

/// With less than this left the token is renewed: half of its year.
const RENEWED_BELOW: SignedDuration = SignedDuration::from_hours(365 * 24 / 2);

/// How often the token is looked at while the controller runs. The clock may be set at any moment.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(60);

impl Tokens {
    /// Sees to it that `admin.token` in the data directory holds a good token of the role `admin`, now and as
    /// long as these tokens are in use, and gives the file's path.
    ///
    /// # Errors
    /// [`TokensError`] when it cannot be made or written.
    pub async fn ensure_admin(&self, data: &Path) -> Result<PathBuf, TokensError> {
        let path = data.join(FILE);
        self.renew(&path).await?;
        tokio::spawn(keep(std::sync::Arc::downgrade(&self.inner), path.clone()));
        Ok(path)
    }

    async fn renew(&self, path: &Path) -> Result<(), TokensError> {
        let held = std::fs::read_to_string(path).unwrap_or_default();
        let good_until = self.verify(held.trim()).map(|caller| caller.expires_at);
        if good_until.is_ok_and(|until| until.duration_since(Timestamp::now()) >= RENEWED_BELOW) {
            return Ok(());
        }
        let request = TokenRequest {
            subject: "admin".to_owned(),
            roles: vec!["admin".to_owned()],
            permissions: Vec::new(),
            lifetime_s: Some(TokenRequest::LIFETIME_S_MAX),
        };
        let issued = self.issue(&request).await?;
        write_private(path, &format!("{}\n", issued.token))?;
        tracing::info!(path = %path.display(), expires_at = issued.expires_at, "administrator's token written");
        Ok(())
    }
}

/// Looks after the token while the controller runs. A file that somebody took away stays away until the
/// next start.
async fn keep(inner: Weak<Inner>, path: PathBuf) {
    loop {
        tokio::time::sleep(LOOKED_AT_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        if !path.exists() {
            continue;
        }
        if let Err(error) = (Tokens { inner }).renew(&path).await {
            tracing::warn!(%error, "the administrator's token cannot be renewed");
        }
    }
}
