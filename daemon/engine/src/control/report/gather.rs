//! From the engine's parts to reports about sources.

use units::rounding::down_i64;
use units::{Leap, Mono, Stratum};

use super::source::{
    Activity, Authentication, AuthenticationMode, Estimate, Mode, Newest, PacketReport, Place, Selection,
    SourceReport, Statistics,
};
use crate::Engine;
use crate::estimate::Sample;
use crate::select::{Options, Origin, Status};
use crate::source::{Source, SourceId};

impl Engine {
    /// The sources in the order in which reports number them, from 0.
    pub fn source_ids(&self) -> impl Iterator<Item = SourceId> {
        self.sources.keys().copied()
    }

    /// The source with this number in reports.
    pub fn source_at(&self, index: u32) -> Option<SourceId> {
        self.source_ids().nth(usize::try_from(index).ok()?)
    }

    /// The source at this place; one that is resolved is not at its number any more.
    pub fn source_in(&self, place: Place) -> Option<SourceId> {
        match place {
            Place::Address(address) => self.sources.at(address),
            Place::ReferenceClock(reference) => self
                .sources
                .iter()
                .find(|(_, source)| source.ref_clock == Some(reference))
                .map(|(id, _)| *id),
            Place::Unresolved(number) => self.sources.at_placeholder(number),
        }
    }

    /// Where a source is.
    pub fn source_place(&self, id: SourceId) -> Option<Place> {
        self.sources.get(&id).map(place_of)
    }

    /// The name or address a source was configured with.
    pub fn source_name(&self, id: SourceId) -> Option<String> {
        self.sources.get(&id).map(|source| source.config.name.to_string())
    }

    /// What a source is and what it said last.
    pub fn source_report(&self, id: SourceId, now: Mono) -> Option<SourceReport> {
        let source = self.sources.get(&id)?;
        Some(SourceReport {
            name: source.config.name.to_string(),
            place: place_of(source),
            mode: if source.ref_clock.is_some() {
                Mode::ReferenceClock
            } else if source.is_peer() {
                Mode::Peer
            } else {
                Mode::Client
            },
            poll: source.polling.used_interval(),
            stratum: if source.estimator.count() == 0 {
                Stratum::ZERO
            } else if source.config.copy {
                // What is copied is the server's place, as if it were ours.
                Stratum(source.stratum.0.saturating_sub(1))
            } else {
                source.stratum
            },
            status: self
                .verdicts
                .get(&id)
                .map_or(Status::default(), |verdict| verdict.status),
            reach: source.reach,
            newest: source
                .estimator
                .last()
                .map(|sample| self.newest(source, sample, now)),
        })
    }

    /// What the samples of a source tell.
    pub fn statistics(&self, id: SourceId, now: Mono) -> Option<Statistics> {
        let source = self.sources.get(&id)?;
        let estimator = &source.estimator;
        let span_s = match (estimator.samples().next(), estimator.last()) {
            (Some(first), Some(last)) => last.at.seconds_since(first.at),
            _ => 0.0,
        };
        Some(Statistics {
            samples: count(estimator.count()),
            runs: count(estimator.runs()),
            span_s,
            estimate: self.estimate(source, now),
        })
    }

    /// What the last selection made of a source.
    pub fn selection(&self, id: SourceId) -> Option<Selection> {
        let source = self.sources.get(&id)?;
        // They hold for what is to come, also before the first selection.
        let options: Vec<(Options, Origin)> = self
            .sources
            .values()
            .map(|source| (configured(source), source.origin()))
            .collect();
        let mode = self.selection_rules().auth_mode;
        let place = self.source_ids().position(|other| other == id)?;
        let effective = mode
            .effective_options(options.iter().copied())
            .get(place)
            .copied()?;
        let verdict = self.verdicts.get(&id);
        Some(Selection {
            status: verdict.map_or(Status::default(), |verdict| verdict.status),
            authenticated: source.origin() == Origin::Authenticated,
            leap: if source.last_answer.is_some() || source.ref_clock.is_some() {
                source.leap
            } else {
                Leap::Unsynchronised
            },
            configured: configured(source),
            effective,
            age_s: verdict.map_or(0.0, |verdict| verdict.last_sample_age_s),
            score: verdict.map_or(1.0, |verdict| verdict.score),
            low_s: verdict.map_or(0.0, |verdict| -verdict.high_s),
            high_s: verdict.map_or(0.0, |verdict| -verdict.low_s),
        })
    }

