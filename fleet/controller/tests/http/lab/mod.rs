//! A controller on the embedded store in a directory of its own, agents that do as the test says, and a
//! client that sees every byte.

mod agent;
mod client;

use std::time::Duration;

use controller::settings::{ApiTls, Listen};
use controller::{Running, Settings};
use model::token::TokenRequest;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use agent::{Agent, refuses, status};
pub(crate) use client::{Reply, Request, raw};

/// A running controller.
pub(crate) struct Lab {
    pub(crate) running: Running,
    pub(crate) data: TempDir,
    /// The administrator's token.
    pub(crate) admin: String,
}

/// Settings of a controller on free ports.
pub(crate) fn settings(data: &TempDir) -> Settings {
    let loopback = Listen::Exactly(([127, 0, 0, 1], 0).into());
    Settings {
        api: loopback,
        link: loopback,
        job_timeout: Duration::from_secs(20),
        tls: ApiTls::None,
        ..Settings::local(data.path().to_owned())
    }
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut settings = settings(&data);
        change(&mut settings);
        Self::start_on(data, settings).await
    }

    /// Starts on data that may be there already.
    pub(crate) async fn start_on(data: TempDir, settings: Settings) -> Self {
        let running = controller::start(settings).await.unwrap();
        let admin = std::fs::read_to_string(&running.admin_token)
            .unwrap()
            .trim()
            .to_owned();
        Lab { running, data, admin }
    }

    /// A request with the administrator's token.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        self.stranger(method, path).token(&self.admin)
    }

    /// A request without a token.
    pub(crate) fn stranger(&self, method: &str, path: &str) -> Request {
        Request::new(self.running.api, method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.request("GET", path).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.request("DELETE", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.request("POST", path).json(&body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.request("PUT", path).json(&body).send().await
    }

    /// Makes a token over the API.
    pub(crate) async fn token(&self, roles: &[&str]) -> String {
        let reply = self
            .post(
                "/api/time/v1/token",
                json!({"subject": "somebody", "roles": roles}),
            )
            .await;
        reply.expect(200)["token"].as_str().unwrap().to_owned()
    }

    /// An agent that is accepted already, by a token.
    pub(crate) async fn agent(&self, hostname: &str) -> Agent {
        self.labelled_agent(hostname, &[]).await
    }

    pub(crate) async fn labelled_agent(&self, hostname: &str, labels: &[(&str, &str)]) -> Agent {
        let token = self.running.local_enrolment_token().await.unwrap();
        let agent = Agent::connect(self.running.link, hostname, labels, Some(token.parse().unwrap())).await;
        self.until_ready(&agent.machine_id).await;
        agent
    }

    /// An agent that waits to be accepted.
    pub(crate) async fn pending_agent(&self, hostname: &str) -> Agent {
        Agent::connect(self.running.link, hostname, &[], None).await
    }

    async fn until_ready(&self, machine_id: &str) {
        eventually(async || {
            self.running
                .controller()
                .hosts()
                .find(machine_id)
                .is_ok_and(|host| host.status == "Ready")
        })
        .await;
    }

    /// The signing key as other tools are given it.
    pub(crate) fn signing_key(&self) -> String {
        let path = self.data.path().join(controller::tokens::Tokens::KEY_FILE);
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// Audit entries, newest first, once there are at least so many.
    pub(crate) async fn audit(&self, at_least: usize) -> Vec<Value> {
        for _ in 0..200 {
            let reply = self.get("/api/audit?limit=100").await;
            let items = reply.expect(200)["items"].as_array().unwrap().clone();
            if items.len() >= at_least {
                return items;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("there are not {at_least} audit entries");
    }
}

/// Waits for something that becomes true by itself.
pub(crate) async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not become true within ten seconds");
}

/// Signs any claims with any key, as another tool would.
pub(crate) fn sign(claims: &Value, key: &str) -> String {
    use jsonwebtoken::{EncodingKey, Header, encode};
    encode(
        &Header::default(),
        claims,
        &EncodingKey::from_secret(key.as_bytes()),
    )
    .unwrap()
}

/// A request for a token, for tests that make one past the API.
pub(crate) fn token_request(subject: &str, roles: &[&str]) -> TokenRequest {
    TokenRequest {
        subject: subject.to_owned(),
        roles: roles.iter().map(ToString::to_string).collect(),
        permissions: Vec::new(),
        lifetime_s: None,
    }
}
