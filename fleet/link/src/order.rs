//! Orders: jobs as the controller signs them and agents check them.

use model::{Label, Labels, Operation, Target};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::key::{PublicKey, Signature, SigningKey};

/// What an agent is told to do, and within which bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The job's id; an agent never starts the same id twice.
    pub job_id: Uuid,
    /// Which controller gives the order.
    pub controller_id: Uuid,
    /// Who is meant.
    pub audience: Audience,
    /// What is to be done.
    pub operation: Operation,
    /// When it was signed, in milliseconds since 1970 by the controller's clock.
    pub issued_ms: i64,
    /// After this moment it must not be started, in milliseconds since 1970 by the controller's clock.
    pub not_after_ms: i64,
}

/// Who an order is for. `_any` does not occur: the controller has picked the host when it signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Every host.
    All,
    /// The hosts that carry a label or one below it.
    Label(String),
    /// One host, by machine id.
    Machine(String),
}

impl Audience {
    /// The audience of a target that names one host resolved to `machine_id`, or of a group.
    pub fn of(target: &Target, machine_id: &str) -> Self {
        match target {
            Target::All => Audience::All,
            Target::Label(label) => Audience::Label(label.to_string()),
            Target::Any | Target::Host(_) => Audience::Machine(machine_id.to_owned()),
        }
    }

    /// Says whether a host is meant.
    pub fn includes(&self, machine_id: &str, labels: &Labels) -> bool {
        match self {
            Audience::All => true,
            Audience::Label(label) => label.parse::<Label>().is_ok_and(|label| label.selects(labels)),
            Audience::Machine(meant) => meant == machine_id,
        }
    }
}

/// An order with the controller's signature over its exact text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedOrder {
    /// The order as JSON; the signature covers these bytes as they are.
    order: String,
    signature: Signature,
}

/// Put before the signed bytes, so that a signature made for one purpose is good for no other.
const CONTEXT: &[u8] = b"timeball order 1\n";

/// Why an order is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Somebody else signed it, or it was changed on the way.
    #[error("the job is not signed by the controller this agent belongs to")]
    Signature,
    /// It is signed, but is no order this version understands.
    #[error("the job cannot be read by this version of the agent: {0}")]
    Unreadable(String),
    /// It is meant for another host.
    #[error("the job is not meant for this host")]
    Audience,
    /// It is another controller's.
    #[error("the job comes from another controller")]
    Controller,
    /// It came too late.
    #[error("the job arrived {late_ms} ms after its lifetime had ended; it was not started")]
    Expired {
        /// How late, in milliseconds.
        late_ms: i64,
    },
}

impl SignedOrder {
    /// Signs an order.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn sign(order: &Order, key: &SigningKey) -> Result<Self, serde_json::Error> {
        let order = serde_json::to_string(order)?;
        let signature = key.sign(&[CONTEXT, order.as_bytes()].concat());
        Ok(SignedOrder { order, signature })
    }

    /// Checks signature, controller, audience and lifetime, in this order, and gives the order.
    ///
    /// # Errors
    /// [`OrderError`] with the first check that failed.
    pub fn open(
        &self,
        key: &PublicKey,
        controller_id: Uuid,
        machine_id: &str,
        labels: &Labels,
        controller_now_ms: i64,
    ) -> Result<Order, OrderError> {
        if !key.verifies(&[CONTEXT, self.order.as_bytes()].concat(), &self.signature) {
            return Err(OrderError::Signature);
        }
        let order: Order =
            serde_json::from_str(&self.order).map_err(|error| OrderError::Unreadable(error.to_string()))?;
        if order.controller_id != controller_id {
            return Err(OrderError::Controller);
        }
        if !order.audience.includes(machine_id, labels) {
            return Err(OrderError::Audience);
        }
        if controller_now_ms > order.not_after_ms {
            return Err(OrderError::Expired {
                late_ms: controller_now_ms.saturating_sub(order.not_after_ms),
            });
        }
        Ok(order)
    }

    /// The id of the job, for an answer about an order that cannot be trusted.
    pub fn claimed_id(&self) -> Option<Uuid> {
        #[derive(Deserialize)]
        struct Id {
            job_id: Uuid,
        }
        serde_json::from_str::<Id>(&self.order).ok().map(|id| id.job_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(audience: Audience) -> Order {
        Order {
            job_id: Uuid::from_u128(1),
            controller_id: Uuid::from_u128(2),
            audience,
            operation: Operation::NtpGet,
            issued_ms: 1_000,
            not_after_ms: 31_000,
        }
    }

    #[test]
    fn only_the_right_order_for_the_right_host_in_time_is_opened() {
        let key = SigningKey::generate().unwrap();
        let labels = Labels::from_iter(["group:web.eu".parse().unwrap()]);
        let open = |audience, key_used: &SigningKey, controller, machine: &str, now| {
            SignedOrder::sign(&order(audience), key_used).unwrap().open(
                &key.public(),
                Uuid::from_u128(controller),
                machine,
                &labels,
                now,
            )
        };
        assert!(open(Audience::All, &key, 2, "m", 31_000).is_ok());
        assert!(open(Audience::Label("group:web".into()), &key, 2, "m", 0).is_ok());
        assert!(open(Audience::Machine("m".into()), &key, 2, "m", 0).is_ok());
        assert_eq!(
            open(Audience::Machine("m".into()), &key, 2, "n", 0),
            Err(OrderError::Audience)
        );
        assert_eq!(
            open(Audience::Label("group:db".into()), &key, 2, "m", 0),
            Err(OrderError::Audience)
        );
        assert_eq!(open(Audience::All, &key, 3, "m", 0), Err(OrderError::Controller));
        assert_eq!(
            open(Audience::All, &key, 2, "m", 31_001),
            Err(OrderError::Expired { late_ms: 1 })
        );
        let other = SigningKey::generate().unwrap();
        assert_eq!(open(Audience::All, &other, 2, "m", 0), Err(OrderError::Signature));
    }

    #[test]
    fn a_changed_order_is_refused() {
        let key = SigningKey::generate().unwrap();
        let mut signed = SignedOrder::sign(&order(Audience::All), &key).unwrap();
        signed.order = signed.order.replace("31000", "99000");
        let opened = signed.open(&key.public(), Uuid::from_u128(2), "m", &Labels::default(), 0);
        assert_eq!(opened, Err(OrderError::Signature));
        assert_eq!(signed.claimed_id(), Some(Uuid::from_u128(1)));
    }
}
