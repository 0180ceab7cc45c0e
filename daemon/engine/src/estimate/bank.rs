//! Many filters that differ in what they assume of oscillator and path, weighed by how well each of them
//! foretold the samples.
//!
//! Each of them is a Kalman filter with a fixed wander of the oscillator and a fixed idea of how much a delay
//! says about the error; the size of the noise it learns by itself. All of them run over the same window of
//! samples. What is believed is the mean of their results, weighted with their likelihoods: as long as samples
//! are few the prior decides, later the path and the oscillator speak for themselves, and nothing has to be
//! configured.

use std::collections::VecDeque;

use units::Mono;

use super::logarithm::ln;
use super::noise::PathDelay;
use super::route::Route;
use super::sample::Sample;
use super::state::{Change, State};
use super::track::{Innovations, Step, Track, Tracks, smaller};

/// The wander that the members assume begins here, per root second …
const WANDER_MIN: f64 = 1e-11;
/// … and grows by this factor, half a decade …
const WANDER_STEP: f64 = 3.162_277_660_168_379_5;
/// … so many times: up to 1e-6.
const WANDERS: usize = 11;

/// The wander that is thought most likely before anything is known: that of a plain quartz.
const WANDER_USUAL: f64 = 1e-9;

/// The standard deviation of that guess, in decades.
const WANDER_DECADES: f64 = 1.5;

/// The parts of the noise that the delay does not show, one member each (0: all of it shows).
const UNRELATED_PARTS: [f64; 3] = [0.003, 0.1, 1.0];

/// The same for members that take the directions for unequal.
const UNRELATED_PARTS_UNEQUAL: [f64; 2] = [0.1, 1.0];

/// How many members take the directions for alike …
const MEMBERS_ALIKE: usize = WANDERS * UNRELATED_PARTS.len();
/// … and how many do not: whole decades are near enough to tell whether directions are unequal.
const MEMBERS_UNEQUAL: usize = WANDERS.div_ceil(2) * UNRELATED_PARTS_UNEQUAL.len();

/// How unequal the directions of a path may be before any sample, standard deviation: everything from −½ to ½.
const ASYMMETRY: f64 = 0.29;

/// How much less likely unequal directions are thought to be before any sample, as logarithm.
const ASYMMETRY_LOG_PRIOR: f64 = -2.0;

/// How fast old samples stop counting for the weights: after n newer ones by this to the power n.
pub(super) const FORGETTING: f64 = 0.985;

/// As many samples the guess of the noise counts as when the noise is learned.
const NOISE_GUESS_WEIGHT: f64 = 6.0;

/// The same for members that take the directions for unequal.
const NOISE_GUESS_WEIGHT_UNEQUAL: f64 = 2.0;

/// How far the learned noise may be from what the delays suggest, as a factor of the variance.
const NOISE_VARIANCE_RANGE: f64 = 400.0;

/// Until there are so many samples the noise is what the delays suggest.
const SAMPLES_TO_LEARN_NOISE: usize = 8;

/// So many samples tell nothing of the noise yet.
const SAMPLES_BEFORE_LEARNING: usize = 3;

/// How much of what the misses show is learned at once, as a power of the factor.
const LEARNING: f64 = 0.7;

/// No miss tells more of the noise than this one, squared and in standard deviations.
const SURPRISE_TO_LEARN_MAX: f64 = 9.0;

/// A sample in the window, with the change that is thought to have come before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The sample.
    pub sample: Sample,
    /// What changed between the previous sample and this one.
    pub change: Option<Change>,
    /// The way it took.
    pub route: Route,
    /// Whether it contradicts the one before and the one after, which agree with each other.
    pub is_alone: bool,
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

    /// What the filters take in; `before` is when the sample before it was.
    fn step(&self, before: Mono, path: &PathDelay) -> Step {
        let interval_s = self.sample.at.seconds_since(before);
        Step::new(interval_s, self.phase_s(), path.excess_s(self), path.shape(self)).after(self.change)
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

/// One filter of the bank by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<const UNEQUAL: bool> {
    /// The random walk of the frequency per root second, squared.
    pub wander_power: f64,
    /// The part of the noise that the delay does not show.
    unrelated: f64,
    /// The mean variance of a sample, learned, s².
    pub noise_variance: f64,
    /// What it knows before the first sample that can still surprise it.
    pub start: Track<UNEQUAL>,
    /// The index of that sample.
    pub first: usize,
}

