//! Who may do what, decided as ntpd decides it: rules with flags, of which the most specific counts.

use std::net::IpAddr;

use conf::config::{AccessRule, NTP_PORT, RateLimit, RestrictFlags, Restrictions, Subnet, Verdict};
use wire::ntp::Version;

use super::access::AccessError;
use super::{Question, Server};

/// Of 256 packets, how many a rule with `flake` drops: one of ten.
const FLAKES: u8 = 26;

/// How a request is answered that is answered at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// How often its sender is answered; `None`: always.
    pub limit: Option<RateLimit>,
    /// Only if it is authenticated.
    pub only_authenticated: bool,
}

impl Server {
    /// Returns how a request is to be answered; `None`: not at all.
    pub(super) fn terms(&self, question: &Question<'_>) -> Option<Terms> {
        let from = question.from;
        let Some(restrictions) = &self.restrictions else {
            return self.access.is_allowed(from.ip()).then_some(Terms {
                limit: self.rate_limit,
                only_authenticated: false,
            });
        };
        let flags = restrictions.flags(from.ip(), from.port(), question.is_source);
        let is_of_this_version = question.packet.header.version == Version::V4;
        let is_shut_out = flags.ignore
            || flags.noserve
            || (flags.version && !is_of_this_version)
            || (flags.flake && question.random < FLAKES);
        let limit = self.rate_limit.filter(|_| flags.limited);
        (!is_shut_out).then_some(Terms {
            limit: limit.map(|limit| RateLimit {
                kod: if flags.kod { limit.kod } else { 0 },
                ..limit
            }),
            only_authenticated: flags.notrust,
        })
    }

    /// Reports whether an address may ask for the time.
    #[must_use]
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        match &self.restrictions {
            None => self.access.is_allowed(address),
            Some(restrictions) => {
                let flags = restrictions.flags(address, 0, false);
                !flags.ignore && !flags.noserve
            }
        }
    }

    /// Reports whether packets from an address are thrown away even if they are answers of a source: whether a rule
    /// about just this address says so.
    #[must_use]
    pub fn ignores_host(&self, address: IpAddr, port: u16) -> bool {
        let rule = self
            .restrictions
            .as_ref()
            .and_then(|restrictions| restrictions.find(address, port));
        rule.is_some_and(|rule| rule.flags.ignore && rule.is_of_host())
    }

    /// Reports whether some rule lets some address of a family send something: whether the port has to be open.
    #[must_use]
    pub fn allows_any(&self, ipv6: bool) -> bool {
        match &self.restrictions {
            None if ipv6 => self.access.allows_any_ipv6(),
            None => self.access.allows_any_ipv4(),
            Some(restrictions) => restrictions.rules.iter().any(|rule| {
                let flags = rule.flags;
                let is_shut_out = flags.ignore || (flags.noserve && flags.noquery);
                match rule.subnet {
                    Subnet::Prefix { address, .. } => address.is_ipv6() == ipv6 && !is_shut_out,
                    // It may be of either family.
                    Subnet::Name(_) => !is_shut_out,
                    Subnet::Everyone => false,
                }
            }),
        }
    }

    /// Takes one more rule on who may ask, after all others.
    ///
    /// Where rules have flags, it sets or clears those that keep from asking for the time, and no others: a subnet without a
    /// rule of its own gets one with the flags that held for it until then.
    ///
    /// # Errors
    /// The rule cannot be taken; nothing has changed.
    pub fn set_access(&mut self, rule: &AccessRule) -> Result<(), AccessError> {
        let Some(restrictions) = &mut self.restrictions else {
            return self.access.set(rule);
        };
        let subnets = match &rule.subnet {
            Subnet::Everyone => EVERYONE
                .map(|address| Subnet::Prefix { address, length: 0 })
                .to_vec(),
            Subnet::Prefix { address, length } if *length > Subnet::length_max(*address) => {
                return Err(AccessError::Length);
            }
            subnet @ Subnet::Prefix { .. } => vec![subnet.clone()],
            Subnet::Name(_) => return Err(AccessError::Name),
        };
        let is_denied = rule.verdict == Verdict::Deny;
        for subnet in subnets {
            begin(restrictions, &subnet);
            for meant in &mut restrictions.rules {
                let is_meant = match meant.subnet {
                    Subnet::Prefix { address, .. } if rule.all => subnet.contains(address),
                    _ => meant.subnet == subnet,
                };
                if is_meant {
                    set_serving(&mut meant.flags, is_denied);
                }
            }
        }
        Ok(())
    }
}

/// Makes sure that a subnet has rules of its own, which keep from what the rules that covered it until now keep from.
fn begin(restrictions: &mut Restrictions, subnet: &Subnet) {
    let Subnet::Prefix { address, length } = *subnet else {
        return;
    };
    // The one for port 123 first, because the other would hide what covered it.
    for ntp_port in [true, false] {
        let port = if ntp_port { NTP_PORT } else { 0 };
        let covering = restrictions.rules.iter().filter_map(|rule| {
            let specific = rule.covers(address, port)?;
            (specific.0 <= length).then_some((specific, rule))
        });
        let decides = covering
            .max_by_key(|(specific, _)| *specific)
            .map(|(_, rule)| rule);
        let is_its_own = decides.is_some_and(|rule| rule.subnet == *subnet && rule.ntp_port == ntp_port);
        let is_of_any_port = decides.is_none_or(|rule| !rule.ntp_port);
        if is_its_own || (ntp_port && is_of_any_port) {
            continue;
        }
        let mut flags = decides.map(|rule| rule.flags).unwrap_or_default();
        // What ignores many does not become a rule that ignores one, which would count for the answers of a source too.
        if flags.ignore {
            (flags.ignore, flags.noserve, flags.noquery, flags.nomodify) = (false, true, true, true);
        }
        *restrictions.entry(subnet, ntp_port) = flags;
    }
}

/// Has a rule serve or not; what else it keeps from stays.
const fn set_serving(flags: &mut RestrictFlags, is_denied: bool) {
    if flags.ignore && !is_denied {
        (flags.ignore, flags.noquery, flags.nomodify) = (false, true, true);
    }
    flags.noserve = is_denied;
}

/// The addresses of which everybody has the first no bits in common.
const EVERYONE: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
];
