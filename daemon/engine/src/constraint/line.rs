//! One line of the configuration: the addresses of its host, and what was said there.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use conf::config;
use units::Mono;

use super::{Numbers, RETRY_S, Reading, Tools, uptime_ns};
use crate::io::{ConstraintAnswer, ConstraintError, ConstraintId, LookupId, Output, Severity};

/// A name that cannot be looked up is tried again so many times soon …
const SOON_TRIES: u32 = 4;
/// … after this, seconds …
const SOON_S: f64 = 1.0;
/// … and from then on after this, seconds.
const LATER_S: f64 = 15.0;

/// How many addresses of a name are asked.
const ADDRESSES_MAX: usize = 8;

/// A line of the configuration.
#[derive(Debug)]
pub(super) struct Line {
    config: config::Constraint,
    naming: Naming,
    asked: Vec<Asked>,
}

/// How far the name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// Nothing is to be looked up.
    Done,
    /// A lookup is under way, after so many that failed.
    UnderWay(LookupId, u32),
    /// So many failed; the next one is at that time.
    Failed(u32, Mono),
}

/// One constraint: of these addresses the first that answers is it.
#[derive(Debug)]
struct Asked {
    addresses: Vec<IpAddr>,
    /// Whose turn it is.
    turn: usize,
    state: State,
    /// What it said when it last answered.
    reading: Option<Reading>,
    /// Whether its certificate was valid by a synchronised clock then.
    is_proven: bool,
    /// What was last said about why an address does not answer.
    complaints: BTreeMap<IpAddr, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has answered, or was not asked yet.
    Idle,
    /// It is being asked.
    UnderWay {
        /// The request.
        request: ConstraintId,
        /// Whether the certificate is checked at the time of a synchronised clock; otherwise at the time that the
        /// server tells.
        is_proof: bool,
    },
    /// It did not answer, and is asked again at that time.
    Failed(Mono),
}

impl Line {
    pub(super) fn new(config: config::Constraint) -> Self {
        Self {
            config,
            naming: Naming::Done,
            asked: Vec::new(),
        }
    }

    /// Whether it is this line of a configuration.
    pub(super) fn is(&self, config: &config::Constraint) -> bool {
        self.config == *config
    }

    /// Whether somebody is asked, or looked up, whose answer is not known yet.
    pub(super) fn is_waiting(&self) -> bool {
        let is_under_way = |asked: &Asked| matches!(asked.state, State::UnderWay { .. });
        matches!(self.naming, Naming::UnderWay(..)) || self.asked.iter().any(is_under_way)
    }

