//! Who may come in, and who is connected.

use std::sync::Arc;

use super::{
    BTreeMap, Bucket, BusError, Duration, EncodedFrame, HashMap, Host, HostError, HostFacts, HostRecord,
    HostState, Hosts, Instant, Live, PublicKey, Timestamp, decode, encode, mpsc,
};
use crate::source::Source;

/// How many frames may wait for a host that does not read.
const OUTGOING_MAX: usize = 64;

/// How many hosts can wait to be accepted: anybody can ask. Those that ask at the same moment may be a few more.
pub(super) const PENDING_MAX: usize = 10_000;

/// What becomes of a host that introduces itself.
pub(crate) enum Admission {
    /// It is known, or now pending.
    In,
    /// It is turned away for this reason.
    Out(String),
}

/// What is known of a caller before its token is looked at.
pub(crate) enum Standing {
    /// The host is new, or waits; a token would let it in.
    Waits,
    /// It is in already, and needs no token.
    In,
    /// It cannot come in, for this reason, and a token would be wasted.
    Out(String),
}

/// Room for one more pending host.
enum Room {
    /// There is some.
    Free,
    /// There is if this one gives way.
    Of(Arc<HostRecord>),
    /// There is none.
    None,
}

impl Hosts {
    /// Looks at who a caller is by its key, before its token is used up.
    pub(crate) fn standing(&self, public_key: &PublicKey, machine_id: &str, has_token: bool) -> Standing {
        self.read(|hosts| match hosts.get(machine_id) {
            // A token is worth more than having asked first under this machine id.
            Some(host) if host.record.state == HostState::Pending && has_token => Standing::Waits,
            Some(host) if host.record.public_key != *public_key => Standing::Out(format!(
                "machine id {machine_id} belongs to a host with another key ({}); if this host was installed \
                 anew, remove the old one with `timeball client agent remove --hostname {machine_id}`",
                host.record.public_key.fingerprint()
            )),
            Some(host) if host.record.state == HostState::Rejected => Standing::Out(format!(
                "this host was rejected; `timeball client agent accept --hostname {machine_id}` lets it in"
            )),
            Some(host) if host.record.state == HostState::Pending => Standing::Waits,
            Some(_) => Standing::In,
            None => Standing::Waits,
        })
    }

