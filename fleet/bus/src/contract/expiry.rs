//! Expiry: values and log entries go when their time is over, and not before.

use std::time::Instant;

use uuid::Uuid;

use super::*;
use crate::{BusError, Change, Log};

/// Checks all of it.
pub async fn check(maker: &dyn Maker) {
    values_expire(maker).await;
    writing_again_renews(maker).await;
    log_entries_expire(maker).await;
}

/// Waits until a key is not there any more; it must not go before its time.
async fn until_gone(bus: &Arc<dyn Bus>, key: &str, written: Instant) {
    while bus.get(SHORT, key).await.unwrap().is_some() {
        assert!(written.elapsed() < PATIENCE, "{key} does not expire");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let age = written.elapsed();
    // Clocks that count milliseconds may differ by one.
    let ttl = SHORT.ttl.unwrap() - Duration::from_millis(2);
    assert!(age >= ttl, "{key} was gone after {age:?}");
}

/// An expired value is not there for any method, is not announced, and its key may be created anew; over a
/// restart, too.
pub async fn values_expire(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let mut watch = bus.watch(SHORT, "").await.unwrap();
    assert_eq!(next("caught", &mut watch).await, Change::Caught);
    let written = Instant::now();
    let first = bus.create(SHORT, "a.b", bytes("short")).await.unwrap();
    bus.put(SHORT, "c", bytes("short")).await.unwrap();
    bus.put(KEPT, "a.b", bytes("kept")).await.unwrap();
    assert!(matches!(next("a put", &mut watch).await, Change::Put(_)));
    assert!(matches!(next("a put", &mut watch).await, Change::Put(_)));
    until_gone(&bus, "a.b", written).await;
    until_gone(&bus, "c", written).await;
    assert_eq!(bus.entries(SHORT, "").await.unwrap(), []);
    assert!(matches!(
        bus.update(SHORT, "a.b", bytes("x"), first).await,
        Err(BusError::Conflict { .. })
    ));
    let mut later = bus.watch(SHORT, "").await.unwrap();
    assert_eq!(next("caught", &mut later).await, Change::Caught);

    let second = bus.create(SHORT, "a.b", bytes("anew")).await.unwrap();
    assert!(second > first);
    for watch in [&mut watch, &mut later] {
        let told = next("a put", watch).await;
        assert!(
            matches!(&told, Change::Put(entry) if entry.revision == second),
            "{told:?}"
        );
    }
    assert_eq!(
        bus.get(KEPT, "a.b").await.unwrap().map(|entry| entry.value),
        Some(bytes("kept"))
    );

    let written = Instant::now();
    bus.put(SHORT, "over", bytes("a restart")).await.unwrap();
    drop((watch, later, bus));
    store.restart().await;
    let bus = store.controller().await;
    until_gone(&bus, "over", written).await;
    assert_eq!(bus.entries(SHORT, "over").await.unwrap(), []);
}

/// A value lives on from its last write.
pub async fn writing_again_renews(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let began = Instant::now();
    bus.put(SHORT, "a", bytes("first")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let renewed = Instant::now();
    bus.put(SHORT, "a", bytes("second")).await.unwrap();
    tokio::time::sleep_until((began + Duration::from_millis(2500)).into()).await;
    let there = bus.get(SHORT, "a").await.unwrap();
    // A machine that slept through the test has seen nothing wrong.
    if renewed.elapsed() < Duration::from_millis(1900) {
        assert_eq!(there.map(|entry| entry.value), Some(bytes("second")));
    }
    until_gone(&bus, "a", renewed).await;
}

/// An entry of a log goes when it is too old.
pub async fn log_entries_expire(maker: &dyn Maker) {
    let log = Log {
        name: "contract-brief",
        age_max: Duration::from_secs(2),
        bytes_max: 1024 * 1024,
        entries_max: 100,
    };
    let store = maker.make().await;
    let bus = store.controller().await;
    let written = Instant::now();
    bus.append(log, Uuid::from_u128(1), bytes("old")).await.unwrap();
    while bus.find(log, Uuid::from_u128(1)).await.unwrap().is_some() {
        assert!(written.elapsed() < PATIENCE, "a log's entry does not expire");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(written.elapsed() >= log.age_max - Duration::from_millis(2));
    assert_eq!(bus.page(log, 0, 10).await.unwrap().total, 0);
    let sequence = bus.append(log, Uuid::from_u128(2), bytes("new")).await.unwrap();
    let page = bus.page(log, 0, 10).await.unwrap();
    assert_eq!((page.total, page.entries[0].sequence), (1, sequence));
}
