//! The writer's books: what each bucket and log has given out and holds, kept in memory between commits.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::{Bucket, Log};

/// A row of `bucket` or `log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) id: i64,
    /// Time to live of a bucket's values, age limit of a log's entries; milliseconds.
    pub(super) keep_ms: Option<i64>,
    /// The last revision or sequence given out.
    pub(super) last: i64,
    pub(super) entries: i64,
    pub(super) bytes: i64,
}

impl Account {
    /// Gives out the next revision or sequence.
    pub(super) fn next(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    /// Counts rows that came and went.
    pub(super) fn count(&mut self, entries: i64, bytes: i64) {
        self.entries += entries;
        self.bytes += bytes;
    }
}

/// Whether an account is a bucket's or a log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Bucket,
    Log,
}

/// All accounts that were used since the books were last opened.
#[derive(Default)]
pub(super) struct Ledger {
    /// With whether the account was entered since it was last written.
    accounts: BTreeMap<(Kind, &'static str), (Account, bool)>,
}

impl Ledger {
    /// Looks a bucket up, making it when it is new.
    pub(super) fn bucket(&self, connection: &Connection, bucket: Bucket) -> rusqlite::Result<Account> {
        let ttl_ms = bucket
            .ttl
            .map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        self.account(connection, Kind::Bucket, bucket.name, ttl_ms)
    }

    /// Looks a log up, making it when it is new.
    pub(super) fn log(&self, connection: &Connection, log: Log) -> rusqlite::Result<Account> {
        let age_ms_max = i64::try_from(log.age_max.as_millis()).unwrap_or(i64::MAX);
        self.account(connection, Kind::Log, log.name, Some(age_ms_max))
    }

    /// Enters what a command did to an account.
    pub(super) fn enter(&mut self, kind: Kind, name: &'static str, account: Account) {
        self.accounts.insert((kind, name), (account, true));
    }

    /// Writes what changed, as part of a commit.
    pub(super) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for ((kind, _), (account, entered)) in self.accounts.iter_mut().filter(|(_, (_, entered))| *entered) {
            let sql = match kind {
                Kind::Bucket => {
                    "UPDATE bucket SET ttl_ms = ?2, revision = ?3, entries = ?4, bytes = ?5 WHERE id = ?1"
                }
                Kind::Log => {
                    "UPDATE log SET age_ms_max = ?2, sequence = ?3, entries = ?4, bytes = ?5 WHERE id = ?1"
                }
            };
            connection.prepare_cached(sql)?.execute(params![
                account.id,
                account.keep_ms,
                account.last,
                account.entries,
                account.bytes
            ])?;
            *entered = false;
        }
        Ok(())
    }

    /// Closes the books, after a commit that failed or a change behind their back: the database says how things
    /// stand.
    pub(super) fn forget(&mut self) {
        self.accounts.clear();
    }

    fn account(
        &self,
        connection: &Connection,
        kind: Kind,
        name: &'static str,
        keep_ms: Option<i64>,
    ) -> rusqlite::Result<Account> {
        if let Some((account, _)) = self.accounts.get(&(kind, name)) {
            return Ok(Account { keep_ms, ..*account });
        }
        let (find, make) = match kind {
            Kind::Bucket => (
                "SELECT id, revision, entries, bytes FROM bucket WHERE name = ?1",
                "INSERT INTO bucket (name, ttl_ms, revision, entries, bytes) VALUES (?1, ?2, 0, 0, 0)",
            ),
            Kind::Log => (
                "SELECT id, sequence, entries, bytes FROM log WHERE name = ?1",
                "INSERT INTO log (name, age_ms_max, sequence, entries, bytes) VALUES (?1, ?2, 0, 0, 0)",
            ),
        };
        let found = connection
            .prepare_cached(find)?
            .query_row([name], |row| {
                Ok(Account {
                    id: row.get(0)?,
                    keep_ms,
                    last: row.get(1)?,
                    entries: row.get(2)?,
                    bytes: row.get(3)?,
                })
            })
            .optional()?;
        if let Some(account) = found {
            return Ok(account);
        }
        connection.prepare_cached(make)?.execute(params![name, keep_ms])?;
        Ok(Account {
            id: connection.last_insert_rowid(),
            keep_ms,
            last: 0,
            entries: 0,
            bytes: 0,
        })
    }
}
