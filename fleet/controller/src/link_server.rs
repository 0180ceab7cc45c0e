//! The link listener: agents dial in, prove who they are, and stay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bus::Bucket;
use jiff::Timestamp;
use link::frame::{Ack, Challenge, Heard, Hello, Refused, VERSION, Welcome};
use link::{Connection, EncodedFrame, Frame, LinkError};
use model::host::HostFacts;
use model::{HostResult, Outcome};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Controller;
use crate::hosts::{Admission, Standing, is_machine_id};
use crate::source::Source;
use crate::strangers::{Proof, STRANGERS_MAX, Strangers};

/// How many connections may be under way to their welcome at once, those that have proved their key and wait for
/// the store included; beyond that they wait in the kernel's queue.
const MEETING_MAX: usize = 1024;

/// How long an agent may take to introduce itself after TLS.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// What no host can be called, for it is another resource in the place of a host.
const PENDING: &str = "pending";

/// Largest facts that are taken, in bytes of JSON.
const FACTS_BYTES_MAX: usize = 32 * 1024;

/// Takes up connections for ever.
pub(crate) async fn serve(controller: Arc<Controller>, listener: TcpListener, tls: Arc<ServerConfig>) {
    // Both end with this future, and every connection with them.
    let mut meeting: JoinSet<Option<Agent>> = JoinSet::new();
    let mut agents: JoinSet<()> = JoinSet::new();
    let mut strangers = Strangers::new(STRANGERS_MAX);
    loop {
        tokio::select! {
            accepted = listener.accept(), if meeting.len() < MEETING_MAX => match accepted {
                Ok((stream, from)) => {
                    // Its receiver goes with the proof.
                    let admitted = strangers.admit(Source::of(from.ip()), Instant::now(), Proof::default());
                    let Some(give_way) = admitted else {
                        tracing::debug!(%from, "its address holds the most unproved connections; it was closed");
                        continue;
                    };
                    let (controller, tls) = (Arc::clone(&controller), Arc::clone(&tls));
                    meeting.spawn(async move {
                        meet(&controller, stream, from, tls, give_way).await.unwrap_or_else(|error| {
                            tracing::debug!(%from, %error, "a caller did not become an agent");
                            None
                        })
                    });
                }
                Err(error) => {
                    // Out of file descriptors, as a rule; there will be some again.
                    tracing::warn!(%error, "cannot take up a connection of an agent");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(met) = meeting.join_next() => {
                if let Ok(Some(agent)) = met {
                    // A task of its own: the many idle connections do not carry the state of the hand-shake.
                    agents.spawn(agent.stay(Arc::clone(&controller)));
                }
            }
            Some(_) = agents.join_next() => {}
        }
    }
}

/// A connected agent that was let in.
struct Agent {
    // A box, because a future keeps what it was given and what it works with, and it is large.
    connection: Box<Connection>,
    machine_id: String,
    number: u64,
    outgoing: mpsc::Receiver<EncodedFrame>,
}

/// Lets a caller prove who it is, unless it has to give way to another; `None` when it was turned away.
async fn introduce(
    controller: &Controller,
    stream: TcpStream,
    from: SocketAddr,
    tls: Arc<ServerConfig>,
) -> Result<Option<(Connection, Hello)>, LinkError> {
    let mut connection = link::accept(stream, from, tls).await?;
    let nonce = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()]
        .map(|half| half.simple().to_string())
        .concat();
    let challenge = Challenge {
        version: VERSION,
        controller_id: controller.id,
        nonce,
    };
    connection.send(&Frame::Challenge(challenge.clone())).await?;
    let first = timeout(HELLO_TIMEOUT, connection.receive()).await;
    let Frame::Hello(hello) = first.map_err(|_| LinkError::Timeout(HELLO_TIMEOUT))?? else {
        return Err(LinkError::Frame("the first frame is no hello".to_owned()));
    };
    if let Err(reason) = acceptable(&hello, &challenge, &connection) {
        turn_away(connection, reason, 60).await?;
        return Ok(None);
    }
    Ok(Some((connection, *hello)))
}

/// Lets a caller in that proves to be a host which may come in; `None` when it was turned away.
async fn meet(
    controller: &Controller,
    stream: TcpStream,
    from: SocketAddr,
    tls: Arc<ServerConfig>,
    give_way: oneshot::Receiver<()>,
) -> Result<Option<Agent>, LinkError> {
    // With its proof it is no stranger any more: the receiver goes with this statement.
    let introduced = tokio::select! {
        introduced = introduce(controller, stream, from, tls) => introduced?,
        _ = give_way => {
            tracing::debug!(%from, "it gave way to a caller from another address");
            return Ok(None);
        }
    };
    let Some((mut connection, hello)) = introduced else {
        return Ok(None);
    };
    let Hello {
        public_key,
        enrolment_secret,
        facts,
        ..
    } = hello;
    let facts = facts.plausible();
    let machine_id = facts.machine_id.clone();
    let hostname = facts.hostname.clone();
    // The key first: a token is not used up for a host that cannot come in anyway.
    let brings = enrolment_secret.is_some() || controller.settings.auto_accept;
    let enrolled = match (
        controller.hosts.standing(&public_key, &machine_id, brings),
        enrolment_secret,
    ) {
        (Standing::Out(reason), _) => {
            tracing::warn!(host = hostname, %from, reason, "a host was turned away");
            return turn_away(connection, reason, 300).await;
        }
        (Standing::In, _) => Ok(false),
        (Standing::Waits, _) if controller.settings.auto_accept => Ok(true),
        (Standing::Waits, Some(secret)) => {
            let good = controller.enrolment.redeem(&secret).await;
            if matches!(good, Ok(false)) {
                tracing::warn!(host = hostname, %from, "an enrolment token was used up, expired or never given out");
            }
            good
        }
        (Standing::Waits, None) => Ok(false),
    };
    let admitted = match enrolled {
        Ok(enrolled) => {
            controller
                .hosts
                .admit(public_key, facts, Source::of(from.ip()), enrolled)
                .await
        }
        Err(error) => Err(error),
    };
    match admitted {
        Ok(Admission::In) => {}
        Ok(Admission::Out(reason)) => {
            tracing::warn!(host = hostname, %from, reason, "a host was turned away");
            return turn_away(connection, reason, 300).await;
        }
        Err(error) => {
            tracing::error!(host = hostname, %error, "cannot store a host");
            return turn_away(connection, "the controller cannot store hosts now".to_owned(), 10).await;
        }
    }
    let Some((number, outgoing, state)) = controller.hosts.connected(&machine_id, &public_key) else {
        return turn_away(connection, "the host was removed in this moment".to_owned(), 10).await;
    };
    let welcome = Welcome {
        state,
        controller_key: controller.key.public(),
        now_ms: controller.clock.now_ms(),
        heartbeat_s: u32::try_from(controller.settings.heartbeat.as_secs())
            .unwrap_or(u32::MAX)
            .max(1),
    };
    if let Err(error) = connection.send(&Frame::Welcome(welcome)).await {
        controller.hosts.disconnected(&machine_id, number).await;
        return Err(error);
    }
    tracing::info!(host = hostname, machine_id, ?state, %from, "agent connected");
    Ok(Some(Agent {
        connection: Box::new(connection),
        machine_id,
        number,
        outgoing,
    }))
}

fn acceptable(hello: &Hello, challenge: &Challenge, connection: &Connection) -> Result<(), String> {
    if hello.version.major != VERSION.major {
        return Err(format!(
            "the agent speaks version {} of the protocol and this controller version {}; install an agent of \
             the controller's version",
            hello.version.major, VERSION.major
        ));
    }
    if !hello.is_proved(challenge, connection.session()) {
        return Err("the agent did not prove that it holds its key".to_owned());
    }
    check_facts(&hello.facts)
}

fn check_facts(facts: &HostFacts) -> Result<(), String> {
    let word = |text: &str, max: usize| {
        (1..=max).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if !is_machine_id(&facts.machine_id) {
        return Err("the machine id is not 32 hexadecimal digits, as in /etc/machine-id".to_owned());
    }
    if is_machine_id(&facts.hostname) {
        return Err("the host name could be a machine id; set another, or `agent.hostname`".to_owned());
    }
    let name = facts.hostname.split('.').all(|part| word(part, 63)) && facts.hostname.len() <= 253;
    if !name || facts.hostname.starts_with(['-', '_']) {
        return Err("the host name is none that DNS would allow; set one, or `agent.hostname`".to_owned());
    }
    if facts.hostname == PENDING {
        return Err(
            "the API's list of the hosts that wait is called \"pending\", so that no host can be; set another name, or \
             `agent.hostname`"
                .to_owned(),
        );
    }
    let size = serde_json::to_vec(facts).map_or(usize::MAX, |json| json.len());
    if size > FACTS_BYTES_MAX {
        return Err(format!(
            "the facts take {size} bytes, more than {FACTS_BYTES_MAX}"
        ));
    }
    Ok(())
}

async fn turn_away(
    mut connection: Connection,
    reason: String,
    retry_s: u32,
) -> Result<Option<Agent>, LinkError> {
    connection
        .send(&Frame::Refused(Refused { reason, retry_s }))
        .await?;
    connection.close().await;
    Ok(None)
}

impl Agent {
    /// Passes frames both ways until the connection ends.
    async fn stay(mut self, controller: Arc<Controller>) {
        // A host that is not heard of for long is gone, even if its network never said so.
        let silence_max = controller.settings.heartbeat * 4;
        // Only what comes from the host counts as a sign of life, not what is sent to it.
        let mut silent_at = Instant::now() + silence_max;
        let ended = loop {
            tokio::select! {
                frame = timeout_at(silent_at, self.connection.receive()) => {
                    let frame = match frame {
                        Ok(Ok(frame)) => frame,
                        Ok(Err(error)) => break error.to_string(),
                        Err(_) => break format!("nothing was heard of it for {silence_max:?}"),
                    };
                    silent_at = Instant::now() + silence_max;
                    // A box, so that an idle connection does not carry the state of a frame that is taken.
                    if let Err(error) = Box::pin(self.take(&controller, frame)).await {
                        break error.to_string();
                    }
                }
                frame = self.outgoing.recv() => match frame {
                    Some(frame) => {
                        if let Err(error) = self.connection.send_encoded(frame).await {
                            break error.to_string();
                        }
                    }
                    None => break "the host connected anew or was removed".to_owned(),
                },
            }
        };
        tracing::info!(machine_id = self.machine_id, reason = ended, "agent disconnected");
        controller.hosts.disconnected(&self.machine_id, self.number).await;
        Box::pin(self.connection.close()).await;
    }

    async fn take(&mut self, controller: &Controller, frame: Frame) -> Result<(), LinkError> {
        // Of a host that is not accepted nothing is kept but that it lives.
        let frame = match frame {
            Frame::Report(_) if !controller.hosts.is_accepted(&self.machine_id) => {
                controller.hosts.heard(&self.machine_id, None);
                let heard = Heard {
                    now_ms: controller.clock.now_ms(),
                };
                return self.connection.send(&Frame::Heard(heard)).await;
            }
            Frame::Facts(_) | Frame::Result(_) if !controller.hosts.is_accepted(&self.machine_id) => {
                return Ok(());
            }
            frame => frame,
        };
        match frame {
            Frame::Report(report) => {
                controller
                    .hosts
                    .heard(&self.machine_id, Some(Box::new(report.plausible())));
                let heard = Heard {
                    now_ms: controller.clock.now_ms(),
                };
                self.connection.send(&Frame::Heard(heard)).await
            }
            Frame::Facts(facts) => {
                if let Err(reason) = check_facts(&facts) {
                    tracing::warn!(machine_id = self.machine_id, reason, "facts were refused");
                } else if let Err(error) = controller.hosts.facts(&self.machine_id, facts.plausible()).await {
                    tracing::error!(machine_id = self.machine_id, %error, "cannot store facts");
                }
                Ok(())
            }
            Frame::Result(result) => self.take_result(controller, result.plausible()).await,
            // What only a controller says, or a newer agent.
            Frame::Challenge(_)
            | Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Refused(_)
            | Frame::State(_)
            | Frame::Job(_)
            | Frame::Ack(_)
            | Frame::Heard(_)
            | Frame::Unknown => Ok(()),
        }
    }

    async fn take_result(&mut self, controller: &Controller, result: HostResult) -> Result<(), LinkError> {
        if result.machine_id != self.machine_id {
            tracing::warn!(
                machine_id = self.machine_id,
                other = result.machine_id,
                "an answer in another host's name was dropped"
            );
            return Ok(());
        }
        controller.hosts.heard(&self.machine_id, None);
        let job_id = result.job_id;
        match controller.jobs.answer(result).await {
            Ok(Some(stored)) => note_file(controller, &stored).await,
            Ok(None) => {}
            Err(error) => {
                // No acknowledgement: the agent will send it again.
                tracing::error!(job = %job_id, machine_id = self.machine_id, %error, "cannot store an answer");
                return Ok(());
            }
        }
        self.connection.send(&Frame::Ack(Ack { job_id })).await
    }
}

/// Keeps the record of what is deployed where: one file per host.
async fn note_file(controller: &Controller, result: &HostResult) {
    const PATH_BYTES_MAX: usize = 4096;
    let (Outcome::Changed(change) | Outcome::Unchanged(change)) = &result.outcome else {
        return;
    };
    let is_hash = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let stored = match &change.sha256 {
        Some(sha256) if is_hash(sha256) && change.path.len() <= PATH_BYTES_MAX => {
            let value = serde_json::json!({
                "path": change.path,
                "sha256": sha256,
                "job_id": result.job_id,
                "deployed_at": Timestamp::now().to_string(),
            });
            controller
                .bus
                .put(Bucket::FILE_STATE, &result.machine_id, value.to_string().into())
                .await
                .map(drop)
        }
        Some(_) => return,
        None => {
            controller
                .bus
                .delete(Bucket::FILE_STATE, &result.machine_id)
                .await
        }
    };
    if let Err(error) = stored {
        tracing::error!(machine_id = result.machine_id, %error, "cannot store the state of a file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_could_not_be_named_in_the_api_are_refused() {
        let id = "0123456789abcdef".repeat(2);
        let check = |machine_id: &str, hostname: &str| {
            check_facts(&HostFacts {
                machine_id: machine_id.to_owned(),
                hostname: hostname.to_owned(),
                ..HostFacts::default()
            })
        };
        for name in ["web-01", "pending-01", "pending.example.com", "a_b", "x"] {
            assert_eq!(check(&id, name), Ok(()), "{name}");
        }
        for name in ["", "-x", "_all", "a b", "a..b", "a/b", &"x".repeat(64)] {
            assert!(
                check(&id, name)
                    .unwrap_err()
                    .contains("none that DNS would allow"),
                "{name}"
            );
        }
        assert!(check(&id, "pending").unwrap_err().contains("\"pending\""));
        // A host that had another's name for its id would be taken for that one.
        for machine_id in ["", "web-01", "_all", &id[1..], &"A".repeat(32), &"g".repeat(32)] {
            assert!(
                check(machine_id, "web-02")
                    .unwrap_err()
                    .contains("32 hexadecimal"),
                "{machine_id}"
            );
        }
        assert!(
            check(&id, &"ab".repeat(16))
                .unwrap_err()
                .contains("could be a machine id")
        );
        // No route may have another word in the place of a host's name.
        let words: Vec<&str> = model::route::ROUTES
            .iter()
            .filter_map(|route| route.path.strip_prefix("/api/agent/"))
            .filter_map(|rest| rest.split('/').next())
            .filter(|word| !word.starts_with('{'))
            .collect();
        assert_eq!(words, ["pending"]);
    }
}
