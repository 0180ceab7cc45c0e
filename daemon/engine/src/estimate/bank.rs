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
use super::number;
use super::sample::Sample;
use super::state::{Change, Innovation, State};

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

/// How fast old samples stop counting for the weights: after n newer ones by this to the power n.
const FORGETTING: f64 = 0.985;

/// The miss, squared and in standard deviations, from which on a sample is taken for an outlier in part.
const OUTLIER_SURPRISE: f64 = 12.0;

/// How many times its usual variance an outlier gets at most.
const OUTLIER_VARIANCE_MAX: f64 = 1000.0;

/// As many samples the guess of the noise counts as when the noise is learned.
const NOISE_GUESS_WEIGHT: f64 = 6.0;

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
    /// The logarithm of what this member was worth before any sample.
    log_prior: f64,
    /// The mean variance of a sample, learned, s²; 0 before the first.
    pub noise_variance: f64,
    /// The state after the samples that have left the window.
    anchor: Option<State>,
    /// How well it foretold those.
    anchor_log_likelihood: f64,
    /// The state after the newest sample.
    state: State,
    /// How well it foretold all, without the constant.
    log_likelihood: f64,
}

/// The filters, and what they agree on.
#[derive(Debug, Clone)]
pub(super) struct Bank {
    members: Vec<Member>,
    likeliest: usize,
    path: PathDelay,
}

/// What the members say together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opinion {
    /// Phase and frequency after the newest sample; the variances include the disagreement of the members.
    pub state: State,
    /// The mean variance of a sample, s².
    pub noise_variance: f64,
    /// The wander's power, the geometric mean.
    pub wander_power: f64,
}

impl Bank {
    /// Returns members that have seen nothing.
    pub(super) fn new() -> Self {
        let mut members = Vec::new();
        let mut wander = WANDER_MIN;
        for _ in 0..WANDERS {
            let decades = (wander / WANDER_USUAL).log10() / WANDER_DECADES;
            for unrelated in UNRELATED_PARTS {
                members.push(Member {
                    wander_power: wander * wander,
                    unrelated,
                    log_prior: -0.5 * decades * decades,
                    noise_variance: 0.0,
                    anchor: None,
                    anchor_log_likelihood: 0.0,
                    state: State::first(Mono::ZERO, 0.0, 0.0, 0.0, 0.0),
                    log_likelihood: 0.0,
                });
            }
            wander *= WANDER_STEP;
        }
        Self {
            members,
            likeliest: 0,
            path: PathDelay::of(std::iter::empty(), 1.0),
        }
    }

    /// Lets every member take in the sample that leaves the window: from now on it is remembered only by what
    /// it did to their states.
    pub(super) fn absorb(&mut self, leaving: &Entry, prior: &Prior) {
        let path = self.path;
        for member in &mut self.members {
            let variance = path.variance(&leaving.sample, member.noise_variance, member.unrelated);
            member.anchor = Some(match member.anchor {
                None => begin(&leaving.sample, variance, prior),
                Some(anchor) => {
                    let mut anchor = before(&anchor, leaving, member.wander_power);
                    let innovation = take_in(&mut anchor, leaving.sample.phase_s, variance);
                    member.anchor_log_likelihood =
                        FORGETTING * member.anchor_log_likelihood + innovation.log_likelihood();
                    anchor
                }
            });
        }
    }

    /// Runs all members over the window again and returns what they say; `None` for an empty window.
    pub(super) fn evaluate(&mut self, window: &VecDeque<Entry>, prior: &Prior) -> Option<Opinion> {
        window.front()?;
        self.path = PathDelay::of(window.iter().map(|entry| &entry.sample), prior.precision_s);
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
            if let Some(anchor) = &mut member.anchor {
                anchor.phase_s += by_s;
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
    pub(super) fn variance(&self, path: &PathDelay, sample: &Sample) -> f64 {
        path.variance(sample, self.noise_variance, self.unrelated)
    }

    /// The state before the first entry that can still surprise, and that entry's index.
    pub(super) fn start(
        &self,
        window: &VecDeque<Entry>,
        path: &PathDelay,
        prior: &Prior,
    ) -> Option<(State, usize)> {
        match self.anchor {
            Some(anchor) => Some((anchor, 0)),
            None => {
                let first = window.front()?;
                Some((begin(&first.sample, self.variance(path, &first.sample), prior), 1))
            }
        }
    }

    /// Takes an entry in after the change that came before it, and returns how well it was foretold.
    pub(super) fn step(&self, state: &mut State, entry: &Entry, path: &PathDelay) -> Innovation {
        *state = before(state, entry, self.wander_power);
        take_in(state, entry.sample.phase_s, self.variance(path, &entry.sample))
    }

    /// Runs over the window and learns the size of the noise from the misses.
    fn run(&mut self, window: &VecDeque<Entry>, path: &PathDelay, prior: &Prior) {
        let guess = path.expected_variance();
        if window.len() <= SAMPLES_TO_LEARN_NOISE && self.anchor.is_none() || self.noise_variance <= 0.0 {
            self.noise_variance = guess;
        }
        let Some((mut state, first)) = self.start(window, path, prior) else {
            return;
        };
        let mut log_likelihood = self.anchor_log_likelihood;
        let (mut surprise, mut weight) = (0.0, 0.0);
        for entry in window.range(first..) {
            let innovation = self.step(&mut state, entry, path);
            log_likelihood = FORGETTING * log_likelihood + innovation.log_likelihood();
            // A miss tells of the noise as far as it is noise and not ignorance of the state.
            let share = self.variance(path, &entry.sample) / innovation.variance;
            surprise += share * innovation.surprise().min(9.0);
            weight += share;
        }
        self.state = state;
        self.log_likelihood = log_likelihood;
        if window.len() > 3 {
            let held = NOISE_GUESS_WEIGHT * (guess / self.noise_variance).clamp(0.1, 10.0);
            let ratio = (surprise + held) / (weight + NOISE_GUESS_WEIGHT);
            self.noise_variance = (self.noise_variance * ratio.powf(0.7))
                .clamp(
                    guess / NOISE_VARIANCE_RANGE,
                    (guess * NOISE_VARIANCE_RANGE).max(1e-6),
                )
                .max(path.floor());
        }
    }
}

/// What the first sample of all tells.
fn begin(sample: &Sample, variance: f64, prior: &Prior) -> State {
    State::first(
        sample.at,
        sample.phase_s,
        variance,
        prior.frequency,
        prior.frequency_error * prior.frequency_error,
    )
}

/// The state at the time of an entry, before its sample is taken in.
fn before(state: &State, entry: &Entry, wander_power: f64) -> State {
    let mut state = state.predicted(entry.sample.at, wander_power);
    if let Some(change) = entry.change {
        state.disturb(change);
    }
    state
}

/// Updates a state with a sample; one that is too far off counts less, so that a single wild sample moves little.
fn take_in(state: &mut State, phase_s: f64, variance: f64) -> Innovation {
    let miss_s = phase_s - state.phase_s;
    let surprise = miss_s * miss_s / (state.phase_variance + variance);
    let variance = if surprise > OUTLIER_SURPRISE {
        (miss_s * miss_s / OUTLIER_SURPRISE - state.phase_variance)
            .clamp(variance, variance * OUTLIER_VARIANCE_MAX)
    } else {
        variance
    };
    state.update(phase_s, variance)
}

/// How fast old samples stop counting.
pub(super) fn forgetting(newer: usize) -> f64 {
    FORGETTING.powf(number(newer))
}
