//! Socket addresses as the kernel has them, and as Rust has them.

use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::number::length;

/// Holds an IP address and port in the form that system calls take.
pub(crate) struct RawAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl RawAddress {
    /// Makes room for an address that a system call fills in.
    pub(crate) fn empty() -> Self {
        // SAFETY: `sockaddr_storage` is a plain C structure of integers, for which all zeros is a value
        // (family `AF_UNSPEC`).
        let storage = unsafe { MaybeUninit::<libc::sockaddr_storage>::zeroed().assume_init() };
        Self {
            storage,
            length: length(size_of::<libc::sockaddr_storage>()),
        }
    }

    /// The pointer for a call that reads the address.
    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    /// The pointer for a call that writes the address.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }

    /// How many bytes of it are in use, or there is room for.
    pub(crate) fn length(&self) -> libc::socklen_t {
        self.length
    }

    /// Where a call writes the length of the address that it filled in.
    pub(crate) fn length_mut(&mut self) -> &mut libc::socklen_t {
        &mut self.length
    }

    /// The address, unless it is of another family than IPv4 and IPv6.
    pub(crate) fn to_socket_address(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the storage is larger than a `sockaddr_in`, aligned for any address, fully
                // initialised, and its family says that this is what it holds.
                let raw = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                Some(SocketAddr::V4(SocketAddrV4::new(
                    ipv4(raw.sin_addr),
                    u16::from_be(raw.sin_port),
                )))
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for a `sockaddr_in6`.
                let raw = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                Some(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(raw.sin6_addr.s6_addr),
                    u16::from_be(raw.sin6_port),
                    0,
                    raw.sin6_scope_id,
                )))
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> Self {
        let mut raw = Self::empty();
        match address {
            SocketAddr::V4(address) => {
                // SAFETY: the storage is larger than a `sockaddr_in`, aligned for any address and fully
                // initialised; nothing else refers to it.
                let inner = unsafe { &mut *(&raw mut raw.storage).cast::<libc::sockaddr_in>() };
                inner.sin_family = family(libc::AF_INET);
                inner.sin_port = address.port().to_be();
                inner.sin_addr = in_addr(*address.ip());
                raw.length = length(size_of::<libc::sockaddr_in>());
            }
            SocketAddr::V6(address) => {
                // SAFETY: as above, for a `sockaddr_in6`.
                let inner = unsafe { &mut *(&raw mut raw.storage).cast::<libc::sockaddr_in6>() };
                inner.sin6_family = family(libc::AF_INET6);
                inner.sin6_port = address.port().to_be();
                inner.sin6_addr = in6_addr(*address.ip());
                inner.sin6_scope_id = address.scope_id();
                raw.length = length(size_of::<libc::sockaddr_in6>());
            }
        }
        raw
    }
}

/// The address, without a port, in an address that the system made. A link-local one has its interface.
///
/// # Safety
/// The pointer is null or to an address that is as long as its family says.
#[cfg(not(target_feature = "crt-static"))]
pub(crate) unsafe fn host_of(address: *const libc::sockaddr) -> Option<SocketAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null; every address begins with its family.
    let family = unsafe { (*address).sa_family };
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: the caller promises that an address of this family is a whole `sockaddr_in`.
            let raw = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(SocketAddr::new(IpAddr::V4(ipv4(raw.sin_addr)), 0))
        }
        libc::AF_INET6 => {
            // SAFETY: the caller promises that an address of this family is a whole `sockaddr_in6`.
            let raw = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, 0, 0, raw.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// An IPv4 address from its C form (network byte order).
pub(crate) fn ipv4(raw: libc::in_addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be(raw.s_addr))
}

/// The C form of an IPv4 address (network byte order).
pub(crate) fn in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from(address).to_be(),
    }
}

/// The C form of an IPv6 address.
pub(crate) fn in6_addr(address: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr {
        s6_addr: address.octets(),
    }
}

/// The wildcard address of a family.
pub(crate) fn any(ipv6: bool) -> IpAddr {
    if ipv6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    }
}

/// The family constant in the width that address structures have.
pub(crate) fn family(constant: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(constant).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernel_form() {
        for text in [
            "192.0.2.7:123",
            "[2001:db8::7]:323",
            "[fe80::1%3]:123",
            "0.0.0.0:0",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(RawAddress::from(address).to_socket_address(), Some(address));
        }
        assert_eq!(RawAddress::empty().to_socket_address(), None);
    }
}
