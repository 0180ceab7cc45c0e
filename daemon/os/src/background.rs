//! Going into the background, and telling a service manager.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::errno::check;

/// What is written for "ready"; anything else is a message.
const READY: u8 = 0;

/// Where one finds oneself after [`detach`].
#[derive(Debug)]
pub enum Detached {
    /// In the process that was started: the daemon is ready, or has ended with this message.
    Starter(Result<(), String>),
    /// In the daemon.
    Daemon(Announcer),
}

/// Tells the process that started the daemon how it went.
#[derive(Debug)]
pub struct Announcer(File);

/// Continues in a new process without a terminal, in the directory `/`, while the old one waits for the news.
///
/// # Errors
/// What the system says of a pipe or a process.
pub fn detach() -> io::Result<Detached> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two integers, as the call wants it.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: `pipe2` has just made this descriptor, and nobody else knows it.
    let read = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let write = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    let child = fork()?;
    if child != 0 {
        drop(write);
        return Ok(Detached::Starter(news(File::from(read))));
    }
    drop(read);
    // SAFETY: takes no pointers. It fails only for the leader of a process group, which a new process is not.
    check(unsafe { libc::setsid() })?;
    if fork()? != 0 {
        // The leader of the session ends, so that the daemon can never have a terminal again.
        // SAFETY: takes no pointers and does not return; what the other processes share is left alone.
        unsafe { libc::_exit(0) };
    }
    std::env::set_current_dir("/")?;
    Ok(Detached::Daemon(Announcer(File::from(write))))
}

impl Announcer {
    /// Tells that the daemon is ready, and lets go of the terminal's input and output.
    ///
    /// # Errors
    /// What the system says of `/dev/null`.
    pub fn ready(mut self) -> io::Result<()> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        for standard in 0..=2 {
            // SAFETY: takes no pointers; the three are nobody's own, and whoever writes to them writes to nothing.
            check(unsafe { libc::dup2(null.as_raw_fd(), standard) })?;
        }
        // Whoever started the daemon may have gone.
        let _ = self.0.write_all(&[READY]);
        Ok(())
    }

    /// Tells why the daemon ends.
    pub fn failed(mut self, message: &str) {
        let _ = self.0.write_all(message.as_bytes());
    }
}

/// Waits for the news of the daemon.
fn news(mut pipe: File) -> Result<(), String> {
    let mut message = Vec::new();
    // An interrupted or failed read ends with what was read.
    let _ = pipe.read_to_end(&mut message);
    match message.as_slice() {
        [READY] => Ok(()),
        [] => Err("the daemon ended before it was ready".to_owned()),
        _ => Err(String::from_utf8_lossy(&message).into_owned()),
    }
}

/// Makes a copy of this process; returns its number, and 0 in the copy.
fn fork() -> io::Result<libc::pid_t> {
    // SAFETY: takes no pointers. The copy has one thread; so had the original, which starts threads only later, so
    // that nothing in the copy waits for a lock that a missing thread holds.
    check(unsafe { libc::fork() })
}

/// Tells the service manager the state of the service, if one wants to know (`NOTIFY_SOCKET`, sd_notify(3)).
///
/// # Errors
/// What the system says.
pub fn notify(state: &str) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

/// Takes over a descriptor that whoever started this process left open for it, to be called before anything else
/// is opened.
///
/// # Errors
/// `InvalidInput` for the standard three, or what the system says of one that is not open.
pub fn inherit(descriptor: i32) -> io::Result<File> {
    if descriptor <= 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: takes no pointers; only asks whether the descriptor is open, and closes it on `exec` from now on.
    check(unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and nothing in this process has opened anything yet, so that it is owned by nobody.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}
