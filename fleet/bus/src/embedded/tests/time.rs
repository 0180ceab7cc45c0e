//! Store time, the janitor and migrations.

use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::embedded::clock::tests::Hands;
use crate::embedded::schema::Migration;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const TEN_YEARS_MS: i64 = 3652 * DAY_MS;
const MONTH: Bucket = Bucket::new("month", Some(Duration::from_secs(30 * 24 * 60 * 60)));

#[tokio::test]
async fn a_wrong_wall_clock_expires_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let hands = Hands::new(1_000, 0, "first boot");
    let there = async |bus: &Embedded| bus.get(MONTH, "a").await.unwrap().is_some();

    let bus = Embedded::open_by(&path, hands.clone()).unwrap();
    bus.put(MONTH, "a", Bytes::new()).await.unwrap();
    hands.set(2_000, TEN_YEARS_MS, "first boot");
    assert!(there(&bus).await, "a step forward while running");
    bus.check().await.unwrap();
    bus.close().await;

    hands.set(3_000, -TEN_YEARS_MS, "first boot");
    let bus = Embedded::open_by(&path, hands.clone()).unwrap();
    assert!(there(&bus).await, "a step back over a restart");
    bus.close().await;

    hands.set(4_000, TEN_YEARS_MS, "first boot");
    let bus = Embedded::open_by(&path, hands.clone()).unwrap();
    assert!(there(&bus).await, "a step forward over a restart");
    bus.close().await;

    // Ten years ahead after a boot: one day is believed.
    hands.set(100, 2 * TEN_YEARS_MS, "second boot");
    let bus = Embedded::open_by(&path, hands.clone()).unwrap();
    assert!(there(&bus).await, "a step forward over a boot");
    hands.set(100 + 28 * DAY_MS, 0, "second boot");
    assert!(there(&bus).await, "28 days more");
    hands.set(100 + 29 * DAY_MS, 0, "second boot");
    assert!(!there(&bus).await, "30 days have passed on the clock that counts");
    assert_eq!(
        bus.bucket_usage(MONTH).await.unwrap().entries,
        1,
        "the janitor has not come yet"
    );
    bus.close().await;

    let bus = Embedded::open_by(&path, hands.clone()).unwrap();
    while bus.bucket_usage(MONTH).await.unwrap().entries > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Time did not go back over all this: what is written now lives its month.
    bus.create(MONTH, "a", Bytes::new()).await.unwrap();
    assert!(there(&bus).await);
}

