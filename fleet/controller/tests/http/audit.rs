//! The audit trail: who asked for what, and what came of it.

use serde_json::json;
use uuid::Uuid;

use crate::lab::{Lab, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_recorded_with_its_body_and_its_job() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let job_id = lab
        .request("PUT", "/api/node/web-01/ntp?timeout_s=5")
        .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&json!({"servers": ["ntp1.example.com"], "token": "hidden"}))
        .send()
        .await
        .expect(200)["job_id"]
        .clone();
    let entries = lab.audit(1).await;
    let entry = entries.iter().find(|entry| entry["method"] == "PUT").unwrap();
    assert_eq!(entry["user"], "admin");
    assert_eq!(entry["roles"], json!(["admin"]));
    assert_eq!(entry["method"], "PUT");
    assert_eq!(entry["path"], "/api/node/web-01/ntp?timeout_s=5");
    assert_eq!(entry["operation_id"], "PutNodeNtp");
    assert_eq!(entry["source_ip"], "127.0.0.1");
    assert_eq!(entry["response_code"], 200);
    assert!(entry["duration_ms"].is_u64());
    assert_eq!(entry["trace_id"], trace);
    assert_eq!(
        entry["body"],
        json!({"servers": ["ntp1.example.com"], "token": "[left out]"})
    );
    assert_eq!(entry["job_id"], job_id);
    assert!(
        entry["timestamp"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );

    let id = entry["id"].as_str().unwrap();
    assert_eq!(
        lab.get(&format!("/api/audit/{id}")).await.expect(200)["entry"],
        *entry
    );
    lab.get(&format!("/api/audit/{}", Uuid::now_v7()))
        .await
        .error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_recorded_too() {
    let lab = Lab::start().await;
    let read = lab.token(&["read"]).await;
    lab.stranger("PUT", "/api/node/_all/ntp")
        .json(&json!({"servers": ["a"]}))
        .send()
        .await
        .error(401);
    lab.stranger("DELETE", "/api/node/_all/ntp")
        .token("wrong")
        .send()
        .await
        .error(401);
    lab.stranger("DELETE", "/api/node/_all/ntp")
        .token(&read)
        .send()
        .await
        .error(403);
    let entries = lab.audit(4).await;
    let summary: Vec<_> = entries
        .iter()
        .filter(|entry| entry["path"] == "/api/node/_all/ntp")
        .map(|entry| {
            (
                entry["user"].as_str().unwrap(),
                entry["response_code"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(summary, [("somebody", 403), ("", 401), ("", 401)]);
    let made = entries
        .iter()
        .find(|entry| entry["operation_id"] == "CreateToken")
        .unwrap();
    assert_eq!(made["body"], json!({"subject": "somebody", "roles": ["read"]}));
    assert!(!entries.iter().any(|entry| entry.to_string().contains(&read)));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_refusals_have_a_log_of_their_own_and_push_no_change_out() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    let (read, write) = (lab.token(&["read"]).await, lab.token(&["write"]).await);
    let servers = json!({"servers": ["ntp1.example.com"]});
    lab.put("/api/node/web-01/ntp", servers.clone()).await.expect(200);
    // Whatever a token that may do nothing of it asks for.
    let long = "x".repeat(1000);
    for (token, method, path, status) in [
        (&read, "GET", format!("/api/audit?{long}"), 403),
        (&read, "PUT", format!("/api/node/web-01/ntp?{long}"), 403),
        (&read, "GET", "/api/job".to_owned(), 200),
        (&write, "PUT", "/api/node/nowhere/ntp".to_owned(), 400),
        (&write, "DELETE", format!("/api/job/{}", Uuid::now_v7()), 404),
    ] {
        let request = lab.stranger(method, &path).token(token);
        let reply = request.json(&servers).send().await;
        assert_eq!(reply.status, status, "{method} {path}");
    }
    lab.audit(9).await;
    let logged = async |log: bus::Log| {
        let page = lab.running.controller().bus().page(log, 0, 100).await.unwrap();
        let entry =
            |entry: &bus::LogEntry| -> serde_json::Value { serde_json::from_slice(&entry.value).unwrap() };
        let mut operations: Vec<String> = page
            .entries
            .iter()
            .map(entry)
            .filter(|entry| entry["operation_id"] != "GetAuditLogs" || entry["response_code"] != 200)
            .map(|entry| {
                format!(
                    "{} {}",
                    entry["operation_id"].as_str().unwrap(),
                    entry["response_code"]
                )
            })
            .collect();
        operations.sort();
        operations
    };
    assert_eq!(
        logged(bus::Log::AUDIT).await,
        ["CreateToken 200", "CreateToken 200", "PutNodeNtp 200"]
    );
    let others = logged(bus::Log::AUDIT_READS).await;
    for refused in ["PutNodeNtp 400", "PutNodeNtp 403"] {
        assert!(others.iter().any(|entry| entry == refused), "{others:?}");
    }
    assert_eq!(others.len(), 5, "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_leave_no_trace() {
    let lab = Lab::start().await;
    for path in [
        "/api/health",
        "/api/health/ready",
        "/api/health/status",
        "/metrics",
        "/api/openapi.json",
    ] {
        lab.get(path).await;
    }
    lab.get("/api/job").await.expect(200);
    let entries = lab.audit(1).await;
    assert!(entries.iter().all(|entry| {
        let path = entry["path"].as_str().unwrap();
        path.starts_with("/api/job") || path.starts_with("/api/audit")
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_export_agree() {
    let lab = Lab::start().await;
    for i in 0..30 {
        lab.get(&format!("/api/job?offset={i}")).await.expect(200);
    }
    lab.audit(30).await;
    assert_eq!(
        lab.get("/api/audit").await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
    let page = lab.get("/api/audit?limit=3&offset=1").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    assert!(page["total_items"].as_u64().unwrap() >= 30);
    let export = lab.get("/api/audit/export").await.expect(200);
    let items = export["items"].as_array().unwrap();
    assert_eq!(
        export["total_items"].as_u64().unwrap(),
        u64::try_from(items.len()).unwrap()
    );
    let mut offsets: Vec<String> = items
        .iter()
        .filter_map(|item| {
            item["path"]
                .as_str()
                .unwrap()
                .strip_prefix("/api/job?offset=")
                .map(str::to_owned)
        })
        .collect();
    offsets.reverse();
    assert_eq!(offsets, (0..30).map(|i| i.to_string()).collect::<Vec<_>>());
    for bad in ["limit=0", "limit=101", "offset=-1"] {
        lab.get(&format!("/api/audit?{bad}")).await.error(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_many_pages_has_every_entry_once() {
    let lab = Lab::start().await;
    let bus = lab.running.controller().bus();
    for i in 0..1_234_u32 {
        let entry = json!({
            "id": Uuid::now_v7(), "timestamp": "2026-01-01T00:00:00Z", "user": "u", "roles": [], "method": "GET",
            "path": format!("/{i}"), "source_ip": "", "response_code": 200, "duration_ms": 1,
        });
        bus.append(bus::Log::AUDIT, Uuid::now_v7(), entry.to_string().into())
            .await
            .unwrap();
    }
    let export = lab.get("/api/audit/export").await.expect(200);
    let items = export["items"].as_array().unwrap();
    let paths: std::collections::BTreeSet<&str> = items
        .iter()
        .map(|item| item["path"].as_str().unwrap())
        .filter(|path| path.len() < 6)
        .collect();
    assert_eq!(paths.len(), 1_234);
    // The export's own entry may be among them.
    assert!(items.len() <= 1_235);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_is_recorded_with_what_came_of_it() {
    use tokio::io::AsyncWriteExt;
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    agent.on(|_| None);
    let mut stream = tokio::net::TcpStream::connect(lab.running.api).await.unwrap();
    let head = format!(
        "DELETE /api/node/web-01/ntp?timeout_s=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        lab.admin
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    eventually(async || !agent.orders().is_empty()).await;
    drop(stream);
    eventually(async || {
        let items = lab.get("/api/audit?limit=100").await.expect(200);
        items["items"].as_array().unwrap().iter().any(|entry| {
            entry["operation_id"] == "DeleteNodeNtp"
                && entry["response_code"] == 200
                && entry["job_id"] == json!(agent.orders()[0].job_id)
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_is_written_before_a_stop_ends() {
    let lab = Lab::start().await;
    for i in 0..50 {
        lab.get(&format!("/api/job?offset={i}")).await.expect(200);
    }
    let Lab { running, data, .. } = lab;
    running.stop().await;
    let settings = crate::lab::settings(&data);
    let lab = Lab::start_on(data, settings).await;
    let export = lab.get("/api/audit/export").await.expect(200);
    let items = export["items"].as_array().unwrap();
    let before = items.iter().filter(|entry| entry["operation_id"] == "GetJobs");
    assert_eq!(before.count(), 50);
}
