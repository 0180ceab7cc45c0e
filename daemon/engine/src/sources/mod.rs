//! All sources of time: added and removed, found, asked in turn.
//!
//! [`Sources`] holds every [`Source`] and the [`Entry`] it comes from: a line of a configuration, which is one
//! source or, for a pool, several. Names become addresses in [`names`]; files of sources are compared with what
//! is there in [`reload`]; [`asking`] sends what is due and gives answers to whom they belong; [`switch`] turns
//! sources on and off; `told` tells what happened to them, and `constrained` leaves those alone that wait for a
//! constraint or contradict it. What the rest of the engine has to know of comes out as an [`Event`].

pub mod add;
pub mod asking;
mod constrained;
mod history;
pub mod names;
pub mod reload;
#[cfg(test)]
mod stories;
pub mod switch;
mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use conf::config::{Config, LogKind, SourceConfig, SourceKey, Topic};
use units::Mono;

use crate::engine::Entropy;
use crate::estimate::Prior;
use crate::io::{self, LookupId, Now, Severity, SocketId};
use crate::keyring::Keyring;
use crate::outbox::Outbox;
use crate::ports::{Holder, Ports};
use crate::source::{Local, Source, SourceId};
use crate::sources::asking::Round;
use crate::sources::names::{Lookup, Naming};
use crate::timeline::Timeline;
use crate::timer::{Timer, Timers};

/// The most sources there can be.
pub const SOURCES_MAX: usize = 65_536;

/// A line of a configuration, by a number that is not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(u32);

/// Where an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The configuration, as it was at the start.
    Configuration,
    /// The configuration, as it was read again.
    Reconfiguration,
    /// A file of a source directory.
    Directory,
    /// A command.
    Command,
}

impl Origin {
    /// Whether this is the same place, at whatever time.
    fn is_like(self, other: Self) -> bool {
        let at_start = |origin| match origin {
            Self::Reconfiguration => Self::Configuration,
            origin => origin,
        };
        at_start(self) == at_start(other)
    }
}

/// A line of a configuration that names one source, or a pool of them.
#[derive(Debug, Clone)]
pub struct Entry {
    config: SourceConfig,
    key: SourceKey,
    origin: Origin,
    naming: Naming,
    /// The number of a pool as a whole, which no source has: with ntpd a pool is an association beside those that it gives.
    pool: Option<SourceId>,
}

/// Something that happened to the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A sample was taken in.
    Sampled(SourceId),
    /// A poll of a source brought no sample.
    Changed(SourceId),
    /// A burst is over of a source that is not asked otherwise: it counts as not reachable from now on.
    Finished(SourceId),
    /// An answer of a source was refused because of a constraint.
    Refused,
    /// A source is gone.
    Removed(SourceId),
    /// A source has another address, and nothing of what was known of it is true any more.
    Replaced(SourceId),
}

/// What the sources use of the rest of the engine.
pub struct Tools<'a> {
    /// The moment.
    pub now: Now,
    /// How the clocks go.
    pub timeline: &'a Timeline,
    /// What is known of ourselves.
    pub local: Local,
    /// What an estimator begins with.
    pub prior: Prior,
    /// The symmetric keys.
    pub keys: &'a Keyring,
    /// What wakes us.
    pub timers: &'a mut Timers,
    /// Sockets.
    pub ports: &'a mut Ports,
    /// What is to be done.
    pub out: &'a mut Outbox,
    /// Random numbers.
    pub entropy: &'a mut Entropy,
}

/// All sources.
#[derive(Debug)]
pub struct Sources {
    by_id: BTreeMap<SourceId, Source>,
    by_address: BTreeMap<IpAddr, SourceId>,
    entries: BTreeMap<EntryId, Entry>,
    entry_of: BTreeMap<SourceId, EntryId>,
    of_socket: BTreeMap<SocketId, SourceId>,
    lookups: BTreeMap<LookupId, Lookup>,
    events: VecDeque<Event>,
    rules: Rules,
    next_source: u32,
    next_entry: u32,
    next_lookup: u32,
    next_placeholder: u32,
    /// For when the first request to the newest source is planned.
    start_at: Option<Mono>,
    /// Who is asked one right after the other.
    round: Round,
    /// When a bad source was last looked up again; at first, when we began.
    replaced_at: Mono,
    /// When a working source was last looked up again; at first, when we began.
    refreshed_at: Mono,
    /// In which order sources were looked up again.
    refreshed: BTreeMap<SourceId, Mono>,
    /// The files of the source directories have been read once.
    is_directory_read: bool,
    /// Lines of these files that could not be added, so that it is said once.
    failed: BTreeSet<SourceKey>,
    /// Presends that were sent before the next request.
    ahead: BTreeMap<SourceId, u8>,
    /// Keys of which it was said that they are missing.
    missing_keys: BTreeSet<u32>,
    /// Sources that are left alone for a while, because their answers contradict the constraints.
    refused: BTreeSet<SourceId>,
    /// Past measurements that wait for the source with that address.
    histories: BTreeMap<String, String>,
}

/// What the configuration says about all sources.
#[derive(Debug, Clone)]
struct Rules {
    samples_max: u32,
    acquisition_port: Option<u16>,
    refresh_s: f64,
    logs: BTreeSet<LogKind>,
    /// The language is ntpd's.
    is_ntpd: bool,
}

