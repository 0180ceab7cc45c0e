//! Tokens: made, listed, revoked, renewed.

use controller::tokens::Tokens;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::lab::{Lab, settings, sign, token_request};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_shown_once_and_good_until_it_is_revoked() {
    let lab = Lab::start().await;
    let body = lab
        .post(
            "/api/time/v1/token",
            json!({"subject": "ci pipeline", "roles": ["read"], "lifetime_s": 3600}),
        )
        .await
        .expect(200);
    let token = body["token"].as_str().unwrap();
    let jti = body["jti"].as_str().unwrap();
    jti.parse::<Uuid>().unwrap();
    assert_eq!(
        (&body["subject"], &body["roles"]),
        (&json!("ci pipeline"), &json!(["read"]))
    );
    assert_eq!(body["permissions"], json!([]));
    let expires_at: Timestamp = body["expires_at"].as_str().unwrap().parse().unwrap();
    let left_s = expires_at.as_second() - Timestamp::now().as_second();
    assert!((3590..=3600).contains(&left_s), "{left_s}");
    lab.stranger("GET", "/api/agent")
        .token(token)
        .send()
        .await
        .expect(200);

    let list = lab.get("/api/time/v1/token").await;
    assert!(!list.text().contains(token));
    let list = list.expect(200);
    assert_eq!(list["total"], 2);
    assert_eq!(list["tokens"][0]["jti"], jti);
    assert_eq!(list["tokens"][1]["subject"], "admin");
    assert!(list["tokens"][0].get("revoked_at").is_none());

    for _ in 0..2 {
        let done = lab.delete(&format!("/api/time/v1/token/{jti}")).await.expect(200);
        assert_eq!(done["message"], format!("token {jti} is refused from now on"));
    }
    let text = lab
        .stranger("GET", "/api/agent")
        .token(token)
        .send()
        .await
        .error(401);
    assert_eq!(text, "Invalid token: it was revoked");
    let list = lab.get("/api/time/v1/token").await.expect(200);
    assert!(list["tokens"][0]["revoked_at"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_made_here_has_the_claims_of_the_contract() {
    let lab = Lab::start().await;
    let token = lab.token(&["write", "read"]).await;
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_audience(&["https://localhost"]);
    validation.set_issuer(&["timeball"]);
    let key = jsonwebtoken::DecodingKey::from_secret(lab.signing_key().as_bytes());
    let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["roles"], json!(["write", "read"]));
    assert_eq!(claims["aud"], json!(["https://localhost", "http://localhost"]));
    assert_eq!(claims["sub"], "somebody");
    assert!(claims["iat"].is_i64() && claims["exp"].is_i64() && claims["jti"].is_string());
    assert!(claims.get("permissions").is_none());
    assert_eq!(lab.signing_key().len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_tokens_are_checked() {
    let lab = Lab::start().await;
    for (body, field) in [
        (json!({"roles": ["read"]}), "subject"),
        (json!({"subject": "", "roles": ["read"]}), "subject"),
        (json!({"subject": "a\nb", "roles": ["read"]}), "subject"),
        (json!({"subject": "x".repeat(201), "roles": ["read"]}), "subject"),
        (json!({"subject": "a"}), "roles"),
        (json!({"subject": "a", "roles": []}), "roles"),
        (json!({"subject": "a", "roles": ["nobody"]}), "roles[0]"),
        (json!({"subject": "a", "roles": vec!["read"; 33]}), "roles"),
        (
            json!({"subject": "a", "roles": ["read"], "permissions": ["ntp:fly"]}),
            "permissions[0]",
        ),
        (
            json!({"subject": "a", "roles": ["read"], "lifetime_s": 59}),
            "lifetime_s",
        ),
        (
            json!({"subject": "a", "roles": ["read"], "lifetime_s": 31_536_001}),
            "lifetime_s",
        ),
        (json!({"subject": "a", "roles": ["read"], "lifetime_s": -1}), "-1"),
        (json!([]), ""),
        (json!(null), ""),
    ] {
        let text = lab.post("/api/time/v1/token", body.clone()).await.error(400);
        assert!(text.contains(field), "{body}: {text}");
    }
    lab.request("POST", "/api/time/v1/token").send().await.error(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_out_more_than_they_hold() {
    let lab = Lab::start().await;
    let clerk = lab
        .post(
            "/api/time/v1/token",
            json!({"subject": "clerk", "roles": ["read"], "permissions": ["token:write", "ntp:read"]}),
        )
        .await
        .expect(200)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let make = async |body: serde_json::Value| {
        lab.stranger("POST", "/api/time/v1/token")
            .token(&clerk)
            .json(&body)
            .send()
            .await
    };
    make(json!({"subject": "a", "roles": ["admin"]})).await.error(403);
    make(json!({"subject": "a", "roles": ["read"], "permissions": ["ntp:write"]}))
        .await
        .error(403);
    make(json!({"subject": "a", "roles": ["read"], "permissions": ["ntp:read"]}))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_made_elsewhere_can_be_revoked() {
    let lab = Lab::start().await;
    let now = Timestamp::now().as_second();
    let claims = json!({"roles": ["read"], "exp": now + 3600, "sub": "s", "jti": "made-elsewhere_1"});
    let token = sign(&claims, &lab.signing_key());
    lab.stranger("GET", "/api/agent")
        .token(&token)
        .send()
        .await
        .expect(200);
    // Nobody here knows whether there is one: an id may also be mistyped.
    for _ in 0..2 {
        let done = lab
            .delete("/api/time/v1/token/made-elsewhere_1")
            .await
            .expect(200);
        let message = done["message"].as_str().unwrap();
        assert!(
            message.starts_with("no token made-elsewhere_1 was given out here;"),
            "{message}"
        );
    }
    lab.stranger("GET", "/api/agent")
        .token(&token)
        .send()
        .await
        .error(401);
    for bad in [
        "a%20b",
        "a.b",
        "%C3%BC",
        "%ff",
        &"x".repeat(129),
        &"x".repeat(10_000),
    ] {
        lab.delete(&format!("/api/time/v1/token/{bad}")).await.error(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_and_keys_outlive_a_restart() {
    let lab = Lab::start().await;
    let key = lab.signing_key();
    let (kept, revoked) = (lab.token(&["read"]).await, lab.token(&["read"]).await);
    let jti = lab.get("/api/time/v1/token").await.expect(200)["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["jti"].as_str().unwrap().to_owned())
        .find(|jti| {
            let payload = revoked.split('.').nth(1).unwrap();
            use base64::Engine;
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(payload)
                .unwrap();
            String::from_utf8(bytes).unwrap().contains(jti)
        })
        .unwrap();
    lab.delete(&format!("/api/time/v1/token/{jti}")).await.expect(200);
    let Lab { running, data, admin } = lab;
    running.stop().await;
    let settings = settings(&data);
    let lab = Lab::start_on(data, settings).await;
    assert_eq!((lab.signing_key(), &lab.admin), (key, &admin));
    lab.stranger("GET", "/api/agent")
        .token(&kept)
        .send()
        .await
        .expect(200);
    lab.stranger("GET", "/api/agent")
        .token(&revoked)
        .send()
        .await
        .error(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_secrets_are_their_owners_alone_and_a_bad_admin_token_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::start().await;
    for name in [Tokens::KEY_FILE, "admin.token"] {
        let mode = std::fs::metadata(lab.data.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let Lab { running, data, admin } = lab;
    running.stop().await;
    std::fs::write(data.path().join("admin.token"), "damaged").unwrap();
    let settings = settings(&data);
    let lab = Lab::start_on(data, settings).await;
    assert_ne!(lab.admin, admin);
    lab.get("/api/agent").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guessable_signing_key_is_refused() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join(Tokens::KEY_FILE), "secret").unwrap();
    let Err(error) = controller::start(settings(&data)).await else {
        panic!("it started")
    };
    assert!(error.to_string().contains("fewer than 32 characters"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_printed_for_debugging_has_a_secret() {
    let lab = Lab::start().await;
    let tokens = lab.running.controller().tokens();
    let issued = tokens.issue(&token_request("s", &["read"])).await.unwrap();
    assert!(!format!("{issued:?}").contains(&issued.token));
    assert!(!format!("{tokens:?}").contains(&lab.signing_key()));
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_tokens_are_bounded() {
    let lab = Lab::start().await;
    let path = "/api/time/v1/enrolment-token";
    let body = lab.request("POST", path).send().await.expect(200);
    assert!(body["token"].as_str().unwrap().starts_with("tb1."));
    assert_eq!(body["uses"], 1);
    assert!(body["expires_at"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert_eq!(
        lab.post(path, json!({"uses": 3, "lifetime_s": 60}))
            .await
            .expect(200)["uses"],
        3
    );
    for bad in [
        json!({"uses": 0}),
        json!({"uses": 100_001}),
        json!({"lifetime_s": 59}),
        json!({"lifetime_s": 2_592_001}),
        json!({"uses": "1"}),
        json!({"uses": 1.5}),
        json!({"uses": -1}),
        json!("x"),
    ] {
        lab.post(path, bad).await.error(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_under_its_former_name_is_taken_over_and_a_lost_one_is_missed() {
    let lab = Lab::start().await;
    let key = lab.signing_key();
    let Lab { running, data, admin } = lab;
    running.stop().await;
    let path = data.path().join(Tokens::KEY_FILE);
    std::fs::rename(&path, data.path().join("signing.key")).unwrap();
    let running = controller::start(settings(&data)).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), key);
    assert!(!data.path().join("signing.key").exists());
    running.stop().await;

    std::fs::remove_file(&path).unwrap();
    let error = controller::start(settings(&data))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("token.key is missing") && error.contains("restore it"),
        "{error}"
    );
    assert!(!path.exists());

    std::fs::write(&path, "").unwrap();
    let running = controller::start(settings(&data)).await.unwrap();
    assert_ne!(std::fs::read_to_string(&path).unwrap().trim(), key);
    assert_ne!(
        std::fs::read_to_string(data.path().join("admin.token"))
            .unwrap()
            .trim(),
        admin
    );
    running.stop().await;
}
