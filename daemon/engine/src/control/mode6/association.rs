//! The variables of one source.

use std::net::{IpAddr, Ipv4Addr};

use conf::config::{SourceConfig, SourceKind, SourceName};
use units::rounding::nearest_i64;
use units::{Leap, NtpTimestamp, UnixTime};
use wire::mode6::{PeerStatus, Selection, Value, Variable};

use crate::Engine;
use crate::io::Now;
use crate::select::Status;
use crate::source::exchange::LastAnswer;
use crate::source::{Source, SourceId};

/// The dispersion of a source that was never heard, seconds. Source: RFC 5905, MAXDISP.
const DISPERSION_MAX_S: f64 = 16.0;

/// How fast the dispersion of a sample grows, as a part. Source: RFC 5905, PHI.
const DISPERSION_RATE: f64 = 15e-6;

/// The number of samples that ntpd keeps of a source.
const FILTER_LENGTH: usize = 8;

impl Engine {
    /// The status of a source or a pool, with what happened last.
    pub(super) fn association_status(&self, id: SourceId) -> PeerStatus {
        let status = self
            .verdicts
            .get(&id)
            .map_or(Status::default(), |verdict| verdict.status);
        let Some(source) = self.sources.get(&id) else {
            let is_pool = self.pool(id).is_some();
            return PeerStatus {
                configured: is_pool,
                broadcast: is_pool,
                event: self.last_event(id),
                ..PeerStatus::default()
            };
        };
        let is_keyed = source.config.key_id.is_some();
        let selection = selection(status);
        PeerStatus {
            configured: !self.sources.is_of_pool(id),
            authentication_enabled: is_keyed,
            authentic: is_keyed
                && source
                    .last_answer
                    .as_ref()
                    .is_some_and(|answer| answer.tests.authentic),
            reachable: source.reach != 0,
            broadcast: false,
            selection,
            event: self.last_event(id),
        }
    }

    /// What is said of the pool with this number.
    pub(super) fn pool(&self, id: SourceId) -> Option<&SourceConfig> {
        let mut pools = self.sources.pools();
        pools.find(|(pool, _)| *pool == id).map(|(_, config)| config)
    }

