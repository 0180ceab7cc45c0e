//! Constraints: HTTPS servers, whose dates nobody on the way can forge, bound the time of those whose answers anybody can.
//!
//! The date of an answer is exact to a second at best, so that it measures nothing. But the median of what several say
//! is never off by [`MARGIN_S`], and an answer of a source further away from it is a lie. As long as no constraint has
//! answered, sources that are not trusted are not even asked. Here it is decided whom to ask and when; the asking is the
//! program's ([`Output::AskConstraint`]). The intervals are those of OpenNTPD.

mod line;
#[cfg(test)]
mod stories;

use std::net::IpAddr;

use conf::config;
use units::{Mono, UnixTime};
use wire::ntp::Header;

use crate::constraint::line::Line;
use crate::engine::Engine;
use crate::io::{ConstraintAnswer, ConstraintId, LookupError, LookupId, Now, Output, Severity};
use crate::outbox::Outbox;
use crate::source::Source;
use crate::timer::{Timer, Timers};

/// The largest difference between a timestamp of a source and the median of the constraints, seconds.
pub const MARGIN_S: f64 = 120.0;

/// The wait before a constraint that did not answer is asked again, seconds.
const RETRY_S: f64 = 900.0;

/// A source that lied is asked again after so long, and up to [`REFUSED_SPREAD_S`] more, seconds.
pub(crate) const REFUSED_WAIT_S: f64 = 3000.0;

/// See [`REFUSED_WAIT_S`].
pub(crate) const REFUSED_SPREAD_S: f64 = 300.0;

/// After so many refused answers for each source it is rather the constraints that are wrong: they are asked again.
const REFUSED_PER_SOURCE: usize = 4;

/// Two medians that differ by less are the same, seconds.
const CHANGE_S: f64 = 10.0;

/// What time it was at some moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    /// The moment: how long the host had been running, sleep included, nanoseconds.
    uptime_ns: i64,
    /// The time then.
    time: UnixTime,
}

impl Reading {
    /// What follows from it for now.
    fn time_now(&self, now: Now) -> UnixTime {
        let elapsed = Mono::from_nanos(uptime_ns(now)).seconds_since(Mono::from_nanos(self.uptime_ns));
        self.time.plus_seconds(elapsed)
    }
}

/// What constraints say at one moment about the time of sources that are not trusted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Constrained {
    /// Nothing: none are configured.
    Not,
    /// Nothing yet: none has answered.
    Unknown,
    /// It has to be near this.
    Near(UnixTime),
}

impl Constrained {
    /// Whether the timestamps of an answer can be true. `is_interleaved`: its transmit timestamp is that of the answer
    /// before, which can have been long ago. `era_start` is the first second of the era of remote times, Unix seconds.
    pub fn allows(self, header: &Header, is_interleaved: bool, era_start: i64) -> bool {
        let Self::Near(time) = self else {
            return self == Self::Not;
        };
        let is_near = |timestamp| {
            let stamped = UnixTime::from_ntp_in_window(timestamp, era_start);
            stamped.seconds_since(time).abs() <= MARGIN_S
        };
        is_near(header.receive_time) && (is_interleaved || is_near(header.transmit_time))
    }
}

/// What operators are told of the constraints.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConstraintReport {
    /// By how much the system clock is behind the median, seconds; `None` while there is no median.
    pub offset_s: Option<f64>,
    /// How many answers of sources were refused since the constraints were last asked for that reason.
    pub refused: usize,
}

/// What [`Constraints`] use of the rest of the engine.
pub(crate) struct Tools<'a> {
    pub(crate) now: Now,
    /// True time as far as it is known; `None` while the clock is not synchronised.
    pub(crate) true_time: Option<UnixTime>,
    pub(crate) timers: &'a mut Timers,
    pub(crate) out: &'a mut Outbox,
}

/// All constraints.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    lines: Vec<Line>,
    /// The median of what they said.
    median: Option<Reading>,
    /// How many answers of sources were refused since it is so.
    refused: usize,
    /// Whether the clock was synchronised when that was last looked at.
    is_synchronised: bool,
    /// When they were last asked because that had begun.
    synchronised_at: Option<Mono>,
    /// When it was last said that there is no median.
    complained_at: Option<Mono>,
    next_request: u32,
    next_lookup: u32,
}

/// The first number of lookups of constraints: sources count from 0, names in rules from the other end.
const FIRST_LOOKUP: u32 = 1 << 31;

