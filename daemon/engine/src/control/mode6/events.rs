//! What happened to the daemon and its sources, in the words of ntpd, and the files of statistics in which ntpd keeps it.
//!
//! Nobody has to report anything: after whatever may have changed something, what there is now is compared with what there
//! was.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};

use conf::config::StatisticsKind;
use units::{Leap, Mono, UnixTime};
use wire::mode6::{Event, PeerEvent, SystemEvent};
use wire::ntp::KissCode;

use crate::Engine;
use crate::control::report::Following;
use crate::io::{Now, Output};
use crate::select::Status;
use crate::source::SourceId;
use crate::timer::Timer;

/// How often `sysstats` has a line, seconds.
const SYSTEM_STATISTICS_S: f64 = 3600.0;

/// The seconds of a day.
const DAY_S: i64 = 86_400;

/// The day of 1970-01-01, counted as astronomers do it (modified Julian date).
const EPOCH_DAY: i64 = 40_587;

/// Of the code of an event in `protostats`, the bit that says that it is a source's.
const OF_SOURCE: u8 = 0x80;

/// The most often that an event is counted in a row.
const COUNT_MAX: u8 = 15;

/// Everything that happened last, and what there was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Events {
    /// What happened to the daemon.
    pub system: Event<SystemEvent>,
    /// When the clock was stepped last.
    pub stepped_at: Option<Mono>,
    following: Option<Following>,
    leap: Leap,
    steps: u32,
    updates: u32,
    sources: BTreeMap<SourceId, Known>,
    /// The counts of the line of `sysstats` before.
    counted: [u64; 11],
}

/// What is known of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Known {
    event: Event<PeerEvent>,
    address: Option<IpAddr>,
    is_reachable: bool,
    is_followed: bool,
    kiss: Option<KissCode>,
    received: u32,
    valid: u32,
    good: u32,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            system: Event {
                kind: SystemEvent::Unspecified,
                count: 0,
            },
            stepped_at: None,
            following: None,
            leap: Leap::Unsynchronised,
            steps: 0,
            updates: 0,
            sources: BTreeMap::new(),
            counted: [0; 11],
        }
    }
}

/// Counts one more event.
fn count<K: PartialEq>(event: &mut Event<K>, kind: K) {
    let before = if event.kind == kind { event.count } else { 0 };
    *event = Event {
        kind,
        count: before.saturating_add(1).min(COUNT_MAX),
    };
}

impl Engine {
    /// Takes down what the daemon begins with.
    pub(crate) fn begin_events(&mut self, now: Now) {
        let frequency = match self.options.drift {
            Some((gain_ppm, _)) => (
                SystemEvent::FrequencySet,
                format!("freq_set kernel {:.6} PPM", -gain_ppm),
            ),
            None => (SystemEvent::FrequencyNotSet, "freq_not_set".to_owned()),
        };
        self.happened(now, frequency.0, &frequency.1);
        self.happened(now, SystemEvent::Restart, "restart");
        if self.keeps(StatisticsKind::System) {
            self.timers
                .set(Timer::Statistics, now.mono.plus_seconds(SYSTEM_STATISTICS_S));
        }
    }

    /// What happened last to a source.
    pub(super) fn last_event(&self, id: SourceId) -> Event<PeerEvent> {
        let known = self.mode6.events.sources.get(&id);
        known.map_or(Event::default(), |known| known.event)
    }

    /// Takes down what has changed, where anybody could ask for it: control messages are answered by rules, and only with
    /// them are there files of statistics.
    pub(crate) fn note_events(&mut self, now: Now) {
        if self.server.restrictions.is_none() {
            return;
        }
        self.note_system(now);
        let ids = self.associations();
        let known = self.mode6.events.sources.keys();
        let gone: Vec<SourceId> = known
            .filter(|id| ids.binary_search(id).is_err())
            .copied()
            .collect();
        for id in gone {
            if let Some(mut known) = self.mode6.events.sources.remove(&id) {
                count(&mut known.event, PeerEvent::Demobilize);
                let status = u16::from(known.event.count) << 4 | known.event.kind as u16;
                let text = format!("demobilize assoc {}", super::number(id));
                self.write_protocol(
                    now,
                    &known.address.unwrap_or(NOWHERE),
                    status,
                    known.event.kind as u8 | OF_SOURCE,
                    &text,
                );
            }
        }
        self.note_pools(now);
        for id in ids {
            self.note_source(now, id);
        }
    }

    /// Takes down that there are new pools; nothing else happens to one.
    fn note_pools(&mut self, now: Now) {
        let is_new = |id: &SourceId| !self.mode6.events.sources.contains_key(id);
        let pools = self.sources.pools().filter(|(id, _)| is_new(id));
        let new: Vec<_> = pools.map(|(id, config)| (id, config.name.to_string())).collect();
        for (id, name) in new {
            let mut known = Known::default();
            count(&mut known.event, PeerEvent::Mobilize);
            self.mode6.events.sources.insert(id, known);
            let status = self.association_status(id).word();
            let text = format!("mobilize assoc {}", super::number(id));
            let code = PeerEvent::Mobilize as u8 | OF_SOURCE;
            self.write_protocol(now, &name, status, code, &text);
        }
    }

