//! Datagrams to chronyd: through its socket as root, else through its UDP port.

use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Control, ControlAddress, files};

pub(super) fn open(address: &ControlAddress) -> io::Result<Box<dyn Control>> {
    match address {
        ControlAddress::Socket(path) => Ok(Box::new(Local::open(path)?)),
        ControlAddress::Udp(address) => {
            let any: IpAddr = match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(address)?;
            Ok(Box::new(socket))
        }
    }
}

/// A socket beside chronyd's: a datagram from a socket without a name could not be answered.
struct Local {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Local {
    fn open(peer: &Path) -> io::Result<Self> {
        let path = files::own_name(peer.parent().unwrap_or(Path::new("/")), false, files::SOCKET);
        let local = Local {
            socket: UnixDatagram::bind(&path)?,
            path,
        };
        // chronyd has dropped its privileges and must be able to answer.
        fs::set_permissions(&local.path, Permissions::from_mode(0o666))?;
        local.socket.connect(peer)?;
        Ok(local)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the agent's next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Control for Local {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        self.socket.send(datagram).map(drop)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(at_least_a_moment(limit)))?;
        uninterrupted(|| self.socket.recv(buffer)).map_err(timed_out)
    }
}

impl Control for UdpSocket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        UdpSocket::send(self, datagram).map(drop)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.set_read_timeout(Some(at_least_a_moment(limit)))?;
        uninterrupted(|| self.recv(buffer)).map_err(timed_out)
    }
}

/// Receives; a signal to the process is no reason to give up.
fn uninterrupted(mut receive: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match receive() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A timeout of zero would mean to wait for ever.
fn at_least_a_moment(limit: Duration) -> Duration {
    limit.max(Duration::from_millis(1))
}

fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        _ => error,
    }
}
