//! What part of the fleet somebody looks at: filter, order, page and open rows. It is the address of the
//! page, so that it can be sent to a colleague, reloaded, and used without a script.

use std::cmp::Ordering;
use std::fmt::Write as _;

use model::host::AgentInfo;
use serde::Deserialize;

use super::parts::{State, magnitude_key};

/// How many hosts a page shows.
pub(crate) const PAGE_HOSTS: usize = 200;

/// How many rows can be open.
const OPEN_MAX: usize = 20;

/// Longest filter, in characters.
const FILTER_MAX: usize = 200;

/// The query of the page's address as it came. Nothing in it is an error: what is not understood counts as
/// absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Query {
    q: String,
    state: String,
    sort: String,
    reverse: String,
    page: String,
    open: String,
    refresh: String,
}

/// What is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) text: String,
    pub(crate) only: Option<Only>,
    pub(crate) sort: Sort,
    pub(crate) reverse: bool,
    /// From 0 on.
    pub(crate) page: usize,
    pub(crate) open: Vec<String>,
    /// Whether the page loads itself again without a script.
    pub(crate) refresh: bool,
}

/// A choice of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    /// Those in this state.
    In(State),
    /// Those whose configuration differs from what was written.
    Drifted,
}

/// What hosts are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// What needs a look first.
    #[default]
    State,
    /// Name.
    Host,
    /// Size of the offset, largest first.
    Offset,
    /// Error bound, largest first.
    Bound,
    /// Stratum, lowest first.
    Stratum,
    /// Name of the source.
    Source,
    /// Names of the configured servers.
    Servers,
    /// When heard of last, longest ago first.
    Heard,
}

impl Only {
    /// What can be chosen.
    pub(crate) const ALL: [Only; 6] = [
        Only::In(State::Synchronised),
        Only::In(State::FreeRunning),
        Only::In(State::NotSynchronised),
        Only::In(State::NoWord),
        Only::In(State::Unknown),
        Only::Drifted,
    ];

    /// In one word, for addresses.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Only::In(state) => state.slug(),
            Only::Drifted => "drift",
        }
    }

    /// In words.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Only::In(state) => state.word(),
            Only::Drifted => "Configuration drift",
        }
    }

    fn has(self, host: &AgentInfo) -> bool {
        match self {
            Only::In(state) => State::of(host) == state,
            Only::Drifted => super::parts::is_drifted(host),
        }
    }
}

impl Sort {
    /// What hosts can be ordered by, in the order of the columns.
    pub(crate) const ALL: [Sort; 8] = [
        Sort::Host,
        Sort::State,
        Sort::Offset,
        Sort::Bound,
        Sort::Stratum,
        Sort::Source,
        Sort::Servers,
        Sort::Heard,
    ];

