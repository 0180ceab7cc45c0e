//! On which network interfaces clients are answered.

use std::net::IpAddr;

use super::access::Subnet;

/// Holds one rule on the interfaces on which clients are answered. Of several the last that fits counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceRule {
    /// Whether clients are answered there.
    pub listen: bool,
    /// Where.
    pub target: InterfaceTarget,
}

/// Says what a rule on interfaces is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceTarget {
    /// Every address but those of the loopback interface.
    All,
    /// The IPv4 addresses among these.
    Ipv4,
    /// The IPv6 addresses among these.
    Ipv6,
    /// The addresses of interfaces with a name of this pattern; letter case does not matter.
    Name(String),
    /// These addresses.
    Address(Subnet),
}

impl InterfaceRule {
    /// Reports whether clients are answered that sent to `address` and came by the interface `name`.
    ///
    /// Where no rule fits: on the loopback interface always, on others only if there are no rules at all.
    pub fn answers(rules: &[Self], name: &str, address: IpAddr) -> bool {
        let is_loopback = address.is_loopback();
        let fitting = rules.iter().rev().find(|rule| match &rule.target {
            InterfaceTarget::All => !is_loopback,
            InterfaceTarget::Ipv4 => !is_loopback && address.is_ipv4(),
            InterfaceTarget::Ipv6 => !is_loopback && address.is_ipv6(),
            InterfaceTarget::Name(pattern) => {
                crate::include::matches(&pattern.to_ascii_lowercase(), &name.to_ascii_lowercase())
            }
            InterfaceTarget::Address(subnet) => subnet.contains(address),
        });
        fitting.map_or(is_loopback || rules.is_empty(), |rule| rule.listen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> InterfaceRule {
        let (action, target) = text.split_once(' ').unwrap();
        InterfaceRule {
            listen: action == "listen",
            target: match target {
                "all" => InterfaceTarget::All,
                "ipv4" => InterfaceTarget::Ipv4,
                "ipv6" => InterfaceTarget::Ipv6,
                other => match other.split_once('/') {
                    Some((address, length)) => InterfaceTarget::Address(
                        Subnet::prefix(address.parse().unwrap(), length.parse().unwrap()).unwrap(),
                    ),
                    None => InterfaceTarget::Name(other.to_owned()),
                },
            },
        }
    }

    /// The rules, and on which of `eth0` 10.0.0.1, `eth0` 2001:db8::1, `wlan0` 10.9.0.1 and `lo` 127.0.0.1 clients are
    /// answered then.
    #[test]
    fn the_last_rule_that_fits_counts() {
        for (rules, expected) in [
            ("", [true, true, true, true]),
            ("listen eth0", [true, true, false, true]),
            ("listen eth0,listen lo", [true, true, false, true]),
            ("listen ETH*", [true, true, false, true]),
            ("ignore all", [false, false, false, true]),
            ("ignore all,listen ipv6", [false, true, false, true]),
            ("listen ipv6,ignore all", [false, false, false, true]),
            ("listen all,ignore wlan0", [true, true, false, true]),
            ("listen all,drop lo", [true, true, true, false]),
            ("ignore ipv4,listen 10.0.0.0/16", [true, false, false, true]),
            ("ignore 127.0.0.0/8,listen ipv4", [true, false, true, false]),
        ] {
            let rules = rules
                .split(',')
                .filter(|rule| !rule.is_empty())
                .map(rule)
                .collect::<Vec<_>>();
            let answers =
                |name, address: &str| InterfaceRule::answers(&rules, name, address.parse().unwrap());
            let found = [
                answers("eth0", "10.0.0.1"),
                answers("eth0", "2001:db8::1"),
                answers("wlan0", "10.9.0.1"),
                answers("lo", "127.0.0.1"),
            ];
            assert_eq!(found, expected, "{rules:?}");
        }
    }
}
