//! Which link the hosts with link-local addresses are on.
//!
//! Such an address is another host's on every link (RFC 4007). The engine knows hosts by their addresses alone, so that
//! it can have one host of each; the link, which the name service told, is added when something is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddr};

/// The largest number of warnings: who answers for names decides how many addresses there are.
const SAID_MAX: usize = 64;

/// The links of the link-local addresses that names have stood for.
#[derive(Debug, Default)]
pub(crate) struct Links {
    known: BTreeMap<Ipv6Addr, Known>,
    /// What has been said.
    said: BTreeSet<String>,
}

/// Where an address is.
#[derive(Debug)]
struct Known {
    /// The name that stood for it.
    name: String,
    /// The index of the interface.
    interface: u32,
}

impl Links {
    /// Takes in the addresses that a name stands for. Returns what is to be said of that, once: an address that
    /// another name has on another link stays where it is.
    pub(crate) fn learn(&mut self, name: &str, addresses: &[SocketAddr]) -> Vec<String> {
        let mut warnings = Vec::new();
        for address in addresses {
            let SocketAddr::V6(address) = address else {
                continue;
            };
            let (ip, interface) = (*address.ip(), address.scope_id());
            if !ip.is_unicast_link_local() {
                continue;
            }
            match self.known.get(&ip) {
                Some(known) if known.name != name && known.interface != interface => {
                    warnings.push(format!(
                        "{name} has the address of {} on another link, and cannot be used beside it",
                        known.name
                    ));
                }
                _ if interface == 0 => {}
                _ => {
                    let name = name.to_owned();
                    self.known.insert(ip, Known { name, interface });
                }
            }
        }
        warnings.retain(|warning| self.is_new(warning));
        warnings
    }

    /// Whether something has not been said yet; it counts as said from now on.
    fn is_new(&mut self, warning: &str) -> bool {
        self.said.len() < SAID_MAX && self.said.insert(warning.to_owned())
    }

    /// What is to be said, once, when nothing can be sent to an address: of a link-local one the link may be missing.
    pub(crate) fn explain(&mut self, address: SocketAddr) -> Option<String> {
        let SocketAddr::V6(address) = address else {
            return None;
        };
        let ip = address.ip();
        let is_missing = address.scope_id() == 0 && ip.is_unicast_link_local();
        let text = format!("{ip} is a link-local address : say on which link, as in {ip}%eth0");
        (is_missing && self.is_new(&text)).then_some(text)
    }

    /// The address with its link, where that is known and not said.
    pub(crate) fn with_link(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V6(mut address) if address.scope_id() == 0 => {
                if let Some(known) = self.known.get(address.ip()) {
                    address.set_scope_id(known.interface);
                }
                address.into()
            }
            _ => address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn linked(links: &Links, text: &str) -> String {
        links.with_link(text.parse().unwrap()).to_string()
    }

    #[test]
    fn an_address_is_sent_to_on_its_link() {
        let mut links = Links::default();
        let found = addresses(&["192.0.2.7:0", "[2001:db8::7%9]:0", "[fe80::7%3]:0"]);
        assert_eq!(links.learn("a", &found), [""; 0]);
        assert_eq!(linked(&links, "[fe80::7]:123"), "[fe80::7%3]:123");
        assert_eq!(linked(&links, "[fe80::7%5]:123"), "[fe80::7%5]:123");
        for other in ["192.0.2.7:123", "[2001:db8::7]:123", "[fe80::8]:123"] {
            assert_eq!(linked(&links, other), other);
        }
        assert_eq!(links.learn("a", &addresses(&["[fe80::7%4]:0"])), [""; 0]);
        assert_eq!(linked(&links, "[fe80::7]:123"), "[fe80::7%4]:123");
    }

    #[test]
    fn what_cannot_be_is_said_once() {
        let mut links = Links::default();
        links.learn("fe80::7%eth0", &addresses(&["[fe80::7%3]:0"]));
        let other = addresses(&["[fe80::7%4]:0"]);
        assert_eq!(
            links.learn("fe80::7%eth1", &other),
            ["fe80::7%eth1 has the address of fe80::7%eth0 on another link, and cannot be used beside it"]
        );
        assert_eq!(links.learn("fe80::7%eth1", &other), [""; 0]);
        assert_eq!(linked(&links, "[fe80::7]:123"), "[fe80::7%3]:123");
        links.learn("router", &addresses(&["[fe80::8]:0"]));
        let unknown = "[fe80::8]:123".parse().unwrap();
        assert_eq!(links.with_link(unknown), unknown);
        let said = "fe80::8 is a link-local address : say on which link, as in fe80::8%eth0";
        assert_eq!(links.explain(unknown).as_deref(), Some(said));
        assert_eq!(links.explain(unknown), None);
        assert_eq!(links.explain("[fe80::7%3]:123".parse().unwrap()), None);
        assert_eq!(links.explain("[2001:db8::7]:123".parse().unwrap()), None);
    }

    #[test]
    fn who_answers_for_names_does_not_decide_how_much_is_said() {
        let mut links = Links::default();
        let said = (0..2 * SAID_MAX).filter(|number| {
            let address = format!("[fe80::{number:x}]:123").parse().unwrap();
            links.explain(address).is_some()
        });
        assert_eq!(said.count(), SAID_MAX);
    }
}
