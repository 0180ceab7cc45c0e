//! Everything a host reported, for the one who looks into it.

use askama::Template;
use askama::filters::HtmlSafe;
use model::host::{AgentInfo, Condition};
use model::ntp::{NtpStatus, SourceStatus};

use super::row::{drift_word, standing};
use super::{Quantity, State};
use crate::ui::text::shown;
use crate::ui::{clock, units};

/// How many entries of a list are shown; a host can report more than anybody reads.
const LISTED_MAX: usize = 64;

/// The details of a host.
#[derive(Clone, Debug, PartialEq, Template)]
#[template(path = "parts/details.html")]
pub(crate) struct Details {
    hostname: String,
    old: bool,
    clock: Vec<Field>,
    configuration: Vec<Field>,
    host: Vec<Field>,
    drift: Option<Told>,
    managed_servers: Vec<String>,
    other_servers: Vec<String>,
    notes: Vec<String>,
    conditions: Vec<Told>,
    sources: Vec<Source>,
    sources_more: usize,
    /// Why there are no values.
    nothing: Option<String>,
}

// The template escapes what it shows.
impl HtmlSafe for Details {}

/// A name with its value.
#[derive(Clone, Debug, PartialEq)]
struct Field {
    name: &'static str,
    value: String,
    /// The value exactly, where `value` is for reading.
    exact: String,
}

/// Something in a word and a sentence.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    word: String,
    detail: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Source {
    name: String,
    address: Option<String>,
    /// What it is, when it is no server.
    kind: Option<&'static str>,
    state: &'static str,
    /// The sign chrony's own tool shows for the state.
    sign: &'static str,
    slug: &'static str,
    stratum: Option<u8>,
    poll: String,
    reach_octal: String,
    /// The last eight polls, oldest first.
    polls: Vec<Poll>,
    last_sample: Option<String>,
    offset: Quantity,
    error: Quantity,
}

/// One bit of the reach register.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Poll {
    answered: bool,
    x: usize,
}

impl Details {
    /// Makes the details of a host.
    pub(crate) fn of(host: &AgentInfo) -> Self {
        let none = NtpStatus::default();
        let ntp = host.ntp.as_ref().unwrap_or(&none);
        let state = State::of(host);
        let list = |texts: &[String]| texts.iter().take(LISTED_MAX).map(|text| shown(text)).collect();
        Details {
            hostname: shown(&host.hostname),
            old: !state.is_current(),
            clock: if host.ntp.is_some() {
                clock_fields(ntp)
            } else {
                Vec::new()
            },
            configuration: configuration_fields(ntp),
            host: host_fields(host),
            drift: ntp.drift.as_ref().map(|drift| Told {
                word: drift_word(ntp).unwrap_or_default().to_owned(),
                detail: shown(&drift.detail),
            }),
            managed_servers: ntp
                .managed_servers
                .iter()
                .take(LISTED_MAX)
                .map(|server| shown(&server.to_string().replace('+', " ")))
                .collect(),
            other_servers: list(&ntp.other_servers),
            notes: list(&ntp.notes),
            conditions: host.conditions.iter().map(condition).collect(),
            sources: ntp.sources.iter().take(LISTED_MAX).map(Source::of).collect(),
            sources_more: ntp.sources.len().saturating_sub(LISTED_MAX),
            nothing: match (&host.ntp, &host.ntp_error) {
                (Some(_), _) => None,
                (None, Some(error)) => Some(shown(error)),
                (None, None) => {
                    Some("This controller has had no report about the clock of this host.".to_owned())
                }
            },
        }
    }
}

fn condition(condition: &Condition) -> Told {
    let word = match condition.kind.as_str() {
        "ClockNotSynchronized" => "clock not synchronised".to_owned(),
        "ClockFreeRunning" => "clock free-running".to_owned(),
        "ConfigDrift" => "configuration drift".to_owned(),
        kind => shown(condition.reason.as_deref().unwrap_or(kind)),
    };
    Told {
        word,
        detail: clock::minute(&condition.last_transition_time),
    }
}