    /// In one word, for addresses.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Sort::State => "state",
            Sort::Host => "host",
            Sort::Offset => "offset",
            Sort::Bound => "bound",
            Sort::Stratum => "stratum",
            Sort::Source => "source",
            Sort::Servers => "servers",
            Sort::Heard => "heard",
        }
    }

    /// Head of the column.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Sort::State => "State",
            Sort::Host => "Host",
            Sort::Offset => "Offset",
            Sort::Bound => "Error bound",
            Sort::Stratum => "Stratum",
            Sort::Source => "Source",
            Sort::Servers => "Servers",
            Sort::Heard => "Heard",
        }
    }

    /// Whether the natural order has the largest first.
    pub(crate) fn is_descending(self) -> bool {
        matches!(self, Sort::Offset | Sort::Bound | Sort::Heard)
    }

    /// Compares in natural order. Hosts without a current value come last, also in the reverse order.
    fn compare(self, a: &AgentInfo, b: &AgentInfo, reverse: bool) -> Ordering {
        fn present_first<T: Copy>(
            a: Option<T>,
            b: Option<T>,
            compare: impl Fn(T, T) -> Ordering,
        ) -> Ordering {
            match (a, b) {
                (Some(a), Some(b)) => compare(a, b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            }
        }
        let turned = |order: Ordering| if reverse { order.reverse() } else { order };
        let numbers = |value: fn(&model::ntp::NtpStatus) -> Option<f64>| {
            present_first(magnitude_key(a, value), magnitude_key(b, value), |a, b| {
                turned(b.total_cmp(&a))
            })
        };
        fn ntp(host: &AgentInfo) -> Option<&model::ntp::NtpStatus> {
            host.ntp.as_ref().filter(|_| State::of(host).is_current())
        }
        match self {
            Sort::State => turned(attention(a).cmp(&attention(b))),
            Sort::Host => turned(natural(&a.hostname, &b.hostname)),
            Sort::Offset => numbers(|ntp| ntp.offset_s.map(f64::abs)),
            Sort::Bound => numbers(|ntp| ntp.error_bound_s),
            Sort::Stratum => {
                let stratum = |host| ntp(host).and_then(|ntp| ntp.stratum);
                present_first(stratum(a), stratum(b), |a, b| turned(a.cmp(&b)))
            }
            Sort::Source => {
                fn source(host: &AgentInfo) -> Option<&str> {
                    ntp(host)?.current_source.as_deref()
                }
                present_first(source(a), source(b), |a, b| turned(natural(a, b)))
            }
            Sort::Servers => {
                fn servers(host: &AgentInfo) -> Option<&[String]> {
                    host.ntp
                        .as_ref()
                        .map(|ntp| ntp.servers.as_slice())
                        .filter(|servers| !servers.is_empty())
                }
                present_first(servers(a), servers(b), |a, b| turned(a.cmp(b)))
            }
            Sort::Heard => present_first(super::parts::heard_at(a), super::parts::heard_at(b), |a, b| {
                turned(a.as_second().cmp(&b.as_second()))
            }),
        }
    }
}

/// How soon a host needs a look: its state, and whether its configuration drifted.
fn attention(host: &AgentInfo) -> (State, bool) {
    (State::of(host), !super::parts::is_drifted(host))
}

/// Compares names with numbers in them as people count: `web-9` before `web-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (mut left, mut right) = (a, b);
    loop {
        let (n, m) = (digits(left), digits(right));
        if n > 0 && m > 0 {
            let (x, y) = (
                left[..n].trim_start_matches('0'),
                right[..m].trim_start_matches('0'),
            );
            match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
                Ordering::Equal => (left, right) = (&left[n..], &right[m..]),
                order => return order,
            }
            continue;
        }
        let (mut x, mut y) = (left.chars(), right.chars());
        match (x.next(), y.next()) {
            (Some(c), Some(d)) if c == d => (left, right) = (x.as_str(), y.as_str()),
            (None, None) => return a.cmp(b),
            (c, d) => return c.cmp(&d),
        }
    }
}

impl From<Query> for View {
    fn from(query: Query) -> Self {
        let machine_id = |id: &&str| {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        View {
            text: query.q.trim().chars().take(FILTER_MAX).collect(),
            only: Only::ALL.into_iter().find(|only| only.slug() == query.state),
            sort: Sort::ALL
                .into_iter()
                .find(|sort| sort.slug() == query.sort)
                .unwrap_or_default(),
            reverse: !query.reverse.is_empty(),
            page: query
                .page
                .parse::<usize>()
                .unwrap_or(1)
                .saturating_sub(1)
                .min(1_000_000),
            open: query
                .open
                .split(',')
                .filter(machine_id)
                .take(OPEN_MAX)
                .map(str::to_owned)
                .collect(),
            refresh: !query.refresh.is_empty(),
        }
    }
}

/// The hosts of one page.
pub(crate) struct Chosen<'a> {
    pub(crate) hosts: Vec<&'a AgentInfo>,
    /// Place of the first one, from 0 on.
    pub(crate) first: usize,
    /// How many pass the filter.
    pub(crate) matching: usize,
}

