//! Lists for whoever has the key of control packets: local addresses (`ntpq -c ifstats`) and rules (`-c reslist`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use conf::config::{RestrictFlags, Restriction, Subnet};
use wire::mode6::{ErrorCode, Request, Tail, Value, Variable};
use wire::ntp::Version;
use wire::ntp::auth::{CODE_LENGTH_MAX, Key};

use super::Answer;
use crate::Engine;
use crate::io::Now;

/// Codes in control packets are cut off after 20 bytes, as in packets of this version. Source: observed with NTPsec 1.2.2.
const VERSION_OF_CODES: Version = Version::V4;

/// The most addresses of this host that packets are counted for.
const ADDRESSES_MAX: usize = 256;

/// An address of this host has this flag when it can be used, …
const FLAG_UP: u32 = 0x1;
/// … this one when it is only for this host, …
const FLAG_LOOPBACK: u32 = 0x4;
/// … and this one when its network has a broadcast address.
const FLAG_BROADCAST: u32 = 0x8;

/// One of this host's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAddress {
    /// The interface that has it.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
}

/// What is counted for whoever has the key, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Traffic {
    /// By address of this host: packets received, and answers sent.
    by_address: BTreeMap<IpAddr, (u64, u64)>,
    /// By rule: packets that it decided about. The key is the subnet and whether it is for one port only.
    by_rule: BTreeMap<(IpAddr, u8, bool), u64>,
}

impl Engine {
    /// Counts a packet, where somebody can ask for that.
    pub(crate) fn count_received(&mut self, from: std::net::SocketAddr, to: Option<IpAddr>) {
        if self.config.control_key.is_none() {
            return;
        }
        let traffic = &mut self.mode6.traffic;
        if let Some(to) = to
            && (traffic.by_address.len() < ADDRESSES_MAX || traffic.by_address.contains_key(&to))
        {
            traffic.by_address.entry(to).or_default().0 += 1;
        }
        let restrictions = self.server.restrictions.as_ref();
        let rule = restrictions.and_then(|rules| rules.find(from.ip(), from.port()));
        if let Some(key) = rule.and_then(key_of) {
            *traffic.by_rule.entry(key).or_default() += 1;
        }
    }

    /// Counts an answer, likewise.
    pub(crate) fn count_answered(&mut self, from: Option<IpAddr>) {
        let traffic = &mut self.mode6.traffic;
        if let Some(counts) = from.and_then(|from| traffic.by_address.get_mut(&from)) {
            counts.1 += 1;
        }
    }

    /// The key with which a request was signed, if it is that of control packets.
    pub(super) fn proven(&self, tail: Tail<'_>) -> Option<&Key> {
        let id = self.config.control_key?;
        let key = self.keys.get(id)?;
        let is_right = |(signed, key_id, code): (&[u8], u32, &[u8])| {
            key_id == id && key.verify(signed, VERSION_OF_CODES, code)
        };
        tail.proofs().any(is_right).then_some(key)
    }

    /// The list that is asked for.
    pub(super) fn ordered_list(&self, now: Now, request: &Request<'_>) -> Result<Answer, ErrorCode> {
        let variables = match request.data {
            b"ifstats" => self.local_addresses(now),
            b"addr_restrictions" => self.rules(),
            _ => return Err(ErrorCode::UnknownVariable),
        };
        Ok(Answer {
            status: 0,
            data: Variable::write(&variables, &[]).unwrap_or_default(),
        })
    }

