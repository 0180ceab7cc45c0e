//! Deliveries: kept in memory only, handed to whoever listens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::clock::{HostClock, SystemClock};
use super::mailbox::{Mailbox, Reading, Waiting};
use crate::{Delivery, Subscription};

/// How many deliveries wait for one listener; beyond that it loses the oldest.
const WAITING_MAX: usize = 4096;

/// How many bytes of payload wait for one listener; beyond that it loses the oldest.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Who listens.
#[derive(Default)]
pub(super) struct Posts {
    listeners: Mutex<Vec<Weak<Mailbox<Deliveries>>>>,
}

impl Posts {
    /// Hands a delivery to every listener.
    pub(super) fn post(&self, delivery: &Delivery) {
        let deadline_ms = SystemClock
            .boot_ms()
            .saturating_add(i64::try_from(delivery.lifetime.as_millis()).unwrap_or(i64::MAX));
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| {
            let Some(mailbox) = listener.upgrade() else {
                return false;
            };
            mailbox.fill(|waiting| waiting.push(delivery.clone(), deadline_ms));
            true
        });
    }

    /// Adds a listener.
    pub(super) fn listen(&self) -> Subscription<Delivery> {
        let mailbox = Arc::new(Mailbox::new(Deliveries::default()));
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&mailbox));
        Box::pin(Reading(mailbox))
    }
}

impl Drop for Posts {
    fn drop(&mut self) {
        let listeners = self.listeners.get_mut().unwrap_or_else(PoisonError::into_inner);
        for mailbox in listeners.iter().filter_map(Weak::upgrade) {
            mailbox.close();
        }
    }
}

/// Deliveries that wait, each with its deadline on the boot clock in milliseconds.
#[derive(Default)]
struct Deliveries {
    queue: VecDeque<(i64, Delivery)>,
    bytes: usize,
}

impl Deliveries {
    fn push(&mut self, delivery: Delivery, deadline_ms: i64) {
        self.bytes = self.bytes.saturating_add(delivery.payload.len());
        self.queue.push_back((deadline_ms, delivery));
        let mut lost = 0_u64;
        while self.queue.len() > WAITING_MAX || self.bytes > WAITING_BYTES_MAX {
            if self.pop().is_none() {
                break;
            }
            lost += 1;
        }
        if lost > 0 {
            tracing::warn!(
                lost,
                "a listener does not keep up; its oldest deliveries are lost"
            );
        }
    }

    fn pop(&mut self) -> Option<(i64, Delivery)> {
        let oldest = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(oldest.1.payload.len());
        Some(oldest)
    }
}

impl Waiting for Deliveries {
    type Item = Delivery;

    fn take(&mut self) -> Option<Delivery> {
        while let Some((deadline_ms, delivery)) = self.pop() {
            let left_ms = deadline_ms.saturating_sub(SystemClock.boot_ms());
            match u64::try_from(left_ms) {
                Ok(left_ms) if left_ms > 0 => {
                    return Some(Delivery {
                        lifetime: Duration::from_millis(left_ms),
                        ..delivery
                    });
                }
                _ => tracing::debug!(id = %delivery.id, "a delivery waited longer than its lifetime"),
            }
        }
        None
    }
}
