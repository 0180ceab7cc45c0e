//! The four verbs on hosts: shapes, types, statuses.

use model::{Change, Failure, FailureKind, Outcome};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::{Lab, eventually, refuses};

/// A field, and what says that a value is of its type.
type Typed = (&'static str, fn(&Value) -> bool);

/// What a strictly typed client demands of a field when it is there.
fn check_types(row: &Value, types: &[Typed]) {
    for (field, right) in types {
        if let Some(value) = row.get(field) {
            assert!(right(value), "{field}: {value}");
        }
    }
}

const STATUS_TYPES: &[Typed] = &[
    ("hostname", Value::is_string),
    ("status", Value::is_string),
    ("synchronized", Value::is_boolean),
    ("stratum", Value::is_i64),
    ("offset", Value::is_string),
    ("current_source", Value::is_string),
    ("servers", Value::is_array),
    ("error", Value::is_string),
    ("machine_id", Value::is_string),
    ("detail", Value::is_object),
];

const MUTATION_TYPES: &[Typed] = &[
    ("hostname", Value::is_string),
    ("status", Value::is_string),
    ("changed", Value::is_boolean),
    ("error", Value::is_string),
    ("rolled_back", Value::is_boolean),
    ("machine_id", Value::is_string),
    ("path", Value::is_string),
    ("sha256", Value::is_string),
];

#[tokio::test(flavor = "multi_thread")]
async fn get_gives_a_row_with_the_state_of_the_clock() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    let body = lab.get("/api/node/web-01/ntp").await.expect(200);
    body["job_id"].as_str().unwrap().parse::<Uuid>().unwrap();
    let row = &body["results"][0];
    check_types(row, STATUS_TYPES);
    assert_eq!(row["hostname"], "web-01");
    assert_eq!(row["status"], "ok");
    assert_eq!(row["synchronized"], true);
    assert_eq!(row["stratum"], 3);
    assert_eq!(row["offset"], "-0.000003422s");
    assert_eq!(row["current_source"], "ntp1.example.com");
    assert_eq!(row["servers"], json!(["ntp1.example.com", "ntp2.example.com"]));
    assert_eq!(row["machine_id"], agent.machine_id);
    assert_eq!(row["detail"]["error_bound_s"], 0.0125);
    assert_eq!(
        row["detail"]["managed_servers"],
        json!(["ntp1.example.com", {"name": "ntp2.example.com", "nts": true}])
    );
    assert!(row.get("error").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_answer_200_with_a_row_and_reach_the_host_as_asked() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    let servers =
        json!({"servers": ["ntp1.example.com", {"name": "ntp2.example.com", "nts": true}], "later": 1});
    for (method, body) in [
        ("POST", Some(&servers)),
        ("PUT", Some(&servers)),
        ("DELETE", None),
    ] {
        let mut request = lab.request(method, "/api/node/web-01/ntp");
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = request.send().await;
        let answer = reply.expect(200);
        let job_id: Uuid = answer["job_id"].as_str().unwrap().parse().unwrap();
        let row = &answer["results"][0];
        check_types(row, MUTATION_TYPES);
        assert_eq!(
            (&row["hostname"], &row["status"], &row["changed"]),
            (&json!("web-01"), &json!("ok"), &json!(true))
        );
        assert_eq!(row["path"], "/etc/chrony/sources.d/timeball.sources");
        let order = agent.orders().pop().unwrap();
        assert_eq!(order.job_id, job_id);
        let operation = serde_json::to_value(&order.operation).unwrap();
        if method != "DELETE" {
            assert_eq!(operation["data"]["servers"], servers["servers"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_says_so() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    agent.on(|_| {
        Some(Outcome::Unchanged(Change {
            path: "/x".to_owned(),
            ..Change::default()
        }))
    });
    let row = &lab
        .put("/api/node/web-01/ntp", json!({"servers": ["a"]}))
        .await
        .expect(200)["results"][0];
    assert_eq!((&row["status"], &row["changed"]), (&json!("ok"), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_that_fails_is_a_row_like_any_other() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    agent.on(|_| {
        Some(Outcome::Failed(Failure {
            kind: FailureKind::DaemonRefused,
            error: "chronyd said 500 Failure".to_owned(),
            rolled_back: Some(true),
        }))
    });
    for target in ["web-01", "_any", "_all"] {
        let path = format!("/api/node/{target}/ntp");
        let row = &lab.put(&path, json!({"servers": ["a"]})).await.expect(200)["results"][0];
        assert_eq!(row["status"], "failed");
        assert_eq!(row["error"], "chronyd said 500 Failure");
        assert_eq!(row["rolled_back"], true);
        assert!(row.get("changed").is_none());
        let row = &lab.get(&path).await.expect(200)["results"][0];
        assert_eq!(row["status"], "failed");
        assert!(row.get("synchronized").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_is_skipped() {
    let lab = Lab::start().await;
    let agent = lab.agent("mac-01").await;
    let reason = "operation not supported on this OS family";
    agent.on(move |_| {
        Some(Outcome::Skipped {
            reason: reason.to_owned(),
        })
    });
    let row = &lab.get("/api/node/mac-01/ntp").await.expect(200)["results"][0];
    assert_eq!(
        (&row["status"], &row["error"]),
        (&json!("skipped"), &json!(reason))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn update_and_delete_of_one_unmanaged_host_are_404_and_of_many_a_row() {
    let lab = Lab::start().await;
    let agent = lab.labelled_agent("web-01", &[("group", "web")]).await;
    agent.on(refuses(FailureKind::NotManaged, "ntp: config not managed"));
    let servers = json!({"servers": ["a"]});
    for target in ["web-01", &agent.machine_id, "_any"] {
        let path = format!("/api/node/{target}/ntp");
        assert_eq!(
            lab.put(&path, servers.clone()).await.error(404),
            "job failed: ntp: config not managed"
        );
        assert_eq!(
            lab.delete(&path).await.error(404),
            "job failed: ntp: config not managed"
        );
        // A create or a read of such a host is never 404.
        assert_eq!(
            lab.post(&path, servers.clone()).await.expect(200)["results"][0]["status"],
            "failed"
        );
        assert_eq!(lab.get(&path).await.expect(200)["results"][0]["status"], "failed");
    }
    for target in ["_all", "group:web"] {
        let path = format!("/api/node/{target}/ntp");
        for reply in [lab.put(&path, servers.clone()).await, lab.delete(&path).await] {
            let row = &reply.expect(200)["results"][0];
            assert_eq!(
                (&row["status"], &row["error"]),
                (&json!("failed"), &json!("ntp: config not managed"))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_failure_of_one_host_is_never_404_whatever_its_text() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    agent.on(refuses(FailureKind::File, "ntp: config not managed"));
    lab.put("/api/node/web-01/ntp", json!({"servers": ["a"]}))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_has_a_row_per_host_ordered_by_name_then_machine() {
    let lab = Lab::start().await;
    let mut agents = Vec::new();
    for hostname in ["web-03", "web-01", "db-01", "web-02", "twin", "twin"] {
        agents.push(lab.agent(hostname).await);
    }
    agents[0].on(refuses(FailureKind::DaemonUnreachable, "chronyd does not run"));
    agents[1].on(|_| {
        Some(Outcome::Skipped {
            reason: "no".to_owned(),
        })
    });
    agents[3].on(|_| Some(Outcome::Unchanged(Change::default())));
    let body = lab
        .put("/api/node/_all/ntp", json!({"servers": ["a"]}))
        .await
        .expect(200);
    let rows = body["results"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["hostname"].as_str().unwrap()).collect();
    assert_eq!(names, ["db-01", "twin", "twin", "web-01", "web-02", "web-03"]);
    assert!(rows[1]["machine_id"].as_str() < rows[2]["machine_id"].as_str());
    let statuses: Vec<&str> = rows.iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["ok", "ok", "ok", "skipped", "ok", "failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_checked_field_by_field() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    for method in ["POST", "PUT"] {
        let send = async |body: &str| {
            lab.request(method, "/api/node/web-01/ntp")
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await
        };
        for (body, says) in [
            ("", "'Servers' failed on the 'required' tag"),
            ("{}", "'Servers' failed on the 'required' tag"),
            ("null", "'Servers' failed on the 'required' tag"),
            (r#"{"servers":null}"#, "'Servers' failed on the 'required' tag"),
            (r#"{"servers":[]}"#, "'Servers' failed on the 'min' tag"),
            (r#"{"servers":"a"}"#, "servers: it is not a list"),
            (r#"{"servers":["a",""]}"#, "servers[1]"),
            (r#"{"servers":["a\nserver evil"]}"#, "servers[0]"),
            (r#"{"servers":["a iburst"]}"#, "servers[0]"),
            (
                r#"{"servers":[{"name":"a","minpoll":99}]}"#,
                "servers[0]: minpoll",
            ),
            (r#"{"servers":["a","A"]}"#, "twice"),
            (r#"{"servers":[1]}"#, "servers[0]"),
            ("[]", "object"),
            ("{", "not JSON"),
            ("{\"servers\":[\"a\"]}x", "not JSON"),
            ("\u{0}", "not JSON"),
        ] {
            let text = send(body).await.error(400);
            assert!(text.contains(says), "{method} {body}: {text}");
        }
        let deep = "[".repeat(100_000);
        send(&deep).await.error(400);
    }
    assert!(agent.orders().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_json_or_says_nothing_of_itself() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    let send = async |kind: Option<&str>| {
        let mut request = lab
            .request("POST", "/api/node/web-01/ntp")
            .body(r#"{"servers":["a"]}"#);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        request.send().await
    };
    for kind in [
        None,
        Some("application/json"),
        Some("Application/JSON; charset=utf-8"),
    ] {
        send(kind).await.expect(200);
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "",
    ] {
        assert!(
            send(Some(kind)).await.error(415).contains("application/json"),
            "{kind}"
        );
    }
    let encoded = lab
        .request("POST", "/api/node/web-01/ntp")
        .header("content-encoding", "gzip")
        .json(&json!({"servers": ["a"]}))
        .send()
        .await;
    encoded.error(415);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_can_be_chosen_within_bounds() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    for bad in ["0", "301", "-1", "x", "1.5", ""] {
        let text = lab
            .get(&format!("/api/node/web-01/ntp?timeout_s={bad}"))
            .await
            .error(400);
        assert!(text.starts_with("timeout_s: "), "{text}");
    }
    lab.get("/api/node/web-01/ntp?timeout_s=300&colour=red")
        .await
        .expect(200);
    let order = agent.orders().pop().unwrap();
    assert_eq!(order.not_after_ms - order.issued_ms, 300_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deployed_where_is_kept_with_its_sum() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    let bus = lab.running.controller().bus();
    let kept = async || {
        let entry = bus
            .get(bus::Bucket::FILE_STATE, &agent.machine_id)
            .await
            .unwrap()?;
        Some(serde_json::from_slice::<Value>(&entry.value).unwrap())
    };
    assert_eq!(kept().await, None);
    let servers = json!({"servers": ["ntp1.example.com"]});
    let job = lab.put("/api/node/web-01/ntp", servers).await.expect(200)["job_id"].clone();
    eventually(async || kept().await.is_some()).await;
    let state = kept().await.unwrap();
    assert_eq!(state["sha256"], "ab".repeat(32));
    assert_eq!(state["path"], "/etc/chrony/sources.d/timeball.sources");
    assert_eq!(state["job_id"], job);
    lab.delete("/api/node/web-01/ntp").await.expect(200);
    eventually(async || kept().await.is_none()).await;
}
