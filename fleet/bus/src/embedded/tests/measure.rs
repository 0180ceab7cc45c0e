//! Numbers by hand: `cargo test -p bus --release -- --ignored --nocapture measure`.

use super::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints numbers, asserts nothing"]
async fn measure() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let bus = Embedded::open(&directory.path().join("store.db")).unwrap();
    for round in ["new keys", "the same keys again"] {
        let began = (Instant::now(), cpu_ms());
        let value = Bytes::from(vec![b'x'; 1500]);
        let writes: Vec<_> = (0..10_000)
            .map(|number| {
                let (bus, value) = (bus.clone(), value.clone());
                tokio::spawn(async move {
                    bus.put(
                        Bucket::ANSWERS,
                        &format!("job.{:08x}-0000-4000-8000-000000000000", number * 7919),
                        value,
                    )
                    .await
                })
            })
            .collect();
        for write in writes {
            write.await.unwrap().unwrap();
        }
        println!(
            "10,000 puts of 1.5 KB, {round}: {:?}, CPU {} ms",
            began.0.elapsed(),
            cpu_ms() - began.1
        );
    }
    let began = (Instant::now(), cpu_ms());
    assert_eq!(bus.entries(Bucket::ANSWERS, "job").await.unwrap().len(), 10_000);
    println!(
        "entries by prefix, 10,000: {:?}, CPU {} ms",
        began.0.elapsed(),
        cpu_ms() - began.1
    );

    let began = Instant::now();
    let mut watch = bus.watch(Bucket::ANSWERS, "job").await.unwrap();
    while watch.next().await != Some(Change::Caught) {}
    println!("watch until caught, 10,000: {:?}", began.elapsed());

    let began = Instant::now();
    for _ in 0..50 {
        bus.put(Bucket::SETTINGS, "one", Bytes::from_static(b"x"))
            .await
            .unwrap();
    }
    println!("one put after another: {:?} each", began.elapsed() / 50);

    let began = Instant::now();
    for _ in 0..1000 {
        bus.get(Bucket::SETTINGS, "one").await.unwrap();
    }
    println!("one get after another: {:?} each", began.elapsed() / 1000);

    let path = directory.path().join("store.db");
    let began = Instant::now();
    bus.close().await;
    println!("close: {:?}", began.elapsed());
    let began = Instant::now();
    let bus = Embedded::open(&path).unwrap();
    println!(
        "open with {} MB: {:?}",
        std::fs::metadata(&path).unwrap().len() / 1_000_000,
        began.elapsed()
    );
    let began = Instant::now();
    drop(Embedded::open(&directory.path().join("new.db")).unwrap());
    println!("open a new one: {:?}", began.elapsed());

    let began = Instant::now();
    bus.purge(Bucket::ANSWERS, "job").await.unwrap();
    println!("purge of 10,000: {:?}", began.elapsed());
}

/// CPU time of this process, in milliseconds.
fn cpu_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}
