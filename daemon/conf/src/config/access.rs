//! Who may ask: rules in the order in which they were written.

use std::net::IpAddr;

/// Holds one rule on who may ask.
///
/// Order matters. chrony keeps rules in a tree with one level for each 4 bits of an address: a rule
/// whose length is no multiple of 4 takes the place of earlier rules of the next such length that it
/// covers, and the deepest rule on an address's path decides. What no rule covers is denied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccessRule {
    /// Whether the subnet may ask.
    pub verdict: Verdict,
    /// Whether earlier rules inside the subnet are forgotten.
    pub all: bool,
    /// Whom it is about.
    pub subnet: Subnet,
}

/// Says whether somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// They may.
    Allow,
    /// They may not.
    Deny,
}

/// Says whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subnet {
    /// Every IPv4 and IPv6 address.
    Everyone,
    /// The addresses that have the first bits in common with this one.
    Prefix {
        /// The address. Bits beyond the length may be set and mean nothing.
        address: IpAddr,
        /// The number of bits, 0…32 for IPv4, 0…128 for IPv6.
        length: u8,
    },
    /// The first address of a host name, which is looked up when the daemon starts.
    Name(String),
}

impl Subnet {
    /// Returns the subnet if the length fits the address's family.
    pub fn prefix(address: IpAddr, length: u8) -> Option<Self> {
        (length <= Self::length_max(address)).then_some(Self::Prefix { address, length })
    }

    /// Reports whether an address is in it; of a name nobody knows here.
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::Everyone => true,
            Self::Prefix {
                address: prefix,
                length,
            } => match (prefix, address) {
                (IpAddr::V4(prefix), IpAddr::V4(address)) => {
                    let differing = prefix.to_bits() ^ address.to_bits();
                    differing.leading_zeros() >= u32::from(*length)
                }
                (IpAddr::V6(prefix), IpAddr::V6(address)) => {
                    let differing = prefix.to_bits() ^ address.to_bits();
                    differing.leading_zeros() >= u32::from(*length)
                }
                _ => false,
            },
            Self::Name(_) => false,
        }
    }

    /// Returns the length of a prefix that is one address of this family.
    pub const fn length_max(address: IpAddr) -> u8 {
        match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }
}
