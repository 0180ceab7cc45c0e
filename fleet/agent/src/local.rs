//! What the agent's program does on this machine without a controller.

use std::sync::Arc;

use link::key::Fingerprint;
use model::{HostResult, Operation, Outcome};
use uuid::Uuid;

use crate::facts;
use crate::host::{Host, RealHost};
use crate::identity;
use crate::providers::Providers;
use crate::providers::ntp::AdoptReport;
use crate::run::{AgentError, Workshop};
use crate::settings::Settings;

/// Makes this machine's chrony read a directory that the agent can put its file into: adds a `sourcedir` line
/// to chronyd's configuration, keeps a backup, restarts chronyd and checks that it runs. Does nothing when
/// there is such a directory already. May block for as long as chronyd takes to restart.
///
/// # Errors
/// [`AgentError::Adopt`] with the remedy; the configuration is as it was then.
pub fn adopt(settings: &Settings) -> Result<AdoptReport, AgentError> {
    adopt_on(&(Arc::new(RealHost) as Arc<dyn Host>), settings)
}

pub(crate) fn adopt_on(host: &Arc<dyn Host>, settings: &Settings) -> Result<AdoptReport, AgentError> {
    let facts = facts::collect(&**host, "", settings);
    Providers::select(host, &facts, settings)
        .adopt()
        .map_err(AgentError::Adopt)
}

/// The fingerprint of this agent's key, which is made when there is none.
///
/// # Errors
/// When the state directory cannot be used.
pub fn fingerprint(settings: &Settings) -> Result<Fingerprint, AgentError> {
    Ok(identity::key(&RealHost, &settings.state)?.public().fingerprint())
}

/// Forgets the controller this host belongs to, so that it can enrol with another one. The agent must be
/// started again. Says whether there was a controller to forget.
///
/// # Errors
/// When the state directory cannot be written.
pub fn forget_controller(settings: &Settings) -> Result<bool, AgentError> {
    Ok(identity::forget(&RealHost, &settings.state)?)
}

/// What this machine's time service says, without a controller. May block for some seconds.
pub fn status(settings: &Settings) -> Outcome {
    let host: Arc<dyn Host> = Arc::new(RealHost);
    let facts = facts::collect(&*host, "", settings);
    Providers::select(&host, &facts, settings).status()
}

/// Whether a time service runs on this machine that an agent can ask, whatever the machine's distribution. May block
/// for some seconds.
pub fn time_service_runs(settings: &Settings) -> bool {
    crate::providers::ntp::any_runs(&(Arc::new(RealHost) as Arc<dyn Host>), settings)
}

/// Performs one operation on this machine without a controller, with the same care as for one: journalled,
/// verified, undone when it fails. No agent may run with the same state. May block for some seconds.
///
/// # Errors
/// [`AgentError`] when the agent's state cannot be used; what the operation itself meets is in the result.
pub fn perform(settings: &Settings, operation: &Operation) -> Result<HostResult, AgentError> {
    perform_on(&(Arc::new(RealHost) as Arc<dyn Host>), settings, operation)
}

/// As [`perform`], on a machine that may be simulated.
///
/// # Errors
/// As [`perform`].
pub fn perform_on(
    host: &Arc<dyn Host>,
    settings: &Settings,
    operation: &Operation,
) -> Result<HostResult, AgentError> {
    let workshop = Workshop::open(host, settings)?;
    workshop
        .jobs
        .perform_here(Uuid::new_v4(), operation)
        .ok_or_else(|| AgentError::Broken("a new job was taken for a known one".to_owned()))
}
