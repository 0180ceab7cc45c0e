//! The file that says which process is the daemon, and that there is only one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::errno::{check, reason};
use crate::files::{self, ReplaceError};

/// Why the daemon cannot be the one.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another process has said so and is alive (the words are chronyd's).
    #[error("Another {name} may already be running (pid={pid}), check {}", path.display())]
    Taken {
        /// The program's name.
        name: String,
        /// The process.
        pid: i32,
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("Could not open {} : {}", path.display(), reason(error))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file cannot be removed.
    #[error("Could not remove {} : {}", path.display(), reason(error))]
    Stays {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What is read of another's file, bytes.
const LENGTH_MAX: u64 = 64;

/// The file of this process; it is removed when this is dropped.
#[derive(Debug)]
pub struct PidFile {
    /// `None` once it is removed.
    path: Option<PathBuf>,
}

impl PidFile {
    /// Writes the file, unless it names another process that is alive.
    ///
    /// # Errors
    /// Why it could not be written.
    pub fn write(path: &Path, name: &str) -> Result<Self, PidFileError> {
        let own = std::process::id();
        if let Some(pid) = pid_in(path)
            && pid > 0
            && u32::try_from(pid) != Ok(own)
            && is_alive(pid)
        {
            return Err(PidFileError::Taken {
                name: name.to_owned(),
                pid,
                path: path.to_owned(),
            });
        }
        files::replace(path, format!("{own}\n").as_bytes(), 0o644).map_err(|error| {
            let (ReplaceError::Open { error, .. } | ReplaceError::Write { error, .. }) = error;
            PidFileError::Unwritable {
                path: path.to_owned(),
                error,
            }
        })?;
        Ok(Self {
            path: Some(path.to_owned()),
        })
    }

    /// Removes the file, for whoever wants to know whether that worked. One that names another process by now is that one's.
    ///
    /// # Errors
    /// What the system says; that somebody else has removed it before is none.
    pub fn remove(mut self) -> Result<(), PidFileError> {
        self.take_away()
    }

    fn take_away(&mut self) -> Result<(), PidFileError> {
        let Some(path) = self.path.take() else {
            return Ok(());
        };
        if pid_in(&path).is_some_and(|pid| u32::try_from(pid) != Ok(std::process::id())) {
            return Ok(());
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PidFileError::Stays { path, error }),
            _ => Ok(()),
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = self.take_away();
    }
}

/// The number in a file.
fn pid_in(path: &Path) -> Option<i32> {
    files::read_text(path, LENGTH_MAX).ok()?.trim().parse().ok()
}

/// Whether there is a process of this number, whoever owns it.
fn is_alive(pid: i32) -> bool {
    // SAFETY: takes no pointers; only asks.
    check(unsafe { libc::getsid(pid) }).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_lives_as_long_as_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.pid");
        fs::write(&path, "2147483647\n").unwrap();
        let file = PidFile::write(&path, "timeballd").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
        drop(file);
        assert!(!path.exists());

        let file = PidFile::write(&path, "timeballd").unwrap();
        fs::remove_file(&path).unwrap();
        file.remove().unwrap();
        let file = PidFile::write(&path, "timeballd").unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let expected = format!("Could not remove {} : Is a directory", path.display());
        assert_eq!(file.remove().unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_file_that_names_another_process_by_now_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.pid");
        let file = PidFile::write(&path, "timeballd").unwrap();
        fs::write(&path, "1\n").unwrap();
        file.remove().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn a_living_process_keeps_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.pid");
        fs::write(&path, "1\n").unwrap();
        let error = PidFile::write(&path, "chronyd").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "Another chronyd may already be running (pid=1), check {}",
                path.display()
            )
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn nonsense_in_the_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.pid");
        for text in ["", "-5", "many\n"] {
            fs::write(&path, text).unwrap();
            PidFile::write(&path, "timeballd").unwrap();
        }
        let error = PidFile::write(&folder.path().join("no/where"), "timeballd").unwrap_err();
        assert!(matches!(error, PidFileError::Unwritable { .. }));
    }
}
