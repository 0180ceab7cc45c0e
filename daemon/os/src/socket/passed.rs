//! Sockets that a service manager has opened, and passes to the daemon as it starts it (`LISTEN_FDS`, sd_listen_fds(3)).

use std::env;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::address::RawAddress;
use super::options::{bound_device, get};
use super::udp::local_address;
use crate::errno::check;

/// The number of the first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// The largest number of descriptors that are taken.
const PASSED_MAX: RawFd = 64;

/// The variables by which a service manager tells of them.
const VARIABLES: [&str; 4] = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// A descriptor that was passed, and what it was when it was taken.
#[derive(Debug)]
pub struct PassedSocket {
    fd: OwnedFd,
    /// Its number at the start of the process.
    pub number: i32,
    /// The local address and port, of a socket of IPv4 or IPv6.
    pub address: Option<SocketAddr>,
    /// Whether it is a UDP socket.
    pub is_udp: bool,
    /// Whether it receives from one peer only.
    pub is_connected: bool,
    /// Whether it is one of IPv6 that receives over IPv4 too (no `IPV6_V6ONLY`).
    pub is_dual_stack: bool,
    /// The interface it is bound to (`SO_BINDTODEVICE`).
    pub device: Option<String>,
}

/// Why no socket is taken, although the environment tells of some.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassedError {
    /// They are for another process.
    #[error(
        "Passed sockets are not used : they are for process {0} (LISTEN_PID); the service manager has to start the daemon \
         itself, or through a shell that says exec"
    )]
    OtherProcess(String),
    /// Their number is none, or too large.
    #[error("Passed sockets are not used : LISTEN_FDS is to be a number from 0 to {PASSED_MAX}, not {0:?}")]
    Number(String),
    /// There are fewer than were said.
    #[error("Passed sockets are not used : descriptor {0} is not open, though LISTEN_FDS counts it")]
    NotOpen(RawFd),
}

impl PassedSocket {
    /// Takes all that were passed to this process; the environment does not tell of them any more. To be called before
    /// anything else is opened and before a thread is started. `other` is a descriptor that belongs to somebody already.
    ///
    /// # Errors
    /// See [`PassedError`].
    pub fn take_all(other: Option<RawFd>) -> Result<Vec<Self>, PassedError> {
        let [process, _, number, _] = VARIABLES.map(|name| {
            let value = env::var_os(name)?;
            // SAFETY: the caller promises that there is one thread, so that nobody else reads the environment.
            unsafe { env::remove_var(name) };
            Some(value.to_string_lossy().into_owned())
        });
        let (Some(process), Some(number)) = (process, number) else {
            return Ok(Vec::new());
        };
        if process.parse() != Ok(std::process::id()) {
            return Err(PassedError::OtherProcess(process));
        }
        match number.parse() {
            Ok(count @ 0..=PASSED_MAX) => (FIRST..FIRST + count)
                .filter(|fd| Some(*fd) != other)
                .map(|fd| Self::take(fd).map_err(|_| PassedError::NotOpen(fd)))
                .collect(),
            _ => Err(PassedError::Number(number)),
        }
    }

    /// Takes one descriptor. It is closed on `exec` and never waits.
    fn take(number: RawFd) -> io::Result<Self> {
        // SAFETY: takes no pointers; only asks whether the descriptor is open.
        check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
        // SAFETY: it is open, and nothing in this process has opened anything yet, so that it is owned by nobody.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        // SAFETY: takes no pointers.
        check(unsafe { libc::fcntl(number, libc::F_SETFL, libc::O_NONBLOCK) })?;
        let is = |name, value| get(&fd, libc::SOL_SOCKET, name).ok() == Some(value);
        let address = local_address(&fd).ok();
        Ok(Self {
            number,
            address,
            is_udp: is(libc::SO_TYPE, libc::SOCK_DGRAM) && is(libc::SO_PROTOCOL, libc::IPPROTO_UDP),
            is_connected: has_peer(&fd),
            is_dual_stack: address.is_some_and(|address| address.is_ipv6())
                && get(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY).ok() == Some(0),
            device: bound_device(&fd).ok().flatten(),
            fd,
        })
    }

    /// Another descriptor of the same socket; this one keeps it open when that is closed.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }
}

/// Whether a socket is connected.
fn has_peer(fd: &OwnedFd) -> bool {
    let mut peer = RawAddress::empty();
    let pointer = peer.as_mut_ptr();
    // SAFETY: the pointers are to the room for an address and to the length of that room.
    check(unsafe { libc::getpeername(fd.as_raw_fd(), pointer, peer.length_mut()) }).is_ok()
}
