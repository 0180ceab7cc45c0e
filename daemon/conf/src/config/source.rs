//! One time source that the daemon asks.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Describes one time source.
///
/// Two sources are the same to a reload if their [`SourceConfig::key`]s are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceConfig {
    /// Its address or name.
    pub name: SourceName,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// The UDP port, 0…65535; default 123.
    pub port: u16,
    /// The only family of addresses taken for a name; default any.
    pub family: Option<Family>,
    /// The minimum polling interval, log2 s, −7…24; default 6. Below 0 only where the round trip
    /// is at most 10 ms.
    pub min_poll: i8,
    /// The maximum polling interval, log2 s, −7…24, not below `min_poll`; default 10.
    pub max_poll: i8,
    /// Starts with 4 to 8 requests at most 2 s apart; default off. Never with a peer.
    pub iburst: bool,
    /// Sends up to 4 requests on each poll until one is good; default off. Never with a peer.
    pub burst: bool,
    /// Whether it is asked only after somebody says so; default off.
    pub offline: bool,
    /// Stops asking when sending fails; default off.
    pub auto_offline: bool,
    /// The number of addresses used of a pool, 1…16; default 4. Others use one.
    pub max_sources: u8,
    /// How it takes part in the selection; default no restrictions.
    pub select: SelectOptions,
    /// The symmetric key that authenticates it, 1…2^32−1; default none.
    pub key_id: Option<u32>,
    /// The NTP version of requests, 1…4; default automatic: 4, or 3 with a key whose authentication
    /// code is longer than version 4 has room for.
    pub version: Option<u8>,
    /// Uses the interleaved mode; default off.
    pub interleaved: bool,
    /// Takes over its reference id and stratum; default off. Never with a peer.
    pub copy: bool,
    /// The polling interval from which on an extra packet goes 2 s ahead, log2 s, −7…100; default
    /// 100, which is never. Never with a peer.
    pub presend_poll: i8,
    /// The number of measurements of which the median filter makes one; default 0, which is off.
    pub filter_length: u32,
    /// The number of measurements that polling aims for, at least 1; default 8.
    pub poll_target: u32,
    /// The least number of measurements kept; default [`super::Selection::min_samples`]. timeballd decides it
    /// itself.
    pub min_samples: Option<u32>,
    /// The largest number of measurements kept; default [`super::Selection::max_samples`].
    pub max_samples: Option<u32>,
    /// For how many polls it may stay selected while it does not answer; default 100000.
    pub max_unreach: u32,
    /// The largest acceptable round trip, seconds, 0…1000; default 3.
    pub max_delay_s: f64,
    /// The largest acceptable ratio of the round trip to the least one, 0…1e6; default 0, off.
    pub max_delay_ratio: f64,
    /// The largest acceptable ratio of the increase of the round trip to the deviation of offsets,
    /// 0…1e6; default 10. Not used with `max_delay_quantile`.
    pub max_delay_dev_ratio: f64,
    /// The quantile of round trips that is acceptable, 0.05…0.95; default 0, off.
    pub max_delay_quantile: f64,
    /// The least round trip, seconds, 0…1000; default estimated.
    pub min_delay_s: Option<f64>,
    /// How one-sided the jitter of the round trip is, −0.5…0.5; default estimated.
    pub asymmetry: Option<f64>,
    /// What is added to its offsets, seconds, −1e9…1e9; default 0.
    pub offset_s: f64,
    /// The stratum it has at least, 0…15; default 0.
    pub min_stratum: u8,
    /// Exchanges monotonic timestamps and root values of higher resolution (experimental extension
    /// field F323); default off.
    pub ext_monotonic_root: bool,
    /// Exchanges corrections of the network (experimental extension field 010A); default off.
    pub ext_network_correction: bool,
}

