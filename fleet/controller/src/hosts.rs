//! Hosts: who belongs to the fleet, who is connected, and what they last reported.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bus::{Bucket, Bus, BusError, Log};
use jiff::Timestamp;
use link::EncodedFrame;
use link::frame::{Frame, StateChange};
use link::key::{Fingerprint, PublicKey};
use model::health::AgentCounts;
use model::host::{
    AgentInfo, Condition, HostFacts, HostReport, HostState, LoadAverage, Memory, OsInfo, PendingAgentInfo,
};
use model::job::TimelineEvent;
use model::ntp::SyncState;
use model::{Invalid, Target};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

mod info;
mod resolve;
pub use resolve::Resolution;

/// What is stored of a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostRecord {
    /// State in the fleet.
    pub state: HostState,
    /// The agent's key; a host that shows another one is turned away.
    pub public_key: PublicKey,
    /// When it asked first.
    pub requested_at: Timestamp,
    /// When it was accepted.
    pub registered_at: Option<Timestamp>,
    /// When it was last heard of, as far as that was stored.
    pub last_seen: Option<Timestamp>,
    /// Its facts as it last told them.
    pub facts: HostFacts,
}

/// A host with its record and, while it is connected, its connection.
struct Host {
    record: HostRecord,
    revision: u64,
    live: Option<Live>,
    /// What was reported last; kept when the connection is lost.
    report: Option<Box<HostReport>>,
    /// Since when each condition holds.
    conditions: BTreeMap<&'static str, Timestamp>,
}

/// A connected host.
struct Live {
    /// Distinguishes this connection from an earlier one of the same host.
    connection: u64,
    outgoing: mpsc::Sender<EncodedFrame>,
    heard: Instant,
    started_at: Timestamp,
}

/// How many frames may wait for a host that does not read.
const OUTGOING_MAX: usize = 64;

/// Every host that asked to join.
pub struct Hosts {
    bus: Arc<dyn Bus>,
    hosts: RwLock<HashMap<String, Host>>,
    /// A host that has not been heard of for so long is not ready.
    silent_after: Duration,
    changes: watch::Sender<u64>,
    connections: std::sync::atomic::AtomicU64,
}

/// Why something cannot be done with a host. The texts are for operators.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Nobody has this name.
    #[error("agent \"{0}\" not found")]
    Unknown(String),
    /// Several hosts have it.
    #[error("host name \"{name}\" belongs to {} hosts; name one by machine id: {}", machine_ids.len(), machine_ids.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// The machine ids of those who have it.
        machine_ids: Vec<String>,
    },
    /// It is in another state than the one this can be done in.
    #[error("host \"{name}\" is {state:?}; {remedy}")]
    WrongState {
        /// The host's name.
        name: String,
        /// Its state.
        state: HostState,
        /// What to do.
        remedy: &'static str,
    },
    /// The fingerprint is another host's, or an impostor's.
    #[error(
        "no pending host \"{name}\" has the fingerprint {wanted}; compare with `timeball agent fingerprint` on the host"
    )]
    Fingerprint {
        /// The host's name.
        name: String,
        /// What was asked for.
        wanted: Fingerprint,
    },
    /// The store failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// What becomes of a host that introduces itself.
pub(crate) enum Admission {
    /// It is known, or now pending, in this state.
    In(HostState),
    /// It is turned away for this reason.
    Out(String),
}

impl Hosts {
    /// Reads the stored hosts.
    ///
    /// # Errors
    /// [`BusError`] when the store cannot be read or holds something that is no host.
    pub async fn open(bus: Arc<dyn Bus>, heartbeat: Duration) -> Result<Self, BusError> {
        let mut hosts = HashMap::new();
        for entry in bus.entries(Bucket::HOSTS, "").await? {
            let record: HostRecord = serde_json::from_slice(&entry.value)
                .map_err(|error| BusError::Damaged(format!("host {}: {error}", entry.key)))?;
            hosts.insert(
                entry.key,
                Host {
                    record,
                    revision: entry.revision,
                    live: None,
                    report: None,
                    conditions: BTreeMap::new(),
                },
            );
        }
        Ok(Hosts {
            bus,
            hosts: RwLock::new(hosts),
            silent_after: heartbeat * 3,
            changes: watch::Sender::new(0),
            connections: std::sync::atomic::AtomicU64::new(0),
        })
    }

