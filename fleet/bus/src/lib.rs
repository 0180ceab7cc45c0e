//! The controller's memory and reach: jobs out, results home, both remembered.
//!
//! A controller uses one [`Bus`] for three things. It [posts](Bus::post) deliveries, which reach every
//! controller that listens, its own included, so that whichever holds a host's connection can pass the job
//! on. It keeps what must outlive it in key-value [`Bucket`]s, with revisions, a time to live per bucket and
//! watches; gathering the answers of a job is a watch on their common prefix. And it appends to bounded
//! [`Log`]s, the audit trail among them.
//!
//! [`embedded`] does this with one SQLite file for one process. The promises below are written so that
//! several controllers on NATS JetStream can keep them too, and [`contract`] checks them of any
//! implementation. Agents never see the bus.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use uuid::Uuid;

#[cfg(any(test, doc, feature = "contract"))]
pub mod contract;
pub mod embedded;
pub mod limits;

/// A named key-value space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Name, of letters, digits and `-`.
    pub name: &'static str,
    /// How long a value is kept after it was last written; for ever when absent. It is gone within seconds
    /// after that, stays gone, and its key may be created anew. Expiry is not announced to watchers.
    pub ttl: Option<Duration>,
}

impl Bucket {
    /// Jobs as they were submitted, and how they ended: key `<job id>`.
    pub const JOBS: Bucket = Bucket::new("jobs", None);
    /// Answers of hosts: key `<job id>.<machine id>`.
    pub const ANSWERS: Bucket = Bucket::new("answers", None);
    /// Hosts with key and state in the fleet: key `<machine id>`.
    pub const HOSTS: Bucket = Bucket::new("hosts", None);
    /// Hosts that were rejected, for as long as that is remembered: key `<machine id>`.
    pub const REJECTED: Bucket = Bucket::new("rejected", Some(days(7)));
    /// What is deployed where: key `<machine id>`.
    pub const FILE_STATE: Bucket = Bucket::new("file-state", None);
    /// API tokens that were given out or revoked: key `<jti>`.
    pub const TOKENS: Bucket = Bucket::new("tokens", None);
    /// Enrolment tokens: key SHA-256 of the secret.
    pub const ENROLMENT: Bucket = Bucket::new("enrolment", Some(days(31)));
    /// The fleet's own settings and keys: key by meaning.
    pub const SETTINGS: Bucket = Bucket::new("settings", None);

    /// Every bucket a controller uses.
    pub const ALL: [Bucket; 8] = [
        Bucket::JOBS,
        Bucket::ANSWERS,
        Bucket::HOSTS,
        Bucket::REJECTED,
        Bucket::FILE_STATE,
        Bucket::TOKENS,
        Bucket::ENROLMENT,
        Bucket::SETTINGS,
    ];

    /// Makes a bucket.
    pub const fn new(name: &'static str, ttl: Option<Duration>) -> Self {
        Bucket { name, ttl }
    }
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

/// A named, bounded sequence of entries. Whichever bound is reached first, the oldest entries go; the newest
/// always stays until it is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    /// Name, of letters, digits and `-`.
    pub name: &'static str,
    /// How long an entry is kept.
    pub age_max: Duration,
    /// How many bytes all entries may take; a store may count what it needs for its own ends too.
    pub bytes_max: u64,
    /// How many entries there may be.
    pub entries_max: u64,
}

impl Log {
    /// Requests to the API that changed something or tried to, as they were allowed: 720 h, 50 MiB.
    pub const AUDIT: Log = Log {
        name: "audit",
        age_max: Duration::from_secs(720 * 60 * 60),
        bytes_max: 50 * 1024 * 1024,
        entries_max: 1_000_000,
    };
    /// The other requests to the API, those that only read and those that were refused: 720 h, 50 MiB of their
    /// own, so that however many there are, no change is pushed out of [`Log::AUDIT`].
    pub const AUDIT_READS: Log = Log {
        name: "audit-reads",
        age_max: Duration::from_secs(720 * 60 * 60),
        bytes_max: 50 * 1024 * 1024,
        entries_max: 1_000_000,
    };
    /// What happened to hosts: accepted, drained, connected and so on.
    pub const EVENTS: Log = Log {
        name: "events",
        age_max: Duration::from_secs(720 * 60 * 60),
        bytes_max: 50 * 1024 * 1024,
        entries_max: 1_000_000,
    };

