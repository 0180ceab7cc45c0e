//! The NTP sockets: their numbers, and the one that several need.

use std::collections::BTreeSet;

use crate::io::{Output, SocketId, SocketUse};
use crate::outbox::Outbox;
use crate::source::SourceId;

/// Who needs the socket on the NTP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// Clients are answered on it.
    Answering,
    /// Broadcasts are sent from it.
    Broadcasting,
    /// A peer is asked on it, or a server from our own NTP port.
    Asking(SourceId),
}

/// Gives sockets their numbers, and keeps those on the NTP port open as long as somebody needs them.
#[derive(Debug)]
pub struct Ports {
    server_port: u16,
    next: u32,
    ipv4: Shared,
    ipv6: Shared,
}

/// A socket that is open as long as it has holders.
#[derive(Debug, Default)]
struct Shared {
    socket: Option<SocketId>,
    holders: BTreeSet<Holder>,
}

impl Ports {
    /// Begins with all sockets closed; `server_port` is the NTP port, 0 for none.
    pub fn new(server_port: u16) -> Self {
        Self {
            server_port,
            next: 0,
            ipv4: Shared::default(),
            ipv6: Shared::default(),
        }
    }

    /// The number of a new socket.
    pub fn fresh(&mut self) -> SocketId {
        let socket = SocketId(self.next);
        self.next = self.next.wrapping_add(1);
        socket
    }

    /// The socket on the NTP port, which is opened if it is not; `None` when there is to be none (`port 0`).
    pub fn hold(&mut self, ipv6: bool, holder: Holder, out: &mut Outbox) -> Option<SocketId> {
        if self.server_port == 0 {
            return None;
        }
        let port = self.server_port;
        let fresh = self.shared(ipv6).socket.is_none().then(|| self.fresh());
        let shared = self.shared(ipv6);
        shared.holders.insert(holder);
        if let Some(socket) = fresh {
            shared.socket = Some(socket);
            out.push(Output::Open {
                socket,
                purpose: SocketUse::Server { ipv6, port },
            });
        }
        shared.socket
    }

    /// A holder does not need the socket any more; the last one closes it.
    pub fn release(&mut self, ipv6: bool, holder: Holder, out: &mut Outbox) {
        let shared = self.shared(ipv6);
        shared.holders.remove(&holder);
        if shared.holders.is_empty()
            && let Some(socket) = shared.socket.take()
        {
            out.push(Output::Close { socket });
        }
    }

    /// Whether this is a socket on the NTP port.
    pub fn is_server(&self, socket: SocketId) -> bool {
        [self.ipv4.socket, self.ipv6.socket].contains(&Some(socket))
    }

    /// The NTP port, if clients are answered on it.
    pub fn answering_port(&self) -> Option<u16> {
        let is_answering = |shared: &Shared| shared.holders.contains(&Holder::Answering);
        (is_answering(&self.ipv4) || is_answering(&self.ipv6)).then_some(self.server_port)
    }

    /// The NTP port.
    pub fn server_port(&self) -> u16 {
        self.server_port
    }

    fn shared(&mut self, ipv6: bool) -> &mut Shared {
        if ipv6 { &mut self.ipv6 } else { &mut self.ipv4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_socket_is_open_as_long_as_somebody_needs_it() {
        let (mut ports, mut out) = (Ports::new(123), Outbox::default());
        let asking = Holder::Asking(SourceId(4));
        assert_eq!(ports.answering_port(), None);
        let socket = ports.hold(false, Holder::Answering, &mut out).unwrap();
        assert_eq!(ports.answering_port(), Some(123));
        assert_eq!(ports.hold(false, asking, &mut out), Some(socket));
        assert_ne!(ports.hold(true, asking, &mut out), Some(socket));
        assert!(ports.is_server(socket) && !ports.is_server(ports.fresh_for_test()));
        ports.release(false, Holder::Answering, &mut out);
        let opened = std::iter::from_fn(|| out.pop()).count();
        assert_eq!(opened, 2);
        ports.release(false, asking, &mut out);
        assert_eq!(out.pop(), Some(Output::Close { socket }));
        assert!(!ports.is_server(socket));
    }

    #[test]
    fn port_0_is_never_opened() {
        let (mut ports, mut out) = (Ports::new(0), Outbox::default());
        assert_eq!(ports.hold(true, Holder::Answering, &mut out), None);
        assert_eq!(out.pop(), None);
    }

    impl Ports {
        fn fresh_for_test(&self) -> SocketId {
            SocketId(self.next + 1000)
        }
    }
}
