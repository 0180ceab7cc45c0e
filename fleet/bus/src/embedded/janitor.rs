//! Tidying up: what has expired is deleted and free pages go back to the file system, a bounded piece at a
//! time so that no write waits long behind it.
//!
//! Readers do not depend on it: they look at the age themselves.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::clock::cutoff_ms;

/// How many rows of one bucket or log a pass deletes.
const ROWS_MAX: i64 = 2000;

/// How many free pages a pass gives back: 2 MiB.
const PAGES_MAX: i64 = 512;

/// How many free pages stay for new values: 4 MiB, and beyond that a quarter of the file.
const SPARE_PAGES_MIN: i64 = 1024;

/// Deletes some of what has expired at store time `now_ms`, in the transaction that is open. True when more
/// may be left.
pub(super) fn expire(connection: &Connection, now_ms: i64) -> rusqlite::Result<bool> {
    let mut more = false;
    for kept in [&ENTRIES, &LOG_ENTRIES] {
        let accounts: Vec<(i64, i64)> = connection
            .prepare_cached(kept.accounts)?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (account, keep_ms) in accounts {
            let keep = Duration::from_millis(u64::try_from(keep_ms).unwrap_or_default());
            more |= expire_of(connection, kept, account, cutoff_ms(now_ms, Some(keep)))?;
        }
    }
    Ok(more)
}

/// Gives some free pages back to the file system, outside a transaction. True when more may be left.
pub(super) fn shrink(connection: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let surplus = free - SPARE_PAGES_MIN.max(pages / 4);
    if surplus <= 0 {
        return Ok(false);
    }
    let mut statement =
        connection.prepare(&format!("PRAGMA incremental_vacuum({})", surplus.min(PAGES_MAX)))?;
    // One row per page given back.
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(surplus > PAGES_MAX)
}

/// The statements for one table.
struct Kept {
    /// Which accounts have rows that may expire, and after how long.
    accounts: &'static str,
    /// The oldest rows of an account: position, when written, length. Positions follow the order of writing
    /// and store time never goes back, so the first row that has not expired ends the search.
    oldest: &'static str,
    /// Deletes up to a position.
    delete: &'static str,
    /// Enters that in the account.
    count: &'static str,
}

const ENTRIES: Kept = Kept {
    accounts: "SELECT id, ttl_ms FROM bucket WHERE ttl_ms IS NOT NULL AND entries > 0",
    oldest: "SELECT revision, written_ms, length(value) FROM entry WHERE bucket = ?1 ORDER BY revision LIMIT ?2",
    delete: "DELETE FROM entry WHERE bucket = ?1 AND revision <= ?2",
    count: "UPDATE bucket SET entries = entries - ?2, bytes = bytes - ?3 WHERE id = ?1",
};

const LOG_ENTRIES: Kept = Kept {
    accounts: "SELECT id, age_ms_max FROM log WHERE entries > 0",
    oldest: "SELECT sequence, written_ms, length(value) FROM log_entry WHERE log = ?1 ORDER BY sequence LIMIT ?2",
    delete: "DELETE FROM log_entry WHERE log = ?1 AND sequence <= ?2",
    count: "UPDATE log SET entries = entries - ?2, bytes = bytes - ?3 WHERE id = ?1",
};

fn expire_of(connection: &Connection, kept: &Kept, account: i64, cutoff_ms: i64) -> rusqlite::Result<bool> {
    let (mut position, mut entries, mut bytes) = (0_i64, 0_i64, 0_i64);
    let mut statement = connection.prepare_cached(kept.oldest)?;
    let mut rows = statement.query(params![account, ROWS_MAX])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? > cutoff_ms {
            break;
        }
        position = row.get(0)?;
        entries += 1;
        bytes += row.get::<_, i64>(2)?;
    }
    drop(rows);
    if entries > 0 {
        connection
            .prepare_cached(kept.delete)?
            .execute(params![account, position])?;
        connection
            .prepare_cached(kept.count)?
            .execute(params![account, entries, bytes])?;
    }
    Ok(entries == ROWS_MAX)
}