    /// Every log a controller uses.
    pub const ALL: [Log; 3] = [Log::AUDIT, Log::AUDIT_READS, Log::EVENTS];
}

/// A value in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub value: Bytes,
    /// At least 1; grows with every write to the bucket, deletes included; no two writes to a bucket share
    /// one, ever, whatever was deleted, purged or expired between.
    pub revision: u64,
}

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key was written, or had been before the watch began.
    Put(Entry),
    /// A key was deleted. May also be told of a key that was not there.
    Delete {
        /// Which.
        key: String,
    },
    /// Everything that was there when the watch began has been told; from now on come changes only.
    Caught,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Position in the log; grows, never used twice.
    pub sequence: u64,
    /// The id it was appended with.
    pub id: Uuid,
    /// Its bytes.
    pub value: Bytes,
}

/// A page of a log, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// How many entries the log holds.
    pub total: u64,
    /// The entries.
    pub entries: Vec<LogEntry>,
}

/// How much a bucket or log holds. At least what can be read; deleted, expired and replaced values and the
/// store's own needs may be counted until the store has cleaned up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many keys or entries.
    pub entries: u64,
    /// How many bytes their values take.
    pub bytes: u64,
}

/// Something for a set of hosts, on its way to the controllers that hold their connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What it is about, for logs: a job's id.
    pub id: Uuid,
    /// The bytes for the hosts; the same for each. At most [`PAYLOAD_BYTES_MAX`].
    pub payload: Bytes,
    /// Machine ids of the hosts.
    pub hosts: Arc<[String]>,
    /// How long it may still be delivered; counted on monotonic clocks, from the post.
    pub lifetime: Duration,
}

/// What goes wrong on a bus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The revision is not the current one, or a key to be created exists.
    #[error("key {key} of {bucket} was changed by somebody else")]
    Conflict {
        /// Name of the bucket.
        bucket: &'static str,
        /// The key.
        key: String,
    },
    /// A key, value or name is outside its limits: a fault of the caller.
    #[error("{0}")]
    Invalid(String),
    /// The store cannot be used now. A write that is answered so may have happened, wholly, or not.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// There is no room; nothing was written.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store is damaged.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Another process uses the store.
    #[error("the store is in use: {0}")]
    Locked(String),
    /// A newer version of the program wrote the store.
    #[error("the store is of a newer version: {0}")]
    Newer(String),
}

/// A stream that ends when the bus is dropped.
pub type Subscription<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// Largest value, in bytes: what a JetStream message carries by default (1 MiB, headers included), less 1 KiB
/// for the headers that `create`, `update` and `append` need.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024 - 1024;

/// Largest payload of a delivery, in bytes: half of what a message carries, to leave room for the hosts.
pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;

