//! Frames: every message there is between agent and controller.
//!
//! Fields may be added in a minor version; readers ignore those they do not know. A frame of an unknown kind
//! is [`Frame::Unknown`], so that a newer peer can be understood as far as possible. A controller talks to
//! agents of its own minor version, of an older one, and of any newer one that speaks the same major version.

use model::HostResult;
use model::host::{HostFacts, HostReport, HostState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::key::{PublicKey, Signature, SigningKey};
use crate::order::SignedOrder;

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Both ends must have the same.
    pub major: u16,
    /// Grows when frames or fields are added.
    pub minor: u16,
}

/// What this build speaks.
pub const VERSION: Version = Version { major: 1, minor: 0 };

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum Frame {
    /// Controller: who I am, and what you have to sign.
    Challenge(Challenge),
    /// Agent: who I am, proved.
    Hello(Box<Hello>),
    /// Controller: you are in, in this state.
    Welcome(Welcome),
    /// Controller: you are not in, and why. The connection ends.
    Refused(Refused),
    /// Controller: your state has changed.
    State(StateChange),
    /// Controller: do this.
    Job(SignedOrder),
    /// Agent: this is what became of it. Sent again after a reconnect until it is acknowledged.
    Result(Box<HostResult>),
    /// Controller: the answer to this job is stored.
    Ack(Ack),
    /// Agent: heartbeat with the state of the host.
    Report(Box<HostReport>),
    /// Controller: heartbeat heard.
    Heard(Heard),
    /// Agent: the facts have changed.
    Facts(Box<HostFacts>),
    /// A frame of a newer version.
    #[serde(other)]
    Unknown,
}

/// The controller's first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Version the controller speaks.
    pub version: Version,
    /// The controller's id; it stays for the life of its store.
    pub controller_id: Uuid,
    /// 32 random bytes in hex; the agent's signature covers them.
    pub nonce: String,
}

/// The agent's first frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Version the agent speaks.
    pub version: Version,
    /// The agent's key.
    pub public_key: PublicKey,
    /// Signature by that key over [`hello_message`].
    pub signature: Signature,
    /// A token that lets the agent in without an administrator's word; only its secret part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment_secret: Option<String>,
    /// Who the host is.
    pub facts: HostFacts,
}

/// What an agent signs: the controller it means, the challenge, the TLS session and the machine it is.
pub fn hello_message(controller_id: Uuid, nonce: &str, session: &[u8; 32], machine_id: &str) -> Vec<u8> {
    let mut message = b"timeball hello 1\n".to_vec();
    message.extend_from_slice(controller_id.as_bytes());
    message.extend_from_slice(session);
    message.extend_from_slice(nonce.as_bytes());
    message.push(b'\n');
    message.extend_from_slice(machine_id.as_bytes());
    message
}

impl Hello {
    /// Makes and signs the agent's first frame.
    pub fn sign(
        key: &SigningKey,
        challenge: &Challenge,
        session: &[u8; 32],
        enrolment_secret: Option<String>,
        facts: HostFacts,
    ) -> Self {
        let message = hello_message(
            challenge.controller_id,
            &challenge.nonce,
            session,
            &facts.machine_id,
        );
        Hello {
            version: VERSION,
            public_key: key.public(),
            signature: key.sign(&message),
            enrolment_secret,
            facts,
        }
    }

    /// Says whether the agent holds the key it names, for this very session.
    pub fn is_proved(&self, challenge: &Challenge, session: &[u8; 32]) -> bool {
        let message = hello_message(
            challenge.controller_id,
            &challenge.nonce,
            session,
            &self.facts.machine_id,
        );
        self.public_key.verifies(&message, &self.signature)
    }
}

/// The controller's answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// State of the host in the fleet.
    pub state: HostState,
    /// The key with which jobs are signed; the agent pins it.
    pub controller_key: PublicKey,
    /// The controller's time, in milliseconds since 1970.
    pub now_ms: i64,
    /// How often to report, in seconds.
    pub heartbeat_s: u32,
}

/// Why an agent was turned away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// For the operator who reads the agent's log, with the remedy.
    pub reason: String,
    /// How long to wait before the next try, in seconds.
    pub retry_s: u32,
}

/// A new state of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// The new state.
    pub state: HostState,
}

/// A stored answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The job.
    pub job_id: Uuid,
}

/// The controller's side of a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The controller's time, in milliseconds since 1970.
    pub now_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_good_for_one_session_one_challenge_and_one_machine() {
        let key = SigningKey::generate().unwrap();
        let challenge = Challenge {
            version: VERSION,
            controller_id: Uuid::from_u128(7),
            nonce: "00".repeat(32),
        };
        let facts = HostFacts {
            machine_id: "m1".into(),
            ..HostFacts::default()
        };
        let hello = Hello::sign(&key, &challenge, &[1; 32], None, facts);
        assert!(hello.is_proved(&challenge, &[1; 32]));
        assert!(!hello.is_proved(&challenge, &[2; 32]));
        let mut other = hello.clone();
        other.facts.machine_id = "m2".into();
        assert!(!other.is_proved(&challenge, &[1; 32]));
        let later = Challenge {
            nonce: "11".repeat(32),
            ..challenge
        };
        assert!(!hello.is_proved(&later, &[1; 32]));
    }

    #[test]
    fn frames_of_a_newer_peer_are_read_as_far_as_known() {
        let frame = serde_json::from_str::<Frame>(r#"{"frame":"heard","now_ms":5,"colour":"red"}"#);
        assert_eq!(frame.unwrap(), Frame::Heard(Heard { now_ms: 5 }));
        let frame = serde_json::from_str::<Frame>(r#"{"frame":"sing","song":"x"}"#);
        assert_eq!(frame.unwrap(), Frame::Unknown);
        assert!(serde_json::from_str::<Frame>(r#"{"frame":"heard"}"#).is_err());
    }
}
