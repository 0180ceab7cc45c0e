//! Watches: what is there, caught, then every change; in order, none lost, none twice.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::*;
use crate::{Change, Entry, Subscription};

/// Checks all of it.
pub async fn check(maker: &dyn Maker) {
    a_watch_tells_what_is_there_then_what_changes(maker).await;
    a_watch_sees_its_prefix_only(maker).await;
    purges_are_not_told(maker).await;
    every_controller_is_told(maker).await;
    nothing_is_lost_or_told_twice_under_load(maker).await;
    a_slow_watcher_is_told_the_last_of_each_key(maker).await;
}

async fn put(bus: &Arc<dyn Bus>, key: &str, value: &str) -> Entry {
    let revision = bus.put(KEPT, key, bytes(value)).await.unwrap();
    Entry {
        key: key.to_owned(),
        value: bytes(value),
        revision,
    }
}

async fn told(watch: &mut Subscription<Change>) -> Change {
    next("a change", watch).await
}

fn deleted(key: &str) -> Change {
    Change::Delete { key: key.to_owned() }
}

/// First what is there in the order of writing, then `Caught`, then changes.
pub async fn a_watch_tells_what_is_there_then_what_changes(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let mut empty = bus.watch(KEPT, "").await.unwrap();
    assert_eq!(told(&mut empty).await, Change::Caught);
    let b = put(&bus, "b", "1").await;
    put(&bus, "a", "2").await;
    put(&bus, "gone", "3").await;
    let a = put(&bus, "a", "4").await;
    bus.delete(KEPT, "gone").await.unwrap();

    let mut watch = bus.watch(KEPT, "").await.unwrap();
    assert_eq!(told(&mut watch).await, Change::Put(b.clone()));
    assert_eq!(told(&mut watch).await, Change::Put(a.clone()));
    assert_eq!(told(&mut watch).await, Change::Caught);
    let c = Change::Put(put(&bus, "c", "5").await);
    assert_eq!(told(&mut watch).await, c);
    bus.delete(KEPT, "a").await.unwrap();
    assert_eq!(told(&mut watch).await, deleted("a"));
    let again = bus.create(KEPT, "a", bytes("6")).await.unwrap();
    let again = Change::Put(Entry {
        key: "a".into(),
        value: bytes("6"),
        revision: again,
    });
    assert_eq!(told(&mut watch).await, again);
    // A refused write is no change.
    assert!(bus.create(KEPT, "a", bytes("x")).await.is_err());
    assert!(bus.update(KEPT, "a", bytes("x"), 1).await.is_err());
    let end = Change::Put(put(&bus, "end", "").await);
    assert_eq!(told(&mut watch).await, end);

    // The first watcher slept all the while: of "gone" it need hear only that it went, of "a" only the last.
    let mut state = BTreeMap::new();
    loop {
        let change = told(&mut empty).await;
        let is_end = change == end;
        apply(&mut state, change);
        if is_end {
            break;
        }
    }
    assert_eq!(state.keys().collect::<Vec<_>>(), ["a", "b", "c", "end"]);
}

/// A watch on `a` is told of `a` and `a.b`, not of `ab` nor of another bucket.
pub async fn a_watch_sees_its_prefix_only(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    for key in ["ab", "a", "a.b", "a-b", "b"] {
        put(&bus, key, "before").await;
    }
    let mut watch = bus.watch(KEPT, "a").await.unwrap();
    let mut before = [told(&mut watch).await, told(&mut watch).await];
    before.sort_by_key(|change| {
        if let Change::Put(entry) = change {
            entry.key.clone()
        } else {
            String::new()
        }
    });
    assert!(matches!(&before, [Change::Put(one), Change::Put(two)] if one.key == "a" && two.key == "a.b"));
    assert_eq!(told(&mut watch).await, Change::Caught);
    for key in ["ab", "a-b", "b", "a/b", "ab.c"] {
        put(&bus, key, "after").await;
        bus.delete(KEPT, key).await.unwrap();
    }
    bus.put(OTHER, "a.b", bytes("elsewhere")).await.unwrap();
    let below = Change::Put(put(&bus, "a.b.c", "after").await);
    assert_eq!(told(&mut watch).await, below);
    let itself = Change::Put(put(&bus, "a", "after").await);
    assert_eq!(told(&mut watch).await, itself);
}