    /// The last valid packet of a source; `None` if there is no such source or none that is asked by NTP.
    pub fn packet_report(&self, id: SourceId) -> Option<PacketReport> {
        let source = self
            .sources
            .get(&id)
            .filter(|source| source.ref_clock.is_none())?;
        Some(PacketReport {
            place: place_of(source),
            port: source.config.port,
            answer: source.last_answer.clone(),
            authenticated: source.config.key_id.is_some(),
            asymmetry: source.config.asymmetry.unwrap_or(0.0),
            counts: source.counts,
        })
    }

    /// How a source is authenticated.
    pub fn authentication(&self, id: SourceId) -> Option<Authentication> {
        let source = self.sources.get(&id)?;
        let Some(key_id) = source.config.key_id else {
            return Some(Authentication::default());
        };
        let mode = AuthenticationMode::Key(key_id);
        let Some(key) = self.keys.get(key_id) else {
            return Some(Authentication {
                mode,
                ..Authentication::default()
            });
        };
        Some(Authentication {
            mode,
            algorithm: key.algorithm().number(),
            key_bits: u16::try_from(key.bits()).unwrap_or(u16::MAX),
        })
    }

    /// How many sources do what.
    pub fn activity(&self) -> Activity {
        let mut activity = Activity::default();
        for source in self.sources.values().filter(|source| source.ref_clock.is_none()) {
            let counter = match (
                source.address.is_some(),
                source.polling.burst().is_some(),
                source.online,
            ) {
                (false, _, _) => &mut activity.unresolved,
                (true, true, true) => &mut activity.burst_online,
                (true, true, false) => &mut activity.burst_offline,
                (true, false, true) => &mut activity.online,
                (true, false, false) => &mut activity.offline,
            };
            *counter += 1;
        }
        activity
    }

    /// The newest sample as it looks now.
    fn newest(&self, source: &Source, sample: &Sample, now: Mono) -> Newest {
        let age_s = self.timeline.oscillator(now).seconds_since(sample.at);
        Newest {
            age_s: u32::try_from(down_i64(age_s)).unwrap_or(0),
            measured_offset_s: source.last_offset_s,
            offset_s: self.news(now)(sample),
            error_s: sample.root_distance_s(),
        }
    }

    /// What tells of a sample how far the clock is off, true time − where it is heading, seconds: what is being corrected
    /// already is not in it.
    pub(crate) fn news(&self, now: Mono) -> impl Fn(&Sample) -> f64 + use<> {
        let at = self.timeline.oscillator(now);
        let heading_s = self.timeline.correction_s(now) + self.discipline.remaining_s(now, &self.timeline);
        let frequency = self.discipline.frequency();
        move |sample| sample.phase_s + frequency * at.seconds_since(sample.at) - heading_s
    }

    fn estimate(&self, source: &Source, now: Mono) -> Option<Estimate> {
        let at = self.timeline.oscillator(now);
        let state = source.estimator.state_at(at)?;
        let target_s = self.timeline.correction_s(now) + self.discipline.remaining_s(now, &self.timeline);
        let skew = state.frequency_variance.max(0.0).sqrt();
        let distance_s = source
            .estimator
            .samples()
            .map(|sample| sample.root_distance_s() + skew * at.seconds_since(sample.at).abs())
            .fold(f64::INFINITY, f64::min);
        Some(Estimate {
            deviation_s: source.estimator.jitter_s()?,
            frequency_ppm: (self.discipline.frequency() - state.frequency) * 1e6,
            skew_ppm: skew * 1e6,
            offset_s: state.phase_s - target_s,
            offset_error_s: state.phase_variance.max(0.0).sqrt() + distance_s,
        })
    }
}

/// The options of a source by its configuration.
fn configured(source: &Source) -> Options {
    let options = source.config.select;
    Options {
        noselect: options.noselect,
        prefer: options.prefer,
        trust: options.trust,
        require: options.require,
    }
}

/// Where a source is.
fn place_of(source: &Source) -> Place {
    match (source.address, source.ref_clock) {
        (Some(address), _) => Place::Address(address),
        (None, Some(id)) => Place::ReferenceClock(id),
        (None, None) => Place::Unresolved(source.placeholder),
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
