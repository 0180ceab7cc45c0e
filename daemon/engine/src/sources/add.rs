//! Adding and removing sources.

use conf::config::{Family, SourceConfig, SourceKind, SourceName, Topic, is_of_a_host};
use units::{Leap, Mono, ReferenceId, Stratum};

use crate::estimate::Sample;
use crate::source::{Source, SourceId};
use crate::sources::names::Naming;
use crate::sources::{Entry, EntryId, Event, Origin, SOURCES_MAX, Sources, Tools, count};
use crate::timer::Timer;

/// The wait before the first request, and between the first requests to different sources, seconds.
pub const START_SPACING_S: f64 = 0.2;

/// The most sources of one pool that are tried at a time.
const POOL_CANDIDATES_MAX: u8 = 16;

/// Why a source cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddError {
    /// Its address is that of another source.
    AlreadyInUse,
    /// There are [`SOURCES_MAX`].
    TooMany,
    /// Its address is of a family that its options exclude, or none that can be asked.
    InvalidAddress,
    /// Its name is no word.
    InvalidName,
}

impl AddError {
    /// The words of the log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::AlreadyInUse => "Already in use",
            Self::TooMany => "Too many sources",
            Self::InvalidAddress => "Invalid address",
            Self::InvalidName => "Invalid name",
        }
    }
}

impl Sources {
    /// Adds what the configuration names.
    pub fn add_configured(&mut self, configs: Vec<SourceConfig>, tools: &mut Tools<'_>) {
        for config in configs {
            let name = config.name.to_string();
            if self.add(config, Origin::Configuration, tools).is_err() {
                tools.out.warn(format!("Could not add source {name}"));
            }
        }
    }

    /// Adds a source, or a pool. A name is looked up from now on until it has an address.
    ///
    /// # Errors
    /// Nothing was added, for this reason.
    pub fn add(
        &mut self,
        config: SourceConfig,
        origin: Origin,
        tools: &mut Tools<'_>,
    ) -> Result<EntryId, AddError> {
        let count = match &config.name {
            SourceName::Address(address) => {
                if self.by_address.contains_key(address) {
                    return Err(AddError::AlreadyInUse);
                }
                if !is_of_a_host(*address) || !is_of_family(*address, config.family) {
                    return Err(AddError::InvalidAddress);
                }
                1
            }
            SourceName::Name(name) if !is_word(name) => return Err(AddError::InvalidName),
            SourceName::Name(_) if config.kind == SourceKind::Pool => {
                config.max_sources.saturating_mul(2).clamp(1, POOL_CANDIDATES_MAX)
            }
            SourceName::Name(_) => 1,
        };
        if self.by_id.len() + usize::from(count) > SOURCES_MAX {
            return Err(AddError::TooMany);
        }
        let entry = EntryId(self.next_entry);
        self.next_entry = self.next_entry.wrapping_add(1);
        let is_pool = is_pool(&config);
        // Before those of its sources, as with ntpd.
        let pool = is_pool.then(|| self.new_id());
        for _ in 0..count {
            let id = self.add_member(entry, &config, tools);
            if let Some(source) = self.by_id.get(&id).filter(|_| !is_pool) {
                Self::announce(origin, format!("Added source {}", source.label()), tools.out);
            }
        }
        if is_pool {
            Self::announce(origin, format!("Added pool {}", config.name), tools.out);
        }
        let naming = Naming::default();
        let key = config.key();
        self.entries.insert(
            entry,
            Entry {
                config,
                key,
                origin,
                naming,
                pool,
            },
        );
        self.look_up(entry, tools);
        Ok(entry)
    }

    /// Adds a reference clock, which is never asked over the network.
    pub(crate) fn add_ref_clock(
        &mut self,
        config: SourceConfig,
        id: ReferenceId,
        stratum: u8,
        tools: &mut Tools<'_>,
    ) -> SourceId {
        let number = self.new_id();
        let source = Source::new(config, tools.prior, self.rules.samples_max);
        self.by_id
            .insert(number, source.into_ref_clock(id, Stratum(stratum)));
        self.recall(number, tools);
        number
    }

