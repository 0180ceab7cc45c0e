//! One host as a row of the table.

use askama::Template;
use jiff::Timestamp;
use model::host::{AgentInfo, HostState};
use model::ntp::{DriftKind, NtpStatus};

use super::{Details, Quantity, State};
use crate::ui::text::shown;
use crate::ui::{clock, units};

/// How many labels and servers a row names; the details name them all.
const NAMED_MAX: usize = 3;

/// The condition of a host on which more than one time service sets the clock.
const CONFLICT: &str = "TimeServiceConflict";

/// A host's row, and its details while they are open.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Machine id; made of letters, digits, `-` and `_`.
    pub(crate) id: String,
    hostname: String,
    /// State in the fleet, when it is another than ready.
    standing: Option<&'static str>,
    labels: Vec<String>,
    state: State,
    /// Why the state of the clock is not known.
    why: Option<String>,
    offset: Option<Quantity>,
    bound: Option<Quantity>,
    /// Where the bound is on the scale, of 1000.
    along: String,
    stratum: Option<u8>,
    source: Option<String>,
    servers: Vec<String>,
    servers_more: usize,
    managed: bool,
    drift: Option<&'static str>,
    /// Whether more than one time service sets the clock.
    conflict: bool,
    /// To the second, so that the row stays equal between two reports.
    heard_at: Option<Timestamp>,
    /// Query of the view in which the details of this row are open, or shut if they are open now.
    toggle: String,
    details: Option<Details>,
}

#[derive(Template)]
#[template(path = "parts/row.html")]
struct RowTemplate<'a> {
    row: &'a Row,
    heard_age_s: Option<u64>,
}

impl Row {
    /// Makes the row of a host.
    pub(crate) fn of(host: &AgentInfo, toggle: String, open: bool) -> Self {
        let ntp = host.ntp.as_ref();
        let state = State::of(host);
        let bound_s = ntp.and_then(|ntp| ntp.error_bound_s);
        let servers = ntp.map(|ntp| ntp.servers.as_slice()).unwrap_or_default();
        Row {
            id: host.machine_id.clone().unwrap_or_default(),
            hostname: shown(&host.hostname),
            standing: standing(host.state),
            labels: host
                .labels
                .iter()
                .take(NAMED_MAX)
                .map(|(k, v)| shown(&format!("{k}:{v}")))
                .collect(),
            state,
            why: host
                .ntp_error
                .as_deref()
                .filter(|_| state == State::Unknown)
                .map(shown),
            offset: ntp.and_then(|ntp| ntp.offset_s).map(Quantity::offset),
            bound: bound_s.map(Quantity::bound),
            along: format!("{:.0}", units::along_scale(bound_s.unwrap_or(0.0)) * 1000.0),
            stratum: ntp.and_then(|ntp| ntp.stratum),
            source: ntp.and_then(|ntp| ntp.current_source.as_deref()).map(shown),
            servers: servers.iter().take(NAMED_MAX).map(|name| shown(name)).collect(),
            servers_more: servers.len().saturating_sub(NAMED_MAX),
            managed: ntp.is_some_and(|ntp| ntp.managed),
            drift: ntp.and_then(drift_word),
            conflict: host.conditions.iter().any(|condition| condition.kind == CONFLICT),
            heard_at: heard_at(host),
            toggle,
            details: open.then(|| Details::of(host)),
        }
    }

    /// Renders it; ages are told as of `now`.
    ///
    /// # Errors
    /// None in practice: writing to memory cannot fail.
    pub(crate) fn html(&self, now: Timestamp) -> askama::Result<String> {
        let heard_age_s = self.heard_at.map(|at| clock::seconds_between(at, now));
        RowTemplate {
            row: self,
            heard_age_s,
        }
        .render()
    }

    fn is_old(&self) -> bool {
        !self.state.is_current()
    }
}

/// Word for a state in the fleet that is not the usual one.
pub(super) fn standing(state: Option<HostState>) -> Option<&'static str> {
    match state {
        Some(HostState::Cordoned) => Some("drained"),
        Some(HostState::Pending) => Some("pending"),
        Some(HostState::Rejected) => Some("rejected"),
        Some(HostState::Unknown) => Some("in an unknown state"),
        Some(HostState::Ready) | None => None,
    }
}

/// Word for a kind of drift.
pub(super) fn drift_word(ntp: &NtpStatus) -> Option<&'static str> {
    ntp.drift.as_ref().map(|drift| match drift.kind {
        DriftKind::Edited => "edited",
        DriftKind::Missing => "file missing",
        DriftKind::NotLoaded => "not loaded",
        DriftKind::Unknown => "differs",
    })
}

/// How old what the row shows is: as old as the report. Where there is none, when the agent was heard of.
pub(crate) fn heard_at(host: &AgentInfo) -> Option<Timestamp> {
    let reported_at = host.reported_at.as_deref().filter(|_| host.ntp.is_some());
    let at: Timestamp = reported_at.or(host.last_seen.as_deref())?.parse().ok()?;
    at.round(jiff::Unit::Second).ok()
}

/// What hosts are compared by: a value that is there and current comes before one that is not.
pub(crate) fn magnitude_key(host: &AgentInfo, value: impl Fn(&NtpStatus) -> Option<f64>) -> Option<f64> {
    let current = State::of(host).is_current();
    host.ntp.as_ref().filter(|_| current).and_then(value)
}
