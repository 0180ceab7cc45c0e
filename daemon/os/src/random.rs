//! Random numbers that nobody can foresee.

use std::io;
use std::mem::size_of;

use crate::errno::check;
use crate::number::moved;

/// Asks the system for 64 random bits.
///
/// # Errors
/// What the system says, where it has none.
pub fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; size_of::<u64>()];
    // SAFETY: the pointer is to as many bytes as given, which nothing else uses during the call.
    let filled = check(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) })?;
    // So few bytes come at once, whatever signals do.
    if moved(filled) == bytes.len() {
        Ok(u64::from_ne_bytes(bytes))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_not_the_same() {
        assert_ne!(random_u64().unwrap(), random_u64().unwrap());
    }
}
