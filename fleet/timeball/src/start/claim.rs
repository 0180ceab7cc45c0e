//! Who may use a data directory: one controller at a time, and in nobody else's directory.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process;

use crate::ending::Failure;

/// Holds a data directory while it lives; the kernel lets go of it when the process ends, however it ends.
pub(crate) struct Claim {
    _lock: File,
}

/// Makes the directory, if need be, for its owner alone and claims it. One that belongs to somebody else, or in which
/// everybody can write, is not taken: the keys in it make tokens. A group may be let in, as volumes of containers are.
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
    if let Some(reason) = foreign(&fs::metadata(data).map_err(failed)?) {
        return Err(failed(io::Error::other(reason)));
    }
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

/// Why a directory is not this user's own; root's is nobody else's.
fn foreign(directory: &fs::Metadata) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    if ![own, 0].contains(&directory.uid()) {
        return Some(format!(
            "it belongs to user {}, who could have put keys into it",
            directory.uid()
        ));
    }
    (directory.mode() & 0o002 != 0).then(|| "everybody can write in it, and so put keys into it".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_in_which_others_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let open = |mode| fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        open(0o777);
        let refusal = claim(directory.path()).err().unwrap().to_string();
        assert!(
            refusal.contains("everybody can write in it")
                && refusal.ends_with("choose another with --data DIR"),
            "{refusal}"
        );
        open(0o750);
        assert!(claim(directory.path()).is_ok());
        // Somebody else's: of a user without a name, where this one may give it away.
        if std::os::unix::fs::chown(directory.path(), Some(54_321), None).is_ok() {
            let refusal = claim(directory.path()).err().unwrap().to_string();
            assert!(refusal.contains("it belongs to user 54321"), "{refusal}");
        }
    }

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