impl SourceConfig {
    /// Returns the source with every option at its default.
    pub fn new(kind: SourceKind, name: SourceName) -> Self {
        Self {
            name,
            kind,
            port: 123,
            family: None,
            min_poll: 6,
            max_poll: 10,
            iburst: false,
            burst: false,
            offline: false,
            auto_offline: false,
            max_sources: 4,
            select: SelectOptions::default(),
            key_id: None,
            version: None,
            interleaved: false,
            copy: false,
            presend_poll: 100,
            filter_length: 0,
            poll_target: 8,
            min_samples: None,
            max_samples: None,
            max_unreach: 100_000,
            max_delay_s: 3.0,
            max_delay_ratio: 0.0,
            max_delay_dev_ratio: 10.0,
            max_delay_quantile: 0.0,
            min_delay_s: None,
            asymmetry: None,
            offset_s: 0.0,
            min_stratum: 0,
            ext_monotonic_root: false,
            ext_network_correction: false,
        }
    }

    /// Returns what tells it from every other source: equal exactly if all its settings are.
    pub fn key(&self) -> SourceKey {
        // The debug form shows every field, and numbers exactly.
        SourceKey(format!("{self:?}"))
    }
}

/// Tells one source from another in sorted and hashed collections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey(String);

/// Says what kind of source it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// One server, asked in client mode.
    Server,
    /// A name with many servers, of which several are used.
    Pool,
    /// A symmetric peer.
    Peer,
}

/// Says where a source is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceName {
    /// At an address.
    Address(IpAddr),
    /// At the addresses of a name, which is one word.
    Name(String),
}

/// Reports whether a host can have an address, so that it can be asked: it is neither unspecified nor multicast.
pub fn is_of_a_host(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

impl SourceName {
    /// Returns the address if it is one that no host has: unspecified (`0.0.0.0`, `::`) or multicast. Such a source is never
    /// asked.
    pub fn address_of_no_host(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address).filter(|address| !is_of_a_host(*address)),
            Self::Name(_) => None,
        }
    }

    /// Reports whether it is a name that was probably meant to be an address: `10.0.0.256`, `10.0.0.5O`, `1.2.3`,
    /// `2001:db8::g`. It can be looked up, and is not found.
    pub fn looks_like_address(&self) -> bool {
        let Self::Name(name) = self else { return false };
        // An address with its interface behind it is one.
        let without_zone = name.split('%').next().unwrap_or_default();
        if name.contains(':') {
            return without_zone.parse::<Ipv6Addr>().is_err();
        }
        let labels = name.trim_end_matches('.').split('.').collect::<Vec<_>>();
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let numbers = labels.iter().filter(|label| is_number(label)).count();
        // No domain directly below the root begins with a digit (RFC 1123 §2.1: an address is told from a name by that).
        let ends_in_digit = labels.len() > 1
            && labels
                .last()
                .is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()));
        ends_in_digit || (labels.len() == 4 && numbers == 3)
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

/// Says which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// Says how a source takes part in the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SelectOptions {
    /// It is preferred to sources without this.
    pub prefer: bool,
    /// It is never selected.
    pub noselect: bool,
    /// It is right whenever it disagrees with sources without this.
    pub trust: bool,
    /// At least one source with this must be selectable.
    pub require: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_addresses() {
        let looks = |name: &str| SourceName::Name(name.to_owned()).looks_like_address();
        for name in [
            "10.0.0.256",
            "10.0.0.5O",
            "10.0.0.O",
            "1O.0.0.5",
            "1.2.3",
            "1.2.3.4.",
            "1.2.3.4.5",
            "192.168.0.1:123",
            "2001:db8::g",
            "2001:db8::1::2",
            "[::1]",
        ] {
            assert!(looks(name), "{name}");
        }
        for name in [
            "a",
            "1",
            "ntp1",
            "1and1",
            "3.pool.ntp.org",
            "1.2.3.4.in-addr.arpa",
            "0.a",
            "1.2.a.b",
            "fe80::1%eth0",
            "a.b.c.d1",
        ] {
            assert!(!looks(name), "{name}");
        }
        assert!(!SourceName::Address(Ipv6Addr::LOCALHOST.into()).looks_like_address());
    }
}