/// A purge is not told; what is written afterwards is.
pub async fn purges_are_not_told(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let mut watch = bus.watch(KEPT, "").await.unwrap();
    assert_eq!(told(&mut watch).await, Change::Caught);
    let first = Change::Put(put(&bus, "a.b", "1").await);
    assert_eq!(told(&mut watch).await, first);
    bus.purge(KEPT, "a").await.unwrap();
    let second = Change::Put(put(&bus, "a.b", "2").await);
    assert_eq!(told(&mut watch).await, second);
}

/// A controller's watcher is told what another controller writes.
pub async fn every_controller_is_told(maker: &dyn Maker) {
    let store = maker.make().await;
    let (one, two) = (store.controller().await, store.controller().await);
    let mut watch = one.watch(KEPT, "").await.unwrap();
    assert_eq!(told(&mut watch).await, Change::Caught);
    let change = Change::Put(put(&two, "a", "from the other").await);
    assert_eq!(told(&mut watch).await, change);
}

/// Watchers that begin at any moment while many tasks write end with what is there, having been told every
/// revision at most once and in order.
pub async fn nothing_is_lost_or_told_twice_under_load(maker: &dyn Maker) {
    const WRITERS: usize = 8;
    const WRITES: usize = 60;
    let store = maker.make().await;
    let buses = [store.controller().await, store.controller().await];
    let writers = (0..WRITERS).map(|writer| {
        let bus = buses[writer % 2].clone();
        tokio::spawn(async move {
            for number in 0..WRITES {
                let key = format!("k.{}", (writer * 5 + number * 3) % 17);
                if number % 5 == 4 {
                    bus.delete(KEPT, &key).await.unwrap();
                } else {
                    bus.put(KEPT, &key, bytes(format!("{writer}.{number}")))
                        .await
                        .unwrap();
                }
            }
        })
    });
    let watchers = (0..12_u32).map(|watcher| {
        let bus = buses[usize::from(watcher % 2 == 0)].clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(2) * watcher).await;
            // The first begins before the last write, and all hear of the end.
            let mut watch = bus.watch(KEPT, "k").await.unwrap();
            let mut state = BTreeMap::new();
            let (mut last, mut caught) = (0, 0);
            loop {
                let change = told(&mut watch).await;
                if let Change::Put(entry) = &change {
                    assert!(entry.revision > last, "{} after {last}", entry.revision);
                    last = entry.revision;
                }
                caught += usize::from(change == Change::Caught);
                apply(&mut state, change);
                if state.remove("k.end").is_some() {
                    break;
                }
            }
            // The end may be among what was there at the beginning.
            if caught == 0 {
                assert_eq!(told(&mut watch).await, Change::Caught);
                caught = 1;
            }
            assert_eq!(caught, 1);
            state
        })
    });
    let (writers, watchers): (Vec<_>, Vec<_>) = (writers.collect(), watchers.collect());
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    put(&buses[0], "k.end", "").await;
    let mut there: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in buses[0].entries(KEPT, "k").await.unwrap() {
        there.insert(entry.key.clone(), entry);
    }
    there.remove("k.end");
    for watcher in join_all(watchers).await {
        assert_eq!(watcher.unwrap(), there);
    }
}

/// A watcher that does not look for a while is told at least the last change of each key, in order.
pub async fn a_slow_watcher_is_told_the_last_of_each_key(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let mut watch = bus.watch(KEPT, "").await.unwrap();
    assert_eq!(told(&mut watch).await, Change::Caught);
    let mut last = BTreeMap::new();
    for number in 0..300 {
        let entry = put(&bus, &format!("k{}", number % 3), &number.to_string()).await;
        last.insert(entry.key.clone(), entry);
    }
    bus.delete(KEPT, "k1").await.unwrap();
    last.remove("k1");
    let end = put(&bus, "end", "").await;
    last.insert("end".into(), end.clone());
    let (mut state, mut revision) = (BTreeMap::new(), 0);
    loop {
        let change = told(&mut watch).await;
        if let Change::Put(entry) = &change {
            assert!(entry.revision > revision);
            revision = entry.revision;
        }
        apply(&mut state, change);
        if revision == end.revision {
            break;
        }
    }
    assert_eq!(state, last);
}

fn apply(state: &mut BTreeMap<String, Entry>, change: Change) {
    match change {
        Change::Put(entry) => {
            state.insert(entry.key.clone(), entry);
        }
        Change::Delete { key } => {
            state.remove(&key);
        }
        Change::Caught => {}
    }
}
