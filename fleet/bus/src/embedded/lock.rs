//! One process at a time: a lock file beside the store, held as long as any connection is open.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::sync::watch;

use super::fault;
use crate::BusError;

/// How long to wait for a process that is just ending: the one before us, or a child that holds a copy of the
/// descriptor between fork and exec.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The lock on a store; given back when dropped.
pub(super) struct StoreLock {
    file: Option<File>,
    released: watch::Sender<bool>,
}

impl StoreLock {
    /// Locks the store at `path`. [`BusError::Locked`] names who holds it.
    pub(super) fn take(path: &Path) -> Result<Self, BusError> {
        let lock_path = beside(path, "lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| fault::of_file("open the lock file", &lock_path, &error))?;
        let began = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) if began.elapsed() < WAIT_MAX => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(locked(path, &mut file)),
                Err(error) => return Err(fault::of_file("lock", &lock_path, &error.into())),
            }
        }
        // Only for the message of the next one; on a full disk it may stay unsaid.
        if let Err(error) = say_who(&mut file) {
            tracing::debug!(%error, "the lock file does not say who holds it");
        }
        Ok(StoreLock {
            file: Some(file),
            released: watch::Sender::new(false),
        })
    }

    /// Becomes true when the lock was given back.
    pub(super) fn released(&self) -> watch::Receiver<bool> {
        self.released.subscribe()
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        if let Some(mut file) = self.file.take() {
            // The file stays: removing it would let two processes lock two files of one name.
            let _ = file.set_len(0).and_then(|()| file.flush());
        }
        self.released.send_replace(true);
    }
}

/// The file that belongs to a store, beside it: `<path>.<ending>`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn say_who(file: &mut File) -> std::io::Result<()> {
    let name = std::env::args().next().unwrap_or_default();
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "process {} ({name})", std::process::id())
}

fn locked(path: &Path, file: &mut File) -> BusError {
    let mut who = String::new();
    let read = file.take(300).read_to_string(&mut who);
    if read.is_err() || who.is_empty() {
        "another process".clone_into(&mut who);
    }
    BusError::Locked(format!(
        "{who} uses {}; one process at a time can. Stop it, or choose another data directory",
        path.display()
    ))
}