impl<const UNEQUAL: bool> Member<UNEQUAL> {
    /// The variance of a sample in the eyes of this member, s².
    pub(super) fn variance(&self, step: &Step) -> f64 {
        step.shape.variance(self.noise_variance, self.unrelated)
    }
}

/// The filter that foretold the samples best.
#[derive(Debug, Clone, Copy)]
pub(super) enum Likeliest {
    /// It takes both directions for alike.
    Alike(Member<false>),
    /// It does not.
    Unequal(Member<true>),
}

/// Filters on their way through the samples.
#[derive(Debug, Clone)]
struct Run<const N: usize, const UNEQUAL: bool> {
    tracks: Tracks<N, UNEQUAL>,
    /// How well each foretold the samples so far, without the constant.
    log_likelihood: [f64; N],
    /// The misses, squared and in standard deviations, as far as they are noise and not ignorance of the state.
    surprise: [f64; N],
    /// How many misses those are.
    weight: [f64; N],
}

/// Filters of one kind, each of their numbers side by side.
#[derive(Debug, Clone)]
struct Group<const N: usize, const UNEQUAL: bool> {
    /// The random walk of the frequency per root second, squared.
    wander_power: [f64; N],
    /// The part of the noise that the delay does not show.
    unrelated: [f64; N],
    /// The logarithm of what each was worth before any sample.
    log_prior: [f64; N],
    /// The mean variance of a sample, learned, s²; 0 before the first.
    noise_variance: [f64; N],
    /// Where each was after the samples that have left the window.
    anchor: Option<Run<N, UNEQUAL>>,
}

/// The filters, and what they agree on.
#[derive(Debug, Clone)]
pub(super) struct Bank {
    alike: Group<MEMBERS_ALIKE, false>,
    unequal: Group<MEMBERS_UNEQUAL, true>,
    /// When the newest of the samples that have left the window was.
    anchored_at: Option<Mono>,
    /// The index of the likeliest; those that take the directions for alike come first.
    likeliest: usize,
    /// The delay of the first sample.
    origin_s: Option<f64>,
    path: PathDelay,
}

/// What one member says.
struct Voice {
    /// The logarithm of what it is worth.
    worth: f64,
    /// Phase and frequency after the newest sample, as a packet that waits nowhere shows them.
    state: State,
    /// The mean variance of a sample, s².
    noise_variance: f64,
    /// How much of the phase's variance comes of not knowing how fast such a packet would be, s².
    rest_variance: f64,
    /// The random walk of the frequency per root second, squared.
    wander_power: f64,
}