fn clock_fields(ntp: &NtpStatus) -> Vec<Field> {
    let mut fields = vec![Field::text("Time service", &ntp.service_text())];
    let mut quantity = |name, quantity: Option<Quantity>| {
        fields.extend(quantity.map(|q| Field {
            name,
            value: q.text,
            exact: q.exact,
        }));
    };
    quantity("Offset", ntp.offset_s.map(Quantity::offset));
    quantity("Error bound", ntp.error_bound_s.map(Quantity::bound));
    quantity("Root delay", ntp.root_delay_s.map(Quantity::bound));
    quantity("Root dispersion", ntp.root_dispersion_s.map(Quantity::bound));
    if let Some(frequency_ppm) = ntp.frequency_ppm {
        let skew = ntp
            .skew_ppm
            .map(|skew_ppm| format!(" ± {skew_ppm:.3}"))
            .unwrap_or_default();
        let (size, way) = (
            frequency_ppm.abs(),
            if frequency_ppm < 0.0 { "slow" } else { "fast" },
        );
        fields.push(Field::text("Oscillator", &format!("{size:.3}{skew} ppm {way}")));
    }
    fields.extend(ntp.leap.as_ref().map(|leap| {
        let leap = match leap.as_str() {
            "normal" => "none announced",
            "insert" => "a second will be inserted",
            "delete" => "a second will be deleted",
            "unsynchronised" => "not known",
            other => other,
        };
        Field::text("Leap second", leap)
    }));
    fields
}

fn configuration_fields(ntp: &NtpStatus) -> Vec<Field> {
    let managed = if ntp.managed {
        "by timeball"
    } else {
        "not by timeball"
    };
    vec![Field::text("Managed", managed)]
}

fn host_fields(host: &AgentInfo) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut known = |name, value: Option<String>| {
        fields.extend(
            value
                .filter(|value| !value.is_empty())
                .map(|value| Field::text(name, &value)),
        );
    };
    let labels: Vec<String> = host
        .labels
        .iter()
        .map(|(key, value)| format!("{key}:{value}"))
        .collect();
    known("In the fleet", standing(host.state).map(str::to_owned));
    known(
        "Full name",
        host.fqdn.clone().filter(|fqdn| *fqdn != host.hostname),
    );
    known("Labels", Some(labels.join(", ")));
    known(
        "System",
        host.os_info
            .as_ref()
            .map(|os| format!("{} {}", os.distribution, os.version)),
    );
    known("Kernel", host.kernel_version.clone());
    known("Up for", host.uptime.clone());
    known("Agent", host.agent_version.clone());
    known("Machine id", host.machine_id.clone());
    known("Key", host.fingerprint.clone());
    known("Accepted", host.registered_at.as_deref().map(clock::minute));
    fields
}

impl Field {
    fn text(name: &'static str, value: &str) -> Self {
        Field {
            name,
            value: shown(value),
            exact: String::new(),
        }
    }
}

impl Source {
    fn of(source: &SourceStatus) -> Self {
        let (state, sign, slug) = match source.state.as_str() {
            "selected" => ("followed", "*", "good"),
            "combined" => ("combined", "+", "good"),
            "not_combined" => ("good, not used", "\u{2212}", "fair"),
            "falseticker" => ("wrong time", "×", "bad"),
            "jittery" => ("too unsteady", "~", "bad"),
            "unusable" => ("unusable", "?", "none"),
            _ => ("unknown", "?", "none"),
        };
        Source {
            name: shown(&source.name),
            address: source
                .address
                .as_deref()
                .filter(|address| *address != source.name)
                .map(shown),
            kind: match source.mode.as_str() {
                "server" => None,
                "peer" => Some("peer"),
                "refclock" => Some("reference clock"),
                _ => Some("unknown kind"),
            },
            state,
            sign,
            slug,
            stratum: Some(source.stratum).filter(|stratum| *stratum > 0),
            poll: units::poll(source.poll),
            reach_octal: format!("{:o}", source.reach),
            polls: (0..8_usize)
                .map(|n| Poll {
                    answered: source.reach & (0x80 >> n) != 0,
                    x: n * 7,
                })
                .collect(),
            last_sample: source.last_sample_s.map(|age_s| units::age(age_s.into())),
            offset: Quantity::offset(source.offset_s),
            error: Quantity::bound(source.error_s),
        }
    }
}
