//! Who may do what: rules with flags, of which the most specific decides.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::access::{AccessRule, Subnet, Verdict};

/// The port that servers and peers have.
pub const NTP_PORT: u16 = 123;

/// Holds rules by which each address may do what it may, in the place of [`super::AccessRule`]s.
///
/// A rule covers an address if it has the address's family and its first bits. Of those that cover an address the one
/// with the longest prefix decides, alone; of two with the same prefix the one for port 123 comes first. What no rule
/// covers is free. Source: ntp.conf, `restrict`, with contiguous masks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restrictions {
    /// The rules; no two have the same subnet and port.
    pub rules: Vec<Restriction>,
    /// What holds for the address of a source where another rule would shut it out (`restrict source`).
    pub of_sources: Option<RestrictFlags>,
}

/// Holds one rule on what some addresses may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restriction {
    /// Whom it is about; never [`Subnet::Everyone`]. A name stands for each of its addresses.
    pub subnet: Subnet,
    /// Whether it is only about packets from port 123.
    pub ntp_port: bool,
    /// What they may not do.
    pub flags: RestrictFlags,
}

/// Says what an address may not do; without any flag it may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RestrictFlags {
    /// No packet of theirs is looked at.
    pub ignore: bool,
    /// They are not told the time.
    pub noserve: bool,
    /// They are told the time only if they authenticate themselves.
    pub notrust: bool,
    /// They are told the time only in the current version of the protocol.
    pub version: bool,
    /// They are answered only so often ([`super::Server::rate_limit`]).
    pub limited: bool,
    /// Above the limit they get the kiss code RATE now and then.
    pub kod: bool,
    /// One packet of ten is dropped, for tests.
    pub flake: bool,
    /// They cannot ask for reports by control packets of NTP.
    pub noquery: bool,
    /// They cannot change anything by control packets.
    pub nomodify: bool,
    /// They cannot ask for the list of clients.
    pub nomrulist: bool,
}

impl RestrictFlags {
    /// Adds the flags of another rule, or takes them away.
    pub fn set_all(&mut self, others: Self, to: bool) {
        let pairs = [
            (&mut self.ignore, others.ignore),
            (&mut self.noserve, others.noserve),
            (&mut self.notrust, others.notrust),
            (&mut self.version, others.version),
            (&mut self.limited, others.limited),
            (&mut self.kod, others.kod),
            (&mut self.flake, others.flake),
            (&mut self.noquery, others.noquery),
            (&mut self.nomodify, others.nomodify),
            (&mut self.nomrulist, others.nomrulist),
        ];
        for (flag, is_meant) in pairs {
            if is_meant {
                *flag = to;
            }
        }
    }
}

impl Restriction {
    /// Returns how specific the rule is if it covers packets from this address and port; of several the one with the
    /// largest decides.
    pub fn covers(&self, from: IpAddr, port: u16) -> Option<(u8, bool)> {
        let Subnet::Prefix { length, .. } = self.subnet else {
            return None;
        };
        let covers = self.subnet.contains(from) && (!self.ntp_port || port == NTP_PORT);
        covers.then_some((length, self.ntp_port))
    }

    /// Reports whether the rule is about one address only.
    pub fn is_of_host(&self) -> bool {
        match self.subnet {
            Subnet::Prefix { address, length } => length == Subnet::length_max(address),
            Subnet::Name(_) => true,
            Subnet::Everyone => false,
        }
    }
}

