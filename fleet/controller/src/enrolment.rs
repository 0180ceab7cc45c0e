//! Enrolment tokens: secrets that let hosts in without an administrator's word.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bucket, Bus, BusError};
use jiff::Timestamp;
use link::EnrolmentToken;
use link::key::Fingerprint;
use model::host::EnrolmentTokenResponse;
use serde::{Deserialize, Serialize};

/// Makes and redeems enrolment tokens. Only a hash of the secret is stored.
pub struct Enrolment {
    bus: Arc<dyn Bus>,
    authority: Fingerprint,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    expires_at: Timestamp,
    uses_left: u32,
}

impl Enrolment {
    /// Makes tokens for the controller whose link is certified by `authority`.
    pub fn new(bus: Arc<dyn Bus>, authority: Fingerprint) -> Self {
        Enrolment { bus, authority }
    }

    /// Makes a token for `uses` hosts within `lifetime`, by the controller's clock.
    ///
    /// # Errors
    /// [`BusError`] when it cannot be stored.
    pub async fn create(&self, lifetime: Duration, uses: u32) -> Result<EnrolmentTokenResponse, BusError> {
        let secret = uuid::Uuid::new_v4().simple().to_string() + &uuid::Uuid::new_v4().simple().to_string();
        let expires_at = Timestamp::now()
            .checked_add(lifetime)
            .map_err(|error| BusError::Invalid(error.to_string()))?;
        let stored = Stored {
            expires_at,
            uses_left: uses,
        };
        self.bus
            .create(Bucket::ENROLMENT, &key(&secret), encode(&stored)?)
            .await?;
        let token = EnrolmentToken {
            authority: self.authority,
            secret,
        }
        .to_string();
        Ok(EnrolmentTokenResponse {
            token,
            expires_at: expires_at.to_string(),
            uses,
        })
    }

    /// Uses a token's secret once; says whether it was good.
    ///
    /// # Errors
    /// [`BusError`] when the store fails.
    pub async fn redeem(&self, secret: &str) -> Result<bool, BusError> {
        let key = key(secret);
        loop {
            let Some(entry) = self.bus.get(Bucket::ENROLMENT, &key).await? else {
                return Ok(false);
            };
            let Ok(mut stored) = serde_json::from_slice::<Stored>(&entry.value) else {
                return Ok(false);
            };
            if stored.uses_left == 0 || stored.expires_at < Timestamp::now() {
                return Ok(false);
            }
            stored.uses_left -= 1;
            match self
                .bus
                .update(Bucket::ENROLMENT, &key, encode(&stored)?, entry.revision)
                .await
            {
                Ok(_) => return Ok(true),
                // Somebody else used it at the same moment: look again at what is left.
                Err(BusError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn key(secret: &str) -> String {
    Fingerprint::of(secret.as_bytes()).to_string().replace(':', "-")
}

fn encode(stored: &Stored) -> Result<bytes::Bytes, BusError> {
    serde_json::to_vec(stored)
        .map(Into::into)
        .map_err(|error| BusError::Invalid(error.to_string()))
}
