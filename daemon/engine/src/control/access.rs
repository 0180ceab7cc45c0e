//! Who may ask: rules that come while the daemon runs, from operators and from the resolver.

use std::net::IpAddr;

use conf::config::{AccessRule, RestrictFlags, Restriction, Subnet, Verdict};
use units::Mono;

use crate::Engine;
use crate::io::{LookupError, LookupId, Output};
use crate::server::access::{Access, AccessError};
use crate::sources::names::{Lack, Retries};
use crate::timer::Timer;

/// Questions about the names in rules have numbers from here down; those about sources count up from 0.
const LAST_LOOKUP: u32 = u32::MAX;

/// So many numbers are used before they are used again.
const LOOKUPS: u32 = 1 << 24;

/// How often names in rules with flags are looked up again, seconds: hosts move.
const FOLLOWED_EVERY_S: f64 = 3600.0;

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
    name: String,
    rule: Waiting,
    /// The addresses that the rule counts for now; one without flags counts for the first of them.
    addresses: Vec<IpAddr>,
    /// How often its name could not be looked up.
    failures: Retries,
    is_under_way: bool,
}

/// What a rule says of the address of its name.
#[derive(Debug, Clone)]
enum Waiting {
    /// Whether the first address may ask; the subnet is that of the name.
    Access(Whom, AccessRule),
    /// What all its addresses may not do.
    Restriction { ntp_port: bool, flags: RestrictFlags },
}

impl Engine {
    /// Takes one more rule, after all others.
    ///
    /// # Errors
    /// The rule cannot be taken; nothing has changed.
    pub fn set_access(&mut self, whom: Whom, rule: &AccessRule) -> Result<(), AccessError> {
        match whom {
            Whom::NtpClients => {
                self.server.set_access(rule)?;
                self.open_for_clients();
            }
            Whom::Commanders => self.control.access.set(rule)?,
        }
        Ok(())
    }

    /// Asks for the addresses of the names in the rules of the configuration. Until its name has one, a rule has no
    /// effect; then it counts as the last. A name that rules had before has the addresses that it had, until the answer
    /// comes.
    pub(crate) fn look_up_rules(&mut self) {
        let known = std::mem::take(&mut self.control.addresses_of_names);
        let of_clients = self
            .config
            .server
            .access
            .iter()
            .map(|rule| (&rule.subnet, Waiting::Access(Whom::NtpClients, rule.clone())));
        let of_commanders = self
            .config
            .control
            .access
            .iter()
            .map(|rule| (&rule.subnet, Waiting::Access(Whom::Commanders, rule.clone())));
        let restrictions = self.config.server.restrictions.iter();
        let restrictions = restrictions.flat_map(|all| &all.rules).map(|rule| {
            let (ntp_port, flags) = (rule.ntp_port, rule.flags);
            (&rule.subnet, Waiting::Restriction { ntp_port, flags })
        });
        let mut begun = Vec::new();
        for (subnet, rule) in of_clients.chain(of_commanders).chain(restrictions) {
            let Subnet::Name(name) = subnet else { continue };
            let addresses = known.get(name).cloned().unwrap_or_default();
            if !addresses.is_empty() {
                let names = &mut self.control.addresses_of_names;
                names.insert(name.clone(), addresses.clone());
                begun.push((rule.clone(), addresses.clone()));
            }
            let lookup = LookupId(LAST_LOOKUP - self.control.named % LOOKUPS);
            self.control.named = self.control.named.wrapping_add(1);
            self.out.push(Output::Resolve {
                lookup,
                name: name.clone(),
            });
            self.control.named_rules.push(NamedRule {
                lookup,
                name: name.clone(),
                rule,
                addresses,
                failures: Retries::default(),
                is_under_way: true,
            });
        }
        for (rule, addresses) in begun {
            self.set_named(&rule, &addresses);
        }
    }

    /// Asks again for the addresses of names in rules: of those that have none yet, and of those that may have others by
    /// now.
    pub(crate) fn look_up_rules_again(&mut self) {
        self.look_up_rules_about(&|_| true);
    }

    /// Asks again for the addresses of a name in rules, because there is reason to think that it has others.
    pub(crate) fn look_up_rules_of(&mut self, name: &str) {
        self.look_up_rules_about(&|named| named.name == name);
    }

    fn look_up_rules_about(&mut self, is_meant: &dyn Fn(&NamedRule) -> bool) {
        for named in self
            .control
            .named_rules
            .iter_mut()
            .filter(|named| is_meant(named))
        {
            if !named.is_under_way {
                named.is_under_way = true;
                self.out.push(Output::Resolve {
                    lookup: named.lookup,
                    name: named.name.clone(),
                });
            }
        }
    }

