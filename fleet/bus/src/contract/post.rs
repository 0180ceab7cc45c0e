//! Deliveries: at most once, in time, to those who listen.

use std::collections::BTreeSet;

use futures::future::join_all;
use uuid::Uuid;

use super::*;
use crate::{BusError, Delivery, PAYLOAD_BYTES_MAX};

/// Checks all of it.
pub async fn check(maker: &dyn Maker) {
    every_listener_gets_it_once(maker).await;
    nobody_gets_it_after_its_lifetime(maker).await;
    late_listeners_get_nothing(maker).await;
    payloads_have_a_limit(maker).await;
    the_stream_ends_with_the_bus(maker).await;
}

fn delivery(hosts: &[&str], lifetime: Duration) -> Delivery {
    Delivery {
        id: Uuid::new_v4(),
        payload: bytes("do it"),
        hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        lifetime,
    }
}

const LONG: Duration = Duration::from_secs(600);

/// Each of two controllers, and each of their listeners, gets every delivery once.
pub async fn every_listener_gets_it_once(maker: &dyn Maker) {
    let store = maker.make().await;
    let (one, two) = (store.controller().await, store.controller().await);
    let mut listeners = vec![
        one.deliveries().await.unwrap(),
        two.deliveries().await.unwrap(),
        two.deliveries().await.unwrap(),
    ];
    let posted: Vec<_> = (0..200).map(|_| delivery(&["a", "b"], LONG)).collect();
    let posts = posted.iter().enumerate().map(|(number, delivery)| {
        let bus = if number % 2 == 0 { &one } else { &two };
        bus.post(delivery.clone())
    });
    for result in join_all(posts).await {
        result.unwrap();
    }
    for listener in &mut listeners {
        let mut wanted: BTreeSet<(Uuid, String)> = posted
            .iter()
            .flat_map(|delivery| delivery.hosts.iter().map(|host| (delivery.id, host.clone())))
            .collect();
        while !wanted.is_empty() {
            let got = next("a delivery", listener).await;
            assert_eq!(got.payload, bytes("do it"));
            assert!(
                got.lifetime > Duration::ZERO && got.lifetime <= LONG,
                "{:?} is left",
                got.lifetime
            );
            for host in got.hosts.iter() {
                assert!(wanted.remove(&(got.id, host.clone())), "{host} got it twice");
            }
        }
    }
    // One more, and nothing before it: nothing came twice.
    let last = delivery(&["c"], LONG);
    one.post(last.clone()).await.unwrap();
    for listener in &mut listeners {
        assert_eq!(next("the last delivery", listener).await.id, last.id);
    }
}

/// A listener that looks after the lifetime is not given the delivery any more.
pub async fn nobody_gets_it_after_its_lifetime(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let mut listener = bus.deliveries().await.unwrap();
    bus.post(delivery(&["a"], Duration::from_millis(500)))
        .await
        .unwrap();
    bus.post(delivery(&["a"], Duration::ZERO)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let alive = delivery(&["a"], LONG);
    bus.post(alive.clone()).await.unwrap();
    assert_eq!(
        next("the delivery that is alive", &mut listener).await.id,
        alive.id
    );
}

/// Who begins to listen after a post does not get it.
pub async fn late_listeners_get_nothing(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    bus.post(delivery(&["a"], LONG)).await.unwrap();
    let mut listener = bus.deliveries().await.unwrap();
    let later = delivery(&["a"], LONG);
    bus.post(later.clone()).await.unwrap();
    assert_eq!(next("the later delivery", &mut listener).await.id, later.id);
}

/// A payload at the limit arrives whole, with ten thousand hosts; one byte more is refused.
pub async fn payloads_have_a_limit(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let mut listener = bus.deliveries().await.unwrap();
    let hosts: Vec<String> = (0..10_000).map(|_| Uuid::new_v4().to_string()).collect();
    let largest = Delivery {
        payload: Bytes::from(vec![0xff; PAYLOAD_BYTES_MAX]),
        hosts: hosts.clone().into(),
        ..delivery(&[], LONG)
    };
    let larger = Delivery {
        payload: Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]),
        ..largest.clone()
    };
    assert!(matches!(bus.post(larger).await, Err(BusError::Invalid(_))));
    bus.post(largest.clone()).await.unwrap();
    let mut wanted: BTreeSet<String> = hosts.into_iter().collect();
    while !wanted.is_empty() {
        let got = next("a part of the delivery", &mut listener).await;
        assert!(got.id == largest.id && got.payload == largest.payload);
        for host in got.hosts.iter() {
            assert!(wanted.remove(host), "{host} got it twice");
        }
    }
}

/// A listener's stream ends when the bus is dropped.
pub async fn the_stream_ends_with_the_bus(maker: &dyn Maker) {
    let store = maker.make().await;
    let bus = store.controller().await;
    let mut listener = bus.deliveries().await.unwrap();
    let mut watcher = bus.watch(KEPT, "").await.unwrap();
    drop(bus);
    store.restart().await;
    within("the end of deliveries", async {
        while listener.next().await.is_some() {}
    })
    .await;
    within("the end of changes", async {
        while watcher.next().await.is_some() {}
    })
    .await;
}
