//! Samples of one source → where the oscillator is and how fast it runs.
//!
//! [`Estimator`] holds the latest samples of a source and what older ones left behind. Each new [`Sample`] is
//! weighed by what its delay says (`noise`), a `bank` of filters learns the noise of the path and the wander
//! of the oscillator, and `change` notices when the oscillator begins to run at another rate. Nothing here
//! knows of clocks that are steered or of packets. The model and the measurements that led to it are in
//! `docs/design.md`.

mod alone;
mod bank;
mod change;
mod doubt;
mod logarithm;
mod lost;
mod noise;
mod route;
mod sample;
mod state;
mod track;

use std::collections::VecDeque;

pub use bank::Prior;
use bank::{Bank, Entry, Opinion};
use doubt::{Chance, Doubt};
use route::Routes;
pub use sample::Sample;
pub use state::State;
use units::Mono;

/// The most samples that are held; what older ones said stays in the states of the filters.
pub const SAMPLES_MAX: usize = 64;

/// A sample that makes a change this likely asks for a closer look, as logarithm of the ratio of likelihoods.
const SUSPICION: f64 = 3.0;

/// Among the first so many samples it is looked for a frequency that nobody thought possible …
const SAMPLES_AT_START: std::ops::RangeInclusive<usize> = 3..=8;

/// … by so many standard deviations at least.
const UNTHOUGHT_DEVIATIONS: f64 = 3.0;

/// The frequency that is believed has to fit so many newest samples.
const SAMPLES_TO_FIT: usize = 8;

/// A smaller error of the frequency is left to the filters: where packets wait, what is believed at first is off by more than
/// the shortest way can explain.
const MISFIT_MIN: f64 = 1e-4;

/// So many times its dispersion a sample may be off beyond its delay: that of a reference clock is a standard deviation.
const DISPERSIONS: f64 = 5.0;

/// So many of its standard deviations a change of frequency that was noticed may be.
const CHANGE_DEVIATIONS: f64 = 3.0;

/// All that is known about the oscillator through one source.
#[derive(Debug, Clone)]
pub struct Estimator {
    prior: Prior,
    window: VecDeque<Entry>,
    /// Those samples of the window that no newer one is as near to the primary reference as, oldest first. They are few,
    /// and every source is asked for the best of them whenever any of the sources has a sample.
    nearest: VecDeque<Sample>,
    samples_max: usize,
    bank: Bank,
    chance: Chance,
    /// The same with less trust in the first frequency, as long as it is undecided which of them fits.
    doubts: Vec<Doubt>,
    /// By how much the frequency may be wrong because of that, as a part.
    doubted: f64,
    routes: Routes,
    opinion: Option<Opinion>,
    suspicion: f64,
    /// The newest sample is not believed until the next one tells whether it is alone.
    is_waiting: bool,
    /// The frequency that was believed before the newest sample.
    known: Option<f64>,
    /// Before which sample the newest one has made a change believed.
    changed: Option<Mono>,
    /// How far each sample is from the line through its neighbours, on average, seconds; `None` for fewer than three.
    scatter_s: Option<f64>,
}

impl Estimator {
    /// Returns an estimator without samples; `samples_max` is `maxsamples`, 0 for no limit of its own.
    pub fn new(prior: Prior, samples_max: usize) -> Self {
        let samples_max = if samples_max == 0 {
            SAMPLES_MAX
        } else {
            samples_max.min(SAMPLES_MAX)
        };
        Self {
            prior,
            window: VecDeque::new(),
            nearest: VecDeque::new(),
            samples_max,
            bank: Bank::new(),
            chance: Chance::of_right(),
            doubts: Doubt::of(&prior),
            doubted: 0.0,
            routes: Routes::default(),
            opinion: None,
            suspicion: 0.0,
            is_waiting: false,
            known: None,
            changed: None,
            scatter_s: None,
        }
    }

