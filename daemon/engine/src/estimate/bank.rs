//! Many filters that differ in what they assume of oscillator and path, weighed by how well each of them
//! foretold the samples.
//!
//! Each [`Member`] is a Kalman filter with a fixed wander of the oscillator and a fixed idea of how much a delay
//! says about the error; the size of the noise it learns by itself. All of them run over the same window of
//! samples. What is believed is the mean of their results, weighted with their likelihoods: as long as samples
//! are few the prior decides, later the path and the oscillator speak for themselves, and nothing has to be
//! configured.

use std::collections::VecDeque;

use units::Mono;

use super::noise::PathDelay;
use super::route::Route;
use super::sample::Sample;
use super::state::{Change, State};
use super::track::{Innovation, Track};

/// The wander that the members assume begins here, per root second …
const WANDER_MIN: f64 = 1e-11;
/// … and grows by this factor, half a decade …
const WANDER_STEP: f64 = 3.162_277_660_168_379_5;
/// … so many times: up to 1e-6.
const WANDERS: i32 = 11;

/// The wander that is thought most likely before anything is known: that of a plain quartz.
const WANDER_USUAL: f64 = 1e-9;

/// The standard deviation of that guess, in decades.
const WANDER_DECADES: f64 = 1.5;

/// The parts of the noise that the delay does not show, one member each (0: all of it shows).
const UNRELATED_PARTS: [f64; 3] = [0.003, 0.1, 1.0];

/// The same for members that take the directions for unequal.
const UNRELATED_PARTS_UNEQUAL: [f64; 2] = [0.1, 1.0];

/// How unequal the directions of a path may be before any sample, standard deviation: everything from −½ to ½.
const ASYMMETRY: f64 = 0.29;

/// How much less likely unequal directions are thought to be before any sample, as logarithm.
const ASYMMETRY_LOG_PRIOR: f64 = -2.0;

/// How fast old samples stop counting for the weights: after n newer ones by this to the power n.
pub(super) const FORGETTING: f64 = 0.985;

/// The miss, squared and in standard deviations, from which on a sample is taken for an outlier in part.
const OUTLIER_SURPRISE: f64 = 12.0;

/// How many times its usual variance an outlier gets at most.
const OUTLIER_VARIANCE_MAX: f64 = 1000.0;

/// As many samples the guess of the noise counts as when the noise is learned.
const NOISE_GUESS_WEIGHT: f64 = 6.0;

/// The same for members that take the directions for unequal.
const NOISE_GUESS_WEIGHT_UNEQUAL: f64 = 2.0;

/// How far the learned noise may be from what the delays suggest, as a factor of the variance.
const NOISE_VARIANCE_RANGE: f64 = 400.0;

/// Until there are so many samples the noise is what the delays suggest.
const SAMPLES_TO_LEARN_NOISE: usize = 8;

/// A sample in the window, with the change that is thought to have come before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The sample.
    pub sample: Sample,
    /// What changed between the previous sample and this one.
    pub change: Option<Change>,
    /// The way it took.
    pub route: Route,
}

impl Entry {
    /// The phase that was measured, seconds; what the route is known to add to it is taken away.
    pub(super) fn phase_s(&self) -> f64 {
        self.sample.phase_s - self.route.bias_s
    }

    /// How much longer it took than the fastest on its route, seconds.
    pub(super) fn wait_s(&self) -> f64 {
        self.sample.delay_s - self.route.minimum_s()
    }
}

/// What all members share.
#[derive(Debug, Clone, Copy)]
pub struct Prior {
    /// The frequency before any sample.
    pub frequency: f64,
    /// Its standard deviation.
    pub frequency_error: f64,
    /// Precision of both clocks together, seconds.
    pub precision_s: f64,
}