impl Constraints {
    pub(crate) fn new(configs: &[config::Constraint]) -> Self {
        Self {
            lines: configs.iter().cloned().map(Line::new).collect(),
            next_lookup: FIRST_LOOKUP,
            ..Self::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What they say now.
    pub(crate) fn constrained(&self, now: Now) -> Constrained {
        match &self.median {
            _ if self.lines.is_empty() => Constrained::Not,
            None => Constrained::Unknown,
            Some(median) => Constrained::Near(median.time_now(now)),
        }
    }

    /// Asks those that a new configuration adds, and forgets those that it does not have. Says whether there are any such.
    fn replace(&mut self, configs: &[config::Constraint], tools: &mut Tools<'_>) -> bool {
        let mut before = std::mem::take(&mut self.lines);
        let (mut places, count) = (Vec::new(), before.len());
        for config in configs {
            let place = before.iter().position(|line| line.is(config));
            places.push(place.is_none());
            let line = place.map_or_else(|| Line::new(config.clone()), |place| before.swap_remove(place));
            self.lines.push(line);
        }
        if before.is_empty() && self.lines.len() == count {
            return false;
        }
        self.refused = 0;
        if self.lines.is_empty() {
            self.median = None;
        }
        if count == 0 && tools.true_time.is_some() {
            // They are asked by a clock that is right already, and need not be asked again when it is.
            self.observe(true, tools.now.mono);
        }
        let mut are_new = places.into_iter();
        self.for_each(tools, |line, numbers, tools| {
            if are_new.next() == Some(true) {
                line.begin(numbers, tools);
            }
        });
        true
    }

    /// Asks all that are not being asked, those that have answered too.
    fn fetch(&mut self, tools: &mut Tools<'_>) {
        self.refused = 0;
        self.for_each(tools, |line, numbers, tools| line.begin(numbers, tools));
    }

    /// Asks those again whose time has come.
    fn retry(&mut self, tools: &mut Tools<'_>) {
        self.for_each(tools, |line, numbers, tools| line.retry(numbers, tools));
    }

    /// A name has been looked up; says whether it was that of a constraint.
    fn resolved(
        &mut self,
        lookup: LookupId,
        answer: &Result<Vec<IpAddr>, LookupError>,
        tools: &mut Tools<'_>,
    ) -> bool {
        let mut is_ours = false;
        let addresses = answer.as_deref().unwrap_or_default();
        self.for_each(tools, |line, numbers, tools| {
            is_ours |= line.resolved(lookup, addresses, numbers, tools);
        });
        is_ours
    }

    /// A constraint has answered, or will not.
    fn answered(&mut self, request: ConstraintId, answer: &ConstraintAnswer, tools: &mut Tools<'_>) {
        self.for_each(tools, |line, numbers, tools| {
            line.answered(request, answer, numbers, tools);
        });
    }

    fn for_each(
        &mut self,
        tools: &mut Tools<'_>,
        mut act: impl FnMut(&mut Line, &mut Numbers<'_>, &mut Tools<'_>),
    ) {
        let mut numbers = Numbers {
            request: &mut self.next_request,
            lookup: &mut self.next_lookup,
        };
        for line in &mut self.lines {
            act(line, &mut numbers, tools);
        }
        match self.lines.iter().filter_map(Line::retry_at).min() {
            Some(at) => tools.timers.set(Timer::Constraint, at),
            None => tools.timers.stop(Timer::Constraint),
        }
    }

    /// Takes the median once nobody is being asked any more: of some of them it can be a lie. Says whether it is another
    /// one than before, beyond what dates are exact to.
    fn settle(&mut self, tools: &mut Tools<'_>) -> bool {
        if self.lines.iter().any(Line::is_waiting) {
            return false;
        }
        let now = tools.now;
        let uptime_ns = uptime_ns(now);
        let readings = self.lines.iter().flat_map(Line::readings);
        let times = readings.map(|reading| reading.time_now(now)).collect();
        let before = self.median;
        self.median = median(times).map(|time| Reading { uptime_ns, time });
        if let Some(median) = &self.median {
            self.complained_at = None;
            return before.is_none_or(|before| {
                let change_s = before.time_now(now).seconds_since(median.time);
                change_s.abs() > CHANGE_S
            });
        }
        let is_told = |at: Mono| now.mono.seconds_since(at) < RETRY_S;
        if !self.complained_at.is_some_and(is_told) {
            self.complained_at = Some(now.mono);
            tools
                .out
                .say(Severity::Error, "constraints configured but none available");
        }
        false
    }

    /// An answer of one of so many sources was refused; says whether the constraints are to be asked again.
    fn refused(&mut self, sources: usize) -> bool {
        self.refused += 1;
        self.refused > REFUSED_PER_SOURCE * sources
    }

    /// Whether the clock is synchronised now; says whether that has just begun, and did not a short time ago too.
    fn observe(&mut self, is_synchronised: bool, now: Mono) -> bool {
        let before = std::mem::replace(&mut self.is_synchronised, is_synchronised);
        let is_soon = |at: Mono| now.seconds_since(at) < RETRY_S;
        if before || !is_synchronised || self.synchronised_at.is_some_and(is_soon) {
            return false;
        }
        self.synchronised_at = Some(now);
        true
    }
}

/// Numbers that are not used twice.
struct Numbers<'a> {
    request: &'a mut u32,
    lookup: &'a mut u32,
}

impl Numbers<'_> {
    fn request(&mut self) -> ConstraintId {
        let id = ConstraintId(*self.request);
        *self.request = self.request.wrapping_add(1);
        id
    }

