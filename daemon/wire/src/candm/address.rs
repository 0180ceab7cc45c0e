//! Addresses of sources and clients, and the masks that select several of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Address families on the wire.
const FAMILY_UNSPECIFIED: u16 = 0;
const FAMILY_IPV4: u16 = 1;
const FAMILY_IPV6: u16 = 2;
const FAMILY_ID: u16 = 3;

/// Names a source or a client (chrony command protocol, IP address, 20 bytes).
///
/// Displays as `chronyc` prints it: an IP address, `ID#0000000001`, or `[UNSPEC]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub enum Address {
    /// No address: a reference clock, the local reference, or "all".
    #[default]
    Unspecified,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
    /// The placeholder of a source whose name is not resolved yet; ids count up from 1.
    Id(u32),
}

impl Address {
    /// Returns the IP address, or `None` for a placeholder or no address.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::V4(address) => Some(IpAddr::V4(address)),
            Self::V6(address) => Some(IpAddr::V6(address)),
            Self::Unspecified | Self::Id(_) => None,
        }
    }

    pub(super) fn from_parts(bytes: [u8; 16], family: u16) -> Option<Self> {
        let [b0, b1, b2, b3, ..] = bytes;
        match family {
            FAMILY_UNSPECIFIED => Some(Self::Unspecified),
            FAMILY_IPV4 => Some(Self::V4(Ipv4Addr::new(b0, b1, b2, b3))),
            FAMILY_IPV6 => Some(Self::V6(Ipv6Addr::from(bytes))),
            FAMILY_ID => Some(Self::Id(u32::from_be_bytes([b0, b1, b2, b3]))),
            _ => None,
        }
    }

    pub(super) fn to_parts(self) -> ([u8; 16], u16) {
        let left_aligned = |[b0, b1, b2, b3]: [u8; 4]| [b0, b1, b2, b3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        match self {
            Self::Unspecified => ([0; 16], FAMILY_UNSPECIFIED),
            Self::V4(address) => (left_aligned(address.octets()), FAMILY_IPV4),
            Self::V6(address) => (address.octets(), FAMILY_IPV6),
            Self::Id(id) => (left_aligned(id.to_be_bytes()), FAMILY_ID),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unspecified => formatter.write_str("[UNSPEC]"),
            Self::V4(address) => address.fmt(formatter),
            Self::V6(address) => address.fmt(formatter),
            Self::Id(id) => write!(formatter, "ID#{id:010}"),
        }
    }
}

/// Selects sources by address and mask, for ONLINE, OFFLINE and BURST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AddressMask {
    /// The bits that have to agree; of the same family as `address`, unspecified for a placeholder.
    pub mask: Address,
    /// The address to agree with; unspecified selects every source.
    pub address: Address,
}

impl AddressMask {
    /// Selects every source.
    pub const ALL: Self = Self {
        mask: Address::Unspecified,
        address: Address::Unspecified,
    };

    /// Selects exactly the source at `address`, or every source if it is unspecified.
    pub fn one(address: Address) -> Self {
        let mask = match address {
            Address::V4(_) => Address::V4(Ipv4Addr::BROADCAST),
            Address::V6(_) => Address::V6(Ipv6Addr::from(u128::MAX)),
            Address::Unspecified | Address::Id(_) => Address::Unspecified,
        };
        Self { mask, address }
    }

    /// Reports whether the source at `address` is selected: always if this names no address, else
    /// if both are of one family and agree in the bits of the mask.
    pub fn matches(self, address: Address) -> bool {
        match (self.address, self.mask, address) {
            (Address::Unspecified, _, _) => true,
            (Address::V4(wanted), Address::V4(mask), Address::V4(address)) => {
                wanted.to_bits() & mask.to_bits() == address.to_bits() & mask.to_bits()
            }
            (Address::V6(wanted), Address::V6(mask), Address::V6(address)) => {
                wanted.to_bits() & mask.to_bits() == address.to_bits() & mask.to_bits()
            }
            (Address::Id(wanted), _, Address::Id(id)) => wanted == id,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_chronyc_prints_them() {
        assert_eq!(Address::Id(1).to_string(), "ID#0000000001");
        assert_eq!(Address::Unspecified.to_string(), "[UNSPEC]");
        assert_eq!(Address::V6(Ipv6Addr::LOCALHOST).to_string(), "::1");
    }

    #[test]
    fn masks_select_by_family_and_bits() {
        let here = Address::V4(Ipv4Addr::new(192, 0, 2, 1));
        let near = Address::V4(Ipv4Addr::new(192, 0, 2, 9));
        let subnet = AddressMask {
            mask: Address::V4(Ipv4Addr::new(255, 255, 255, 0)),
            address: here,
        };
        assert!(subnet.matches(near) && subnet.matches(here));
        assert!(!subnet.matches(Address::V6(Ipv6Addr::LOCALHOST)));
        assert!(AddressMask::one(here).matches(here) && !AddressMask::one(here).matches(near));
        assert!(AddressMask::one(Address::Id(3)).matches(Address::Id(3)));
        assert!(!AddressMask::one(Address::Id(3)).matches(Address::Id(4)));
        assert!(AddressMask::ALL.matches(here) && AddressMask::ALL.matches(Address::Id(3)));
    }
}