/// One idea of oscillator and path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// The random walk of the frequency per root second, squared.
    pub wander_power: f64,
    /// The part of the noise that the delay does not show.
    unrelated: f64,
    /// The variance of the asymmetry before any sample; 0 for a member that takes both directions for alike.
    asymmetry_variance: f64,
    /// The logarithm of what this member was worth before any sample.
    log_prior: f64,
    /// The mean variance of a sample, learned, s²; 0 before the first.
    pub noise_variance: f64,
    /// The state after the samples that have left the window.
    anchor: Option<Track>,
    /// How well it foretold those.
    anchor_log_likelihood: f64,
    /// The state after the newest sample.
    track: Track,
    /// Phase and frequency of it, as a packet that waits nowhere shows them.
    state: State,
    /// How much of its variance comes of not knowing how fast such a packet would be, s².
    rest_variance: f64,
    /// How well it foretold all, without the constant.
    log_likelihood: f64,
}

/// The filters, and what they agree on.
#[derive(Debug, Clone)]
pub(super) struct Bank {
    members: Vec<Member>,
    likeliest: usize,
    /// The delay of the first sample.
    origin_s: Option<f64>,
    path: PathDelay,
}

/// What the members say together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opinion {
    /// Phase and frequency after the newest sample; the variances include the disagreement of the members.
    pub state: State,
    /// The mean variance of a sample, s².
    pub noise_variance: f64,
    /// The part of the variance of the phase that more samples soon do not make less, s².
    pub rest_variance: f64,
    /// The wander's power, the geometric mean.
    pub wander_power: f64,
}

impl Bank {
    /// Returns members that have seen nothing.
    pub(super) fn new() -> Self {
        let mut members = Vec::new();
        let mut wander = WANDER_MIN;
        for step in 0..WANDERS {
            let decades = (wander / WANDER_USUAL).log10() / WANDER_DECADES;
            let alike = UNRELATED_PARTS.map(|unrelated| (unrelated, 0.0, 0.0));
            // Whole decades are near enough to tell whether directions are unequal.
            let unequal = UNRELATED_PARTS_UNEQUAL
                .map(|unrelated| (unrelated, ASYMMETRY * ASYMMETRY, ASYMMETRY_LOG_PRIOR))
                .into_iter()
                .filter(|_| step % 2 == 0);
            for (unrelated, asymmetry_variance, log_prior) in alike.into_iter().chain(unequal) {
                let state = State::first(Mono::ZERO, 0.0, 0.0, 0.0, 0.0);
                members.push(Member {
                    wander_power: wander * wander,
                    unrelated,
                    asymmetry_variance,
                    log_prior: log_prior - 0.5 * decades * decades,
                    noise_variance: 0.0,
                    anchor: None,
                    anchor_log_likelihood: 0.0,
                    track: Track::first(state, 0.0),
                    state,
                    rest_variance: 0.0,
                    log_likelihood: 0.0,
                });
            }
            wander *= WANDER_STEP;
        }
        Self {
            members,
            likeliest: 0,
            origin_s: None,
            path: PathDelay::of(std::iter::empty(), 0.0, 1.0),
        }
    }

    /// Lets every member take in the sample that leaves the window: from now on it is remembered only by what
    /// it did to their states.
    pub(super) fn absorb(&mut self, leaving: &Entry, prior: &Prior) {
        let path = self.path;
        for member in &mut self.members {
            let variance = path.variance(leaving, member.noise_variance, member.unrelated);
            member.anchor = Some(match member.anchor {
                None => member.begin(leaving, variance, prior),
                Some(anchor) => {
                    let mut anchor = before(&anchor, leaving, member.wander_power);
                    let innovation = take_in(&mut anchor, leaving, &path, variance);
                    member.anchor_log_likelihood =
                        FORGETTING * member.anchor_log_likelihood + innovation.log_likelihood();
                    anchor
                }
            });
        }
    }

