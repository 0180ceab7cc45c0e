//! What the writer can be asked to do, and how it does each inside a transaction.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::clock::cutoff_ms;
use super::ledger::{Account, Kind, Ledger};
use super::watch::Committed;
use super::{checksum, keys};
use crate::{Bucket, BusError, Change, Entry, Log};

/// A write. Keys, values and names were checked before.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// Writes a value if the key is as expected.
    Put {
        bucket: Bucket,
        key: String,
        value: Bytes,
        expected: Expected,
    },
    /// Deletes a key.
    Delete { bucket: Bucket, key: String },
    /// Deletes the keys under a prefix.
    Purge { bucket: Bucket, prefix: String },
    /// Appends to a log.
    Append { log: Log, id: Uuid, value: Bytes },
    /// Writes nothing but what every commit writes.
    Check,
}

/// What a key must be for a value to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Anything,
    Nothing,
    Revision(u64),
}

/// What a command did.
#[derive(Default)]
pub(super) struct Done {
    /// The revision or sequence it gave out.
    pub(super) number: u64,
    /// What watchers are told after the commit.
    pub(super) committed: Option<Committed>,
}

/// Why a command did nothing.
pub(super) enum Refused {
    /// The caller's expectation was wrong.
    Caller(BusError),
    /// The store failed.
    Store(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Refused::Store(error)
    }
}

impl Command {
    /// How many bytes it carries.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Command::Put { value, .. } | Command::Append { value, .. } => value.len(),
            Command::Delete { .. } | Command::Purge { .. } | Command::Check => 0,
        }
    }

    /// Does it at store time `now_ms`. On an error the caller rolls the database back; the ledger was not
    /// touched.
    pub(super) fn run(
        &self,
        connection: &Connection,
        ledger: &mut Ledger,
        now_ms: i64,
    ) -> Result<Done, Refused> {
        match self {
            Command::Put {
                bucket,
                key,
                value,
                expected,
            } => put(connection, ledger, now_ms, *bucket, key, value, *expected),
            Command::Delete { bucket, key } => delete(connection, ledger, now_ms, *bucket, key),
            Command::Purge { bucket, prefix } => purge(connection, ledger, *bucket, prefix),
            Command::Append { log, id, value } => append(connection, ledger, now_ms, *log, *id, value),
            Command::Check => Ok(Done::default()),
        }
    }
}

/// A row of `entry` that is there, expired or not.
struct Row {
    id: i64,
    revision: i64,
    length: i64,
    expired: bool,
}

fn find(
    connection: &Connection,
    bucket: Bucket,
    account: &Account,
    key: &str,
    now_ms: i64,
) -> rusqlite::Result<Option<Row>> {
    let cutoff_ms = cutoff_ms(now_ms, bucket.ttl);
    connection
        .prepare_cached(
            "SELECT id, revision, length(value), written_ms FROM entry WHERE bucket = ?1 AND key = ?2",
        )?
        .query_row(params![account.id, key], |row| {
            Ok(Row {
                id: row.get(0)?,
                revision: row.get(1)?,
                length: row.get(2)?,
                expired: row.get::<_, i64>(3)? <= cutoff_ms,
            })
        })
        .optional()
}

