//! Datagrams to chronyd: through its socket as root, else through its UDP port.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use uuid::Uuid;
use wire::candm::{AskError, Channel, Reply, Request};

use super::{Control, ControlAddress, Host, files};

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

/// Asks the daemon at the other end, once for each of the times in `patience`.
///
/// # Errors
/// As [`wire::candm::ask`].
pub fn ask(
    host: &dyn Host,
    control: &mut dyn Control,
    request: &Request,
    patience: impl IntoIterator<Item = Duration>,
) -> Result<Reply, AskError> {
    wire::candm::ask(&mut Conversation { host, control }, request, patience)
}

/// What a conversation takes of a host.
struct Conversation<'a> {
    host: &'a dyn Host,
    control: &'a mut dyn Control,
}

impl Channel for Conversation<'_> {
    fn send(&mut self, datagram: &[u8], limit: Duration) -> io::Result<()> {
        self.control.send(datagram, limit)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.control.receive(buffer, limit)
    }

    fn now(&self) -> Duration {
        self.host.since_boot()
    }

    fn number(&mut self) -> io::Result<u32> {
        let (number, _, _, _) = Uuid::new_v4().as_fields();
        Ok(number)
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
        let_everybody_answer(&local.path)?;
        local.socket.connect(peer)?;
        Ok(local)
    }
}

/// Makes the socket that was just bound at `path` writable for everybody. The directory is the daemon's, whose user can
/// put anything in the socket's place at any moment: what is there is opened once, without following a link, and
/// changed only if it is a socket of this process's user that has no second name.
fn let_everybody_answer(path: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let what = found.metadata()?;
    let own = what.uid() == rustix::process::geteuid().as_raw() && what.nlink() == 1;
    if !(what.file_type().is_socket() && own) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "somebody put something else in the place of {}; find out who writes to its directory",
                path.display()
            ),
        ));
    }
    // fchmod refuses such a descriptor, but its name in /proc leads to the very same socket.
    let place = format!("/proc/self/fd/{}", found.as_raw_fd());
    fs::set_permissions(place, Permissions::from_mode(0o666))
}

impl Drop for Local {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the agent's next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Control for Local {
    fn send(&mut self, datagram: &[u8], limit: Duration) -> io::Result<()> {
        self.socket.set_write_timeout(Some(at_least_a_moment(limit)))?;
        uninterrupted(|| self.socket.send(datagram))
            .map(drop)
            .map_err(timed_out)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(at_least_a_moment(limit)))?;
        uninterrupted(|| self.socket.recv(buffer)).map_err(timed_out)
    }
}

impl Control for UdpSocket {
    fn send(&mut self, datagram: &[u8], limit: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(at_least_a_moment(limit)))?;
        uninterrupted(|| UdpSocket::send(self, datagram))
            .map(drop)
            .map_err(timed_out)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.set_read_timeout(Some(at_least_a_moment(limit)))?;
        uninterrupted(|| self.recv(buffer)).map_err(timed_out)
    }
}

/// Sends or receives; a signal to the process is no reason to give up.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn everybody_can_answer_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let peer = directory.path().join("chronyd.sock");
        let _daemon = UnixDatagram::bind(&peer).unwrap();
        let local = Local::open(&peer).unwrap();
        assert_eq!(mode(&local.path), 0o666);
        drop(local);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn what_was_put_in_the_place_of_the_socket_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let precious = directory.path().join("precious");
        fs::write(&precious, "").unwrap();
        fs::set_permissions(&precious, Permissions::from_mode(0o600)).unwrap();
        let link = directory.path().join("link");
        symlink(&precious, &link).unwrap();
        let other = directory.path().join("other");
        let _service = UnixDatagram::bind(&other).unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
        let second_name = directory.path().join("second");
        fs::hard_link(&other, &second_name).unwrap();
        for path in [&link, &precious, &second_name] {
            let error = let_everybody_answer(path).unwrap_err();
            assert_eq!(
                error.kind(),
                io::ErrorKind::PermissionDenied,
                "{}",
                path.display()
            );
        }
        assert_eq!((mode(&precious), mode(&other)), (0o600, 0o600));
    }
}
