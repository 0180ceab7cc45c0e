//! What is special to the store in one file; what every bus does is in [`crate::contract`].

use std::time::Instant;

use futures::StreamExt;

use super::*;

mod measure;

#[tokio::test]
async fn closing_finishes_what_was_queued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let bus = Embedded::open(&path).unwrap();
    let mut watch = bus.watch(Bucket::JOBS, "").await.unwrap();
    let writes: Vec<_> = (0..500)
        .map(|number| {
            let bus = bus.clone();
            tokio::spawn(async move { bus.put(Bucket::JOBS, &format!("k{number}"), Bytes::new()).await })
        })
        .collect();
    for write in writes {
        write.await.unwrap().unwrap();
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
