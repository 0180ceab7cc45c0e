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

/// Asks for an option that is a number.
pub(crate) fn get(socket: impl AsFd, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = length(size_of::<libc::c_int>());
    // SAFETY: both pointers are to locals that live through the call, and the size is that of the first.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut size,
        )
    })?;
    Ok(value)
}

/// Asks for the interface that a socket is bound to (`SO_BINDTODEVICE`).
pub(crate) fn bound_device(socket: impl AsFd) -> io::Result<Option<String>> {
    let mut name = [0_u8; libc::IFNAMSIZ];
    let mut size = length(name.len());
    // SAFETY: both pointers are to locals that live through the call, and the size is that of the first.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_mut_ptr().cast(),
            &raw mut size,
        )
    })?;
    let text = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok((!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned()))
}

/// Takes the error that is pending on a socket (`SO_ERROR`), and thereby clears it.
pub(crate) fn take_error(socket: impl AsFd) -> io::Result<()> {
    match get(socket, libc::SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}
