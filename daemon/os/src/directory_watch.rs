//! Being told that names in a directory come to mean something else (inotify(7)).

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::errno::check;
use crate::number::moved;

/// What is told: a name came, went or took another's place, or a file of that name was written and closed.
const CHANGES: u32 =
    libc::IN_CREATE | libc::IN_MOVED_TO | libc::IN_MOVED_FROM | libc::IN_DELETE | libc::IN_CLOSE_WRITE;

/// How many bytes are read at a time: room for some changes with long names.
const BUFFER_LENGTH: usize = 4096;

/// A directory whose changes are told.
#[derive(Debug)]
pub struct DirectoryWatch {
    inotify: OwnedFd,
}

impl DirectoryWatch {
    /// Watches a directory; what is below others in it is not told.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let path = CString::new(directory.as_os_str().as_bytes())?;
        // SAFETY: takes no pointers.
        let raw = check(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) })?;
        // SAFETY: `inotify_init1` has just made this descriptor, and nobody else knows it.
        let inotify = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: the pointer is to a text with its end marked, which lives through the call; the descriptor is open.
        check(unsafe { libc::inotify_add_watch(raw, path.as_ptr(), CHANGES | libc::IN_ONLYDIR) })?;
        Ok(Self { inotify })
    }

    /// Takes the changes that there were; says whether there were any.
    pub fn take(&self) -> bool {
        let mut buffer = [0u8; BUFFER_LENGTH];
        let mut is_changed = false;
        loop {
            // SAFETY: the pointer is to as many bytes as given, which nothing else uses during the call.
            let read =
                unsafe { libc::read(self.inotify.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
            // What is read is not looked at: which name it was says less than the file.
            if read < 0 || moved(read) < size_of::<libc::inotify_event>() {
                return is_changed;
            }
            is_changed = true;
        }
    }
}

impl AsFd for DirectoryWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_that_is_replaced_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        symlink("one", path("..data")).unwrap();
        let watch = DirectoryWatch::new(folder.path()).unwrap();
        assert!(!watch.take());
        for name in ["two", "three"] {
            symlink(name, path("..data_tmp")).unwrap();
            fs::rename(path("..data_tmp"), path("..data")).unwrap();
        }
        assert!(watch.take() && !watch.take());
        fs::write(path("file"), "text").unwrap();
        assert!(watch.take());
        let _ = fs::read(path("file")).unwrap();
        assert!(!watch.take());
        assert!(DirectoryWatch::new(&path("none")).is_err());
        assert!(DirectoryWatch::new(&path("file")).is_err());
    }
}