fn put(
    connection: &Connection,
    ledger: &mut Ledger,
    now_ms: i64,
    bucket: Bucket,
    key: &str,
    value: &Bytes,
    expected: Expected,
) -> Result<Done, Refused> {
    let mut account = ledger.bucket(connection, bucket)?;
    let row = find(connection, bucket, &account, key, now_ms)?;
    let current = row
        .as_ref()
        .filter(|row| !row.expired)
        .map(|row| row.revision.cast_unsigned());
    let as_expected = match expected {
        Expected::Anything => true,
        Expected::Nothing => current.is_none(),
        Expected::Revision(revision) => current == Some(revision),
    };
    if !as_expected {
        return Err(Refused::Caller(BusError::Conflict {
            bucket: bucket.name,
            key: key.to_owned(),
        }));
    }
    let revision = account.next();
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let sum = checksum::of_entry(account.id, key, revision, now_ms, value);
    if let Some(row) = row {
        connection
            .prepare_cached(
                "UPDATE entry SET revision = ?2, written_ms = ?3, sum = ?4, value = ?5 WHERE id = ?1",
            )?
            .execute(params![row.id, revision, now_ms, sum, &value[..]])?;
        account.count(0, length - row.length);
    } else {
        connection
            .prepare_cached(
                "INSERT INTO entry (bucket, key, revision, written_ms, sum, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![account.id, key, revision, now_ms, sum, &value[..]])?;
        account.count(1, length);
    }
    ledger.enter(Kind::Bucket, bucket.name, account);
    let revision = revision.cast_unsigned();
    let change = Change::Put(Entry {
        key: key.to_owned(),
        value: value.clone(),
        revision,
    });
    Ok(Done {
        number: revision,
        committed: Some(Committed {
            bucket: bucket.name,
            revision,
            change,
        }),
    })
}

fn delete(
    connection: &Connection,
    ledger: &mut Ledger,
    now_ms: i64,
    bucket: Bucket,
    key: &str,
) -> Result<Done, Refused> {
    let mut account = ledger.bucket(connection, bucket)?;
    let row = find(connection, bucket, &account, key, now_ms)?;
    let Some(row) = row else {
        ledger.enter(Kind::Bucket, bucket.name, account);
        return Ok(Done::default());
    };
    let revision = account.next().cast_unsigned();
    connection
        .prepare_cached("DELETE FROM entry WHERE id = ?1")?
        .execute([row.id])?;
    account.count(-1, -row.length);
    ledger.enter(Kind::Bucket, bucket.name, account);
    let change = Change::Delete { key: key.to_owned() };
    Ok(Done {
        number: revision,
        committed: Some(Committed {
            bucket: bucket.name,
            revision,
            change,
        }),
    })
}

fn purge(
    connection: &Connection,
    ledger: &mut Ledger,
    bucket: Bucket,
    prefix: &str,
) -> Result<Done, Refused> {
    let mut account = ledger.bucket(connection, bucket)?;
    for (from, to) in keys::ranges(prefix) {
        let range = params![account.id, from, to];
        let (entries, bytes): (i64, i64) = connection
            .prepare_cached(
                "SELECT count(*), ifnull(sum(length(value)), 0) FROM entry
                 WHERE bucket = ?1 AND key >= ?2 AND key < ?3",
            )?
            .query_row(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
        if entries > 0 {
            connection
                .prepare_cached("DELETE FROM entry WHERE bucket = ?1 AND key >= ?2 AND key < ?3")?
                .execute(range)?;
            account.count(-entries, -bytes);
        }
    }
    ledger.enter(Kind::Bucket, bucket.name, account);
    Ok(Done::default())
}

fn append(
    connection: &Connection,
    ledger: &mut Ledger,
    now_ms: i64,
    log: Log,
    id: Uuid,
    value: &Bytes,
) -> Result<Done, Refused> {
    let mut account = ledger.log(connection, log)?;
    let sequence = account.next();
    let sum = checksum::of_log_entry(account.id, sequence, id.as_bytes(), now_ms, value);
    connection
        .prepare_cached(
            "INSERT INTO log_entry (log, sequence, id, written_ms, sum, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![account.id, sequence, &id.as_bytes()[..], now_ms, sum, &value[..]])?;
    account.count(1, i64::try_from(value.len()).unwrap_or(i64::MAX));
    let bytes_max = i64::try_from(log.bytes_max).unwrap_or(i64::MAX);
    let entries_max = i64::try_from(log.entries_max).unwrap_or(i64::MAX);
    while account.entries > 1 && (account.entries > entries_max || account.bytes > bytes_max) {
        drop_oldest(connection, &mut account)?;
    }
    ledger.enter(Kind::Log, log.name, account);
    Ok(Done {
        number: sequence.cast_unsigned(),
        committed: None,
    })
}

fn drop_oldest(connection: &Connection, account: &mut Account) -> rusqlite::Result<()> {
    let length: i64 = connection
        .prepare_cached(
            "DELETE FROM log_entry WHERE rowid =
                 (SELECT rowid FROM log_entry WHERE log = ?1 ORDER BY sequence LIMIT 1)
             RETURNING length(value)",
        )?
        .query_row([account.id], |row| row.get(0))?;
    account.count(-1, -length);
    Ok(())
}
