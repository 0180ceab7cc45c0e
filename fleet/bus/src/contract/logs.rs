//! Logs: pages, bounds, finding, durability.

use futures::future::join_all;
use uuid::Uuid;

use super::*;
use crate::{BusError, Log, LogEntry, Page, VALUE_BYTES_MAX};

/// Checks all of it.
pub async fn check(maker: &dyn Maker) {
    pages_come_newest_first(maker).await;
    the_oldest_go_by_number(maker).await;
    the_oldest_go_by_bytes(maker).await;
    an_entry_is_found_by_its_id(maker).await;
    entries_have_a_limit(maker).await;
    what_was_appended_is_there_after_a_restart(maker).await;
}

const LOG: Log = Log {
    name: "contract-log",
    age_max: Duration::from_secs(24 * 60 * 60),
    bytes_max: 8 * 1024 * 1024,
    entries_max: 1000,
};

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

async fn append(bus: &Arc<dyn Bus>, log: Log, number: u128) -> LogEntry {
    let value = bytes(format!("entry {number}"));
    let sequence = bus.append(log, id(number), value.clone()).await.unwrap();
    LogEntry {
        sequence,
        id: id(number),
        value,
    }
}

/// A page has the newest first, past the offset, and says how many there are in all.
pub async fn pages_come_newest_first(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    assert_eq!(bus.page(LOG, 0, 10).await.unwrap(), Page::default());
    let mut appended = Vec::new();
    for number in 0..25 {
        appended.push(append(&bus, LOG, number).await);
    }
    assert!(appended.is_sorted_by(|one, two| one.sequence < two.sequence));
    appended.reverse();
    for (offset, limit) in [
        (0, 10),
        (10, 10),
        (20, 10),
        (24, 1),
        (25, 10),
        (1000, 10),
        (0, 0),
        (0, u64::MAX),
    ] {
        let page = bus.page(LOG, offset, limit).await.unwrap();
        let offset = usize::try_from(offset).unwrap();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let wanted: Vec<_> = appended.iter().skip(offset).take(limit).cloned().collect();
        assert_eq!(
            page,
            Page {
                total: 25,
                entries: wanted
            },
            "offset {offset}, limit {limit}"
        );
    }
    assert_eq!(
        bus.page(LOG, u64::MAX, u64::MAX).await.unwrap(),
        Page {
            total: 25,
            entries: Vec::new()
        }
    );
    let usage = bus.log_usage(LOG).await.unwrap();
    assert!(usage.entries == 25 && usage.bytes >= 25 * 7, "{usage:?}");

    // Two controllers append at once.
    let other = store.controller().await;
    let appends = (0..60).map(|number| {
        let bus = if number % 2 == 0 {
            bus.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move { bus.append(LOG, id(100 + number), Bytes::new()).await.unwrap() })
    });
    let mut sequences: Vec<u64> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
    sequences.sort_unstable();
    sequences.reverse();
    let page = bus.page(LOG, 0, 60).await.unwrap();
    assert_eq!(
        page.entries
            .iter()
            .map(|entry| entry.sequence)
            .collect::<Vec<_>>(),
        sequences
    );
    assert_eq!(page.total, 85);
}

/// More entries than the log takes push the oldest out.
pub async fn the_oldest_go_by_number(maker: &dyn Maker) {
    let log = Log {
        name: "contract-few",
        entries_max: 10,
        ..LOG
    };
    let store = maker.make().await;
    let bus = store.controller().await;
    let mut appended = Vec::new();
    for number in 0..25 {
        appended.push(append(&bus, log, number).await);
    }
    let newest: Vec<_> = appended.into_iter().rev().take(10).collect();
    let page = bus.page(log, 0, 100).await.unwrap();
    assert_eq!(
        page,
        Page {
            total: 10,
            entries: newest
        }
    );
    assert_eq!(bus.find(log, id(0)).await.unwrap(), None);
    assert_eq!(bus.log_usage(log).await.unwrap().entries, 10);
}

/// More bytes than the log takes push the oldest out; the newest stays.
pub async fn the_oldest_go_by_bytes(maker: &dyn Maker) {
    let log = Log {
        name: "contract-narrow",
        bytes_max: 100_000,
        ..LOG
    };
    let store = maker.make().await;
    let bus = store.controller().await;
    let mut last = 0;
    for number in 0..40 {
        last = bus
            .append(log, id(number), Bytes::from(vec![1; 10_000]))
            .await
            .unwrap();
    }
    let page = bus.page(log, 0, 100).await.unwrap();
    assert!(
        (5..=10).contains(&page.entries.len()),
        "{} entries of 10 kB in 100 kB",
        page.entries.len()
    );
    assert_eq!(page.total, u64::try_from(page.entries.len()).unwrap());
    assert_eq!(page.entries.first().map(|entry| entry.sequence), Some(last));
    assert!(bus.log_usage(log).await.unwrap().bytes <= log.bytes_max);
    bus.append(log, id(99), Bytes::from(vec![1; 90_000]))
        .await
        .unwrap();
    let page = bus.page(log, 0, 100).await.unwrap();
    assert_eq!(page.entries.first().map(|entry| entry.id), Some(id(99)));
    assert!(page.total <= 2);
}

/// Finding reads the newest entry with the id.
pub async fn an_entry_is_found_by_its_id(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    assert_eq!(bus.find(LOG, id(1)).await.unwrap(), None);
    let one = append(&bus, LOG, 1).await;
    let two = append(&bus, LOG, 2).await;
    assert_eq!(bus.find(LOG, id(1)).await.unwrap(), Some(one));
    assert_eq!(bus.find(LOG, id(2)).await.unwrap(), Some(two));
    let again = append(&bus, LOG, 1).await;
    assert_eq!(bus.find(LOG, id(1)).await.unwrap(), Some(again));
    assert_eq!(bus.find(LOG, id(3)).await.unwrap(), None);
}

/// The largest entry is kept; one byte more, or more than the log takes, is refused.
pub async fn entries_have_a_limit(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let largest = Bytes::from(vec![9; VALUE_BYTES_MAX]);
    bus.append(LOG, id(1), largest.clone()).await.unwrap();
    assert!(bus.find(LOG, id(1)).await.unwrap().unwrap().value == largest);
    let larger = Bytes::from(vec![9; VALUE_BYTES_MAX + 1]);
    assert!(matches!(
        bus.append(LOG, id(2), larger).await,
        Err(BusError::Invalid(_))
    ));
    let narrow = Log {
        name: "contract-tiny",
        bytes_max: 10_000,
        ..LOG
    };
    let result = bus.append(narrow, id(3), Bytes::from(vec![0; 10_001])).await;
    assert!(matches!(result, Err(BusError::Invalid(_))));
    let bad = Log { name: "a.b", ..LOG };
    assert!(matches!(
        bus.append(bad, id(4), Bytes::new()).await,
        Err(BusError::Invalid(_))
    ));
    assert!(matches!(bus.page(bad, 0, 1).await, Err(BusError::Invalid(_))));
}

/// A log and its sequences go on after a restart.
pub async fn what_was_appended_is_there_after_a_restart(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    for number in 0..20 {
        append(&bus, LOG, number).await;
    }
    let before = bus.page(LOG, 0, 100).await.unwrap();
    drop(bus);
    store.restart().await;
    let bus = store.controller().await;
    assert_eq!(bus.page(LOG, 0, 100).await.unwrap(), before);
    assert!(append(&bus, LOG, 20).await.sequence > before.entries[0].sequence);
}
