//! Opening a store: everything that can be wrong with it is found here and said with its remedy.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use uuid::Uuid;

use super::clock::Saved;
use super::lock::StoreLock;
use super::schema::{self, Migration};
use super::{fault, marker};
use crate::BusError;

/// How long the check of a store may take at a start. Every row is looked up in every index, which the quicker
/// `quick_check` leaves out: a flipped byte in an index would make a key invisible, and a host with it. What a
/// check that is cut short leaves unseen is found when it is read, as far as structure and sums tell.
const CHECK_TIME_MAX: Duration = Duration::from_secs(5);

/// How long SQLite waits for a lock that a shell or a backup tool holds.
const BUSY_TIME_MAX: Duration = Duration::from_millis(250);

/// Memory that the writer keeps for pages of the store, in KiB. Answers are written once, in the order of their
/// keys; what the store holds beyond this is read from the system's cache.
const WRITER_CACHE_KIB: i64 = 4 * 1024;

/// The same for each connection that reads.
const READER_CACHE_KIB: i64 = 512;

/// A store that was opened for writing.
pub(super) struct Opened {
    /// The only connection that writes.
    pub(super) connection: Connection,
    /// Where the store is, absolute.
    pub(super) path: PathBuf,
    /// Which file it is, to notice when somebody puts another in its place.
    pub(super) file: FileId,
    /// Held by this process.
    pub(super) lock: StoreLock,
    /// Store time at the last commit.
    pub(super) saved: Saved,
}

/// Opens the store at `path`, or makes it where none was ever made.
pub(super) fn open(path: &Path, migrations: &[Migration]) -> Result<Opened, BusError> {
    let path = prepare_place(path)?;
    let lock = StoreLock::take(&path)?;
    let made_here = marker::read(&path)?;
    let new = prepare_file(&path, made_here.is_some())?;
    let of_sqlite = |error: rusqlite::Error| fault::of_sqlite(&path, &error);

    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let recognised = recognise(&connection).map_err(of_sqlite)?;
    match recognised {
        Recognised::Store if new => {}
        Recognised::Store => check_structure(&connection, &path)?,
        Recognised::Empty if made_here.is_none() => {}
        Recognised::Empty => return Err(marker::missing(&path, "has nothing in it")),
        Recognised::Stranger => {
            return Err(BusError::Damaged(format!(
                "{} is a database, but not a store of timeball; choose another path",
                path.display()
            )));
        }
    }
    // Before any setting of the file is touched.
    schema::refuse_newer(&connection, &path, migrations)?;
    set_up(&connection).map_err(of_sqlite)?;
    schema::migrate(&mut connection, &path, migrations)?;
    let (id, saved) = introduce(&connection, &path)?;
    match made_here {
        Some(made_here) if made_here != id => return Err(marker::another(&path)),
        Some(_) => {}
        None => marker::write(&path, id)?,
    }
    let file = FileId::of(&path)?;
    Ok(Opened {
        connection,
        path,
        file,
        lock,
        saved,
    })
}

/// Opens a connection that may only read.
pub(super) fn connect_reader(path: &Path) -> Result<Connection, BusError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .pragma_update(None, "query_only", true)
        .and_then(|()| connection.pragma_update(None, "cache_size", -READER_CACHE_KIB))
        .map_err(|error| fault::of_sqlite(path, &error))?;
    Ok(connection)
}

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    /// Reads which file is at `path`.
    pub(super) fn of(path: &Path) -> Result<Self, BusError> {
        let metadata = fs::metadata(path).map_err(|error| fault::of_file("find", path, &error))?;
        Ok(FileId(metadata.dev(), metadata.ino()))
    }
}

