//! Tokens at the door: which are let in, which are not, and in which order things are checked.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::lab::{Lab, sign};

const PATH: &str = "/api/agent";

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// The claims of another tool's token.
fn claims() -> Value {
    json!({
        "roles": ["read"],
        "iss": "osapi",
        "aud": ["https://localhost", "http://localhost"],
        "iat": now(),
        "exp": now() + 7_776_000,
        "sub": "jewzaam",
    })
}

fn with(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Value {
    let mut claims = claims();
    change(claims.as_object_mut().unwrap());
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_required() {
    let lab = Lab::start().await;
    for header in ["", "Bearer", "Bearer ", "Basic YTpi", "bearertoken", "Token x"] {
        let mut request = lab.stranger("GET", PATH);
        if !header.is_empty() {
            request = request.header("authorization", header);
        }
        let reply = request.send().await;
        assert_eq!(reply.error(401), "Bearer token required", "{header:?}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"));
    }
    lab.stranger("GET", PATH)
        .header("authorization", &format!("bearer {}", lab.admin))
        .send()
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_tool_with_the_same_key_are_good() {
    let lab = Lab::start().await;
    let key = lab.signing_key();
    for claims in [
        claims(),
        with(|claims| drop(claims.insert("aud".into(), json!("one")))),
        with(|claims| drop(claims.remove("aud"))),
        with(|claims| drop(claims.remove("iss"))),
        with(|claims| drop(claims.remove("sub"))),
        with(|claims| {
            let exp = serde_json::from_str(&format!("{}.5", now() + 60)).unwrap();
            claims.insert("exp".into(), exp);
        }),
        with(|claims| drop(claims.insert("roles".into(), json!(["nobody", "read"])))),
        with(|claims| drop(claims.insert("iat".into(), json!(now() + 86_400)))),
        with(|claims| drop(claims.insert("colour".into(), json!({"red": 1})))),
        with(|claims| drop(claims.insert("permissions".into(), json!([])))),
    ] {
        lab.stranger("GET", PATH)
            .token(&sign(&claims, &key))
            .send()
            .await
            .expect(200);
    }
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS512);
    header.typ = None;
    let signing = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
    let token = jsonwebtoken::encode(&header, &claims(), &signing).unwrap();
    lab.stranger("GET", PATH).token(&token).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tokens_are_refused_with_the_reason() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

    let lab = Lab::start().await;
    let key = lab.signing_key();
    let good = sign(&claims(), &key);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (_, body) = head.split_once('.').unwrap();
    let none = BASE64.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let public = BASE64.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let admin =
        BASE64.encode(with(|claims| drop(claims.insert("roles".into(), json!(["admin"])))).to_string());
    let far = "x".repeat(9_000);
    for (token, reason) in [
        ("x".to_owned(), "JWT"),
        ("a.b".to_owned(), "JWT"),
        ("a.b.c".to_owned(), "JWT"),
        (format!("{none}.{body}."), "JWT"),
        (format!("{none}.{body}.{signature}"), "JWT"),
        (format!("{public}.{body}.{signature}"), "JWT"),
        (
            format!("{}.{admin}.{signature}", head.split_once('.').unwrap().0),
            "not signed with the key",
        ),
        (
            sign(&claims(), "another key of at least thirty-two characters"),
            "not signed with the key",
        ),
        (sign(&claims(), &key.to_uppercase()), "not signed with the key"),
        (head.to_owned() + ".", "not signed with the key"),
        (
            sign(
                &with(|claims| drop(claims.insert("exp".into(), json!(now() - 120)))),
                &key,
            ),
            "expired",
        ),
        (
            sign(
                &with(|claims| drop(claims.insert("nbf".into(), json!(now() + 120)))),
                &key,
            ),
            "good from",
        ),
        (
            sign(&with(|claims| drop(claims.remove("exp"))), &key),
            "no exp claim",
        ),
        (
            sign(
                &with(|claims| drop(claims.insert("exp".into(), json!("tomorrow")))),
                &key,
            ),
            "claims",
        ),
        (
            sign(&with(|claims| drop(claims.remove("roles"))), &key),
            "no role",
        ),
        (
            sign(
                &with(|claims| drop(claims.insert("roles".into(), json!([])))),
                &key,
            ),
            "no role",
        ),
        (
            sign(
                &with(|claims| drop(claims.insert("roles".into(), json!("read")))),
                &key,
            ),
            "claims",
        ),
        (
            sign(
                &with(|claims| drop(claims.insert("roles".into(), json!(["nobody"])))),
                &key,
            ),
            "role nobody is not known; the roles are admin, read, write",
        ),
        (
            sign(
                &with(|claims| drop(claims.insert("padding".into(), json!(far)))),
                &key,
            ),
            "longer than",
        ),
        (sign(&json!([]), &key), "JWT"),
    ] {
        let text = lab.stranger("GET", PATH).token(&token).send().await.error(401);
        assert!(
            text.starts_with("Invalid token: ") && text.contains(reason),
            "{text}, not {reason}"
        );
        assert!(!text.contains(&key));
    }
    // A little late is good: clocks differ.
    let late = with(|claims| drop(claims.insert("exp".into(), json!(now() - 30))));
    lab.stranger("GET", PATH)
        .token(&sign(&late, &key))
        .send()
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_of_a_token_replace_its_roles() {
    let lab = Lab::start().await;
    let key = lab.signing_key();
    let token = |permissions: Value, roles: Value| {
        let claims = with(|claims| {
            claims.insert("permissions".into(), permissions);
            claims.insert("roles".into(), roles);
        });
        sign(&claims, &key)
    };
    let narrow = token(json!(["job:read", "docker:execute"]), json!(["admin"]));
    lab.stranger("GET", "/api/job")
        .token(&narrow)
        .send()
        .await
        .expect(200);
    let text = lab.stranger("GET", PATH).token(&narrow).send().await.error(403);
    assert_eq!(
        text,
        "Insufficient permissions: agent:read is required, the token holds job:read"
    );
    let wide = token(json!(["agent:read", "agent:write"]), json!(["read"]));
    lab.stranger("POST", "/api/agent/nobody/drain")
        .token(&wide)
        .send()
        .await
        .error(404);
    let foreign = token(json!(["docker:execute"]), json!(["admin"]));
    assert!(
        lab.stranger("GET", PATH)
            .token(&foreign)
            .send()
            .await
            .error(403)
            .ends_with("holds none")
    );
    let only = token(json!(["agent:read"]), json!([]));
    lab.stranger("GET", PATH).token(&only).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisations_own_roles_count() {
    use model::permission::Permission;
    let lab = Lab::start_with(|settings| {
        settings
            .roles
            .insert("ops".into(), [Permission::AGENT_READ].into());
        settings
            .roles
            .insert("read".into(), [Permission::JOB_READ].into());
    })
    .await;
    let ops = lab.token(&["ops"]).await;
    lab.stranger("GET", PATH).token(&ops).send().await.expect(200);
    lab.stranger("GET", "/api/job")
        .token(&ops)
        .send()
        .await
        .error(403);
    let read = lab.token(&["read"]).await;
    lab.stranger("GET", PATH).token(&read).send().await.error(403);
    lab.stranger("GET", "/api/job")
        .token(&read)
        .send()
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_then_permission_then_target_then_body() {
    let lab = Lab::start().await;
    let read = lab.token(&["read"]).await;
    let wrong = |request: crate::lab::Request| request.header("content-type", "text/plain").body("{");
    let bad = "/api/node/a%20b/ntp?timeout_s=0";
    assert_eq!(wrong(lab.stranger("PUT", bad)).send().await.status, 401);
    assert_eq!(
        wrong(lab.stranger("PUT", bad).token(&read)).send().await.status,
        403
    );
    let text = wrong(lab.request("PUT", "/api/node/a%20b/ntp"))
        .send()
        .await
        .error(400);
    assert!(text.contains("valid_target"), "{text}");
    assert_eq!(
        wrong(lab.request("PUT", "/api/node/nobody/ntp"))
            .send()
            .await
            .status,
        415
    );
    let body = lab
        .request("PUT", "/api/node/nobody/ntp")
        .body("{")
        .send()
        .await
        .error(400);
    assert!(body.contains("not JSON"), "{body}");
}