/// Jobs out, results home, both remembered.
///
/// Keys are made of ASCII letters, digits, `-`, `_`, `=`, `/` and `.`, not starting or ending with a dot nor
/// with two dots in a row, at most [`KEY_BYTES_MAX`] bytes; values have at most [`VALUE_BYTES_MAX`]. Anything
/// else is [`BusError::Invalid`]. A prefix is a key or empty. Buckets and logs come into being when they are
/// first used; no two of a kind share a name.
///
/// **Durable:** when a write's future is ready, the value survives a kill of every process. It survives the
/// loss of power of the machine that keeps it too: with [`embedded`] always, with JetStream where the stream
/// has replicas on other machines. A write whose future was not ready by then happened wholly or not at all.
/// **Read what was written:** a read that begins after a write's future was ready sees that write or a later
/// one, whichever controller wrote.
/// **Ordered:** writes to one bucket take effect in the order of their revisions, and every watcher is told of
/// them in that order.
/// **Cancel-safe:** dropping a write's future leaves it undecided, nothing else.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Posts a delivery to every controller that listens now. At most once to each; never after its lifetime;
    /// not at all to a controller that begins to listen later, and perhaps not to one that does not keep up.
    /// Nothing is stored: a job is put into a bucket before it is posted. One for many hosts may arrive as
    /// several, no two of them for the same host.
    ///
    /// The lifetime counts from the post on monotonic clocks; of the time between two controllers, what they
    /// can measure.
    async fn post(&self, delivery: Delivery) -> Result<(), BusError>;

    /// Listens for deliveries: those posted after this future was ready. The lifetime of a received delivery
    /// is what is left of it.
    async fn deliveries(&self) -> Result<Subscription<Delivery>, BusError>;

    /// Reads a value.
    async fn get(&self, bucket: Bucket, key: &str) -> Result<Option<Entry>, BusError>;

    /// Writes a value, whatever was there; gives its revision.
    async fn put(&self, bucket: Bucket, key: &str, value: Bytes) -> Result<u64, BusError>;

    /// Writes a value where there is none; gives its revision. Of several creators at once, one wins and the
    /// others get [`BusError::Conflict`].
    async fn create(&self, bucket: Bucket, key: &str, value: Bytes) -> Result<u64, BusError>;

    /// Replaces the value of `revision`; gives the new revision. [`BusError::Conflict`] when the current one
    /// is another, or the key was deleted, purged or has expired.
    async fn update(&self, bucket: Bucket, key: &str, value: Bytes, revision: u64) -> Result<u64, BusError>;

    /// Deletes a key; no error when there is none.
    async fn delete(&self, bucket: Bucket, key: &str) -> Result<(), BusError>;

    /// Deletes every key that is `prefix` or starts with `prefix` and a dot, all for an empty prefix, without
    /// telling watchers. A value written while it runs may be deleted or stay.
    async fn purge(&self, bucket: Bucket, prefix: &str) -> Result<(), BusError>;

    /// Reads the values whose key is `prefix` or starts with `prefix` and a dot, all for an empty prefix,
    /// ordered by key.
    async fn entries(&self, bucket: Bucket, prefix: &str) -> Result<Vec<Entry>, BusError>;

    /// Watches the keys that `entries` would read: first what is there, then [`Change::Caught`], then every
    /// change since, all in the order of revisions (the key that is `prefix` itself and those below it may be
    /// told in either order).
    ///
    /// No write is told twice and none is left out, but of several writes to a key before the watcher looked
    /// only the last need be told, and a value that was purged or expired before the watcher looked need not
    /// be told at all. The watcher may be slow: what waits for it is bounded by the number of keys.
    async fn watch(&self, bucket: Bucket, prefix: &str) -> Result<Subscription<Change>, BusError>;

    /// Appends to a log; gives the entry's sequence. Ids need not be unique.
    /// [`BusError::Invalid`] for a value larger than [`VALUE_BYTES_MAX`] or the log's own bound.
    async fn append(&self, log: Log, id: Uuid, value: Bytes) -> Result<u64, BusError>;

    /// Reads a page of a log, newest first, past `offset` entries, at most `limit`.
    async fn page(&self, log: Log, offset: u64, limit: u64) -> Result<Page, BusError>;

    /// Reads the newest entry with this id.
    async fn find(&self, log: Log, id: Uuid) -> Result<Option<LogEntry>, BusError>;

    /// Says how much a bucket holds.
    async fn bucket_usage(&self, bucket: Bucket) -> Result<Usage, BusError>;

    /// Says how much a log holds.
    async fn log_usage(&self, log: Log) -> Result<Usage, BusError>;

    /// Says whether the store can be written now, by writing to it.
    async fn check(&self) -> Result<(), BusError>;
}