    fn note_system(&mut self, now: Now) {
        let tracking = self.tracking(now.mono);
        let events = &self.mode6.events;
        let (before, leap_before) = (events.following, events.leap);
        let (steps, updates) = (self.discipline.steps(), self.discipline.updates());
        let is_stepped = steps != events.steps;
        let is_updated = updates != events.updates;
        let events = &mut self.mode6.events;
        (events.steps, events.updates) = (steps, updates);
        (events.following, events.leap) = (Some(tracking.following), tracking.leap);
        if is_stepped {
            events.stepped_at = Some(now.mono);
            let by_s = self.discipline.last_step_s();
            self.happened(now, SystemEvent::ClockStep, &format!("clock_step {by_s:+.6} s"));
        }
        if is_updated {
            self.write_loop(now);
        }
        let (is_following, was_following) = (
            tracking.following == Following::Source,
            before == Some(Following::Source),
        );
        if is_following && !was_following {
            self.happened(now, SystemEvent::ClockSync, "clock_sync");
        }
        if was_following && !is_following {
            self.happened(now, SystemEvent::NoSystemPeer, "no_sys_peer");
        }
        let is_armed = |leap: Leap| matches!(leap, Leap::Insert | Leap::Delete);
        if is_armed(tracking.leap) && !is_armed(leap_before) {
            self.happened(now, SystemEvent::LeapArmed, "leap_armed");
        }
        if is_armed(leap_before) && tracking.leap == Leap::Normal {
            self.happened(now, SystemEvent::LeapDisarmed, "leap_disarmed");
        }
    }

    fn note_source(&mut self, now: Now, id: SourceId) {
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        let is_followed = self
            .verdicts
            .get(&id)
            .is_some_and(|verdict| verdict.status == Status::Best);
        let counts = &source.counts;
        let is_bad = source.config.key_id.is_some()
            && source
                .last_answer
                .as_ref()
                .is_some_and(|answer| !answer.tests.authentic);
        let new = Known {
            event: Event::default(),
            address: source.address,
            is_reachable: source.reach != 0,
            is_followed,
            kiss: source.kissed,
            received: counts.received,
            valid: counts.valid,
            good: counts.good,
        };
        let old = self.mode6.events.sources.get(&id).cloned();
        let mut happened = Vec::new();
        match &old {
            None => happened.push((
                PeerEvent::Mobilize,
                format!("mobilize assoc {}", super::number(id)),
            )),
            // It begins anew, perhaps with another address.
            Some(old) if new.received < old.received || new.good < old.good => {
                happened.push((PeerEvent::Restart, "restart".to_owned()));
            }
            Some(_) => {}
        }
        let (was_reachable, was_followed, kiss, received) =
            old.as_ref().map_or((false, false, None, 0), |old| {
                (old.is_reachable, old.is_followed, old.kiss, old.received)
            });
        if new.is_reachable && !was_reachable {
            happened.push((PeerEvent::Reachable, "reachable".to_owned()));
        }
        if was_reachable && !new.is_reachable {
            happened.push((PeerEvent::Unreachable, "unreachable".to_owned()));
        }
        if is_bad && new.received != received {
            happened.push((PeerEvent::BadAuthentication, "bad_auth".to_owned()));
        }
        if new.kiss != kiss {
            match new.kiss {
                Some(KissCode::Rate) => happened.push((PeerEvent::RateExceeded, "rate_exceeded".to_owned())),
                Some(_) => happened.push((PeerEvent::AccessDenied, "access_denied".to_owned())),
                None => {}
            }
        }
        if new.is_followed && !was_followed {
            happened.push((PeerEvent::SystemPeer, "sys_peer".to_owned()));
        }
        let is_answered = old.as_ref().is_none_or(|old| new.valid != old.valid) && new.valid > 0;
        let is_sampled = old.as_ref().is_none_or(|old| new.good != old.good) && new.good > 0;
        let event = old.map_or(Event::default(), |old| old.event);
        self.mode6.events.sources.insert(id, Known { event, ..new });
        for (kind, text) in happened {
            if let Some(known) = self.mode6.events.sources.get_mut(&id) {
                count(&mut known.event, kind);
            }
            let status = self.association_status(id).word();
            let place = self.place(id);
            self.write_protocol(now, &place, status, kind as u8 | OF_SOURCE, &text);
        }
        if is_answered {
            self.write_raw(now, id);
        }
        if is_sampled {
            self.write_peer(now, id);
        }
    }

    /// Takes down something that happened to the daemon.
    fn happened(&mut self, now: Now, kind: SystemEvent, text: &str) {
        count(&mut self.mode6.events.system, kind);
        let status = self.system_status(now.mono).word();
        self.write_protocol(now, &NOWHERE, status, kind as u8, text);
    }

