//! The one place where a C return value becomes an `io::Error`.

use std::io;

/// Turns the −1 of a system call into the error that `errno` names.
pub(crate) fn check<T: PartialOrd + Default>(result: T) -> io::Result<T> {
    if result < T::default() {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Repeats nothing: says whether a call failed because it would have had to wait.
pub(crate) fn would_wait(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