    /// Takes a sample in. One that is not newer than the last is ignored.
    pub fn add(&mut self, sample: Sample) {
        if self.window.back().is_some_and(|last| sample.at <= last.sample.at) {
            return;
        }
        while self.window.len() >= self.samples_max {
            self.doubts.clear();
            self.doubted = 0.0;
            if let Some(leaving) = self.window.pop_front() {
                self.nearest
                    .pop_front_if(|nearest| nearest.at == leaving.sample.at);
                self.bank.absorb(&leaving, &self.prior);
            }
        }
        self.compare(sample);
        let route = self.take_route(sample.delay_s);
        self.window.push_back(Entry {
            sample,
            change: None,
            route,
            is_alone: false,
        });
        self.isolate();
        let before = self.opinion;
        self.known = before.map(|opinion| opinion.state.frequency);
        self.doubt_prior();
        self.evaluate();
        self.look_for_route();
        self.look_for_change();
        self.scatter_s = self.scatter();
        self.admit_misfit();
        // Whether a sample that waits is alone is decided with the next one, whatever that says.
        self.is_waiting = !self.is_waiting && self.may_be_alone();
        if let Some(mut opinion) = before.filter(|_| self.is_waiting) {
            opinion.state = opinion.state.predicted(sample.at, opinion.wander_power);
            self.opinion = Some(opinion);
        }
        if !self.is_waiting {
            self.start_again_if_lost();
        }
    }

    /// Keeps the newest sample among those that no newer one is as near as.
    fn compare(&mut self, sample: Sample) {
        let distance_s = sample.root_distance_s();
        while self
            .nearest
            .pop_back_if(|older| older.root_distance_s() >= distance_s)
            .is_some()
        {}
        self.nearest.push_back(sample);
    }

    /// Takes the frequency for no better known than the newest samples show it to be.
    fn admit_misfit(&mut self) {
        let Some(mut opinion) = self.opinion else { return };
        let misfit = self.misfit(&opinion.state);
        if misfit > MISFIT_MIN {
            opinion.state.frequency_variance = opinion.state.frequency_variance.max(misfit * misfit);
            self.opinion = Some(opinion);
        }
    }

    /// By how much the frequency is wrong at least if the newest samples are right, as a part. Filters are sure of what they
    /// believe even where samples contradict it, or one another, by more than their ways can explain.
    fn misfit(&self, believed: &State) -> f64 {
        let mut misfit = 0.0_f64;
        // What is known to have changed after a sample.
        let (mut is_phase_the_same, mut frequency_changes) = (true, 0.0);
        let newest = self.window.iter().rev().take(SAMPLES_TO_FIT);
        for (entry, before) in newest.clone().zip(newest.skip(1)) {
            match entry.change {
                Some(state::Change::Phase { .. }) => {
                    is_phase_the_same = false;
                    continue;
                }
                Some(state::Change::Frequency { variance, .. }) => {
                    frequency_changes += CHANGE_DEVIATIONS * variance.sqrt();
                }
                None => {}
            }
            let (from, to) = (&before.sample, &entry.sample);
            let span_s = to.at.seconds_since(from.at);
            let moved_s = to.phase_s - from.phase_s;
            let beyond_s = (moved_s - believed.frequency * span_s).abs() - way_s(from) - way_s(to);
            misfit = misfit.max(beyond_s / span_s - frequency_changes);
            if is_phase_the_same {
                let beyond_s = (from.phase_s - believed.phase_at(from.at)).abs() - way_s(from);
                misfit = misfit.max(beyond_s / believed.at.seconds_since(from.at) - frequency_changes);
            }
        }
        misfit
    }

    /// Takes the first frequency for as uncertain as the first samples show it to be, when neither their ways nor a
    /// single jump explain what they show: a filter that is sure of a wrong frequency would take them for outliers.
    fn doubt_prior(&mut self) {
        if !SAMPLES_AT_START.contains(&self.window.len()) || self.window.len() >= self.samples_max {
            return;
        }
        // How much faster a pair of samples shows the phase to move than was thought, and what their ways may add.
        let news = |from: &Sample, to: &Sample| {
            let span_s = to.at.seconds_since(from.at);
            let frequency = (to.phase_s - from.phase_s) / span_s - self.prior.frequency;
            let ways_s = (from.delay_s + to.delay_s) / 2.0 + from.dispersion_s + to.dispersion_s;
            (frequency, ways_s / span_s)
        };
        let (Some(first), Some(last)) = (self.window.front(), self.window.back()) else {
            return;
        };
        let (frequency, error) = news(&first.sample, &last.sample);
        let pairs = self.window.iter().zip(self.window.iter().skip(1));
        let agree = pairs
            .map(|(from, to)| news(&from.sample, &to.sample))
            .all(|(part, error)| part * frequency.signum() + error > frequency.abs() / 2.0);
        let beyond = frequency.abs() - error;
        if agree && beyond > UNTHOUGHT_DEVIATIONS * self.prior.frequency_error {
            self.prior.frequency_error = beyond;
        }
    }

