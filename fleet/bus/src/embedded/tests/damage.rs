//! Files that are missing, damaged, foreign, newer or in use: an error that says what to do, and never a new
//! store in their place.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;

use rusqlite::Connection;

use super::*;

struct Place {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/store.db");
        Place {
            _directory: directory,
            path,
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        lock::beside(&self.path, ending)
    }

    /// A store with a hundred values, closed.
    async fn filled() -> Self {
        let place = Place::new();
        let bus = Embedded::open(&place.path).unwrap();
        for number in 0..100_u8 {
            bus.put(Bucket::HOSTS, &format!("host-{number}"), value(number))
                .await
                .unwrap();
            bus.append(Log::AUDIT, Uuid::from_u128(number.into()), value(number))
                .await
                .unwrap();
        }
        bus.close().await;
        place
    }

    /// Opening fails; gives the error's kind and text, which names the file.
    fn refused(&self) -> (&'static str, String) {
        let error = Embedded::open(&self.path).map(|_| ()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&self.path.display().to_string()), "{text}");
        let kind = match error {
            BusError::Damaged(_) => "damaged",
            BusError::Newer(_) => "newer",
            BusError::Locked(_) => "locked",
            BusError::Unavailable(_) => "unavailable",
            other @ (BusError::Full(_) | BusError::Invalid(_) | BusError::Conflict { .. }) => {
                panic!("{other}")
            }
        };
        (kind, text)
    }
}

fn value(number: u8) -> Bytes {
    Bytes::from(vec![number; 1500])
}

#[tokio::test]
async fn a_missing_file_is_not_a_first_start() {
    let place = Place::filled().await;
    let elsewhere = place.beside("elsewhere");
    fs::rename(&place.path, &elsewhere).unwrap();
    let (kind, text) = place.refused();
    assert_eq!(kind, "damaged");
    assert!(
        text.contains("is missing, but a store was made here") && text.contains("store.db.id"),
        "{text}"
    );
    assert!(!place.path.exists(), "nothing was made in its place");

    fs::write(&place.path, "").unwrap();
    let (kind, text) = place.refused();
    assert_eq!(kind, "damaged");
    assert!(text.contains("has nothing in it"), "{text}");

    fs::rename(&elsewhere, &place.path).unwrap();
    let bus = Embedded::open(&place.path).unwrap();
    assert_eq!(bus.entries(Bucket::HOSTS, "").await.unwrap().len(), 100);
    bus.close().await;

    // The remedy for who has no backup.
    fs::remove_file(&place.path).unwrap();
    fs::remove_file(place.beside("id")).unwrap();
    let bus = Embedded::open(&place.path).unwrap();
    assert_eq!(bus.entries(Bucket::HOSTS, "").await.unwrap(), []);
}