/// Makes the directory if it is missing; gives the store's absolute path.
fn prepare_place(path: &Path) -> Result<PathBuf, BusError> {
    let path = std::path::absolute(path).map_err(|error| fault::of_file("find", path, &error))?;
    if path.is_dir() {
        return Err(BusError::Unavailable(format!(
            "{} is a directory; name a file in it, like {}",
            path.display(),
            path.join("store.db").display()
        )));
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            return Err(BusError::Unavailable(format!(
                "{} is not a directory",
                directory.display()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| fault::of_file("make the directory", directory, &error))?,
        Err(error) => return Err(fault::of_file("look at", directory, &error)),
    }
    Ok(path)
}

/// Sees to it that the file exists and only its owner reads it. True when it is new.
fn prepare_file(path: &Path, made_here: bool) -> Result<bool, BusError> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound && made_here => {
            return Err(marker::missing(path, "is missing"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| fault::of_file("make", path, &error))?;
            return Ok(true);
        }
        Err(error) => return Err(fault::of_file("look at", path, &error)),
    };
    if !found.is_file() {
        return Err(BusError::Unavailable(format!("{} is not a file", path.display())));
    }
    if found.len() == 0 && made_here {
        return Err(marker::missing(path, "has nothing in it"));
    }
    if found.permissions().mode() & 0o077 != 0
        && let Err(error) = fs::set_permissions(path, Permissions::from_mode(0o600))
    {
        tracing::warn!(%error, path = %path.display(), "others than the owner can read the store");
    }
    Ok(false)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, BusError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let of_sqlite = |error: rusqlite::Error| fault::of_sqlite(path, &error);
    let connection = Connection::open_with_flags(path, flags).map_err(of_sqlite)?;
    connection.busy_timeout(BUSY_TIME_MAX).map_err(of_sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    // What the file says is not trusted more than needed.
    connection
        .pragma_update(None, "trusted_schema", false)
        .map_err(of_sqlite)?;
    connection
        .pragma_update(None, "cell_size_check", true)
        .map_err(of_sqlite)?;
    Ok(connection)
}

/// What a database is, before anything in it is touched.
enum Recognised {
    Store,
    Empty,
    Stranger,
}

fn recognise(connection: &Connection) -> rusqlite::Result<Recognised> {
    let application_id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application_id, tables) {
        (_, 0) => Recognised::Empty,
        (schema::APPLICATION_ID, _) => Recognised::Store,
        _ => Recognised::Stranger,
    })
}

/// Checks structure and indexes within [`CHECK_TIME_MAX`].
fn check_structure(connection: &Connection, path: &Path) -> Result<(), BusError> {
    let interrupt = connection.get_interrupt_handle();
    let (done, waits) = mpsc::channel::<()>();
    let timer = std::thread::Builder::new()
        .name("bus-check-timer".into())
        .spawn(move || {
            if waits.recv_timeout(CHECK_TIME_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        });
    let timer =
        timer.map_err(|error| BusError::Unavailable(format!("no thread for the store's check: {error}")))?;
    let verdict = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    drop(done);
    // It only waits; a panic in it would change nothing.
    let _ = timer.join();
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(verdict) => Err(fault::damaged(path, &verdict)),
        Err(rusqlite::Error::SqliteFailure(failure, _))
            if failure.code == ErrorCode::OperationInterrupted =>
        {
            tracing::warn!(
                path = %path.display(),
                limit_s = CHECK_TIME_MAX.as_secs(),
                "the store is too large to be checked whole at every start"
            );
            Ok(())
        }
        Err(error) => Err(fault::of_sqlite(path, &error)),
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    // Takes effect on an empty database only, and must come before the first table.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // After a burst the write-ahead log is cut back to 16 MiB.
    connection.pragma_update_and_check(None, "journal_size_limit", 16 * 1024 * 1024, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Reads the store's id and time; a new store gets an id.
fn introduce(connection: &Connection, path: &Path) -> Result<(Uuid, Saved), BusError> {
    let of_sqlite = |error: rusqlite::Error| fault::of_sqlite(path, &error);
    connection
        .execute(
            "INSERT INTO store (one, id, store_ms, boot_ms, wall_ms, boot_id) VALUES (1, ?1, 0, 0, 0, '')
             ON CONFLICT DO NOTHING",
            [Uuid::new_v4().to_string()],
        )
        .map_err(of_sqlite)?;
    let row = connection
        .query_row(
            "SELECT id, store_ms, boot_ms, wall_ms, boot_id FROM store",
            [],
            |row| {
                let saved = Saved {
                    store_ms: row.get(1)?,
                    boot_ms: row.get(2)?,
                    wall_ms: row.get(3)?,
                    boot_id: row.get(4)?,
                };
                Ok((row.get::<_, String>(0)?, saved))
            },
        )
        .optional()
        .map_err(of_sqlite)?;
    let (id, saved) = row.ok_or_else(|| fault::damaged(path, "it has no id"))?;
    let id = Uuid::try_parse(&id).map_err(|_| fault::damaged(path, "its id cannot be read"))?;
    Ok((id, saved))
}
