//! The audit trail: every request that carried a token or needed one, written off the reply path.
//!
//! Changes have a log of their own. Who may only read, or nothing at all, can ask as often as they like and
//! pushes no change out of the trail. Whoever reads the trail sees one, newest first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::{Bus, BusError, Log, LogEntry};
use model::audit::{AuditEntry, ListAuditResponse};
use model::route::{Access, Endpoint};
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// Takes entries and has them written.
pub(crate) struct Audit {
    bus: Arc<dyn Bus>,
    queue: mpsc::Sender<Order>,
    strangers: Mutex<Allowance>,
    suppressed: AtomicU64,
    dropped: Counter,
}

enum Order {
    Write(Log, Box<AuditEntry>),
    /// Everything before is to be written; then this is answered.
    Flush(oneshot::Sender<()>),
}

/// How many entries may wait to be written.
const QUEUE_MAX: usize = 1024;

/// How often a write to the store is tried.
const TRIES: u32 = 3;

/// Largest body that an entry carries, in bytes of JSON. The servers of a job are remembered with the job, too.
const BODY_BYTES_MAX: usize = 8 * 1024;

/// Longest path that an entry carries, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// Says whether requests to an endpoint are audited: those that need a token, but health and metrics, which
/// are asked for all the time.
pub(crate) fn covers(endpoint: Endpoint) -> bool {
    match endpoint.route().access {
        Access::Open | Access::OpenOrNeeds(_) => false,
        Access::Needs(_) => endpoint != Endpoint::GetHealthStatus,
    }
}

impl Audit {
    /// Starts a task that writes entries to the log of `bus`; `dropped` counts those that were not written.
    pub(crate) fn start(bus: Arc<dyn Bus>, dropped: Counter) -> Self {
        let (queue, orders) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write(Arc::clone(&bus), orders, dropped.clone()));
        Audit {
            bus,
            queue,
            strangers: Mutex::new(Allowance::full()),
            suppressed: AtomicU64::new(0),
            dropped,
        }
    }

    /// Has an entry written, that of a change to the log of changes. When too many wait, that of a change waits
    /// too and any other is dropped and counted. Of refused strangers only so many are written.
    pub(crate) async fn record(&self, entry: AuditEntry, is_change: bool) {
        if entry.response_code == 401
            && !self
                .strangers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        {
            let so_far = self.suppressed.fetch_add(1, Ordering::Relaxed) + 1;
            if so_far.is_power_of_two() {
                tracing::warn!(
                    so_far,
                    source = entry.source_ip,
                    "too many refused requests; some are not audited"
                );
            }
            return;
        }
        let log = if is_change { Log::AUDIT } else { Log::AUDIT_READS };
        let order = Order::Write(log, Box::new(entry));
        let taken = if is_change {
            self.queue.send(order).await.is_ok()
        } else {
            self.queue.try_send(order).is_ok()
        };
        if !taken {
            self.dropped.inc();
        }
    }

    /// Waits until everything recorded so far is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Order::Flush(done)).await.is_ok() {
            // Fails only when the writer is gone, and then nothing is left to wait for.
            let _ = written.await;
        }
    }

    /// A page of the trail, newest first.
    pub(crate) async fn page(&self, offset: u64, limit: u64) -> Result<ListAuditResponse, BusError> {
        let (mut newest, total_items) = Newest::after(Arc::clone(&self.bus), offset, limit).await?;
        let mut items = Vec::new();
        for _ in 0..limit {
            let Some(entry) = newest.next().await? else { break };
            items.extend(read(entry.id, &entry.value));
        }
        Ok(ListAuditResponse { total_items, items })
    }

    /// One entry.
    pub(crate) async fn find(&self, id: Uuid) -> Result<Option<AuditEntry>, BusError> {
        for log in LOGS {
            if let Some(entry) = self.bus.find(log, id).await? {
                return Ok(read(entry.id, &entry.value));
            }
        }
        Ok(None)
    }
}

/// Where the trail is kept.
const LOGS: [Log; 2] = [Log::AUDIT, Log::AUDIT_READS];

/// The trail, newest first: its logs put together by the ids of their entries, which grow with time.
pub(crate) struct Newest {
    bus: Arc<dyn Bus>,
    cursors: [Cursor; 2],
    /// How many entries are read at once.
    at_once: u64,
}

/// How far a log was read.
struct Cursor {
    log: Log,
    offset: u64,
    /// Entries before this sequence are still to come: new ones push the others back, and those are not told
    /// twice.
    before: u64,
    read: VecDeque<LogEntry>,
    at_end: bool,
}

