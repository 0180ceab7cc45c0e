//! Random numbers that nobody can foresee.

use std::io;
use std::mem::size_of;

use crate::errno::check;
use crate::number::moved;

/// How many numbers are asked for at a time: a server needs one for each answer, and asking is a system call.
const STORE_LENGTH: usize = 32;

/// Random numbers of 64 bits, from the system.
#[derive(Default)]
pub struct Random {
    /// Those that were not taken yet. Each is taken once.
    store: Vec<u64>,
}

impl Random {
    /// Takes the next number.
    ///
    /// # Errors
    /// What the system says, where it has none.
    pub fn take(&mut self) -> io::Result<u64> {
        if self.store.is_empty() {
            self.fill()?;
        }
        self.store
            .pop()
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Asks the system for more.
    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; STORE_LENGTH * size_of::<u64>()];
        // SAFETY: the pointer is to as many bytes as given, which nothing else uses during the call.
        let filled = check(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) })?;
        // So few bytes come at once, whatever signals do; of less, what is whole is taken.
        let filled = bytes.get(..moved(filled)).unwrap_or_default();
        let numbers = filled.chunks_exact(size_of::<u64>());
        self.store.extend(
            numbers
                .filter_map(|number| number.try_into().ok())
                .map(u64::from_ne_bytes),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_number_comes_twice() {
        let mut random = Random::default();
        let numbers: BTreeSet<u64> = (0..3 * STORE_LENGTH).map(|_| random.take().unwrap()).collect();
        assert_eq!(numbers.len(), 3 * STORE_LENGTH);
    }
}
