//! Any sequence of operations gives what a simple model in memory gives, reopening included.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking, in its helpers too"
)]

use std::collections::BTreeMap;

use bus::embedded::Embedded;
use bus::{Bucket, Bus, BusError, Change, Entry, Log, LogEntry, Page, Subscription};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use proptest::prelude::*;
use uuid::Uuid;

const BUCKETS: [Bucket; 2] = [Bucket::new("model-one", None), Bucket::HOSTS];
const LOG: Log = Log {
    name: "model-log",
    age_max: std::time::Duration::from_secs(24 * 60 * 60),
    bytes_max: 3000,
    entries_max: 12,
};

#[derive(Clone, Debug)]
enum Step {
    Put(usize, String, Vec<u8>),
    Create(usize, String, Vec<u8>),
    /// With the current revision, or one that is off by so much.
    Update(usize, String, Vec<u8>, i64),
    Delete(usize, String),
    Purge(usize, String),
    Get(usize, String),
    Entries(usize, String),
    Append(u8, Vec<u8>),
    Page(u64, u64),
    Find(u8),
    Usage,
    Watch(usize, String),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bucket = 0..BUCKETS.len();
    let part = prop_oneof!["a", "b", "a-b", "ab", "a/", "Z"];
    let key = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("."));
    let prefix = prop_oneof![4 => key.clone(), 1 => Just(String::new())];
    let value = prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 900..2000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    let step = prop_oneof![
        6 => (bucket.clone(), key.clone(), value.clone()).prop_map(|(b, k, v)| Step::Put(b, k, v)),
        3 => (bucket.clone(), key.clone(), value.clone()).prop_map(|(b, k, v)| Step::Create(b, k, v)),
        4 => (bucket.clone(), key.clone(), value.clone(), prop_oneof![3 => Just(0), 1 => -3..3_i64])
            .prop_map(|(b, k, v, off)| Step::Update(b, k, v, off)),
        3 => (bucket.clone(), key.clone()).prop_map(|(b, k)| Step::Delete(b, k)),
        1 => (bucket.clone(), prefix.clone()).prop_map(|(b, p)| Step::Purge(b, p)),
        3 => (bucket.clone(), key).prop_map(|(b, k)| Step::Get(b, k)),
        3 => (bucket.clone(), prefix.clone()).prop_map(|(b, p)| Step::Entries(b, p)),
        4 => (any::<u8>().prop_map(|id| id % 8), value).prop_map(|(id, v)| Step::Append(id, v)),
        2 => (0..15_u64, 0..15_u64).prop_map(|(offset, limit)| Step::Page(offset, limit)),
        1 => any::<u8>().prop_map(|id| Step::Find(id % 8)),
        1 => Just(Step::Usage),
        1 => (bucket, prefix).prop_map(|(b, p)| Step::Watch(b, p)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..80)
}

/// What should be there.
#[derive(Default)]
struct Model {
    buckets: [BTreeMap<String, (Bytes, u64)>; 2],
    /// The last revision of each bucket.
    revisions: [u64; 2],
    log: Vec<LogEntry>,
}

impl Model {
    fn entries(&self, bucket: usize, prefix: &str) -> Vec<Entry> {
        let entries = self.buckets[bucket].iter().filter(|(key, _)| under(prefix, key));
        let entry = |(key, (value, revision)): (&String, &(Bytes, u64))| Entry {
            key: key.clone(),
            value: value.clone(),
            revision: *revision,
        };
        entries.map(entry).collect()
    }

    /// Enters a write that gave a revision.
    fn written(&mut self, bucket: usize, key: &str, value: Bytes, revision: u64) -> Change {
        assert!(
            revision > self.revisions[bucket],
            "{revision} after {}",
            self.revisions[bucket]
        );
        self.revisions[bucket] = revision;
        self.buckets[bucket].insert(key.to_owned(), (value.clone(), revision));
        Change::Put(Entry {
            key: key.to_owned(),
            value,
            revision,
        })
    }
}

fn under(prefix: &str, key: &str) -> bool {
    prefix.is_empty() || key == prefix || key.starts_with(&format!("{prefix}."))
}

struct Watching {
    bucket: usize,
    prefix: String,
    stream: Subscription<Change>,
}