impl Newest {
    /// All of it.
    pub(crate) fn all(bus: Arc<dyn Bus>, at_once: u64) -> Self {
        Self::behind(bus, [0, 0], at_once)
    }

    /// What comes after the first `offset` entries, and how many entries there are in all.
    async fn after(bus: Arc<dyn Bus>, offset: u64, at_once: u64) -> Result<(Self, u64), BusError> {
        let [changes, reads] = LOGS;
        let totals = [
            bus.page(changes, 0, 1).await?.total,
            bus.page(reads, 0, 1).await?.total,
        ];
        let total = totals[0] + totals[1];
        let offset = offset.min(total);
        // How many of them are changes: the least number for which no change is left that is newer than the
        // last of the reads before it.
        let (mut least, mut most) = (offset.saturating_sub(totals[1]), offset.min(totals[0]));
        while least < most {
            let middle = u64::midpoint(least, most);
            let change = bus.page(changes, middle, 1).await?;
            let read = bus.page(reads, offset - middle - 1, 1).await?;
            let id = |page: &bus::Page| page.entries.first().map(|entry| entry.id);
            if id(&change) > id(&read) {
                least = middle + 1;
            } else {
                most = middle;
            }
        }
        Ok((Self::behind(bus, [least, offset - least], at_once), total))
    }

    fn behind(bus: Arc<dyn Bus>, offsets: [u64; 2], at_once: u64) -> Self {
        let [changes, reads] = LOGS;
        let cursor = |log, offset| Cursor {
            log,
            offset,
            before: u64::MAX,
            read: VecDeque::new(),
            at_end: false,
        };
        Newest {
            bus,
            cursors: [cursor(changes, offsets[0]), cursor(reads, offsets[1])],
            at_once: at_once.max(1),
        }
    }

    /// The next older entry; nothing at the end.
    ///
    /// # Errors
    /// [`BusError`] when the store cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Option<LogEntry>, BusError> {
        for cursor in &mut self.cursors {
            while cursor.read.is_empty() && !cursor.at_end {
                let page = self.bus.page(cursor.log, cursor.offset, self.at_once).await?;
                let count = u64::try_from(page.entries.len()).unwrap_or(u64::MAX);
                cursor.at_end = count < self.at_once;
                cursor.offset = cursor.offset.saturating_add(count);
                for entry in page.entries {
                    if entry.sequence < cursor.before {
                        cursor.before = entry.sequence;
                        cursor.read.push_back(entry);
                    }
                }
            }
        }
        let id = |cursor: &Cursor| cursor.read.front().map(|entry| entry.id);
        let [changes, reads] = &mut self.cursors;
        let newer = if id(changes) > id(reads) { changes } else { reads };
        Ok(newer.read.pop_front())
    }
}

fn read(id: Uuid, value: &[u8]) -> Option<AuditEntry> {
    serde_json::from_slice(value)
        .inspect_err(
            |error| tracing::error!(entry = %id, %error, "an audit entry is damaged; it is left out"),
        )
        .ok()
}

async fn write(bus: Arc<dyn Bus>, mut orders: mpsc::Receiver<Order>, dropped: Counter) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Write(log, entry) => {
                if let Err(error) = append(bus.as_ref(), log, &entry).await {
                    dropped.inc();
                    // The log of the system is the last place where it can be told.
                    tracing::error!(
                        %error, user = entry.user, method = entry.method, path = entry.path,
                        status = entry.response_code, source = entry.source_ip, at = entry.timestamp,
                        "an audit entry could not be written"
                    );
                }
            }
            Order::Flush(done) => drop(done.send(())),
        }
    }
}

async fn append(bus: &dyn Bus, log: Log, entry: &AuditEntry) -> Result<(), BusError> {
    let value = serde_json::to_vec(entry).map_err(|error| BusError::Invalid(error.to_string()))?;
    let mut tried = 1;
    loop {
        match bus.append(log, entry.id, value.clone().into()).await {
            Ok(_) => return Ok(()),
            Err(error) if tried >= TRIES => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100) * tried).await,
        }
        tried += 1;
    }
}

/// A body as the trail keeps it: values that are secrets are left out, and one that is too large too.
pub(crate) fn without_secrets(body: &Value) -> Value {
    let kept = redacted(body);
    let bytes = serde_json::to_vec(&kept)
        .map(|json| json.len())
        .unwrap_or(usize::MAX);
    if bytes > BODY_BYTES_MAX {
        json!({"left_out_bytes": bytes})
    } else {
        kept
    }
}

fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let kept = if is_secret(name) {
                    json!("[left out]")
                } else {
                    redacted(value)
                };
                (name.clone(), kept)
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(redacted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "token",
        "secret",
        "password",
        "passphrase",
        "private",
        "signing_key",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// A path cut to what an entry can bear.
pub(crate) fn shortened(path: &str) -> String {
    if path.len() <= PATH_BYTES_MAX {
        return path.to_owned();
    }
    let end = (0..=PATH_BYTES_MAX)
        .rev()
        .find(|end| path.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}…", path.get(..end).unwrap_or_default())
}

/// How many refused requests of strangers are written: 500 at once, and one a second.
struct Allowance {
    left: f64,
    counted: Instant,
}

impl Allowance {
    const MAX: f64 = 500.0;
    const PER_SECOND: f64 = 1.0;

    fn full() -> Self {
        Allowance {
            left: Self::MAX,
            counted: Instant::now(),
        }
    }

    fn take(&mut self) -> bool {
        let elapsed_s = self.counted.elapsed().as_secs_f64();
        self.counted = Instant::now();
        self.left = (self.left + elapsed_s * Self::PER_SECOND).min(Self::MAX);
        let granted = self.left >= 1.0;
        if granted {
            self.left -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_at_any_depth_and_large_bodies_wholly() {
        let body = json!({"servers": ["a"], "token": "x", "deep": [{"Enrolment_Secret": {"a": 1}}]});
        assert_eq!(
            without_secrets(&body),
            json!({"servers": ["a"], "token": "[left out]", "deep": [{"Enrolment_Secret": "[left out]"}]})
        );
        let large = without_secrets(&json!({"servers": ["x".repeat(8_200)]}));
        assert!(large["left_out_bytes"].as_u64().unwrap() > 8_200);
        let names: Vec<_> = (0..model::Servers::COUNT_MAX)
            .map(|n| format!("{n:0>100}.example.com"))
            .collect();
        let most = json!({"servers": names});
        assert_eq!(without_secrets(&most), most);
    }

    #[tokio::test]
    async fn the_logs_are_one_trail_in_pages_of_any_size() {
        let directory = tempfile::tempdir().unwrap();
        let store = bus::embedded::Embedded::open(&directory.path().join("store.db")).unwrap();
        let bus: Arc<dyn Bus> = Arc::new(store);
        let [changes, reads] = LOGS;
        let mut ids = Vec::new();
        for (log, run) in [
            (reads, 1),
            (changes, 7),
            (reads, 2),
            (changes, 1),
            (reads, 20),
            (changes, 9),
        ] {
            for _ in 0..run {
                let id = Uuid::now_v7();
                bus.append(log, id, "{}".into()).await.unwrap();
                ids.insert(0, id);
            }
        }
        for offset in 0..=ids.len() + 1 {
            for at_once in [1, 3, 50] {
                let bus = Arc::clone(&bus);
                let offset_u64 = u64::try_from(offset).unwrap();
                let (mut newest, total) = Newest::after(bus, offset_u64, at_once).await.unwrap();
                let mut told = Vec::new();
                while let Some(entry) = newest.next().await.unwrap() {
                    told.push(entry.id);
                }
                assert_eq!(
                    told,
                    ids[offset.min(ids.len())..],
                    "from {offset}, {at_once} at once"
                );
                assert_eq!(total, 40);
            }
        }
    }

    #[test]
    fn long_paths_are_cut_between_characters() {
        assert_eq!(shortened("/api/job"), "/api/job");
        let cut = shortened(&"ü".repeat(10_000));
        assert!(cut.len() <= PATH_BYTES_MAX + '…'.len_utf8() && cut.ends_with("ü…"));
    }

    #[test]
    fn strangers_cannot_fill_the_trail() {
        let mut allowance = Allowance::full();
        let granted = (0..10_000).filter(|_| allowance.take()).count();
        assert!((500..600).contains(&granted), "{granted}");
    }

    #[test]
    fn what_needs_a_token_is_audited_but_for_health_and_metrics() {
        assert!(covers(Endpoint::GetNodeNtp) && covers(Endpoint::GetAudit));
        for endpoint in [
            Endpoint::GetHealth,
            Endpoint::GetHealthReady,
            Endpoint::GetHealthStatus,
            Endpoint::GetMetrics,
            Endpoint::GetOpenApi,
        ] {
            assert!(!covers(endpoint));
        }
    }
}