    /// Runs all members over the window again and returns what they say; `None` for an empty window.
    pub(super) fn evaluate(&mut self, window: &VecDeque<Entry>, prior: &Prior) -> Option<Opinion> {
        let oldest = window.front()?;
        let origin_s = *self.origin_s.get_or_insert(oldest.sample.delay_s);
        self.path = PathDelay::of(window.iter(), origin_s, prior.precision_s);
        let path = self.path;
        for member in &mut self.members {
            member.run(window, &path, prior);
        }
        self.agree()
    }

    /// Moves everything remembered when the origin of phases moves.
    pub(super) fn shift(&mut self, by_s: f64) {
        for member in &mut self.members {
            member.state.phase_s += by_s;
            member.track.shift(by_s);
            if let Some(anchor) = &mut member.anchor {
                anchor.shift(by_s);
            }
        }
    }

    /// The member that foretold the samples best.
    pub(super) fn likeliest(&self) -> Option<&Member> {
        self.members.get(self.likeliest)
    }

    /// What the delays of the window tell.
    pub(super) fn path(&self) -> &PathDelay {
        &self.path
    }

    /// The mean over the members, weighted by likelihood.
    fn agree(&mut self) -> Option<Opinion> {
        let worth = |member: &Member| member.log_likelihood + member.log_prior;
        let (likeliest, best) = self
            .members
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| worth(a).total_cmp(&worth(b)))?;
        let top = worth(best);
        let at = best.state.at;
        self.likeliest = likeliest;

        let weight = |member: &Member| (worth(member) - top).exp();
        let total: f64 = self.members.iter().map(weight).sum();
        let mean = |value: fn(&Member) -> f64| {
            self.members
                .iter()
                .map(|member| weight(member) * value(member))
                .sum::<f64>()
                / total
        };
        let phase_s = mean(|member| member.state.phase_s);
        let frequency = mean(|member| member.state.frequency);
        let mut opinion = Opinion {
            state: State::first(at, phase_s, 0.0, frequency, 0.0),
            noise_variance: mean(|member| member.noise_variance),
            rest_variance: mean(|member| member.rest_variance),
            wander_power: mean(|member| member.wander_power.ln()).exp(),
        };
        for member in &self.members {
            let share = weight(member) / total;
            let phase_apart = member.state.phase_s - phase_s;
            let frequency_apart = member.state.frequency - frequency;
            let state = &mut opinion.state;
            state.phase_variance += share * (member.state.phase_variance + phase_apart * phase_apart);
            state.covariance += share * (member.state.covariance + phase_apart * frequency_apart);
            state.frequency_variance +=
                share * (member.state.frequency_variance + frequency_apart * frequency_apart);
        }
        Some(opinion)
    }
}

impl Member {
    /// The variance of a sample in the eyes of this member, s².
    pub(super) fn variance(&self, path: &PathDelay, entry: &Entry) -> f64 {
        path.variance(entry, self.noise_variance, self.unrelated)
    }

    /// The state before the first entry that can still surprise, and that entry's index.
    pub(super) fn start(
        &self,
        window: &VecDeque<Entry>,
        path: &PathDelay,
        prior: &Prior,
    ) -> Option<(Track, usize)> {
        match self.anchor {
            Some(anchor) => Some((anchor, 0)),
            None => {
                let first = window.front()?;
                let variance = self.variance(path, first);
                Some((self.begin(first, variance, prior), 1))
            }
        }
    }

    /// Takes an entry in after the change that came before it, and returns how well it was foretold.
    pub(super) fn step(&self, track: &mut Track, entry: &Entry, path: &PathDelay) -> Innovation {
        *track = before(track, entry, self.wander_power);
        take_in(track, entry, path, self.variance(path, entry))
    }

    /// What the first sample of all tells.
    fn begin(&self, entry: &Entry, variance: f64, prior: &Prior) -> Track {
        let state = State::first(
            entry.sample.at,
            entry.phase_s(),
            variance,
            prior.frequency,
            prior.frequency_error * prior.frequency_error,
        );
        Track::first(state, self.asymmetry_variance)
    }

