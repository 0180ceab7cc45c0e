//! The names and addresses of network interfaces.

use std::ffi::{CStr, CString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the name of the interface with this index; `None` if there is none.
#[must_use]
pub fn interface_name(index: u32) -> Option<String> {
    let mut buffer = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the length that the function requires, and lives as long as the call.
    let name = unsafe { libc::if_indextoname(index, buffer.as_mut_ptr()) };
    if name.is_null() {
        return None;
    }
    // SAFETY: what is returned is the buffer, into which the function has written a name with a zero behind it.
    let name = unsafe { CStr::from_ptr(buffer.as_ptr()) };
    name.to_str().ok().map(str::to_owned)
}

/// Returns the index of the interface with this name; `None` if there is none.
#[must_use]
pub fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends in a zero and lives as long as the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index > 0).then_some(index)
}

/// Returns the addresses of this host, each with the name of its interface; none where the system does not say.
#[must_use]
pub fn local_addresses() -> Vec<(String, IpAddr)> {
    let mut first = std::ptr::null_mut();
    // SAFETY: the pointer is to a place for a pointer, which lives through the call.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: null, or an entry of the list that the call above has made and nothing has freed yet.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: the name of an entry is a text with its end marked.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) };
        // SAFETY: the address of an entry, which may be null.
        let address = unsafe { address_at(entry.ifa_addr) };
        if let Some(address) = address {
            found.push((name.to_string_lossy().into_owned(), address));
        }
    }
    // SAFETY: the list that was made above, freed once; nothing that was kept points into it.
    unsafe { libc::freeifaddrs(first) };
    found
}

/// Returns the address at a pointer, if it is one of the Internet's.
///
/// # Safety
/// The pointer is null, or to an address with the length of its family.
unsafe fn address_at(pointer: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: see above; every address begins with its family.
    let family = i32::from(unsafe { pointer.as_ref() }?.sa_family);
    if family == libc::AF_INET {
        // SAFETY: an address of this family is a whole one of this kind; it may stand anywhere.
        let address = unsafe { pointer.cast::<libc::sockaddr_in>().read_unaligned() };
        return Some(Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr)).into());
    }
    if family == libc::AF_INET6 {
        // SAFETY: likewise.
        let address = unsafe { pointer.cast::<libc::sockaddr_in6>().read_unaligned() };
        return Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_the_loopback_address() {
        let found = local_addresses();
        assert!(
            found.contains(&("lo".to_owned(), Ipv4Addr::LOCALHOST.into())),
            "{found:?}"
        );
    }

    #[test]
    fn the_loopback_interface_has_a_name_and_an_index() {
        let index = interface_index("lo").unwrap();
        assert_eq!(interface_name(index).as_deref(), Some("lo"));
        assert_eq!(interface_name(u32::MAX), None);
        assert_eq!(interface_index("no such\0one"), None);
    }
}
