//! Metrics: what the controller did, and the clock of every host as it was last reported.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::host::{AgentInfo, HostState};
use model::job::JobState;
use model::ntp::SyncState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Controller;

/// Media type of the text that [`Metrics::text`] gives.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets for durations, in seconds: a read of one host takes milliseconds, a job waits
/// up to five minutes.
const DURATION_BUCKETS_S: [f64; 12] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0,
];

/// Counts, and gives the counts out.
pub(crate) struct Metrics {
    registry: Registry,
    jobs_created: Counter,
    jobs_processed: Family<StateLabel, Counter>,
    job_duration: Histogram,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    audit_dropped: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl Metrics {
    pub(crate) fn new(controller: &Arc<Controller>) -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("timeball"),
            jobs_created: Counter::default(),
            jobs_processed: Family::default(),
            job_duration: duration(),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(duration),
            audit_dropped: Counter::default(),
        };
        metrics.register(controller);
        metrics
    }

    fn register(&mut self, controller: &Arc<Controller>) {
        let registry = &mut self.registry;
        registry.register("jobs_created", "Jobs submitted", self.jobs_created.clone());
        registry.register(
            "jobs_processed",
            "Jobs ended, by state",
            self.jobs_processed.clone(),
        );
        registry.register(
            "job_duration_seconds",
            "Time from a job's submission to its last row",
            self.job_duration.clone(),
        );
        registry.register("http_requests", "Requests answered", self.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from a request to its answer",
            self.request_duration.clone(),
        );
        registry.register(
            "audit_entries_dropped",
            "Audit entries that could not be written",
            self.audit_dropped.clone(),
        );
        registry.register_collector(Box::new(Fleet {
            controller: Arc::downgrade(controller),
        }));
    }

    /// Takes note of a job that was submitted.
    pub(crate) fn job_created(&self) {
        self.jobs_created.inc();
    }

    /// Takes note of a job that has ended.
    pub(crate) fn job_ended(&self, state: JobState, took: Duration) {
        let status = match state {
            JobState::Submitted => "submitted",
            JobState::Processing => "processing",
            JobState::Completed => "completed",
            JobState::Failed => "failed",
            JobState::PartialFailure => "partial_failure",
            JobState::Skipped => "skipped",
        };
        self.jobs_processed.get_or_create(&StateLabel { status }).inc();
        self.job_duration.observe(took.as_secs_f64());
    }

    /// Takes note of a request that was answered.
    pub(crate) fn http(&self, method: &str, route: &'static str, status: u16, took: Option<Duration>) {
        // Methods of the table only: a stranger can make up any number of others.
        let method = match method {
            "GET" | "POST" | "PUT" | "DELETE" => method.to_owned(),
            _ => "other".to_owned(),
        };
        self.requests
            .get_or_create(&RequestLabels {
                method: method.clone(),
                route,
                status,
            })
            .inc();
        if let Some(took) = took {
            self.request_duration
                .get_or_create(&RouteLabels { method, route })
                .observe(took.as_secs_f64());
        }
    }

    /// The counter of audit entries that could not be written.
    pub(crate) fn audit_dropped(&self) -> Counter {
        self.audit_dropped.clone()
    }

    /// Everything in the OpenMetrics text format.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn duration() -> Histogram {
    Histogram::new(DURATION_BUCKETS_S)
}

