//! Strangers who send what nobody should.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::{Lab, raw};

fn head(lab: &Lab, method: &str, path: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{more}\r\n",
        lab.admin
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_and_methods_are_answered_in_json() {
    let lab = Lab::start().await;
    for path in [
        "/api",
        "/api/",
        "/api/nowhere",
        "/api/node/web-01",
        "/api/node/a/b/ntp",
        "/api/agent/",
        "/api//job",
    ] {
        let reply = lab.get(path).await;
        assert!(reply.error(404).contains("openapi.json"), "{path}");
    }
    let reply = lab.request("PATCH", "/api/node/_all/ntp").send().await;
    assert!(reply.error(405).contains("PATCH"));
    let allow = reply.header("allow").unwrap();
    for method in ["GET", "POST", "PUT", "DELETE"] {
        assert!(allow.contains(method), "{allow}");
    }
    lab.request("POST", "/api/job").send().await.error(405);
    lab.request("OPTIONS", "/api/job").send().await.error(405);
    lab.request("BREW", "/api/job").send().await.error(405);
    let long = "n".repeat(10_000);
    assert!(lab.get(&format!("/api/{long}")).await.error(404).len() < 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_headers_for_browsers() {
    let lab = Lab::start().await;
    for reply in [
        lab.get("/api/job").await,
        lab.get("/api/nowhere").await,
        lab.stranger("GET", "/api/job").send().await,
    ] {
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert!(reply.header("access-control-allow-origin").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_five_megabytes_is_413_and_its_sender_learns_it() {
    let lab = Lab::start().await;
    let agent = lab.agent("web-01").await;
    let big = format!("{{\"servers\":[\"{}\"]}}", "x".repeat(5_000_000));
    let reply = lab
        .request("PUT", "/api/node/web-01/ntp")
        .header("content-type", "application/json")
        .body(big.clone())
        .send()
        .await;
    assert!(reply.error(413).contains("1048576"));
    // The same without saying so beforehand.
    let mut chunked = head(
        &lab,
        "PUT",
        "/api/node/web-01/ntp",
        "Transfer-Encoding: chunked\r\nConnection: close\r\n",
    );
    for chunk in big.as_bytes().chunks(60_000) {
        chunked.push_str(&format!(
            "{:x}\r\n{}\r\n",
            chunk.len(),
            std::str::from_utf8(chunk).unwrap()
        ));
    }
    chunked.push_str("0\r\n\r\n");
    let answer = raw(lab.running.api, chunked.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 "),
        "{}",
        &answer[..answer.len().min(200)]
    );
    // Who is not let in learns that, whatever they send.
    let reply = lab.stranger("PUT", "/api/node/web-01/ntp").body(big).send().await;
    reply.error(401);
    assert!(agent.orders().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_at_the_bound_is_read() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    let padding = 1024 * 1024 - r#"{"servers":["a"],"p":""}"#.len();
    let body = format!(r#"{{"servers":["a"],"p":"{}"}}"#, "x".repeat(padding));
    assert_eq!(body.len(), 1024 * 1024);
    lab.request("PUT", "/api/node/web-01/ntp")
        .body(body.clone())
        .send()
        .await
        .expect(200);
    lab.request("PUT", "/api/node/web-01/ntp")
        .body(body + " ")
        .send()
        .await
        .error(413);
    let entry = lab
        .audit(1)
        .await
        .into_iter()
        .find(|entry| entry["method"] == "PUT" && entry["response_code"] == 200)
        .unwrap();
    assert!(
        entry["body"]["left_out_bytes"].as_u64().unwrap() > 1_000_000,
        "{entry}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    let mut requests = head(&lab, "GET", "/api/health", "");
    requests += &head(&lab, "GET", "/api/node/web-01/ntp", "");
    requests += &head(&lab, "GET", "/api/nowhere", "");
    requests += &head(&lab, "GET", "/api/job", "Connection: close\r\n");
    let answers = raw(lab.running.api, requests.as_bytes()).await;
    let statuses: Vec<&str> = answers
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &answers[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "200", "404", "200"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_answered_or_cut_off() {
    let lab = Lab::start().await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /api/job HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /api/job HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"PUT /api/node/a/ntp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzzz\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = raw(lab.running.api, nonsense).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{nonsense:?}: {answer}");
    }
    let many: String = (0..2_000).map(|i| format!("X-{i}: y\r\n")).collect();
    let answer = raw(lab.running.api, head(&lab, "GET", "/api/job", &many).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    lab.get("/api/health").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_half_open_clients_are_cut_off_and_hold_nobody_up() {
    let lab = Lab::start().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(lab.running.api).await.unwrap());
    }
    let mut trickling = TcpStream::connect(lab.running.api).await.unwrap();
    trickling.write_all(b"GET /api/he").await.unwrap();
    let mut bodiless = TcpStream::connect(lab.running.api).await.unwrap();
    bodiless
        .write_all(head(&lab, "PUT", "/api/node/_all/ntp", "Content-Length: 100\r\n").as_bytes())
        .await
        .unwrap();
    lab.get("/api/health").await.expect(200);
    let ended = |mut stream: TcpStream| async move {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(50), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "the connection is still open");
        String::from_utf8_lossy(&rest).into_owned()
    };
    let (trickled, unfed, silent) =
        tokio::join!(ended(trickling), ended(bodiless), ended(silent.pop().unwrap()));
    assert!(
        trickled.is_empty() || trickled.starts_with("HTTP/1.1 408"),
        "{trickled}"
    );
    assert!(
        unfed.starts_with("HTTP/1.1 400 ") && unfed.contains("did not arrive"),
        "{unfed}"
    );
    assert!(
        silent.is_empty() || silent.starts_with("HTTP/1.1 408"),
        "{silent}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_nobody_up() {
    let lab = Lab::start().await;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(lab.running.api).await.unwrap();
        let requests = head(&lab, "GET", "/api/openapi.json", "").repeat(50);
        // The kernel's buffers may be full before all are written, which is the point.
        let _ = tokio::time::timeout(Duration::from_millis(200), stream.write_all(requests.as_bytes())).await;
        stuck.push(stream);
    }
    lab.get("/api/health").await.expect(200);
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_answered() {
    let lab = std::sync::Arc::new(Lab::start().await);
    let _agent = lab.agent("web-01").await;
    let mut requests = tokio::task::JoinSet::new();
    for i in 0..200 {
        let lab = std::sync::Arc::clone(&lab);
        requests.spawn(async move {
            let reply = if i % 2 == 0 {
                lab.put("/api/node/web-01/ntp", json!({"servers": ["a"]})).await
            } else {
                lab.get("/api/node/_all/ntp").await
            };
            let body = reply.expect(200);
            assert_eq!(body["results"].as_array().unwrap().len(), 1);
            body["job_id"].as_str().unwrap().to_owned()
        });
    }
    let ids: std::collections::BTreeSet<String> = requests.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_stuck_host_keep_no_change_and_no_other_reader_waiting() {
    let lab = Lab::start().await;
    let _well = lab.agent("web-01").await;
    // Several, for only so many jobs may wait for one host.
    let mut stuck = Vec::new();
    for n in 0..6 {
        let agent = lab.agent(&format!("stuck-{n}")).await;
        agent.on(|_| None);
        stuck.push(agent);
    }
    let read = lab.token(&["read"]).await;
    let mut requests = tokio::task::JoinSet::new();
    for n in 0..270 {
        let path = format!("/api/node/stuck-{}/ntp?timeout_s=300", n % stuck.len());
        let request = lab.stranger("GET", &path).token(&read);
        requests.spawn(async move { request.send().await });
    }
    // One caller gets half of the room, and learns why not more.
    for _ in 0..270 - 128 {
        let refused = requests.join_next().await.unwrap().unwrap().error(503);
        assert!(
            refused.contains("busy with reads: 128 are under way, 128 of them yours"),
            "{refused}"
        );
    }
    lab.put("/api/node/web-01/ntp", json!({"servers": ["a"]}))
        .await
        .expect(200);
    lab.get("/api/node/web-01/ntp").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_continue_is_not_led_on() {
    let lab = Lab::start().await;
    let more = "Content-Length: 3000000\r\nExpect: 100-continue\r\nConnection: close\r\n";
    let answer = raw(
        lab.running.api,
        head(&lab, "PUT", "/api/node/_all/ntp", more).as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

/// How often hosts come in during a flood before they count as kept out until it ends.
const FLOODS: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_half_sent_requests_keeps_nobody_of_another_address_out() {
    let lab = Lab::start().await;
    let mut flood = Vec::new();
    for _ in 0..1_100 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        // Those that have to give way may be closed before they know that they were open.
        if let Ok(mut stream) = socket.connect(lab.running.api).await {
            let _ = stream.write_all(b"GET /api/he").await;
            flood.push(stream);
        }
    }
    // Half a request would be given up after fifteen seconds only.
    let health = tokio::time::timeout(Duration::from_secs(8), lab.get("/api/health")).await;
    health.expect("a caller was kept out").expect(200);
    drop(flood);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_address_keeps_no_host_of_another_out() {
    let lab = Lab::start().await;
    for number in 0..FLOODS {
        let mut flood = Vec::new();
        for _ in 0..600 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
            // Those that have to give way may be closed before they know that they were open.
            flood.extend(socket.connect(lab.running.link).await);
        }
        let _pending = lab.pending_agent(&format!("pending-{number}")).await;
        let _ready = lab.agent(&format!("ready-{number}")).await;
        // Nothing was said to those that still have their place, and they were not closed: the flood goes on.
        let held = |stream: &TcpStream| {
            let read = stream.try_read(&mut [0]);
            read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        if flood.iter().any(held) {
            return;
        }
    }
    panic!("the hosts came in when the flood was over, {FLOODS} times");
}
