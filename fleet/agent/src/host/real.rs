//! The machine the agent runs on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::{
    Access, Claim, CommandOutput, Control, ControlAddress, FILE_BYTES_MAX, FileKind, Host, command, control,
    files, owners,
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

    fn program_of(&self, process: u32) -> io::Result<PathBuf> {
        let of_process = |name: &str| PathBuf::from(format!("/proc/{process}/{name}"));
        let looked = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => io::Error::new(
                error.kind(),
                "the agent may not look at its program, which needs CAP_SYS_PTRACE: the agent's current unit has that",
            ),
            kind => io::Error::new(kind, format!("its program cannot be looked at: {error}")),
        };
        let path = fs::read_link(of_process("exe")).map_err(looked)?;
        let program = fs::metadata(of_process("exe")).map_err(looked)?;
        let root = fs::metadata(of_process("root")).map_err(looked)?;
        if identity(&root) != identity(&fs::metadata("/")?) {
            return Err(io::Error::other(
                "it has another root directory than the agent, as in a container",
            ));
        }
        let here = fs::metadata(&path);
        if !here.is_ok_and(|here| identity(&here) == identity(&program)) {
            return Err(io::Error::other(format!(
                "its program, {}, was replaced or removed after it was started; restart it",
                path.display()
            )));
        }
        owners::belongs_to_root(&path)?;
        Ok(path)
    }

    fn is_same_for(&self, process: u32, path: &Path) -> io::Result<bool> {
        let below = path.strip_prefix("/").unwrap_or(path);
        let there = fs::metadata(Path::new(&format!("/proc/{process}/root")).join(below));
        let found = |found: io::Result<fs::Metadata>| match found {
            Ok(found) => Ok(Some(identity(&found))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        Ok(found(there)? == found(fs::metadata(path))?)
    }

    fn belongs_to_root(&self, path: &Path) -> io::Result<()> {
        owners::belongs_to_root(path)
    }

    fn since_boot(&self) -> Duration {
        link::clock::since_boot()
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// What tells two files apart.
fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
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