/// What the members say together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opinion {
    /// How well they foretold the samples, as logarithm: comparable with other banks that saw the same ones.
    pub log_evidence: f64,
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
        Self {
            alike: Group::new(1, UNRELATED_PARTS),
            unequal: Group::new(2, UNRELATED_PARTS_UNEQUAL),
            anchored_at: None,
            likeliest: 0,
            origin_s: None,
            path: PathDelay::of(std::iter::empty(), 0.0, 1.0),
        }
    }

    /// Lets every member take in the sample that leaves the window: from now on it is remembered only by what
    /// it did to their states.
    pub(super) fn absorb(&mut self, leaving: &Entry, prior: &Prior) {
        let before = self.anchored_at.unwrap_or(leaving.sample.at);
        let step = leaving.step(before, &self.path);
        self.alike.absorb(&step, prior);
        self.unequal.absorb(&step, prior);
        self.anchored_at = Some(leaving.sample.at);
    }

    /// Whether samples have left the window, so that the members know more than those in it tell.
    pub(super) fn is_anchored(&self) -> bool {
        self.anchored_at.is_some()
    }

    /// Runs all members over the window again and returns what they say; `None` for an empty window.
    pub(super) fn evaluate(&mut self, window: &VecDeque<Entry>, prior: &Prior) -> Option<Opinion> {
        let (oldest, newest) = (window.front()?, window.back()?);
        let origin_s = *self.origin_s.get_or_insert(oldest.sample.delay_s);
        self.path = PathDelay::of(window.iter(), origin_s, prior.precision_s);
        let path = self.path;
        let is_new = self.anchored_at.is_none() && window.len() <= SAMPLES_TO_LEARN_NOISE;
        self.alike.guess_noise(&path, is_new);
        self.unequal.guess_noise(&path, is_new);
        let first = self.steps(window).next()?;
        let (mut alike, skip) = self.alike.start(&first, prior);
        let (mut unequal, _) = self.unequal.start(&first, prior);
        for step in self.steps(window).skip(skip) {
            self.alike.take_in(&mut alike, &step);
            self.unequal.take_in(&mut unequal, &step);
        }
        let (at, learns) = (newest.sample.at, window.len() > SAMPLES_BEFORE_LEARNING);
        let mut voices = Vec::with_capacity(MEMBERS_ALIKE + MEMBERS_UNEQUAL);
        self.alike.finish(&alike, at, &path, learns, &mut voices);
        self.unequal.finish(&unequal, at, &path, learns, &mut voices);
        self.agree(&voices)
    }

    /// What the samples of the window are to the filters, oldest first. If none has left the window the first one has
    /// nothing before it.
    pub(super) fn steps<'a>(&'a self, window: &'a VecDeque<Entry>) -> impl Iterator<Item = Step> + 'a {
        let mut before = self.anchored_at;
        window.iter().map(move |entry| {
            let at = entry.sample.at;
            entry.step(before.replace(at).unwrap_or(at), &self.path)
        })
    }

    /// Moves everything remembered when the origin of phases moves.
    pub(super) fn shift(&mut self, by_s: f64) {
        self.alike.shift(by_s);
        self.unequal.shift(by_s);
    }

    /// The member that foretold the samples of the window best.
    pub(super) fn likeliest(&self, window: &VecDeque<Entry>, prior: &Prior) -> Option<Likeliest> {
        let first = self.steps(window).next()?;
        Some(match self.likeliest.checked_sub(MEMBERS_ALIKE) {
            None => Likeliest::Alike(self.alike.member(self.likeliest, &first, prior)),
            Some(index) => Likeliest::Unequal(self.unequal.member(index, &first, prior)),
        })
    }

    /// What the delays of the window tell.
    pub(super) fn path(&self) -> &PathDelay {
        &self.path
    }

    /// The mean over the members, weighted by likelihood.
    fn agree(&mut self, voices: &[Voice]) -> Option<Opinion> {
        let (likeliest, best) = voices
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| a.worth.total_cmp(&b.worth))?;
        let weights: Vec<f64> = voices
            .iter()
            .map(|voice| (voice.worth - best.worth).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        let shares = || {
            voices
                .iter()
                .zip(&weights)
                .map(|(voice, weight)| (voice, weight / total))
        };
        let mut state = State::first(best.state.at, 0.0, 0.0, 0.0, 0.0);
        let (mut noise_variance, mut rest_variance, mut log_wander_power) = (0.0, 0.0, 0.0);
        for (voice, share) in shares() {
            state.phase_s += share * voice.state.phase_s;
            state.frequency += share * voice.state.frequency;
            noise_variance += share * voice.noise_variance;
            rest_variance += share * voice.rest_variance;
            log_wander_power += share * ln(voice.wander_power);
        }
        for (voice, share) in shares() {
            let phase_apart = voice.state.phase_s - state.phase_s;
            let frequency_apart = voice.state.frequency - state.frequency;
            state.phase_variance += share * (voice.state.phase_variance + phase_apart * phase_apart);
            state.covariance += share * (voice.state.covariance + phase_apart * frequency_apart);
            state.frequency_variance +=
                share * (voice.state.frequency_variance + frequency_apart * frequency_apart);
        }
        self.likeliest = likeliest;
        Some(Opinion {
            log_evidence: best.worth + ln(total),
            state,
            noise_variance,
            rest_variance,
            wander_power: log_wander_power.exp(),
        })
    }
}