impl Sources {
    /// Begins without sources.
    pub fn new(config: &Config, now: Mono) -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_address: BTreeMap::new(),
            entries: BTreeMap::new(),
            entry_of: BTreeMap::new(),
            of_socket: BTreeMap::new(),
            lookups: BTreeMap::new(),
            events: VecDeque::new(),
            rules: Rules {
                samples_max: config.selection.max_samples,
                acquisition_port: config.client.port,
                refresh_s: f64::from(config.client.refresh_s),
                logs: config.logs.kinds.clone(),
                is_ntpd: config.server.restrictions.is_some(),
            },
            next_source: 0,
            next_entry: 0,
            next_lookup: 0,
            next_placeholder: 0,
            start_at: None,
            round: Round::default(),
            replaced_at: now,
            refreshed_at: now,
            refreshed: BTreeMap::new(),
            is_directory_read: false,
            failed: BTreeSet::new(),
            ahead: BTreeMap::new(),
            missing_keys: BTreeSet::new(),
            refused: BTreeSet::new(),
            histories: BTreeMap::new(),
        }
    }

    /// The pools: the number of each as a whole, which no source has, and what is said of it.
    pub fn pools(&self) -> impl Iterator<Item = (SourceId, &SourceConfig)> {
        let entries = self.entries.values();
        entries.filter_map(|entry| Some((entry.pool?, &entry.config)))
    }

    /// Whether a source is one of those of a pool.
    pub fn is_of_pool(&self, id: SourceId) -> bool {
        let entry = self.entry_of.get(&id).and_then(|entry| self.entries.get(entry));
        entry.is_some_and(|entry| entry.pool.is_some())
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The source with this number.
    pub fn get(&self, id: &SourceId) -> Option<&Source> {
        self.by_id.get(id)
    }

    /// The source with this number.
    pub fn get_mut(&mut self, id: &SourceId) -> Option<&mut Source> {
        self.by_id.get_mut(id)
    }

    /// All sources in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&SourceId, &Source)> {
        self.by_id.iter()
    }

    /// The numbers of all sources.
    pub fn keys(&self) -> impl Iterator<Item = &SourceId> {
        self.by_id.keys()
    }

    /// All sources.
    pub fn values(&self) -> impl Iterator<Item = &Source> {
        self.by_id.values()
    }

    /// All sources.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.by_id.values_mut()
    }

    /// How many there are, those without an address included.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The source at an address.
    pub fn at(&self, address: IpAddr) -> Option<SourceId> {
        self.by_address.get(&address).copied()
    }

    /// The source without an address that this number stands for (`ID#0000000001`).
    pub fn at_placeholder(&self, number: u32) -> Option<SourceId> {
        let mut unresolved = self.by_id.iter().filter(|(_, source)| source.address.is_none());
        unresolved
            .find(|(_, source)| source.placeholder == number)
            .map(|(id, _)| *id)
    }

    /// Whether any source needs the NTP port of this family.
    pub fn need_server_port(&self) -> bool {
        self.by_id.values().any(Source::is_peer)
    }

    /// Drops all measurements (`chronyc reset sources`).
    pub fn forget(&mut self, prior: Prior) {
        for source in self.by_id.values_mut() {
            source.forget(prior);
        }
    }

    /// The host has slept: drops all measurements, and asks all sources at once, as at the start.
    pub fn start_over(&mut self, tools: &mut Tools<'_>) {
        self.forget(tools.prior);
        let asked: Vec<SourceId> = self.by_id.keys().copied().collect();
        for id in asked {
            if let Some(source) = self.by_id.get_mut(&id)
                && source.online
            {
                source.start_initial_burst();
                self.plan_start(id, tools);
            }
        }
    }

    /// Asks all sources at their shortest intervals again, from the next request on.
    pub fn ask_often(&mut self) {
        for source in self.by_id.values_mut() {
            source.polling.restart();
        }
    }

    /// Moves phases with their origin, seconds.
    pub fn shift(&mut self, by_s: f64) {
        for source in self.by_id.values_mut() {
            source.shift(by_s);
        }
    }

    /// A number that no source and no pool has.
    fn new_id(&mut self) -> SourceId {
        let id = SourceId(self.next_source);
        self.next_source = self.next_source.wrapping_add(1);
        id
    }

    /// Takes a source out.
    fn take_out(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        self.close(id, tools);
        tools.timers.stop(Timer::Poll(id));
        if let Some(source) = self.by_id.remove(&id)
            && let Some(address) = source.address
        {
            self.by_address.remove(&address);
            tools.out.happened(io::Event::Gone { source: address });
            tools
                .ports
                .release(address.is_ipv6(), Holder::Asking(id), tools.out);
        }
        self.entry_of.remove(&id);
        self.refreshed.remove(&id);
        self.refused.remove(&id);
        self.ahead.remove(&id);
        self.events.push_back(Event::Removed(id));
    }

    /// The sources of an entry.
    fn members(&self, entry: EntryId) -> Vec<SourceId> {
        let of_entry = self.entry_of.iter().filter(|(_, of)| **of == entry);
        of_entry.map(|(id, _)| *id).collect()
    }

    /// Logs with the severity that additions and removals of this origin have.
    fn announce(origin: Origin, text: String, out: &mut Outbox) {
        let severity = match origin {
            Origin::Configuration => Severity::Debug,
            Origin::Reconfiguration | Origin::Directory | Origin::Command => Severity::Info,
        };
        out.log_about(Topic::Source, severity, text);
    }
}

/// How many sources these are, as a number to calculate with.
fn count<'a>(sources: impl Iterator<Item = &'a Source>) -> f64 {
    u32::try_from(sources.count()).map_or(f64::INFINITY, f64::from)
}