impl Restrictions {
    /// Returns the rule that decides about packets from an address and port.
    pub fn find(&self, from: IpAddr, port: u16) -> Option<&Restriction> {
        let covering = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule.covers(from, port)?, rule)));
        covering
            .max_by_key(|(specific, _)| *specific)
            .map(|(_, rule)| rule)
    }

    /// Returns what packets from an address and port may not do. What is said of sources holds for the address of one
    /// that another rule would shut out, unless that rule is about this address alone.
    pub fn flags(&self, from: IpAddr, port: u16, is_source: bool) -> RestrictFlags {
        let Some(rule) = self.find(from, port) else {
            return RestrictFlags::default();
        };
        let shuts_out = rule.flags.ignore || rule.flags.notrust;
        match self.of_sources {
            Some(of_sources) if is_source && shuts_out && !rule.is_of_host() => of_sources,
            _ => rule.flags,
        }
    }

    /// Returns the rules by which those are told the time whom chrony's rules let in. Nobody but this host may do more, which
    /// is told the time only if it is let in too.
    pub fn of_access(access: &[AccessRule], limited: bool) -> Self {
        let shut = RestrictFlags {
            noserve: true,
            noquery: true,
            nomodify: true,
            ..RestrictFlags::default()
        };
        let open = RestrictFlags {
            noserve: false,
            limited,
            ..shut
        };
        let everyone = [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ]
        .map(|address| Subnet::Prefix { address, length: 0 });
        let mut restrictions = Self::default();
        for subnet in &everyone {
            *restrictions.entry(subnet, false) = shut;
        }
        for rule in access {
            let subnets = match &rule.subnet {
                Subnet::Everyone => everyone.as_slice(),
                subnet => std::slice::from_ref(subnet),
            };
            for subnet in subnets {
                restrictions
                    .rules
                    .retain(|earlier| !is_forgotten(&earlier.subnet, rule.all, subnet));
                let flags = if rule.verdict == Verdict::Allow {
                    open
                } else {
                    shut
                };
                *restrictions.entry(subnet, false) = flags;
            }
        }
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let length = Subnet::length_max(address);
            let holds = restrictions.find(address, 0).map(|rule| rule.flags);
            *restrictions.entry(&Subnet::Prefix { address, length }, false) = RestrictFlags {
                noquery: false,
                nomodify: false,
                ..holds.unwrap_or_default()
            };
        }
        restrictions
    }

    /// Returns who is told the time, as rules of chrony, and whether these say all that is said here about that. Where they
    /// cannot, they let in fewer. No rule says what holds without it, so that equal rules are equal lists.
    pub fn as_access(&self) -> (Vec<AccessRule>, bool) {
        let mut is_exact = self.of_sources.is_none();
        let mut rules = self
            .rules
            .iter()
            .filter(|rule| !rule.ntp_port)
            .collect::<Vec<_>>();
        // The longer prefixes come later, and so count inside the shorter ones; names are addresses.
        rules.sort_by_key(|rule| match rule.subnet {
            Subnet::Prefix { length, .. } => length,
            Subnet::Everyone | Subnet::Name(_) => u8::MAX,
        });
        is_exact &= rules.len() == self.rules.len();
        let mut access: Vec<AccessRule> = Vec::new();
        for family in [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ] {
            let everyone = Subnet::Prefix {
                address: family,
                length: 0,
            };
            if !rules.iter().any(|rule| rule.subnet == everyone) {
                access.push(AccessRule {
                    verdict: Verdict::Allow,
                    all: false,
                    subnet: everyone,
                });
            }
        }
        for rule in rules {
            let flags = rule.flags;
            is_exact &= !flags.notrust && !flags.version && !flags.flake;
            let is_open = !flags.ignore && !flags.noserve && !flags.notrust;
            if !is_open && matches!(rule.subnet, Subnet::Prefix { length: 0, .. }) {
                // Whom no rule covers is denied.
                continue;
            }
            access.push(AccessRule {
                verdict: if is_open { Verdict::Allow } else { Verdict::Deny },
                all: false,
                subnet: rule.subnet.clone(),
            });
        }
        (without_repeated(access), is_exact)
    }

    /// Returns the rule for a subnet and port, made without flags if there is none yet.
    pub fn entry(&mut self, subnet: &Subnet, ntp_port: bool) -> &mut RestrictFlags {
        let found = self
            .rules
            .iter()
            .position(|rule| rule.subnet == *subnet && rule.ntp_port == ntp_port);
        let at = found.unwrap_or_else(|| {
            self.rules.push(Restriction {
                subnet: subnet.clone(),
                ntp_port,
                flags: RestrictFlags::default(),
            });
            self.rules.len() - 1
        });
        &mut self.rules[at].flags
    }
}

/// Removes rules that say of a subnet what the next larger one says of it anyway. The rules have the longer prefixes later.
fn without_repeated(access: Vec<AccessRule>) -> Vec<AccessRule> {
    // For each length the first bits of addresses with what holds for them.
    let mut held: BTreeMap<u8, BTreeMap<IpAddr, Verdict>> = BTreeMap::new();
    let mut needed = Vec::new();
    for rule in access {
        if let Subnet::Prefix { address, length } = rule.subnet {
            let mut longest_first = held.iter().rev();
            let holds = longest_first.find_map(|(length, held)| held.get(&network(address, *length)));
            if *holds.unwrap_or(&Verdict::Deny) == rule.verdict {
                continue;
            }
            let of_length = held.entry(length).or_default();
            of_length.insert(network(address, length), rule.verdict);
        }
        needed.push(rule);
    }
    needed
}

/// Returns an address with zeros behind its first bits.
pub(crate) fn network(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(address) => {
            let behind = u32::MAX.checked_shr(length).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & !behind))
        }
        IpAddr::V6(address) => {
            let behind = u128::MAX.checked_shr(length).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !behind))
        }
    }
}

