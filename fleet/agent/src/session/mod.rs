//! The agent's side of the link: dial, prove who we are, serve, and again when the connection ends.

use std::sync::Arc;
use std::time::Duration;

use link::key::Fingerprint;
use link::{Connection, LinkError, Pin, dial};
use model::HostResult;
use model::host::{HostFacts, HostState};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::identity::{Identity, IdentityError};
use crate::jobs::Jobs;
use crate::settings::Settings;

mod backoff;
mod handshake;
mod serve;

use backoff::Backoff;

/// One agent's connection to its controller, made anew for ever.
pub(crate) struct Session {
    pub(crate) identity: Identity,
    pub(crate) jobs: Arc<Jobs>,
    settings: Arc<Settings>,
    facts: HostFacts,
    /// When the agent was started, since boot.
    started: Duration,
    answers: mpsc::UnboundedReceiver<HostResult>,
    news: News,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Somebody answers who is not the controller this host belongs to.
    #[error(
        "{address} is not the controller this host belongs to: its {what} is another one; if the controller \
         was set up anew, run `timeball agent forget-controller` on this host"
    )]
    OtherController { address: String, what: &'static str },
    #[error("the controller speaks version {major}.{minor} of the protocol, which this agent does not")]
    Version { major: u16, minor: u16 },
    #[error("the controller did not let this host in: {reason}")]
    Refused { reason: String, retry: Duration },
    #[error("the controller did not answer heartbeats for {0:?}")]
    Silent(Duration),
    #[error("the controller said something out of turn")]
    OutOfTurn,
    #[error("cannot remember the controller: {0}")]
    Pin(#[from] IdentityError),
    #[error("the agent broke: {0}")]
    Broken(String),
}

impl Session {
    pub(crate) fn new(
        identity: Identity,
        settings: Arc<Settings>,
        jobs: Arc<Jobs>,
        facts: HostFacts,
    ) -> Self {
        let answers = jobs.take_answers().unwrap_or_else(|| mpsc::unbounded_channel().1);
        Session {
            identity,
            started: jobs.host().since_boot(),
            jobs,
            settings,
            facts,
            answers,
            news: News::default(),
        }
    }

    /// Connects and serves, again and again.
    pub(crate) async fn keep(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            let (end, welcomed) = self.once().await;
            // A controller that lets the host in and is then gone was restarted, as a rule: back soon.
            if welcomed {
                backoff = Backoff::default();
            }
            let mut wait = backoff.next();
            if let SessionEnd::Refused { retry, .. } = &end {
                wait = wait.max(*retry);
            }
            self.news.ended(&self.settings.controller, &end, wait);
            sleep(wait).await;
        }
    }

    /// One session; says how it ended, and whether the controller had let the host in.
    async fn once(&mut self) -> (SessionEnd, bool) {
        match self.connect().await {
            Ok((mut connection, welcome, greeted)) => {
                let end = self.serve(&mut connection, &welcome, greeted).await;
                connection.close().await;
                (end, true)
            }
            Err(end) => (end, false),
        }
    }

    /// Gives the connection, the controller's welcome, and when the handshake began, after boot.
    async fn connect(&mut self) -> Result<(Connection, link::frame::Welcome, Duration), SessionEnd> {
        let address = &self.settings.controller;
        let mut connection = dial(address, self.pin()).await.map_err(|error| {
            if error.is_other_authority() {
                SessionEnd::OtherController {
                    address: address.clone(),
                    what: "authority",
                }
            } else {
                error.into()
            }
        })?;
        let greeted = link::clock::since_boot();
        let welcome = self.shake_hands(&mut connection).await?;
        Ok((connection, welcome, greeted))
    }

    /// The authority the controller must show.
    fn pin(&self) -> Pin {
        let pinned = self.identity.pins().map(|pins| pins.authority);
        let token = self.settings.token.as_ref().map(|token| token.authority);
        match pinned.or(self.settings.authority).or(token) {
            Some(authority) => Pin::Authority(authority),
            None => Pin::FirstSeen,
        }
    }
}

/// Logs each change of the connection's state once, however often it is tried.
#[derive(Debug, Default)]
struct News {
    last: String,
}

impl News {
    fn ended(&mut self, address: &str, end: &SessionEnd, wait: Duration) {
        let text = end.to_string();
        let retry_s = wait.as_secs_f64();
        if self.last == text {
            tracing::debug!(controller = address, retry_s, "still not connected: {text}");
            return;
        }
        tracing::warn!(controller = address, retry_s, "not connected: {text}");
        self.last = text;
    }

    fn connected(&mut self, address: &str, authority: Option<Fingerprint>, state: HostState) {
        self.last.clear();
        let authority = authority.map(|authority| authority.to_string());
        tracing::info!(controller = address, authority, ?state, "connected");
    }

    fn state(&self, state: HostState) {
        match state {
            HostState::Pending => tracing::info!("this host waits to be accepted by an administrator"),
            HostState::Ready => tracing::info!("this host takes jobs"),
            HostState::Cordoned => tracing::info!("this host is drained and takes no new jobs"),
            HostState::Unknown => {
                tracing::warn!("this host is in a state that its agent does not know; upgrade the agent");
            }
            HostState::Rejected => tracing::warn!("this host was rejected by an administrator"),
        }
    }
}
