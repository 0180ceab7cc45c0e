//! Work that waits for others, beside the loop: on a thread of its own, whose end can be waited for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::thread::{Builder, JoinHandle};

use crate::errno::check;
use crate::signals;

/// A thread that does one thing and ends. When it has done it, it writes a byte into a pipe, which is to be
/// [watched](Self::done) as long as the helper is there.
pub struct Helper<T> {
    done: OwnedFd,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Helper<T> {
    /// Starts a thread of this name with a stack of so many bytes. It takes no signals.
    ///
    /// # Errors
    /// What the system says of a pipe or a thread.
    pub fn start(
        name: &str,
        stack_length: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Self> {
        let (done, tell) = pipe()?;
        let thread = Builder::new()
            .name(name.to_owned())
            .stack_size(stack_length)
            .spawn(move || {
                signals::leave_to_others();
                let result = work();
                // SAFETY: the pointer is to one byte, as given. The other end is read until this byte or the end, so
                // that nothing is lost if it cannot be written.
                let _ = unsafe { libc::write(tell.as_raw_fd(), [0u8].as_ptr().cast(), 1) };
                result
            })?;
        Ok(Self { done, thread })
    }

    /// What can be read from once the work is done.
    #[must_use]
    pub fn done(&self) -> BorrowedFd<'_> {
        self.done.as_fd()
    }

    /// Waits for the work to be done, and returns what came of it; `None` if it panicked. The descriptor is closed.
    pub fn finish(self) -> Option<T> {
        let mut byte = 0u8;
        // SAFETY: the pointer is to one byte, as given. It returns when the thread has written or ended.
        let _ = unsafe { libc::read(self.done.as_raw_fd(), (&raw mut byte).cast(), 1) };
        self.thread.join().ok()
    }
}

impl<T> fmt::Debug for Helper<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Helper");
        shown.field("thread", &self.thread.thread().name()).finish()
    }
}

/// A pipe that does not survive `exec`: where to read, where to write.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two integers, as the call wants it.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: `pipe2` has just made this descriptor, and nobody else knows it.
    let read = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let write = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    Ok((read, write))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_the_work_is_returned_even_if_that_is_nothing() {
        let helper = Helper::start("adds", 64 * 1024, || 1 + 1).unwrap();
        assert_eq!(helper.finish(), Some(2));
        let helper =
            Helper::start("panics", 64 * 1024, || assert!(std::env::args().next().is_none())).unwrap();
        assert_eq!(helper.finish(), None);
    }
}