async fn play(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut bus = Embedded::open(&path).unwrap();
    let mut model = Model::default();
    let mut watching: Vec<Watching> = Vec::new();
    for step in steps {
        let mut changed: Option<(usize, String, Change)> = None;
        match step {
            Step::Put(bucket, key, value) => {
                let value = Bytes::from(value);
                let revision = bus.put(BUCKETS[bucket], &key, value.clone()).await.unwrap();
                let change = model.written(bucket, &key, value, revision);
                changed = Some((bucket, key, change));
            }
            Step::Create(bucket, key, value) => {
                let value = Bytes::from(value);
                let result = bus.create(BUCKETS[bucket], &key, value.clone()).await;
                if model.buckets[bucket].contains_key(&key) {
                    assert!(matches!(result, Err(BusError::Conflict { .. })), "{result:?}");
                } else {
                    let change = model.written(bucket, &key, value, result.unwrap());
                    changed = Some((bucket, key, change));
                }
            }
            Step::Update(bucket, key, value, off) => {
                let value = Bytes::from(value);
                let current = model.buckets[bucket].get(&key).map(|(_, revision)| *revision);
                let given = current
                    .unwrap_or(model.revisions[bucket])
                    .saturating_add_signed(off);
                let result = bus.update(BUCKETS[bucket], &key, value.clone(), given).await;
                if current == Some(given) {
                    let change = model.written(bucket, &key, value, result.unwrap());
                    changed = Some((bucket, key, change));
                } else {
                    assert!(matches!(result, Err(BusError::Conflict { .. })), "{result:?}");
                }
            }
            Step::Delete(bucket, key) => {
                bus.delete(BUCKETS[bucket], &key).await.unwrap();
                if model.buckets[bucket].remove(&key).is_some() {
                    changed = Some((bucket, key.clone(), Change::Delete { key }));
                }
            }
            Step::Purge(bucket, prefix) => {
                bus.purge(BUCKETS[bucket], &prefix).await.unwrap();
                model.buckets[bucket].retain(|key, _| !under(&prefix, key));
            }
            Step::Get(bucket, key) => {
                let wanted = model
                    .entries(bucket, &key)
                    .into_iter()
                    .find(|entry| entry.key == key);
                assert_eq!(bus.get(BUCKETS[bucket], &key).await.unwrap(), wanted);
            }
            Step::Entries(bucket, prefix) => {
                let wanted = model.entries(bucket, &prefix);
                assert_eq!(bus.entries(BUCKETS[bucket], &prefix).await.unwrap(), wanted);
            }
            Step::Append(id, value) => {
                let value = Bytes::from(value);
                let id = Uuid::from_u128(id.into());
                let sequence = bus.append(LOG, id, value.clone()).await.unwrap();
                assert!(model.log.last().is_none_or(|last| last.sequence < sequence));
                model.log.push(LogEntry { sequence, id, value });
                while model.log.len() > 12
                    || model.log.iter().map(|entry| entry.value.len()).sum::<usize>() > 3000
                {
                    model.log.remove(0);
                }
            }
            Step::Page(offset, limit) => {
                let (skip, take) = (usize::try_from(offset).unwrap(), usize::try_from(limit).unwrap());
                let entries = model.log.iter().rev().skip(skip).take(take).cloned().collect();
                let total = u64::try_from(model.log.len()).unwrap();
                assert_eq!(
                    bus.page(LOG, offset, limit).await.unwrap(),
                    Page { total, entries }
                );
            }
            Step::Find(id) => {
                let id = Uuid::from_u128(id.into());
                let wanted = model.log.iter().rev().find(|entry| entry.id == id).cloned();
                assert_eq!(bus.find(LOG, id).await.unwrap(), wanted);
            }
            Step::Usage => {
                for (bucket, entries) in BUCKETS.iter().zip(&model.buckets) {
                    let usage = bus.bucket_usage(*bucket).await.unwrap();
                    let bytes: usize = entries.values().map(|(value, _)| value.len()).sum();
                    assert_eq!((usage.entries, usage.bytes), (size(entries.len()), size(bytes)));
                }
                let usage = bus.log_usage(LOG).await.unwrap();
                let bytes: usize = model.log.iter().map(|entry| entry.value.len()).sum();
                assert_eq!((usage.entries, usage.bytes), (size(model.log.len()), size(bytes)));
            }
            Step::Watch(bucket, prefix) => {
                let mut stream = bus.watch(BUCKETS[bucket], &prefix).await.unwrap();
                let mut there = model.entries(bucket, &prefix);
                there.sort_by_key(|entry| entry.revision);
                for entry in there {
                    assert_eq!(waiting(&mut stream), Some(Change::Put(entry)));
                }
                assert_eq!(waiting(&mut stream), Some(Change::Caught));
                watching.push(Watching {
                    bucket,
                    prefix,
                    stream,
                });
            }
            Step::Reopen => {
                bus.close().await;
                for mut ended in watching.drain(..) {
                    assert_eq!(ended.stream.next().await, None);
                }
                bus = Embedded::open(&path).unwrap();
            }
        }
        // The store in one file tells its watchers before it answers the writer.
        for watcher in &mut watching {
            if let Some((bucket, key, change)) = &changed
                && *bucket == watcher.bucket
                && under(&watcher.prefix, key)
            {
                assert_eq!(waiting(&mut watcher.stream).as_ref(), Some(change));
            }
            assert_eq!(waiting(&mut watcher.stream), None);
        }
    }
}

/// What a stream has now.
fn waiting<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    futures::FutureExt::now_or_never(stream.next()).flatten()
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_gives_what_the_model_gives(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}
