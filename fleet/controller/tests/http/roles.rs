//! Every route of the table with every role: who is let through is what the contract says.

use model::permission::Roles;
use model::route::{Access, Body, ROUTES};
use serde_json::json;

use crate::lab::{Lab, Request};

/// What the contract says of each role, written out a second time: resource, then roles that read it, then
/// roles that write it.
const CONTRACT: &[(&str, &[&str], &[&str])] = &[
    ("agent", &["admin", "write", "read"], &["admin"]),
    ("audit", &["admin"], &[]),
    ("health", &["admin", "write", "read"], &[]),
    ("job", &["admin", "write", "read"], &["admin", "write"]),
    ("ntp", &["admin", "write", "read"], &["admin", "write"]),
    ("token", &["admin"], &["admin"]),
];

fn allowed(permission: &str, role: &str) -> bool {
    let (resource, verb) = permission.split_once(':').unwrap();
    let (_, readers, writers) = CONTRACT.iter().find(|(known, _, _)| *known == resource).unwrap();
    if verb == "read" {
        readers.contains(&role)
    } else {
        writers.contains(&role)
    }
}

fn parameters(path: &str) -> Vec<&'static str> {
    path.split('/')
        .filter_map(|segment| match segment {
            "{hostname}" => Some("nobody"),
            "{id}" => Some("550e8400-e29b-41d4-a716-446655440000"),
            "{jti}" => Some("unknown"),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_asks_for_its_permission() {
    let lab = Lab::start_with(|settings| settings.metrics_open = false).await;
    for role in Roles::BUILT_IN {
        let token = lab.token(&[role]).await;
        for route in &ROUTES {
            let path = route.path_with(&parameters(route.path));
            let mut request = Request::new(lab.running.api, route.method.as_str(), &path).token(&token);
            if route.request.is_some() {
                request = request.json(&json!({"unknown": true}));
            }
            let reply = request.send().await;
            let what = format!(
                "{role} {} {path}: {} {}",
                route.method.as_str(),
                reply.status,
                reply.text()
            );
            match route.access {
                Access::Needs(permission) if !allowed(permission.as_str(), role) => {
                    let text = reply.error(403);
                    assert!(text.contains(&format!("{permission} is required")), "{what}");
                }
                Access::Open | Access::OpenOrNeeds(_) | Access::Needs(_) => {
                    assert!(reply.status != 401 && reply.status != 403, "{what}");
                    assert!(reply.status < 500, "{what}");
                }
            }
            let known = route.answers.iter().find(|answer| answer.status == reply.status);
            let known = known.unwrap_or_else(|| panic!("not in the contract: {what}"));
            match known.body {
                Body::Empty => assert!(reply.bytes.is_empty(), "{what}"),
                Body::Metrics => {
                    assert!(
                        reply
                            .header("content-type")
                            .unwrap()
                            .starts_with("application/openmetrics-text")
                    );
                }
                Body::Json(_) | Body::JsonOrEvents(_) | Body::AnyJson => {
                    assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
                    serde_json::from_slice::<serde_json::Value>(&reply.bytes).expect(&what);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_only_open_routes_answer() {
    let lab = Lab::start().await;
    for route in &ROUTES {
        let path = route.path_with(&parameters(route.path));
        let reply = lab.stranger(route.method.as_str(), &path).send().await;
        match route.access {
            Access::Needs(_) => assert_eq!(reply.error(401), "Bearer token required", "{path}"),
            // The listener of these tests is on a loopback address.
            Access::Open | Access::OpenOrNeeds(_) => assert_eq!(reply.status, 200, "{path}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retrying_a_job_needs_the_permission_of_its_operation() {
    let lab = Lab::start().await;
    let _agent = lab.agent("web-01").await;
    let id = lab
        .put("/api/node/web-01/ntp", json!({"servers": ["a"]}))
        .await
        .expect(200)["job_id"]
        .clone();
    let narrow = lab
        .post(
            "/api/time/v1/token",
            json!({"subject": "s", "roles": ["read"], "permissions": ["job:read", "job:write", "ntp:read"]}),
        )
        .await
        .expect(200)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/job/{}/retry", id.as_str().unwrap());
    let text = lab.stranger("POST", &path).token(&narrow).send().await.error(403);
    assert!(text.contains("ntp:write is required"), "{text}");
}
