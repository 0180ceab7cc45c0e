//! Hosts without connections.

use bus::embedded::Embedded;

use super::*;

fn record(machine_id: &str) -> HostRecord {
    HostRecord {
        state: HostState::Ready,
        public_key: link::key::SigningKey::generate().unwrap().public(),
        requested_at: Timestamp::now(),
        registered_at: Some(Timestamp::now()),
        last_seen: None,
        facts: HostFacts {
            machine_id: machine_id.to_owned(),
            hostname: "web-01".to_owned(),
            ..HostFacts::default()
        },
    }
}

/// A store with hosts of these machine ids, opened.
async fn hosts(directory: &std::path::Path, machine_ids: &[&str]) -> Hosts {
    let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&directory.join("store.db")).unwrap());
    for machine_id in machine_ids {
        bus.create(Bucket::HOSTS, machine_id, encode(&record(machine_id)).unwrap())
            .await
            .unwrap();
    }
    Hosts::open(bus, Duration::from_secs(10)).await.unwrap()
}

#[tokio::test]
async fn a_copied_host_shares_its_texts() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = hosts(directory.path(), &["m2", "m1"]).await;
    let shared = hosts.read(|hosts| {
        hosts
            .values()
            .all(|host| Arc::ptr_eq(&host.record, &host.clone().record))
    });
    assert!(shared);
    let listed: Vec<_> = hosts
        .list()
        .into_iter()
        .map(|host| host.machine_id.unwrap())
        .collect();
    assert_eq!(listed, ["m1", "m2"]);
}
