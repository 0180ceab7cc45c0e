//! The state of the fleet, taken once a second for everybody who looks.

use std::sync::Mutex;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::host::{AgentInfo, PendingAgentInfo};
use tokio::sync::watch;

use super::parts::Summary;
use crate::hosts::Hosts;

/// Pages show nothing newer than this, however many heartbeats come.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// Silence makes no noise: the hosts are looked at anew after so long though nothing was reported.
const QUIET: Duration = Duration::from_secs(3);

/// The fleet at one moment.
pub(crate) struct Snapshot {
    pub(crate) at: Timestamp,
    pub(crate) hosts: Vec<AgentInfo>,
    pub(crate) pending: Vec<PendingAgentInfo>,
    pub(crate) summary: Summary,
}

impl Snapshot {
    /// Puts one together.
    pub(crate) fn new(at: Timestamp, hosts: Vec<AgentInfo>, pending: Vec<PendingAgentInfo>) -> Self {
        let summary = Summary::of(&hosts);
        Snapshot {
            at,
            hosts,
            pending,
            summary,
        }
    }
}

/// Shares one snapshot among all who look. Nothing is kept while nobody does.
pub(crate) struct Board {
    changes: watch::Receiver<u64>,
    latest: Mutex<Option<Latest>>,
}

struct Latest {
    taken: Instant,
    change: u64,
    snapshot: Weak<Snapshot>,
}

impl Board {
    pub(crate) fn new(hosts: &Hosts) -> Self {
        Board {
            changes: hosts.changes(),
            latest: Mutex::new(None),
        }
    }

    /// The fleet now, or as it was less than a second ago when somebody has asked since.
    pub(crate) fn snapshot(&self, hosts: &Hosts) -> Arc<Snapshot> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let change = *self.changes.borrow();
        if let Some(known) = &*latest {
            let age = known.taken.elapsed();
            // A little less than the period, so that somebody who comes once a period gets a new one.
            let fresh = age < PERIOD.mul_f32(0.9) || (known.change == change && age < QUIET);
            if fresh && let Some(snapshot) = known.snapshot.upgrade() {
                return snapshot;
            }
        }
        let snapshot = Arc::new(Snapshot::new(Timestamp::now(), hosts.list(), hosts.pending()));
        *latest = Some(Latest {
            taken: Instant::now(),
            change,
            snapshot: Arc::downgrade(&snapshot),
        });
        snapshot
    }
}