    /// Forgets all samples; the frequency known so far is where the next ones begin.
    pub fn reset(&mut self, prior: Prior) {
        *self = Self::new(prior, self.samples_max);
    }

    /// Moves all phases when their origin moves, seconds.
    pub fn shift(&mut self, by_s: f64) {
        for entry in &mut self.window {
            entry.sample.phase_s += by_s;
        }
        for sample in &mut self.nearest {
            sample.phase_s += by_s;
        }
        self.bank.shift(by_s);
        if let Some(opinion) = &mut self.opinion {
            opinion.state.phase_s += by_s;
        }
    }

    /// Phase and frequency after the newest sample; `None` without samples.
    pub fn state(&self) -> Option<State> {
        self.opinion.map(|opinion| opinion.state)
    }

    /// Phase and frequency at some time; `None` without samples.
    pub fn state_at(&self, at: Mono) -> Option<State> {
        self.opinion
            .map(|opinion| opinion.state.predicted(at, opinion.wander_power))
    }

    /// The standard deviation of a sample, seconds; `None` without samples.
    pub fn noise_s(&self) -> Option<f64> {
        self.opinion
            .map(|opinion| (opinion.noise_variance + 4.0 * opinion.rest_variance).sqrt())
    }

    /// The standard deviation a sample would have if its delay told nothing of its error, seconds; `None` without
    /// samples. Larger than [`noise_s`](Self::noise_s) where the directions of the path are unequal.
    pub fn spread_s(&self) -> Option<f64> {
        let noise_s = self.noise_s()?;
        Some(noise_s.max(self.bank.path().expected_variance().sqrt()))
    }

    /// How far the samples scatter, whatever is believed of them, seconds: the standard deviation of a sample as the
    /// misses between each one and the line through its neighbours show it, or what the delays suggest while there
    /// are fewer than three. A single wild one between others that agree is left out. `None` without samples.
    pub fn jitter_s(&self) -> Option<f64> {
        self.scatter_s.or_else(|| self.noise_s())
    }

    /// The random walk of the frequency per root second; `None` without samples.
    pub fn wander(&self) -> Option<f64> {
        self.opinion.map(|opinion| opinion.wander_power.sqrt())
    }

    /// By how much the frequency may be wrong, beyond its variance, as long as the samples do not tell whether the one
    /// that was known before them fits; as a part.
    pub fn doubt(&self) -> f64 {
        self.doubted
    }

    /// Whether the newest samples may be the beginning of a change, so that more of them are wanted soon.
    pub fn is_suspicious(&self) -> bool {
        self.is_waiting || self.suspicion > SUSPICION
    }

    /// Whether the newest sample contradicts those before it, and the next one is to tell which of them is right.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// How far the newest sample is from what is believed, beyond what its way here can explain, seconds. What is
    /// believed may be wrong by as much until more samples have told which of them is.
    pub fn unexplained_s(&self) -> f64 {
        let (Some(entry), Some(opinion)) = (self.window.back(), &self.opinion) else {
            return 0.0;
        };
        let miss_s = (entry.phase_s() - opinion.state.phase_s).abs();
        (miss_s - entry.sample.delay_s / 2.0 - entry.sample.dispersion_s).max(0.0)
    }

    /// How far from true time what is believed can be at some time if no sample was further from it than its root distance,
    /// and the oscillator drifts by no more than this part, seconds: what is believed need not be where the least uncertain
    /// sample is.
    pub fn error_max_s(&self, at: Mono, drift: f64) -> f64 {
        let Some(opinion) = &self.opinion else { return 0.0 };
        let error_s = |sample: &Sample| {
            (sample.phase_s - opinion.state.phase_at(sample.at)).abs()
                + sample.root_distance_s()
                + drift * at.seconds_since(sample.at)
        };
        [self.least_uncertain(at, drift), self.last()]
            .into_iter()
            .flatten()
            .map(error_s)
            .fold(f64::INFINITY, f64::min)
    }

