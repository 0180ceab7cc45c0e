//! The marker: a file beside the store that says that a store was made here, and which.
//!
//! Without it a missing file could not be told from a first start, and a controller whose disk was not
//! mounted, or whose file somebody moved, would begin anew with an empty fleet. The marker is written once,
//! after the store is on the disk; `<path>.id` holds the store's id and a line for the reader.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{fault, lock};
use crate::BusError;

/// The marker's path for a store.
pub(super) fn path_of(path: &Path) -> PathBuf {
    lock::beside(path, "id")
}

/// Reads which store was made at `path`; nothing if none was.
pub(super) fn read(path: &Path) -> Result<Option<Uuid>, BusError> {
    let marker = path_of(path);
    let text = match fs::read_to_string(&marker) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault::of_file("read", &marker, &error)),
    };
    let id = text.split_whitespace().next().unwrap_or_default();
    Uuid::try_parse(id).map(Some).map_err(|_| {
        BusError::Damaged(format!(
            "{} does not begin with the id of a store; if {} is the right store, delete the marker and start again",
            marker.display(),
            path.display()
        ))
    })
}

/// Writes the marker, whole or not at all, and makes it and the store's name in the directory durable.
pub(super) fn write(path: &Path, id: Uuid) -> Result<(), BusError> {
    let marker = path_of(path);
    let draft = lock::beside(&marker, "new");
    let failed = |error: io::Error| fault::of_file("write", &marker, &error);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    writeln!(
        file,
        "{id}\nA timeball store was made here; without it the controller does not start."
    )
    .map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&draft, &marker).map_err(failed)?;
    let directory = marker.parent().unwrap_or(Path::new("/"));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

/// Says that the store is gone though one was made here.
pub(super) fn missing(path: &Path, what: &str) -> BusError {
    BusError::Damaged(format!(
        "{store} {what}, but a store was made here ({marker} says so). Bring the file back, from a backup or from \
         the disk that should be mounted here; or, to begin anew with an empty fleet, delete {marker}",
        store = path.display(),
        marker = path_of(path).display()
    ))
}

/// Says that the file is another store than the one made here.
pub(super) fn another(path: &Path) -> BusError {
    BusError::Damaged(format!(
        "{store} is another store than the one that was made here ({marker} names it). Bring the right file \
         back; or, to go on with this one, delete {marker}",
        store = path.display(),
        marker = path_of(path).display()
    ))
}