    /// What was said.
    pub(super) fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.asked.iter().filter_map(|asked| asked.reading.as_ref())
    }

    /// When something is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Mono> {
        let of_name = match self.naming {
            Naming::Failed(_, at) => Some(at),
            Naming::Done | Naming::UnderWay(..) => None,
        };
        let of_asked = self.asked.iter().filter_map(Asked::retry_at);
        of_asked.chain(of_name).min()
    }

    /// Asks anew, also those that are being asked.
    pub(super) fn begin(&mut self, numbers: &mut Numbers<'_>, tools: &mut Tools<'_>) {
        if matches!(self.naming, Naming::UnderWay(..)) {
            return;
        }
        let known = match self.config.url.host().parse() {
            _ if !self.config.addresses.is_empty() => self.config.addresses.clone(),
            Ok(address) => vec![address],
            Err(_) => return self.look_up(0, numbers, tools),
        };
        self.ask_at(&known, numbers, tools);
    }

    /// Tries again what is due.
    pub(super) fn retry(&mut self, numbers: &mut Numbers<'_>, tools: &mut Tools<'_>) {
        let now = tools.now.mono;
        let is_due = |at: Mono| at <= now;
        let are_due = |asked: &Asked| asked.retry_at().is_some_and(is_due);
        match self.naming {
            Naming::Failed(tries, at) if is_due(at) => return self.look_up(tries, numbers, tools),
            Naming::Done if self.asked.iter().all(are_due) && !self.asked.is_empty() => {
                // Its name may have other addresses by now.
                return self.begin(numbers, tools);
            }
            // While others are looked for, or cannot be found, those that it had are asked.
            Naming::Done | Naming::UnderWay(..) | Naming::Failed(..) => {}
        }
        for asked in &mut self.asked {
            if are_due(asked) {
                asked.turn = 0;
                asked.ask(&self.config, numbers, tools);
            }
        }
    }

    /// A name has been looked up; says whether it was this one.
    pub(super) fn resolved(
        &mut self,
        lookup: LookupId,
        addresses: &[IpAddr],
        numbers: &mut Numbers<'_>,
        tools: &mut Tools<'_>,
    ) -> bool {
        let tries = match self.naming {
            Naming::UnderWay(id, tries) if id == lookup => tries,
            _ => return false,
        };
        if addresses.is_empty() {
            let wait_s = if tries < SOON_TRIES { SOON_S } else { LATER_S };
            let at = tools.now.mono.plus_seconds(wait_s);
            self.naming = Naming::Failed(tries.saturating_add(1), at);
            if tries == 0 {
                let host = self.config.url.host();
                tools
                    .out
                    .say(Severity::Warning, format!("Could not look up constraint {host}"));
            }
            return true;
        }
        self.naming = Naming::Done;
        let addresses = addresses.get(..ADDRESSES_MAX).unwrap_or(addresses);
        self.ask_at(addresses, numbers, tools);
        true
    }

    /// Takes an answer in, if it is to a request of this line.
    pub(super) fn answered(
        &mut self,
        request: ConstraintId,
        answer: &ConstraintAnswer,
        numbers: &mut Numbers<'_>,
        tools: &mut Tools<'_>,
    ) {
        let find = |asked: &mut Asked| match asked.state {
            State::UnderWay {
                request: id,
                is_proof,
            } if id == request => Some(is_proof),
            State::Idle | State::UnderWay { .. } | State::Failed(_) => None,
        };
        let mut all = self.asked.iter_mut();
        let Some((asked, is_proof)) = all.find_map(|asked| find(asked).map(|is_proof| (asked, is_proof)))
        else {
            return;
        };
        match answer {
            Ok(reply) => {
                asked.state = State::Idle;
                asked.complaints.clear();
                asked.is_proven = is_proof;
                asked.reading = Some(Reading {
                    uptime_ns: uptime_ns(reply.at),
                    time: reply.date,
                });
                let offset_s = reply.date.seconds_since(reply.at.wall);
                if let Some(remark) = &reply.remark {
                    tools.out.say(Severity::Warning, remark.clone());
                }
                tools.out.say(
                    Severity::Info,
                    format!("constraint reply from {}: offset {offset_s:.6}", asked.place()),
                );
            }
            Err(error) => asked.failed(error, &self.config, numbers, tools),
        }
    }

    fn look_up(&mut self, tries: u32, numbers: &mut Numbers<'_>, tools: &mut Tools<'_>) {
        let lookup = numbers.lookup();
        self.naming = Naming::UnderWay(lookup, tries);
        tools.out.push(Output::Resolve {
            lookup,
            name: self.config.url.host().to_owned(),
        });
    }

    /// Asks at these addresses. What was said before holds until they say something else.
    fn ask_at(&mut self, addresses: &[IpAddr], numbers: &mut Numbers<'_>, tools: &mut Tools<'_>) {
        let before = std::mem::take(&mut self.asked);
        if self.config.is_pool {
            let mut before = before;
            for address in addresses {
                let place = before.iter().position(|asked| asked.addresses == [*address]);
                let asked =
                    place.map_or_else(|| Asked::new(vec![*address]), |place| before.swap_remove(place));
                self.asked.push(asked);
            }
        } else {
            let mut asked = Asked::new(addresses.to_vec());
            if let Some(before) = before.into_iter().next() {
                asked.reading = before.reading;
                asked.is_proven = before.is_proven;
                asked.complaints = before.complaints;
            }
            self.asked.push(asked);
        }
        for asked in &mut self.asked {
            asked.turn = 0;
            asked.ask(&self.config, numbers, tools);
        }
    }
}

impl Asked {
    fn new(addresses: Vec<IpAddr>) -> Self {
        Self {
            addresses,
            turn: 0,
            state: State::Idle,
            reading: None,
            is_proven: false,
            complaints: BTreeMap::new(),
        }
    }

    fn address(&self) -> Option<IpAddr> {
        self.addresses.get(self.turn).copied()
    }

    /// Who is asked, in messages.
    fn place(&self) -> String {
        self.address()
            .map(|address| address.to_string())
            .unwrap_or_default()
    }

    fn retry_at(&self) -> Option<Mono> {
        match self.state {
            State::Failed(at) => Some(at),
            State::Idle | State::UnderWay { .. } => None,
        }
    }

    fn ask(&mut self, config: &config::Constraint, numbers: &mut Numbers<'_>, tools: &mut Tools<'_>) {
        let Some(address) = self.address() else { return };
        let request = numbers.request();
        let is_proof = tools.true_time.is_some();
        self.state = State::UnderWay { request, is_proof };
        tools
            .out
            .say(Severity::Debug, format!("constraint request to {address}"));
        tools.out.push(Output::AskConstraint {
            request,
            address: SocketAddr::new(address, config.url.port()),
            url: config.url.clone(),
            true_time: tools.true_time,
        });
    }

    fn failed(
        &mut self,
        error: &ConstraintError,
        config: &config::Constraint,
        numbers: &mut Numbers<'_>,
        tools: &mut Tools<'_>,
    ) {
        // Who cannot prove it by a synchronised clock may never have been who it was taken for.
        if error.is_unproven && !self.is_proven {
            self.reading = None;
        }
        let place = self.place();
        if let Some(address) = self.address() {
            let said = self.complaints.insert(address, error.text.clone());
            let is_new = said.is_none_or(|said| said != error.text);
            let severity = if is_new {
                Severity::Warning
            } else {
                Severity::Debug
            };
            tools.out.say(severity, error.text.clone());
        }
        if self.turn + 1 < self.addresses.len() {
            self.turn += 1;
            return self.ask(config, numbers, tools);
        }
        self.turn = 0;
        self.state = State::Failed(tools.now.mono.plus_seconds(RETRY_S));
        tools.out.say(
            Severity::Debug,
            format!("no constraint reply from {place} received in time, next query {RETRY_S:.0}s"),
        );
    }
}