/// What is read off the controller when somebody asks.
struct Fleet {
    controller: Weak<Controller>,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fleet")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostLabels {
    host: String,
    machine_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgentStateLabel {
    state: &'static str,
}

/// A gauge of every host whose last report can be relied on: name, help, value.
type HostGauge = (&'static str, &'static str, fn(&AgentInfo) -> Option<f64>);

const HOST_GAUGES: [HostGauge; 8] = [
    (
        "clock_error_bound_seconds",
        "Greatest error the host's clock can have, as last reported",
        |host| host.ntp.as_ref()?.error_bound_s,
    ),
    (
        "clock_offset_seconds",
        "Estimated offset of the host's clock as last reported, positive when it is behind",
        |host| host.ntp.as_ref()?.offset_s,
    ),
    (
        "clock_synchronized",
        "1 when the host's clock follows a source, else 0",
        |host| {
            host.ntp
                .as_ref()
                .map(|ntp| one_if(ntp.state == SyncState::Synchronized))
        },
    ),
    ("clock_stratum", "Stratum of the host", |host| {
        host.ntp.as_ref()?.stratum.map(f64::from)
    }),
    (
        "sources_usable",
        "Sources of the host that can be followed",
        |host| {
            let usable = |state: &str| matches!(state, "selected" | "combined" | "not_combined");
            let count = host
                .ntp
                .as_ref()?
                .sources
                .iter()
                .filter(|source| usable(&source.state))
                .count();
            u32::try_from(count).ok().map(f64::from)
        },
    ),
    (
        "config_drift",
        "1 when the host differs from what was last written, else 0",
        |host| host.ntp.as_ref().map(|ntp| one_if(ntp.drift.is_some())),
    ),
    (
        "clock_keepers",
        "Time services that set the host's clock; more than one are a conflict",
        |host| {
            let keepers = host.time_services.iter().filter(|service| service.sets_clock);
            u32::try_from(keepers.count()).ok().map(f64::from)
        },
    ),
    (
        "config_managed",
        "1 when timeball manages the host's servers, else 0",
        |host| host.ntp.as_ref().map(|ntp| one_if(ntp.managed)),
    ),
];

fn one_if(condition: bool) -> f64 {
    if condition { 1.0 } else { 0.0 }
}

fn is_heard(host: &AgentInfo) -> bool {
    host.status == "Ready"
}

impl Collector for Fleet {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(controller) = self.controller.upgrade() else {
            return Ok(());
        };
        single(
            &mut encoder,
            "jobs_active",
            "Jobs under way",
            count(controller.jobs().counts().processing),
        )?;
        single(
            &mut encoder,
            "heartbeat_age_seconds",
            "Longest time since a connected host was heard of",
            controller.hosts().oldest_heartbeat().as_secs_f64(),
        )?;
        let build = [(
            BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            },
            1.0,
        )];
        labelled(&mut encoder, "build_info", "The version that runs", build)?;

        let hosts = controller.hosts().list();
        labelled(
            &mut encoder,
            "agents",
            "Hosts by state",
            states(&hosts, controller.hosts().pending().len()),
        )?;
        let up = hosts.iter().map(|host| (labels(host), one_if(is_heard(host))));
        labelled(
            &mut encoder,
            "host_up",
            "1 when the host's agent is connected and heard of, else 0",
            up,
        )?;
        for (name, help, value) in HOST_GAUGES {
            // An old report of a silent host would look like a clock that stands still.
            let values = hosts
                .iter()
                .filter(|host| is_heard(host))
                .filter_map(|host| Some((labels(host), value(host)?)));
            labelled(&mut encoder, name, help, values)?;
        }
        Ok(())
    }
}

fn labels(host: &AgentInfo) -> HostLabels {
    HostLabels {
        host: host.hostname.clone(),
        machine_id: host.machine_id.clone().unwrap_or_default(),
    }
}

fn states(hosts: &[AgentInfo], pending: usize) -> [(AgentStateLabel, f64); 4] {
    let accepted = |state| {
        let count = hosts.iter().filter(|host| host.state == Some(state)).count();
        u32::try_from(count).map_or(f64::MAX, f64::from)
    };
    let silent = hosts
        .iter()
        .filter(|host| host.state == Some(HostState::Ready) && !is_heard(host))
        .count();
    let silent = u32::try_from(silent).map_or(f64::MAX, f64::from);
    [
        (
            AgentStateLabel { state: "ready" },
            accepted(HostState::Ready) - silent,
        ),
        (AgentStateLabel { state: "silent" }, silent),
        (
            AgentStateLabel { state: "cordoned" },
            accepted(HostState::Cordoned),
        ),
        (
            AgentStateLabel { state: "pending" },
            u32::try_from(pending).map_or(f64::MAX, f64::from),
        ),
    ]
}

fn count(value: u64) -> f64 {
    u32::try_from(value).map_or(f64::MAX, f64::from)
}

fn single(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

fn labelled<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, f64)>,
) -> Result<(), fmt::Error> {
    let kind = ConstGauge::new(0.0).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
