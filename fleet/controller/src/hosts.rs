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

mod admission;
mod info;
mod resolve;
pub(crate) use admission::{Admission, Standing};
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
    /// From where it asked first; not known of hosts that asked an older controller.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Whether [`Bucket::REJECTED`] says for how long it stays rejected; not of hosts that an older controller
    /// rejected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejection_dated: bool,
}

/// A host with its record and, while it is connected, its connection. Copying one copies no text, so that lists
/// are written after the lock was given back.
#[derive(Clone)]
struct Host {
    record: Arc<HostRecord>,
    revision: u64,
    live: Option<Live>,
    /// What was reported last; kept when the connection is lost, and when there is a new one. To connect is no
    /// report.
    report: Option<Reported>,
    /// Since when each condition holds.
    conditions: BTreeMap<&'static str, Timestamp>,
}

/// A report, and when it came.
#[derive(Clone)]
struct Reported {
    report: Arc<HostReport>,
    at: Instant,
}

/// How closely a name has to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    Exact,
    /// As for DNS (RFC 4343).
    AnyCase,
}

/// A connected host.
#[derive(Clone)]
struct Live {
    /// Distinguishes this connection from an earlier one of the same host.
    connection: u64,
    outgoing: mpsc::Sender<EncodedFrame>,
    heard: Instant,
    /// When it came up.
    since: Instant,
    started_at: Timestamp,
}

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
    /// An accepted host has the name of one that waits, and only the name was given.
    #[error(
        "host name \"{name}\" belongs to {} already, which is accepted; name the one that waits by its machine id, \
         {waits}, or give its fingerprint, if it is meant; if it takes the place of the other, remove that one first: \
         `timeball client agent remove --hostname {}`",
        machine_ids.join(", "), machine_ids.join(" ")
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The machine id of the one that waits.
        waits: String,
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

