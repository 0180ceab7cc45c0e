//! The tables, and how a store of an older version becomes one of this version.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::{fault, lock};
use crate::BusError;

/// `PRAGMA application_id` of a timeball store: "tbal".
pub(super) const APPLICATION_ID: i64 = 0x7462_616c;

/// A step from the version before to `version`.
#[derive(Clone, Copy)]
pub(super) struct Migration {
    /// `PRAGMA user_version` afterwards; steps are numbered from 1 without gaps.
    pub(super) version: i64,
    /// What it does; in one transaction.
    pub(super) sql: &'static str,
    /// Whether it changes what is there already; then a copy of the store is kept first.
    pub(super) changes_data: bool,
}

/// All steps, oldest first. A released step is never edited.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    sql: include_str!("schema_1.sql"),
    changes_data: false,
}];

/// Reads the version of a store; 0 when it is empty. [`BusError::Newer`] when it is past the last step.
pub(super) fn refuse_newer(
    connection: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<i64, BusError> {
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| fault::of_sqlite(path, &error))?;
    let newest = migrations.last().map_or(0, |last| last.version);
    if version > newest {
        return Err(BusError::Newer(format!(
            "{} is of version {version}, this program knows up to {newest}; install the newer timeball again, or \
             restore a backup from before the upgrade",
            path.display()
        )));
    }
    Ok(version)
}

/// Brings a store to the version of the last step, each step in a transaction of its own.
///
/// [`BusError::Newer`] when it is past that; the store is left as it was.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), BusError> {
    let of_sqlite = |error: rusqlite::Error| fault::of_sqlite(path, &error);
    let from = refuse_newer(connection, path, migrations)?;
    for step in migrations.iter().filter(|step| step.version > from) {
        if step.changes_data && from > 0 {
            let kept = keep_copy(connection, path, step.version - 1)?;
            tracing::info!(copy = %kept.display(), "kept a copy of the store before changing it");
        }
        let transaction = connection.transaction().map_err(of_sqlite)?;
        transaction.execute_batch(step.sql).map_err(of_sqlite)?;
        transaction
            .pragma_update(None, "user_version", step.version)
            .map_err(of_sqlite)?;
        transaction.commit().map_err(of_sqlite)?;
        if from > 0 {
            tracing::info!(version = step.version, "the store was brought to a newer version");
        }
    }
    Ok(())
}

/// Copies the store to `<path>.version-<version>`, whole or not at all.
fn keep_copy(connection: &Connection, path: &Path, version: i64) -> Result<PathBuf, BusError> {
    let of_sqlite = |error: rusqlite::Error| fault::of_sqlite(path, &error);
    let kept = lock::beside(path, &format!("version-{version}"));
    let draft = lock::beside(&kept, "new");
    let of_file = |error: std::io::Error| fault::of_file("write the copy", &draft, &error);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(of_file)?;
    let mut copy = Connection::open(&draft).map_err(of_sqlite)?;
    Backup::new(connection, &mut copy)
        .and_then(|backup| backup.run_to_completion(1024, Duration::ZERO, None))
        .map_err(of_sqlite)?;
    drop(copy);
    file.sync_all().map_err(of_file)?;
    fs::rename(&draft, &kept).map_err(of_file)?;
    Ok(kept)
}
