//! The sockets that a service manager has passed (`LISTEN_FDS`), and what they are for.
//!
//! One is used where the daemon would open its own with the same address, port and interface, and never for anything else:
//! otherwise clients would be answered where they are not to be. It stays open as long as the daemon runs, so that
//! what comes while nobody reads it waits for whoever reads it next, the daemon after a restart included.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use conf::config::{Config, Family, Server};
use os::PassedSocket;

use crate::log::Log;

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// Answering clients (`port`).
    Ntp,
    /// The command protocol (`cmdport`).
    Command,
}

/// A socket that the daemon would open itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted<'a> {
    port: Port,
    address: SocketAddr,
    device: Option<&'a str>,
}

/// The passed sockets that are used.
#[derive(Debug, Default)]
pub(crate) struct PassedSockets(Vec<(Port, SocketAddr, PassedSocket)>);

impl PassedSockets {
    /// Keeps the sockets that the daemon would open itself. The others are closed, and that is said with the reason.
    pub(crate) fn sort(passed: Vec<PassedSocket>, config: &Config, log: &mut Log) -> Self {
        let mut wanted = wanted(config);
        let mut kept = Vec::new();
        for socket in passed {
            let number = socket.number;
            let place = socket
                .address
                .map_or_else(String::new, |address| format!(" on {address}"));
            match choose(&socket, &wanted) {
                Ok(chosen) => {
                    let port = match chosen.port {
                        Port::Ntp => "NTP",
                        Port::Command => "command",
                    };
                    log.info(&format!("Using passed socket {number}{place} as {port} socket"));
                    wanted.retain(|other| *other != chosen);
                    kept.push((chosen.port, chosen.address, socket));
                }
                Err(reason) => log.warn(&format!("Passed socket {number}{place} is not used : {reason}")),
            }
        }
        Self(kept)
    }

    /// The socket to be used in the place of one's own.
    pub(crate) fn at(&self, port: Port, address: SocketAddr) -> Option<&PassedSocket> {
        let mut all = self.0.iter();
        all.find(|(other, bound, _)| (*other, *bound) == (port, address))
            .map(|(.., socket)| socket)
    }

    /// Whether no socket has to be opened for the NTP port: there is one for each family.
    pub(crate) fn have_ntp_port(&self, config: &Config) -> bool {
        wanted(config)
            .iter()
            .all(|wanted| wanted.port != Port::Ntp || self.at(Port::Ntp, wanted.address).is_some())
    }
}

/// The address of this host and the port at which clients are answered.
pub(crate) fn server_address(server: &Server, ipv6: bool, port: u16) -> SocketAddr {
    let address = if ipv6 {
        IpAddr::V6(server.bind_ipv6.unwrap_or(Ipv6Addr::UNSPECIFIED))
    } else {
        IpAddr::V4(server.bind_ipv4.unwrap_or(Ipv4Addr::UNSPECIFIED))
    };
    SocketAddr::new(address, port)
}

/// All sockets that the daemon may open to answer somebody over UDP.
fn wanted(config: &Config) -> Vec<Wanted<'_>> {
    let (server, control) = (&config.server, &config.control);
    let families = [(false, Family::V4), (true, Family::V6)]
        .into_iter()
        .filter(|(_, family)| config.family.is_none_or(|only| only == *family));
    let sockets = families.flat_map(|(ipv6, _)| {
        let command = if ipv6 {
            IpAddr::V6(control.bind_ipv6)
        } else {
            IpAddr::V4(control.bind_ipv4)
        };
        [
            Wanted {
                port: Port::Ntp,
                address: server_address(server, ipv6, server.port),
                device: server.bind_device.as_deref(),
            },
            Wanted {
                port: Port::Command,
                address: SocketAddr::new(command, control.port),
                device: control.bind_device.as_deref(),
            },
        ]
    });
    sockets.filter(|wanted| wanted.address.port() != 0).collect()
}

/// What a passed socket is for, or why for nothing.
fn choose<'a>(socket: &PassedSocket, wanted: &[Wanted<'a>]) -> Result<Wanted<'a>, String> {
    let Some(address) = socket.address.filter(|_| socket.is_udp) else {
        return Err("it is no UDP socket (ListenDatagram= in the socket unit)".to_owned());
    };
    if socket.is_connected {
        return Err("it is connected to one peer".to_owned());
    }
    // The scope of a link-local address is not configured.
    let is_same = |other: SocketAddr| (other.ip(), other.port()) == (address.ip(), address.port());
    let Some(found) = wanted.iter().find(|wanted| is_same(wanted.address)) else {
        let list: Vec<_> = wanted.iter().map(|wanted| wanted.address.to_string()).collect();
        return Err(if list.is_empty() {
            "the daemon has use for no other".to_owned()
        } else {
            format!(
                "the daemon has use for {} (port, bindaddress, cmdport and bindcmdaddress say where)",
                list.join(", ")
            )
        });
    };
    if socket.is_dual_stack && address.ip().is_unspecified() {
        return Err("it receives over IPv4 too (BindIPv6Only=ipv6-only in the socket unit)".to_owned());
    }
    if socket.device.as_deref() != found.device {
        let name = |device: Option<&str>| device.unwrap_or("none").to_owned();
        return Err(format!(
            "its interface is {}, the configured one is {} (BindToDevice= in the socket unit; binddevice, bindcmddevice)",
            name(socket.device.as_deref()),
            name(found.device)
        ));
    }
    Ok(*found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_would_be_opened_are_wanted() {
        let addresses = |config: &Config| {
            let wanted = wanted(config);
            let all = wanted.iter().map(|wanted| wanted.address.to_string());
            all.collect::<Vec<_>>()
        };
        let mut config = Config::default();
        assert_eq!(
            addresses(&config),
            ["0.0.0.0:123", "127.0.0.1:323", "[::]:123", "[::1]:323"]
        );
        config.family = Some(Family::V4);
        config.server.bind_ipv4 = Some(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(addresses(&config), ["192.0.2.1:123", "127.0.0.1:323"]);
        assert!(!PassedSockets::default().have_ntp_port(&config));
        config.server.port = 0;
        config.control.port = 0;
        assert_eq!(addresses(&config), [""; 0]);
        assert!(PassedSockets::default().have_ntp_port(&config));
    }
}
