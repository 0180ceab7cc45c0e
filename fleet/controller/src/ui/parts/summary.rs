//! The fleet in one look.

use askama::Template;
use askama::filters::HtmlSafe;
use model::host::AgentInfo;

use super::{Quantity, State};
use crate::ui::text::shown;
use crate::ui::units;

/// How many hosts are in which state, and how wrong the worst clock can be.
#[derive(Clone, Debug, PartialEq, Template)]
#[template(path = "parts/summary.html")]
pub(crate) struct Summary {
    pub(crate) total: usize,
    pub(crate) counts: Vec<Count>,
    pub(crate) drifted: usize,
    pub(crate) worst: Option<Worst>,
    /// Hosts that are heard of and have no error bound.
    unbounded: usize,
}

// The template escapes what it shows.
impl HtmlSafe for Summary {}

/// How many hosts are in a state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Count {
    pub(crate) state: State,
    pub(crate) hosts: usize,
    /// Begin and width of its piece of the bar, of 1000.
    begin: usize,
    width: usize,
}

/// The host with the largest error bound.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Worst {
    pub(crate) hostname: String,
    id: String,
    pub(crate) bound: Quantity,
    state: State,
    /// Where it is on the scale, of 1000.
    along: String,
}

impl Summary {
    /// Counts the hosts of the fleet.
    pub(crate) fn of(hosts: &[AgentInfo]) -> Self {
        let in_state = |state| hosts.iter().filter(|host| State::of(host) == state).count();
        let mut begin = 0;
        let mut counts = Vec::new();
        let mut before = 0;
        for state in State::ALL {
            let count = in_state(state);
            before += count;
            let end = (before * BAR).checked_div(hosts.len()).unwrap_or(0);
            counts.push(Count {
                state,
                hosts: count,
                begin,
                width: end - begin,
            });
            begin = end;
        }
        // Rare enough that it only takes a place when it occurs.
        counts.retain(|count| count.state != State::Unknown || count.hosts > 0);
        let current = || hosts.iter().filter(|host| State::of(host).is_current());
        let bound = |host: &AgentInfo| host.ntp.as_ref().and_then(|ntp| ntp.error_bound_s);
        let worst = current()
            .filter_map(|host| Some((bound(host)?, host)))
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(bound_s, host)| Worst {
                hostname: shown(&host.hostname),
                id: host.machine_id.clone().unwrap_or_default(),
                bound: Quantity::bound(bound_s),
                state: State::of(host),
                along: format!("{:.0}", units::along_scale(bound_s) * 1000.0),
            });
        Summary {
            total: hosts.len(),
            counts,
            drifted: hosts.iter().filter(|host| is_drifted(host)).count(),
            worst,
            unbounded: current().filter(|host| bound(host).is_none()).count(),
        }
    }

    /// For the window's title: what needs a look.
    pub(crate) fn title(&self) -> String {
        let count = |state| {
            self.counts
                .iter()
                .filter(|c| c.state == state)
                .map(|c| c.hosts)
                .sum::<usize>()
        };
        match (self.total, self.total - count(State::Synchronised)) {
            (0, _) => "no host yet".to_owned(),
            (total, 0) => format!("{total} synchronised"),
            (total, not) => format!("{not} of {total} not synchronised"),
        }
    }
}

const BAR: usize = 1000;

/// Whether the configuration differs from what was written, as far as is known now.
pub(crate) fn is_drifted(host: &AgentInfo) -> bool {
    let current = host.ntp.as_ref().filter(|_| State::of(host).is_current());
    current.is_some_and(|ntp| ntp.drift.is_some())
}
