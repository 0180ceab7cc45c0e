//! What is special to the store in one file; what every bus does is in [`crate::contract`].

use std::sync::Mutex;

use futures::StreamExt;

use super::*;
use crate::contract;

mod damage;
mod time;

struct InOneFile;

struct File {
    directory: tempfile::TempDir,
    open: Mutex<Option<Embedded>>,
}

#[async_trait]
impl contract::Maker for InOneFile {
    async fn make(&self) -> Box<dyn contract::Store> {
        Box::new(File {
            directory: tempfile::tempdir().unwrap(),
            open: Mutex::default(),
        })
    }
}

#[async_trait]
impl contract::Store for File {
    async fn controller(&self) -> Arc<dyn Bus> {
        let mut open = self.open.lock().unwrap();
        let path = self.directory.path().join("store.db");
        let bus = open.get_or_insert_with(|| Embedded::open(&path).unwrap());
        Arc::new(bus.clone())
    }

    async fn restart(&self) {
        let open = self.open.lock().unwrap().take();
        if let Some(bus) = open {
            bus.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_about_deliveries() {
    contract::post::check(&InOneFile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_about_values() {
    contract::values::check(&InOneFile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_about_watches() {
    contract::watch::check(&InOneFile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_about_logs() {
    contract::logs::check(&InOneFile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_about_expiry() {
    contract::expiry::check(&InOneFile).await;
}

/// The whole suite as another crate calls it, on one thread.
#[tokio::test]
async fn keeps_the_whole_contract() {
    contract::check_all(&InOneFile).await;
}

#[tokio::test]
async fn closing_finishes_what_was_queued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let bus = Embedded::open(&path).unwrap();
    let mut watch = bus.watch(Bucket::JOBS, "").await.unwrap();
    for number in 0..500 {
        // Polled once, so that the write is queued, then dropped.
        let key = format!("k{number}");
        let mut write = bus.put(Bucket::JOBS, &key, Bytes::new());
        assert!(futures::poll!(&mut write).is_pending());
        drop(write);
        // A task that never waits is not let into the queue for ever.
        tokio::task::yield_now().await;
    }
    bus.close().await;
    let mut told = 0;
    while watch.next().await.is_some() {
        told += 1;
    }
    assert_eq!(told, 501, "every change, Caught, then the end");
    let bus = Embedded::open(&path).unwrap();
    assert_eq!(bus.entries(Bucket::JOBS, "").await.unwrap().len(), 500);
}
