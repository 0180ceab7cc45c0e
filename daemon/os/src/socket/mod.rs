//! Sockets: UDP with the kernel's timestamps, and Unix datagrams for the command channel.
//!
//! A simulator of the C library knows no flags in the type of a socket. Instead of setting them afterwards, call by
//! call for every request of a client, each receiving and sending says that it does not wait; and since the daemon
//! executes nothing, there is nothing that a descriptor would have to be closed for. A socket is read exactly once for
//! every report that it is readable.

mod address;
mod control;
mod frame;
mod options;
mod passed;
mod stamping;
mod udp;
mod unix;

#[cfg(not(target_feature = "crt-static"))]
pub(crate) use address::host_of;
pub use passed::{PassedError, PassedSocket};
pub use stamping::Stamping;
pub use udp::{Received, Transmitted, UdpOptions, UdpSocket};
pub use unix::{SOCKET_PATH_MAX, UnixPeer, UnixSocket, let_everybody_write};

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::errno::check;

/// The largest datagram that is received whole; longer ones are cut. NTP packets with all their extension
/// fields and the requests of the command protocol are shorter.
pub const DATAGRAM_LENGTH_MAX: usize = 2048;

/// Makes a datagram socket. It would wait: whoever uses it says [`libc::MSG_DONTWAIT`].
fn datagram_socket(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let raw = check(unsafe { libc::socket(family, libc::SOCK_DGRAM, 0) })?;
    // SAFETY: `socket` has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