    /// Accepted hosts, ordered by name.
    pub fn list(&self) -> Vec<AgentInfo> {
        self.read(|hosts| {
            let mut list: Vec<AgentInfo> = hosts
                .values()
                .filter(|host| host.is_accepted())
                .map(|host| host.info(self.silent_after))
                .collect();
            list.sort_by(|a, b| (&a.hostname, &a.machine_id).cmp(&(&b.hostname, &b.machine_id)));
            list
        })
    }

    /// One host in any state, by host name or machine id, without its timeline.
    ///
    /// # Errors
    /// [`HostError::Unknown`] or [`HostError::Ambiguous`].
    pub fn find(&self, name: &str) -> Result<AgentInfo, HostError> {
        let machine_id = self.machine_id(name, |_| true)?;
        self.read(|hosts| hosts.get(&machine_id).map(|host| host.info(self.silent_after)))
            .ok_or_else(|| HostError::Unknown(name.to_owned()))
    }

    /// Hosts that wait for an administrator, oldest first.
    pub fn pending(&self) -> Vec<PendingAgentInfo> {
        self.read(|hosts| {
            let mut waiting: Vec<_> = hosts
                .values()
                .filter(|host| host.record.state == HostState::Pending)
                .collect();
            waiting.sort_by_key(|host| (host.record.requested_at, host.record.facts.machine_id.clone()));
            waiting
                .into_iter()
                .map(|host| PendingAgentInfo {
                    machine_id: host.record.facts.machine_id.clone(),
                    hostname: host.record.facts.hostname.clone(),
                    fingerprint: host.record.public_key.fingerprint().to_string(),
                    requested_at: host.record.requested_at.to_string(),
                })
                .collect()
        })
    }

    /// How many hosts are accepted, and how many of them are ready.
    pub fn counts(&self) -> AgentCounts {
        self.read(|hosts| {
            let accepted = hosts.values().filter(|host| host.is_accepted());
            let mut counts = AgentCounts::default();
            for host in accepted {
                counts.total += 1;
                counts.ready +=
                    u64::from(host.record.state == HostState::Ready && host.is_heard(self.silent_after));
            }
            counts
        })
    }

    /// Bumps whenever something that a page shows has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Longest time since a connected host was heard of; zero without any.
    pub fn oldest_heartbeat(&self) -> Duration {
        self.read(|hosts| {
            hosts
                .values()
                .filter_map(|host| host.live.as_ref())
                .map(|live| live.heard.elapsed())
                .max()
                .unwrap_or_default()
        })
    }

    /// Accepts a pending or rejected host.
    ///
    /// # Errors
    /// [`HostError`] when there is none of this name, or its key has another fingerprint.
    pub async fn accept(
        &self,
        name: &str,
        fingerprint: Option<Fingerprint>,
        by: &str,
    ) -> Result<String, HostError> {
        let machine_id = self.machine_id(name, |host| {
            matches!(host.record.state, HostState::Pending | HostState::Rejected)
                && fingerprint.is_none_or(|wanted| host.record.public_key.fingerprint() == wanted)
        });
        let machine_id = match (machine_id, fingerprint) {
            (Err(HostError::Unknown(name)), Some(wanted)) => {
                return Err(HostError::Fingerprint { name, wanted });
            }
            (machine_id, _) => machine_id?,
        };
        self.transition(&machine_id, "accept", by, |record| {
            record.state = HostState::Ready;
            record.registered_at = Some(Timestamp::now());
        })
        .await
    }

    /// Rejects a pending host.
    ///
    /// # Errors
    /// [`HostError`] when no pending host has this name.
    pub async fn reject(&self, name: &str, by: &str) -> Result<String, HostError> {
        let machine_id = self.machine_id(name, |host| host.record.state == HostState::Pending)?;
        self.transition(&machine_id, "reject", by, |record| {
            record.state = HostState::Rejected
        })
        .await
    }

