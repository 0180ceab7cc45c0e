//! The first frames of a connection: both ends show who they are.

use std::time::Duration;

use link::Connection;
use link::frame::{Challenge, Frame, Hello, VERSION, Welcome};
use model::host::HostFacts;
use tokio::time::timeout;

use super::{Session, SessionEnd};
use crate::identity::Pins;

/// How long the controller may take for each of its frames.
const FRAME_TIMEOUT: Duration = Duration::from_secs(15);

impl Session {
    /// Proves who this host is to the controller it belongs to; pins the controller at the first time.
    pub(super) async fn shake_hands(&mut self, connection: &mut Connection) -> Result<Welcome, SessionEnd> {
        let Frame::Challenge(challenge) = receive(connection).await? else {
            return Err(SessionEnd::OutOfTurn);
        };
        self.check(&challenge)?;
        let secret = self.settings.token.as_ref().map(|token| token.secret.clone());
        let hello = Hello::sign(
            &self.identity.key,
            &challenge,
            connection.session(),
            secret,
            self.facts_now(),
        );
        connection.send(&Frame::Hello(Box::new(hello))).await?;
        let welcome = match receive(connection).await? {
            Frame::Welcome(welcome) => welcome,
            Frame::Refused(refused) => {
                return Err(SessionEnd::Refused {
                    reason: refused.reason,
                    retry: Duration::from_secs(refused.retry_s.into()),
                });
            }
            _ => return Err(SessionEnd::OutOfTurn),
        };
        self.check_or_pin(&challenge, &welcome, connection)?;
        Ok(welcome)
    }

    /// Whether this may be the controller, before the host says anything about itself.
    fn check(&self, challenge: &Challenge) -> Result<(), SessionEnd> {
        let theirs = challenge.version;
        if theirs.major != VERSION.major {
            return Err(SessionEnd::Version {
                major: theirs.major,
                minor: theirs.minor,
            });
        }
        match self.identity.pins() {
            Some(pins) if pins.controller_id != challenge.controller_id => Err(self.other_controller("id")),
            Some(_) | None => Ok(()),
        }
    }

    fn check_or_pin(
        &mut self,
        challenge: &Challenge,
        welcome: &Welcome,
        connection: &Connection,
    ) -> Result<(), SessionEnd> {
        if let Some(pins) = self.identity.pins() {
            return if pins.controller_key == welcome.controller_key {
                Ok(())
            } else {
                Err(self.other_controller("key"))
            };
        }
        let authority = connection
            .authority()
            .ok_or_else(|| SessionEnd::Broken("the connection has no authority".to_owned()))?;
        if self.settings.authority.is_none() && self.settings.token.is_none() {
            tracing::warn!(
                %authority,
            "trusting the controller that was seen first; an enrolment token or a configured fingerprint would have checked it"
            );
        }
        self.identity.pin(Pins {
            controller_id: challenge.controller_id,
            authority,
            controller_key: welcome.controller_key,
        })?;
        Ok(())
    }

    fn other_controller(&self, what: &'static str) -> SessionEnd {
        SessionEnd::OtherController {
            address: self.settings.controller.clone(),
            what,
        }
    }

    /// The facts with the times of this moment.
    pub(super) fn facts_now(&self) -> HostFacts {
        let now = self.jobs.host().since_boot();
        HostFacts {
            uptime_s: now.as_secs(),
            agent_uptime_s: now.saturating_sub(self.started).as_secs(),
            ..self.facts.clone()
        }
    }
}

async fn receive(connection: &mut Connection) -> Result<Frame, SessionEnd> {
    let frame = timeout(FRAME_TIMEOUT, connection.receive()).await;
    Ok(frame.map_err(|_| link::LinkError::Timeout(FRAME_TIMEOUT))??)
}
