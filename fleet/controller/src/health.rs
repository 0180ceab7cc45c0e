//! Health: whether the controller can do its work, and what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Bucket, Log};
use model::health::{BucketInfo, ComponentHealth, StatusResponse, StreamInfo};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::Controller;

/// Asks the controller's parts how they are.
pub(crate) struct Health {
    controller: Arc<Controller>,
    /// When the store was asked last, and what it said. Whoever asks meanwhile waits for that answer.
    asked: Mutex<Option<(Instant, Result<(), String>)>>,
}

/// How long the store may take to answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer of the store is good: a check writes to the disk.
const GOOD_FOR: Duration = Duration::from_secs(1);

impl Health {
    pub(crate) fn new(controller: Arc<Controller>) -> Self {
        Health {
            controller,
            asked: Mutex::new(None),
        }
    }

    /// Says whether the store can be written, or in the operator's words why not.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        if let Some((at, answer)) = asked.as_ref()
            && at.elapsed() < GOOD_FOR
        {
            return answer.clone();
        }
        let answer = match timeout(STORE_TIMEOUT, self.controller.bus().check()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "the store did not answer within {} s",
                STORE_TIMEOUT.as_secs()
            )),
        };
        *asked = Some((Instant::now(), answer.clone()));
        answer
    }

    /// Says how every part is and what the store holds.
    pub(crate) async fn status(&self) -> StatusResponse {
        let controller = &self.controller;
        let mut store = self.ready().await;
        let mut kv_buckets = Vec::new();
        for bucket in Bucket::ALL {
            match timeout(STORE_TIMEOUT, controller.bus().bucket_usage(bucket)).await {
                Ok(Ok(usage)) => kv_buckets.push(BucketInfo {
                    name: bucket.name.to_owned(),
                    keys: usage.entries,
                    bytes: usage.bytes,
                }),
                Ok(Err(error)) => store = Err(error.to_string()),
                Err(_) => store = Err(format!("bucket {} cannot be counted in time", bucket.name)),
            }
        }
        let mut streams = Vec::new();
        for log in Log::ALL {
            match timeout(STORE_TIMEOUT, controller.bus().log_usage(log)).await {
                Ok(Ok(usage)) => streams.push(StreamInfo {
                    name: log.name.to_owned(),
                    messages: usage.entries,
                    bytes: usage.bytes,
                }),
                Ok(Err(error)) => store = Err(error.to_string()),
                Err(_) => store = Err(format!("log {} cannot be counted in time", log.name)),
            }
        }
        let status = if store.is_ok() { "ok" } else { "degraded" };
        let components = BTreeMap::from([
            ("api".to_owned(), listening(controller.api_address().to_string())),
            (
                "link".to_owned(),
                listening(controller.link_address().to_string()),
            ),
            (
                "store".to_owned(),
                ComponentHealth {
                    status: if store.is_ok() { "ok" } else { "error" }.to_owned(),
                    error: store.err(),
                    address: None,
                },
            ),
        ]);
        StatusResponse {
            status: status.to_owned(),
            components,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: uptime_text(controller.started().elapsed()),
            kv_buckets,
            streams,
            jobs: controller.jobs().counts(),
            agents: controller.hosts().counts(),
        }
    }
}

fn listening(address: String) -> ComponentHealth {
    ComponentHealth {
        status: "ok".to_owned(),
        error: None,
        address: Some(address),
    }
}

/// Writes a duration as `3h12m5s`, without leading zeros.
fn uptime_text(uptime: Duration) -> String {
    let all_s = uptime.as_secs();
    let (hours, minutes, seconds) = (all_s / 3600, all_s / 60 % 60, all_s % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_has_no_leading_zeros() {
        let text = |s| uptime_text(Duration::from_secs(s));
        assert_eq!(
            (text(5), text(65), text(11_525)),
            ("5s".into(), "1m5s".into(), "3h12m5s".into())
        );
        assert_eq!(text(3600), "1h0m0s");
    }
}
