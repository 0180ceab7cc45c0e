//! Who is meant: one, any, all, a label, nobody.

use std::collections::BTreeMap;

use model::Operation;
use serde_json::json;

use crate::lab::Lab;

fn names(body: &serde_json::Value) -> Vec<String> {
    let rows = body["results"].as_array().unwrap();
    rows.iter()
        .map(|row| row["hostname"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_reaches_exactly_one_agent_every_time() {
    const AGENTS: usize = 20;
    const ROUNDS: usize = 50;
    let lab = Lab::start().await;
    let mut agents = Vec::new();
    for i in 0..AGENTS {
        agents.push(lab.agent(&format!("host-{i:02}")).await);
    }
    let mut served: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let body = lab
            .put("/api/node/_any/ntp", json!({"servers": ["a"]}))
            .await
            .expect(200);
        let names = names(&body);
        assert_eq!(names.len(), 1);
        *served.entry(names[0].clone()).or_default() += 1;
    }
    // Give a second delivery time to arrive, if there were one.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let orders: usize = agents.iter().map(|agent| agent.orders().len()).sum();
    assert_eq!(orders, ROUNDS);
    let jobs: std::collections::BTreeSet<_> = agents
        .iter()
        .flat_map(|agent| agent.orders())
        .map(|order| order.job_id)
        .collect();
    assert_eq!(jobs.len(), ROUNDS);
    assert!(served.len() > 3, "it is not always the same host: {served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_select_by_prefix_of_whole_segments() {
    let lab = Lab::start().await;
    let _agents = [
        lab.labelled_agent("a", &[("group", "web")]).await,
        lab.labelled_agent("b", &[("group", "web.dev.us-east")]).await,
        lab.labelled_agent("c", &[("group", "webx")]).await,
        lab.labelled_agent("d", &[("role", "web")]).await,
    ];
    let ask = async |target: &str| names(&lab.get(&format!("/api/node/{target}/ntp")).await.expect(200));
    assert_eq!(ask("group:web").await, ["a", "b"]);
    assert_eq!(ask("group%3Aweb").await, ["a", "b"]);
    assert_eq!(ask("group:web.dev").await, ["b"]);
    assert_eq!(ask("role:web").await, ["d"]);
    assert_eq!(ask("_all").await, ["a", "b", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_named_by_hostname_or_machine_id() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01.example.com").await;
    for target in ["web-01.example.com", "web%2D01.example.com", &agent.machine_id] {
        assert_eq!(
            names(&lab.get(&format!("/api/node/{target}/ntp")).await.expect(200)),
            ["web-01.example.com"]
        );
    }
    let _twins = [lab.agent("twin").await, lab.agent("twin").await];
    assert!(
        lab.get("/api/node/twin/ntp")
            .await
            .error(400)
            .contains("machine id")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn host_names_are_found_whatever_their_case() {
    let lab = Lab::start().await;
    let _web = lab.agent("web-01").await;
    let ask = async |target: &str| names(&lab.get(&format!("/api/node/{target}/ntp")).await.expect(200));
    assert_eq!(ask("WEB-01").await, ["web-01"]);
    lab.get("/api/agent/Web-01").await.expect(200);
    // Of two that differ in nothing else each is meant by its own spelling, and any other one by none.
    let (upper, lower) = (lab.agent("DB-01").await, lab.agent("db-01").await);
    assert_eq!(ask("DB-01").await, ["DB-01"]);
    assert_eq!(ask("db-01").await, ["db-01"]);
    let text = lab.get("/api/node/Db-01/ntp").await.error(400);
    for part in [&upper.machine_id, &lower.machine_id, "machine id"] {
        assert!(text.contains(part), "{text}");
    }
    // A stranger that borrows the name of another host takes nothing from it.
    let waits = lab.pending_agent("WEB-01").await;
    assert_eq!(ask("WEB-01").await, ["web-01"]);
    let accept = async |path: &str| lab.request("POST", &format!("/api/agent/{path}")).send().await;
    let refused = accept("WEB-01/accept").await.error(409);
    assert!(refused.contains(&waits.machine_id), "{refused}");
    // It is meant where it is named as it spells itself, and another one where it is not.
    lab.delete("/api/agent/WEB-01").await.expect(200);
    assert_eq!(ask("WEB-01").await, ["web-01"]);
    // What has the form of a machine id is nobody's name.
    let odd = "AB".repeat(16);
    let _odd = lab.agent(&odd).await;
    assert_eq!(ask(&odd).await, [odd.as_str()]);
    lab.get(&format!("/api/node/{}/ntp", odd.to_lowercase()))
        .await
        .error(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_400_with_what_to_do() {
    let lab = Lab::start().await;
    assert!(
        lab.get("/api/node/_all/ntp")
            .await
            .error(400)
            .contains("'valid_target' tag")
    );
    assert!(
        lab.get("/api/node/_any/ntp")
            .await
            .error(400)
            .contains("'valid_target' tag")
    );
    let _agent = lab.agent("web-01").await;
    let _pending = lab.pending_agent("new-01").await;
    let text = lab.get("/api/node/nobody/ntp").await.error(400);
    assert!(
        text.contains("failed on the 'valid_target' tag: target agent \"nobody\" not found"),
        "{text}"
    );
    assert!(text.contains("timeball client agent list"), "{text}");
    let text = lab.get("/api/node/new-01/ntp").await.error(400);
    assert!(
        text.contains("timeball client agent accept --hostname new-01"),
        "{text}"
    );
    let text = lab.get("/api/node/group:web/ntp").await.error(400);
    assert!(text.contains("group:web"), "{text}");
    // A host that waits is not among all.
    assert_eq!(
        names(&lab.get("/api/node/_all/ntp").await.expect(200)),
        ["web-01"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_target_is_400() {
    let lab = Lab::start().await;
    for bad in [
        "_some",
        "a%20b",
        "a%2Fb",
        "%0Aweb",
        "gr%C3%BC%C3%9Fe",
        "group:",
        ":web",
        "a:b:c",
        "%00",
        "..%2F..",
        "-x",
        "%ff%fe",
        "%",
        "%zz",
        "%C3",
        &"x".repeat(256),
        &"x".repeat(10_000),
        &"%C3%BC".repeat(1000),
    ] {
        for method in ["GET", "DELETE"] {
            let reply = lab.request(method, &format!("/api/node/{bad}/ntp")).send().await;
            let text = reply.error(400);
            assert!(text.len() < 1000, "{bad}: {text}");
            assert!(text.bytes().all(|b| b >= b' '), "{bad}: {text}");
        }
    }
    lab.get(&format!("/api/node/{}/ntp", "x".repeat(255)))
        .await
        .error(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_is_named_at_the_deadline() {
    let lab = Lab::start().await;
    let (silent, _well) = (lab.agent("silent").await, lab.agent("well").await);
    silent.on(|_| None);
    let body = lab.get("/api/node/_all/ntp?timeout_s=1").await.expect(200);
    let rows = body["results"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["hostname"], &rows[0]["status"]),
        (&json!("silent"), &json!("failed"))
    );
    assert!(
        rows[0]["error"]
            .as_str()
            .unwrap()
            .starts_with("timeout: agent did not respond"),
        "{body}"
    );
    assert_eq!(
        (&rows[1]["hostname"], &rows[1]["status"]),
        (&json!("well"), &json!("ok"))
    );
    // Also when it is the only one.
    let body = lab
        .put("/api/node/silent/ntp?timeout_s=1", json!({"servers": ["a"]}))
        .await
        .expect(200);
    assert_eq!(body["results"][0]["status"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_away_or_drained_has_its_row_at_once() {
    let lab = Lab::start().await;
    let gone = lab.agent("gone").await;
    let drained = lab.agent("drained").await;
    lab.request("POST", "/api/agent/drained/drain")
        .send()
        .await
        .expect(200);
    drop(gone);
    crate::lab::eventually(async || lab.get("/api/agent/gone").await.expect(200)["status"] == "NotReady")
        .await;
    let body = lab.get("/api/node/_all/ntp?timeout_s=300").await.expect(200);
    let rows = body["results"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["hostname"], &rows[0]["status"]),
        (&json!("drained"), &json!("skipped"))
    );
    assert_eq!(
        (&rows[1]["hostname"], &rows[1]["status"]),
        (&json!("gone"), &json!("failed"))
    );
    assert!(rows[1]["error"].as_str().unwrap().contains("not connected"));
    assert!(
        !drained
            .orders()
            .iter()
            .any(|order| matches!(order.operation, Operation::NtpGet))
    );
}