#[tokio::test]
async fn the_janitor_deletes_what_expired_and_nothing_else() {
    const LOG: Log = Log {
        name: "short",
        age_max: Duration::from_secs(60),
        bytes_max: 100_000_000,
        entries_max: 100_000,
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let hands = Hands::new(0, 0, "boot");
    let bus = Embedded::open_by(&path, hands.clone()).unwrap();
    let write = async |bus: &Embedded, from: u32, to: u32| {
        let writes = (from..to).map(|number| {
            let bus = bus.clone();
            async move {
                let value = Bytes::from(vec![7; 2000]);
                bus.put(MONTH, &format!("k{number}"), value.clone())
                    .await
                    .unwrap();
                bus.put(Bucket::HOSTS, &format!("k{}", number % 10), value.clone())
                    .await
                    .unwrap();
                bus.append(LOG, Uuid::from_u128(number.into()), value)
                    .await
                    .unwrap();
            }
        });
        futures::future::join_all(writes).await;
    };
    write(&bus, 0, 5000).await;
    hands.set(29 * DAY_MS, 0, "boot");
    write(&bus, 5000, 5010).await;
    hands.set(31 * DAY_MS - 2 * DAY_MS + 30_000, 0, "boot");
    let page = bus.page(LOG, 0, 100).await.unwrap();
    assert_eq!(
        (page.total, page.entries.len()),
        (10, 10),
        "readers look at the age themselves"
    );
    hands.set(31 * DAY_MS, 0, "boot");
    assert_eq!(bus.entries(MONTH, "").await.unwrap().len(), 10);
    bus.close().await;
    let before = std::fs::metadata(&path).unwrap().len();

    let bus = Embedded::open_by(&path, hands.clone()).unwrap();
    let usage = |entries| Usage {
        entries,
        bytes: entries * 2000,
    };
    while bus.log_usage(LOG).await.unwrap() != usage(0) || bus.bucket_usage(MONTH).await.unwrap() != usage(10)
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(bus.bucket_usage(Bucket::HOSTS).await.unwrap(), usage(10));
    assert_eq!(bus.entries(MONTH, "").await.unwrap().len(), 10);
    assert_eq!(bus.append(LOG, Uuid::nil(), Bytes::new()).await.unwrap(), 5011);
    assert_eq!(bus.page(LOG, 0, 100).await.unwrap().total, 1);
    // Most of the file goes back to the file system, some stays for what comes.
    tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let usage = Connection::open(&path).unwrap();
            let pages: i64 = usage
                .pragma_query_value(None, "page_count", |row| row.get(0))
                .unwrap();
            if pages * 4096 < i64::try_from(before).unwrap() / 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn writing_the_same_keys_does_not_grow_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let bus = Embedded::open(&path).unwrap();
    let mut lengths = Vec::new();
    for round in 0..20_u8 {
        let writes = (0..400).map(|number| {
            let bus = bus.clone();
            async move {
                let length = 500 + usize::from(round) * 37 % 700;
                bus.put(
                    Bucket::HOSTS,
                    &format!("k{number}"),
                    Bytes::from(vec![round; length]),
                )
                .await
                .unwrap();
            }
        });
        futures::future::join_all(writes).await;
        lengths.push(std::fs::metadata(&path).unwrap().len());
    }
    assert!(lengths[19] <= 3 * 400 * 1200, "{lengths:?}");
}

const STEPS: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("../schema_1.sql"),
        changes_data: false,
    },
    Migration {
        version: 2,
        sql: "CREATE TABLE extra (x INTEGER) STRICT",
        changes_data: false,
    },
    Migration {
        version: 3,
        sql: "UPDATE bucket SET revision = revision + 1000",
        changes_data: true,
    },
];

#[tokio::test]
async fn an_older_store_is_brought_up_step_by_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let bus = Embedded::open(&path).unwrap();
    bus.put(Bucket::HOSTS, "a", Bytes::from_static(b"kept"))
        .await
        .unwrap();
    bus.close().await;

    let version = |connection: &Connection| -> (i64, i64) {
        let version = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        let revision = connection
            .query_row("SELECT revision FROM bucket", [], |row| row.get(0))
            .unwrap();
        (version, revision)
    };
    // A step that cannot be done leaves the store at the step before.
    let broken = [
        &STEPS[..2],
        &[Migration {
            version: 3,
            sql: "UPDATE nothing SET x = 1",
            changes_data: true,
        }],
    ];
    assert!(open::open(&path, &broken.concat()).is_err());
    assert_eq!(version(&Connection::open(&path).unwrap()), (2, 1));

    let opened = open::open(&path, STEPS).unwrap();
    assert_eq!(version(&opened.connection), (3, 1001));
    let copy = lock::beside(&path, "version-2");
    assert_eq!(
        version(&Connection::open(&copy).unwrap()),
        (2, 1),
        "the copy is as it was"
    );
    drop(opened);
    let copied = std::fs::metadata(&copy).unwrap().modified().unwrap();
    drop(open::open(&path, STEPS).unwrap());
    assert_eq!(
        std::fs::metadata(&copy).unwrap().modified().unwrap(),
        copied,
        "nothing was left to do"
    );

    assert!(matches!(
        Embedded::open(&path).map(|_| ()),
        Err(BusError::Newer(_))
    ));
}

#[tokio::test]
async fn the_audit_trail_and_the_events_are_kept_for_thirty_days() {
    let directory = tempfile::tempdir().unwrap();
    let hands = Hands::new(0, 0, "boot");
    let bus = Embedded::open_by(&directory.path().join("store.db"), hands.clone()).unwrap();
    for log in Log::ALL {
        bus.append(log, Uuid::nil(), Bytes::from_static(b"{}"))
            .await
            .unwrap();
    }
    for (age_ms, kept) in [(30 * DAY_MS - 1000, 1), (30 * DAY_MS + 1000, 0)] {
        hands.set(age_ms, 0, "boot");
        for log in Log::ALL {
            let page = bus.page(log, 0, 10).await.unwrap();
            assert_eq!(page.entries.len(), kept, "{} after {age_ms} ms", log.name);
        }
    }
}
