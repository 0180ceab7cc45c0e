//! Who may ask: rules that come while the daemon runs, from operators and from the resolver.

use std::net::IpAddr;

use conf::config::{AccessRule, Subnet};
use units::Mono;

use crate::Engine;
use crate::io::{LookupError, LookupId, Output};
use crate::server::access::AccessError;
use crate::sources::names::retry_wait_s;
use crate::timer::Timer;

/// Questions about the names in rules have numbers from here down; those about sources count up from 0.
const LAST_LOOKUP: u32 = u32::MAX;

/// Whom a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Those who ask for the time (`allow`, `deny`).
    NtpClients,
    /// Those who ask for reports over UDP (`cmdallow`, `cmddeny`).
    Commanders,
}

/// A rule that waits for the address of its name.
#[derive(Debug, Clone)]
pub(super) struct NamedRule {
    lookup: LookupId,
    whom: Whom,
    rule: AccessRule,
    /// How often its name could not be looked up.
    failures: i32,
    is_under_way: bool,
}

impl Engine {
    /// Takes one more rule, after all others.
    ///
    /// # Errors
    /// The rule cannot be taken; nothing has changed.
    pub fn set_access(&mut self, whom: Whom, rule: &AccessRule) -> Result<(), AccessError> {
        match whom {
            Whom::NtpClients => {
                self.server.access.set(rule)?;
                self.open_for_clients();
            }
            Whom::Commanders => self.control.access.set(rule)?,
        }
        Ok(())
    }

    /// Asks for the addresses of the names in the rules of the configuration. Until its name has one, a rule has no
    /// effect; then it counts as the last.
    pub(crate) fn look_up_rules(&mut self) {
        let of_clients = self
            .config
            .server
            .access
            .iter()
            .map(|rule| (Whom::NtpClients, rule));
        let of_commanders = self
            .config
            .control
            .access
            .iter()
            .map(|rule| (Whom::Commanders, rule));
        let mut number = LAST_LOOKUP;
        for (whom, rule) in of_clients.chain(of_commanders) {
            let Subnet::Name(name) = &rule.subnet else {
                continue;
            };
            let lookup = LookupId(number);
            number = number.wrapping_sub(1);
            self.out.push(Output::Resolve {
                lookup,
                name: name.clone(),
            });
            self.control.named_rules.push(NamedRule {
                lookup,
                whom,
                rule: rule.clone(),
                failures: 0,
                is_under_way: true,
            });
        }
    }

    /// Asks again for the addresses of names in rules that have none yet.
    pub(crate) fn look_up_rules_again(&mut self) {
        for named in &mut self.control.named_rules {
            if let (false, Subnet::Name(name)) = (named.is_under_way, &named.rule.subnet) {
                named.is_under_way = true;
                self.out.push(Output::Resolve {
                    lookup: named.lookup,
                    name: name.clone(),
                });
            }
        }
    }

    /// A name has been looked up; says whether it was that of a rule, which is about the first address. A name
    /// without an address is tried again for ever.
    pub(crate) fn rule_resolved(
        &mut self,
        now: Mono,
        lookup: LookupId,
        answer: &Result<Vec<IpAddr>, LookupError>,
    ) -> bool {
        let mut named_rules = self.control.named_rules.iter_mut();
        let Some(named) = named_rules.find(|named| named.lookup == lookup) else {
            return false;
        };
        named.is_under_way = false;
        let NamedRule { whom, rule, .. } = named.clone();
        let address = answer
            .as_ref()
            .ok()
            .and_then(|addresses| addresses.first().copied());
        let subnet = address.and_then(|address| Subnet::prefix(address, Subnet::length_max(address)));
        if let Some(subnet) = subnet {
            // A rule about one whole address is always taken.
            let _taken = self.set_access(whom, &AccessRule { subnet, ..rule });
            self.control.named_rules.retain(|named| named.lookup != lookup);
            return true;
        }
        if let (0, Subnet::Name(name)) = (named.failures, &rule.subnet) {
            self.out.warn(format!(
                "Could not look up {name}: the rule about it has no effect until its name has an address"
            ));
        }
        let at = now.plus_seconds(retry_wait_s(named.failures));
        named.failures = named.failures.saturating_add(1);
        let at = self
            .timers
            .get(Timer::Rules)
            .map_or(at, |planned| planned.min(at));
        self.timers.set(Timer::Rules, at);
        true
    }
}
