//! A conversation with a daemon.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use os::{AddressFamily, Random, let_everybody_write, look_up};
use units::rounding::low_u32;
use wire::candm::{AskError, Channel, PATIENCE, Reply, Request, ask};

/// A conversation.
pub(crate) struct Client {
    transport: Transport,
    /// Each request has a number that nobody can foresee.
    random: Random,
    begun: Instant,
}

#[derive(Debug)]
enum Transport {
    Unix { socket: UnixDatagram, _place: OwnPath },
    Udp(UdpSocket),
}

/// The place of our own socket, given up with it.
#[derive(Debug)]
struct OwnPath(PathBuf);

impl Drop for OwnPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Client {
    /// Finds the first daemon that answers.
    ///
    /// # Errors
    /// `NoAnswer` when none does.
    pub(crate) fn connect(hosts: &[String], port: u16) -> Result<Self, AskError> {
        for host in hosts {
            let Ok(transport) = open(host, port) else { continue };
            let mut client = Self {
                transport,
                random: Random::default(),
                begun: Instant::now(),
            };
            match client.ask(&Request::NSources) {
                Err(AskError::NoAnswer(_)) => {}
                // Whatever it says, it is there.
                _ => return Ok(client),
            }
        }
        Err(AskError::NoAnswer(ErrorKind::NotFound.into()))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply, AskError> {
        ask(self, request, PATIENCE)
    }
}

impl Channel for Client {
    fn send(&mut self, datagram: &[u8], limit: Duration) -> io::Result<()> {
        match &self.transport {
            Transport::Unix { socket, .. } => {
                socket.set_write_timeout(Some(limit))?;
                socket.send(datagram)
            }
            Transport::Udp(socket) => {
                socket.set_write_timeout(Some(limit))?;
                socket.send(datagram)
            }
        }
        .map(drop)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        match &self.transport {
            Transport::Unix { socket, .. } => {
                socket.set_read_timeout(Some(limit))?;
                socket.recv(buffer)
            }
            Transport::Udp(socket) => {
                socket.set_read_timeout(Some(limit))?;
                socket.recv(buffer)
            }
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn number(&mut self) -> io::Result<u32> {
        self.random.take().map(|number| low_u32(number.cast_signed()))
    }
}

/// Opens a way to a daemon: a path begins with a slash, everything else is an address or a name.
fn open(host: &str, port: u16) -> io::Result<Transport> {
    if host.starts_with('/') {
        return open_unix(Path::new(host));
    }
    let addresses = look_up(host, AddressFamily::Any).map_err(io::Error::other)?;
    let mut remote = addresses.first().copied().ok_or(ErrorKind::NotFound)?;
    remote.set_port(port);
    let local: IpAddr = if remote.is_ipv6() {
        [0u16; 8].into()
    } else {
        [0u8; 4].into()
    };
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(remote)?;
    Ok(Transport::Udp(socket))
}

/// Opens a way to a daemon's socket, from a socket beside it: there the daemon can answer.
fn open_unix(path: &Path) -> io::Result<Transport> {
    let own = path.with_file_name(format!("timeballd-ctl.{}.sock", std::process::id()));
    let _ = fs::remove_file(&own);
    let socket = UnixDatagram::bind(&own)?;
    let own = OwnPath(own);
    // The daemon has dropped its privileges and must be able to answer.
    let_everybody_write(&own.0)?;
    socket.connect(path)?;
    Ok(Transport::Unix { socket, _place: own })
}
