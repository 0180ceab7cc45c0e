//! The command socket in the file system.

use std::fs;
use std::io;
use std::mem::{MaybeUninit, offset_of, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::address::family;
use super::datagram_socket;
use crate::errno::{check, would_wait};
use crate::number::{length, moved};

/// The longest path of a socket, bytes, without its end mark (`sun_path` of Linux).
pub const SOCKET_PATH_MAX: usize = size_of::<libc::sockaddr_un>() - PATH_OFFSET - 1;

const PATH_OFFSET: usize = offset_of!(libc::sockaddr_un, sun_path);

/// A Unix datagram socket with a place in the file system. The place is given up when it is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    fd: OwnedFd,
    path: PathBuf,
    /// What was found there after it was bound; `None` where it cannot be seen.
    place: Option<Place>,
}

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
}

/// Who sent a datagram to a [`UnixSocket`]: the path it is to be answered at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixPeer(Box<[u8]>);

impl UnixSocket {
    /// Makes a socket at a path, in the place of one that a dead process left behind.
    ///
    /// `mode` are the permissions of the socket's file: writing to it is what others need.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is too long, or what the system says. A file that is not a socket is not
    /// removed, so that the address is in use.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        let fd = datagram_socket(libc::AF_UNIX)?;
        let (address, size) = address_of(path.as_os_str().as_bytes())?;
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        // SAFETY: takes no pointers and cannot fail. The mask is the process's: there is one thread that makes
        // files, this one.
        let mask = unsafe { libc::umask(!mode & 0o777) };
        // SAFETY: the pointer is to an address of the length given, and only read during the call.
        let bound = check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size) });
        // SAFETY: as for the first `umask`.
        unsafe { libc::umask(mask) };
        bound?;
        Ok(Self {
            fd,
            path: path.to_owned(),
            place: place(path),
        })
    }

    /// Receives one datagram; called once after the socket was reported readable.
    ///
    /// `None` when there was none after all, or when the sender has no place to be answered at.
    ///
    /// # Errors
    /// What the system says.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, UnixPeer)>> {
        let mut from = empty_address();
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: `msghdr` is made of pointers and integers, for which all zeros is a value (null, 0).
        let mut message = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = length(size_of::<libc::sockaddr_un>());
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        // SAFETY: every pointer in the message is to something that lives through the call and that nothing else
        // uses meanwhile, with its own length.
        let received =
            check(unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) });
        let received = match received {
            Ok(received) => moved(received).min(buffer.len()),
            Err(error) if would_wait(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let path_end = usize::try_from(message.msg_namelen).unwrap_or_default();
        let path: Vec<u8> = from
            .sun_path
            .iter()
            .take(path_end.saturating_sub(PATH_OFFSET))
            .map(|&byte| byte.to_ne_bytes()[0])
            .take_while(|&byte| byte != 0)
            .collect();
        Ok((!path.is_empty()).then(|| (received, UnixPeer(path.into_boxed_slice()))))
    }

    /// Sends one datagram to who sent one before.
    ///
    /// # Errors
    /// What the system says; the other may have gone, or not be reading.
    pub fn send(&self, bytes: &[u8], to: &UnixPeer) -> io::Result<()> {
        let (address, size) = address_of(&to.0)?;
        // SAFETY: the pointers are to `bytes` and to an address, with their lengths, and only read.
        let sent = check(unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT,
                (&raw const address).cast(),
                size,
            )
        })?;
        if moved(sent) == bytes.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}

/// Makes the socket that this process has just bound at `path` writable for everybody. The directory may belong to the
/// user of a daemon, who can put anything in the socket's place at any moment: what is there is opened once, without
/// following a link, and changed only if it is a socket of this process's user that has no second name.
///
/// # Errors
/// `PermissionDenied` when something else is there, or what the system says.
pub fn let_everybody_write(path: &Path) -> io::Result<()> {
    let found = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(path)?;
    let what = found.metadata()?;
    // SAFETY: takes nothing and cannot fail.
    let own = what.uid() == unsafe { libc::geteuid() } && what.nlink() == 1;
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
    fs::set_permissions(place, fs::Permissions::from_mode(0o666))
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Somebody else may have taken the place over, or taken it away; there is nobody to tell.
        if place(&self.path) == self.place {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What is at a path; `None` when nothing is, or it cannot be seen.
fn place(path: &Path) -> Option<Place> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(Place {
        device: found.dev(),
        inode: found.ino(),
    })
}

/// An address with nothing in it.
fn empty_address() -> libc::sockaddr_un {
    // SAFETY: `sockaddr_un` is made of integers, for which all zeros is a value.
    unsafe { MaybeUninit::<libc::sockaddr_un>::zeroed().assume_init() }
}

/// The address of a path, and its length with the end mark.
fn address_of(path: &[u8]) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    if path.is_empty() || path.len() > SOCKET_PATH_MAX || path.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a socket's path has 1 to {SOCKET_PATH_MAX} bytes"),
        ));
    }
    let mut address = empty_address();
    address.sun_family = family(libc::AF_UNIX);
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    Ok((address, length(PATH_OFFSET + path.len() + 1)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_request_is_answered_where_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sock");
        let server = UnixSocket::bind(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);

        let client = UnixDatagram::bind(folder.path().join("client.sock")).unwrap();
        client.send_to(b"request", &path).unwrap();
        let mut buffer = [0; 64];
        let (length, peer) = server.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..length], b"request");
        server.send(b"reply", &peer).unwrap();
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"reply");
        assert_eq!(server.receive(&mut buffer).unwrap(), None);

        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_socket_of_ones_own_is_opened_to_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
        let [socket, second, precious, link] =
            ["socket", "second", "precious", "link"].map(|name| folder.path().join(name));
        let _socket = UnixDatagram::bind(&socket).unwrap();
        let_everybody_write(&socket).unwrap();
        assert_eq!(mode(&socket), 0o666);

        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
        fs::hard_link(&socket, &second).unwrap();
        fs::write(&precious, "").unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&precious, &link).unwrap();
        for path in [&second, &precious, &link] {
            let error = let_everybody_write(path).unwrap_err();
            assert_eq!(
                error.kind(),
                io::ErrorKind::PermissionDenied,
                "{}",
                path.display()
            );
        }
        assert_eq!((mode(&socket), mode(&precious)), (0o600, 0o600));
    }

    #[test]
    fn a_sender_without_a_place_is_not_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sock");
        let server = UnixSocket::bind(&path, 0o666).unwrap();
        UnixDatagram::unbound()
            .unwrap()
            .send_to(b"request", &path)
            .unwrap();
        assert_eq!(server.receive(&mut [0; 64]).unwrap(), None);
    }

    #[test]
    fn a_place_that_another_has_taken_over_stays_that_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sock");
        let first = UnixSocket::bind(&path, 0o666).unwrap();
        let second = UnixSocket::bind(&path, 0o666).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sock");
        drop(UnixDatagram::bind(&path).unwrap());
        assert!(path.exists());
        UnixSocket::bind(&path, 0o666).unwrap();

        fs::write(&path, "not a socket").unwrap();
        let error = UnixSocket::bind(&path, 0o666).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(&path).unwrap(), b"not a socket");
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let longest = "x".repeat(SOCKET_PATH_MAX);
        assert!(address_of(longest.as_bytes()).is_ok());
        let error = UnixSocket::bind(Path::new(&format!("{longest}x")), 0o666).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
