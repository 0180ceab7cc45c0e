//! The machine the agent runs on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::{
    Access, Claim, CommandOutput, Control, ControlAddress, FILE_BYTES_MAX, FileKind, Host, command, control,
    files,
};

/// Most names that are taken from one directory.
const NAMES_MAX: usize = 4096;

/// The machine the agent runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealHost;

/// A locked file. Closing it is not enough: a child that another thread has just forked holds it, too, until it
/// becomes another program.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock ends with the process at the latest.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Host for RealHost {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Opening a pipe or a device could block or do something.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "this is not a regular file",
            ));
        }
        let mut content = Vec::new();
        let limit = u64::try_from(FILE_BYTES_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        File::open(path)?.take(limit).read_to_end(&mut content)?;
        if content.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("the file is larger than {FILE_BYTES_MAX} bytes"),
            ));
        }
        Ok(content)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)?.take(NAMES_MAX) {
            // Names that are no text are none that time daemons or the agent use.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        let kind = fs::symlink_metadata(path)?.file_type();
        Ok(if kind.is_symlink() {
            FileKind::Link
        } else if kind.is_file() {
            FileKind::File
        } else if kind.is_dir() {
            FileKind::Directory
        } else {
            FileKind::Other
        })
    }

    fn make_directory(&self, path: &Path, access: Access) -> io::Result<()> {
        files::make_directory(path, access)
    }

    fn replace(&self, path: &Path, content: &[u8], access: Access) -> io::Result<()> {
        files::replace(path, content, access)
    }

    fn append(&self, path: &Path, content: &[u8], access: Access) -> io::Result<()> {
        files::append(path, content, access)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        files::sync_directory_of(path)
    }

    fn sweep(&self, directory: &Path) -> io::Result<()> {
        files::sweep(directory)
    }

    fn claim(&self, directory: &Path) -> io::Result<Claim> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(Lock(lock)))
    }

    fn open_control(&self, address: &ControlAddress) -> io::Result<Box<dyn Control>> {
        control::open(address)
    }

    fn run(&self, command: &[String], limit: Duration) -> io::Result<CommandOutput> {
        command::run(command, limit)
    }

    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn since_boot(&self) -> Duration {
        link::clock::since_boot()
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_claimed_by_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let claim = RealHost.claim(directory.path()).unwrap();
        let second = RealHost.claim(directory.path()).map(drop);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(claim);
        assert!(RealHost.claim(directory.path()).is_ok());
    }

    #[test]
    fn files_are_read_within_bounds_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX]).unwrap();
        assert_eq!(RealHost.read(&path).unwrap().len(), FILE_BYTES_MAX);
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX + 1]).unwrap();
        assert_eq!(
            RealHost.read(&path).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
        assert_eq!(
            RealHost.read(directory.path()).unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
        assert!(RealHost.read(Path::new("/dev/zero")).is_err());
        assert_eq!(RealHost.list(directory.path()).unwrap(), ["large"]);
    }
}