impl Hosts {
    /// Reads the stored hosts.
    ///
    /// # Errors
    /// [`BusError`] when the store cannot be read or holds something that is no host.
    pub async fn open(bus: Arc<dyn Bus>, heartbeat: Duration) -> Result<Self, BusError> {
        let mut hosts = HashMap::new();
        for entry in bus.entries(Bucket::HOSTS, "").await? {
            let record = Arc::new(decode(&entry)?);
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
        let mut hosts: Vec<Host> = self.read(|hosts| {
            hosts
                .values()
                .filter(|host| host.is_accepted())
                .cloned()
                .collect()
        });
        hosts.sort_by(|a, b| {
            let (a, b) = (&a.record.facts, &b.record.facts);
            (&a.hostname, &a.machine_id).cmp(&(&b.hostname, &b.machine_id))
        });
        hosts.iter().map(|host| host.info(self.silent_after)).collect()
    }

    /// One host in any state, by host name or machine id, without its timeline.
    ///
    /// # Errors
    /// [`HostError::Unknown`] or [`HostError::Ambiguous`].
    pub fn find(&self, name: &str) -> Result<AgentInfo, HostError> {
        let machine_id = self.machine_id_in_any_state(name)?;
        self.read(|hosts| hosts.get(&machine_id).cloned())
            .map(|host| host.info(self.silent_after))
            .ok_or_else(|| HostError::Unknown(name.to_owned()))
    }

    /// Hosts that wait for an administrator, oldest first.
    pub fn pending(&self) -> Vec<PendingAgentInfo> {
        let mut waiting: Vec<Arc<HostRecord>> = self.read(|hosts| {
            hosts
                .values()
                .filter(|host| host.record.state == HostState::Pending)
                .map(|host| Arc::clone(&host.record))
                .collect()
        });
        waiting.sort_by(|a, b| {
            (a.requested_at, &a.facts.machine_id).cmp(&(b.requested_at, &b.facts.machine_id))
        });
        waiting
            .iter()
            .map(|record| PendingAgentInfo {
                machine_id: record.facts.machine_id.clone(),
                hostname: record.facts.hostname.clone(),
                fingerprint: record.public_key.fingerprint().to_string(),
                requested_at: record.requested_at.to_string(),
            })
            .collect()
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

    /// Accepts a pending or rejected host. Where an accepted host has its name, the name alone does not do: anybody
    /// can ask to join under any name.
    ///
    /// # Errors
    /// [`HostError`] when there is none of this name, its key has another fingerprint, it is accepted already, or
    /// another host has its name.
    pub async fn accept(
        &self,
        name: &str,
        fingerprint: Option<Fingerprint>,
        by: &str,
    ) -> Result<String, HostError> {
        let waits = |host: &Host| !host.is_accepted();
        let fits = |host: &Host| {
            waits(host) && fingerprint.is_none_or(|wanted| host.record.public_key.fingerprint() == wanted)
        };
        let machine_id = match (self.machine_id(name, fits), fingerprint) {
            (Err(HostError::Unknown(name)), Some(wanted)) if self.machine_id(&name, waits).is_ok() => {
                return Err(HostError::Fingerprint { name, wanted });
            }
            (Err(HostError::Unknown(_)), _) => self.machine_id(name, |_| true)?,
            (machine_id, _) => machine_id?,
        };
        let twins = self.twins(&machine_id);
        if !twins.is_empty() && name != machine_id && fingerprint.is_none() {
            return Err(HostError::NameTaken {
                name: name.to_owned(),
                waits: machine_id,
                machine_ids: twins,
            });
        }
        let accepted = self.transition(&machine_id, "accept", by, |record| {
            expect(
                record,
                &[HostState::Pending, HostState::Rejected],
                "it is accepted already",
            )?;
            if fingerprint.is_some_and(|wanted| record.public_key.fingerprint() != wanted) {
                return Err(HostError::Unknown(record.facts.hostname.clone()));
            }
            record.state = HostState::Ready;
            record.registered_at = Some(Timestamp::now());
            Ok(())
        });
        let message = accepted.await?;
        if twins.is_empty() {
            return Ok(message);
        }
        Ok(format!(
            "{message}; its name is also that of {}: name each by machine id, this one is {machine_id}, until one has another \
             name (`agent.hostname` in its settings) or is removed",
            twins.join(", ")
        ))
    }

    /// The machine ids of the accepted hosts that have the name of a host that is not.
    fn twins(&self, machine_id: &str) -> Vec<String> {
        self.read(|hosts| {
            let Some(host) = hosts.get(machine_id).filter(|host| !host.is_accepted()) else {
                return Vec::new();
            };
            let name = &host.record.facts.hostname;
            let mut twins: Vec<String> = hosts
                .values()
                .filter(|other| other.is_accepted() && other.has_name(name, Spelling::AnyCase))
                .map(|other| other.record.facts.machine_id.clone())
                .collect();
            twins.sort();
            twins
        })
    }

    /// Rejects a pending host. It is turned away for as long as [`Bucket::REJECTED`] keeps it, and forgotten
    /// then.
    ///
    /// # Errors
    /// [`HostError`] when no pending host has this name.
    pub async fn reject(&self, name: &str, by: &str) -> Result<String, HostError> {
        let machine_id = self.machine_id(name, |host| host.record.state == HostState::Pending)?;
        self.bus
            .put(Bucket::REJECTED, &machine_id, bytes::Bytes::new())
            .await?;
        self.transition(&machine_id, "reject", by, |record| {
            expect(
                record,
                &[HostState::Pending],
                "only a Pending host can be rejected",
            )?;
            record.state = HostState::Rejected;
            record.rejection_dated = true;
            Ok(())
        })
        .await
    }

    /// Forgets hosts that were rejected so long ago that the store does not remember it; when such a host asks
    /// again, it is pending. The time is the store's own, which no wrong clock changes.
    ///
    /// # Errors
    /// [`BusError`] when the store fails; the next call goes on.
    pub(crate) async fn forget_rejected(&self) -> Result<(), BusError> {
        let rejected: Vec<(String, bool)> = self.read(|hosts| {
            hosts
                .iter()
                .filter(|(_, host)| host.record.state == HostState::Rejected)
                .map(|(machine_id, host)| (machine_id.clone(), host.record.rejection_dated))
                .collect()
        });
        for (machine_id, dated) in rejected {
            if self.bus.get(Bucket::REJECTED, &machine_id).await?.is_some() {
                continue;
            }
            if dated {
                self.forget(&machine_id, HostState::Rejected).await?;
                continue;
            }
            self.bus
                .put(Bucket::REJECTED, &machine_id, bytes::Bytes::new())
                .await?;
            let noted = self.change(&machine_id, |record| {
                expect(record, &[HostState::Rejected], "it was accepted")?;
                record.rejection_dated = true;
                Ok(())
            });
            if let Err(HostError::Bus(error)) = noted.await {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes a ready host out of service: it gets no new jobs. Those that it was given it ends, and its answers
    /// are taken.
    ///
    /// # Errors
    /// [`HostError`] when there is none of this name, or it is not ready.
    pub async fn drain(&self, name: &str, by: &str) -> Result<String, HostError> {
        let machine_id = self.machine_id(name, Host::is_accepted)?;
        let message = self
            .transition(&machine_id, "drain", by, |record| {
                expect(record, &[HostState::Ready], "only a Ready host can be drained")?;
                record.state = HostState::Cordoned;
                Ok(())
            })
            .await?;
        Ok(format!(
            "{message}; it gets no new jobs, and ends those that it was given"
        ))
    }

    /// Puts a drained host back into service.
    ///
    /// # Errors
    /// [`HostError`] when there is none of this name, or it is not drained.
    pub async fn undrain(&self, name: &str, by: &str) -> Result<String, HostError> {
        let machine_id = self.machine_id(name, Host::is_accepted)?;
        self.transition(&machine_id, "undrain", by, |record| {
            expect(
                record,
                &[HostState::Cordoned],
                "only a drained host can be undrained",
            )?;
            record.state = HostState::Ready;
            Ok(())
        })
        .await
    }

    /// Forgets a host; if it connects again it has to be accepted anew.
    ///
    /// # Errors
    /// [`HostError`] when there is none of this name.
    pub async fn remove(&self, name: &str, by: &str) -> Result<String, HostError> {
        let machine_id = self.machine_id_in_any_state(name)?;
        self.bus.delete(Bucket::HOSTS, &machine_id).await?;
        // Dropping the host drops its outgoing channel, which ends the connection. Whatever that still wants
        // to store is an update of a revision that is gone.
        let removed = self.write(|hosts| hosts.remove(&machine_id));
        self.changed();
        self.bus.delete(Bucket::FILE_STATE, &machine_id).await?;
        let hostname = removed
            .map(|host| host.record.facts.hostname.clone())
            .unwrap_or_default();
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
        let event = timeline_event(Timestamp::now(), event, hostname, message);
        self.append(machine_id, event).await
    }

    /// A host that waits to be accepted. That it asked is in no log until somebody has decided about it: anybody can ask,
    /// and would push the events of all others out.
    fn waits(&self, machine_id: &str) -> Option<Arc<HostRecord>> {
        self.read(|hosts| {
            let record = &hosts.get(machine_id)?.record;
            (record.state == HostState::Pending).then(|| Arc::clone(record))
        })
    }

    /// Appends when a host asked to join to its timeline, if it was waiting until now.
    async fn asked(&self, waited: Option<Arc<HostRecord>>) -> Result<(), BusError> {
        match waited {
            Some(record) => self.append(&record.facts.machine_id, request(&record)).await,
            None => Ok(()),
        }
    }

    async fn append(&self, machine_id: &str, event: TimelineEvent) -> Result<(), BusError> {
        let event = StoredEvent {
            machine_id: machine_id.to_owned(),
            event,
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
        events.extend(self.waits(machine_id).map(|record| request(&record)));
        Ok(events)
    }

    // --- what the link does with hosts

    /// Takes a heartbeat. What a host reports that is not accepted is not kept.
    pub(crate) fn heard(&self, machine_id: &str, report: Option<Box<HostReport>>) {
        self.write(|hosts| {
            if let Some(host) = hosts.get_mut(machine_id) {
                if let Some(live) = &mut host.live {
                    live.heard = Instant::now();
                }
                if let Some(report) = report
                    && host.is_accepted()
                {
                    host.report = Some(Reported {
                        report: Arc::from(report),
                        at: Instant::now(),
                    });
                    host.note_conditions();
                }
            }
        });
        self.changed();
    }

    /// Takes new facts of an accepted host; nothing is stored when they are the same. The machine id cannot
    /// change.
    pub(crate) async fn facts(&self, machine_id: &str, facts: HostFacts) -> Result<(), BusError> {
        let news = self.read(|hosts| {
            hosts
                .get(machine_id)
                .is_some_and(|host| host.is_accepted() && !host.record.facts.is_same_host(&facts))
        });
        if !news || facts.machine_id != machine_id {
            return Ok(());
        }
        let changed = self
            .change(machine_id, |record| {
                record.facts = facts.clone();
                Ok(())
            })
            .await;
        match changed {
            Ok(_) | Err(HostError::Unknown(_)) => Ok(()),
            Err(HostError::Bus(error)) => Err(error),
            Err(error) => Err(BusError::Invalid(error.to_string())),
        }
    }

    /// Says whether the agent with this key is connected now, and its host accepted.
    pub fn is_connected(&self, key: &Fingerprint) -> bool {
        self.read(|hosts| {
            hosts.values().any(|host| {
                host.live.is_some() && host.is_accepted() && host.record.public_key.fingerprint() == *key
            })
        })
    }

    /// Says whether a host is accepted now.
    pub(crate) fn is_accepted(&self, machine_id: &str) -> bool {
        self.read(|hosts| hosts.get(machine_id).is_some_and(Host::is_accepted))
    }

    /// Hands a job to a connected host that takes jobs, without waiting; says why it was not taken.
    pub(crate) fn send_job(&self, machine_id: &str, frame: EncodedFrame) -> Result<(), &'static str> {
        self.read(|hosts| {
            let host = hosts
                .get(machine_id)
                .ok_or("the host was removed before the job could be sent")?;
            if host.record.state != HostState::Ready {
                return Err("the host was taken out of service before the job could be sent");
            }
            let lost = "the connection to the agent was lost before the job could be sent";
            let live = host.live.as_ref().ok_or(lost)?;
            live.outgoing.try_send(frame).map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => {
                    "too many jobs wait for this host, which does not read them"
                }
                mpsc::error::TrySendError::Closed(_) => lost,
            })
        })
    }

    // --- private

    /// Finds the one host of this host name or machine id among those that `may` be meant. A name that nobody has as it is
    /// spelled is looked for as DNS does, which knows no case.
    fn machine_id(&self, name: &str, may: impl Fn(&Host) -> bool) -> Result<String, HostError> {
        self.spelled(name, Spelling::Exact, &may)
            .or_else(|error| match error {
                HostError::Unknown(_) => self.spelled(name, Spelling::AnyCase, &may),
                other => Err(other),
            })
    }

    /// As [`Hosts::machine_id`], of all hosts. A stranger that borrows the name of an accepted host does not make it
    /// ambiguous, and one whose name is spelled otherwise is not meant by the accepted host's.
    fn machine_id_in_any_state(&self, name: &str) -> Result<String, HostError> {
        let accepted = |spelling| self.spelled(name, spelling, Host::is_accepted);
        let any = |spelling| self.spelled(name, spelling, |_| true);
        accepted(Spelling::Exact)
            .or_else(|_| any(Spelling::Exact))
            .or_else(|error| match error {
                HostError::Unknown(_) => accepted(Spelling::AnyCase).or_else(|_| any(Spelling::AnyCase)),
                other => Err(other),
            })
    }

    fn spelled(
        &self,
        name: &str,
        spelling: Spelling,
        may: impl Fn(&Host) -> bool,
    ) -> Result<String, HostError> {
        self.read(|hosts| {
            if let Some(host) = hosts.get(name)
                && may(host)
            {
                return Ok(name.to_owned());
            }
            let mut found: Vec<String> = hosts
                .values()
                .filter(|host| host.has_name(name, spelling) && may(host))
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

    /// Forgets a host if it is in this state, without a word in its timeline; says whether it was.
    async fn forget(&self, machine_id: &str, state: HostState) -> Result<bool, BusError> {
        let was_there = self.write(|hosts| {
            let is_meant = hosts
                .get(machine_id)
                .is_some_and(|host| host.record.state == state);
            is_meant && hosts.remove(machine_id).is_some()
        });
        if was_there {
            self.changed();
            self.bus.delete(Bucket::HOSTS, machine_id).await?;
        }
        Ok(was_there)
    }

    async fn transition(
        &self,
        machine_id: &str,
        event: &str,
        by: &str,
        change: impl Fn(&mut HostRecord) -> Result<(), HostError>,
    ) -> Result<String, HostError> {
        let waited = self.waits(machine_id);
        let record = self.change(machine_id, change).await?;
        let (state, hostname) = (record.state, record.facts.hostname);
        if let Ok(frame) = EncodedFrame::new(&Frame::State(StateChange { state })) {
            self.read(|hosts| {
                if let Some(live) = hosts.get(machine_id).and_then(|host| host.live.as_ref()) {
                    // A host that does not read hears of it in its next welcome.
                    let _ = live.outgoing.try_send(frame);
                }
            });
        }
        self.asked(waited).await?;
        self.event(machine_id, event, &hostname, &format!("by {by}"))
            .await?;
        Ok(format!("host {hostname} is {state:?} now"))
    }

    /// The one way to change a stored host: `change` is made to the newest record, again if somebody else was
    /// quicker, so that no change is lost and a host that was removed stays so.
    async fn change(
        &self,
        machine_id: &str,
        change: impl Fn(&mut HostRecord) -> Result<(), HostError>,
    ) -> Result<HostRecord, HostError> {
        loop {
            let known = self.read(|hosts| {
                hosts
                    .get(machine_id)
                    .map(|host| (HostRecord::clone(&host.record), host.revision))
            });
            let (mut record, revision) = known.ok_or_else(|| HostError::Unknown(machine_id.to_owned()))?;
            change(&mut record)?;
            match self
                .bus
                .update(Bucket::HOSTS, machine_id, encode(&record)?, revision)
                .await
            {
                Ok(revision) => {
                    self.replace(machine_id, &record, revision);
                    return Ok(record);
                }
                Err(BusError::Conflict { .. }) => match self.bus.get(Bucket::HOSTS, machine_id).await? {
                    Some(entry) => self.replace(machine_id, &decode(&entry)?, entry.revision),
                    None => return Err(HostError::Unknown(machine_id.to_owned())),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes a stored record over, if the host is there and what is known of it is older.
    fn replace(&self, machine_id: &str, record: &HostRecord, revision: u64) {
        self.write(|hosts| {
            if let Some(host) = hosts.get_mut(machine_id)
                && host.revision < revision
            {
                host.record = Arc::new(record.clone());
                host.revision = revision;
            }
        });
        self.changed();
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

/// Whether a text has the form of a machine id (machine-id(5)). No host's name may have it, and no id another form: where
/// a host is named either will do, and nobody's id may be taken for the name of another.
pub(crate) fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn expect(record: &HostRecord, wanted: &[HostState], remedy: &'static str) -> Result<(), HostError> {
    if wanted.contains(&record.state) {
        return Ok(());
    }
    Err(HostError::WrongState {
        name: record.facts.hostname.clone(),
        state: record.state,
        remedy,
    })
}

fn encode(record: &HostRecord) -> Result<bytes::Bytes, BusError> {
    serde_json::to_vec(record)
        .map(Into::into)
        .map_err(|error| BusError::Invalid(error.to_string()))
}

fn decode(entry: &bus::Entry) -> Result<HostRecord, BusError> {
    serde_json::from_slice(&entry.value)
        .map_err(|error| BusError::Damaged(format!("host {}: {error}", entry.key)))
}

/// That a host asked to join.
fn request(record: &HostRecord) -> TimelineEvent {
    timeline_event(record.requested_at, "request", &record.facts.hostname, "")
}

fn timeline_event(at: Timestamp, event: &str, hostname: &str, message: &str) -> TimelineEvent {
    TimelineEvent {
        timestamp: at.to_string(),
        event: event.to_owned(),
        hostname: hostname.to_owned(),
        message: message.to_owned(),
        error: String::new(),
    }
}

#[derive(Serialize, Deserialize)]
struct StoredEvent {
    machine_id: String,
    #[serde(flatten)]
    event: TimelineEvent,
}

#[cfg(test)]
mod tests;