impl View {
    /// The hosts to show, in order. A page behind the last one shows the last one.
    pub(crate) fn choose<'a>(&self, hosts: &'a [AgentInfo]) -> Chosen<'a> {
        let words: Vec<String> = self.text.split_whitespace().map(str::to_lowercase).collect();
        let mut matching: Vec<&AgentInfo> = hosts
            .iter()
            .filter(|host| self.only.is_none_or(|only| only.has(host)))
            .filter(|host| words.iter().all(|word| fits(host, word)))
            .collect();
        matching.sort_by(|a, b| {
            self.sort
                .compare(a, b, self.reverse)
                .then_with(|| natural(&a.hostname, &b.hostname))
                .then_with(|| a.machine_id.cmp(&b.machine_id))
        });
        let last_page = matching.len().saturating_sub(1) / PAGE_HOSTS;
        let first = self.page.min(last_page) * PAGE_HOSTS;
        Chosen {
            matching: matching.len(),
            first,
            hosts: matching.into_iter().skip(first).take(PAGE_HOSTS).collect(),
        }
    }

    /// Whether everything there is passes the filter.
    pub(crate) fn is_everything(&self) -> bool {
        self.text.is_empty() && self.only.is_none()
    }

    pub(crate) fn is_open(&self, machine_id: &str) -> bool {
        self.open.iter().any(|open| open == machine_id)
    }

    /// The view with the details of a host opened or shut.
    pub(crate) fn toggled(&self, machine_id: &str) -> View {
        let mut view = self.clone();
        if self.is_open(machine_id) {
            view.open.retain(|open| open != machine_id);
        } else {
            // The oldest one makes room.
            view.open.drain(..(view.open.len() + 1).saturating_sub(OPEN_MAX));
            view.open.push(machine_id.to_owned());
        }
        view
    }

    /// The view ordered by a column, the other way round if it is ordered by it already.
    pub(crate) fn sorted(&self, sort: Sort) -> View {
        let reverse = self.sort == sort && !self.reverse;
        View {
            sort,
            reverse,
            page: 0,
            ..self.clone()
        }
    }

    /// The view turned to a page.
    pub(crate) fn at_page(&self, page: usize) -> View {
        View { page, ..self.clone() }
    }

    /// The view with only some hosts.
    pub(crate) fn choosing(&self, only: Option<Only>) -> View {
        View {
            only,
            page: 0,
            ..self.clone()
        }
    }

    /// The view in a page that loads itself again, or does not.
    pub(crate) fn refreshing(&self, refresh: bool) -> View {
        View {
            refresh,
            ..self.clone()
        }
    }

    /// The query that means this view, with its question mark; empty for the usual view.
    pub(crate) fn query(&self) -> String {
        let mut query = String::new();
        let mut add = |name: &str, value: &str| {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(name);
            query.push('=');
            encode(&mut query, value);
        };
        if !self.text.is_empty() {
            add("q", &self.text);
        }
        if let Some(only) = self.only {
            add("state", only.slug());
        }
        if self.sort != Sort::default() {
            add("sort", self.sort.slug());
        }
        if self.reverse {
            add("reverse", "1");
        }
        if self.page > 0 {
            add("page", &(self.page + 1).to_string());
        }
        if !self.open.is_empty() {
            add("open", &self.open.join(","));
        }
        if self.refresh {
            add("refresh", "1");
        }
        query
    }
}

/// Whether a host has a word, in lower case, in its name, its machine id, a label, or begins its state with it.
fn fits(host: &AgentInfo, word: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(word);
    has(&host.hostname)
        || host.fqdn.as_deref().is_some_and(has)
        || host.machine_id.as_deref().is_some_and(has)
        || host
            .labels
            .iter()
            .any(|(key, value)| has(&format!("{key}:{value}")))
        || State::of(host)
            .slug()
            .starts_with(&word.replace("synchroniz", "synchronis"))
}

/// Writes a value for a query: everything but unreserved characters as `%XX`.
fn encode(query: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b',' | b':') {
            query.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(query, "%{byte:02X}");
        }
    }
}
