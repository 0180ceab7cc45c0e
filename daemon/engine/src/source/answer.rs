//! What comes from a source: is it an answer of ours, is it any good, and what does it say.

use std::net::{IpAddr, SocketAddr};

use units::{Mode, Mono, NtpTimestamp, ReferenceId, Stratum};
use wire::ntp::{Header, KissCode};

use crate::estimate::Sample;
use crate::io::Stamp;
use crate::source::exchange::{self, Heading, LastAnswer, Measurement, Past, Pending, Tests, Timestamps};
use crate::source::moment::Moment;
use crate::source::symmetric::Heard;
use crate::source::{Local, Source};
use crate::timeline::Timeline;

/// The longest a server may take to answer, seconds: what it says after that tells little about now.
const RESPONSE_MAX_S: f64 = 4.0;

/// Servers blur the digits beyond their precision, so that an answer may seem to leave before its request came,
/// by so many times the dispersion.
const RESPONSE_BLUR: f64 = 4.0;

/// A round trip may seem negative by so many times the dispersion.
const DELAY_BLUR: f64 = 2.0;

/// Between packets of peers lies a long time, in which the clock may run at a rate that is wrong by so much: the
/// round trip is known no better.
const PEER_FREQUENCY_ERROR: f64 = 1e-3;

/// The longest round trip with which intervals below a second are used, seconds.
const NEAR_S: f64 = 0.01;

/// The test of the delay's deviation needs so many samples.
const SAMPLES_FOR_DEVIATION: usize = 8;

/// So many answers in a row fail it at most: more of them are not a queue but another route.
const DEVIATIONS_MAX: u8 = 4;

/// A packet that came from the address of a source.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Whether it is authentic, as far as that is asked for.
    pub is_authentic: bool,
    /// When it came.
    pub received: Stamp,
    /// The local address it came to.
    pub to: Option<IpAddr>,
}

/// What was found about a packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// The tests.
    pub tests: Tests,
    /// It is interleaved.
    pub interleaved: bool,
    /// What it measured; `None` where the tests before that failed.
    pub measurement: Option<Measurement>,
    /// The server does not want to be asked like this.
    pub kiss: Option<KissCode>,
    /// It contradicts the constraints, and nothing of it is used.
    pub refused: bool,
    /// Our packet was only to go ahead of the one that measures.
    pub ahead: bool,
    /// A sample was taken in.
    pub sampled: bool,
}

impl Source {
    /// Judges a packet; a good one becomes a sample. `None` if it is of a kind that this source never sends.
    ///
    /// A packet that is not an answer changes nothing but counts, except that it may begin an association
    /// between peers.
    pub fn receive(
        &mut self,
        arrival: &Arrival<'_>,
        now: Mono,
        local: &Local,
        timeline: &Timeline,
    ) -> Option<Judgement> {
        let header = arrival.header;
        let is_expected = match header.mode {
            Mode::Server => !self.is_peer(),
            Mode::SymmetricActive | Mode::SymmetricPassive => self.is_peer(),
            _ => false,
        };
        if !is_expected {
            return None;
        }
        self.counts.arrived(arrival.received.source);
        if !arrival.is_authentic {
            self.counts.unauthenticated = self.counts.unauthenticated.saturating_add(1);
        }
        let received = Moment::of(arrival.received, timeline);
        let (tests, interleaved, answers_ours) = self.recognise(arrival);
        let mut judgement = Judgement {
            tests,
            interleaved,
            measurement: None,
            kiss: None,
            refused: false,
            ahead: false,
            sampled: false,
        };
        if self.is_peer() {
            self.remember_peer(arrival, received, &judgement, answers_ours);
        }
        if !tests.valid() {
            return Some(judgement);
        }
        let pending = self.pending.as_mut()?;
        if pending.is_put_off && pending.steps != timeline.steps() {
            // Was it taken before the clock was stepped, or after? The next exchange has none of this.
            self.pending = None;
            return None;
        }
        pending.answered = true;
        let pending = pending.clone();
        judgement.ahead = pending.ahead;
        judgement.kiss = header.kiss().filter(|_| header.mode == Mode::Server);
        self.counts.valid = self.counts.valid.saturating_add(1);
        self.unanswered = 0;
        self.heard_at = Some(now);
        self.is_tentative = false;
        let constrained = local.constrained;
        judgement.refused = judgement.tests.synchronised()
            && self.is_constrained()
            && !constrained.allows(header, judgement.interleaved, local.era_start);
        if judgement.refused {
            self.past = None;
            return Some(judgement);
        }
        if judgement.tests.synchronised() {
            self.measure(arrival, received, &pending, &mut judgement, now, local, timeline);
        } else if !pending.ahead {
            self.polling.unsynchronised();
        }
        self.past = Some(Past {
            cookie: pending.cookie,
            sent: pending.sent,
            remote_received: header.receive_time,
            received,
            used: judgement.tests.good() && !interleaved,
        });
        self.last_answer = Some(LastAnswer {
            header: *header,
            local: arrival.to,
            tests: judgement.tests,
            measurement: judgement.measurement.unwrap_or_default(),
            sent_by: pending.sent.source,
            received_by: arrival.received.source,
            interleaved,
        });
        Some(judgement)
    }