    /// By how much the frequency can be wrong if the newest samples are as far off as their ways allow and no further, as a part;
    /// 0 with fewer than two samples, which tell none.
    pub fn frequency_error_max(&self) -> f64 {
        let mut newest = self.samples().rev().take(SAMPLES_TO_FIT);
        let (Some(opinion), Some(last), Some(first)) = (&self.opinion, newest.next(), newest.last()) else {
            return 0.0;
        };
        let span_s = last.at.seconds_since(first.at);
        let moved_s = last.phase_s - first.phase_s - opinion.state.frequency * span_s;
        (moved_s.abs() + way_s(first) + way_s(last)) / span_s
    }

    /// The samples held, oldest first.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + Clone {
        self.window.iter().map(|entry| &entry.sample)
    }

    /// The samples held without wild ones that are known as such, oldest first.
    pub fn samples_to_keep(&self) -> impl DoubleEndedIterator<Item = &Sample> + Clone {
        let entries = self.window.iter().filter(|entry| !entry.is_alone);
        entries.map(|entry| &entry.sample)
    }

    /// The sample held that is the least uncertain at some time, if the oscillator may drift by this part; `None`
    /// without samples.
    pub fn least_uncertain(&self, at: Mono, drift: f64) -> Option<&Sample> {
        let distance_s = |sample: &Sample| sample.root_distance_s() + drift * at.seconds_since(sample.at);
        self.nearest
            .iter()
            .min_by(|a, b| distance_s(a).total_cmp(&distance_s(b)))
    }

    /// How many samples are held.
    pub fn count(&self) -> usize {
        self.window.len()
    }

    /// How many samples are held at most.
    pub fn samples_max(&self) -> usize {
        self.samples_max
    }

    /// The newest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.window.back().map(|entry| &entry.sample)
    }

    /// The shortest round trip among the samples held, seconds.
    pub fn delay_min_s(&self) -> Option<f64> {
        self.window.front().map(|_| self.bank.path().minimum_s)
    }

    /// How many runs of samples lie on one side of the estimated line (`chronyc sourcestats`, NR).
    pub fn runs(&self) -> usize {
        let Some(state) = self.state() else { return 0 };
        let mut runs = 0;
        let mut side = None;
        for sample in self.samples() {
            let above = sample.phase_s > state.phase_s + state.frequency * sample.at.seconds_since(state.at);
            if side != Some(above) {
                runs += 1;
                side = Some(above);
            }
        }
        runs
    }

    /// How far each sample is from the line through its neighbours, on average, seconds.
    fn scatter(&self) -> Option<f64> {
        let (mut misses, mut count) = (0.0, 0.0);
        // A jump that is believed is not jitter; a source that goes on jumping has no better name for it.
        let mut jumps = self.window.iter().enumerate().filter_map(|(index, entry)| {
            matches!(entry.change, Some(state::Change::Phase { .. })).then_some(index)
        });
        let from = match (jumps.next(), jumps.next()) {
            (Some(only), None) => only,
            _ => 0,
        };
        for square in self.misses(from..self.window.len()) {
            misses += square;
            count += 1.0;
        }
        (count > 0.0).then(|| (misses / count).sqrt())
    }

    /// How far each of these samples but the first and the last is from the line through its neighbours, squared, s²: the
    /// variance of a sample as it alone shows it. A wild one that is known as such is not among them.
    fn misses(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = f64> + '_ {
        let entries = move || self.window.range(range.clone()).filter(|entry| !entry.is_alone);
        let samples = move || entries().map(|entry| &entry.sample);
        let triples = samples().zip(samples().skip(1)).zip(samples().skip(2));
        triples.map(|((before, sample), after)| {
            let span_s = after.at.seconds_since(before.at);
            let share = sample.at.seconds_since(before.at) / span_s;
            let between_s = before.phase_s + share * (after.phase_s - before.phase_s);
            let variances = 1.0 + share * share + (1.0 - share) * (1.0 - share);
            (sample.phase_s - between_s).powi(2) / variances
        })
    }
}

