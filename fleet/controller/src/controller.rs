//! The controller's parts, held together.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bus::{Bus, BusError};
use link::authority::Authority;
use link::clock::ControllerClock;
use link::key::{Fingerprint, PublicKey, SigningKey};
use model::Target;
use model::job::TimelineEvent;
use uuid::Uuid;

use crate::Settings;
use crate::enrolment::Enrolment;
use crate::hosts::Hosts;
use crate::jobs::{Asked, Jobs, SubmitError, Submitted};
use crate::tokens::Tokens;

/// A controller: what it remembers, whom it knows and what is under way.
pub struct Controller {
    pub(crate) id: Uuid,
    pub(crate) settings: Settings,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) authority: Authority,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) enrolment: Enrolment,
    pub(crate) tokens: Tokens,
    pub(crate) api: SocketAddr,
    pub(crate) link: SocketAddr,
    /// The time that agents are told, and jobs are signed with. It never steps, whatever the wall clock does.
    pub(crate) clock: ControllerClock,
    pub(crate) started: Instant,
}

/// Why a job could not be retried.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// It is not remembered.
    #[error("{}", crate::jobs::unknown(.0))]
    Unknown(Uuid),
    /// The new job could not be submitted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl From<BusError> for RetryError {
    fn from(error: BusError) -> Self {
        RetryError::Submit(SubmitError::Bus(error))
    }
}

impl Controller {
    /// The controller's id; it stays for the life of its store.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What it was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.settings.data
    }

    /// Its store.
    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    /// The hosts of the fleet.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The jobs.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Enrolment tokens.
    pub fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// API tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Where the API listens.
    pub fn api_address(&self) -> SocketAddr {
        self.api
    }

    /// Where agents dial in.
    pub fn link_address(&self) -> SocketAddr {
        self.link
    }

    /// When this process began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The key with which jobs are signed.
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Fingerprint of the authority that certifies the link, and the API where no other certificate is given.
    pub fn authority(&self) -> Fingerprint {
        self.authority.fingerprint()
    }

    /// The newest events of a host, oldest first.
    ///
    /// # Errors
    /// [`BusError`] when the store cannot be read.
    pub async fn timeline(&self, machine_id: &str) -> Result<Vec<TimelineEvent>, BusError> {
        self.hosts.timeline(machine_id).await
    }

    /// Submits a job.
    ///
    /// # Errors
    /// [`SubmitError`] when the target means nobody or the job cannot be stored.
    pub async fn submit(&self, asked: Asked) -> Result<Submitted, SubmitError> {
        self.jobs.submit(asked).await
    }

    /// Submits a stored job's operation again, to its own target unless another is given.
    ///
    /// # Errors
    /// [`RetryError`] when the job is not remembered, or as [`Controller::submit`].
    pub async fn retry(
        &self,
        id: Uuid,
        target: Option<Target>,
        user: String,
    ) -> Result<Submitted, RetryError> {
        let job = self.jobs.stored(id).await?.ok_or(RetryError::Unknown(id))?;
        let asked = Asked {
            user,
            target: target.unwrap_or(job.target),
            operation: job.operation,
            timeout: None,
            retry_of: Some(id),
        };
        Ok(self.submit(asked).await?)
    }
}
