//! Browsers: signing in and out, what a cookie is good for, and what it is not.

use crate::lab::{Lab, Reply};

async fn sign_in(lab: &Lab, token: &str) -> Reply {
    lab.stranger("POST", "/ui/sign-in")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}&next=%2Fhosts"))
        .send()
        .await
}

fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").unwrap();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains("Secure"),
        "{set}"
    );
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_becomes_a_cookie_that_reads_but_does_not_write() {
    let lab = Lab::start().await;
    let reply = sign_in(&lab, &lab.admin).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/hosts")));
    let cookie = cookie(&reply);
    assert!(!cookie.contains(&lab.admin));
    let with = |method: &str, path: &str| lab.stranger(method, path).header("cookie", &cookie);
    with("GET", "/api/agent").send().await.expect(200);
    // Another site can make a browser send the cookie, but does not know the CSRF token.
    let text = with("POST", "/api/agent/nobody/drain").send().await.error(403);
    assert!(text.contains("CSRF"), "{text}");
    with("POST", "/api/agent/nobody/drain")
        .header("x-csrf-token", "guess")
        .send()
        .await
        .error(403);
    lab.stranger("GET", "/api/agent")
        .header("cookie", &format!("{cookie}0"))
        .send()
        .await
        .error(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_has_the_permissions_of_its_token_and_ends_with_it() {
    let lab = Lab::start().await;
    let read = lab.token(&["read"]).await;
    let cookie = cookie(&sign_in(&lab, &read).await);
    let get = async |path: &str| lab.stranger("GET", path).header("cookie", &cookie).send().await;
    get("/api/agent").await.expect(200);
    get("/api/audit").await.error(403);
    let list = lab.get("/api/time/v1/token").await.expect(200);
    let jti = list["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["subject"] == "somebody")
        .unwrap()["jti"]
        .as_str()
        .unwrap()
        .to_owned();
    lab.delete(&format!("/api/time/v1/token/{jti}")).await.expect(200);
    get("/api/agent").await.error(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_signs_nobody_in() {
    let lab = Lab::start().await;
    for token in ["", "wrong", "a.b.c"] {
        let reply = sign_in(&lab, token).await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (303, Some("/ui/sign-in?failed=1"))
        );
        assert!(reply.header("set-cookie").is_none());
    }
    let reply = lab
        .stranger("POST", "/ui/sign-in")
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={}", lab.admin))
        .send()
        .await;
    assert_eq!(reply.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_is_recorded_and_the_token_is_not() {
    let lab = Lab::start().await;
    sign_in(&lab, &lab.admin).await;
    sign_in(&lab, "wrong").await;
    let entries = lab.audit(2).await;
    let seen: Vec<_> = entries
        .iter()
        .filter(|entry| entry["operation_id"] == "SignIn")
        .map(|entry| {
            (
                entry["user"].as_str().unwrap(),
                entry["response_code"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [("", 401), ("admin", 303)]);
    assert!(
        entries
            .iter()
            .all(|entry| !entry.to_string().contains(&lab.admin))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_elsewhere() {
    let lab = Lab::start().await;
    let reply = lab
        .stranger("POST", "/ui/sign-in")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={}&next=%2F%2Fevil.example", lab.admin))
        .send()
        .await;
    assert_eq!(reply.header("location"), Some("/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_needs_the_page_and_ends_the_session() {
    let lab = Lab::start().await;
    let cookie = cookie(&sign_in(&lab, &lab.admin).await);
    let out = async |csrf: &str| {
        lab.stranger("POST", "/ui/sign-out")
            .header("cookie", &cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("csrf={csrf}"))
            .send()
            .await
    };
    assert_eq!(out("guess").await.status, 403);
    lab.stranger("GET", "/api/agent")
        .header("cookie", &cookie)
        .send()
        .await
        .expect(200);
    // Without a session there is nothing to protect.
    let reply = lab.stranger("POST", "/ui/sign-out").send().await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, Some("/ui/sign-in"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_kept_current_does_not_hold_up_the_stop() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let lab = Lab::start().await;
    let cookie = cookie(&sign_in(&lab, &lab.admin).await);
    let mut stream = tokio::net::TcpStream::connect(lab.running.api).await.unwrap();
    let head = format!("GET /ui/hosts/stream HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains("event: update") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let Lab {
        running, data: _data, ..
    } = lab;
    running.stop().await;
    // Cut off when the patience of the stop was over, it would lack the chunk that ends an answer.
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    seen.push_str(&rest);
    assert!(seen.ends_with("\r\n0\r\n\r\n"), "{seen}");
}