    /// Takes a ready host out of service: it gets no new jobs.
    ///
    /// # Errors
    /// [`HostError`] when there is none of this name, or it is not ready.
    pub async fn drain(&self, name: &str, by: &str) -> Result<String, HostError> {
        let machine_id = self.machine_id(name, Host::is_accepted)?;
        self.expect_state(&machine_id, HostState::Ready, "only a Ready host can be drained")?;
        // No job is ever under way that was not begun already: a host works one write at a time and its
        // answer is taken in whatever state, so that draining and cordoned are one step here.
        self.transition(&machine_id, "drain", by, |record| {
            record.state = HostState::Cordoned
        })
        .await
    }

    /// Puts a drained host back into service.
    ///
    /// # Errors
    /// [`HostError`] when there is none of this name, or it is not drained.
    pub async fn undrain(&self, name: &str, by: &str) -> Result<String, HostError> {
        let machine_id = self.machine_id(name, Host::is_accepted)?;
        self.expect_state(
            &machine_id,
            HostState::Cordoned,
            "only a drained host can be undrained",
        )?;
        self.transition(&machine_id, "undrain", by, |record| {
            record.state = HostState::Ready
        })
        .await
    }

    /// Forgets a host; if it connects again it has to be accepted anew.
    ///
    /// # Errors
    /// [`HostError`] when there is none of this name.
    pub async fn remove(&self, name: &str, by: &str) -> Result<String, HostError> {
        let machine_id = self.machine_id(name, |_| true)?;
        self.bus.delete(Bucket::HOSTS, &machine_id).await?;
        self.bus.purge(Bucket::FILE_STATE, &machine_id).await?;
        // Dropping the host drops its outgoing channel, which ends the connection.
        let removed = self.write(|hosts| hosts.remove(&machine_id));
        self.changed();
        let hostname = removed.map(|host| host.record.facts.hostname).unwrap_or_default();
        self.event(&machine_id, "remove", &hostname, &format!("removed by {by}"))
            .await?;
        Ok(format!("host {hostname} ({machine_id}) removed"))
    }

    /// Appends an event to the timeline of a host.
    pub(crate) async fn event(
        &self,
        machine_id: &str,
        event: &str,
        hostname: &str,
        message: &str,
    ) -> Result<(), BusError> {
        let event = StoredEvent {
            machine_id: machine_id.to_owned(),
            event: TimelineEvent {
                timestamp: Timestamp::now().to_string(),
                event: event.to_owned(),
                hostname: hostname.to_owned(),
                message: message.to_owned(),
                error: String::new(),
            },
        };
        let bytes = serde_json::to_vec(&event).map_err(|error| BusError::Invalid(error.to_string()))?;
        self.bus
            .append(Log::EVENTS, Uuid::now_v7(), bytes.into())
            .await
            .map(drop)
    }

    /// The newest events of a host, oldest first.
    ///
    /// # Errors
    /// [`BusError`] when the store cannot be read.
    pub async fn timeline(&self, machine_id: &str) -> Result<Vec<TimelineEvent>, BusError> {
        const LOOKED_THROUGH_MAX: u64 = 10_000;
        const SHOWN_MAX: usize = 100;
        let page = self.bus.page(Log::EVENTS, 0, LOOKED_THROUGH_MAX).await?;
        let mut events: Vec<TimelineEvent> = page
            .entries
            .iter()
            .filter_map(|entry| serde_json::from_slice::<StoredEvent>(&entry.value).ok())
            .filter(|stored| stored.machine_id == machine_id)
            .map(|stored| stored.event)
            .take(SHOWN_MAX)
            .collect();
        events.reverse();
        Ok(events)
    }

    // --- what the link does with hosts