    /// A poll of a reference clock is over, and this is its sample.
    pub(crate) fn ref_clock_polled(
        &mut self,
        id: SourceId,
        sample: Option<Sample>,
        leap: Leap,
        tools: &mut Tools<'_>,
    ) {
        let before = self.by_id.get(&id).and_then(|source| source.estimator.state());
        let Some(source) = self.by_id.get_mut(&id) else {
            return;
        };
        let is_sampled = source.poll_ref_clock(sample, leap, tools.timeline, tools.local.remaining_s);
        if is_sampled {
            self.events.push_back(Event::Sampled(id));
            self.log_statistics(id, before, tools);
        } else {
            self.events.push_back(Event::Changed(id));
        }
    }

    /// Removes one source; its pool stays.
    pub fn remove(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        let Some(source) = self.by_id.get(&id) else { return };
        tools
            .out
            .info_about(Topic::Source, format!("Removed source {}", source.label()));
        let entry = self.entry_of.get(&id).copied();
        self.take_out(id, tools);
        if let Some(entry) = entry.filter(|entry| self.members(*entry).is_empty()) {
            self.entries.remove(&entry);
        }
    }

    /// Removes all sources, which is not said.
    pub(crate) fn remove_all(&mut self, tools: &mut Tools<'_>) {
        self.entries.clear();
        for id in self.keys().copied().collect::<Vec<_>>() {
            self.take_out(id, tools);
        }
    }

    /// Removes all sources of an entry.
    pub(super) fn remove_entry(&mut self, entry: EntryId, tools: &mut Tools<'_>) {
        let Some(removed) = self.entries.remove(&entry) else {
            return;
        };
        let is_pool = is_pool(&removed.config);
        for id in self.members(entry) {
            if let Some(source) = self.by_id.get(&id).filter(|_| !is_pool) {
                Self::announce(
                    removed.origin,
                    format!("Removed source {}", source.label()),
                    tools.out,
                );
            }
            self.take_out(id, tools);
        }
        if is_pool {
            Self::announce(
                removed.origin,
                format!("Removed pool {}", removed.config.name),
                tools.out,
            );
        }
    }

    /// Plans the first request to a source, not too soon after that to another.
    pub(super) fn plan_start(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        let Some(source) = self.by_id.get(&id) else { return };
        if !source.is_asked() {
            return;
        }
        let now = tools.now.mono;
        // No later than all of them in turn would be, however often they were planned before.
        let all_s = START_SPACING_S * count(self.by_id.values().filter(|source| source.is_asked()));
        let latest = now.plus_seconds(all_s - START_SPACING_S);
        let soonest = self.start_at.map_or(now, |last| last.max(now).min(latest));
        let at: Mono = soonest.plus_seconds(START_SPACING_S);
        self.start_at = Some(at);
        tools.timers.set(Timer::Poll(id), at);
    }

    fn add_member(&mut self, entry: EntryId, config: &SourceConfig, tools: &mut Tools<'_>) -> SourceId {
        let id = self.new_id();
        let mut source = Source::new(config.clone(), tools.prior, self.rules.samples_max);
        match source.address {
            Some(address) => {
                self.by_address.insert(address, id);
            }
            None => {
                self.next_placeholder = self.next_placeholder.wrapping_add(1);
                source.placeholder = self.next_placeholder;
            }
        }
        self.by_id.insert(id, source);
        self.entry_of.insert(id, entry);
        self.say_missing_key(config.key_id, tools);
        self.recall(id, tools);
        self.plan_start(id, tools);
        id
    }
}

/// Whether this is asked as a pool: it has a name.
pub(super) fn is_pool(config: &SourceConfig) -> bool {
    config.kind == SourceKind::Pool && matches!(config.name, SourceName::Name(_))
}

/// Whether an address is of the family asked for.
pub(crate) fn is_of_family(address: std::net::IpAddr, family: Option<Family>) -> bool {
    match family {
        None => true,
        Some(Family::V4) => address.is_ipv4(),
        Some(Family::V6) => address.is_ipv6(),
    }
}

/// Whether a name is one word that can be printed.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.len() < 256 && name.bytes().all(|byte| byte.is_ascii_graphic())
}