    /// Tests 1 to 7, which need the packet alone; whether it is interleaved; and whether it answers our last
    /// packet, be it for the first time or again.
    fn recognise(&self, arrival: &Arrival<'_>) -> (Tests, bool, bool) {
        let header = arrival.header;
        let origin = header.origin_time;
        let none = (NtpTimestamp::ZERO, NtpTimestamp::ZERO, false);
        let (cookie, interleaved_cookie, answered) = self.pending.as_ref().map_or(none, |pending| {
            (pending.cookie, pending.interleaved_cookie, pending.answered)
        });
        // A server that answers twice is told from one whose answer is bogus; with peers both are usual.
        let fresh = if self.is_peer() {
            !self
                .symmetric
                .is_repeated(header.transmit_time, header.receive_time)
        } else {
            !(answered && [cookie, interleaved_cookie].contains(&origin))
        };
        let basic = origin == cookie;
        let interleaved = !basic
            && self.config.interleaved
            && !interleaved_cookie.is_zero()
            && origin == interleaved_cookie
            && header.transmit_time != header.receive_time;
        let answers_ours = (basic || interleaved) && !origin.is_zero();
        let matched = (basic || interleaved) && !answered;
        let tests = Tests {
            fresh,
            origin: matched,
            timestamps: matched
                && !origin.is_zero()
                && !header.receive_time.is_zero()
                && !header.transmit_time.is_zero(),
            authentic: arrival.is_authentic,
            synchronised: exchange::is_synchronised(header),
            distance: exchange::is_distance_sane(header),
            ..Tests::default()
        };
        (tests, interleaved, answers_ours)
    }

    /// Keeps what the next packet to a peer has to bring back.
    fn remember_peer(
        &mut self,
        arrival: &Arrival<'_>,
        received: Moment,
        judgement: &Judgement,
        answers_ours: bool,
    ) {
        let tests = judgement.tests;
        let heard = Heard {
            transmit_time: arrival.header.transmit_time,
            receive_time: arrival.header.receive_time,
            received,
        };
        if tests.valid() {
            self.symmetric.heard(heard, judgement.interleaved);
        } else if tests.fresh && tests.authentic && answers_ours {
            self.symmetric.heard_again(heard);
        } else if tests.fresh && tests.authentic {
            self.symmetric.heard_unasked(heard);
        }
    }