    /// Decides on a host that has proved its key. `enrolled` says that it brought a valid token, or that
    /// everybody is accepted.
    pub(crate) async fn admit(
        &self,
        public_key: PublicKey,
        facts: HostFacts,
        enrolled: bool,
    ) -> Result<Admission, BusError> {
        let machine_id = facts.machine_id.clone();
        let now = Timestamp::now();
        let known = self.read(|hosts| hosts.get(&machine_id).map(|host| host.record.clone()));
        let (record, event) = match known {
            Some(known) if known.public_key != public_key => {
                return Ok(Admission::Out(format!(
                    "machine id {machine_id} belongs to a host with another key ({}); if this host was \
                     installed anew, remove the old one with `timeball client agent remove --hostname {machine_id}`",
                    known.public_key.fingerprint()
                )));
            }
            Some(known) => {
                let accepted = enrolled && known.state == HostState::Pending;
                if known.facts == facts && !accepted {
                    return Ok(Admission::In(known.state));
                }
                let state = if accepted { HostState::Ready } else { known.state };
                let registered_at = if accepted { Some(now) } else { known.registered_at };
                (
                    HostRecord {
                        state,
                        registered_at,
                        facts,
                        last_seen: Some(now),
                        ..known
                    },
                    accepted.then_some("enrol"),
                )
            }
            None => {
                if self.pending().len() >= PENDING_MAX && !enrolled {
                    return Ok(Admission::Out(format!(
                        "{PENDING_MAX} hosts wait to be accepted already; accept or reject some, or use an \
                         enrolment token"
                    )));
                }
                let state = if enrolled {
                    HostState::Ready
                } else {
                    HostState::Pending
                };
                let record = HostRecord {
                    state,
                    public_key,
                    requested_at: now,
                    registered_at: enrolled.then_some(now),
                    last_seen: Some(now),
                    facts,
                };
                (record, Some(if enrolled { "enrol" } else { "request" }))
            }
        };
        let (state, hostname) = (record.state, record.facts.hostname.clone());
        self.store(&machine_id, record).await?;
        if let Some(event) = event {
            self.event(&machine_id, event, &hostname, "").await?;
        }
        Ok(Admission::In(state))
    }

    /// Takes note of a new connection; an older one of the same host is ended. Gives what is to be sent to it.
    pub(crate) fn connected(&self, machine_id: &str) -> Option<(u64, mpsc::Receiver<EncodedFrame>)> {
        let (outgoing, receiver) = mpsc::channel(OUTGOING_MAX);
        let connection = self
            .connections
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let now = Timestamp::now();
        let known = self.write(|hosts| {
            let host = hosts.get_mut(machine_id)?;
            let uptime = Duration::from_secs(host.record.facts.agent_uptime_s);
            let started_at = now.checked_sub(uptime).unwrap_or(now);
            host.live = Some(Live {
                connection,
                outgoing,
                heard: Instant::now(),
                started_at,
            });
            Some(())
        });
        self.changed();
        known.map(|()| (connection, receiver))
    }

    /// Takes note that a connection is gone.
    pub(crate) async fn disconnected(&self, machine_id: &str, connection: u64) {
        let record = self.write(|hosts| {
            let host = hosts.get_mut(machine_id)?;
            if host
                .live
                .as_ref()
                .is_none_or(|live| live.connection != connection)
            {
                return None;
            }
            host.live = None;
            host.record.last_seen = Some(Timestamp::now());
            Some(host.record.clone())
        });
        self.changed();
        if let Some(record) = record
            && let Err(error) = self.store(machine_id, record).await
        {
            tracing::warn!(machine_id, %error, "cannot store when the host was last seen");
        }
    }

    /// Takes a heartbeat.
    pub(crate) fn heard(&self, machine_id: &str, report: Option<Box<HostReport>>) {
        self.write(|hosts| {
            if let Some(host) = hosts.get_mut(machine_id) {
                if let Some(live) = &mut host.live {
                    live.heard = Instant::now();
                }
                if let Some(report) = report {
                    host.report = Some(report);
                    host.note_conditions();
                }
            }
        });
        self.changed();
    }

    /// Takes new facts. The machine id cannot change.
    pub(crate) async fn facts(&self, machine_id: &str, facts: HostFacts) -> Result<(), BusError> {
        let record = self.read(|hosts| hosts.get(machine_id).map(|host| host.record.clone()));
        match record {
            Some(record) if facts.machine_id == machine_id => {
                self.store(machine_id, HostRecord { facts, ..record }).await
            }
            _ => Ok(()),
        }
    }

