//! From names to addresses: looking up, trying again, and taking another address when one is no good.

use std::collections::BTreeSet;
use std::net::IpAddr;

use conf::config::{SourceName, Topic, is_of_a_host};
use units::Mono;

use crate::io::{self, LookupError, LookupId, Output};
use crate::outbox::Outbox;
use crate::ports::Holder;
use crate::source::{Source, SourceId};
use crate::sources::add::{is_of_family, is_pool};
use crate::sources::asking::POLLS_TO_SETTLE;
use crate::sources::{EntryId, Event, Sources, Tools};
use crate::timer::Timer;

/// When a name is looked up again that nobody could tell anything about: the network, or the name server, may be there in a
/// moment.
const AGAIN_SOON: Schedule = Schedule {
    first_s: 8.0,
    doublings: 5,
};

/// When a name is looked up again that does not exist, by ntpd …
const AGAIN_AS_NTPD: Schedule = Schedule {
    first_s: 256.0,
    doublings: 4,
};

/// … and by chronyd, which looks as often for more addresses of a pool that has too few.
const AGAIN_AS_CHRONYD: Schedule = Schedule {
    first_s: 28.0,
    doublings: 7,
};

/// The time between looking up the names of two bad sources, seconds.
const REPLACEMENT_INTERVAL_S: f64 = 1800.0;

/// How many addresses of an answer are looked at.
const ADDRESSES_MAX: usize = 64;

/// Waits of which each is twice as long as the one before, up to the last.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    first_s: f64,
    doublings: i32,
}

/// What is missing after a name was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Nobody has answered.
    Answer,
    /// The name does not exist, or has no address.
    Name,
    /// It has addresses, but not as many as are wanted.
    Addresses,
}

impl Lack {
    /// What is missing after this answer, which does not suffice.
    pub(crate) const fn after(answer: &Result<Vec<IpAddr>, LookupError>) -> Self {
        match answer {
            Ok(addresses) if addresses.is_empty() => Self::Name,
            Ok(_) => Self::Addresses,
            Err(LookupError::TryAgain) => Self::Answer,
            Err(LookupError::NotFound) => Self::Name,
        }
    }
}

/// How often the same was missing in a row when a name was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retries {
    lack: Option<Lack>,
    count: i32,
}

impl Retries {
    /// Counts one more; returns how long to wait before the next try, seconds.
    pub(crate) fn count(&mut self, lack: Lack, is_ntpd: bool) -> f64 {
        if self.lack != Some(lack) {
            *self = Self {
                lack: Some(lack),
                count: 0,
            };
        }
        let schedule = match lack {
            Lack::Answer => AGAIN_SOON,
            Lack::Name if is_ntpd => AGAIN_AS_NTPD,
            Lack::Name | Lack::Addresses => AGAIN_AS_CHRONYD,
        };
        let wait_s = schedule.first_s * 2_f64.powi(self.count.min(schedule.doublings));
        self.count = self.count.saturating_add(1);
        wait_s
    }
}

/// How far the name of an entry is looked up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Naming {
    /// A lookup for addresses is under way.
    is_under_way: bool,
    /// How often it was tried again.
    retries: Retries,
    /// When it is tried again.
    retry_at: Option<Mono>,
}

/// What a lookup is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Addresses for the sources of the entry that have none.
    Addresses(EntryId),
    /// Another address for a source that is no good.
    Replacement(SourceId),
    /// To see whether a working source still has the name.
    Refreshment(SourceId),
}

impl Sources {
    /// A name has been looked up, or could not be.
    pub fn resolved(
        &mut self,
        lookup: LookupId,
        answer: Result<Vec<IpAddr>, LookupError>,
        tools: &mut Tools<'_>,
    ) {
        let lack = Lack::after(&answer);
        let addresses = answer.unwrap_or_default();
        match self.lookups.remove(&lookup) {
            None => {}
            Some(Lookup::Addresses(entry)) => self.assign(entry, &addresses, lack, tools),
            Some(Lookup::Replacement(id)) => self.replace(id, &addresses, tools),
            Some(Lookup::Refreshment(id)) => {
                let current = self.by_id.get(&id).and_then(|source| source.address);
                if current.is_some_and(|current| !addresses.is_empty() && !addresses.contains(&current)) {
                    self.replace(id, &addresses, tools);
                }
            }
        }
    }

    /// Looks up what is due.
    pub fn resolve_due(&mut self, tools: &mut Tools<'_>) {
        let now = tools.now.mono;
        let is_due = |naming: &Naming| naming.retry_at.is_some_and(|at| at <= now);
        let due = self
            .entries
            .iter()
            .filter(|(_, entry)| is_due(&entry.naming))
            .map(|(id, _)| *id)
            .collect();
        self.look_up_all(due, tools);
    }