impl<const N: usize, const UNEQUAL: bool> Group<N, UNEQUAL> {
    /// Returns members with each of these parts for each wander, or every `stride`th.
    fn new<const PARTS: usize>(stride: usize, unrelated_parts: [f64; PARTS]) -> Self {
        let mut group = Self {
            wander_power: [0.0; N],
            unrelated: [0.0; N],
            log_prior: [0.0; N],
            noise_variance: [0.0; N],
            anchor: None,
        };
        let wanders = std::iter::successors(Some(WANDER_MIN), |wander| Some(wander * WANDER_STEP));
        let members = wanders
            .step_by(stride)
            .flat_map(|wander| unrelated_parts.map(|unrelated| (wander, unrelated)));
        for (index, (wander, unrelated)) in members.take(N).enumerate() {
            let decades = (wander / WANDER_USUAL).log10() / WANDER_DECADES;
            let log_prior = if UNEQUAL { ASYMMETRY_LOG_PRIOR } else { 0.0 };
            group.wander_power[index] = wander * wander;
            group.unrelated[index] = unrelated;
            group.log_prior[index] = log_prior - 0.5 * decades * decades;
        }
        group
    }

    /// Takes the noise to be what the delays suggest, for all members or those that take it for nothing.
    fn guess_noise(&mut self, path: &PathDelay, for_all: bool) {
        for noise_variance in &mut self.noise_variance {
            if for_all || *noise_variance <= 0.0 {
                *noise_variance = path.expected_variance();
            }
        }
    }

    /// Where a member is that has seen nothing but the first sample of all.
    fn begin(&self, index: usize, first: &Step, prior: &Prior) -> Track<UNEQUAL> {
        Track::first(
            first.phase_s,
            first
                .shape
                .variance(self.noise_variance[index], self.unrelated[index]),
            prior.frequency,
            prior.frequency_error * prior.frequency_error,
            if UNEQUAL { ASYMMETRY * ASYMMETRY } else { 0.0 },
        )
    }

    /// Where the members are before the samples of the window that can still surprise them, and how many cannot:
    /// the first one, if none has left the window.
    fn start(&self, first: &Step, prior: &Prior) -> (Run<N, UNEQUAL>, usize) {
        match &self.anchor {
            Some(anchor) => (anchor.clone(), 0),
            None => {
                let tracks = Tracks::from_fn(|index| self.begin(index, first, prior));
                (Run::new(tracks), 1)
            }
        }
    }

    /// One of the members by itself.
    fn member(&self, index: usize, first: &Step, prior: &Prior) -> Member<UNEQUAL> {
        Member {
            wander_power: self.wander_power[index],
            unrelated: self.unrelated[index],
            noise_variance: self.noise_variance[index],
            start: match &self.anchor {
                Some(anchor) => anchor.tracks.get(index),
                None => self.begin(index, first, prior),
            },
            first: usize::from(self.anchor.is_none()),
        }
    }

    /// Lets every member take in the sample that leaves the window.
    fn absorb(&mut self, step: &Step, prior: &Prior) {
        let (mut run, skip) = self.start(step, prior);
        if skip == 0 {
            self.take_in(&mut run, step);
        }
        self.anchor = Some(Run {
            log_likelihood: run.log_likelihood,
            ..Run::new(run.tracks)
        });
    }