    /// Runs over the window and learns the size of the noise from the misses.
    fn run(&mut self, window: &VecDeque<Entry>, path: &PathDelay, prior: &Prior) {
        let guess = path.expected_variance();
        if window.len() <= SAMPLES_TO_LEARN_NOISE && self.anchor.is_none() || self.noise_variance <= 0.0 {
            self.noise_variance = guess;
        }
        let Some((mut track, first)) = self.start(window, path, prior) else {
            return;
        };
        let mut log_likelihood = self.anchor_log_likelihood;
        let (mut surprise, mut weight) = (0.0, 0.0);
        for entry in window.range(first..) {
            let variance = self.variance(path, entry);
            track = before(&track, entry, self.wander_power);
            let innovation = take_in(&mut track, entry, path, variance);
            log_likelihood = FORGETTING * log_likelihood + innovation.log_likelihood();
            // A miss tells of the noise as far as it is noise and not ignorance of the state.
            let share = variance / innovation.variance;
            surprise += share * innovation.surprise().min(9.0);
            weight += share;
        }
        self.track = track;
        (self.state, self.rest_variance) = if self.asymmetry_variance > 0.0 {
            let (rest_s, rest_error_s) = path.rest_s();
            // What the delay does not explain are the waits in the other direction: as long on average as their
            // deviation, if they are exponential, and part of every delay.
            let other_s = self.unrelated * self.noise_variance.sqrt();
            let rest_variance =
                (track.asymmetry() * rest_error_s).powi(2) + (track.asymmetry() * other_s).powi(2) / 4.0;
            let mut state = track.with_excess(rest_s + 2.0 * other_s);
            state.phase_variance += rest_variance;
            (state, rest_variance)
        } else {
            (track.with_excess(0.0), 0.0)
        };
        self.log_likelihood = log_likelihood;
        if window.len() > 3 {
            // Where the error is in the delay, delays say nothing of the size of the noise that is left.
            let (held, lowest) = if self.asymmetry_variance > 0.0 {
                let held = NOISE_GUESS_WEIGHT_UNEQUAL * (guess / self.noise_variance).clamp(0.1, 1.0);
                ((held, NOISE_GUESS_WEIGHT_UNEQUAL), 0.0)
            } else {
                let held = NOISE_GUESS_WEIGHT * (guess / self.noise_variance).clamp(0.1, 10.0);
                ((held, NOISE_GUESS_WEIGHT), guess / NOISE_VARIANCE_RANGE)
            };
            let ratio = (surprise + held.0) / (weight + held.1);
            self.noise_variance = (self.noise_variance * ratio.powf(0.7))
                .clamp(lowest, (guess * NOISE_VARIANCE_RANGE).max(1e-6))
                .max(path.floor());
        }
    }
}

/// What is known at the time of an entry, before its sample is taken in.
fn before(track: &Track, entry: &Entry, wander_power: f64) -> Track {
    let mut track = track.predicted(entry.sample.at, wander_power);
    if let Some(change) = entry.change {
        track.disturb(change);
    }
    track
}

/// Updates a filter with a sample; one that is too far off counts less, so that a single wild sample moves little.
fn take_in(track: &mut Track, entry: &Entry, path: &PathDelay, variance: f64) -> Innovation {
    let (excess_s, phase_s) = (path.excess_s(entry), entry.phase_s());
    let (expected_s, expected_variance) = track.expected(excess_s);
    let miss_s = phase_s - expected_s;
    let surprise = miss_s * miss_s / (expected_variance + variance);
    let variance = if surprise > OUTLIER_SURPRISE {
        (miss_s * miss_s / OUTLIER_SURPRISE - expected_variance)
            .clamp(variance, variance * OUTLIER_VARIANCE_MAX)
    } else {
        variance
    };
    track.update(phase_s, excess_s, variance)
}
