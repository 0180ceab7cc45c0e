//! Files that are replaced as a whole or not at all.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

/// Replaces a file, so that whoever reads it, now or after a crash, sees the old text or the new. It keeps its owner and
/// its mode, and a link to it stays one. What is no file, such as a terminal, is written to.
///
/// # Errors
/// What the system says; a file that was there is as it was.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found?,
    };
    let former = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found?),
    };
    if former.as_ref().is_some_and(|former| !former.is_file()) {
        return fs::write(path, text);
    }
    let directory = match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    let mode = former.as_ref().map_or(0o666, |former| former.mode() & 0o7777);
    let mut beside = tempfile::Builder::new()
        .prefix(".timeball.")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)?;
    beside.write_all(text.as_bytes())?;
    if let Some(former) = former {
        fchown(beside.as_file(), Some(former.uid()), Some(former.gid()))?;
        // The umask has a say in that of new files only.
        beside.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    beside.as_file().sync_all()?;
    beside.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("ntp.conf"), folder.path().join("link"));
        replace(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink("ntp.conf", &link).unwrap();
        let mut held = fs::File::open(&path).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        // Whoever has it open goes on reading the old one.
        assert_eq!(io::read_to_string(&mut held).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_replaced_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(folder.path(), "text").is_err());
        let missing = replace(&folder.path().join("none/ntp.conf"), "text").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        replace(Path::new("/dev/null"), "text").unwrap();
    }
}
