//! A data directory that an older controller wrote: records as the first one stored them, without a field that
//! was added since.

use std::sync::Arc;

use bus::embedded::Embedded;
use bus::{Bucket, Bus, Log};
use link::key::SigningKey;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::{Lab, eventually, settings};

const HOST: &str = "0123456789abcdef0123456789abcdef";
const REJECTED: &str = "fedcba9876543210fedcba9876543210";
const THEN: &str = "2026-01-02T03:04:05Z";

fn host(machine_id: &str, hostname: &str, state: &str) -> Value {
    json!({
        "state": state,
        "public_key": SigningKey::generate().unwrap().public(),
        "requested_at": THEN,
        "registered_at": null,
        "last_seen": THEN,
        "facts": {"machine_id": machine_id, "hostname": hostname},
    })
}

fn job(id: Uuid) -> Value {
    json!({
        "id": id,
        "created": THEN,
        "target": "_all",
        "operation": {"type": "node.ntp.update", "data": {"servers": ["ntp.example.com"]}},
        "user": "admin",
        "timeout_ms": 30_000,
        "expected": {HOST: "web-01"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_an_older_controller_stored_is_read() {
    let lab = Lab::start().await;
    let data = lab.data;
    lab.running.stop().await;
    let [ended, under_way] = [Uuid::now_v7(), Uuid::now_v7()];
    {
        let store = Embedded::open(&data.path().join("store.db")).unwrap();
        let bus: Arc<dyn Bus> = Arc::new(store.clone());
        let put = async |bucket: Bucket, key: String, value: Value| {
            bus.put(bucket, &key, value.to_string().into()).await.unwrap();
        };
        // A state that no controller uses any more.
        put(Bucket::HOSTS, HOST.to_owned(), host(HOST, "web-01", "Draining")).await;
        put(
            Bucket::HOSTS,
            REJECTED.to_owned(),
            host(REJECTED, "web-02", "Rejected"),
        )
        .await;
        let end = json!({"state": "completed", "at": THEN});
        put(
            Bucket::JOBS,
            ended.to_string(),
            json!({"job": job(ended), "ended": end}),
        )
        .await;
        put(
            Bucket::JOBS,
            under_way.to_string(),
            json!({"job": job(under_way)}),
        )
        .await;
        let answer = json!({
            "job_id": ended,
            "machine_id": HOST,
            "hostname": "web-01",
            "outcome": {"outcome": "changed", "path": "/etc/chrony/sources.d/timeball.sources"},
        });
        put(Bucket::ANSWERS, format!("{ended}.{HOST}"), answer).await;
        put(Bucket::TOKENS, "some-jti".to_owned(), json!({})).await;
        let log = async |log: Log, value: Value| {
            bus.append(log, Uuid::now_v7(), value.to_string().into())
                .await
                .unwrap();
        };
        log(
            Log::EVENTS,
            json!({"machine_id": HOST, "timestamp": THEN, "event": "drain"}),
        )
        .await;
        log(
            Log::AUDIT,
            json!({
                "id": Uuid::now_v7(),
                "timestamp": THEN,
                "user": "somebody-of-then",
                "roles": ["admin"],
                "method": "GET",
                "path": "/api/job",
                "source_ip": "192.0.2.1",
                "response_code": 200,
                "duration_ms": 1,
            }),
        )
        .await;
        drop(bus);
        store.close().await;
    }
    let wanted = settings(&data);
    let lab = Lab::start_on(data, wanted).await;

    let shown = lab.get("/api/agent/web-01").await.expect(200);
    assert_eq!(
        (&shown["state"], &shown["machine_id"]),
        (&json!("Cordoned"), &json!(HOST))
    );
    assert_eq!(shown["timeline"][0]["event"], "drain");
    lab.request("POST", "/api/agent/web-01/undrain")
        .send()
        .await
        .expect(200);
    // Nobody knows when it was rejected; that it was, is remembered for some days more.
    eventually(async || {
        let bus = lab.running.controller().bus();
        bus.get(Bucket::REJECTED, REJECTED).await.unwrap().is_some()
    })
    .await;
    assert_eq!(
        lab.get("/api/agent/web-02").await.expect(200)["state"],
        "Rejected"
    );

    let shown = lab.get(&format!("/api/job/{ended}")).await.expect(200);
    assert_eq!(shown["status"], "completed");
    assert_eq!(shown["responses"]["web-01"]["changed"], true);
    let shown = lab.get(&format!("/api/job/{under_way}")).await.expect(200);
    assert_eq!(shown["status"], "processing");
    assert_eq!(lab.get("/api/job").await.expect(200)["total_items"], 2);
    lab.request("POST", &format!("/api/job/{ended}/retry"))
        .send()
        .await
        .expect(201);

    let tokens = lab.get("/api/time/v1/token").await.expect(200);
    let ids: Vec<&str> = tokens["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|token| token["jti"].as_str())
        .collect();
    assert!(ids.contains(&"some-jti"), "{tokens}");
    let entries = lab.audit(1).await;
    assert!(
        entries.iter().any(|entry| entry["user"] == "somebody-of-then"),
        "{entries:?}"
    );
}