    /// Lets every member take in a sample.
    fn take_in(&self, run: &mut Run<N, UNEQUAL>, step: &Step) {
        let mut is_sound = true;
        let mut innovations = Innovations::new();
        for index in 0..N {
            let variance = step
                .shape
                .variance(self.noise_variance[index], self.unrelated[index]);
            let mut track = run.tracks.get(index);
            track.advance(step, self.wander_power[index]);
            let innovation = track.update(step, variance);
            is_sound &= track.is_sound();
            run.tracks.set(index, &track);
            innovations.set(index, &innovation);
            // A miss tells of the noise as far as it is noise and not ignorance of the state.
            let share = variance * innovation.weight;
            run.surprise[index] += share * smaller(innovation.surprise, SURPRISE_TO_LEARN_MAX);
            run.weight[index] += share;
        }
        innovations.add_to(&mut run.log_likelihood, FORGETTING);
        if !is_sound {
            run.tracks.make_sound();
        }
    }

    /// Says what a run through the window has found, and learns the size of the noise from its misses.
    fn finish(
        &mut self,
        run: &Run<N, UNEQUAL>,
        at: Mono,
        path: &PathDelay,
        learns: bool,
        voices: &mut Vec<Voice>,
    ) {
        let (rest_s, rest_error_s) = path.rest_s();
        for index in 0..N {
            let track = run.tracks.get(index);
            let noise_variance = self.noise_variance[index];
            let (mut state, mut rest_variance) = (track.with_excess(at, 0.0), 0.0);
            if UNEQUAL {
                // What the delay does not explain are the waits in the other direction: as long on average as their
                // deviation, if they are exponential, and part of every delay.
                let other_s = self.unrelated[index] * noise_variance.sqrt();
                rest_variance =
                    (track.asymmetry() * rest_error_s).powi(2) + (track.asymmetry() * other_s).powi(2) / 4.0;
                state = track.with_excess(at, rest_s + 2.0 * other_s);
                state.phase_variance += rest_variance;
            }
            if learns {
                self.noise_variance[index] =
                    Self::learned(noise_variance, run.surprise[index], run.weight[index], path);
            }
            voices.push(Voice {
                worth: run.log_likelihood[index] + self.log_prior[index],
                state,
                noise_variance: self.noise_variance[index],
                rest_variance,
                wander_power: self.wander_power[index],
            });
        }
    }

    /// The noise that so many misses show, s², if it was taken to be `noise_variance`.
    fn learned(noise_variance: f64, surprise: f64, weight: f64, path: &PathDelay) -> f64 {
        let guess = path.expected_variance();
        // Where the error is in the delay, delays say nothing of the size of the noise that is left.
        let (held, held_max, lowest) = if UNEQUAL {
            (NOISE_GUESS_WEIGHT_UNEQUAL, 1.0, 0.0)
        } else {
            (NOISE_GUESS_WEIGHT, 10.0, guess / NOISE_VARIANCE_RANGE)
        };
        let held_surprise = held * (guess / noise_variance).clamp(0.1, held_max);
        let ratio = (surprise + held_surprise) / (weight + held);
        (noise_variance * (LEARNING * ln(ratio)).exp())
            .clamp(lowest, (guess * NOISE_VARIANCE_RANGE).max(1e-6))
            .max(path.floor())
    }

    /// Moves everything remembered when the origin of phases moves.
    fn shift(&mut self, by_s: f64) {
        if let Some(anchor) = &mut self.anchor {
            anchor.tracks.shift(by_s);
        }
    }
}

impl<const N: usize, const UNEQUAL: bool> Run<N, UNEQUAL> {
    /// Returns one that begins here.
    fn new(tracks: Tracks<N, UNEQUAL>) -> Self {
        Self {
            tracks,
            log_likelihood: [0.0; N],
            surprise: [0.0; N],
            weight: [0.0; N],
        }
    }
}
