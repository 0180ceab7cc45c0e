//! File systems that are full or read-only, on a small one of our own.
//!
//! Each test runs its second half again inside a mount namespace: as root with `unshare --mount`, otherwise
//! with `unshare --map-root-user --mount` where user namespaces are allowed. Where neither works the tests
//! fail and say so; they are never skipped.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking, in its helpers too"
)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bus::embedded::Embedded;
use bus::{Bucket, Bus, BusError, Log};
use bytes::Bytes;
use futures::future::join_all;
use uuid::Uuid;

const PLACE: &str = "TIMEBALL_MOUNT";

#[test]
fn a_full_disk_is_said_and_recovered_from() {
    inside("full_disk", "true");
}

#[test]
fn a_store_is_not_begun_on_a_full_disk() {
    inside("full_from_the_start", "true");
}

#[test]
fn a_read_only_file_system_is_said() {
    // The store is made, then the file system is mounted read-only.
    inside("make_a_store", "true");
    inside(
        "read_only",
        "\"$0\" --exact make_a_store --ignored -q && mount -o remount,bind,ro \"$TIMEBALL_MOUNT\"",
    );
}

/// Runs the ignored test `name` with [`PLACE`] on a file system of 6 MiB, after a shell command.
fn inside(name: &str, first: &str) {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=6m,mode=700 timeball-test \"${PLACE}\" && {first} && \
         exec \"$0\" --exact {name} --ignored --nocapture"
    );
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let output = command
        .args(["--mount", "sh", "-c", &script])
        .arg(env::current_exe().unwrap())
        .env(PLACE, directory.path())
        .output();
    let output = output.unwrap_or_else(|error| panic!("this test needs `unshare` of util-linux: {error}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{name} failed, or there is neither root nor a user namespace to mount a file system in:\n{text}"
    );
}

fn store() -> Option<PathBuf> {
    env::var_os(PLACE).map(|place| Path::new(&place).join("store.db"))
}

/// Takes all space but about `left` bytes.
fn fill(path: &Path, left: usize) -> PathBuf {
    let ballast = path.with_file_name("ballast");
    let mut bytes = vec![1; 6 * 1024 * 1024];
    while fs::write(&ballast, &bytes).is_err() {
        bytes.truncate(bytes.len() - 4096);
    }
    bytes.truncate(bytes.len().saturating_sub(left));
    fs::write(&ballast, &bytes).unwrap();
    ballast
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs on a file system of its own"]
async fn full_disk() {
    let Some(path) = store() else { return };
    let bus = Embedded::open(&path).unwrap();
    bus.put(Bucket::HOSTS, "before", Bytes::from(vec![1; 10_000]))
        .await
        .unwrap();
    for round in 0..5 {
        let ballast = fill(&path, 300_000);
        let value = Bytes::from(vec![round; 10_000]);
        let keys: Vec<String> = (0..100).map(|number| format!("round-{round}.{number}")).collect();
        let results = join_all(
            keys.iter()
                .map(|key| bus.create(Bucket::HOSTS, key, value.clone())),
        )
        .await;
        let mut written = Vec::new();
        for (key, result) in keys.iter().zip(results) {
            match result {
                Ok(revision) => written.push((key, revision)),
                Err(BusError::Full(text)) => assert!(text.contains("no space"), "{text}"),
                Err(error) => panic!("{error}"),
            }
        }
        println!("round {round}: {} of 100 fitted", written.len());
        assert!(written.len() < 100, "the disk was not full");
        fill(&path, 0);
        let full = bus
            .append(Log::AUDIT, Uuid::nil(), Bytes::from(vec![2; 100_000]))
            .await;
        assert!(matches!(full, Err(BusError::Full(_))), "{full:?}");
        // A small write may still find space in the write-ahead log.
        let check = bus.check().await;
        assert!(matches!(check, Ok(()) | Err(BusError::Full(_))), "{check:?}");
        // Reading goes on, and finds what was acknowledged and nothing else.
        assert!(bus.get(Bucket::HOSTS, "before").await.unwrap().is_some());
        let there = bus
            .entries(Bucket::HOSTS, &format!("round-{round}"))
            .await
            .unwrap();
        assert_eq!(there.len(), written.len());

        fs::remove_file(ballast).unwrap();
        tokio::time::timeout(Duration::from_secs(10), async {
            while bus.check().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        for (key, revision) in written {
            let entry = bus.get(Bucket::HOSTS, key).await.unwrap().unwrap();
            assert!(entry.revision == revision && entry.value == value);
        }
        bus.append(Log::AUDIT, Uuid::nil(), Bytes::from(vec![2; 100_000]))
            .await
            .unwrap();
        bus.purge(Bucket::HOSTS, &format!("round-{round}")).await.unwrap();
    }
    bus.close().await;
    // A controller that is started again on a full disk says so, or reads on; it harms nothing.
    let ballast = fill(&path, 0);
    match Embedded::open(&path) {
        Ok(bus) => assert!(bus.get(Bucket::HOSTS, "before").await.unwrap().is_some()),
        Err(error) => assert!(matches!(error, BusError::Full(_)), "{error}"),
    }
    fs::remove_file(ballast).unwrap();
    let bus = Embedded::open(&path).unwrap();
    assert_eq!(bus.entries(Bucket::HOSTS, "").await.unwrap().len(), 1);
    assert_eq!(bus.page(Log::AUDIT, 0, 10).await.unwrap().total, 5);
}

#[tokio::test]
#[ignore = "runs on a file system of its own"]
async fn full_from_the_start() {
    let Some(path) = store() else { return };
    for left in [0, 4096, 20_000, 50_000, 100_000] {
        let ballast = fill(&path, left);
        match Embedded::open(&path).map(|_| ()) {
            Ok(()) => println!("{left} bytes are enough"),
            Err(BusError::Full(text)) => println!("{left} bytes: {text}"),
            Err(error) => panic!("{left} bytes: {error}"),
        }
        fs::remove_file(ballast).unwrap();
    }
    let bus = Embedded::open(&path).unwrap();
    bus.check().await.unwrap();
}

#[tokio::test]
#[ignore = "runs on a file system of its own"]
async fn make_a_store() {
    let Some(path) = store() else { return };
    let bus = Embedded::open(&path).unwrap();
    bus.put(Bucket::HOSTS, "a", Bytes::new()).await.unwrap();
    bus.close().await;
}

#[tokio::test]
#[ignore = "runs on a file system of its own"]
async fn read_only() {
    let Some(path) = store() else { return };
    for path in [
        path.clone(),
        path.with_file_name("new.db"),
        path.with_file_name("new/store.db"),
    ] {
        let error = Embedded::open(&path).map(|_| ()).unwrap_err();
        println!("{error}");
        assert!(
            matches!(&error, BusError::Unavailable(text) if text.contains("must be able to write")),
            "{error}"
        );
    }
}
