//! Files that are replaced as a whole or not at all, and reading and appending without waiting.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::errno::reason;
use crate::privileges::User;

/// Why a file was not replaced, in words for the log: chronyd's, where it has any.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// What is there, or what was to take its place, cannot be opened.
    #[error("Could not open {} : {}", path.display(), reason(error))]
    Open {
        /// Which of them.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It cannot be written.
    #[error("Could not write {} : {}", path.display(), reason(error))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Replaces a file, so that whoever reads it, now or after a crash, sees the old content or the new.
///
/// It is written beside, under the name with `.tmp` after it, and takes the place of the old one when it is on the
/// disk.
///
/// # Errors
/// Why not; the old file is as it was.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), ReplaceError> {
    let beside = beside(path);
    let file = create(&beside, mode).map_err(|error| ReplaceError::Open {
        path: beside.clone(),
        error,
    })?;
    let written = write(file, content).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        ReplaceError::Write {
            path: path.to_owned(),
            error,
        }
    })
}

/// Reads a file that somebody else may have put there, at most `length_max` bytes of it. It waits for nobody: what is
/// no regular file, such as a pipe, is not read.
///
/// # Errors
/// What the system says, or that it is no regular file.
pub fn read_regular(path: &Path, length_max: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "It is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(length_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file to write at its end, and makes it with the permissions `mode` where there is none. Neither this nor writing
/// waits for anybody: a pipe that nobody reads, or reads fast enough, is an error.
///
/// # Errors
/// What the system says.
pub fn append(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(mode)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

/// Gives a directory to a user. The one above it may be that user's, who can put a link in the place of what was made there
/// at any moment: what is there is opened once, without following one.
///
/// # Errors
/// What the system says; that it is no directory is one.
pub fn give_directory(path: &Path, user: User) -> io::Result<()> {
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)?;
    fchown(directory, Some(user.uid), Some(user.gid))
}

/// Opens a file of this program's own to read and to write, and makes it where there is none. The directory may be that of a
/// user who can put anything in its place: a link is not followed, and what is no regular file or has a second name is
/// refused.
///
/// # Errors
/// What the system says, or `PermissionDenied`.
pub fn open_own(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let found = file.metadata()?;
    if found.is_file() && found.nlink() == 1 {
        Ok(file)
    } else {
        Err(io::Error::new(
            ErrorKind::PermissionDenied,
            "Somebody put something else there",
        ))
    }
}

/// Reads a regular file of text, as [`read_regular`] does.
///
/// # Errors
/// What the system says, that it is no regular file, or `InvalidData`: it is not UTF-8.
pub fn read_text(path: &Path, length_max: u64) -> io::Result<String> {
    String::from_utf8(read_regular(path, length_max)?).map_err(|_| ErrorKind::InvalidData.into())
}

/// Makes a new file.
fn create(path: &Path, mode: u32) -> io::Result<File> {
    // One that an earlier crash left may belong to somebody else.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

/// Writes a file and waits until the disk has it.
fn write(mut file: File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()
}

/// The name of the file beside.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drift");
        replace(&path, b"first", 0o644).unwrap();
        fs::write(beside(&path), "left behind").unwrap();
        replace(&path, b"second", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(!beside(&path).exists());
    }

    #[test]
    fn only_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_regular(&path, 9).unwrap(), b"12345");
        assert_eq!(read_regular(&path, 3).unwrap(), b"123");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert_eq!(
            read_regular(&pipe, 9).unwrap_err().to_string(),
            "It is no regular file"
        );
        let error = read_regular(folder.path(), 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
    }

    #[test]
    fn a_pipe_does_not_hold_up_who_appends_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for line in ["first\n", "second\n"] {
            append(&path, 0o640).unwrap().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"first\nsecond\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let nobody = append(&pipe, 0o640).unwrap_err();
        assert_eq!(nobody.raw_os_error(), Some(libc::ENXIO));
        let _reader = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&pipe)
            .unwrap();
        let mut writer = append(&pipe, 0o640).unwrap();
        let full = loop {
            if let Err(error) = writer.write_all(&[b'x'; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn what_somebody_put_in_the_place_of_a_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for text in ["", "12"] {
            let mut file = open_own(&path("own")).unwrap();
            assert_eq!(fs::read_to_string(path("own")).unwrap(), text);
            file.write_all(b"12").unwrap();
        }
        fs::write(path("precious"), "as it was").unwrap();
        std::os::unix::fs::symlink(path("precious"), path("link")).unwrap();
        fs::hard_link(path("precious"), path("second")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(path("pipe"))
            .status()
            .unwrap();
        assert!(made.success());
        for name in ["link", "second", "pipe"] {
            assert!(open_own(&path(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_link_is_given_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let [directory, link] = ["directory", "link"].map(|name| folder.path().join(name));
        fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink(&directory, &link).unwrap();
        let owner = fs::metadata(&directory).unwrap();
        let user = User {
            uid: owner.uid(),
            gid: owner.gid(),
        };
        give_directory(&directory, user).unwrap();
        assert!(give_directory(&link, user).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        let error = replace(&path, b"content", 0o644).unwrap_err();
        let said = format!("Could not write {} : Is a directory", path.display());
        assert_eq!(error.to_string(), said);
        assert!(path.join("inside").exists());
        assert!(!beside(&path).exists());
        let error = replace(Path::new("/nosuch/drift"), b"content", 0o644).unwrap_err();
        let said = "Could not open /nosuch/drift.tmp : No such file or directory";
        assert_eq!(error.to_string(), said);
    }
}