    /// The variables of a source, in ntpd's order: `ntpq` takes the later of `reftime` and `rec` for the time at which
    /// the source was heard. A pool has those of a source that is never heard.
    pub(super) fn association_variables(&self, id: SourceId, now: Now) -> Vec<Variable> {
        let pattern = self.pool(id);
        let pattern = pattern.map(|config| Source::new(config.clone(), self.prior(), 0));
        let Some(source) = self.sources.get(&id).or(pattern.as_ref()) else {
            return Vec::new();
        };
        let is_given = self.sources.is_of_pool(id);
        let answer = source.last_answer.as_ref();
        let header = answer.map(|answer| &answer.header);
        let newest = source.estimator.last();
        let filter = self.filter(source, now);
        let report = self.source_report(id, now.mono);
        let offset_s = report
            .and_then(|report| report.newest)
            .map_or(0.0, |newest| newest.offset_s);
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let milliseconds = |length_s: f64| Value::Fixed3(length_s * 1e3);
        let fine = |length_s: f64| Value::Fixed6(length_s * 1e3);
        let number = |number: u64| Value::Unsigned(number);
        let exponent = |exponent: i8| Value::Unsigned(u64::try_from(exponent).unwrap_or(0));
        let whole = |length_s: f64| Value::Unsigned(u64::try_from(nearest_i64(length_s)).unwrap_or(0));
        let is_stepped = self.is_from_before_step(source);
        let stratum = match (header, source.stratum.0) {
            _ if is_stepped => 16,
            (None, _) if source.ref_clock.is_none() => 16,
            (_, 0) if source.ref_clock.is_none() => 16,
            (_, stratum) => stratum,
        };
        let leap = if answer.is_some() || source.ref_clock.is_some() {
            source.leap
        } else {
            Leap::Unsynchronised
        };
        // A server that does not know the time is not measured.
        let measured = answer.filter(|answer| answer.tests.synchronised());
        let of_clock = self.ref_clock(id).and_then(|clock| clock.told.last);
        let heard_at = measured.map(|answer| answer.measurement.middle);
        let heard_at = heard_at.or(of_clock.map(|(at, _)| at));
        let heard = heard_at.map_or(NtpTimestamp::ZERO, UnixTime::to_ntp);
        // The second alone: who knew the rest could answer in the place of the source.
        let sent = source.pending.as_ref().map_or(NtpTimestamp::ZERO, |pending| {
            NtpTimestamp::from_parts(self.timeline.wall(pending.sent_at).to_ntp().seconds(), 0)
        });

        let address = source.address.or_else(|| self.ref_clock_address(id));
        let mut variables = vec![
            Variable::new("srcadr", Value::Address(address.unwrap_or(nowhere))),
            Variable::new(
                "srcport",
                number(address.map_or(0, |_| source.config.port.into())),
            ),
        ];
        let name = self.ref_clock_name(id).or_else(|| name(source));
        if let Some(name) = name.filter(|_| !is_given) {
            variables.push(Variable::new("srchost", Value::Text(name)));
        }
        let local = answer.and_then(|answer| answer.local).unwrap_or(nowhere);
        variables.extend([
            Variable::new("dstadr", Value::Address(local)),
            Variable::new("dstport", number(self.config.client.port.unwrap_or(0).into())),
            Variable::new("leap", number(leap.bits().into())),
            Variable::new("hmode", number(if source.is_peer() { 1 } else { 3 })),
            Variable::new("stratum", number(stratum.into())),
            // 99: not known, as ntpd says of every server; `ntpq` shows the lesser of both.
            Variable::new("ppoll", number(99)),
            Variable::new("hpoll", exponent(source.polling.used_interval().0)),
            Variable::new(
                "precision",
                Value::Signed(header.map_or(0, |header| header.precision.into())),
            ),
            Variable::new(
                "rootdelay",
                milliseconds(header.map_or(0.0, |header| header.root_delay.as_seconds())),
            ),
            Variable::new(
                "rootdisp",
                milliseconds(header.map_or(0.0, |header| header.root_dispersion.as_seconds())),
            ),
            Variable::new(
                "refid",
                Value::Word(if is_stepped {
                    "STEP".to_owned()
                } else {
                    reference(source, answer)
                }),
            ),
            Variable::new(
                "reftime",
                Value::Timestamp(match (header, of_clock) {
                    (Some(header), _) => header.reference_time,
                    (None, Some((_, told))) => told.to_ntp(),
                    (None, None) => NtpTimestamp::ZERO,
                }),
            ),
            Variable::new("rec", Value::Timestamp(heard)),
            Variable::new("xmt", Value::Timestamp(sent)),
            Variable::new("reach", Value::Hex(source.reach.into())),
            Variable::new("unreach", number(source.unreachable_polls.into())),
            Variable::new("delay", fine(newest.map_or(0.0, |sample| sample.delay_s))),
            Variable::new("offset", fine(offset_s)),
            Variable::new("jitter", fine(source.estimator.jitter_s().unwrap_or(0.0))),
            Variable::new("dispersion", fine(filter.dispersion_s)),
            Variable::new("keyid", number(source.config.key_id.unwrap_or(0).into())),
            Variable::new("filtdelay", Value::Filter(filter.delays_ms)),
            Variable::new("filtoffset", Value::Filter(filter.offsets_ms)),
            Variable::new(
                "pmode",
                number(header.map_or(0, |header| header.mode.bits().into())),
            ),
            Variable::new("filtdisp", Value::Filter(filter.dispersions_ms)),
            Variable::new("flash", Value::Hex(self.flash(id, source))),
            Variable::new("headway", number(0)),
        ]);
        if source.config.offset_s != 0.0 {
            variables.push(Variable::new("bias", Value::Fixed6(source.config.offset_s)));
        }
        // −1: not authenticated by NTS.
        variables.push(Variable::new("ntscookies", Value::Signed(-1)));

        let heard_s = source.heard_at.map_or(0.0, |at| now.mono.seconds_since(at));
        let measured_s = measured.map_or(0.0, |answer| now.wall.seconds_since(answer.measurement.middle));
        let counts = &source.counts;
        let is_candidate = self
            .verdicts
            .get(&id)
            .is_some_and(|verdict| verdict.status.is_used());
        variables.extend([
            Variable::unlisted("config", number((!is_given).into())),
            Variable::unlisted("authenable", number(source.config.key_id.is_some().into())),
            Variable::unlisted("authentic", number(self.association_status(id).authentic.into())),
            Variable::unlisted("org", Value::Timestamp(NtpTimestamp::ZERO)),
            Variable::unlisted("timer", whole(source.polling.wait_s())),
            Variable::unlisted("timerec", whole(heard_s)),
            Variable::unlisted("timereach", whole(measured_s)),
            Variable::unlisted("sent", number(counts.sent.into())),
            Variable::unlisted("received", number(counts.received.into())),
            Variable::unlisted("badauth", number(counts.unauthenticated.into())),
            Variable::unlisted(
                "bogusorg",
                number(
                    counts
                        .received
                        .saturating_sub(counts.valid)
                        .saturating_sub(counts.unauthenticated)
                        .into(),
                ),
            ),
            Variable::unlisted("oldpkt", number(0)),
            Variable::unlisted("seldisp", number(counts.valid.saturating_sub(counts.good).into())),
            Variable::unlisted("selbroken", number(0)),
            Variable::unlisted("candidate", number(is_candidate.into())),
        ]);
        let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
        let names = names.join(",");
        variables.push(Variable::unlisted("peer_var_list", Value::Text(names)));
        variables
    }

