//! Reading: each function is one consistent look at the store.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::clock::cutoff_ms;
use super::{checksum, keys};
use crate::{Bucket, Entry, Log, LogEntry, Page, Usage};

/// Why a read failed.
pub(super) enum Unread {
    Sqlite(rusqlite::Error),
    /// The sum over a value does not fit; says which value.
    Sum(String),
}

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Self {
        Unread::Sqlite(error)
    }
}

/// Reads a value.
pub(super) fn get(
    connection: &Connection,
    bucket: Bucket,
    key: &str,
    now_ms: i64,
) -> Result<Option<Entry>, Unread> {
    let mut statement = connection.prepare_cached(
        "SELECT entry.bucket, key, entry.revision, written_ms, sum, value
         FROM entry JOIN bucket ON bucket.id = entry.bucket
         WHERE bucket.name = ?1 AND key = ?2 AND written_ms > ?3",
    )?;
    let mut rows = statement.query(params![bucket.name, key, cutoff_ms(now_ms, bucket.ttl)])?;
    rows.next()?.map(|row| entry(bucket, row)).transpose()
}

/// Reads the values under a prefix, by key.
pub(super) fn entries(
    connection: &Connection,
    bucket: Bucket,
    prefix: &str,
    now_ms: i64,
) -> Result<Vec<Entry>, Unread> {
    snapshot(connection, bucket, prefix, now_ms).map(|(entries, _)| entries)
}

/// Reads the values under a prefix, by key, and the revision at which the bucket stands.
pub(super) fn snapshot(
    connection: &Connection,
    bucket: Bucket,
    prefix: &str,
    now_ms: i64,
) -> Result<(Vec<Entry>, u64), Unread> {
    let transaction = connection.unchecked_transaction()?;
    let found: Option<(i64, i64)> = transaction
        .prepare_cached("SELECT id, revision FROM bucket WHERE name = ?1")?
        .query_row([bucket.name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, revision)) = found else {
        return Ok((Vec::new(), 0));
    };
    let mut statement = transaction.prepare_cached(
        "SELECT bucket, key, revision, written_ms, sum, value FROM entry
         WHERE bucket = ?1 AND key >= ?2 AND key < ?3 AND written_ms > ?4 ORDER BY key",
    )?;
    let cutoff_ms = cutoff_ms(now_ms, bucket.ttl);
    let mut entries = Vec::new();
    for (from, to) in keys::ranges(prefix) {
        let mut rows = statement.query(params![id, from, to, cutoff_ms])?;
        while let Some(row) = rows.next()? {
            entries.push(entry(bucket, row)?);
        }
    }
    Ok((entries, revision.cast_unsigned()))
}

/// Reads a page of a log.
pub(super) fn page(
    connection: &Connection,
    log: Log,
    offset: u64,
    limit: u64,
    now_ms: i64,
) -> Result<Page, Unread> {
    let transaction = connection.unchecked_transaction()?;
    let cutoff_ms = cutoff_ms(now_ms, Some(log.age_max));
    let bounds: Option<(i64, i64, i64)> = transaction
        .prepare_cached(
            "SELECT log.id, log_entry.sequence, log.sequence FROM log_entry JOIN log ON log.id = log_entry.log
             WHERE log.name = ?1 AND written_ms > ?2 ORDER BY log_entry.sequence LIMIT 1",
        )?
        .query_row(params![log.name, cutoff_ms], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, first, last)) = bounds else {
        return Ok(Page::default());
    };
    let mut statement = transaction.prepare_cached(
        "SELECT log, sequence, id, written_ms, sum, value FROM log_entry
         WHERE log = ?1 AND sequence BETWEEN ?2 AND ?3 ORDER BY sequence DESC LIMIT ?4",
    )?;
    let newest = last.saturating_sub(i64::try_from(offset).unwrap_or(i64::MAX));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![id, first, newest, limit])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(log_entry(log, row)?);
    }
    // Sequences have no gaps, so the distance is the number.
    Ok(Page {
        total: (last - first + 1).cast_unsigned(),
        entries,
    })
}

/// Reads the newest entry of a log with an id.
pub(super) fn find(
    connection: &Connection,
    log: Log,
    id: Uuid,
    now_ms: i64,
) -> Result<Option<LogEntry>, Unread> {
    let mut statement = connection.prepare_cached(
        "SELECT log, log_entry.sequence, log_entry.id, written_ms, sum, value
         FROM log_entry JOIN log ON log.id = log_entry.log
         WHERE log.name = ?1 AND log_entry.id = ?2 AND written_ms > ?3
         ORDER BY log_entry.sequence DESC LIMIT 1",
    )?;
    let cutoff_ms = cutoff_ms(now_ms, Some(log.age_max));
    let mut rows = statement.query(params![log.name, &id.as_bytes()[..], cutoff_ms])?;
    rows.next()?.map(|row| log_entry(log, row)).transpose()
}

/// Reads how much a bucket holds.
pub(super) fn bucket_usage(connection: &Connection, bucket: Bucket) -> Result<Usage, Unread> {
    usage(
        connection,
        "SELECT entries, bytes FROM bucket WHERE name = ?1",
        bucket.name,
    )
}

/// Reads how much a log holds.
pub(super) fn log_usage(connection: &Connection, log: Log) -> Result<Usage, Unread> {
    usage(
        connection,
        "SELECT entries, bytes FROM log WHERE name = ?1",
        log.name,
    )
}

fn usage(connection: &Connection, sql: &str, name: &str) -> Result<Usage, Unread> {
    let usage = connection
        .prepare_cached(sql)?
        .query_row([name], |row| {
            Ok(Usage {
                entries: row.get::<_, i64>(0)?.cast_unsigned(),
                bytes: row.get::<_, i64>(1)?.cast_unsigned(),
            })
        })
        .optional()?;
    Ok(usage.unwrap_or_default())
}

fn entry(bucket: Bucket, row: &Row<'_>) -> Result<Entry, Unread> {
    let key: String = row.get(1)?;
    let revision: i64 = row.get(2)?;
    let value = row.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?;
    if checksum::of_entry(row.get(0)?, &key, revision, row.get(3)?, value) != row.get::<_, i64>(4)? {
        return Err(Unread::Sum(format!(
            "the value of {key} in {} is not what was written",
            bucket.name
        )));
    }
    Ok(Entry {
        value: Bytes::copy_from_slice(value),
        key,
        revision: revision.cast_unsigned(),
    })
}

fn log_entry(log: Log, row: &Row<'_>) -> Result<LogEntry, Unread> {
    let sequence: i64 = row.get(1)?;
    let id: [u8; 16] = row.get(2)?;
    let value = row.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?;
    if checksum::of_log_entry(row.get(0)?, sequence, &id, row.get(3)?, value) != row.get::<_, i64>(4)? {
        return Err(Unread::Sum(format!(
            "entry {sequence} of log {} is not what was written",
            log.name
        )));
    }
    Ok(LogEntry {
        sequence: sequence.cast_unsigned(),
        id: Uuid::from_bytes(id),
        value: Bytes::copy_from_slice(value),
    })
}