#[tokio::test]
async fn a_store_that_was_not_finished_is_made_anew() {
    let place = Place::new();
    // A crash between making the file and writing the marker.
    for content in ["nothing", "an empty database"] {
        fs::create_dir_all(place.path.parent().unwrap()).unwrap();
        fs::write(&place.path, "").unwrap();
        if content == "an empty database" {
            let connection = Connection::open(&place.path).unwrap();
            connection
                .execute_batch("CREATE TABLE t (x); DROP TABLE t; VACUUM")
                .unwrap();
        }
        let bus = Embedded::open(&place.path).unwrap();
        bus.check().await.unwrap();
        bus.close().await;
        fs::remove_file(place.beside("id")).unwrap();
        // The file is whole, only the marker was not yet written.
        let bus = Embedded::open(&place.path).unwrap();
        assert!(place.beside("id").exists(), "{content}");
        bus.close().await;
        fs::remove_dir_all(place.path.parent().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn garbage_and_foreign_files_are_damage() {
    let place = Place::filled().await;
    let whole = fs::read(&place.path).unwrap();
    let header: Vec<u8> = [&[0x5a; 100][..], &whole[100..]].concat();
    let zeroed = vec![0; whole.len()];
    for (what, content) in [
        ("text", b"timeball: hello\n".repeat(1000)),
        ("a header of garbage", header),
        ("zeros", zeroed),
        ("a short piece", whole[..50].to_vec()),
        ("a page", whole[..4096].to_vec()),
        ("half", whole[..whole.len() / 8192 * 4096].to_vec()),
    ] {
        fs::write(&place.path, &content).unwrap();
        let (kind, text) = place.refused();
        assert_eq!(kind, "damaged", "{what}: {text}");
        assert!(
            text.contains("restore") || text.contains("Bring"),
            "{what}: no remedy in {text}"
        );
        assert_eq!(fs::read(&place.path).unwrap(), content, "{what}: left as it was");
    }

    fs::remove_file(&place.path).unwrap();
    Connection::open(&place.path)
        .unwrap()
        .execute_batch("CREATE TABLE recipes (cake TEXT)")
        .unwrap();
    let (kind, text) = place.refused();
    assert!(
        kind == "damaged" && text.contains("not a store of timeball"),
        "{text}"
    );

    let other = Place::filled().await;
    fs::copy(&other.path, &place.path).unwrap();
    let (kind, text) = place.refused();
    assert!(kind == "damaged" && text.contains("another store"), "{text}");
    fs::remove_file(place.beside("id")).unwrap();
    Embedded::open(&place.path).unwrap().close().await;
}

/// Whichever page is overwritten, a value is read as it was written or the damage is said.
#[tokio::test]
async fn no_flipped_page_gives_a_wrong_answer() {
    let place = Place::filled().await;
    let whole = fs::read(&place.path).unwrap();
    let mut noticed = 0;
    for page in 0..whole.len() / 4096 {
        for (offset, length) in [(0, 4096), (2000, 1), (700, 64)] {
            let mut bad = whole.clone();
            let at = page * 4096 + offset;
            for byte in &mut bad[at..at + length] {
                *byte ^= 0xa5;
            }
            fs::write(&place.path, &bad).unwrap();
            if !reads_right_or_says_damaged(&place).await {
                noticed += 1;
            }
            for ending in ["-wal", "-shm"] {
                let mut beside = place.path.clone().into_os_string();
                beside.push(ending);
                let _ = fs::remove_file(beside);
            }
        }
    }
    assert!(
        noticed > whole.len() / 4096,
        "{noticed} of {} pages",
        whole.len() / 4096
    );
}

async fn reads_right_or_says_damaged(place: &Place) -> bool {
    let bus = match Embedded::open(&place.path) {
        Ok(bus) => bus,
        Err(BusError::Damaged(_)) => return false,
        Err(error) => panic!("{error}"),
    };
    let mut right = true;
    for number in 0..100_u8 {
        match bus.get(Bucket::HOSTS, &format!("host-{number}")).await {
            Ok(entry) => assert!(
                entry.map(|entry| entry.value) == Some(value(number)),
                "value {number}"
            ),
            Err(BusError::Damaged(_)) => right = false,
            Err(error) => panic!("{error}"),
        }
        match bus.find(Log::AUDIT, Uuid::from_u128(number.into())).await {
            Ok(entry) => assert!(
                entry.map(|entry| entry.value) == Some(value(number)),
                "entry {number}"
            ),
            Err(BusError::Damaged(_)) => right = false,
            Err(error) => panic!("{error}"),
        }
    }
    bus.close().await;
    right
}

#[tokio::test]
async fn a_newer_store_is_left_alone() {
    let place = Place::filled().await;
    let connection = Connection::open(&place.path).unwrap();
    connection.pragma_update(None, "user_version", 999).unwrap();
    drop(connection);
    let before = fs::read(&place.path).unwrap();
    let (kind, text) = place.refused();
    assert!(kind == "newer" && text.contains("999"), "{text}");
    assert_eq!(fs::read(&place.path).unwrap(), before);
}

#[tokio::test]
async fn one_process_uses_a_store() {
    let place = Place::filled().await;
    let bus = Embedded::open(&place.path).unwrap();
    let (kind, text) = place.refused();
    assert_eq!(kind, "locked");
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    bus.check().await.unwrap();
    drop(bus);
    Embedded::open(&place.path).unwrap();
}

#[tokio::test]
async fn a_shell_that_holds_the_database_delays_writes_only() {
    let place = Place::filled().await;
    let bus = Embedded::open(&place.path).unwrap();
    bus.check().await.unwrap();
    let shell = Connection::open(&place.path).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Many at once are told at once, not each after a wait of its own.
    let keys: Vec<String> = (0..2000).map(|number| format!("locked-{number}")).collect();
    let writes = keys.iter().map(|key| bus.put(Bucket::HOSTS, key, Bytes::new()));
    for result in futures::future::join_all(writes).await {
        assert!(matches!(result, Err(BusError::Locked(_))), "{result:?}");
    }
    assert_eq!(bus.entries(Bucket::HOSTS, "").await.unwrap().len(), 100);
    shell.execute_batch("ROLLBACK").unwrap();
    bus.put(Bucket::HOSTS, "a", Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_removed_while_in_use_takes_no_more_writes() {
    let place = Place::filled().await;
    let bus = Embedded::open(&place.path).unwrap();
    bus.check().await.unwrap();
    let elsewhere = place.beside("elsewhere");
    fs::rename(&place.path, &elsewhere).unwrap();
    let result = bus.put(Bucket::HOSTS, "a", Bytes::new()).await;
    assert!(
        matches!(&result, Err(BusError::Damaged(text)) if text.contains("removed")),
        "{result:?}"
    );
    fs::write(&place.path, "another").unwrap();
    assert!(matches!(bus.check().await, Err(BusError::Damaged(_))));
    fs::rename(&elsewhere, &place.path).unwrap();
    bus.put(Bucket::HOSTS, "a", Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn damage_that_comes_later_is_said_by_the_read() {
    let place = Place::filled().await;
    let bus = Embedded::open(&place.path).unwrap();
    let needle = value(77);
    let whole = fs::read(&place.path).unwrap();
    let file = OpenOptions::new().write(true).open(&place.path).unwrap();
    for at in (0..whole.len() - needle.len()).filter(|&at| whole[at..at + needle.len()] == needle) {
        file.write_all_at(b"!", u64::try_from(at).unwrap() + 700).unwrap();
    }
    let result = bus.get(Bucket::HOSTS, "host-77").await;
    assert!(
        matches!(&result, Err(BusError::Damaged(text)) if text.contains("host-77")),
        "{result:?}"
    );
    assert!(matches!(
        bus.entries(Bucket::HOSTS, "").await,
        Err(BusError::Damaged(_))
    ));
    assert!(bus.get(Bucket::HOSTS, "host-78").await.unwrap().is_some());
    assert!(matches!(
        bus.find(Log::AUDIT, Uuid::from_u128(77)).await,
        Err(BusError::Damaged(_))
    ));
}

#[tokio::test]
async fn only_the_owner_reads_it() {
    let place = Place::new();
    let bus = Embedded::open(&place.path).unwrap();
    bus.check().await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = place.path.parent().unwrap();
    assert_eq!(mode(directory), 0o700);
    let mut files = 0;
    for file in fs::read_dir(directory).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        files += 1;
    }
    assert_eq!(files, 5, "the store, -wal, -shm, .lock, .id");
    bus.close().await;
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o644)).unwrap();
    let _bus = Embedded::open(&place.path).unwrap();
    assert_eq!(mode(&place.path), 0o600);
}

#[test]
fn places_that_cannot_be() {
    let place = Place::new();
    fs::create_dir_all(&place.path).unwrap();
    let (kind, text) = place.refused();
    assert!(kind == "unavailable" && text.contains("is a directory"), "{text}");

    let place = Place::new();
    fs::write(place.path.parent().unwrap(), "a file").unwrap();
    let error = Embedded::open(&place.path).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, BusError::Unavailable(text) if text.contains("is not a directory")),
        "{error}"
    );
}
