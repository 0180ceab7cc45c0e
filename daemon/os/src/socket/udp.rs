//! UDP sockets, with where a datagram came to and when.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use units::UnixTime;

use super::address::{RawAddress, any};
use super::control::{Beside, CONTROL_LENGTH, ControlBuffer, write_source};
use super::options::{set, set_text, take_error};
use super::passed::PassedSocket;
use super::stamping::{self, STAMP_RECEIVED};
use super::{datagram_socket, frame};
use crate::errno::{check, would_wait};
use crate::number::moved;

/// How a UDP socket is made. What is not set is left to the system.
#[derive(Debug, Clone, Default)]
pub struct UdpOptions<'a> {
    /// IPv6 and nothing else; otherwise IPv4.
    pub ipv6: bool,
    /// The local address; the wildcard when there is none.
    pub address: Option<IpAddr>,
    /// The local port; 0 for any.
    pub port: u16,
    /// The peer to connect to: datagrams of nobody else are received.
    pub remote: Option<SocketAddr>,
    /// The socket that a service manager has passed for this: it is bound already, and stays open with its
    /// [`PassedSocket`].
    pub passed: Option<&'a PassedSocket>,
    /// The interface to bind to.
    pub device: Option<&'a str>,
    /// Bind although the address is not there yet, or another socket had the port a moment ago.
    pub early: bool,
    /// Tell the local address of every datagram received.
    pub packet_info: bool,
    /// Differentiated services code point of what is sent, 0 to 63.
    pub dscp: u8,
    /// Allow to send to broadcast addresses.
    pub broadcast: bool,
    /// Have the kernel stamp what is received.
    pub stamp_received: bool,
    /// Have the kernel stamp what is sent.
    pub stamp_sent: bool,
}

/// A UDP socket of one family.
#[derive(Debug)]
pub struct UdpSocket {
    fd: OwnedFd,
    connected: bool,
    ipv6: bool,
}

/// One datagram that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How many bytes at the beginning of the buffer are its own.
    pub length: usize,
    /// Its sender.
    pub from: SocketAddr,
    /// The local address it came to, when [`UdpOptions::packet_info`] asked for it.
    pub to: Option<IpAddr>,
    /// The index of the interface it came in on; 0 when not known.
    pub interface: u32,
    /// When it arrived, by the system clock as the kernel read it; `None` where it does not.
    pub stamp: Option<UnixTime>,
}

/// A datagram that came back with the time at which it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmitted {
    /// Where in the buffer that is which was sent.
    pub payload: Range<usize>,
    /// When it left, by the system clock as the kernel read it.
    pub stamp: UnixTime,
}

impl UdpSocket {
    /// Makes a socket.
    ///
    /// Timestamps are a favour: where the system refuses those of `SO_TIMESTAMPING` those of `SO_TIMESTAMPNS`
    /// are tried, and where it has none the socket works without.
    ///
    /// # Errors
    /// What the system says of the socket, of one of its options, of the address or of the peer.
    pub fn open(options: &UdpOptions<'_>) -> io::Result<Self> {
        let family = if options.ipv6 {
            libc::AF_INET6
        } else {
            libc::AF_INET
        };
        let fd = match options.passed {
            Some(passed) => passed.duplicate()?,
            None => datagram_socket(family)?,
        };
        // What decides where a socket is bound cannot be set any more when it is.
        let is_own = options.passed.is_none();
        let (level, packet_info, class, free_bind) = if options.ipv6 {
            if is_own {
                set(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
            }
            (
                libc::IPPROTO_IPV6,
                libc::IPV6_RECVPKTINFO,
                libc::IPV6_TCLASS,
                libc::IPV6_FREEBIND,
            )
        } else {
            (
                libc::IPPROTO_IP,
                libc::IP_PKTINFO,
                libc::IP_TOS,
                libc::IP_FREEBIND,
            )
        };
        if options.packet_info {
            set(&fd, level, packet_info, 1)?;
        }
        // A passed socket may have that of the daemon before.
        if options.dscp > 0 || !is_own {
            set(&fd, level, class, i32::from(options.dscp.min(63)) << 2)?;
        }
        if options.broadcast {
            set(&fd, libc::SOL_SOCKET, libc::SO_BROADCAST, 1)?;
        }
        if options.early && is_own {
            set(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
            if options.address.is_some() {
                set(&fd, level, free_bind, 1)?;
            }
        }
        if let Some(device) = options.device
            && is_own
        {
            set_text(&fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device)?;
        }
        ask_for_stamps(&fd, options.stamp_received, options.stamp_sent);
        if is_own && (options.address.is_some() || options.port != 0 || options.remote.is_none()) {
            let local = SocketAddr::new(options.address.unwrap_or_else(|| any(options.ipv6)), options.port);
            let local = RawAddress::from(local);
            // SAFETY: the pointer is to an address of the length given, and only read during the call.
            check(unsafe { libc::bind(fd.as_raw_fd(), local.as_ptr(), local.length()) })?;
        }
        if let Some(remote) = options.remote {
            let remote = RawAddress::from(remote);
            // SAFETY: as above.
            check(unsafe { libc::connect(fd.as_raw_fd(), remote.as_ptr(), remote.length()) })?;
        }
        Ok(Self {
            fd,
            connected: options.remote.is_some(),
            ipv6: options.ipv6,
        })
    }

    /// Whether this is an IPv6 socket.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.ipv6
    }

    /// The local address and port.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        local_address(&self.fd)
    }

