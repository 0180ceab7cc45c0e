//! Hosts: listed, shown, accepted, rejected, drained, undrained, removed.

use serde_json::{Value, json};

use crate::lab::{Lab, eventually, status};

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_listed_and_shown() {
    let lab = Lab::start().await;
    assert_eq!(
        lab.get("/api/agent").await.expect(200),
        json!({"agents": [], "total": 0})
    );
    let agent = lab.labelled_agent("web-02", &[("group", "web.eu")]).await;
    let _other = lab.agent("web-01").await;
    agent.report(status());
    eventually(async || lab.get("/api/agent/web-02").await.expect(200)["ntp"].is_object()).await;

    let body = lab.get("/api/agent").await.expect(200);
    assert_eq!(body["total"], 2);
    assert_eq!(body["agents"][0]["hostname"], "web-01");
    for path in ["/api/agent/web-02", &format!("/api/agent/{}", agent.machine_id)] {
        let host = lab.get(path).await.expect(200);
        assert_eq!(host["hostname"], "web-02");
        assert_eq!(
            (&host["status"], &host["state"]),
            (&json!("Ready"), &json!("Ready"))
        );
        assert_eq!(host["machine_id"], agent.machine_id);
        assert_eq!(host["fingerprint"], agent.fingerprint);
        assert_eq!(host["labels"], json!({"group": "web.eu"}));
        assert_eq!(
            host["os_info"],
            json!({"distribution": "debian", "version": "12"})
        );
        assert_eq!(host["cpu_count"], 2);
        assert_eq!(host["ntp"]["error_bound_s"], 0.0125);
        for date in ["registered_at", "started_at", "last_seen"] {
            assert!(
                host[date].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(),
                "{date}"
            );
        }
        assert!(
            host["timeline"]
                .as_array()
                .unwrap()
                .iter()
                .any(|event| event["event"] == "enrol")
        );
    }
    assert!(lab.get("/api/agent/nobody").await.error(404).contains("nobody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_waits_is_accepted_by_its_fingerprint() {
    let lab = Lab::start().await;
    let agent = lab.pending_agent("new-01").await;
    let body = lab.get("/api/agent/pending").await.expect(200);
    assert_eq!(body["total"], 1);
    let waiting = &body["agents"][0];
    assert_eq!(waiting["hostname"], "new-01");
    assert_eq!(waiting["machine_id"], agent.machine_id);
    assert_eq!(waiting["fingerprint"], agent.fingerprint);
    assert!(
        waiting["requested_at"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    assert_eq!(lab.get("/api/agent").await.expect(200)["total"], 0);

    let accept = |fingerprint: &str| format!("/api/agent/new-01/accept?fingerprint={fingerprint}");
    lab.request("POST", &accept("SHA256:00")).send().await.error(400);
    lab.request("POST", &accept("")).send().await.error(400);
    lab.request("POST", &accept(&format!("SHA256:{}", "0".repeat(64))))
        .send()
        .await
        .error(404);
    let reply = lab
        .request("POST", &accept(&agent.fingerprint))
        .send()
        .await
        .expect(200);
    assert!(reply["message"].as_str().unwrap().contains("new-01"));
    lab.get("/api/node/new-01/ntp").await.expect(200);
    assert_eq!(
        lab.get("/api/agent/pending").await.expect(200),
        json!({"agents": [], "total": 0})
    );
    lab.request("POST", "/api/agent/new-01/accept")
        .send()
        .await
        .error(409);
    lab.request("POST", "/api/agent/new-01/reject")
        .send()
        .await
        .error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_host_takes_no_part() {
    let lab = Lab::start().await;
    let _agent = lab.pending_agent("new-01").await;
    lab.request("POST", "/api/agent/new-01/reject")
        .send()
        .await
        .expect(200);
    assert_eq!(lab.get("/api/agent/pending").await.expect(200)["total"], 0);
    lab.get("/api/node/new-01/ntp").await.error(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_twice_is_a_conflict() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    let post = async |verb: &str| {
        lab.request("POST", &format!("/api/agent/web-01/{verb}"))
            .send()
            .await
    };
    post("undrain").await.error(409);
    let drained = post("drain").await.expect(200)["message"].clone();
    assert_eq!(
        drained,
        "host web-01 is Cordoned now; it gets no new jobs, and ends those that it was given"
    );
    assert_eq!(
        lab.get("/api/agent/web-01").await.expect(200)["state"],
        "Cordoned"
    );
    post("drain").await.error(409);
    post("undrain").await.expect(200);
    assert_eq!(lab.get("/api/agent/web-01").await.expect(200)["state"], "Ready");
    lab.request("POST", "/api/agent/nobody/drain")
        .send()
        .await
        .error(404);
    lab.request("POST", "/api/agent/nobody/undrain")
        .send()
        .await
        .error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_several_hosts_is_a_conflict_and_a_machine_id_is_not() {
    let lab = Lab::start().await;
    let (one, _other) = (lab.agent("twin").await, lab.agent("twin").await);
    assert!(
        lab.get("/api/agent/twin")
            .await
            .error(409)
            .contains(&one.machine_id)
    );
    lab.request("POST", "/api/agent/twin/drain")
        .send()
        .await
        .error(409);
    lab.request("POST", &format!("/api/agent/{}/drain", one.machine_id))
        .send()
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_to_join_under_the_name_of_another_host_is_not_accepted_by_the_name_alone() {
    let lab = Lab::start().await;
    let (old, new) = (lab.agent("web-01").await, lab.pending_agent("web-01").await);
    let accept = async |path: &str| lab.request("POST", &format!("/api/agent/{path}")).send().await;
    let refused = accept("web-01/accept").await.error(409);
    for part in [&old.machine_id, &new.machine_id, "fingerprint"] {
        assert!(refused.contains(part), "{refused}");
    }
    lab.get("/api/node/web-01/ntp").await.expect(200);
    assert_eq!(lab.get("/api/agent/pending").await.expect(200)["total"], 1);
    // By its fingerprint it is, as by its machine id; the answer says what follows from it.
    let done = accept(&format!("web-01/accept?fingerprint={}", new.fingerprint))
        .await
        .expect(200);
    let message = done["message"].as_str().unwrap();
    let wanted = format!(
        "host web-01 is Ready now; its name is also that of {}: ",
        old.machine_id
    );
    assert!(
        message.starts_with(&wanted) && message.contains(&new.machine_id),
        "{message}"
    );
    let third = lab.pending_agent("web-01").await;
    let done = accept(&format!("{}/accept", third.machine_id)).await.expect(200);
    assert!(
        done["message"]
            .as_str()
            .unwrap()
            .contains("its name is also that of"),
        "{done}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_host_is_forgotten() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    lab.delete("/api/agent/web-01").await.expect(200);
    lab.get("/api/agent/web-01").await.error(404);
    lab.delete("/api/agent/web-01").await.error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_none_are_400() {
    let lab = Lab::start().await;
    for bad in [
        "_all",
        "_any",
        "a:b",
        "a%20b",
        "-x",
        "%ff",
        "%zz",
        "%2F",
        "%00",
        &"x".repeat(256),
    ] {
        lab.get(&format!("/api/agent/{bad}")).await.error(400);
        lab.delete(&format!("/api/agent/{bad}")).await.error(400);
        for verb in ["accept", "reject", "drain", "undrain"] {
            lab.request("POST", &format!("/api/agent/{bad}/{verb}"))
                .send()
                .await
                .error(400);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_keys_have_meanings() {
    let lab = Lab::start().await;
    let body = lab.get("/api/facts/keys").await.expect(200);
    let keys = body["keys"].as_array().unwrap();
    assert!(keys.iter().any(|key| key["key"] == "hostname"));
    assert!(
        keys.iter()
            .all(|key| key["description"].is_string() && key["builtin"] == Value::Bool(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_accepted_where_that_is_set() {
    let lab = Lab::start_with(|settings| settings.auto_accept = true).await;
    let _agent = lab.pending_agent("web-01").await;
    assert_eq!(lab.get("/api/agent/web-01").await.expect(200)["state"], "Ready");
    assert_eq!(lab.get("/api/agent/pending").await.expect(200)["total"], 0);
    lab.get("/api/node/web-01/ntp").await.expect(200);
}
