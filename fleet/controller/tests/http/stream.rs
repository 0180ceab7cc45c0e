//! Rows as they come, in server-sent events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Change, FailureKind, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::{Lab, Reply, refuses};

fn events(reply: &Reply) -> Vec<(String, Value)> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let text = reply.text();
    text.split("\n\n")
        .filter(|block| block.starts_with("event:"))
        .map(|block| {
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap()
                    .trim()
                    .to_owned()
            };
            (field("event:"), serde_json::from_str(&field("data:")).unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_comes_and_then_the_whole_answer() {
    let lab = Lab::start().await;
    let agents = [lab.agent("a").await, lab.agent("b").await, lab.agent("c").await];
    agents[1].on(refuses(FailureKind::File, "disk full\nreally"));
    agents[2].on(|_| None);
    let reply = lab
        .request("PUT", "/api/node/_all/ntp?timeout_s=1")
        .header("accept", "text/html;q=0.1, text/event-stream")
        .json(&json!({"servers": ["x"]}))
        .send()
        .await;
    let events = events(&reply);
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["job", "host", "host", "host", "result"]);
    assert_eq!(events[0].1["expected"], 3);
    let result = &events[4].1;
    assert_eq!(result["status"], 200);
    assert_eq!(result["body"]["job_id"], events[0].1["job_id"]);
    let mut rows: Vec<Value> = events[1..4].iter().map(|(_, row)| row.clone()).collect();
    rows.sort_by_key(|row| row["hostname"].as_str().unwrap().to_owned());
    assert_eq!(json!(rows), result["body"]["results"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_comes_before_the_others_are_there() {
    let lab = Lab::start().await;
    let (slow, _quick) = (lab.agent("slow").await, lab.agent("quick").await);
    let go = Arc::new(AtomicBool::new(false));
    let wait = Arc::clone(&go);
    slow.on(move |_| {
        while !wait.load(Ordering::SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Some(Outcome::Unchanged(Change::default()))
    });
    let mut stream = TcpStream::connect(lab.running.api).await.unwrap();
    let head = format!(
        "GET /api/node/_all/ntp HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        lab.admin
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains("\"quick\"") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(!seen.contains("\"slow\"") && !seen.contains("event: result"));
    go.store(true, Ordering::SeqCst);
    stream.read_to_string(&mut seen).await.unwrap();
    assert!(seen.contains("event: result"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_no_stream_and_a_404_is_its_result() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    agent.on(refuses(FailureKind::NotManaged, "ntp: config not managed"));
    let ask = async |path: &str| {
        lab.request("DELETE", path)
            .header("accept", "text/event-stream")
            .send()
            .await
    };
    ask("/api/node/nobody/ntp").await.error(400);
    let reply = ask("/api/node/web-01/ntp").await;
    let result = events(&reply).pop().unwrap().1;
    assert_eq!(
        result,
        json!({"status": 404, "body": {"error": "job failed: ntp: config not managed"}})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_when_its_listener_goes_away() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    agent.on(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        Some(Outcome::Changed(Change::default()))
    });
    let mut stream = TcpStream::connect(lab.running.api).await.unwrap();
    let head = format!(
        "DELETE /api/node/web-01/ntp HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {}\r\n\r\n",
        lab.admin
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();
    drop(stream);
    crate::lab::eventually(async || {
        lab.get("/api/job").await.expect(200)["items"][0]["status"] == "completed"
    })
    .await;
}