    /// Tests A to D and what follows from them.
    #[expect(
        clippy::too_many_arguments,
        reason = "what the packet says, and what is known beside it"
    )]
    fn measure(
        &mut self,
        arrival: &Arrival<'_>,
        received: Moment,
        pending: &Pending,
        judgement: &mut Judgement,
        now: Mono,
        local: &Local,
        timeline: &Timeline,
    ) {
        let header = arrival.header;
        let (timestamps, acceptable) = self.timestamps(header, received, pending, judgement.interleaved);
        let precision_s = local
            .precision_s
            .max(2_f64.powi(i32::from(header.precision.clamp(-32, 0))));
        let mut measurement = timestamps.measure(
            local.era_start,
            self.frequency(local),
            local.skew,
            Heading {
                at: timeline.oscillator(now),
                phase_s: timeline.correction_s(now) + local.remaining_s,
                frequency: local.frequency,
            },
            precision_s,
        );
        measurement.offset_s += self.config.offset_s;
        measurement.phase_s += self.config.offset_s;
        if self.is_peer() && measurement.delay_s < 0.0 {
            let interval_s = timestamps.received.at.seconds_since(timestamps.sent.at).abs();
            if -measurement.delay_s < PEER_FREQUENCY_ERROR * interval_s {
                measurement.dispersion_s += -measurement.delay_s;
                measurement.frequency_dispersion_s += -measurement.delay_s;
                measurement.delay_s = 0.0;
            }
        }
        let tests = &mut judgement.tests;
        tests.delay = acceptable && !pending.ahead && self.is_delay_sane(header, &measurement);
        self.judge_delay(tests, &measurement);
        tests.no_loop = !self.is_loop(header, arrival.to, local);
        let is_good = tests.good();
        judgement.measurement = Some(measurement);
        if let Some(quantile) = &mut self.quantile {
            quantile.add(measurement.delay_s);
        }
        self.polling.set_near(measurement.delay_s <= NEAR_S);
        self.stratum = header.stratum.max(Stratum(self.config.min_stratum));
        self.leap = header.leap;
        self.reference_id = header.reference_id;
        if !pending.ahead {
            self.reached();
        }
        if is_good {
            self.counts.good = self.counts.good.saturating_add(1);
            judgement.sampled = self.take(header, &measurement, local);
        } else if !pending.ahead {
            self.polling.unusable();
            // With its answer the poll is over, unless there are more requests in it.
            if self.polling.burst().is_none() {
                judgement.sampled = self.end_poll(local.frequency);
            }
        }
    }

    /// The rate that makes up for the oscillator. Between packets of peers lies a long time, in which it matters
    /// for the delay, so that what they have shown of it themselves counts more than what is known otherwise.
    fn frequency(&self, local: &Local) -> f64 {
        match self.estimator.state() {
            Some(state) if self.is_peer() && self.estimator.count() > 1 => state.frequency,
            _ => local.frequency,
        }
    }

    /// The four timestamps of the measurement, and whether they tell anything that is not known yet.
    fn timestamps(
        &self,
        header: &Header,
        received: Moment,
        pending: &Pending,
        interleaved: bool,
    ) -> (Timestamps, bool) {
        let basic = Timestamps {
            sent: pending.sent,
            remote_received: header.receive_time,
            remote_sent: header.transmit_time,
            received,
        };
        if !interleaved {
            return (basic, true);
        }
        // Of the answer before it is now known when it left (RFC 9769 §2).
        let before = self.past.map(|past| Timestamps {
            sent: past.sent,
            remote_received: past.remote_received,
            remote_sent: header.transmit_time,
            received: past.received,
        });
        let is_new = self.past.is_some_and(|past| !past.used);
        // A peer's answer to our last packet goes with it just as well, the other way round.
        let across = pending
            .acknowledges
            .filter(|_| self.is_peer())
            .map(|received| Timestamps { received, ..basic });
        let before = before.filter(|before| {
            !self.is_peer()
                || pending
                    .acknowledges
                    .is_none_or(|moment| moment == before.received)
        });
        let span_s = |stamps: &Timestamps| stamps.received.at.seconds_since(stamps.sent.at).abs();
        match (before, across) {
            (Some(before), Some(across)) if is_new && span_s(&before) <= span_s(&across) => (before, true),
            (_, Some(across)) => (across, true),
            (Some(before), None) => (before, is_new),
            (None, None) => (basic, false),
        }
    }

    /// Test A.
    fn is_delay_sane(&self, header: &Header, measurement: &Measurement) -> bool {
        let dispersion_s = measurement.dispersion_s;
        let responses = -RESPONSE_BLUR * dispersion_s..=RESPONSE_MAX_S;
        measurement.delay_s <= self.config.max_delay_s
            && measurement.delay_s > -DELAY_BLUR * dispersion_s
            && (header.mode != Mode::Server || responses.contains(&measurement.response_s))
            && measurement.offset_s.is_finite()
    }

    /// Tests B and C.
    fn judge_delay(&mut self, tests: &mut Tests, measurement: &Measurement) {
        let delay_s = measurement.delay_s;
        let least_s = self.least_delay_s().unwrap_or(delay_s);
        let ratio = self.config.max_delay_ratio;
        tests.delay_ratio = ratio <= 0.0 || delay_s <= least_s * ratio + measurement.dispersion_s;
        tests.delay_deviation = match &self.quantile {
            Some(quantile) => quantile.value().is_none_or(|limit_s| delay_s <= limit_s),
            None => {
                let is_allowed = self.is_deviation_allowed(measurement, delay_s - least_s);
                self.deviations = if is_allowed {
                    0
                } else {
                    self.deviations.saturating_add(1)
                };
                is_allowed || self.deviations > DEVIATIONS_MAX
            }
        };
    }

    /// Test C: the delay is not so much larger than the least one that the sample can tell nothing new.
    fn is_deviation_allowed(&self, measurement: &Measurement, excess_s: f64) -> bool {
        let ratio = self.config.max_delay_dev_ratio;
        let Some(noise_s) = self.estimator.spread_s() else {
            return true;
        };
        if ratio <= 0.0
            || self.estimator.count() < SAMPLES_FOR_DEVIATION
            || excess_s <= ratio * noise_s.max(measurement.dispersion_s) * 2.0
        {
            return true;
        }
        // A sample with a long delay still counts when it shows an error larger than the delay explains.
        self.estimator.state_at(measurement.at).is_some_and(|state| {
            (measurement.phase_s - state.phase_s).abs() > excess_s + measurement.delay_s / 2.0
        })
    }

    /// The shortest round trip, configured or seen, seconds.
    fn least_delay_s(&self) -> Option<f64> {
        self.config.min_delay_s.or_else(|| self.estimator.delay_min_s())
    }

    /// Test D: the server follows us, or is us.
    fn is_loop(&self, header: &Header, to: Option<IpAddr>, local: &Local) -> bool {
        let Some(ours) = to else { return false };
        let follows_us =
            header.stratum > Stratum::PRIMARY && header.reference_id == crate::source::reference_id(ours);
        // Another daemon may well answer at an address of ours, on another port or where we do not answer.
        let own = local.own_port.map(|port| SocketAddr::new(ours, port));
        let is_us = own.is_some() && self.remote() == own
            || (!header.reference_time.is_zero()
                // Local references look all the same.
                && header.reference_id != ReferenceId::LOCAL
                && header.stratum > Stratum::PRIMARY
                && header.reference_time == local.announced.reference_time
                && header.reference_id == local.announced.reference_id
                && header.stratum == local.announced.stratum);
        follows_us || is_us
    }

    /// Takes a good measurement in; says whether a sample came of it.
    fn take(&mut self, header: &Header, measurement: &Measurement, local: &Local) -> bool {
        let excess_s = (measurement.delay_s - self.least_delay_s().unwrap_or(measurement.delay_s)).max(0.0);
        let asymmetry = self.config.asymmetry.unwrap_or(0.0);
        let correction_s = asymmetry * excess_s;
        // What the asymmetry explains of a delay is no reason to doubt the sample.
        let delay_s = measurement.delay_s - 2.0 * asymmetry.abs() * excess_s;
        let outside_burst = !self.polling.answered_well();
        self.last_offset_s = measurement.offset_s + correction_s;
        let sample = Sample {
            at: measurement.at,
            phase_s: measurement.phase_s + correction_s,
            delay_s: delay_s.max(measurement.dispersion_s),
            dispersion_s: measurement.dispersion_s - measurement.frequency_dispersion_s,
            root_delay_s: header.root_delay.as_seconds(),
            // For the bound it counts like the dispersion of the source.
            root_dispersion_s: header.root_dispersion.as_seconds() + measurement.frequency_dispersion_s,
        };
        let Some(filter) = &mut self.filter else {
            return self.add(sample, outside_burst);
        };
        filter.add(sample);
        self.end_poll(local.frequency)
    }

    /// The poll under way is over for the median filter; says whether a sample came of it.
    pub(crate) fn end_poll(&mut self, frequency: f64) -> bool {
        if !std::mem::take(&mut self.is_poll_open) {
            return false;
        }
        let sample = self.filter.as_mut().and_then(|filter| filter.end_poll(frequency));
        sample.is_some_and(|sample| self.add(sample, true))
    }

    pub(super) fn add(&mut self, sample: Sample, counts_for_interval: bool) -> bool {
        let before = self.estimator.last().map(|last| last.at);
        self.estimator.add(sample);
        if self.estimator.last().map(|last| last.at) == before {
            return false;
        }
        if counts_for_interval {
            self.polling.sampled(&self.estimator);
        }
        self.updated = true;
        true
    }
}
