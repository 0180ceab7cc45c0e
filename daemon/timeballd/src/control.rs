//! Where the command protocol is spoken: a socket in the file system, and a UDP port.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use conf::config::Control;
use engine::io::ControlPeer;
use os::privileges::User;
use os::{Ready, Token, UdpOptions, UdpSocket, UnixPeer, UnixSocket, Waiter, Watch, reason};

use crate::files::make_directory;
use crate::log::Log;

/// How the loop calls the three sockets; far from the numbers of the NTP sockets.
const UNIX: Token = Token(u32::MAX - 1);
const UDP4: Token = Token(u32::MAX - 2);
const UDP6: Token = Token(u32::MAX - 3);

/// Everybody may write to the socket who may enter its directory.
const SOCKET_MODE: u32 = 0o666;

/// The largest number of requests over the Unix socket whose answer may still come. The oldest is forgotten.
const PEERS_MAX: usize = 8;

/// The open command sockets.
#[derive(Debug, Default)]
pub(crate) struct ControlSockets {
    unix: Option<UnixSocket>,
    udp4: Option<UdpSocket>,
    udp6: Option<UdpSocket>,
    /// Who is waiting for an answer over the Unix socket.
    peers: VecDeque<(u64, UnixPeer)>,
    next_peer: u64,
}

impl ControlSockets {
    /// Opens what is configured. What cannot be opened is logged and left out, as chronyd does.
    pub(crate) fn open(config: &Control, socket: Option<&Path>, owner: Option<User>, log: &mut Log) -> Self {
        let mut sockets = Self::default();
        if config.port != 0 {
            let mut udp = |address: IpAddr| {
                let local = SocketAddr::new(address, config.port);
                open_udp(local, config.bind_device.as_deref())
                    .inspect_err(|_| log.warn(&format!("Could not open command socket on {local}")))
                    .ok()
            };
            sockets.udp4 = udp(IpAddr::V4(config.bind_ipv4));
            sockets.udp6 = udp(IpAddr::V6(config.bind_ipv6));
        }
        if let Some(path) = socket {
            sockets.unix = open_unix(path, owner)
                .inspect_err(|error| {
                    let path = path.display();
                    log.warn(&format!(
                        "Could not open command socket on {path} : {}",
                        reason(error)
                    ));
                })
                .ok();
        }
        sockets
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.unix.is_none() && self.udp4.is_none() && self.udp6.is_none()
    }

    /// Watches them all from now on.
    pub(crate) fn watch(&self, waiter: &mut Waiter) {
        if let Some(unix) = &self.unix {
            waiter.watch(UNIX, unix, Watch::Readable);
        }
        for (token, udp) in [(UDP4, &self.udp4), (UDP6, &self.udp6)] {
            if let Some(udp) = udp {
                waiter.watch(token, udp, Watch::Readable);
            }
        }
    }

    /// Receives the request that was reported, and from whom; `None` when the report is not about one of these
    /// sockets, or there is none after all.
    pub(crate) fn receive(&mut self, ready: Ready, buffer: &mut [u8]) -> Option<(usize, ControlPeer)> {
        let udp = match ready.token {
            UNIX => {
                let (length, peer) = self.unix.as_ref()?.receive(buffer).ok().flatten()?;
                self.next_peer += 1;
                if self.peers.len() == PEERS_MAX {
                    self.peers.pop_front();
                }
                self.peers.push_back((self.next_peer, peer));
                return Some((length, ControlPeer::Unix(self.next_peer)));
            }
            UDP4 => self.udp4.as_ref()?,
            UDP6 => self.udp6.as_ref()?,
            _ => return None,
        };
        // An error is what the network says of an earlier answer.
        let received = udp.receive(buffer).ok().flatten()?;
        Some((
            received.length,
            ControlPeer::Udp {
                from: received.from,
                to: received.to,
            },
        ))
    }

    /// Sends an answer. Whoever does not get it asks again.
    pub(crate) fn reply(&mut self, peer: ControlPeer, bytes: &[u8]) {
        match peer {
            ControlPeer::Unix(number) => {
                let place = self.peers.iter().position(|(other, _)| *other == number);
                let peer = place.and_then(|place| self.peers.remove(place));
                if let (Some(unix), Some((_, peer))) = (&self.unix, peer) {
                    let _ = unix.send(bytes, &peer);
                }
            }
            ControlPeer::Udp { from, to } => {
                let udp = if from.is_ipv6() { &self.udp6 } else { &self.udp4 };
                if let Some(udp) = udp {
                    let _ = udp.send(bytes, from, to);
                }
            }
        }
    }
}

/// Opens the command port at one address.
fn open_udp(local: SocketAddr, device: Option<&str>) -> io::Result<UdpSocket> {
    UdpSocket::open(&UdpOptions {
        ipv6: local.is_ipv6(),
        address: Some(local.ip()),
        port: local.port(),
        device,
        early: true,
        packet_info: true,
        ..UdpOptions::default()
    })
}

/// Makes the command socket, and its directory if need be.
fn open_unix(path: &Path, owner: Option<User>) -> io::Result<UnixSocket> {
    if let Some(directory) = path.parent() {
        // Under a simulator there is a directory that cannot be seen; whether there is one, binding tells.
        let _ = make_directory(directory, owner);
    }
    UnixSocket::bind(path, SOCKET_MODE)
}
