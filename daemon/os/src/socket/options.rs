//! Socket options, typed.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

use crate::errno::check;
use crate::number::length;

/// Sets an option that is a number.
pub(crate) fn set(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer is to an `int` of the length given, and only read during the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            length(size_of::<libc::c_int>()),
        )
    })?;
    Ok(())
}

/// Sets an option that is a text; the kernel wants its end marked.
pub(crate) fn set_text(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    text: &str,
) -> io::Result<()> {
    let text = std::ffi::CString::new(text)?;
    let bytes = text.as_bytes_with_nul();
    // SAFETY: the pointer is to as many bytes as given, and only read during the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            bytes.as_ptr().cast(),
            length(bytes.len()),
        )
    })?;
    Ok(())
}

/// Takes the error that is pending on a socket (`SO_ERROR`), and thereby clears it.
pub(crate) fn take_error(socket: impl AsFd) -> io::Result<()> {
    let mut code: libc::c_int = 0;
    let mut size = length(size_of::<libc::c_int>());
    // SAFETY: both pointers are to locals that live through the call, and the size is that of the first.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut code).cast(),
            &raw mut size,
        )
    })?;
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code))
    }
}
