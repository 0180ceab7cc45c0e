//! Timestamps of what is received, asked of the kernel.

use std::os::fd::{AsFd, OwnedFd};

use super::datagram_socket;
use super::options::set;

/// The flags for the kernel's timestamps of what is received.
pub(super) const STAMP_RECEIVED: libc::c_uint =
    libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE;

/// Keeps the kernel stamping what is received, as long as it lives.
///
/// Linux stamps packets only while some socket asks for it, and begins a moment after the first one does. A daemon
/// that opens a socket for each request would come too late for the answer of a server nearby, again and again.
#[derive(Debug)]
pub struct Stamping {
    _socket: Option<OwnedFd>,
}

impl Stamping {
    /// Asks the kernel to begin. Where there is nothing to be asked, nothing is kept.
    #[must_use]
    pub fn begin() -> Self {
        let socket = [libc::AF_INET, libc::AF_INET6].into_iter().find_map(|family| {
            let socket = datagram_socket(family).ok()?;
            ask(socket.as_fd(), STAMP_RECEIVED).then_some(socket)
        });
        Self { _socket: socket }
    }
}

/// Asks for timestamps of one socket; says whether there will be any.
pub(super) fn ask(socket: impl AsFd, flags: libc::c_uint) -> bool {
    let flags = libc::c_int::try_from(flags).unwrap_or_default();
    set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags).is_ok()
}