/// Reports whether chrony forgets an earlier rule on a subnet when it reads one on `later`: those inside it if the later
/// rule is about `all` of it, and otherwise those that share its level of the tree, which has one for each 4 bits.
fn is_forgotten(earlier: &Subnet, all: bool, later: &Subnet) -> bool {
    let (Subnet::Prefix { address, length }, Subnet::Prefix { length: of_later, .. }) = (earlier, later)
    else {
        return false;
    };
    let is_inside = length >= of_later && later.contains(*address);
    is_inside && (all || *length <= of_later.next_multiple_of(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(list: &[(&str, u8, bool)]) -> Restrictions {
        let mut rules = Restrictions::default();
        for (address, length, ntp_port) in list {
            let subnet = Subnet::prefix(address.parse().unwrap(), *length).unwrap();
            rules.entry(&subnet, *ntp_port).ignore = true;
        }
        rules
    }

    fn subnets(access: &[AccessRule]) -> Vec<(Verdict, String)> {
        let named = access.iter().map(|rule| match &rule.subnet {
            Subnet::Prefix { address, length } => (rule.verdict, format!("{address}/{length}")),
            Subnet::Name(name) => (rule.verdict, name.clone()),
            Subnet::Everyone => (rule.verdict, String::new()),
        });
        named.collect()
    }

    #[test]
    fn what_holds_anyway_is_not_said_again() {
        let rule = |verdict, address: &str, length| AccessRule {
            verdict,
            all: false,
            subnet: Subnet::prefix(address.parse().unwrap(), length).unwrap(),
        };
        let access = [
            rule(Verdict::Allow, "0.0.0.0", 0),
            rule(Verdict::Deny, "10.0.0.0", 8),
            rule(Verdict::Deny, "10.1.0.0", 16),
            rule(Verdict::Allow, "10.1.2.0", 24),
            rule(Verdict::Allow, "127.0.0.0", 8),
            rule(Verdict::Deny, "2001:db8::", 32),
        ];
        let (again, is_exact) = Restrictions::of_access(&access, true).as_access();
        assert!(is_exact);
        assert_eq!(
            subnets(&again),
            [
                (Verdict::Allow, "0.0.0.0/0".to_owned()),
                (Verdict::Deny, "10.0.0.0/8".to_owned()),
                (Verdict::Allow, "10.1.2.0/24".to_owned()),
            ]
        );
        // This host is told the time only where it is let in; it may ask for reports.
        let local = Restrictions::of_access(&[], true);
        for address in ["127.0.0.1", "::1"] {
            let flags = local.flags(address.parse().unwrap(), 1, false);
            assert!(flags.noserve && !flags.noquery && !flags.nomodify, "{address}");
        }
        assert_eq!(local.as_access(), (Vec::new(), true));
    }

    #[test]
    fn what_holds_anyway_is_known_by_the_first_bits() {
        let mut given = Restrictions::default();
        for (address, length, ignore) in [
            ("0.0.0.0", 0, true),
            ("::", 0, true),
            ("10.9.9.9", 8, false),
            ("10.1.9.9", 16, true),
            ("10.1.2.3", 32, true),
            ("10.2.3.4", 32, false),
            ("2001:db8::1", 127, false),
            ("2001:db8::", 128, false),
            ("2001:db8::2", 128, false),
        ] {
            let subnet = Subnet::prefix(address.parse().unwrap(), length).unwrap();
            given.entry(&subnet, false).ignore = ignore;
        }
        assert_eq!(
            subnets(&given.as_access().0),
            [
                (Verdict::Allow, "10.9.9.9/8".to_owned()),
                (Verdict::Deny, "10.1.9.9/16".to_owned()),
                (Verdict::Allow, "2001:db8::1/127".to_owned()),
                (Verdict::Allow, "2001:db8::2/128".to_owned()),
            ]
        );
    }

    #[test]
    fn the_longest_prefix_decides_and_then_the_port() {
        let rules = rules(&[
            ("10.1.0.0", 16, false),
            ("0.0.0.0", 0, false),
            ("10.1.2.3", 32, false),
            ("10.1.2.3", 32, true),
            ("::", 0, false),
            ("10.0.0.0", 8, true),
        ]);
        let found = |address: &str, port| {
            let found = rules.find(address.parse().unwrap(), port);
            found.map(|rule| (rule.subnet.clone(), rule.ntp_port))
        };
        let of = |address: &str, length, ntp_port| {
            Some((
                Subnet::prefix(address.parse().unwrap(), length).unwrap(),
                ntp_port,
            ))
        };
        assert_eq!(found("10.1.2.3", 123), of("10.1.2.3", 32, true));
        assert_eq!(found("10.1.2.3", 124), of("10.1.2.3", 32, false));
        assert_eq!(found("10.1.2.4", 123), of("10.1.0.0", 16, false));
        assert_eq!(found("10.2.2.4", 123), of("10.0.0.0", 8, true));
        assert_eq!(found("10.2.2.4", 1023), of("0.0.0.0", 0, false));
        assert_eq!(found("2001:db8::1", 123), of("::", 0, false));
        assert_eq!(Restrictions::default().find("::1".parse().unwrap(), 1), None);
    }
}
