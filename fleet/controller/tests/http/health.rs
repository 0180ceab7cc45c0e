//! Health and metrics.

use serde_json::json;

use crate::lab::{Lab, eventually, status};

#[tokio::test(flavor = "multi_thread")]
async fn health_is_open_and_says_what_it_should() {
    let lab = Lab::start().await;
    assert_eq!(
        lab.stranger("GET", "/api/health").send().await.expect(200),
        json!({"status": "ok"})
    );
    assert_eq!(
        lab.stranger("GET", "/api/health/ready").send().await.expect(200),
        json!({"status": "ready"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_the_controller_holds() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    lab.get("/api/node/web-01/ntp").await.expect(200);
    let body = lab.get("/api/health/status").await.expect(200);
    assert_eq!(body["status"], "ok");
    assert_eq!(body["components"]["store"], json!({"status": "ok"}));
    assert_eq!(body["components"]["api"]["address"], lab.running.api.to_string());
    assert_eq!(
        body["components"]["link"]["address"],
        lab.running.link.to_string()
    );
    assert_eq!(body["agents"], json!({"total": 1, "ready": 1}));
    assert_eq!(body["jobs"]["total"], 1);
    for count in ["total", "unprocessed", "processing", "completed", "failed", "dlq"] {
        assert!(body["jobs"][count].is_u64(), "{count}");
    }
    let buckets = body["kv_buckets"].as_array().unwrap();
    let jobs = buckets.iter().find(|bucket| bucket["name"] == "jobs").unwrap();
    assert_eq!(jobs["keys"], 1);
    assert!(
        body["streams"]
            .as_array()
            .unwrap()
            .iter()
            .any(|log| log["name"] == "audit")
    );
    assert!(body["version"].is_string() && body["uptime"].as_str().unwrap().ends_with('s'));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_jobs_requests_and_clocks() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    let _pending = lab.pending_agent("new-01").await;
    agent.report(status());
    lab.get("/api/node/web-01/ntp").await.expect(200);
    lab.get("/api/node/nobody/ntp").await.error(400);
    lab.stranger("GET", "/nowhere").send().await;
    let labels = format!("{{host=\"web-01\",machine_id=\"{}\"}}", agent.machine_id);
    eventually(async || {
        let text = lab.stranger("GET", "/metrics").send().await.text();
        text.contains(&format!("timeball_clock_error_bound_seconds{labels} 0.0125"))
    })
    .await;
    let reply = lab.stranger("GET", "/metrics").send().await;
    assert_eq!(
        reply.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = reply.text();
    for line in [
        "timeball_jobs_created_total 1",
        "timeball_jobs_processed_total{status=\"completed\"} 1",
        "timeball_job_duration_seconds_count 1",
        "timeball_http_requests_total{method=\"GET\",route=\"/api/node/{hostname}/ntp\",status=\"400\"} 1",
        "timeball_http_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1",
        "timeball_agents{state=\"ready\"} 1",
        "timeball_agents{state=\"pending\"} 1",
        &format!("timeball_clock_offset_seconds{labels} -0.000003422"),
        &format!("timeball_clock_synchronized{labels} 1"),
        &format!("timeball_clock_stratum{labels} 3"),
        &format!("timeball_sources_usable{labels} 0"),
        &format!("timeball_config_drift{labels} 0"),
        &format!("timeball_clock_keepers{labels} 0"),
        &format!("timeball_host_up{labels} 1"),
    ] {
        assert!(
            text.lines()
                .any(|shown| shown == line || shown == format!("{line}.0")),
            "{line} in\n{text}"
        );
    }
    assert!(
        text.contains("timeball_heartbeat_age_seconds ") && text.contains("timeball_build_info{version=")
    );
    assert!(text.ends_with("# EOF\n"));
    // Every line is a comment or a sample: name, labels, number.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("timeball_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_gone_has_no_clock() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    agent.report(status());
    eventually(async || {
        lab.stranger("GET", "/metrics")
            .send()
            .await
            .text()
            .contains("timeball_clock_stratum{")
    })
    .await;
    drop(agent);
    eventually(async || {
        let text = lab.stranger("GET", "/metrics").send().await.text();
        !text.contains("timeball_clock_stratum{") && text.contains("timeball_agents{state=\"silent\"} 1")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_served_as_it_is_committed() {
    let lab = Lab::start().await;
    let served = lab.stranger("GET", "/api/openapi.json").send().await;
    assert_eq!(served.expect(200)["openapi"], "3.1.0");
    assert_eq!(served.text(), include_str!("../../../../openapi/timeball.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_is_told_and_nothing_pretends() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    let other = rusqlite::Connection::open(lab.data.path().join("store.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    eventually(async || lab.stranger("GET", "/api/health/ready").send().await.status == 503).await;
    let body = lab.stranger("GET", "/api/health/ready").send().await.expect(503);
    assert_eq!(body["status"], "not_ready");
    assert!(body["error"].as_str().unwrap().contains("store"), "{body}");
    let body = lab.get("/api/health/status").await.expect(503);
    assert_eq!(body["status"], "degraded");
    assert_eq!(body["components"]["store"]["status"], "error");
    assert_eq!(lab.stranger("GET", "/api/health").send().await.status, 200);
    let before = agent.orders().len();
    let text = lab
        .put("/api/node/web-01/ntp", json!({"servers": ["a"]}))
        .await
        .error(500);
    assert!(text.contains("store"), "{text}");
    assert_eq!(agent.orders().len(), before);

    other.execute_batch("ROLLBACK").unwrap();
    eventually(async || lab.stranger("GET", "/api/health/ready").send().await.status == 200).await;
    lab.put("/api/node/web-01/ntp", json!({"servers": ["a"]}))
        .await
        .expect(200);
}
