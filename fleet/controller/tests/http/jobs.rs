//! Jobs: listed, shown, retried, forgotten.

use model::FailureKind;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::{Lab, eventually, refuses};

async fn job(lab: &Lab, target: &str) -> String {
    let body = lab
        .put(
            &format!("/api/node/{target}/ntp"),
            json!({"servers": ["ntp1.example.com"]}),
        )
        .await;
    let id = body.expect(200)["job_id"].as_str().unwrap().to_owned();
    // The end of a job is stored right after its last row.
    eventually(async || lab.get(&format!("/api/job/{id}")).await.expect(200)["status"] != "processing").await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_with_the_answers_of_its_hosts() {
    let lab = Lab::start().await;
    let (_web, bad) = (lab.agent("web-01").await, lab.agent("web-02").await);
    bad.on(refuses(FailureKind::File, "disk full"));
    let id = job(&lab, "_all").await;
    let body = lab.get(&format!("/api/job/{id}")).await.expect(200);
    assert_eq!(body["id"], id);
    assert_eq!(body["status"], "partial_failure");
    assert_eq!(
        body["operation"],
        json!({"type": "node.ntp.update", "data": {"servers": ["ntp1.example.com"]}})
    );
    assert_eq!(body["target"], "_all");
    assert_eq!(body["user"], "admin");
    assert_eq!(body["changed"], true);
    assert_eq!(body["responses"]["web-01"]["status"], "completed");
    assert_eq!(body["responses"]["web-01"]["hostname"], "web-01");
    assert_eq!(body["responses"]["web-02"]["error"], "disk full");
    assert_eq!(
        body["agent_states"]["web-01"],
        json!({"status": "completed", "duration": "7ms"})
    );
    assert_eq!(body["agent_states"]["web-02"]["status"], "failed");
    assert_eq!(body["timeline"][0]["event"], "submitted");
    for field in ["timestamp", "event", "hostname", "message", "error"] {
        assert!(body["timeline"][0][field].is_string(), "{field}");
    }
    assert!(
        body["created"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    assert!(body["created"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_has_null_data() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    let id = lab.get("/api/node/web-01/ntp").await.expect(200)["job_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let body = lab.get(&format!("/api/job/{id}")).await.expect(200);
    assert_eq!(body["operation"], json!({"type": "node.ntp.get", "data": null}));
    assert_eq!(body["hostname"], "web-01");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_newest_first_and_filtered() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(job(&lab, "web-01").await);
    }
    agent.on(refuses(FailureKind::File, "disk full"));
    ids.push(job(&lab, "web-01").await);
    ids.reverse();

    let body = lab.get("/api/job").await.expect(200);
    assert_eq!(body["total_items"], 13);
    assert_eq!(body["status_counts"], json!({"completed": 12, "failed": 1}));
    let shown = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(shown(&body), ids[..10]);
    assert!(body["items"][0].get("responses").is_none());
    assert!(body["items"][0].get("timeline").is_none());
    assert_eq!(
        shown(&lab.get("/api/job?limit=2&offset=3").await.expect(200)),
        ids[3..5]
    );
    assert_eq!(
        shown(&lab.get("/api/job?offset=100").await.expect(200)),
        [] as [String; 0]
    );
    let failed = lab.get("/api/job?status=failed").await.expect(200);
    assert_eq!(failed["total_items"], 1);
    assert_eq!(failed["status_counts"]["completed"], 12);
    assert_eq!(shown(&failed), ids[..1]);
    for bad in [
        "limit=0",
        "limit=101",
        "limit=ten",
        "offset=-1",
        "status=done",
        "status=",
        "limit=1&limit=2",
    ] {
        lab.get(&format!("/api/job?{bad}")).await.error(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_keeps_the_target_unless_another_is_given() {
    let lab = Lab::start().await;
    let (web, db) = (lab.agent("web-01").await, lab.agent("db-01").await);
    let id = job(&lab, "web-01").await;
    let retry = async |body: Option<Value>| {
        let mut request = lab.request("POST", &format!("/api/job/{id}/retry"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await
    };
    let body = retry(None).await.expect(201);
    assert_eq!(body["status"], "created");
    let new: Uuid = body["job_id"].as_str().unwrap().parse().unwrap();
    eventually(async || web.orders().iter().any(|order| order.job_id == new)).await;
    let shown = lab.get(&format!("/api/job/{new}")).await.expect(200);
    assert_eq!(
        (&shown["retry_of"], &shown["target"]),
        (&json!(id), &json!("web-01"))
    );

    for body in [json!({}), json!({"target_hostname": null})] {
        retry(Some(body)).await.expect(201);
    }
    let new = retry(Some(json!({"target_hostname": "db-01"}))).await.expect(201)["job_id"].clone();
    eventually(async || db.orders().iter().any(|order| json!(order.job_id) == new)).await;

    assert!(
        retry(Some(json!({"target_hostname": "nobody"})))
            .await
            .error(400)
            .contains("'valid_target'")
    );
    retry(Some(json!({"target_hostname": "a b"}))).await.error(400);
    retry(Some(json!({"target_hostname": 7}))).await.error(400);
    retry(Some(json!([]))).await.error(400);
    let unknown = Uuid::now_v7();
    assert!(
        lab.post(&format!("/api/job/{unknown}/retry"), json!({}))
            .await
            .error(404)
            .contains("not found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_job_is_gone() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    let id = job(&lab, "web-01").await;
    let reply = lab.delete(&format!("/api/job/{id}")).await;
    assert_eq!((reply.status, reply.bytes.len()), (204, 0));
    lab.get(&format!("/api/job/{id}")).await.error(404);
    lab.delete(&format!("/api/job/{id}")).await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_hyphenated_uuids() {
    let lab = Lab::start().await;
    let simple = Uuid::now_v7().simple().to_string();
    for bad in [
        "x",
        "1",
        &simple,
        "%7B550e8400-e29b-41d4-a716-446655440000%7D",
        &"0".repeat(300),
    ] {
        lab.get(&format!("/api/job/{bad}")).await.error(400);
        lab.delete(&format!("/api/job/{bad}")).await.error(400);
        lab.post(&format!("/api/job/{bad}/retry"), json!({}))
            .await
            .error(400);
        lab.get(&format!("/api/audit/{bad}")).await.error(400);
    }
}