    /// Hands a frame to a connected host without waiting; says whether it was taken.
    pub(crate) fn send(&self, machine_id: &str, frame: EncodedFrame) -> bool {
        self.read(|hosts| {
            hosts
                .get(machine_id)
                .and_then(|host| host.live.as_ref())
                .is_some_and(|live| live.outgoing.try_send(frame).is_ok())
        })
    }

    /// Name of a host as it is known now.
    pub(crate) fn hostname(&self, machine_id: &str) -> Option<String> {
        self.read(|hosts| {
            hosts
                .get(machine_id)
                .map(|host| host.record.facts.hostname.clone())
        })
    }

    // --- private

    fn expect_state(
        &self,
        machine_id: &str,
        wanted: HostState,
        remedy: &'static str,
    ) -> Result<(), HostError> {
        self.read(|hosts| match hosts.get(machine_id) {
            Some(host) if host.record.state == wanted => Ok(()),
            Some(host) => Err(HostError::WrongState {
                name: host.record.facts.hostname.clone(),
                state: host.record.state,
                remedy,
            }),
            None => Err(HostError::Unknown(machine_id.to_owned())),
        })
    }

    /// Finds the one host of this host name or machine id among those that `may` be meant.
    fn machine_id(&self, name: &str, may: impl Fn(&Host) -> bool) -> Result<String, HostError> {
        self.read(|hosts| {
            if let Some(host) = hosts.get(name)
                && may(host)
            {
                return Ok(name.to_owned());
            }
            let mut found: Vec<String> = hosts
                .values()
                .filter(|host| host.record.facts.hostname == name && may(host))
                .map(|host| host.record.facts.machine_id.clone())
                .collect();
            found.sort();
            match found.len() {
                0 => Err(HostError::Unknown(name.to_owned())),
                1 => Ok(found.remove(0)),
                _ => Err(HostError::Ambiguous {
                    name: name.to_owned(),
                    machine_ids: found,
                }),
            }
        })
    }

    async fn transition(
        &self,
        machine_id: &str,
        event: &str,
        by: &str,
        change: impl FnOnce(&mut HostRecord),
    ) -> Result<String, HostError> {
        let record = self.read(|hosts| hosts.get(machine_id).map(|host| host.record.clone()));
        let mut record = record.ok_or_else(|| HostError::Unknown(machine_id.to_owned()))?;
        change(&mut record);
        let (state, hostname) = (record.state, record.facts.hostname.clone());
        self.store(machine_id, record).await?;
        if let Ok(frame) = EncodedFrame::new(&Frame::State(StateChange { state })) {
            self.send(machine_id, frame);
        }
        self.event(machine_id, event, &hostname, &format!("by {by}"))
            .await?;
        Ok(format!("host {hostname} is {state:?} now"))
    }

    async fn store(&self, machine_id: &str, record: HostRecord) -> Result<(), BusError> {
        let bytes = serde_json::to_vec(&record).map_err(|error| BusError::Invalid(error.to_string()))?;
        let revision = self.bus.put(Bucket::HOSTS, machine_id, bytes.into()).await?;
        self.write(|hosts| match hosts.get_mut(machine_id) {
            // Of two writes at once the later one is what the store holds.
            Some(host) if host.revision > revision => {}
            Some(host) => {
                host.record = record;
                host.revision = revision;
            }
            None => {
                hosts.insert(
                    machine_id.to_owned(),
                    Host {
                        record,
                        revision,
                        live: None,
                        report: None,
                        conditions: BTreeMap::new(),
                    },
                );
            }
        });
        self.changed();
        Ok(())
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn read<T>(&self, look: impl FnOnce(&HashMap<String, Host>) -> T) -> T {
        look(&self.hosts.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut HashMap<String, Host>) -> T) -> T {
        change(&mut self.hosts.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How many hosts can wait to be accepted: anybody can ask.
const PENDING_MAX: usize = 10_000;

#[derive(Serialize, Deserialize)]
struct StoredEvent {
    machine_id: String,
    #[serde(flatten)]
    event: TimelineEvent,
}
