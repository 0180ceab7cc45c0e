//! Sources on and off, and bursts.

use std::net::IpAddr;

use conf::config::Topic;

use crate::io::Output;
use crate::source::poll::Burst;
use crate::source::{Source, SourceId};
use crate::sources::{Sources, Tools};
use crate::timer::Timer;

/// Which sources a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// The one.
    One(SourceId),
    /// Those whose addresses are this one in the bits that the mask has set.
    Masked {
        /// The bits that count.
        mask: IpAddr,
        /// What they have to be.
        address: IpAddr,
    },
}

impl Sources {
    /// Begins to ask sources; says how many were meant. Names without an address are looked up at once.
    pub fn online(&mut self, which: Which, tools: &mut Tools<'_>) -> usize {
        let ids = self.chosen(which);
        for id in &ids {
            let Some(source) = self.by_id.get_mut(id).filter(|source| !source.online) else {
                continue;
            };
            tools
                .out
                .info_about(Topic::SourceEvent, format!("Source {} online", source.place()));
            source.online = true;
            source.start_initial_burst();
            self.plan_start(*id, tools);
        }
        self.resolve_now(tools);
        ids.len()
    }

    /// Stops asking sources, after a burst that is under way; says how many were meant.
    pub fn offline(&mut self, which: Which, tools: &mut Tools<'_>) -> usize {
        let ids = self.chosen(which);
        for id in &ids {
            self.switch_off(*id, tools);
        }
        ids.len()
    }

    /// Has the program look which sources there is a way to (`chronyc onoffline`). Nothing is sent.
    pub fn on_or_offline(&mut self, tools: &mut Tools<'_>) {
        for (&source, asked) in self.by_id.iter().filter(|(_, source)| source.ref_clock.is_none()) {
            if let Some(remote) = asked.remote() {
                tools.out.push(Output::FindRoute { source, remote });
            }
        }
    }

    /// There is a way to a source, or there is none: it is asked from now on, or not any more.
    pub fn route_found(&mut self, id: SourceId, exists: bool, tools: &mut Tools<'_>) {
        if exists {
            self.online(Which::One(id), tools);
        } else {
            self.switch_off(id, tools);
        }
    }

    /// Makes measurements quickly, also of sources that are not asked otherwise; says how many were meant. Peers
    /// and names without an address are not.
    pub fn burst(&mut self, which: Which, burst: Burst, tools: &mut Tools<'_>) -> usize {
        let mut count = 0;
        for id in self.chosen(which) {
            let Some(source) = self.by_id.get_mut(&id) else {
                continue;
            };
            if source.is_peer() || source.address.is_none() {
                continue;
            }
            count += 1;
            source.polling.start_burst(burst);
            self.plan_start(id, tools);
        }
        count
    }

    /// A request could not be sent: there may be no network.
    pub(super) fn unroutable(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        if self
            .by_id
            .get(&id)
            .is_some_and(|source| source.config.auto_offline)
        {
            self.switch_off(id, tools);
        }
    }

    fn switch_off(&mut self, id: SourceId, tools: &mut Tools<'_>) {
        let Some(source) = self.by_id.get_mut(&id).filter(|source| source.online) else {
            return;
        };
        source.online = false;
        source.forget_reach();
        tools
            .out
            .info_about(Topic::SourceEvent, format!("Source {} offline", source.place()));
        if !source.is_asked() {
            tools.timers.stop(Timer::Poll(id));
        }
    }

    fn chosen(&self, which: Which) -> Vec<SourceId> {
        let servers = self.by_id.iter().filter(|(_, source)| source.ref_clock.is_none());
        let chosen = servers.filter(|(id, source)| match which {
            Which::All => true,
            Which::One(one) => **id == one,
            Which::Masked { mask, address } => is_masked(source, mask, address),
        });
        chosen.map(|(id, _)| *id).collect()
    }
}

fn is_masked(source: &Source, mask: IpAddr, address: IpAddr) -> bool {
    match (source.address, mask, address) {
        (Some(IpAddr::V4(ours)), IpAddr::V4(mask), IpAddr::V4(address)) => ours & mask == address & mask,
        (Some(IpAddr::V6(ours)), IpAddr::V6(mask), IpAddr::V6(address)) => ours & mask == address & mask,
        _ => false,
    }
}
