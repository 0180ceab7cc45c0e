//! The one thread that writes: many commands, one commit.
//!
//! It takes what waits, up to a bound, runs each command in a savepoint of one transaction, commits, tells
//! watchers and then answers the callers. While one commit waits for the disk the next commands gather, so
//! ten thousand writes at once cost some tens of commits and not ten thousand.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::clock::StoreClock;
use super::command::{Command, Done, Refused};
use super::ledger::Ledger;
use super::lock::StoreLock;
use super::open::FileId;
use super::watch::Watchers;
use super::{fault, janitor};
use crate::BusError;

/// How many commands a commit takes at most.
const BATCH_MAX: usize = 1024;

/// How many bytes of values a commit takes at most, give or take one command.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long the janitor rests when it has found everything in order, and between two pieces of work.
const JANITOR_REST: Duration = Duration::from_secs(30);
const JANITOR_PAUSE: Duration = Duration::from_millis(50);

/// A command with the caller who waits for it.
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Result<u64, BusError>>,
    /// The request's place in the queue.
    pub(super) place: OwnedSemaphorePermit,
}

/// The writer's things.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) requests: Receiver<Request>,
    pub(super) clock: StoreClock,
    pub(super) watchers: Arc<Watchers>,
    pub(super) path: PathBuf,
    pub(super) file: FileId,
    pub(super) ledger: Ledger,
    /// Given back after the connection is closed: fields are dropped in this order.
    pub(super) _lock: Arc<StoreLock>,
}

impl Writer {
    /// Works until the last handle is gone and every request that was queued is done.
    pub(super) fn run(mut self) {
        let mut janitor_due = Instant::now();
        loop {
            match self
                .requests
                .recv_timeout(janitor_due.saturating_duration_since(Instant::now()))
            {
                Ok(first) => {
                    let batch = self.collect(first);
                    self.serve(batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if janitor_due <= Instant::now() {
                let rest = if self.tidy_up() {
                    JANITOR_PAUSE
                } else {
                    JANITOR_REST
                };
                janitor_due = Instant::now() + rest;
            }
        }
        // Store time as it is now; without it, it is that of the last commit.
        if let Err(error) = self.commit(&[]) {
            tracing::warn!(%error, "the store's time was not saved");
        }
        self.watchers.close();
        tracing::debug!(path = %self.path.display(), "the store is closed");
    }

    fn collect(&self, first: Request) -> Vec<Request> {
        let mut bytes = first.command.bytes();
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(next) = self.requests.try_recv() else { break };
            bytes += next.command.bytes();
            batch.push(next);
        }
        batch
    }

    fn serve(&mut self, batch: Vec<Request>) {
        let mut commands = Vec::with_capacity(batch.len());
        let mut answers = Vec::with_capacity(batch.len());
        for Request {
            command,
            answer,
            place,
        } in batch
        {
            commands.push(command);
            answers.push(answer);
            drop(place);
        }
        let outcomes = match self.commit(&commands) {
            Ok(outcomes) => outcomes,
            // What is too large for the disk together may fit one by one, and one that meets damage must not
            // take the others with it.
            Err(BusError::Full(_) | BusError::Damaged(_)) if commands.len() > 1 => {
                commands.iter().map(|command| self.commit_one(command)).collect()
            }
            // Somebody holds the database, or the disk fails: the next one would only wait as long.
            Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut committed = Vec::with_capacity(outcomes.len());
        let mut numbers = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            numbers.push(outcome.map(|done| {
                committed.extend(done.committed);
                done.number
            }));
        }
        self.watchers.publish(committed);
        for (answer, number) in answers.into_iter().zip(numbers) {
            // The caller may have stopped waiting.
            let _ = answer.send(number);
        }
    }

    fn commit_one(&mut self, command: &Command) -> Result<Done, BusError> {
        let mut outcomes = self.commit(std::slice::from_ref(command))?;
        outcomes.pop().unwrap_or_else(|| Ok(Done::default()))
    }

    /// Runs commands in one transaction. An error means that none of them was done.
    fn commit(&mut self, commands: &[Command]) -> Result<Vec<Result<Done, BusError>>, BusError> {
        self.see_the_file()?;
        let outcomes = self.transact(commands);
        outcomes.map_err(|error| {
            self.abandon();
            let error = fault::of_sqlite(&self.path, &error);
            tracing::debug!(%error, commands = commands.len(), "a transaction failed");
            error
        })
    }

    fn transact(&mut self, commands: &[Command]) -> rusqlite::Result<Vec<Result<Done, BusError>>> {
        let run = |sql| self.connection.prepare_cached(sql)?.execute([]);
        run("BEGIN IMMEDIATE")?;
        let now_ms = self.clock.now_ms();
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            run("SAVEPOINT command")?;
            let outcome = match command.run(&self.connection, &mut self.ledger, now_ms) {
                Ok(done) => Ok(done),
                // SQLite has undone the whole transaction, not only this command.
                Err(Refused::Store(error)) if self.connection.is_autocommit() => return Err(error),
                Err(refused) => {
                    run("ROLLBACK TO command")?;
                    Err(match refused {
                        Refused::Caller(error) => error,
                        Refused::Store(error) => fault::of_sqlite(&self.path, &error),
                    })
                }
            };
            run("RELEASE command")?;
            outcomes.push(outcome);
        }
        self.ledger.write(&self.connection)?;
        self.save_time()?;
        run("COMMIT")?;
        Ok(outcomes)
    }

    /// Ends a transaction that failed.
    fn abandon(&mut self) {
        self.ledger.forget();
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a failed transaction was not rolled back");
        }
    }

    fn save_time(&self) -> rusqlite::Result<()> {
        let saved = self.clock.save();
        self.connection
            .prepare_cached("UPDATE store SET store_ms = ?1, boot_ms = ?2, wall_ms = ?3, boot_id = ?4")?
            .execute(params![
                saved.store_ms,
                saved.boot_ms,
                saved.wall_ms,
                saved.boot_id
            ])?;
        Ok(())
    }

    /// Writes only while the path leads to the file that is open: what goes into a file that was deleted or
    /// replaced would be gone at the next start.
    fn see_the_file(&self) -> Result<(), BusError> {
        if FileId::of(&self.path).ok() == Some(self.file) {
            return Ok(());
        }
        Err(fault::damaged(
            &self.path,
            "the file was removed or replaced while it was in use",
        ))
    }

    /// A pass of the janitor. True when there is more to do.
    fn tidy_up(&mut self) -> bool {
        let pass = || -> rusqlite::Result<bool> {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let more = janitor::expire(&self.connection, self.clock.now_ms())?;
            self.save_time()?;
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(janitor::shrink(&self.connection)? || more)
        };
        if self.see_the_file().is_err() {
            return false;
        }
        let more = pass().unwrap_or_else(|error| {
            tracing::warn!(%error, path = %self.path.display(), "the store was not tidied up");
            false
        });
        // It counted behind the ledger's back; after an error there may be a transaction to end, too.
        self.abandon();
        more
    }
}
