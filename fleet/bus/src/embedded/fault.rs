//! What SQLite and the file system complain about, said in the words of the bus.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use crate::BusError;

/// Translates an error of SQLite about the store at `path`.
pub(super) fn of_sqlite(path: &Path, error: &rusqlite::Error) -> BusError {
    let store = path.display();
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return match error {
            // The statements are constants; only what is in the file can have a wrong type.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows => damaged(path, &error.to_string()),
            _ => BusError::Unavailable(format!("{store}: {error}")),
        };
    };
    match failure.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation => {
            damaged(path, &error.to_string())
        }
        ErrorCode::DiskFull => full(path),
        // The shared-memory file beside the store could not grow.
        ErrorCode::SystemIoFailure if failure.extended_code == SQLITE_IOERR_SHMSIZE => full(path),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            BusError::Locked(format!(
                "{store}: another program has the database open and locked, perhaps an sqlite3 shell or a \
                 backup; end it and try again"
            ))
        }
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
            BusError::Unavailable(format!(
                "{store} cannot be opened for writing ({error}); the controller's user must be able to write \
                 the file and its directory"
            ))
        }
        _ => BusError::Unavailable(format!("{store}: {error}")),
    }
}

/// Translates an error of the file system when `doing` something to `path`.
pub(super) fn of_file(doing: &str, path: &Path, error: &io::Error) -> BusError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BusError::Full(format!(
            "cannot {doing} {path}: {error}; free space on its file system"
        )),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => BusError::Unavailable(
            format!("cannot {doing} {path}: {error}; the controller's user must be able to write there"),
        ),
        _ => BusError::Unavailable(format!("cannot {doing} {path}: {error}")),
    }
}

/// Says that the file is damaged, and what to do.
pub(super) fn damaged(path: &Path, how: &str) -> BusError {
    let store = path.display();
    BusError::Damaged(format!(
        "{store}: {how}. Stop the controller, keep a copy of {store} and {store}-wal, and restore the store from \
         a backup; what can be saved without one, `sqlite3 {store} .recover` prints"
    ))
}

fn full(path: &Path) -> BusError {
    BusError::Full(format!(
        "{}: no space is left on its file system; writes go on by themselves when there is some",
        path.display()
    ))
}