    fn local_addresses(&self, now: Now) -> Vec<Variable> {
        let port = self.config.server.port;
        let uptime_s = now.mono.saturating_since(self.mode6.started).as_secs();
        let mut variables = Vec::new();
        for (number, local) in self.mode6.about.addresses.iter().enumerate() {
            let address = local.address;
            let (received, answered) = self
                .mode6
                .traffic
                .by_address
                .get(&address)
                .copied()
                .unwrap_or_default();
            let mut sources = 0;
            let mut asked = 0;
            for source in self.sources.values() {
                let answer = source.last_answer.as_ref();
                if answer.and_then(|answer| answer.local) == Some(address) {
                    sources += 1;
                    asked += u64::from(source.counts.sent);
                }
            }
            let flags = match address {
                _ if address.is_loopback() => FLAG_UP | FLAG_LOOPBACK,
                IpAddr::V4(_) => FLAG_UP | FLAG_BROADCAST,
                IpAddr::V6(_) => FLAG_UP,
            };
            let endpoint = std::net::SocketAddr::new(address, port);
            let row = [
                ("addr", Value::Word(endpoint.to_string())),
                ("bcast", Value::Word(String::new())),
                ("en", Value::Unsigned(1)),
                ("name", Value::Text(local.interface.clone())),
                ("flags", Value::Hex(flags)),
                ("rx", Value::Unsigned(received)),
                ("tx", Value::Unsigned(answered + asked)),
                ("txerr", Value::Unsigned(0)),
                ("pc", Value::Unsigned(sources)),
                ("up", Value::Unsigned(uptime_s)),
            ];
            variables.extend(numbered(number, row));
        }
        variables
    }

    /// The rules of both families, the most specific first, as far as they have addresses.
    fn rules(&self) -> Vec<Variable> {
        let Some(restrictions) = &self.server.restrictions else {
            return Vec::new();
        };
        let mut rules = restrictions
            .rules
            .iter()
            .filter_map(|rule| Some((key_of(rule)?, rule)))
            .collect::<Vec<_>>();
        rules.sort_by_key(|((address, length, ntp_port), _)| {
            (
                address.is_ipv6(),
                std::cmp::Reverse((*address, *length, *ntp_port)),
            )
        });
        let rows = rules.into_iter().enumerate().flat_map(|(number, (key, rule))| {
            let (address, length, _) = key;
            let hits = self.mode6.traffic.by_rule.get(&key).copied().unwrap_or(0);
            numbered(
                number,
                [
                    ("addr", Value::Word(address.to_string())),
                    ("mask", Value::Word(mask(address, length).to_string())),
                    ("hits", Value::Unsigned(hits)),
                    ("flags", Value::Word(words(rule.flags, rule.ntp_port))),
                ],
            )
        });
        rows.collect()
    }
}

/// Signs a datagram of an answer: the key's number and the code go behind it.
pub(super) fn sign(datagram: &mut Vec<u8>, key: &Key) {
    let mut code = [0; CODE_LENGTH_MAX];
    let length = key.mac(datagram, VERSION_OF_CODES, &mut code);
    datagram.extend(key.id().to_be_bytes());
    datagram.extend(&code[..length]);
}

fn numbered<const N: usize>(number: usize, row: [(&str, Value); N]) -> [Variable; N] {
    row.map(|(name, value)| Variable::new(&format!("{name}.{number}"), value))
}

/// By what a rule is known; `None` while its name has no address.
fn key_of(rule: &Restriction) -> Option<(IpAddr, u8, bool)> {
    match rule.subnet {
        Subnet::Prefix { address, length } => Some((address, length, rule.ntp_port)),
        Subnet::Name(_) | Subnet::Everyone => None,
    }
}

fn mask(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0)).into(),
        IpAddr::V6(_) => {
            Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0)).into()
        }
    }
}

/// What a rule says, in ntpd's words and order.
fn words(flags: RestrictFlags, ntp_port: bool) -> String {
    let words = [
        ("ntpport", ntp_port),
        ("ignore", flags.ignore),
        ("noserve", flags.noserve),
        ("notrust", flags.notrust),
        ("noquery", flags.noquery),
        ("nomodify", flags.nomodify),
        ("nomrulist", flags.nomrulist),
        ("limited", flags.limited),
        ("version", flags.version),
        ("kod", flags.kod),
        ("flake", flags.flake),
    ];
    let said = words.into_iter().filter(|(_, is_set)| *is_set);
    said.map(|(word, _)| word).collect::<Vec<_>>().join(" ")
}
