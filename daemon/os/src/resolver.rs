//! Names to addresses, on a helper thread, since looking a name up waits for the network.
//!
//! The thread is a [`Helper`]; its pipe is to be watched only while [`Resolver::waiting`] returns it.

#[cfg(any(target_feature = "crt-static", test))]
mod stub;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::helper::Helper;

/// The stack of the helper thread, bytes: name services are libraries with habits of their own.
const STACK_LENGTH: usize = 512 * 1024;

/// The largest number of addresses that are taken from one answer.
pub const ADDRESSES_MAX: usize = 64;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressFamily {
    /// Both.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name does not exist, or has no address of the family asked for.
    #[error("no such name")]
    NotFound,
    /// No answer now; worth another try.
    #[error("no answer from the name service")]
    TryAgain,
}

/// All addresses of a name in the resolver's order, or why there are none. They have no port; a link-local one has its
/// interface (`scope_id`) where the name says it.
pub type Answer = Result<Vec<SocketAddr>, LookupError>;

/// Looks names up, one at a time, in the order in which they were asked.
#[derive(Debug, Default)]
pub struct Resolver {
    family: AddressFamily,
    waiting: VecDeque<(u32, String)>,
    running: Option<Running>,
}

/// A lookup that is under way.
#[derive(Debug)]
struct Running {
    id: u32,
    name: String,
    helper: Helper<Answer>,
}

impl Resolver {
    /// Makes a resolver; nothing is started yet.
    #[must_use]
    pub fn new(family: AddressFamily) -> Self {
        Self {
            family,
            ..Self::default()
        }
    }

    /// Asks for the addresses of a name, under a number that comes back with the answer.
    pub fn ask(&mut self, id: u32, name: String) {
        self.waiting.push_back((id, name));
    }

    /// Starts the next lookup, if there is one and none is under way; returns what has to be watched from now on.
    ///
    /// # Errors
    /// What the system says of a pipe or a thread; the lookup is kept.
    pub fn start(&mut self) -> io::Result<Option<BorrowedFd<'_>>> {
        if self.running.is_some() {
            return Ok(None);
        }
        let Some((id, name)) = self.waiting.front().cloned() else {
            return Ok(None);
        };
        let family = self.family;
        let wanted = name.clone();
        let helper = Helper::start("resolver", STACK_LENGTH, move || look_up(&wanted, family))?;
        self.waiting.pop_front();
        let running = self.running.insert(Running { id, name, helper });
        Ok(Some(running.helper.done()))
    }

    /// What has to be watched, while a lookup is under way.
    #[must_use]
    pub fn waiting(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.helper.done())
    }

    /// Waits for the answer to the lookup under way and takes it, with the number and the name; its descriptor is
    /// closed. `None` when there is no lookup under way.
    pub fn finish(&mut self) -> Option<(u32, String, Answer)> {
        let Running { id, name, helper } = self.running.take()?;
        Some((id, name, helper.finish().unwrap_or(Err(LookupError::TryAgain))))
    }
}

/// Looks a name up; waits as long as the name service does.
#[cfg(target_feature = "crt-static")]
pub fn look_up(name: &str, family: AddressFamily) -> Answer {
    stub::Stub::of_host().look_up(name, family)
}

#[cfg(not(target_feature = "crt-static"))]
pub use name_service::look_up;

/// The C library's name service, which has parts that are loaded when it is used.
#[cfg(not(target_feature = "crt-static"))]
mod name_service {
    use std::ffi::CString;
    use std::mem::MaybeUninit;

    use super::{ADDRESSES_MAX, AddressFamily, Answer, LookupError};
    use crate::socket::host_of;

    /// Looks a name up; waits as long as the name service does.
    pub fn look_up(name: &str, family: AddressFamily) -> Answer {
        let Ok(name) = CString::new(name) else {
            return Err(LookupError::NotFound);
        };
        // SAFETY: `addrinfo` is made of integers and pointers, for which all zeros is a value (null, 0).
        let mut hints = unsafe { MaybeUninit::<libc::addrinfo>::zeroed().assume_init() };
        hints.ai_socktype = libc::SOCK_DGRAM;
        hints.ai_family = match family {
            AddressFamily::Any => libc::AF_UNSPEC,
            AddressFamily::Ipv4 => libc::AF_INET,
            AddressFamily::Ipv6 => libc::AF_INET6,
        };
        let mut list: *mut libc::addrinfo = std::ptr::null_mut();
        // SAFETY: the pointers are to a text with its end marked, to hints that live through the call and to where the
        // list is put; there is no service name.
        let code =
            unsafe { libc::getaddrinfo(name.as_ptr(), std::ptr::null(), &raw const hints, &raw mut list) };
        match code {
            0 => {}
            libc::EAI_AGAIN | libc::EAI_SYSTEM | libc::EAI_MEMORY => return Err(LookupError::TryAgain),
            _ => return Err(LookupError::NotFound),
        }
        let mut addresses = Vec::new();
        let mut next = list;
        while !next.is_null() && addresses.len() < ADDRESSES_MAX {
            // SAFETY: not null, hence an entry of the list that `getaddrinfo` made and that is freed below.
            let entry = unsafe { &*next };
            // SAFETY: an entry's address is one of the family that it says.
            if let Some(address) = unsafe { host_of(entry.ai_addr) }
                && !addresses.contains(&address)
            {
                addresses.push(address);
            }
            next = entry.ai_next;
        }
        // SAFETY: this is the list that `getaddrinfo` made, not freed before and not used after.
        unsafe { libc::freeaddrinfo(list) };
        if addresses.is_empty() {
            Err(LookupError::NotFound)
        } else {
            Ok(addresses)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        let mut resolver = Resolver::new(AddressFamily::Ipv4);
        assert!(resolver.start().unwrap().is_none());
        resolver.ask(7, "192.0.2.7".to_owned());
        resolver.ask(8, "not a name".to_owned());
        assert!(resolver.waiting().is_none());
        assert!(resolver.start().unwrap().is_some());
        assert!(resolver.start().unwrap().is_none(), "one at a time");
        assert_eq!(
            resolver.finish(),
            Some((
                7,
                "192.0.2.7".to_owned(),
                Ok(vec!["192.0.2.7:0".parse().unwrap()])
            ))
        );
        assert!(resolver.start().unwrap().is_some());
        let (id, name, answer) = resolver.finish().unwrap();
        assert_eq!((id, name.as_str()), (8, "not a name"));
        assert!(answer.is_err());
        assert_eq!(resolver.finish(), None);
    }

    #[test]
    fn the_family_is_kept() {
        assert_eq!(
            look_up("::1", AddressFamily::Any),
            Ok(vec!["[::1]:0".parse().unwrap()])
        );
        assert!(look_up("::1", AddressFamily::Ipv4).is_err());
        assert!(look_up("a\0b", AddressFamily::Any).is_err());
    }

    #[test]
    fn the_interface_of_a_link_local_address_is_kept() {
        let found = look_up("fe80::1%lo", AddressFamily::Any).unwrap();
        assert_eq!(found, ["[fe80::1%1]:0".parse().unwrap()]);
        assert!(look_up("fe80::1%no such", AddressFamily::Any).is_err());
    }
}