    fn lookup(&mut self) -> LookupId {
        let id = LookupId(*self.lookup);
        *self.lookup = FIRST_LOOKUP | self.lookup.wrapping_add(1);
        id
    }
}

/// How long the host has been running, sleep included, nanoseconds: nobody steps that clock.
fn uptime_ns(now: Now) -> i64 {
    now.mono.as_nanos().saturating_add(now.slept_ns)
}

/// The middle one, or the mean of the two in the middle.
fn median(mut times: Vec<UnixTime>) -> Option<UnixTime> {
    times.sort();
    let middle = times.len() / 2;
    let upper = *times.get(middle)?;
    if times.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *times.get(middle.checked_sub(1)?)?;
    Some(lower.plus_seconds(upper.seconds_since(lower) / 2.0))
}

impl Engine {
    /// What is known from constraints; `None` if none are configured.
    pub fn constraint_report(&self, now: Now) -> Option<ConstraintReport> {
        let offset_s = match self.constraints.constrained(now) {
            Constrained::Not => return None,
            Constrained::Unknown => None,
            Constrained::Near(time) => Some(time.seconds_since(now.wall)),
        };
        Some(ConstraintReport {
            offset_s,
            refused: self.constraints.refused,
        })
    }

    /// Asks all constraints.
    pub(crate) fn fetch_constraints(&mut self, now: Now) {
        if !self.constraints.is_empty() {
            self.constrain(now, |constraints, tools| constraints.fetch(tools));
        }
    }

    /// Takes the constraints of a new configuration. Those that it has too go on as if nothing had happened.
    pub(crate) fn configure_constraints(&mut self, now: Now, configs: &[config::Constraint]) {
        if !self.constrain(now, |constraints, tools| constraints.replace(configs, tools)) {
            return;
        }
        if self.constraints.is_empty() {
            // Nobody has to wait any more.
            self.ask(now, |sources, tools| sources.constraints_changed(tools));
        } else {
            self.settle_constraints(now);
        }
    }

    /// Asks the constraints again that have not answered.
    pub(crate) fn retry_constraints(&mut self, now: Now) {
        self.constrain(now, |constraints, tools| constraints.retry(tools));
    }

    /// A name has been looked up; says whether it was that of a constraint.
    pub(crate) fn constraint_resolved(
        &mut self,
        now: Now,
        lookup: LookupId,
        answer: &Result<Vec<IpAddr>, LookupError>,
    ) -> bool {
        let is_ours = self.constrain(now, |constraints, tools| {
            constraints.resolved(lookup, answer, tools)
        });
        if is_ours {
            self.settle_constraints(now);
        }
        is_ours
    }

    /// A constraint has answered, or will not.
    pub(crate) fn constraint_answered(&mut self, now: Now, request: ConstraintId, answer: &ConstraintAnswer) {
        self.constrain(now, |constraints, tools| {
            constraints.answered(request, answer, tools);
        });
        self.settle_constraints(now);
    }

    /// An answer of a source was refused.
    pub(crate) fn refused_by_constraint(&mut self, now: Now) {
        if self.options.once.is_some() || self.is_measuring_first() {
            self.give_up_if_settled(now.mono);
        }
        if self.constraints.refused(self.sources.len()) {
            self.out.say(
                Severity::Info,
                "Constraints are asked again : many replies do not agree with them",
            );
            self.fetch_constraints(now);
        }
    }

    /// Once the clock is synchronised the constraints are asked again: certificates can be checked now.
    pub(crate) fn watch_constraints(&mut self, now: Now) {
        let is_synchronised = self.discipline.reference().is_some();
        if !self.constraints.is_empty() && self.constraints.observe(is_synchronised, now.mono) {
            self.fetch_constraints(now);
        }
    }

    /// Lets those go on who waited for the constraints.
    fn settle_constraints(&mut self, now: Now) {
        if self.constrain(now, Constraints::settle) {
            self.ask(now, |sources, tools| sources.constraints_changed(tools));
        }
        let waits_for_ever = self.options.once.is_some()
            && self.constraints.complained_at.is_some()
            && self.sources.values().all(Source::is_constrained);
        if waits_for_ever {
            self.out.warn("No suitable source for synchronisation");
            self.out.push(Output::Exit { status: 1 });
        }
    }

    fn constrain<R>(&mut self, now: Now, act: impl FnOnce(&mut Constraints, &mut Tools<'_>) -> R) -> R {
        let is_synchronised = self.discipline.reference().is_some();
        let mut tools = Tools {
            now,
            true_time: is_synchronised.then(|| self.true_time(now.mono)),
            timers: &mut self.timers,
            out: &mut self.out,
        };
        act(&mut self.constraints, &mut tools)
    }
}
