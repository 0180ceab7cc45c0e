//! Killed at any moment: what was acknowledged is there, nothing is half-written, the store opens again.
//!
//! A child of this test binary writes and says each write on its standard output after the write's future was
//! ready; it is killed with SIGKILL after a random time, and the store it leaves is checked and given to the
//! next child. `TIMEBALL_KILLS` sets the number of rounds, `TIMEBALL_SEED` repeats a run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::env;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bus::embedded::Embedded;
use bus::{Bucket, Bus, BusError, Log};
use bytes::Bytes;
use uuid::Uuid;

const STORE: &str = "TIMEBALL_KILL_STORE";
const WRITERS: u64 = 6;
const KEYS: u64 = 25;

/// What a child said: per writer the number it began with and the last that was acknowledged.
type Said = BTreeMap<u64, (u64, u64)>;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let rounds: u64 = env::var("TIMEBALL_KILLS").map_or(20, |text| text.parse().unwrap());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .subsec_nanos();
    let seed: u64 = env::var("TIMEBALL_SEED").map_or(now.into(), |text| text.parse().unwrap());
    println!("{rounds} kills; TIMEBALL_SEED={seed} repeats the moments");
    let mut random = Random(seed);
    // On the disk, not in memory: commits should take their time.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("store.db");
    let mut acknowledged = Said::new();
    let mut total = 0;
    for round in 0..rounds {
        // Some are killed while they open the store, most while they write.
        let delay_us_max = if random.below(4) == 0 { 20_000 } else { 250_000 };
        let delay = Duration::from_micros(random.below(delay_us_max));
        let said = killed_after(&path, delay);
        for (writer, (first, last)) in said {
            total += last + 1 - first;
            acknowledged.insert(writer, (first, last));
        }
        check(&path, &acknowledged)
            .await
            .unwrap_or_else(|wrong| panic!("seed {seed}, round {round}: {wrong}"));
    }
    println!("{total} acknowledged writes, all there");
    assert!(total > rounds, "the children hardly wrote");
}

#[test]
fn another_process_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut child = start(&path);
    // Its first word says that it has the store.
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 200]).unwrap();
    let error = Embedded::open(&path).map(|_| ()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, BusError::Locked(_)), "{text}");
    assert!(text.contains(&format!("process {}", child.id())), "{text}");
    child.kill().unwrap();
    child.wait().unwrap();
    Embedded::open(&path).unwrap();
}

/// The child: writes until it is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child of the other tests in this file"]
async fn child() {
    let Ok(path) = env::var(STORE) else { return };
    let bus: Arc<dyn Bus> = Arc::new(Embedded::open(Path::new(&path)).unwrap());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write_on(bus.clone(), writer)))
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn write_on(bus: Arc<dyn Bus>, writer: u64) {
    let mut number = next_number(&bus, writer).await;
    loop {
        let key = key(writer, number);
        let value = value(writer, number);
        let there = bus.get(Bucket::HOSTS, &key).await.unwrap();
        match (number % 3, there) {
            (0, Some(there)) => bus
                .update(Bucket::HOSTS, &key, value, there.revision)
                .await
                .unwrap(),
            (_, None) => bus.create(Bucket::HOSTS, &key, value).await.unwrap(),
            (_, Some(_)) => bus.put(Bucket::HOSTS, &key, value).await.unwrap(),
        };
        bus.append(Log::AUDIT, id(writer, number), Bytes::from(number.to_string()))
            .await
            .unwrap();
        println!("\nwritten {writer} {number} .");
        number += 1;
    }
}

/// A writer goes on after what is there.
async fn next_number(bus: &Arc<dyn Bus>, writer: u64) -> u64 {
    let entries = bus
        .entries(Bucket::HOSTS, &format!("writer-{writer}"))
        .await
        .unwrap();
    entries
        .iter()
        .map(|entry| parse(&entry.value).unwrap().1 + 1)
        .max()
        .unwrap_or(0)
}

fn start(path: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn killed_after(path: &Path, delay: Duration) -> Said {
    let mut child = start(path);
    let mut output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        said
    });
    std::thread::sleep(delay);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "the child ended by itself: {status}");
    let mut said = Said::new();
    for line in reader.join().unwrap().lines() {
        // A line that was cut off has no dot at its end.
        let words: Vec<&str> = line.split(' ').collect();
        if let ["written", writer, number, "."] = words[..] {
            let number = number.parse().unwrap();
            said.entry(writer.parse().unwrap()).or_insert((number, number)).1 = number;
        }
    }
    said
}

async fn check(path: &Path, acknowledged: &Said) -> Result<(), String> {
    let bus = Embedded::open(path).map_err(|error| error.to_string())?;
    let mut last_revision = 0;
    let mut there = BTreeMap::new();
    for entry in bus
        .entries(Bucket::HOSTS, "")
        .await
        .map_err(|error| error.to_string())?
    {
        let (writer, number) = parse(&entry.value).ok_or_else(|| format!("{} is half-written", entry.key))?;
        if entry.key != key(writer, number) {
            return Err(format!("{} has the value of {writer} {number}", entry.key));
        }
        last_revision = last_revision.max(entry.revision);
        there.insert(entry.key, number);
    }
    for (&writer, &(first, last)) in acknowledged {
        // Of each key the last write counts, or one that was on its way when the kill came.
        for number in (last + 1).saturating_sub(KEYS)..=last {
            let found = there.get(&key(writer, number)).copied();
            if found != Some(number) && found != Some(number + KEYS) {
                return Err(format!(
                    "writer {writer}: {number} was acknowledged, there is {found:?}"
                ));
            }
        }
        for number in first..=last {
            let found = bus
                .find(Log::AUDIT, id(writer, number))
                .await
                .map_err(|error| error.to_string())?;
            if found.map(|entry| entry.value) != Some(Bytes::from(number.to_string())) {
                return Err(format!("writer {writer}: entry {number} is not in the log"));
            }
        }
    }
    let revision = bus
        .put(Bucket::HOSTS, "check", value(99, 99))
        .await
        .map_err(|error| error.to_string())?;
    if revision <= last_revision {
        return Err(format!("revision {revision} after {last_revision}"));
    }
    bus.delete(Bucket::HOSTS, "check")
        .await
        .map_err(|error| error.to_string())?;
    bus.close().await;
    let connection = rusqlite::Connection::open(path).map_err(|error| error.to_string())?;
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if verdict != "ok" {
        return Err(verdict);
    }
    Ok(())
}

fn key(writer: u64, number: u64) -> String {
    format!("writer-{writer}.{}", number % KEYS)
}

fn id(writer: u64, number: u64) -> Uuid {
    Uuid::from_u64_pair(writer, number)
}

/// A value that says whose it is and is whole only if every byte of it is right.
fn value(writer: u64, number: u64) -> Bytes {
    let mut random = Random(writer * 1_000_003 + number);
    let length = 16 + random.below(if number.is_multiple_of(7) { 40_000 } else { 3_000 });
    let mut value = Vec::new();
    value.extend(writer.to_le_bytes());
    value.extend(number.to_le_bytes());
    for _ in 0..length {
        value.extend(random.below(256).to_le_bytes().first());
    }
    value.into()
}

fn parse(bytes: &[u8]) -> Option<(u64, u64)> {
    let writer = u64::from_le_bytes(*bytes.first_chunk()?);
    let number = u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    (value(writer, number) == bytes).then_some((writer, number))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
