//! The agent as a recipe: know who we are, put right what was interrupted, serve until told to stop.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::host::HostFacts;

use crate::facts;
use crate::host::{Access, Claim, Host, RealHost};
use crate::identity::{Identity, IdentityError};
use crate::jobs::Jobs;
use crate::journal::Journal;
use crate::providers::Providers;
use crate::session::Session;
use crate::settings::Settings;

/// How long a write that is under way may take to end when the agent is told to stop.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why an agent cannot run, or a local command failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent does not know who it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Another agent uses the same state.
    #[error("another agent runs with the state directory {0}; stop it, or choose another directory")]
    AlreadyRunning(PathBuf),
    /// A file or directory of the agent's state cannot be used.
    #[error("{path}: {source}")]
    State {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The settings name another controller than the one this host belongs to.
    #[error(
        "the settings name a controller with the authority {configured}, but this host belongs to one with \
         {pinned}; if it shall change over, run `timeball agent forget-controller`"
    )]
    OtherController {
        /// The authority of the settings.
        configured: link::key::Fingerprint,
        /// The authority that was pinned.
        pinned: link::key::Fingerprint,
    },
    /// The settings contradict themselves.
    #[error("the enrolment token is for a controller with the authority {token}, not {configured}")]
    OtherToken {
        /// The authority in the token.
        token: link::key::Fingerprint,
        /// The authority in the settings.
        configured: link::key::Fingerprint,
    },
    /// The host's chrony cannot be made to read managed files.
    #[error("{0}")]
    Adopt(String),
    /// A part of the agent broke.
    #[error("the agent broke: {0}")]
    Broken(String),
}

/// Runs the agent of this machine until `shutdown` ends.
///
/// # Errors
/// [`AgentError`] when it cannot start; once it has, it never gives up.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    run_on(Arc::new(RealHost), settings, shutdown).await
}

/// Runs the agent of a machine that may be simulated.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    host: Arc<dyn Host>,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let opened = blocking(&host, {
        let host = Arc::clone(&host);
        move || open(&host, settings)
    });
    let mut agent = opened.await??;
    tracing::info!(
        hostname = agent.session.jobs.hostname(), machine_id = agent.session.jobs.machine_id(),
        fingerprint = %agent.session.identity.key.public().fingerprint(), "agent started"
    );
    tokio::select! {
        () = agent.session.keep() => {}
        () = shutdown => {}
    }
    if agent.session.jobs.end(LAST_WRITE_TIMEOUT).await {
        tracing::info!("agent stopped");
    } else {
        tracing::warn!("agent stopped in the middle of a job; it will be put right at the next start");
    }
    Ok(())
}

struct Agent {
    session: Session,
    _claim: Claim,
}

fn open(host: &Arc<dyn Host>, settings: Settings) -> Result<Agent, AgentError> {
    let workshop = Workshop::open(host, &settings)?;
    check_controller(&settings, &workshop.identity)?;
    log_facts(&workshop.facts);
    Ok(Agent {
        session: Session::new(
            workshop.identity,
            Arc::new(settings),
            Arc::new(workshop.jobs),
            workshop.facts,
        ),
        _claim: workshop.claim,
    })
}

/// What an agent works with, whoever tells it what to do. What was interrupted has been put right.
pub(crate) struct Workshop {
    pub(crate) identity: Identity,
    pub(crate) jobs: Jobs,
    pub(crate) facts: HostFacts,
    pub(crate) claim: Claim,
}

impl Workshop {
    /// Opens the agent's state. May block.
    ///
    /// # Errors
    /// [`AgentError`] when the state cannot be used, or another agent uses it.
    pub(crate) fn open(host: &Arc<dyn Host>, settings: &Settings) -> Result<Self, AgentError> {
        let state = &settings.state;
        let identity = Identity::open(Arc::clone(host), state)?;
        let claim = claim(&**host, state)?;
        // Leftovers harm nobody; they are tried again at the next start.
        let _ = host.sweep(state);
        let facts = facts::collect(&**host, &identity.machine_id, settings);
        let providers = Providers::select(host, &facts, settings);
        providers.sweep();
        let journal = journal(host, state)?;
        let jobs = Jobs::new(Arc::clone(host), providers, journal, &facts);
        jobs.recover();
        Ok(Workshop {
            identity,
            jobs,
            facts,
            claim,
        })
    }
}

/// The authority that the settings name must be one, and the pinned one.
fn check_controller(settings: &Settings, identity: &Identity) -> Result<(), AgentError> {
    let token = settings.token.as_ref().map(|token| token.authority);
    if let (Some(token), Some(configured)) = (token, settings.authority)
        && token != configured
    {
        return Err(AgentError::OtherToken { token, configured });
    }
    let configured = settings.authority.or(token);
    if let (Some(configured), Some(pins)) = (configured, identity.pins())
        && configured != pins.authority
    {
        return Err(AgentError::OtherController {
            configured,
            pinned: pins.authority,
        });
    }
    Ok(())
}

fn claim(host: &dyn Host, state: &Path) -> Result<Claim, AgentError> {
    host.claim(state).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => AgentError::AlreadyRunning(state.to_owned()),
        _ => AgentError::State {
            path: state.to_owned(),
            source,
        },
    })
}

fn journal(host: &Arc<dyn Host>, state: &Path) -> Result<Journal, AgentError> {
    let path = state.join("journal");
    let fault = |source| AgentError::State {
        path: path.clone(),
        source,
    };
    host.make_directory(state, Access::Private).map_err(fault)?;
    Journal::open(Arc::clone(host), &path).map_err(fault)
}

fn log_facts(facts: &HostFacts) {
    tracing::debug!(
        os = facts.os_id,
        family = facts.os_family,
        version = facts.os_version,
        containerized = facts.containerized,
        "facts of this host"
    );
}

/// Does what may block: on a thread that may, or right here when the host never blocks.
pub(crate) async fn blocking<R: Send + 'static>(
    host: &Arc<dyn Host>,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, AgentError> {
    if host.is_instant() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| AgentError::Broken(error.to_string()))
}
