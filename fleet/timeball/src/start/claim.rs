//! One controller at a time per data directory.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process;

use crate::ending::Failure;

/// Holds a data directory while it lives; the kernel lets go of it when the process ends, however it ends.
pub(crate) struct Claim {
    _lock: File,
}

/// Makes the directory, if need be, for its owner alone and claims it.
///
/// # Errors
/// [`Failure::Refused`] naming the process that holds it, or why it cannot be used.
pub(crate) fn claim(data: &Path) -> Result<Claim, Failure> {
    let failed = |error: io::Error| {
        Failure::new(format!(
            "data directory {}: {error}; choose another with --data DIR",
            data.display()
        ))
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(failed)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(data.join("controller.pid"))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Without a number the sentence is still right.
            let _ = (&mut file).take(20).read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() { "?" } else { holder };
            return Err(Failure::new(format!(
                "process {holder} runs a controller on {} already; stop it, or choose another directory with \
                 --data DIR",
                data.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", process::id()))
        .map_err(failed)?;
    Ok(Claim { _lock: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("a/b");
        let first = claim(&data).unwrap();
        let refusal = claim(&data).err().unwrap().to_string();
        assert!(
            refusal.starts_with(&format!("process {} runs", process::id())),
            "{refusal}"
        );
        drop(first);
        assert!(claim(&data).is_ok());
    }
}