    /// Receives one datagram; called once after the socket was reported readable.
    ///
    /// `None` when there was none after all, or it was of no known family.
    ///
    /// # Errors
    /// What the network answered to an earlier datagram (`ECONNREFUSED` and its like), or the system's own.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let Some((length, from, beside)) = self.receive_message(buffer, 0)? else {
            return Ok(None);
        };
        Ok(from.to_socket_address().map(|from| Received {
            length,
            from,
            to: beside.to,
            interface: beside.interface,
            stamp: beside.stamp,
        }))
    }

    /// Fetches what was sent and when, from the queue beside the socket; called once after that was reported.
    ///
    /// `None` when what came back is not a datagram with a timestamp.
    ///
    /// # Errors
    /// What the network answered to an earlier datagram, when that was what the report meant.
    pub fn receive_transmitted(&self, buffer: &mut [u8]) -> io::Result<Option<Transmitted>> {
        let Some((length, _, beside)) = self.receive_message(buffer, libc::MSG_ERRQUEUE)? else {
            take_error(&self.fd)?;
            return Ok(None);
        };
        let Some(frame) = buffer.get(..length) else {
            return Ok(None);
        };
        Ok(frame::udp_payload(frame)
            .zip(beside.stamp)
            .map(|(payload, stamp)| Transmitted { payload, stamp }))
    }

    /// Reports whether the socket has one peer, of whom alone it receives.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Sends one datagram, to the peer if the socket is connected, and from the local address given if any.
    ///
    /// # Errors
    /// What the system says; a full queue is an error like any other, nothing is kept.
    pub fn send(&self, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) -> io::Result<()> {
        let mut name = RawAddress::from(to);
        let mut control;
        let mut part = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let mut message = empty_message();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if !self.connected {
            message.msg_name = name.as_mut_ptr().cast();
            message.msg_namelen = name.length();
            if let Some(from) = from {
                control = ControlBuffer::new();
                let length = write_source(&mut control, from);
                message.msg_control = control.0.as_mut_ptr().cast();
                message.msg_controllen = length as _;
            }
        }
        // SAFETY: every pointer in the message is to something above that lives through the call, with its own
        // length; `sendmsg` writes to none of them, so that the datagram may come from a shared slice.
        let sent =
            check(unsafe { libc::sendmsg(self.fd.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) })?;
        if moved(sent) == bytes.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// One `recvmsg`: how many bytes, from whom, and what came beside. `None` when there was nothing.
    fn receive_message(
        &self,
        buffer: &mut [u8],
        flags: libc::c_int,
    ) -> io::Result<Option<(usize, RawAddress, Beside)>> {
        let mut name = RawAddress::empty();
        let mut control = ControlBuffer::new();
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        let mut message = empty_message();
        message.msg_name = name.as_mut_ptr().cast();
        message.msg_namelen = name.length();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL_LENGTH as _;
        // SAFETY: every pointer in the message is to something that lives through the call and that nothing else
        // uses meanwhile, with its own length.
        let received = check(unsafe {
            libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, flags | libc::MSG_DONTWAIT)
        });
        let length = match received {
            Ok(length) => moved(length),
            Err(error) if would_wait(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        *name.length_mut() = message.msg_namelen;
        #[allow(
            clippy::useless_conversion,
            reason = "the type of the length differs between C libraries"
        )]
        let control_length = usize::try_from(message.msg_controllen).unwrap_or_default();
        let beside = Beside::read(control.0.get(..control_length).unwrap_or_default());
        Ok(Some((length.min(buffer.len()), name, beside)))
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The local address and port of a socket of IPv4 or IPv6.
pub(super) fn local_address(fd: &OwnedFd) -> io::Result<SocketAddr> {
    let mut address = RawAddress::empty();
    let pointer = address.as_mut_ptr();
    // SAFETY: the pointers are to the room for an address and to the length of that room.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), pointer, address.length_mut()) })?;
    address
        .to_socket_address()
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Asks for timestamps, for the best kind that the system has. `poll` tells of a stamp of something sent as of an
/// error, so that the queue with the stamps need not be made "priority" data (`SO_SELECT_ERR_QUEUE`).
fn ask_for_stamps(fd: &OwnedFd, received: bool, sent: bool) {
    if !received && !sent {
        return;
    }
    let sending = if sent {
        libc::SOF_TIMESTAMPING_TX_SOFTWARE
    } else {
        0
    };
    if !stamping::ask(fd, STAMP_RECEIVED | sending) {
        // Without any, the caller takes the time itself.
        let _ = set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1);
    }
}

/// A message header without anything.
fn empty_message() -> libc::msghdr {
    // SAFETY: `msghdr` is made of pointers and integers, for which all zeros is a value (null, 0).
    unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() }
}
