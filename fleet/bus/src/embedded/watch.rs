//! Watchers: told of what was committed, in the order of revisions, the last change of each key.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::mailbox::{Mailbox, Reading, Waiting};
use crate::{Change, Entry, Subscription};

/// A committed change, on its way to watchers.
pub(super) struct Committed {
    pub(super) bucket: &'static str,
    pub(super) revision: u64,
    /// A put or a delete.
    pub(super) change: Change,
}

/// The watchers of a bucket.
type Prefixes = BTreeMap<String, Vec<Weak<Mailbox<Changes>>>>;

/// Who watches what.
#[derive(Default)]
pub(super) struct Watchers {
    /// By bucket, then by prefix: a change asks for the few prefixes its key has, however many watch.
    by_prefix: Mutex<BTreeMap<&'static str, Prefixes>>,
}

impl Watchers {
    /// Tells everyone concerned. Called in the order of revisions.
    pub(super) fn publish(&self, committed: Vec<Committed>) {
        if committed.is_empty() {
            return;
        }
        let mut buckets = self.lock();
        for Committed {
            bucket,
            revision,
            change,
        } in committed
        {
            let Some(prefixes) = buckets.get_mut(bucket) else {
                continue;
            };
            let key = key_of(&change);
            let ends = key.match_indices('.').map(|(at, _)| at).chain([0, key.len()]);
            for end in ends {
                for mailbox in prefixes
                    .get(&key[..end])
                    .into_iter()
                    .flatten()
                    .filter_map(Weak::upgrade)
                {
                    mailbox.fill(|changes| changes.push(revision, change.clone()));
                }
            }
        }
    }

    /// Adds a watcher that collects changes from now on and keeps them until [`Watcher::begin`].
    pub(super) fn add(&self, bucket: &'static str, prefix: &str) -> Watcher {
        let mailbox = Arc::new(Mailbox::new(Changes::default()));
        let mut buckets = self.lock();
        let prefixes = buckets.entry(bucket).or_default();
        // Those who stopped watching leave here, so that the list is not longer than it must be.
        prefixes.retain(|_, watchers| {
            watchers.retain(|watcher| watcher.strong_count() > 0);
            !watchers.is_empty()
        });
        prefixes
            .entry(prefix.to_owned())
            .or_default()
            .push(Arc::downgrade(&mailbox));
        Watcher(mailbox)
    }

    /// Ends every watch.
    pub(super) fn close(&self) {
        for prefixes in std::mem::take(&mut *self.lock()).into_values() {
            for mailbox in prefixes
                .into_values()
                .flatten()
                .filter_map(|watcher| watcher.upgrade())
            {
                mailbox.close();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Prefixes>> {
        self.by_prefix.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watcher that has not begun: it must first be given what was there.
pub(super) struct Watcher(Arc<Mailbox<Changes>>);

impl Watcher {
    /// Begins with what was there when the bucket stood at `revision`.
    pub(super) fn begin(self, mut there: Vec<Entry>, revision: u64) -> Subscription<Change> {
        there.sort_unstable_by_key(|entry| entry.revision);
        self.0.fill(|changes| changes.begin(there, revision));
        Box::pin(Reading(self.0))
    }
}

/// What a watcher has yet to be told.
#[derive(Default)]
struct Changes {
    /// What was there, newest first so that the oldest is popped; absent until it is known.
    there: Option<Vec<Entry>>,
    caught: bool,
    /// The revision up to which `there` says it all.
    from: u64,
    /// The last change of each key, by revision.
    later: BTreeMap<u64, Change>,
    /// Where each key is in `later`.
    at: HashMap<String, u64>,
}

impl Changes {
    fn begin(&mut self, mut there: Vec<Entry>, revision: u64) {
        there.reverse();
        self.there = Some(there);
        self.from = revision;
        let later = self.later.split_off(&revision.saturating_add(1));
        self.later = later;
        self.at.retain(|_, at| *at > revision);
    }

    fn push(&mut self, revision: u64, change: Change) {
        if revision <= self.from {
            return;
        }
        if let Some(earlier) = self.at.insert(key_of(&change).to_owned(), revision) {
            self.later.remove(&earlier);
        }
        self.later.insert(revision, change);
    }
}

impl Waiting for Changes {
    type Item = Change;

    fn take(&mut self) -> Option<Change> {
        let there = self.there.as_mut()?;
        if let Some(entry) = there.pop() {
            return Some(Change::Put(entry));
        }
        if !self.caught {
            self.caught = true;
            *there = Vec::new();
            return Some(Change::Caught);
        }
        let (_, change) = self.later.pop_first()?;
        self.at.remove(key_of(&change));
        Some(change)
    }
}

fn key_of(change: &Change) -> &str {
    match change {
        Change::Put(entry) => &entry.key,
        Change::Delete { key } => key,
        Change::Caught => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, revision: u64) -> Change {
        Change::Put(Entry {
            key: key.into(),
            value: bytes::Bytes::new(),
            revision,
        })
    }

    #[test]
    fn what_waits_is_bounded_by_the_number_of_keys() {
        let mut changes = Changes::default();
        changes.begin(Vec::new(), 0);
        for revision in 1..=10_000 {
            changes.push(
                revision,
                put(["a", "b", "c"][usize::try_from(revision % 3).unwrap()], revision),
            );
        }
        assert_eq!((changes.later.len(), changes.at.len()), (3, 3));
        let told: Vec<_> = std::iter::from_fn(|| changes.take()).collect();
        assert_eq!(
            told,
            [Change::Caught, put("c", 9_998), put("a", 9_999), put("b", 10_000)]
        );
        assert!(changes.at.is_empty());
    }

    #[test]
    fn what_the_snapshot_has_is_not_told_again() {
        let mut changes = Changes::default();
        changes.push(4, put("a", 4));
        changes.push(6, put("b", 6));
        assert_eq!(changes.take(), None, "nothing before the snapshot");
        let Change::Put(entry) = put("a", 4) else {
            unreachable!()
        };
        changes.begin(vec![entry], 5);
        changes.push(5, put("c", 5));
        let told: Vec<_> = std::iter::from_fn(|| changes.take()).collect();
        assert_eq!(told, [put("a", 4), Change::Caught, put("b", 6)]);
    }
}
