//! Where the command protocol is spoken: a socket in the file system, and a UDP port.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use conf::config::{Control, Family};
use engine::io::ControlPeer;
use os::privileges;
use os::{PassedSocket, Ready, Token, UdpOptions, UdpSocket, UnixPeer, UnixSocket, Waiter, Watch, reason};

use crate::log::Log;
use crate::passed::{PassedSockets, Port};

/// How the loop calls the three sockets; far from the numbers of the NTP sockets.
const UNIX: Token = Token(u32::MAX - 1);
const UDP4: Token = Token(u32::MAX - 2);
const UDP6: Token = Token(u32::MAX - 3);

/// Everybody may write to the socket who may enter its directory.
const SOCKET_MODE: u32 = 0o666;

/// What nobody may have of the socket's directory but its owner and group.
const OTHERS: u32 = 0o007;

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
    /// Opens the UDP port, of one family or both; a socket that was passed for it is used. What cannot be opened is logged
    /// and left out, as chronyd does.
    pub(crate) fn open(
        config: &Control,
        family: Option<Family>,
        passed: &PassedSockets,
        log: &mut Log,
    ) -> Self {
        let mut sockets = Self::default();
        if config.port != 0 {
            let mut udp = |address: IpAddr| {
                let local = SocketAddr::new(address, config.port);
                open_udp(
                    local,
                    config.bind_device.as_deref(),
                    passed.at(Port::Command, local),
                )
                .inspect_err(|_| {
                    // OpenNTPD has no such port, and who runs it needs no right to open one.
                    if !log.is_openntpd() {
                        log.warn(&format!("Could not open command socket on {local}"));
                    }
                })
                .ok()
            };
            if family != Some(Family::V6) {
                sockets.udp4 = udp(IpAddr::V4(config.bind_ipv4));
            }
            if family != Some(Family::V4) {
                sockets.udp6 = udp(IpAddr::V6(config.bind_ipv6));
            }
        }
        sockets
    }

    /// Opens the socket in the file system, as the user that the daemon is by now. Who may enter its directory may
    /// do everything, so that a directory for others is refused.
    pub(crate) fn open_unix(&mut self, path: &Path, log: &mut Log) {
        // Under a simulator there is a directory that cannot be seen; whether there is one, binding tells.
        if let Some(directory) = path.parent()
            && let Some(why) = fs::metadata(directory)
                .ok()
                .and_then(|found| what_is_wrong(directory, &found))
        {
            log.warn(&why);
            log.warn(&format!("Disabled command socket {}", path.display()));
            return;
        }
        match UnixSocket::bind(path, SOCKET_MODE) {
            Ok(socket) => self.unix = Some(socket),
            Err(error) => {
                let path = path.display();
                log.warn(&format!(
                    "Could not open command socket on {path} : {}",
                    reason(&error)
                ));
            }
        }
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

/// Opens the command port at one address, or uses the socket that was passed for it.
fn open_udp(local: SocketAddr, device: Option<&str>, passed: Option<&PassedSocket>) -> io::Result<UdpSocket> {
    UdpSocket::open(&UdpOptions {
        ipv6: local.is_ipv6(),
        address: Some(local.ip()),
        port: local.port(),
        passed,
        device,
        early: true,
        packet_info: true,
        ..UdpOptions::default()
    })
}

/// Why a directory is not the daemon's own, in chronyd's words: it has to belong to the daemon's user, and others
/// than its group have no place in it.
fn what_is_wrong(directory: &Path, found: &fs::Metadata) -> Option<String> {
    let (directory, user) = (directory.display(), privileges::user());
    if found.mode() & OTHERS != 0 {
        Some(format!("Wrong permissions on {directory}"))
    } else if found.uid() != user {
        Some(format!("Wrong owner of {directory} (UID != {user})"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use engine::io::Severity;

    use super::*;

    fn opens(mode: u32) -> bool {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let mut sockets = ControlSockets::default();
        sockets.open_unix(
            &folder.path().join("socket"),
            &mut Log::to_stderr(Severity::Fatal),
        );
        sockets.unix.is_some()
    }

    #[test]
    fn commands_are_taken_in_the_family_that_was_asked_for() {
        for family in [None, Some(Family::V4), Some(Family::V6)] {
            let port = std::net::UdpSocket::bind("127.0.0.1:0")
                .and_then(|socket| socket.local_addr())
                .unwrap()
                .port();
            let config = Control {
                port,
                ..Control::default()
            };
            let sockets = ControlSockets::open(
                &config,
                family,
                &PassedSockets::default(),
                &mut Log::to_stderr(Severity::Fatal),
            );
            assert_eq!(sockets.udp4.is_some(), family != Some(Family::V6), "{family:?}");
            assert_eq!(sockets.udp6.is_some(), family != Some(Family::V4), "{family:?}");
        }
    }

    #[test]
    fn a_directory_for_others_has_no_socket() {
        assert!(opens(0o700));
        assert!(opens(0o770));
        assert!(!opens(0o755));
        assert!(!opens(0o701));
    }
}
