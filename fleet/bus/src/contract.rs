//! The suite that every bus passes, unchanged.
//!
//! [`check_all`] takes a [`Maker`] of empty stores and holds a bus to each promise of [`Bus`]. Times in it are
//! patience, not speed: a slow machine makes it slow, not red.
//!
//! # How each promise maps to NATS JetStream
//!
//! Written against nats-server 2.9, the oldest that is packaged: one filter subject per consumer, time to live
//! per stream and not per message, largest message 1 MiB with its headers.
//!
//! | method | JetStream |
//! |---|---|
//! | `post`, `deliveries` | core publish and subscribe on one subject; the subscription is flushed before the future is ready. Hosts that do not fit beside the payload go in further messages. The boot clock's reading at the post goes along, and the smallest difference seen from a controller bounds what a message took |
//! | bucket | stream `KV_<name>` on `$KV.<name>.>`: file storage, one message per subject, discard new, rollup headers and purge allowed, `max_age` = time to live, **no** direct reads: they may come from a replica that is behind |
//! | `get` | the last message of the subject from the stream's leader; a delete marker is nothing |
//! | `put` | publish; the revision is the stream's sequence in the acknowledgement |
//! | `create` | publish with expected last sequence of the subject 0; where the last is a delete marker, with the marker's sequence |
//! | `update` | publish with expected last sequence of the subject; revision 0 is a conflict without asking. A publish whose acknowledgement was lost is never repeated: it would conflict with itself |
//! | `delete` | publish of a delete marker, which takes a revision, whether the key is there or not: so a delete of a key that was not there may be told |
//! | `purge` | stream purge by subject, once for `prefix` and once for `prefix.>`: not atomic, tells nobody, and takes what a watcher has not received yet |
//! | `entries` | an ordered consumer with the last message of each subject, until nothing is pending; sorted by key here |
//! | `watch` | the same consumer kept: order of sequences, at most the last of each key once it is replaced. A filter cannot be `prefix` and `prefix.>` at once, hence two consumers and the exception for the key that is the prefix itself. Delete markers before "caught" are left out |
//! | expiry | the server drops old messages by its own clock, some time after they are due, and tells nobody |
//! | log | stream `LOG_<name>` on `LOG.<name>.<id>`: `max_age`, `max_bytes`, `max_msgs`, discard old; only the oldest go, so sequences have no gaps and a page is a range of them |
//! | `find` | the last message of the subject that has the id |
//! | usage | the stream's message count and bytes: delete markers and headers are counted |
//! | `check` | a publish to a subject of its own stream, acknowledged |
//!
//! What JetStream keeps only if it is set up so: values survive the loss of power of a machine only with
//! replicas on others (a single server writes through to the disk every two minutes); steps of the server's
//! wall clock expire values (`embedded` is immune to them).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a suite says what is wrong by panicking, as tests do"
)]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::{Bucket, Bus};

pub mod expiry;
pub mod logs;
pub mod post;
pub mod values;
pub mod watch;

/// Makes stores for the suite.
#[async_trait]
pub trait Maker: Send + Sync {
    /// Makes a new, empty store.
    async fn make(&self) -> Box<dyn Store>;
}

/// A store that controllers come to and go from.
#[async_trait]
pub trait Store: Send + Sync {
    /// A bus for one more controller; all see the same store.
    async fn controller(&self) -> Arc<dyn Bus>;

    /// Stops the store and starts it again. The suite has dropped every bus before.
    async fn restart(&self);
}

/// Holds the maker's buses to every promise.
pub async fn check_all(maker: &dyn Maker) {
    post::check(maker).await;
    values::check(maker).await;
    watch::check(maker).await;
    logs::check(maker).await;
    expiry::check(maker).await;
}

/// A bucket of the suite that keeps its values.
const KEPT: Bucket = Bucket::new("contract-kept", None);

/// Another one.
const OTHER: Bucket = Bucket::new("contract-other", None);

/// A bucket whose values live two seconds.
const SHORT: Bucket = Bucket::new("contract-short", Some(Duration::from_secs(2)));

/// How long the suite waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must come.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: did not come within {PATIENCE:?}"))
}

/// Waits for the next item of a stream that must not end.
async fn next<T>(what: &str, stream: &mut (impl Stream<Item = T> + Unpin)) -> T {
    within(what, stream.next())
        .await
        .unwrap_or_else(|| panic!("{what}: the stream ended"))
}

fn bytes(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}