/// How far a sample can be off without contradicting others, seconds.
fn way_s(sample: &Sample) -> f64 {
    sample.delay_s / 2.0 + DISPERSIONS * sample.dispersion_s
}

/// A count as a number to calculate with.
fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An estimator that has seen these phases, 64 s apart.
    fn seen(phases_s: &[f64]) -> Estimator {
        let prior = Prior {
            frequency: 0.0,
            frequency_error: 1e-5,
            precision_s: 1e-7,
        };
        let mut estimator = Estimator::new(prior, 0);
        let mut at_s = 0.0;
        for &phase_s in phases_s {
            at_s += 64.0;
            estimator.add(Sample {
                at: Mono::ZERO.plus_seconds(at_s),
                phase_s,
                delay_s: 2e-4,
                dispersion_s: 1e-7,
                root_delay_s: 0.0,
                root_dispersion_s: 0.0,
            });
        }
        estimator
    }

    /// A sample after so many seconds; its way is wrong by half of what is beyond the shortest.
    fn sample(at_s: f64, phase_s: f64, delay_s: f64) -> Sample {
        Sample {
            at: Mono::ZERO.plus_seconds(at_s),
            phase_s,
            delay_s,
            dispersion_s: 1e-7,
            root_delay_s: 0.0,
            root_dispersion_s: 0.0,
        }
    }

    /// As seen from a server that slews by more and more (`smoothtime`), of one that slews by less and less afterwards.
    #[test]
    fn an_oscillator_that_was_lost_is_found_again() {
        const ACCELERATION: f64 = 1e-6;
        const SLEWS_S: f64 = 2000.0;
        let phase_s = |at_s: f64| {
            let up_s = (at_s - 4000.0).clamp(0.0, SLEWS_S);
            let steady_s = (at_s - 4000.0 - SLEWS_S).max(0.0);
            let down_s = (at_s - 9000.0).clamp(0.0, SLEWS_S);
            let after_s = (at_s - 9000.0 - SLEWS_S).max(0.0);
            ACCELERATION
                * (up_s * up_s / 2.0 + SLEWS_S * steady_s - down_s * down_s / 2.0 - SLEWS_S * after_s)
        };
        for seed in 0..40 {
            let mut chance = chances(seed);
            let mut estimator = Estimator::new(seen(&[]).prior, 0);
            let mut at_s = 0.0;
            let mut error_s = 0.0;
            for _ in 0..190 {
                for wait_s in [64.0, 4.0] {
                    at_s += wait_s;
                    let (there_s, back_s) = (-1e-4 * chance().ln(), -1e-4 * chance().ln());
                    let off_s = (there_s - back_s) / 2.0;
                    estimator.add(sample(at_s, phase_s(at_s) + off_s, 2e-4 + there_s + back_s));
                    error_s = estimator.state().unwrap().phase_s - phase_s(at_s);
                }
            }
            assert!(error_s.abs() < 3e-4, "seed {seed}: {error_s} s");
        }
    }

    /// The phase is 0. The way there takes longer by so much for so many samples, of 200.
    fn error_after_detour(
        seed: u32,
        samples_max: usize,
        waits_s: f64,
        longer_s: f64,
        for_samples: u32,
    ) -> f64 {
        let mut chance = chances(seed);
        let mut estimator = Estimator::new(seen(&[]).prior, samples_max);
        for n in 0..200 {
            let detour_s = if (60..60 + for_samples).contains(&n) {
                longer_s
            } else {
                0.0
            };
            let (there_s, back_s) = (detour_s - waits_s * chance().ln(), -waits_s * chance().ln());
            let off_s = (there_s - back_s) / 2.0;
            estimator.add(sample(64.0 * f64::from(n + 1), off_s, 4e-4 + there_s + back_s));
        }
        estimator.state().unwrap().phase_s
    }

    #[test]
    fn a_longer_way_leaves_nothing_behind() {
        for (waits_s, longer_s) in [
            (1e-5, 1e-2),
            (1e-4, 7e-4),
            (1e-4, 1e-3),
            (1e-4, 1e-2),
            (1e-3, 1e-2),
        ] {
            for for_samples in [6, 7, 8, 10, 30] {
                for seed in 0..4 {
                    let error_s = error_after_detour(seed, 0, waits_s, longer_s, for_samples);
                    assert!(
                        error_s.abs() < waits_s,
                        "{waits_s} s, {longer_s} s for {for_samples}, seed {seed}: {error_s} s"
                    );
                }
            }
        }
    }

    #[test]
    fn with_few_samples_a_server_that_was_set_is_followed() {
        for samples_max in [4, 5, 6, 8] {
            for jump_s in [-0.01, 1.0] {
                let mut chance = chances(1);
                let mut estimator = Estimator::new(seen(&[]).prior, samples_max);
                let mut error_s = 0.0;
                for n in 0..60 {
                    let phase_s = if n < 40 { 0.0 } else { jump_s };
                    let (there_s, back_s) = (-1e-4 * chance().ln(), -1e-4 * chance().ln());
                    let off_s = (there_s - back_s) / 2.0;
                    estimator.add(sample(
                        64.0 * f64::from(n + 1),
                        phase_s + off_s,
                        4e-4 + there_s + back_s,
                    ));
                    error_s = estimator.state().unwrap().phase_s - phase_s;
                }
                assert!(
                    error_s.abs() < 4e-4,
                    "{samples_max} samples, {jump_s} s: {error_s} s"
                );
            }
        }
    }

    #[test]
    fn samples_that_contradict_each_other_make_no_frequency() {
        // The true phase is always 0.
        for wild_s in [0.05, 0.4, 5.0] {
            for wild in [&[2][..], &[3], &[5], &[2, 4], &[7], &[2, 3, 6], &[12, 13, 17]] {
                for interval_s in [2.0, 64.0] {
                    let mut estimator = Estimator::new(seen(&[]).prior, 0);
                    for n in 1..40 {
                        let phase_s = if wild.contains(&n) { wild_s } else { 0.0 };
                        estimator.add(sample(interval_s * f64::from(n), phase_s, 2e-4));
                        let state = estimator.state().unwrap();
                        let error = state.frequency_variance.sqrt();
                        // Two samples cannot contradict each other.
                        assert!(
                            n < 3 || state.frequency.abs() < 5.0 * error.max(5e-5),
                            "{wild_s} s at {wild:?} every {interval_s} s, sample {n}: {} +/- {error}",
                            state.frequency
                        );
                    }
                }
            }
        }
    }

    /// Numbers between 0 and 1 that look like chance.
    fn chances(mut seed: u32) -> impl FnMut() -> f64 {
        move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f64::from(seed >> 8) + 0.5) / f64::from(1 << 24)
        }
    }

    /// Samples 64 s apart on a path with exponential waits, of an oscillator that is 20 ppm off: what the estimator has seen, and
    /// by how much its phase was wrong after each of them. One is off by more, and all are by noise that no delay shows.
    fn on_a_path(seed: u32, waits_s: f64, wild: (u32, f64), noise_s: f64) -> (Estimator, Vec<f64>) {
        let mut chance = chances(seed);
        let mut estimator = Estimator::new(seen(&[]).prior, 0);
        let errors_s = (0..400)
            .map(|n| {
                let at_s = 64.0 * f64::from(n) + chance();
                let (there_s, back_s) = (-waits_s * chance().ln(), -waits_s * chance().ln());
                let wild_s = if n == wild.0 { wild.1 } else { 0.0 };
                let noise_s =
                    noise_s * (-2.0 * chance().ln()).sqrt() * (std::f64::consts::TAU * chance()).cos();
                let off_s = (there_s - back_s) / 2.0 + wild_s + noise_s;
                estimator.add(sample(at_s, 2e-5 * at_s + off_s, 4e-4 + there_s + back_s));
                estimator.state().unwrap().phase_s - 2e-5 * at_s
            })
            .collect();
        (estimator, errors_s)
    }

    #[test]
    fn one_wild_sample_is_never_believed() {
        for (wild_s, waits_s) in [
            (0.01, 1e-5),
            (0.1, 1e-5),
            (0.1, 1e-4),
            (1.0, 1e-5),
            (-1.0, 1e-4),
            (18.0, 1e-4),
            (3600.0, 1e-4),
        ] {
            for seed in 1..=20 {
                let (estimator, errors_s) = on_a_path(seed, waits_s, (350, wild_s), 0.0);
                let worst_s = errors_s[350..]
                    .iter()
                    .fold(0.0_f64, |most, error_s| most.max(error_s.abs()));
                assert!(
                    worst_s < waits_s,
                    "{wild_s} s, waits {waits_s} s, seed {seed}: {worst_s}"
                );
                let frequency = estimator.state().unwrap().frequency;
                assert!(
                    (frequency - 2e-5).abs() < 1e-7,
                    "{wild_s} s, seed {seed}: {frequency}"
                );
                // Nor is anything left of changes that never were, or the source not fit to be followed.
                assert!(estimator.window.iter().all(|entry| entry.change.is_none()));
                let jitter_s = estimator.jitter_s().unwrap();
                assert!(
                    jitter_s < 3.0 * waits_s,
                    "{wild_s} s, seed {seed}: jitter {jitter_s}"
                );
            }
        }
    }

    #[test]
    fn what_a_wild_sample_says_of_its_own_error_is_not_believed() {
        let mut estimator = seen(&[0.0; 20]);
        let at_s = |n: f64| 64.0 * (20.0 + n);
        estimator.add(sample(at_s(1.0), 0.5, 1e-5));
        estimator.add(sample(at_s(2.0), 0.0, 2e-4));
        let at = Mono::ZERO.plus_seconds(at_s(2.0));
        let least = estimator.least_uncertain(at, 1e-8).unwrap();
        assert!(least.delay_s > 1e-4, "{least:?}");
    }

    #[test]
    fn no_sample_is_alone_where_all_scatter_by_more_than_their_ways() {
        for noise_s in [1e-3, 3e-3, 1e-2] {
            for seed in 1..=10 {
                let (estimator, _) = on_a_path(seed, 1e-5, (350, 0.0), noise_s);
                let dispersed = |sample: &&Sample| sample.dispersion_s > 1e-7;
                assert_eq!(
                    estimator.samples().filter(dispersed).count(),
                    0,
                    "{noise_s} s, seed {seed}"
                );
            }
        }
    }

    #[test]
    fn a_step_that_stays_is_no_wild_sample() {
        let mut phases_s = [0.0; 40];
        phases_s[20..].fill(0.5);
        let estimator = seen(&phases_s);
        assert!(estimator.samples().all(|sample| sample.dispersion_s < 1e-6));
        assert!((estimator.state().unwrap().phase_s - 0.5).abs() < 1e-4);
    }

    #[test]
    fn the_noise_of_a_reference_clock_is_no_contradiction() {
        for (interval_s, noise_s, error_max) in [
            (4.0, 1e-3, 3e-6),
            (16.0, 5e-3, 5e-6),
            (16.0, 5e-2, 2e-5),
            (64.0, 2e-2, 5e-6),
        ] {
            let mut chance = chances(1);
            let mut estimator = Estimator::new(seen(&[]).prior, 0);
            for n in 0..400 {
                let off_s =
                    noise_s * (-2.0 * chance().ln()).sqrt() * (std::f64::consts::TAU * chance()).cos();
                let at_s = interval_s * f64::from(n);
                estimator.add(Sample {
                    dispersion_s: noise_s,
                    ..sample(at_s, off_s, 1e-9)
                });
                let state = estimator.state().unwrap();
                let error = state.frequency_variance.sqrt();
                assert!(
                    n < 100 || error < error_max && state.frequency.abs() < 4.0 * error,
                    "{noise_s} s every {interval_s} s, sample {n}: {} +/- {error}",
                    state.frequency
                );
            }
        }
    }

    #[test]
    fn a_clock_that_is_far_off_has_a_frequency() {
        let mut estimator = Estimator::new(seen(&[]).prior, 0);
        for n in 1..8 {
            let at_s = 2.0 * f64::from(n);
            estimator.add(sample(at_s, 0.05 * at_s, 2e-4));
        }
        let state = estimator.state().unwrap();
        assert!((state.frequency - 0.05).abs() < 1e-4, "{state:?}");
        assert!(state.frequency_variance.sqrt() < 1e-3, "{state:?}");
    }

    #[test]
    fn the_largest_error_is_that_of_the_samples_whatever_is_believed() {
        // The true phase is 0, and all that is beyond the shortest way is on the way back.
        for (before_s, after_s) in [(0.4, 0.2), (0.1, 0.05), (0.02, 0.0205), (0.2, 0.4)] {
            let mut estimator = Estimator::new(seen(&[]).prior, 0);
            for n in 1..40 {
                let back_s = if n < 5 { before_s } else { after_s };
                let at_s = 16.0 * f64::from(n);
                estimator.add(sample(at_s, -back_s / 2.0, back_s + 1e-3));
                let at = Mono::ZERO.plus_seconds(at_s);
                let error_s = estimator.state_at(at).unwrap().phase_s.abs();
                let most_s = estimator.error_max_s(at, 1e-6);
                assert!(
                    error_s <= most_s,
                    "{before_s} {after_s}, sample {n}: {error_s} > {most_s}"
                );
            }
        }
    }

    #[test]
    fn jitter_is_what_samples_scatter_by_even_when_their_delays_are_quiet() {
        let leaping = seen(&[0.0, 64.0, 64.0, 128.0]);
        assert!(leaping.jitter_s().unwrap() > 10.0);
        let alternating: Vec<f64> = (0..40).map(|n| if n % 2 == 0 { 1e-3 } else { -1e-3 }).collect();
        let jitter_s = seen(&alternating).jitter_s().unwrap();
        // A square wave is a little worse than noise of its size.
        assert!((1e-3..2e-3).contains(&jitter_s), "{jitter_s}");
    }

    #[test]
    fn many_samples_at_once_after_days_without_any_leave_numbers() {
        for gap_s in [1e3, 1e4, 1e5, 3e5, 1e6, 1e7] {
            let mut estimator = seen(&[]);
            for n in 0..120 {
                let at_s = gap_s * f64::from(n / 40) + 0.015 * f64::from(n);
                estimator.add(Sample {
                    at: Mono::ZERO.plus_seconds(at_s),
                    phase_s: 0.1 + 6.4e-5 * at_s,
                    delay_s: 0.004,
                    dispersion_s: 1e-7,
                    root_delay_s: 0.0,
                    root_dispersion_s: 0.0,
                });
                let state = estimator.state().unwrap();
                assert!((state.frequency - 6.4e-5).abs() < 1e-3, "{gap_s} {n}: {state:?}");
                assert!(
                    (state.phase_s - 0.1 - 6.4e-5 * at_s).abs() < 1e-3,
                    "{gap_s} {n}: {state:?}"
                );
                assert!(
                    state.phase_variance >= 0.0 && state.frequency_variance >= 0.0,
                    "{gap_s} {n}: {state:?}"
                );
            }
        }
    }

    #[test]
    fn the_least_uncertain_sample_is_found_among_few() {
        let mut estimator = Estimator::new(seen(&[]).prior, 0);
        let mut random = 1_u32;
        for n in 0..200 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            estimator.add(Sample {
                at: Mono::ZERO.plus_seconds(64.0 * f64::from(n)),
                phase_s: 0.0,
                delay_s: 1e-4 + 1e-3 * f64::from(random >> 16) / 65_536.0,
                dispersion_s: 1e-7,
                root_delay_s: 0.0,
                root_dispersion_s: 1e-5,
            });
            let at = Mono::ZERO.plus_seconds(64.0 * f64::from(n) + 10.0);
            for drift in [1e-8, 1e-7, 1e-6, 1e-4] {
                let distance_s =
                    |sample: &Sample| sample.root_distance_s() + drift * at.seconds_since(sample.at);
                let of_all = estimator.samples().map(distance_s).min_by(f64::total_cmp);
                assert_eq!(
                    estimator.least_uncertain(at, drift).map(distance_s),
                    of_all,
                    "{n} {drift}"
                );
            }
        }
        assert!(estimator.nearest.len() < 16, "{}", estimator.nearest.len());
    }

    #[test]
    fn neither_frequency_nor_slow_wander_is_jitter() {
        let wandering: Vec<f64> = (0..60)
            .map(|n| {
                let n = f64::from(n);
                1e-3 * n + 1e-7 * n * n
            })
            .collect();
        assert!(seen(&wandering).jitter_s().unwrap() < 2e-7);
        assert_eq!(seen(&[]).jitter_s(), None);
    }
}
