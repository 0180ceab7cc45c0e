//! The machine as a trait: everything the agent does to a host goes through here.
//!
//! [`RealHost`] is the machine the agent runs on. [`SimulatedHost`] keeps its files in memory and has a
//! chronyd of its own, for tests and for benchmarks with thousands of agents in one process. All calls may
//! block; the agent makes them on threads that may.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod command;
mod control;
mod files;
#[cfg(test)]
pub(crate) mod hooked;
mod owners;
mod real;
mod simulated;

pub use control::ask;
pub use real::RealHost;
pub use simulated::{SimulatedChrony, SimulatedHost};

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// A machine.
pub trait Host: Send + Sync + 'static {
    /// Reads a file, at most [`FILE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// As `open` and `read`; a directory or a device is an error, and so is a larger file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Names of what is in a directory, in byte order.
    ///
    /// # Errors
    /// As `opendir`.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// What is at a path; a symbolic link is not followed.
    ///
    /// # Errors
    /// As `lstat`; nothing there is [`io::ErrorKind::NotFound`].
    fn kind(&self, path: &Path) -> io::Result<FileKind>;

    /// Makes a directory and those above it; one that exists is left as it is.
    ///
    /// # Errors
    /// As `mkdir`.
    fn make_directory(&self, path: &Path, access: Access) -> io::Result<()>;

    /// Replaces a file's content so that at any moment, also after a power failure, either the former or
    /// the new content is there, entirely.
    ///
    /// # Errors
    /// The former file is untouched then. Anything at `path` but a regular file is an error.
    fn replace(&self, path: &Path, content: &[u8], access: Access) -> io::Result<()>;

    /// Appends to a file, which is made when it is not there, and waits until it is on the disk.
    ///
    /// # Errors
    /// A part of the content may have been written.
    fn append(&self, path: &Path, content: &[u8], access: Access) -> io::Result<()>;

    /// Removes a file for good, also after a power failure.
    ///
    /// # Errors
    /// As `unlink`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes what interrupted calls left in a directory.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn sweep(&self, directory: &Path) -> io::Result<()>;

    /// Keeps every other process from using `directory` as its state until the value is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has it.
    fn claim(&self, directory: &Path) -> io::Result<Claim>;

    /// Opens a way to chronyd's command protocol.
    ///
    /// # Errors
    /// When nobody listens there, or the agent may not.
    fn open_control(&self, address: &ControlAddress) -> io::Result<Box<dyn Control>>;

    /// Runs a program, without a shell, until it ends or `limit` has passed; then it is killed.
    ///
    /// # Errors
    /// When it cannot be started, or did not end in time ([`io::ErrorKind::TimedOut`]).
    fn run(&self, command: &[String], limit: Duration) -> io::Result<CommandOutput>;

    /// Whether the agent may do everything.
    fn is_root(&self) -> bool;

    /// The file of the program that a process runs. Whatever the process says of itself, this is the file that it was
    /// started from, it is at this path of the host, and nobody but root can change it.
    ///
    /// # Errors
    /// When it is not so: the program was replaced, the process has another root directory, as in a container, or somebody
    /// else can change the program; and when the agent may not look.
    fn program_of(&self, process: u32) -> io::Result<PathBuf>;

    /// Whether a process finds at `path` what is there for the agent, which mounts of its own can hide.
    ///
    /// # Errors
    /// When the agent may not look.
    fn is_same_for(&self, process: u32, path: &Path) -> io::Result<bool>;

    /// Makes sure that nobody but root, and the agent's own user, decides what is at `path`: all directories on the way to
    /// it, through links, too, and it itself, where it is there, are theirs, and nobody else may write into them.
    ///
    /// # Errors
    /// Names what is somebody else's.
    fn belongs_to_root(&self, path: &Path) -> io::Result<()>;

    /// Time since the host was booted; it is never set.
    fn since_boot(&self) -> Duration;

    /// Waits.
    fn pause(&self, time: Duration);

    /// Whether calls never block, so that no thread is needed for them.
    fn is_instant(&self) -> bool {
        false
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a socket or something else.
    Other,
}

/// Who may read a file or directory that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody: mode 0644, directories 0755.
    Public,
    /// Its owner only: mode 0600, directories 0700.
    Private,
    /// As the file that is replaced had it; everybody when there was none.
    Kept,
}

/// Keeps a directory for this process; given back when dropped.
pub type Claim = Box<dyn Send + Sync>;

/// Where chronyd takes commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlAddress {
    /// Its socket in the file system: everything, for root.
    Socket(PathBuf),
    /// A UDP port: reports only.
    Udp(SocketAddr),
}

impl std::fmt::Display for ControlAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ControlAddress::Socket(path) => path.display().fmt(f),
            ControlAddress::Udp(address) => address.fmt(f),
        }
    }
}

/// An open way to chronyd.
pub trait Control {
    /// Sends one datagram, and waits so long for room when the other side stands still.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when no room came in time; otherwise as `send`.
    fn send(&mut self, datagram: &[u8], limit: Duration) -> io::Result<()>;

    /// Waits for a datagram and gives its length.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when none came in time.
    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize>;
}

/// What a program left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// Whether it ended with status 0.
    pub success: bool,
    /// How it ended, such as `exit status: 1`.
    pub status: String,
    /// The start of what it wrote, standard output first, at most 64 KiB each.
    pub text: String,
}
