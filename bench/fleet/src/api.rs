//! The controller's API as a client sees it, with the times at which things came.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Fault;
use crate::figures::Series;

/// Longest answer that is read, in bytes: 10,000 rows of 1.5 kB are 15 MB.
const BODY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How long the controller waits for hosts, in seconds.
const JOB_TIMEOUT_S: u64 = 60;

/// A client of one controller.
pub(crate) struct Api {
    url: String,
    token: String,
    kept: ureq::Agent,
    anew: ureq::Agent,
}

/// Which connection a request takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Via {
    /// The one that is open already.
    Kept,
    /// A new one.
    Anew,
}

/// What a host is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Get,
    /// With one of two sets of servers, so that each update changes something.
    Update(bool),
}

/// How the rows of one broadcast came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) ok: usize,
    pub(crate) skipped: usize,
    pub(crate) failed: usize,
}

#[derive(Deserialize)]
struct Collection {
    results: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    status: String,
}

impl Api {
    pub(crate) fn new(url: String, token: String) -> Self {
        let config = || {
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(Duration::from_secs(120)))
        };
        Api {
            url,
            token,
            kept: config().build().into(),
            anew: config().max_idle_connections(0).build().into(),
        }
    }

    /// Reads a resource.
    pub(crate) fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let mut response = self
            .kept
            .get(format!("{}{path}", self.url))
            .header("Authorization", format!("Bearer {}", self.token))
            .call()?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(BODY_BYTES_MAX)
            .read_to_vec()?;
        if !status.is_success() {
            return Err(format!("GET {path}: {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// Makes an enrolment token that is good for `uses` hosts.
    pub(crate) fn enrolment_token(&self, uses: usize) -> Result<String, Fault> {
        let mut response = self
            .kept
            .post(format!("{}/api/time/v1/enrolment-token", self.url))
            .header("Authorization", format!("Bearer {}", self.token))
            .send_json(json!({ "uses": uses, "lifetime_s": 3600 }))?;
        let text = response.body_mut().read_to_string()?;
        let body: Value = serde_json::from_str(&text)?;
        let token = body["token"]
            .as_str()
            .ok_or_else(|| format!("no enrolment token: {text}"))?;
        Ok(token.to_owned())
    }

    /// How many hosts are connected and heard of.
    pub(crate) fn ready(&self) -> Result<u64, Fault> {
        let status: Value = self.read("/api/health/status")?;
        status["agents"]["ready"]
            .as_u64()
            .ok_or_else(|| format!("no agents.ready in {status}").into())
    }

    /// Asks a target; gives the time until the whole answer was here, and its rows.
    pub(crate) fn ask(&self, via: Via, verb: Verb, target: &str) -> Result<(Duration, Rows), Fault> {
        let begun = Instant::now();
        let mut response = self.request(via, verb, target, "application/json")?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(BODY_BYTES_MAX)
            .read_to_vec()?;
        let took = begun.elapsed();
        if !status.is_success() {
            return Err(format!("{verb:?} {target}: {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        let collection: Collection = serde_json::from_slice(&body)?;
        let mut rows = Rows::default();
        for row in collection.results {
            match row.status.as_str() {
                "ok" => rows.ok += 1,
                "skipped" => rows.skipped += 1,
                _ => rows.failed += 1,
            }
        }
        Ok((took, rows))
    }

    /// Asks a target for server-sent events; gives the seconds from the request to each host's row.
    pub(crate) fn ask_for_events(&self, verb: Verb, target: &str) -> Result<Series, Fault> {
        let begun = Instant::now();
        let mut response = self.request(Via::Kept, verb, target, "text/event-stream")?;
        if !response.status().is_success() {
            return Err(format!("{verb:?} {target}: {}", response.status()).into());
        }
        let mut reader = BufReader::with_capacity(64 * 1024, response.body_mut().as_reader());
        let (mut line, mut hosts, mut complete) = (Vec::new(), Series::default(), false);
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            match line.trim_ascii_end() {
                b"event: host" | b"event:host" => hosts.push(begun.elapsed().as_secs_f64()),
                b"event: result" | b"event:result" => complete = true,
                _ => {}
            }
        }
        if complete {
            Ok(hosts)
        } else {
            Err("the events ended without a result".into())
        }
    }

    fn request(
        &self,
        via: Via,
        verb: Verb,
        target: &str,
        accept: &str,
    ) -> Result<ureq::http::Response<ureq::Body>, Fault> {
        let agent = match via {
            Via::Kept => &self.kept,
            Via::Anew => &self.anew,
        };
        let url = format!("{}/api/node/{target}/ntp?timeout_s={JOB_TIMEOUT_S}", self.url);
        let bearer = format!("Bearer {}", self.token);
        Ok(match verb {
            Verb::Get => agent
                .get(url)
                .header("Authorization", bearer)
                .header("Accept", accept)
                .call()?,
            Verb::Update(first) => agent
                .put(url)
                .header("Authorization", bearer)
                .header("Accept", accept)
                .send_json(servers(first))?,
        })
    }
}

fn servers(first: bool) -> Value {
    let domain = if first { "example.com" } else { "example.net" };
    json!({ "servers": [format!("ntp1.{domain}"), format!("ntp2.{domain}"), format!("ntp3.{domain}"), "time.example.org"] })
}