    /// A name has been looked up; says whether it was that of a rule. A name without an address is tried again for
    /// ever.
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
        let NamedRule { name, rule, .. } = named.clone();
        let addresses = answer.as_deref().unwrap_or_default();
        if !addresses.is_empty() {
            let before = std::mem::replace(&mut named.addresses, addresses.to_vec());
            named.failures = Retries::default();
            let names = &mut self.control.addresses_of_names;
            names.insert(name, addresses.to_vec());
            if let Waiting::Access(whom, rule_of_name) = &rule {
                self.control.named_rules.retain(|named| named.lookup != lookup);
                if before.first() != addresses.first() {
                    self.set_named(&rule, addresses);
                    if let Some(before) = before.first() {
                        self.clear_allowed(*whom, rule_of_name.verdict, *before);
                    }
                }
                return true;
            }
            if before != addresses {
                self.set_named(&rule, addresses);
                self.clear_named(&before);
            }
            self.plan_rules(now.plus_seconds(FOLLOWED_EVERY_S));
            return true;
        }
        if !named.addresses.is_empty() {
            // It keeps those that it had.
            self.plan_rules(now.plus_seconds(FOLLOWED_EVERY_S));
            return true;
        }
        if named.failures == Retries::default() {
            self.out.warn(format!(
                "Could not look up {name}: the rule about it has no effect until its name has an address"
            ));
        }
        let is_ntpd = self.server.restrictions.is_some();
        let at = now.plus_seconds(named.failures.count(Lack::after(answer), is_ntpd));
        self.plan_rules(at);
        true
    }

    /// Looks names in rules up then, or before.
    fn plan_rules(&mut self, at: Mono) {
        let planned = self.timers.get(Timer::Rules);
        self.timers
            .set(Timer::Rules, planned.map_or(at, |planned| planned.min(at)));
    }

    /// Takes back that a name let in an address that it has no longer, unless the configuration lets it in anyway. Whom a name
    /// shut out stays shut out.
    fn clear_allowed(&mut self, whom: Whom, verdict: Verdict, before: IpAddr) {
        let rules = match whom {
            Whom::NtpClients => &self.config.server.access,
            Whom::Commanders => &self.config.control.access,
        };
        let mut configured = Access::new();
        for rule in rules {
            let addresses = match &rule.subnet {
                Subnet::Name(name) => self.control.addresses_of_names.get(name),
                _ => None,
            };
            let subnet = match addresses.and_then(|addresses| addresses.first()) {
                Some(address) => of_host(*address),
                None => rule.subnet.clone(),
            };
            // One about a name without an address has no effect.
            let _taken = configured.set(&AccessRule {
                subnet,
                ..rule.clone()
            });
        }
        if verdict == Verdict::Allow && !configured.is_allowed(before) {
            let rule = AccessRule {
                verdict: Verdict::Deny,
                all: false,
                subnet: of_host(before),
            };
            // A rule about one whole address is always taken.
            let _taken = self.set_access(whom, &rule);
        }
    }

    /// Takes back what rules about a name said of addresses that it has no longer. What others say of one stays.
    fn clear_named(&mut self, before: &[IpAddr]) {
        let configured = self.config.server.restrictions.clone().unwrap_or_default().rules;
        let Some(restrictions) = &mut self.server.restrictions else {
            return;
        };
        for address in before {
            let subnet = of_host(*address);
            for ntp_port in [false, true] {
                let is_this = |rule: &Restriction| rule.subnet == subnet && rule.ntp_port == ntp_port;
                let of_names = self
                    .control
                    .named_rules
                    .iter()
                    .filter_map(|named| match &named.rule {
                        Waiting::Restriction {
                            ntp_port: port,
                            flags,
                        } if *port == ntp_port => named.addresses.contains(address).then_some(*flags),
                        _ => None,
                    });
                let of_file = configured
                    .iter()
                    .filter(|rule| is_this(rule))
                    .map(|rule| rule.flags);
                let left = of_file.chain(of_names).collect::<Vec<_>>();
                restrictions.rules.retain(|rule| !is_this(rule));
                if !left.is_empty() {
                    let entry = restrictions.entry(&subnet, ntp_port);
                    left.into_iter().for_each(|flags| entry.set_all(flags, true));
                }
            }
        }
        self.open_for_clients();
    }

    /// Takes a rule about a name whose addresses are known.
    fn set_named(&mut self, rule: &Waiting, addresses: &[IpAddr]) {
        let hosts = addresses.iter().map(|address| of_host(*address));
        match rule {
            Waiting::Access(whom, rule) => {
                for subnet in hosts.take(1) {
                    // A rule about one whole address is always taken.
                    let _taken = self.set_access(
                        *whom,
                        &AccessRule {
                            subnet,
                            ..rule.clone()
                        },
                    );
                }
            }
            Waiting::Restriction { ntp_port, flags } => {
                let Some(restrictions) = &mut self.server.restrictions else {
                    return;
                };
                for subnet in hosts {
                    restrictions.entry(&subnet, *ntp_port).set_all(*flags, true);
                }
                self.open_for_clients();
            }
        }
    }
}

/// The subnet that is one address.
const fn of_host(address: IpAddr) -> Subnet {
    Subnet::Prefix {
        address,
        length: Subnet::length_max(address),
    }
}
