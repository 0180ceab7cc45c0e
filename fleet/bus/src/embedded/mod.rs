//! One SQLite file, one process.
//!
//! [`Embedded`] keeps buckets and logs in one file, with a write-ahead log beside it while it is open. One
//! thread writes (`writer`), a few connections read (`readers`); watchers and listeners for deliveries are
//! told in memory. Beside the store `PATH` lie `PATH.lock` (who uses it) and `PATH.id` (that a store was made
//! here, so that a file that is missing is never taken for a first start).
//!
//! Ages are counted in *store time*, which only running time advances (`clock`): the boot clock while the store
//! is open and over restarts on one boot of the machine; over a boot the wall clock's difference, never
//! negative and at most 24 h. A wall clock that steps ten years ahead or back, while running or in between,
//! expires nothing that would not have expired anyway, but for that one day per boot.
//!
//! What can be wrong with the file, the disk or the directory is a [`BusError`] that names the file and the
//! remedy. On a full disk writes fail with [`BusError::Full`] and go on by themselves when there is space;
//! reads and deliveries go on all the time.

use std::path::Path;
use std::sync::{Arc, mpsc};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot, watch as signal};
use uuid::Uuid;

use crate::{
    Bucket, Bus, BusError, Change, Delivery, Entry, Log, LogEntry, Page, Subscription, Usage, limits,
};

mod checksum;
mod clock;
mod command;
mod fault;
mod janitor;
mod keys;
mod ledger;
mod lock;
mod mailbox;
mod marker;
mod open;
mod post;
mod read;
mod readers;
mod schema;
mod watch;
mod writer;

use clock::{HostClock, StoreClock, SystemClock};
use command::{Command, Expected};
use ledger::Ledger;
use post::Posts;
use readers::Readers;
use watch::Watchers;
use writer::{Request, Writer};

/// How many writes may be queued; more wait before the queue.
const QUEUE_MAX: usize = 4096;

/// A bus in one SQLite file. Clones are handles on the same store; it closes when the last one is dropped,
/// after the writes that were queued are done.
#[derive(Clone)]
pub struct Embedded(Arc<Inside>);

struct Inside {
    requests: mpsc::Sender<Request>,
    places: Arc<Semaphore>,
    readers: Arc<Readers>,
    clock: StoreClock,
    watchers: Arc<Watchers>,
    posts: Posts,
    released: signal::Receiver<bool>,
}

impl Embedded {
    /// Opens the store at `path`, or makes it, and its directory, where none was made before. Blocks for as
    /// long as the check of the file takes, at most some seconds.
    ///
    /// # Errors
    /// [`BusError::Locked`] when another process uses it, [`BusError::Damaged`] when it is damaged, missing
    /// though it was made here, or no store of ours, [`BusError::Newer`] when a newer version wrote it,
    /// [`BusError::Full`] when there is no space, [`BusError::Unavailable`] for anything else: a directory in
    /// its place, no permission, a file system that is read-only.
    pub fn open(path: &Path) -> Result<Embedded, BusError> {
        Embedded::open_by(path, Arc::new(SystemClock))
    }

    fn open_by(path: &Path, host: Arc<dyn HostClock>) -> Result<Embedded, BusError> {
        let opened = open::open(path, schema::MIGRATIONS)?;
        let lock = Arc::new(opened.lock);
        let clock = StoreClock::resume(host, &opened.saved);
        let watchers = Arc::new(Watchers::default());
        let (requests, queue) = mpsc::channel();
        let inside = Inside {
            requests,
            places: Arc::new(Semaphore::new(QUEUE_MAX)),
            readers: Arc::new(Readers::new(opened.path.clone(), lock.clone())),
            clock: clock.clone(),
            watchers: watchers.clone(),
            posts: Posts::default(),
            released: lock.released(),
        };
        let writer = Writer {
            connection: opened.connection,
            requests: queue,
            clock,
            watchers,
            path: opened.path,
            file: opened.file,
            ledger: Ledger::default(),
            _lock: lock,
        };
        std::thread::Builder::new()
            .name("bus-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| BusError::Unavailable(format!("no thread for the store: {error}")))?;
        Ok(Embedded(Arc::new(inside)))
    }

    /// Drops this handle and waits until the store is closed: every queued write is done and another process
    /// can open it. Waits for the other handles to be dropped, too.
    pub async fn close(self) {
        let mut released = self.0.released.clone();
        drop(self);
        // An error would mean that the lock is gone without a word; then it is released as well.
        let _ = released.wait_for(|released| *released).await;
    }

    async fn write(&self, command: Command) -> Result<u64, BusError> {
        let stopped = || BusError::Unavailable("the store's writer has stopped".to_owned());
        let place = self
            .0
            .places
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| stopped())?;
        let (answer, answered) = oneshot::channel();
        self.0
            .requests
            .send(Request {
                command,
                answer,
                place,
            })
            .map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    async fn put_if(
        &self,
        bucket: Bucket,
        key: &str,
        value: Bytes,
        expected: Expected,
    ) -> Result<u64, BusError> {
        limits::check_key(bucket, key)?;
        limits::check_value(bucket, key, &value)?;
        self.write(Command::Put {
            bucket,
            key: key.to_owned(),
            value,
            expected,
        })
        .await
    }
}

#[async_trait]
impl Bus for Embedded {
    async fn post(&self, delivery: Delivery) -> Result<(), BusError> {
        limits::check_delivery(&delivery)?;
        self.0.posts.post(&delivery);
        Ok(())
    }