    fn keeps(&self, kind: StatisticsKind) -> bool {
        self.config.statistics.files.contains_key(&kind)
    }

    fn write(&mut self, now: Now, kind: StatisticsKind, columns: &str) {
        let at = now.wall;
        let line = format!("{} {columns}", moment(at));
        self.out.push(Output::Statistics { kind, at, line });
    }

    /// A line of protostats.
    fn write_protocol(&mut self, now: Now, place: &dyn Display, status: u16, code: u8, text: &str) {
        if self.keeps(StatisticsKind::Protocol) {
            let columns = format!("{place} {status:04x} {code:02x} {text}");
            self.write(now, StatisticsKind::Protocol, &columns);
        }
    }

    /// A line of loopstats.
    fn write_loop(&mut self, now: Now) {
        if !self.keeps(StatisticsKind::Loop) {
            return;
        }
        let tracking = self.tracking(now.mono);
        let (poll, wander) = self.loop_state();
        let columns = format!(
            "{:.9} {:.6} {:.9} {:.6} {poll}",
            tracking.last_offset_s,
            -tracking.frequency_ppm,
            tracking.rms_offset_s,
            wander.abs() * 1e6,
        );
        self.write(now, StatisticsKind::Loop, &columns);
    }

    /// A line of peerstats.
    fn write_peer(&mut self, now: Now, id: SourceId) {
        if !self.keeps(StatisticsKind::Peer) {
            return;
        }
        let newest = self.source_report(id, now.mono).and_then(|report| report.newest);
        let (Some(source), Some(newest)) = (self.sources.get(&id), newest) else {
            return;
        };
        let columns = format!(
            "{} {:04x} {:.9} {:.9} {:.9} {:.9}",
            self.place(id),
            self.association_status(id).word(),
            newest.offset_s,
            source.estimator.last().map_or(0.0, |sample| sample.delay_s),
            self.filter(source, now).dispersion_s,
            source.estimator.jitter_s().unwrap_or(0.0),
        );
        self.write(now, StatisticsKind::Peer, &columns);
    }

    /// A line of rawstats.
    fn write_raw(&mut self, now: Now, id: SourceId) {
        if !self.keeps(StatisticsKind::Raw) {
            return;
        }
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        let Some(answer) = &source.last_answer else { return };
        let (header, measured) = (&answer.header, &answer.measurement);
        let half_s = (measured.delay_s + measured.response_s) / 2.0;
        let stamp = |stamp: units::NtpTimestamp| {
            let nanos = (u64::from(stamp.fraction()) * 1_000_000_000) >> 32;
            format!("{}.{nanos:09}", stamp.seconds())
        };
        let columns = format!(
            "{} {} {} {} {} {} {} {} {} {} {} {} {:.6} {:.6} {} 0 0 0",
            self.place(id),
            answer.local.unwrap_or(NOWHERE),
            stamp(measured.middle.plus_seconds(-half_s).to_ntp()),
            stamp(header.receive_time),
            stamp(header.transmit_time),
            stamp(measured.middle.plus_seconds(half_s).to_ntp()),
            header.leap.bits(),
            header.version.number(),
            header.mode.bits(),
            header.stratum.0,
            header.poll.0,
            header.precision,
            header.root_delay.as_seconds(),
            header.root_dispersion.as_seconds(),
            super::association::reference(source, Some(answer)),
        );
        self.write(now, StatisticsKind::Raw, &columns);
    }

    /// The address of a source, or the name: that of a reference clock, or one of which nobody has told the address.
    fn place(&self, id: SourceId) -> String {
        let of_source = || {
            let source = self.sources.get(&id)?;
            let address = source.address.map(|address| address.to_string());
            address.or_else(|| Some(source.config.name.to_string()))
        };
        self.ref_clock_name(id).or_else(of_source).unwrap_or_default()
    }

    /// The line of sysstats that is due.
    pub(crate) fn write_system_statistics(&mut self, now: Now) {
        self.timers
            .set(Timer::Statistics, now.mono.plus_seconds(SYSTEM_STATISTICS_S));
        let totals = self.system_counts();
        let before = std::mem::replace(&mut self.mode6.events.counted, totals);
        let mut columns = format!("{SYSTEM_STATISTICS_S:.0}");
        for (total, before) in totals.into_iter().zip(before) {
            columns.push_str(&format!(" {}", total.saturating_sub(before)));
        }
        self.write(now, StatisticsKind::System, &columns);
    }
}

/// The address of whoever has none.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The day and the second in it, as the files of statistics have them.
fn moment(at: UnixTime) -> String {
    let seconds = at.seconds();
    let (day, second) = (seconds.div_euclid(DAY_S) + EPOCH_DAY, seconds.rem_euclid(DAY_S));
    format!("{day} {second}.{:03}", at.nanos() / 1_000_000)
}
