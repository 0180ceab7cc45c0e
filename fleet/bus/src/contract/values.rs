//! Values: limits, conflicts, revisions, prefixes, purge, usage, durability.

use std::collections::BTreeSet;

use futures::future::join_all;

use super::*;
use crate::{BusError, Entry, KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Checks all of it.
pub async fn check(maker: &dyn Maker) {
    values_come_back_as_they_were(maker).await;
    keys_have_limits(maker).await;
    values_have_a_limit(maker).await;
    a_wrong_expectation_is_a_conflict(maker).await;
    of_many_creators_one_wins(maker).await;
    of_many_updaters_one_wins(maker).await;
    revisions_are_never_given_twice(maker).await;
    a_prefix_ends_at_a_dot(maker).await;
    purge_deletes_what_is_under_a_prefix(maker).await;
    dropped_writes_happen_wholly_or_not(maker).await;
    usage_counts_what_is_there(maker).await;
    what_was_written_is_there_after_a_restart(maker).await;
}

/// The keys and values under a prefix.
async fn all(bus: &Arc<dyn Bus>, bucket: Bucket, prefix: &str) -> Vec<(String, Bytes)> {
    let entries = bus.entries(bucket, prefix).await.unwrap();
    entries
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect()
}

async fn keys(bus: &Arc<dyn Bus>, bucket: Bucket, prefix: &str) -> Vec<String> {
    all(bus, bucket, prefix)
        .await
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

fn conflict<T>(result: &Result<T, BusError>) -> bool {
    matches!(result, Err(BusError::Conflict { .. }))
}

/// A value is read as it was written, by every controller, as soon as the write's future was ready.
pub async fn values_come_back_as_they_were(maker: &dyn Maker) {
    let store = maker.make().await;
    let (one, two) = (store.controller().await, store.controller().await);
    assert_eq!(one.get(KEPT, "a").await.unwrap(), None);
    assert_eq!(one.entries(KEPT, "").await.unwrap(), []);
    let every_byte: Bytes = (0..=255_u8).collect();
    for value in [every_byte, Bytes::new(), bytes("second"), bytes("third")] {
        let revision = one.put(KEPT, "a", value.clone()).await.unwrap();
        let written = [Entry {
            key: "a".into(),
            value,
            revision,
        }];
        for bus in [&one, &two] {
            assert_eq!(bus.get(KEPT, "a").await.unwrap().as_ref(), written.first());
            assert_eq!(bus.entries(KEPT, "").await.unwrap(), written);
        }
    }
    assert_eq!(one.get(OTHER, "a").await.unwrap(), None, "buckets are apart");
    two.delete(KEPT, "a").await.unwrap();
    two.delete(KEPT, "a").await.unwrap();
    two.delete(KEPT, "never-there").await.unwrap();
    assert_eq!(one.get(KEPT, "a").await.unwrap(), None);
    assert_eq!(one.entries(KEPT, "").await.unwrap(), []);
    one.check().await.unwrap();
}

/// Keys of the allowed characters and length work; every other is refused by every method.
pub async fn keys_have_limits(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let longest = "k".repeat(KEY_BYTES_MAX);
    let good = [
        "a",
        "A",
        "0",
        "-",
        "_",
        "=",
        "/",
        "a.b.c",
        "a/b=c_d-e",
        "4f3c1e5e-0000-4000-8000-000000000000",
        &longest,
    ];
    for key in good {
        bus.put(KEPT, key, bytes(key)).await.unwrap();
        assert_eq!(
            bus.get(KEPT, key).await.unwrap().map(|entry| entry.value),
            Some(bytes(key)),
            "{key}"
        );
    }
    let mut sorted: Vec<String> = good.iter().map(|&key| key.to_owned()).collect();
    sorted.sort();
    assert_eq!(keys(&bus, KEPT, "").await, sorted, "by key, as bytes compare");

    let too_long = "k".repeat(KEY_BYTES_MAX + 1);
    let bad = [
        "", ".", ".a", "a.", "a..b", "a b", "a*", ">", "a.>", "a\n", "a\0", "ä", "a:b", "a\\", "a'", "%",
        "a\u{1}", &too_long,
    ];
    for key in bad {
        let refused = |what: &str, result: Result<(), BusError>| {
            assert!(
                matches!(result, Err(BusError::Invalid(_))),
                "{what} {key:?}: {result:?}"
            );
        };
        refused("get", bus.get(KEPT, key).await.map(|_| ()));
        refused("put", bus.put(KEPT, key, Bytes::new()).await.map(|_| ()));
        refused("create", bus.create(KEPT, key, Bytes::new()).await.map(|_| ()));
        refused("update", bus.update(KEPT, key, Bytes::new(), 1).await.map(|_| ()));
        refused("delete", bus.delete(KEPT, key).await);
        if !key.is_empty() {
            refused("purge", bus.purge(KEPT, key).await);
            refused("entries", bus.entries(KEPT, key).await.map(|_| ()));
            refused("watch", bus.watch(KEPT, key).await.map(|_| ()));
        }
    }
    for name in ["", "a b", "a.b", "ä"] {
        let result = bus.put(Bucket::new(name, None), "a", Bytes::new()).await;
        assert!(
            matches!(result, Err(BusError::Invalid(_))),
            "bucket {name:?}: {result:?}"
        );
    }
    assert_eq!(
        keys(&bus, KEPT, "").await,
        sorted,
        "nothing was changed by what was refused"
    );
}

/// The largest value is kept whole; one byte more is refused.
pub async fn values_have_a_limit(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let largest: Bytes = (0..VALUE_BYTES_MAX)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    let revision = bus.create(KEPT, "large", largest.clone()).await.unwrap();
    let revision = bus
        .update(KEPT, "large", largest.clone(), revision)
        .await
        .unwrap();
    let too_large = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
    for result in [
        bus.put(KEPT, "large", too_large.clone()).await,
        bus.create(KEPT, "new", too_large.clone()).await,
        bus.update(KEPT, "large", too_large, revision).await,
    ] {
        assert!(matches!(result, Err(BusError::Invalid(_))), "{result:?}");
    }
    let entry = bus.get(KEPT, "large").await.unwrap().unwrap();
    assert!(entry.value == largest && entry.revision == revision);
}

/// `create` wants nothing there, `update` wants the current revision; a refused write changes nothing.
pub async fn a_wrong_expectation_is_a_conflict(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    assert!(
        conflict(&bus.update(KEPT, "a", bytes("x"), 1).await),
        "nothing there"
    );
    let first = bus.create(KEPT, "a", bytes("1")).await.unwrap();
    let result = bus.create(KEPT, "a", bytes("x")).await;
    assert_eq!(
        result,
        Err(BusError::Conflict {
            bucket: KEPT.name,
            key: "a".into()
        })
    );
    let second = bus.update(KEPT, "a", bytes("2"), first).await.unwrap();
    for wrong in [0, first, second + 1, u64::MAX] {
        assert!(
            conflict(&bus.update(KEPT, "a", bytes("x"), wrong).await),
            "revision {wrong}"
        );
    }
    let there = bus.get(KEPT, "a").await.unwrap().unwrap();
    assert_eq!((there.value, there.revision), (bytes("2"), second));

    bus.delete(KEPT, "a").await.unwrap();
    assert!(
        conflict(&bus.update(KEPT, "a", bytes("x"), second).await),
        "deleted"
    );
    let third = bus.create(KEPT, "a", bytes("3")).await.unwrap();
    bus.purge(KEPT, "a").await.unwrap();
    assert!(
        conflict(&bus.update(KEPT, "a", bytes("x"), third).await),
        "purged"
    );
    assert!(
        conflict(&bus.update(KEPT, "a", bytes("x"), 0).await),
        "0 is no revision"
    );
    assert!(bus.create(KEPT, "a", bytes("4")).await.unwrap() > third);
}

/// Of many creators of one key at once, on two controllers, one wins and the others are told.
pub async fn of_many_creators_one_wins(maker: &dyn Maker) {
    let store = maker.make().await;
    let buses = [store.controller().await, store.controller().await];
    for round in 0..10 {
        let key = format!("key-{round}");
        if round % 2 == 1 {
            // A key that was deleted is as free as one that never was.
            buses[0].put(KEPT, &key, bytes("before")).await.unwrap();
            buses[1].delete(KEPT, &key).await.unwrap();
        }
        let racers = (0..40).map(|racer| {
            let (bus, key) = (buses[racer % 2].clone(), key.clone());
            tokio::spawn(async move { (racer, bus.create(KEPT, &key, bytes(racer.to_string())).await) })
        });
        let mut winners = Vec::new();
        for joined in join_all(racers).await {
            match joined.unwrap() {
                (racer, Ok(revision)) => winners.push((bytes(racer.to_string()), revision)),
                (_, Err(BusError::Conflict { .. })) => {}
                (_, Err(error)) => panic!("{error}"),
            }
        }
        let there = buses[0].get(KEPT, &key).await.unwrap().unwrap();
        assert_eq!(winners, [(there.value, there.revision)]);
    }
}

/// Many tasks count up one value by reading and updating it: no step is lost.
pub async fn of_many_updaters_one_wins(maker: &dyn Maker) {
    const TASKS: usize = 8;
    const STEPS: usize = 12;
    let store = maker.make().await;
    let buses = [store.controller().await, store.controller().await];
    buses[0].create(KEPT, "count", bytes("0")).await.unwrap();
    let tasks = (0..TASKS).map(|task| {
        let bus = buses[task % 2].clone();
        tokio::spawn(async move {
            let mut done = 0;
            while done < STEPS {
                let entry = bus.get(KEPT, "count").await.unwrap().unwrap();
                let count: usize = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                match bus
                    .update(KEPT, "count", bytes((count + 1).to_string()), entry.revision)
                    .await
                {
                    Ok(_) => done += 1,
                    Err(BusError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let end = buses[1].get(KEPT, "count").await.unwrap().unwrap();
    assert_eq!(end.value, bytes((TASKS * STEPS).to_string()));
}

/// Revisions are at least 1, unique and growing, over deletes, purges and restarts too.
pub async fn revisions_are_never_given_twice(maker: &dyn Maker) {
    let store = maker.make().await;
    let mut last = 0;
    for round in 0..3 {
        let bus = store.controller().await;
        let writes = (0..50).map(|number| {
            let bus = bus.clone();
            tokio::spawn(async move {
                bus.put(KEPT, &format!("k{}", number % 7), Bytes::new())
                    .await
                    .unwrap()
            })
        });
        let given: Vec<u64> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
        let unique: BTreeSet<u64> = given.iter().copied().collect();
        assert_eq!(unique.len(), given.len());
        assert!(unique.iter().all(|&revision| revision > last), "round {round}");
        last = *unique.last().unwrap();
        for key in 0..7 {
            bus.delete(KEPT, &format!("k{key}")).await.unwrap();
        }
        let after = bus.create(KEPT, "k0", Bytes::new()).await.unwrap();
        assert!(after > last);
        last = after;
        bus.purge(KEPT, "").await.unwrap();
        drop(bus);
        store.restart().await;
    }
}

/// `a` matches `a` and `a.b`, not `ab`, `a-b` or `a/b`.
pub async fn a_prefix_ends_at_a_dot(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let there = [
        "A", "a", "a-b", "a.b", "a.b.c", "a.bc", "a/b", "a=", "ab", "ab.c", "b",
    ];
    for key in there.iter().rev() {
        bus.put(KEPT, key, bytes(*key)).await.unwrap();
    }
    for (prefix, wanted) in [
        ("a", &["a", "a.b", "a.b.c", "a.bc"][..]),
        ("a.b", &["a.b", "a.b.c"]),
        ("a.b.c", &["a.b.c"]),
        ("ab", &["ab", "ab.c"]),
        ("a-b", &["a-b"]),
        ("a/b", &["a/b"]),
        ("c", &[]),
        (
            "",
            &[
                "A", "a", "a-b", "a.b", "a.b.c", "a.bc", "a/b", "a=", "ab", "ab.c", "b",
            ],
        ),
    ] {
        assert_eq!(keys(&bus, KEPT, prefix).await, wanted, "prefix {prefix:?}");
    }
}

/// Purge deletes what `entries` reads and nothing else.
pub async fn purge_deletes_what_is_under_a_prefix(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    for key in ["a", "a-b", "a.b", "a.b.c", "ab", "b.a"] {
        bus.put(KEPT, key, bytes("x")).await.unwrap();
        bus.put(OTHER, key, bytes("x")).await.unwrap();
    }
    bus.purge(KEPT, "nothing-here").await.unwrap();
    bus.purge(KEPT, "a").await.unwrap();
    assert_eq!(keys(&bus, KEPT, "").await, ["a-b", "ab", "b.a"]);
    bus.create(KEPT, "a.b", bytes("again")).await.unwrap();
    bus.purge(KEPT, "").await.unwrap();
    assert_eq!(keys(&bus, KEPT, "").await, [""; 0]);
    assert_eq!(keys(&bus, OTHER, "").await.len(), 6);
}

/// A write whose future is dropped happens wholly or not at all, and harms no other.
pub async fn dropped_writes_happen_wholly_or_not(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    bus.put(KEPT, "a", bytes("before")).await.unwrap();
    let large = Bytes::from(vec![7; 100_000]);
    for patience_us in 0..50 {
        let write = bus.put(KEPT, "a", large.clone());
        let _ = tokio::time::timeout(Duration::from_micros(patience_us * 20), write).await;
        let value = bus.get(KEPT, "a").await.unwrap().unwrap().value;
        assert!(value == large || value == bytes("before"));
        bus.put(KEPT, "b", bytes("goes on")).await.unwrap();
    }
}

/// Usage is at least what is there, and exact for values that were written once.
pub async fn usage_counts_what_is_there(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    assert_eq!(bus.bucket_usage(KEPT).await.unwrap().entries, 0);
    for key in ["a", "a.b", "c"] {
        bus.create(KEPT, key, Bytes::from(vec![1; 1000])).await.unwrap();
    }
    let usage = bus.bucket_usage(KEPT).await.unwrap();
    assert_eq!(usage.entries, 3);
    assert!(usage.bytes >= 3000, "{usage:?}");
    bus.purge(KEPT, "a").await.unwrap();
    let usage = bus.bucket_usage(KEPT).await.unwrap();
    assert_eq!(usage.entries, 1);
    assert!((1000..3000).contains(&usage.bytes), "{usage:?}");
}

/// What was written, replaced, deleted and purged is so after a restart; expectations hold on.
pub async fn what_was_written_is_there_after_a_restart(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    for number in 0..100 {
        bus.put(KEPT, &format!("k.{number:03}"), bytes(format!("first {number}")))
            .await
            .unwrap();
    }
    for number in 0..50 {
        bus.put(KEPT, &format!("k.{number:03}"), bytes(format!("second {number}")))
            .await
            .unwrap();
    }
    for number in 25..75 {
        bus.delete(KEPT, &format!("k.{number:03}")).await.unwrap();
    }
    bus.purge(KEPT, "k.099").await.unwrap();
    let before = bus.entries(KEPT, "").await.unwrap();
    drop(bus);
    store.restart().await;
    let bus = store.controller().await;
    assert_eq!(bus.entries(KEPT, "").await.unwrap(), before);
    assert_eq!(before.len(), 49);
    let first = before.first().unwrap();
    assert!(conflict(&bus.create(KEPT, &first.key, bytes("x")).await));
    assert!(
        bus.update(KEPT, &first.key, bytes("third"), first.revision)
            .await
            .unwrap()
            > first.revision
    );
    assert!(conflict(
        &bus.update(KEPT, &first.key, bytes("x"), first.revision).await
    ));
}