    /// Takes in a host that has proved its key. `enrolled` says that it brought a valid token, or that everybody
    /// is accepted.
    pub(crate) async fn admit(
        &self,
        public_key: PublicKey,
        facts: HostFacts,
        source: Source,
        enrolled: bool,
    ) -> Result<Admission, BusError> {
        let source = source.to_string();
        let machine_id = facts.machine_id.clone();
        let now = Timestamp::now();
        let known = self.read(|hosts| hosts.contains_key(&machine_id));
        if !known {
            if !enrolled && !self.make_room(&source).await? {
                return Ok(Admission::Out(format!(
                    "{PENDING_MAX} hosts wait to be accepted already, and no address has more of them than {source}; \
                     accept or reject some, or use an enrolment token"
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
                facts: facts.clone(),
                source,
                rejection_dated: false,
            };
            match self
                .bus
                .create(Bucket::HOSTS, &machine_id, encode(&record)?)
                .await
            {
                Ok(revision) => {
                    let hostname = record.facts.hostname.clone();
                    self.insert(&machine_id, record, revision);
                    // Anybody can ask: until somebody decides, the record alone says that it did.
                    if enrolled {
                        self.event(&machine_id, "enrol", &hostname, "").await?;
                    }
                    return Ok(Admission::In);
                }
                // Somebody else came with the same machine id in this moment: what is stored counts.
                Err(BusError::Conflict { .. }) => {
                    if let Some(entry) = self.bus.get(Bucket::HOSTS, &machine_id).await? {
                        let record = decode(&entry)?;
                        self.insert(&machine_id, record, entry.revision);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.admit_known(public_key, &facts, enrolled).await
    }

    /// Makes room for one more pending host from `source`; says whether there is. When the bound is reached, the
    /// newest pending host of the source that has the most gives way, counting the one that comes: the hosts of
    /// one address cannot keep those of all others out.
    async fn make_room(&self, source: &str) -> Result<bool, BusError> {
        loop {
            let gives_way = self.read(|hosts| {
                let pending = || {
                    let all = hosts.values().map(|host| &host.record);
                    all.filter(|record| record.state == HostState::Pending)
                };
                if pending().count() < PENDING_MAX {
                    return Room::Free;
                }
                let mut held = HashMap::from([(source, 1_usize)]);
                for record in pending() {
                    *held.entry(&record.source).or_default() += 1;
                }
                let most = held.values().copied().max().unwrap_or_default();
                if held.get(source) == Some(&most) {
                    return Room::None;
                }
                pending()
                    .filter(|record| held.get(record.source.as_str()) == Some(&most))
                    .max_by_key(|record| (record.requested_at, &record.facts.machine_id))
                    .map_or(Room::None, |record| Room::Of(Arc::clone(record)))
            });
            let record = match gives_way {
                Room::Free => return Ok(true),
                Room::None => return Ok(false),
                Room::Of(record) => record,
            };
            let facts = &record.facts;
            if self.forget(&facts.machine_id, HostState::Pending).await? {
                tracing::warn!(
                    host = facts.hostname,
                    machine_id = facts.machine_id,
                    from = record.source,
                    "too many hosts wait to be accepted; one of the address with the most gave way"
                );
            }
        }
    }

    async fn admit_known(
        &self,
        public_key: PublicKey,
        facts: &HostFacts,
        enrolled: bool,
    ) -> Result<Admission, BusError> {
        let machine_id = &facts.machine_id;
        let record = self.read(|hosts| hosts.get(machine_id).map(|host| host.record.clone()));
        let same = |record: &HostRecord| record.public_key == public_key;
        let enters = |record: &HostRecord| enrolled && record.state == HostState::Pending;
        match record {
            Some(record) if same(&record) && !enters(&record) && record.facts.is_same_host(facts) => {
                return Ok(Admission::In);
            }
            _ => {}
        }
        let entered = std::sync::atomic::AtomicBool::new(false);
        let waited = self.waits(machine_id);
        let changed = self
            .change(machine_id, |record| {
                if enters(record) {
                    record.public_key = public_key;
                    record.state = HostState::Ready;
                    record.registered_at = Some(Timestamp::now());
                    entered.store(true, std::sync::atomic::Ordering::Relaxed);
                } else if !same(record) {
                    return Err(HostError::Unknown(machine_id.clone()));
                }
                record.facts = facts.clone();
                Ok(())
            })
            .await;
        match changed {
            Ok(record) => {
                if entered.load(std::sync::atomic::Ordering::Relaxed) {
                    self.asked(waited).await?;
                    self.event(machine_id, "enrol", &record.facts.hostname, "")
                        .await?;
                }
                Ok(Admission::In)
            }
            Err(HostError::Bus(error)) => Err(error),
            Err(_) => Ok(Admission::Out(format!(
                "machine id {machine_id} belongs to a host with another key; remove that one with `timeball \
                 client agent remove --hostname {machine_id}`"
            ))),
        }
    }

    pub(super) fn insert(&self, machine_id: &str, record: HostRecord, revision: u64) {
        self.write(|hosts| {
            hosts.entry(machine_id.to_owned()).or_insert_with(|| Host {
                record: Arc::new(record),
                revision,
                live: None,
                report: None,
                conditions: BTreeMap::new(),
            });
        });
        self.changed();
    }

    /// Takes note of a new connection of the host that holds this key; an older one is ended. Gives the
    /// connection's number, what is to be sent on it, and the state the host is in at this very moment.
    pub(crate) fn connected(
        &self,
        machine_id: &str,
        public_key: &PublicKey,
    ) -> Option<(u64, mpsc::Receiver<EncodedFrame>, HostState)> {
        let (outgoing, receiver) = mpsc::channel(OUTGOING_MAX);
        let connection = self
            .connections
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let now = Timestamp::now();
        let state = self.write(|hosts| {
            let host = hosts
                .get_mut(machine_id)
                .filter(|host| host.record.public_key == *public_key)?;
            let uptime = Duration::from_secs(host.record.facts.agent_uptime_s);
            let started_at = now.checked_sub(uptime).unwrap_or(now);
            let since = Instant::now();
            host.live = Some(Live {
                connection,
                outgoing,
                heard: since,
                since,
                started_at,
            });
            Some(host.record.state)
        });
        self.changed();
        state.map(|state| (connection, receiver, state))
    }

    /// Takes note that a connection is gone.
    pub(crate) async fn disconnected(&self, machine_id: &str, connection: u64) {
        let was_it = self.write(|hosts| {
            let host = hosts.get_mut(machine_id)?;
            host.live.take_if(|live| live.connection == connection)
        });
        if was_it.is_none() {
            return;
        }
        self.changed();
        let seen = Timestamp::now();
        let stored = self
            .change(machine_id, |record| {
                record.last_seen = Some(seen);
                Ok(())
            })
            .await;
        match stored {
            Ok(_) | Err(HostError::Unknown(_)) => {}
            Err(error) => tracing::warn!(machine_id, %error, "cannot store when the host was last seen"),
        }
    }
}