    async fn deliveries(&self) -> Result<Subscription<Delivery>, BusError> {
        Ok(self.0.posts.listen())
    }

    async fn get(&self, bucket: Bucket, key: &str) -> Result<Option<Entry>, BusError> {
        limits::check_key(bucket, key)?;
        let (key, now_ms) = (key.to_owned(), self.0.clock.now_ms());
        self.0
            .readers
            .run(move |connection| read::get(connection, bucket, &key, now_ms))
            .await
    }

    async fn put(&self, bucket: Bucket, key: &str, value: Bytes) -> Result<u64, BusError> {
        self.put_if(bucket, key, value, Expected::Anything).await
    }

    async fn create(&self, bucket: Bucket, key: &str, value: Bytes) -> Result<u64, BusError> {
        self.put_if(bucket, key, value, Expected::Nothing).await
    }

    async fn update(&self, bucket: Bucket, key: &str, value: Bytes, revision: u64) -> Result<u64, BusError> {
        self.put_if(bucket, key, value, Expected::Revision(revision))
            .await
    }

    async fn delete(&self, bucket: Bucket, key: &str) -> Result<(), BusError> {
        limits::check_key(bucket, key)?;
        self.write(Command::Delete {
            bucket,
            key: key.to_owned(),
        })
        .await
        .map(|_| ())
    }

    async fn purge(&self, bucket: Bucket, prefix: &str) -> Result<(), BusError> {
        limits::check_prefix(bucket, prefix)?;
        self.write(Command::Purge {
            bucket,
            prefix: prefix.to_owned(),
        })
        .await
        .map(|_| ())
    }

    async fn entries(&self, bucket: Bucket, prefix: &str) -> Result<Vec<Entry>, BusError> {
        limits::check_prefix(bucket, prefix)?;
        let (prefix, now_ms) = (prefix.to_owned(), self.0.clock.now_ms());
        self.0
            .readers
            .run(move |connection| read::entries(connection, bucket, &prefix, now_ms))
            .await
    }

    async fn watch(&self, bucket: Bucket, prefix: &str) -> Result<Subscription<Change>, BusError> {
        limits::check_prefix(bucket, prefix)?;
        // Collecting begins before the look at what is there, so nothing falls between the two.
        let watcher = self.0.watchers.add(bucket.name, prefix);
        let (prefix, now_ms) = (prefix.to_owned(), self.0.clock.now_ms());
        let read = move |connection: &_| read::snapshot(connection, bucket, &prefix, now_ms);
        let (there, revision) = self.0.readers.run(read).await?;
        Ok(watcher.begin(there, revision))
    }

    async fn append(&self, log: Log, id: Uuid, value: Bytes) -> Result<u64, BusError> {
        limits::check_log_entry(log, &value)?;
        self.write(Command::Append { log, id, value }).await
    }

    async fn page(&self, log: Log, offset: u64, limit: u64) -> Result<Page, BusError> {
        limits::check_log(log)?;
        let now_ms = self.0.clock.now_ms();
        self.0
            .readers
            .run(move |connection| read::page(connection, log, offset, limit, now_ms))
            .await
    }

    async fn find(&self, log: Log, id: Uuid) -> Result<Option<LogEntry>, BusError> {
        limits::check_log(log)?;
        let now_ms = self.0.clock.now_ms();
        self.0
            .readers
            .run(move |connection| read::find(connection, log, id, now_ms))
            .await
    }

    async fn bucket_usage(&self, bucket: Bucket) -> Result<Usage, BusError> {
        limits::check_prefix(bucket, "")?;
        self.0
            .readers
            .run(move |connection| read::bucket_usage(connection, bucket))
            .await
    }

    async fn log_usage(&self, log: Log) -> Result<Usage, BusError> {
        limits::check_log(log)?;
        self.0
            .readers
            .run(move |connection| read::log_usage(connection, log))
            .await
    }

    async fn check(&self) -> Result<(), BusError> {
        self.write(Command::Check).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