    /// Looks up all names that have no address yet, now.
    pub fn resolve_now(&mut self, tools: &mut Tools<'_>) {
        let waiting = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.naming.retry_at.is_some())
            .map(|(id, _)| *id)
            .collect();
        self.look_up_all(waiting, tools);
    }

    /// Looks up the names of all sources that have an address, and replaces the addresses that are not there any
    /// more (`chronyc refresh`).
    pub fn refresh(&mut self, tools: &mut Tools<'_>) {
        let ids: Vec<SourceId> = self.by_id.keys().copied().collect();
        for id in ids {
            self.look_up_again(id, Lookup::Refreshment(id), tools.out);
        }
        self.refreshed_at = tools.now.mono;
        self.resolve_now(tools);
    }

    /// A source is no good: it does not answer, is wrong, too far away, or without time. If it has a name another
    /// address is looked for, not too often: the turn of one that answers comes when no other is silent, for who is
    /// wrong is not known for sure, and a silent one helps nobody to find out.
    pub fn complain(&mut self, id: SourceId, now: Mono, out: &mut Outbox) {
        if now.seconds_since(self.replaced_at) < REPLACEMENT_INTERVAL_S {
            return;
        }
        let is_silent = |id: &SourceId| {
            let source = self.by_id.get(id);
            source.is_some_and(|source| source.online && source.reach == 0 && source.polls >= POLLS_TO_SETTLE)
        };
        let silent = self.by_id.keys().find(|id| is_silent(id) && self.is_named(**id));
        let id = if is_silent(&id) {
            id
        } else {
            silent.copied().unwrap_or(id)
        };
        if self.look_up_again(id, Lookup::Replacement(id), out) {
            self.replaced_at = now;
        }
    }

    /// A source works: from time to time it is seen whether it still has its name, the one first for which that
    /// was not done for longest.
    pub(super) fn refresh_in_turn(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        let now = tools.now.mono;
        let interval_s = self.rules.refresh_s;
        if interval_s <= 0.0 || now.seconds_since(self.refreshed_at) < interval_s {
            return;
        }
        let last = |id: &SourceId| self.refreshed.get(id).copied();
        let is_earlier = |other: &SourceId| self.is_named(*other) && last(other) < last(&id);
        if !self.is_named(id) || self.by_id.keys().any(is_earlier) {
            return;
        }
        if self.look_up_again(id, Lookup::Refreshment(id), tools.out) {
            self.refreshed_at = now;
            self.refreshed.insert(id, now);
        }
    }

    /// A source of a pool has answered. When there are as many of them as are wanted, the others go.
    pub(super) fn confirm(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        let Some(&entry) = self.entry_of.get(&id) else {
            return;
        };
        let Some(wanted) = self
            .entries
            .get(&entry)
            .filter(|entry| is_pool(&entry.config))
            .map(|entry| usize::from(entry.config.max_sources))
        else {
            return;
        };
        let is_spare = |source: &Source| source.is_tentative || source.address.is_none();
        let (spare, confirmed): (Vec<_>, Vec<_>) = self
            .members(entry)
            .into_iter()
            .partition(|id| self.by_id.get(id).is_some_and(is_spare));
        if confirmed.len() < wanted {
            return;
        }
        for id in spare {
            self.take_out(id, tools);
        }
        if let Some(entry) = self.entries.get_mut(&entry) {
            entry.naming.retry_at = None;
        }
        self.set_timer(tools);
    }

    /// Asks for the addresses of an entry.
    pub(super) fn look_up(&mut self, entry: EntryId, tools: &mut Tools<'_>) {
        let Some(found) = self.entries.get_mut(&entry) else {
            return;
        };
        found.naming.retry_at = None;
        let SourceName::Name(name) = &found.config.name else {
            return;
        };
        if std::mem::replace(&mut found.naming.is_under_way, true) {
            return;
        }
        let name = name.clone();
        self.ask(Lookup::Addresses(entry), name, tools.out);
    }

    fn look_up_all(&mut self, entries: Vec<EntryId>, tools: &mut Tools<'_>) {
        for entry in entries {
            self.look_up(entry, tools);
        }
        self.set_timer(tools);
    }

    /// Asks for the addresses of a source that has one; says whether it did.
    fn look_up_again(&mut self, id: SourceId, lookup: Lookup, out: &mut Outbox) -> bool {
        let is_under_way = self
            .lookups
            .values()
            .any(|other| [Lookup::Replacement(id), Lookup::Refreshment(id)].contains(other));
        let Some(source) = self.by_id.get(&id) else {
            return false;
        };
        let (SourceName::Name(name), Some(_), false) = (&source.config.name, source.address, is_under_way)
        else {
            return false;
        };
        let name = name.clone();
        self.ask(lookup, name, out);
        true
    }

    fn ask(&mut self, lookup: Lookup, name: String, out: &mut Outbox) {
        let id = LookupId(self.next_lookup);
        self.next_lookup = self.next_lookup.wrapping_add(1);
        self.lookups.insert(id, lookup);
        out.push(Output::Resolve { lookup: id, name });
    }

    /// Gives addresses to the sources of an entry that have none. As long as some are left, for which there is this lack,
    /// it is tried again.
    fn assign(&mut self, entry: EntryId, addresses: &[IpAddr], lack: Lack, tools: &mut Tools<'_>) {
        let Some(found) = self.entries.get_mut(&entry) else {
            return;
        };
        found.naming.is_under_way = false;
        let mut usable = self.usable(entry, addresses).into_iter();
        let mut is_complete = true;
        for id in self.members(entry) {
            if self.by_id.get(&id).is_none_or(|source| source.address.is_some()) {
                continue;
            }
            match usable.next() {
                Some(address) => self.move_to(id, address, tools),
                None => is_complete = false,
            }
        }
        let now = tools.now.mono;
        if let (Some(found), false) = (self.entries.get_mut(&entry), is_complete) {
            let wait_s = found.naming.retries.count(lack, self.rules.is_ntpd);
            found.naming.retry_at = Some(now.plus_seconds(wait_s));
        }
        self.set_timer(tools);
    }

    /// Gives a source another address of its name, if there is one that no source has.
    fn replace(&mut self, id: SourceId, addresses: &[IpAddr], tools: &mut Tools<'_>) {
        let Some(&entry) = self.entry_of.get(&id) else {
            return;
        };
        let Some(&address) = self.usable(entry, addresses).first() else {
            return;
        };
        let Some(source) = self.by_id.get(&id) else { return };
        let name = source.config.name.to_string();
        tools.out.info_about(
            Topic::SourceEvent,
            format!("Source {} replaced with {address} ({name})", source.place()),
        );
        self.move_to(id, address, tools);
        self.events.push_back(Event::Replaced(id));
    }

    /// The addresses of an answer that this entry can have, each once, in the order of the answer.
    fn usable(&self, entry: EntryId, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let Some(entry) = self.entries.get(&entry) else {
            return Vec::new();
        };
        let family = entry.config.family;
        let mut seen = BTreeSet::new();
        addresses
            .iter()
            .take(ADDRESSES_MAX)
            .copied()
            .filter(|address| is_of_a_host(*address) && is_of_family(*address, family))
            .filter(|address| !self.by_address.contains_key(address))
            .filter(|address| seen.insert(*address))
            .collect()
    }

    /// Makes a source begin anew at an address.
    fn move_to(&mut self, id: SourceId, address: IpAddr, tools: &mut Tools<'_>) {
        self.close(id, tools);
        tools.timers.stop(Timer::Poll(id));
        let Some(old) = self.by_id.get(&id) else { return };
        let (online, placeholder, before) = (old.online, old.placeholder, old.address);
        let mut config = old.config.clone();
        // What was switched meanwhile stays so.
        config.offline = !online;
        let mut source = Source::new(config, tools.prior, self.rules.samples_max);
        source.config.offline = old.config.offline;
        source.address = Some(address);
        source.placeholder = placeholder;
        source.is_tentative = true;
        if let Some(before) = before {
            // The burst is for the start. Others go on meanwhile, and who is replaced again and again shall not cost
            // more packets for it.
            source.polling.end_burst();
            self.by_address.remove(&before);
            tools.out.happened(io::Event::Gone { source: before });
            tools
                .ports
                .release(before.is_ipv6(), Holder::Asking(id), tools.out);
        }
        self.by_address.insert(address, id);
        self.by_id.insert(id, source);
        self.ahead.remove(&id);
        self.recall(id, tools);
        self.plan_start(id, tools);
    }

    fn is_named(&self, id: SourceId) -> bool {
        self.by_id.get(&id).is_some_and(|source| {
            matches!(source.config.name, SourceName::Name(_)) && source.address.is_some()
        })
    }

    fn set_timer(&self, tools: &mut Tools<'_>) {
        match self
            .entries
            .values()
            .filter_map(|entry| entry.naming.retry_at)
            .min()
        {
            Some(at) => tools.timers.set(Timer::Resolve, at),
            None => tools.timers.stop(Timer::Resolve),
        }
    }
}