    /// Whether nothing was heard of a source since the clock was stepped: what it said is of before, as is the answer that
    /// made it step.
    pub(super) fn is_from_before_step(&self, source: &Source) -> bool {
        let stepped_at = self.mode6.events.stepped_at;
        stepped_at
            .zip(source.heard_at)
            .is_some_and(|(stepped_at, heard_at)| heard_at <= stepped_at)
    }

    /// The newest samples as ntpd would have them in its filter.
    pub(super) fn filter(&self, source: &Source, now: Now) -> Filter {
        let at = self.timeline.oscillator(now.mono);
        let target_s =
            self.timeline.correction_s(now.mono) + self.discipline.remaining_s(now.mono, &self.timeline);
        let mut filter = Filter {
            delays_ms: [0.0; FILTER_LENGTH],
            offsets_ms: [0.0; FILTER_LENGTH],
            dispersions_ms: [DISPERSION_MAX_S * 1e3; FILTER_LENGTH],
            dispersion_s: 0.0,
        };
        for (place, sample) in source.estimator.samples().rev().take(FILTER_LENGTH).enumerate() {
            let age_s = at.seconds_since(sample.at);
            filter.delays_ms[place] = sample.delay_s * 1e3;
            filter.offsets_ms[place] =
                (sample.phase_s + self.discipline.frequency() * age_s - target_s) * 1e3;
            filter.dispersions_ms[place] = (sample.dispersion_s + DISPERSION_RATE * age_s) * 1e3;
        }
        // RFC 5905 §10: the older, the less.
        for dispersion_ms in filter.dispersions_ms.iter().rev() {
            filter.dispersion_s = f64::midpoint(filter.dispersion_s, dispersion_ms / 1e3);
        }
        filter
    }

    /// The tests that the source does not pass now. Source: RFC 5905 §9.2, in ntpd's bits.
    fn flash(&self, id: SourceId, source: &Source) -> u32 {
        let status = self
            .verdicts
            .get(&id)
            .map_or(Status::default(), |verdict| verdict.status);
        let failed = |is_failed: bool, bit: u32| if is_failed { bit } else { 0 };
        let of_packet = source.last_answer.as_ref().map_or(0, |answer| {
            let tests = answer.tests;
            failed(!tests.fresh, 0x1)
                | failed(tests.fresh && !tests.origin, 0x2)
                | failed(tests.valid() && !tests.synchronised, 0x4)
                | failed(tests.origin && !tests.authentic, 0x10)
                | failed(tests.synchronised() && !tests.no_loop, 0x800)
        });
        of_packet
            | failed(status == Status::StratumOutOfRange, 0x200)
            | failed(status == Status::TooDistant, 0x400)
            | failed(source.reach == 0 || status == Status::NoSelect, 0x1000)
    }
}

/// The newest samples, newest first.
pub(super) struct Filter {
    delays_ms: [f64; FILTER_LENGTH],
    offsets_ms: [f64; FILTER_LENGTH],
    dispersions_ms: [f64; FILTER_LENGTH],
    /// What they come to together, seconds.
    pub(super) dispersion_s: f64,
}

/// What ntpd would call a status.
fn selection(status: Status) -> Selection {
    match status {
        Status::Best => Selection::SystemPeer,
        Status::Combined => Selection::Candidate,
        Status::NotPreferred
        | Status::WaitingForUpdate
        | Status::WaitingForSources
        | Status::Distant
        | Status::Outlier => Selection::Outlier,
        Status::Falseticker | Status::Untrusted => Selection::Falseticker,
        Status::NoSelect
        | Status::Unsynchronised
        | Status::MissingSamples
        | Status::StratumOutOfRange
        | Status::TooDistant
        | Status::Jittery
        | Status::WaitingForSamples
        | Status::Stale
        | Status::Orphan => Selection::Reject,
    }
}

/// The name by which it was configured, if it is no address.
fn name(source: &Source) -> Option<String> {
    match &source.config.name {
        SourceName::Name(name) => Some(name.clone()),
        SourceName::Address(_) => None,
    }
}

/// What the source follows, or why nobody knows.
pub(super) fn reference(source: &Source, answer: Option<&LastAnswer>) -> String {
    if let Some(id) = source.ref_clock {
        return id.ascii();
    }
    if source.address.is_none() {
        // Of a pool nothing else is told before it has an address.
        let is_pool = source.config.kind == SourceKind::Pool;
        return if is_pool { "POOL" } else { "DNS" }.to_owned();
    }
    if let Some(kiss) = source.kissed {
        return kiss.reference_id().ascii();
    }
    match answer {
        None => "INIT".to_owned(),
        Some(answer) if !answer.tests.synchronised() => {
            let said = answer.header.reference_id.ascii();
            if said.is_empty() { "INIT".to_owned() } else { said }
        }
        Some(_) if source.stratum.0 <= 1 => source.reference_id.ascii(),
        Some(_) => source.reference_id.ipv4().to_string(),
    }
}
