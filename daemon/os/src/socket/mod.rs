//! Sockets: UDP with the kernel's timestamps, and Unix datagrams for the command channel.
//!
//! Sockets are made with a plain type and their flags set afterwards, since a simulator of the C library knows
//! no flags in the type. A socket is read exactly once for every report that it is readable.

mod address;
mod control;
mod frame;
mod options;
mod stamping;
mod udp;
mod unix;

#[cfg(not(target_feature = "crt-static"))]
pub(crate) use address::host_of;
pub use stamping::Stamping;
pub use udp::{Received, Transmitted, UdpOptions, UdpSocket};
pub use unix::{SOCKET_PATH_MAX, UnixPeer, UnixSocket, let_everybody_write};

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::errno::check;

/// The largest datagram that is received whole; longer ones are cut. NTP packets with all their extension
/// fields and the requests of the command protocol are shorter.
pub const DATAGRAM_LENGTH_MAX: usize = 2048;

/// Makes a datagram socket that never blocks and does not survive `exec`.
fn datagram_socket(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let raw = check(unsafe { libc::socket(family, libc::SOCK_DGRAM, 0) })?;
    // SAFETY: `socket` has just made this descriptor, and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: takes no pointers; the descriptor is open.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok(fd)
}
