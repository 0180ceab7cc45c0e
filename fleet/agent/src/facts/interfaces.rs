//! Network interfaces and their addresses (proc(5), sysfs).
//!
//! `/proc/net/fib_trie` knows the host's IPv4 addresses but not their interfaces; the routes of
//! `/proc/net/route` say to which interface the network of an address belongs.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use model::host::NetworkInterface;

use crate::host::Host;

/// Most interfaces that are reported; a host of many containers has thousands.
const INTERFACES_MAX: usize = 64;

pub(super) fn read(host: &dyn Host) -> Vec<NetworkInterface> {
    let names = host.list(Path::new("/sys/class/net")).unwrap_or_default();
    let routes = routes(&super::text(host, "/proc/net/route"));
    let ipv4 = local_ipv4(&super::text(host, "/proc/net/fib_trie"));
    let ipv6 = local_ipv6(&super::text(host, "/proc/net/if_inet6"));
    names
        .into_iter()
        .take(INTERFACES_MAX)
        .map(|name| {
            let mac = super::line(host, &format!("/sys/class/net/{name}/address"));
            NetworkInterface {
                ipv4: ipv4
                    .iter()
                    .find(|address| interface_of(**address, &routes) == Some(name.as_str()))
                    .map(ToString::to_string),
                ipv6: ipv6
                    .iter()
                    .filter(|(interface, _)| *interface == name)
                    // An address of the world says more than one of the link.
                    .min_by_key(|(_, address)| address.is_unicast_link_local())
                    .map(|(_, address)| address.to_string()),
                mac: (!mac.is_empty() && mac != "00:00:00:00:00:00").then_some(mac),
                name,
            }
        })
        .collect()
}

/// An IPv4 route: where to, and through which interface.
struct Route {
    interface: String,
    network: Ipv4Addr,
    mask: Ipv4Addr,
}

fn routes(text: &str) -> Vec<Route> {
    let address = |hex: &str| {
        let bits = u32::from_str_radix(hex, 16).ok()?;
        Some(Ipv4Addr::from(bits.to_ne_bytes()))
    };
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            Some(Route {
                interface: (*words.first()?).to_owned(),
                network: address(words.get(1)?)?,
                mask: address(words.get(7)?)?,
            })
        })
        .collect()
}

fn interface_of(address: Ipv4Addr, routes: &[Route]) -> Option<&str> {
    if address.is_loopback() {
        return Some("lo");
    }
    routes
        .iter()
        .filter(|route| route.mask.to_bits() != 0 && address & route.mask == route.network)
        .max_by_key(|route| route.mask.to_bits())
        .map(|route| route.interface.as_str())
}

/// The host's own IPv4 addresses: the leaves of the trie that are `host LOCAL`.
fn local_ipv4(text: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line.ends_with("host LOCAL")
            && let Some(address) = leaf
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

fn local_ipv6(text: &str) -> Vec<(String, Ipv6Addr)> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = u128::from_str_radix(words.next()?, 16).ok()?;
            Some((words.last()?.to_owned(), Ipv6Addr::from_bits(address)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SimulatedHost;

    #[test]
    fn addresses_find_their_interfaces() {
        let host = SimulatedHost::new("", "h");
        host.write("/sys/class/net/lo/address", "00:00:00:00:00:00\n");
        host.write("/sys/class/net/eth0/address", "02:42:ac:11:00:02\n");
        host.write(
            "/proc/net/fib_trie",
            "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 172.17.0.0\n        /16 link UNICAST\nLocal:\n  \
             +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 172.17.0.2\n        \
             /32 host LOCAL\n     |-- 172.17.255.255\n        /32 link BROADCAST\n",
        );
        let network = u32::from_ne_bytes([172, 17, 0, 0]);
        let mask = u32::from_ne_bytes([255, 255, 0, 0]);
        host.write(
            "/proc/net/route",
            &format!(
                "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                 eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\n\
                 eth0\t{network:08X}\t00000000\t0001\t0\t0\t0\t{mask:08X}\n"
            ),
        );
        host.write(
            "/proc/net/if_inet6",
            "00000000000000000000000000000001 01 80 10 80       lo\n\
             fe80000000000000004200fffe110002 02 40 20 80     eth0\n\
             20010db8000000000000000000000002 02 40 00 80     eth0\n",
        );
        let found = read(&host);
        assert_eq!(
            found,
            [
                NetworkInterface {
                    name: "eth0".into(),
                    ipv4: Some("172.17.0.2".into()),
                    ipv6: Some("2001:db8::2".into()),
                    mac: Some("02:42:ac:11:00:02".into()),
                },
                NetworkInterface {
                    name: "lo".into(),
                    ipv4: Some("127.0.0.1".into()),
                    ipv6: Some("::1".into()),
                    mac: None,
                },
            ]
        );
    }
}
