//! What one filter of the bank knows: phase, frequency, and how unequal the two directions of the path are.
//!
//! Many filters take the same sample in, one after the other and alike but for a few numbers. [`Tracks`] keeps
//! theirs side by side, and what a filter does has no branches, so that compilers make instructions of it that work
//! on several filters at once.

use units::Mono;

use super::logarithm::ln;
use super::noise::Shape;
use super::state::{Change, State};

/// How far the inequality of the directions may move from sample to sample, its standard deviation.
const ASYMMETRY_WALK: f64 = 0.003;

/// When all waits are in one direction.
const ASYMMETRY_MAX: f64 = 0.5;

/// The miss, squared and in standard deviations, from which on a sample is taken for an outlier in part.
const OUTLIER_SURPRISE: f64 = 12.0;

/// How many times its usual variance an outlier gets at most.
const OUTLIER_VARIANCE_MAX: f64 = 1000.0;

/// A sample, and what lies between it and the one before: what is the same for all filters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// The time since the sample before, seconds.
    pub interval_s: f64,
    /// What a wander with the power 1 adds to the variances and the covariance in that time.
    wandered: Uncertainty,
    /// What the change that is thought to have come before it adds.
    changed: Uncertainty,
    /// The phase that was measured, seconds.
    pub phase_s: f64,
    /// How much longer the packets took than the delay that delays are counted from, seconds.
    pub excess_s: f64,
    /// What its delay says about its variance.
    pub shape: Shape,
}

impl Step {
    /// Returns what a sample is that was measured so long after the one before.
    pub(super) fn new(interval_s: f64, phase_s: f64, excess_s: f64, shape: Shape) -> Self {
        let age_s = interval_s.abs();
        Self {
            interval_s,
            wandered: Uncertainty {
                phase: age_s * age_s * age_s / 3.0,
                both: age_s * interval_s / 2.0,
                frequency: age_s,
            },
            changed: Uncertainty::default(),
            phase_s,
            excess_s,
            shape,
        }
    }

    /// The same after a change.
    #[must_use]
    pub(super) fn after(self, change: Option<Change>) -> Self {
        Self {
            changed: change.map_or_else(Uncertainty::default, Uncertainty::from),
            ..self
        }
    }
}

/// What is added to the variances of phase and frequency and to their covariance.
#[derive(Debug, Clone, Copy, Default)]
struct Uncertainty {
    phase: f64,
    both: f64,
    frequency: f64,
}

impl From<Change> for Uncertainty {
    fn from(change: Change) -> Self {
        match change {
            Change::Frequency { variance, since_s } => Self {
                phase: variance * since_s * since_s,
                both: variance * since_s,
                frequency: variance,
            },
            Change::Phase { variance } => Self {
                phase: variance,
                ..Self::default()
            },
        }
    }
}

/// Phase, frequency and asymmetry as a normal distribution.
///
/// The asymmetry is the part of an excess delay by which the measured phase is off: 0 when waits in both directions
/// are alike, ½ when only the answers wait, −½ when only the requests do. The phase is that of a sample with the
/// delay that delays are counted from. A filter that is not `UNEQUAL` takes both directions for alike and does not
/// look at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Track<const UNEQUAL: bool> {
    phase_s: f64,
    frequency: f64,
    phase_variance: f64,
    covariance: f64,
    frequency_variance: f64,
    asymmetry: f64,
    asymmetry_variance: f64,
    /// Covariance of phase and asymmetry, s.
    with_phase: f64,
    /// Covariance of frequency and asymmetry.
    with_frequency: f64,
}

impl<const UNEQUAL: bool> Track<UNEQUAL> {
    /// Returns what one sample and guesses tell.
    pub(super) fn first(
        phase_s: f64,
        phase_variance: f64,
        frequency: f64,
        frequency_variance: f64,
        asymmetry_variance: f64,
    ) -> Self {
        Self {
            phase_s,
            frequency,
            phase_variance,
            covariance: 0.0,
            frequency_variance,
            asymmetry: 0.0,
            asymmetry_variance,
            with_phase: 0.0,
            with_frequency: 0.0,
        }
    }

    /// Lets the time pass until a sample, and the change come that came before it.
    #[inline(always)]
    pub(super) fn advance(&mut self, step: &Step, wander_power: f64) {
        let Step {
            interval_s,
            wandered,
            changed,
            ..
        } = step;
        self.phase_s += self.frequency * interval_s;
        self.phase_variance += 2.0 * interval_s * self.covariance
            + interval_s * interval_s * self.frequency_variance
            + wander_power * wandered.phase
            + changed.phase;
        self.covariance += interval_s * self.frequency_variance + wander_power * wandered.both + changed.both;
        self.frequency_variance += wander_power * wandered.frequency + changed.frequency;
        if UNEQUAL {
            self.with_phase += interval_s * self.with_frequency;
            self.asymmetry_variance += ASYMMETRY_WALK * ASYMMETRY_WALK;
        }
    }

    /// Forgets what a change of the clock or of the path has made worthless.
    pub(super) fn disturb(&mut self, change: Change) {
        let changed = Uncertainty::from(change);
        self.phase_variance += changed.phase;
        self.covariance += changed.both;
        self.frequency_variance += changed.frequency;
    }

    /// What a sample with this excess delay should measure, and the variance of that, s².
    #[inline(always)]
    pub(super) fn expected(&self, excess_s: f64) -> (f64, f64) {
        if UNEQUAL {
            let variance = self.phase_variance
                + 2.0 * excess_s * self.with_phase
                + excess_s * excess_s * self.asymmetry_variance;
            (self.phase_s + self.asymmetry * excess_s, larger(variance, 0.0))
        } else {
            (self.phase_s, self.phase_variance)
        }
    }

    /// By what part of its excess delay a sample is off.
    pub(super) fn asymmetry(&self) -> f64 {
        self.asymmetry
    }

    /// Phase and frequency as a sample with this excess delay would measure them.
    pub(super) fn with_excess(&self, at: Mono, excess_s: f64) -> State {
        let (phase_s, phase_variance) = self.expected(excess_s);
        State {
            at,
            phase_s,
            frequency: self.frequency,
            phase_variance,
            covariance: self.covariance + excess_s * self.with_frequency,
            frequency_variance: self.frequency_variance,
        }
    }

    /// Takes in a sample with this variance, s², and returns how surprising it was. One that is too far off counts
    /// less, so that a single wild sample moves little.
    ///
    /// Rounding may leave the covariances larger than they can be; see [`is_sound`](Self::is_sound).
    #[inline(always)]
    pub(super) fn update(&mut self, step: &Step, variance: f64) -> Innovation {
        let excess_s = step.excess_s;
        let (expected_s, expected_variance) = self.expected(excess_s);
        let miss_s = step.phase_s - expected_s;
        let unsurprising = miss_s * miss_s * (1.0 / OUTLIER_SURPRISE) - expected_variance;
        let total =
            expected_variance + larger(variance, smaller(unsurprising, variance * OUTLIER_VARIANCE_MAX));
        let (phase, frequency, asymmetry) = if UNEQUAL {
            (
                self.phase_variance + excess_s * self.with_phase,
                self.covariance + excess_s * self.with_frequency,
                self.with_phase + excess_s * self.asymmetry_variance,
            )
        } else {
            (self.phase_variance, self.covariance, 0.0)
        };
        let weight = 1.0 / total;
        let rate = miss_s * weight;
        self.phase_s += phase * rate;
        self.frequency += frequency * rate;
        let (phase_share, frequency_share) = (phase * weight, frequency * weight);
        self.phase_variance = larger(self.phase_variance - phase * phase_share, 0.0);
        self.covariance -= frequency * phase_share;
        self.frequency_variance = larger(self.frequency_variance - frequency * frequency_share, 0.0);
        if UNEQUAL {
            // No wait moves an offset by more than half of itself, whatever a server does.
            self.asymmetry = larger(
                smaller(self.asymmetry + asymmetry * rate, ASYMMETRY_MAX),
                -ASYMMETRY_MAX,
            );
            self.with_phase -= asymmetry * phase_share;
            self.with_frequency -= asymmetry * frequency_share;
            self.asymmetry_variance = larger(self.asymmetry_variance - asymmetry * (asymmetry * weight), 0.0);
        }
        Innovation {
            variance: total,
            weight,
            surprise: miss_s * rate,
        }
    }

    /// Whether no covariance says more than that both always go together. Where almost nothing of a large variance
    /// remains, rounding may leave one that does, and the next samples would blow that up.
    #[inline(always)]
    pub(super) fn is_sound(&self) -> bool {
        let Self {
            phase_variance,
            frequency_variance,
            asymmetry_variance,
            ..
        } = *self;
        let alike = self.covariance * self.covariance <= phase_variance * frequency_variance;
        let unequal = !UNEQUAL
            || (self.with_phase * self.with_phase <= phase_variance * asymmetry_variance)
                & (self.with_frequency * self.with_frequency <= frequency_variance * asymmetry_variance);
        alike & unequal
    }

    /// Makes covariances of what rounding has left.
    pub(super) fn make_sound(&mut self) {
        bound(&mut self.covariance, self.phase_variance, self.frequency_variance);
        bound(&mut self.with_phase, self.phase_variance, self.asymmetry_variance);
        bound(
            &mut self.with_frequency,
            self.frequency_variance,
            self.asymmetry_variance,
        );
    }

    /// Lets the time pass until a sample and takes it in, as one filter by itself.
    pub(super) fn take_in(&mut self, step: &Step, wander_power: f64, variance: f64) -> Innovation {
        self.advance(step, wander_power);
        let innovation = self.update(step, variance);
        if !self.is_sound() {
            self.make_sound();
        }
        innovation
    }
}

/// Lets a covariance say no more than that both always go together.
fn bound(covariance: &mut f64, one: f64, other: f64) {
    if *covariance * *covariance > one * other {
        *covariance = (one * other).sqrt().copysign(*covariance);
    }
}

/// The larger of two numbers, in one instruction.
#[inline(always)]
fn larger(one: f64, other: f64) -> f64 {
    if one > other { one } else { other }
}

/// The smaller of two numbers, in one instruction.
#[inline(always)]
pub(super) fn smaller(one: f64, other: f64) -> f64 {
    if one < other { one } else { other }
}

/// How far a sample was from what was expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Innovation {
    /// The variance the miss should have had, s².
    variance: f64,
    /// One part of it.
    pub weight: f64,
    /// The square of the miss in units of its standard deviation.
    pub surprise: f64,
}

impl Innovation {
    /// The logarithm of the probability density of the miss, without the constant.
    #[inline(always)]
    pub(super) fn log_likelihood(&self) -> f64 {
        log_likelihood(self.variance, self.surprise)
    }
}

#[inline(always)]
fn log_likelihood(variance: f64, surprise: f64) -> f64 {
    -0.5 * (ln(variance) + surprise)
}

/// How far one sample was from what several filters expected, each of their numbers side by side.
///
/// Their logarithms are taken when all filters have taken the sample in: a processor looks ahead over some 200
/// instructions, and in two short loops these are more filters at once than in a long one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Innovations<const N: usize> {
    variance: [f64; N],
    surprise: [f64; N],
}

impl<const N: usize> Innovations<N> {
    /// Returns room for so many.
    pub(super) fn new() -> Self {
        Self {
            variance: [1.0; N],
            surprise: [0.0; N],
        }
    }

    /// Notes that of one filter.
    #[inline(always)]
    pub(super) fn set(&mut self, index: usize, innovation: &Innovation) {
        self.variance[index] = innovation.variance;
        self.surprise[index] = innovation.surprise;
    }

    /// Adds the logarithm of each one's probability density to a sum in which older ones count less by this factor.
    pub(super) fn add_to(&self, sums: &mut [f64; N], forgetting: f64) {
        for ((sum, variance), surprise) in sums.iter_mut().zip(self.variance).zip(self.surprise) {
            *sum = forgetting * *sum + log_likelihood(variance, surprise);
        }
    }
}

/// The tracks of several filters, each of their numbers side by side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tracks<const N: usize, const UNEQUAL: bool> {
    phase_s: [f64; N],
    frequency: [f64; N],
    phase_variance: [f64; N],
    covariance: [f64; N],
    frequency_variance: [f64; N],
    asymmetry: [f64; N],
    asymmetry_variance: [f64; N],
    with_phase: [f64; N],
    with_frequency: [f64; N],
}

impl<const N: usize, const UNEQUAL: bool> Tracks<N, UNEQUAL> {
    /// Returns those that this makes for each index.
    pub(super) fn from_fn(track: impl Fn(usize) -> Track<UNEQUAL>) -> Self {
        let mut tracks = Self {
            phase_s: [0.0; N],
            frequency: [0.0; N],
            phase_variance: [0.0; N],
            covariance: [0.0; N],
            frequency_variance: [0.0; N],
            asymmetry: [0.0; N],
            asymmetry_variance: [0.0; N],
            with_phase: [0.0; N],
            with_frequency: [0.0; N],
        };
        for index in 0..N {
            tracks.set(index, &track(index));
        }
        tracks
    }

    /// One of them.
    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> Track<UNEQUAL> {
        Track {
            phase_s: self.phase_s[index],
            frequency: self.frequency[index],
            phase_variance: self.phase_variance[index],
            covariance: self.covariance[index],
            frequency_variance: self.frequency_variance[index],
            asymmetry: self.asymmetry[index],
            asymmetry_variance: self.asymmetry_variance[index],
            with_phase: self.with_phase[index],
            with_frequency: self.with_frequency[index],
        }
    }

    /// Replaces one of them.
    #[inline(always)]
    pub(super) fn set(&mut self, index: usize, track: &Track<UNEQUAL>) {
        self.phase_s[index] = track.phase_s;
        self.frequency[index] = track.frequency;
        self.phase_variance[index] = track.phase_variance;
        self.covariance[index] = track.covariance;
        self.frequency_variance[index] = track.frequency_variance;
        if UNEQUAL {
            self.asymmetry[index] = track.asymmetry;
            self.asymmetry_variance[index] = track.asymmetry_variance;
            self.with_phase[index] = track.with_phase;
            self.with_frequency[index] = track.with_frequency;
        }
    }

    /// Lets the time pass until a sample.
    pub(super) fn advance(&mut self, step: &Step, wander_power: f64) {
        for index in 0..N {
            let mut track = self.get(index);
            track.advance(step, wander_power);
            self.set(index, &track);
        }
    }

    /// Makes covariances of what rounding has left, in each of them.
    #[cold]
    #[inline(never)]
    pub(super) fn make_sound(&mut self) {
        for index in 0..N {
            let mut track = self.get(index);
            track.make_sound();
            self.set(index, &track);
        }
    }

    /// Moves the phases when their origin moves, seconds.
    pub(super) fn shift(&mut self, by_s: f64) {
        for phase_s in &mut self.phase_s {
            *phase_s += by_s;
        }
    }
}
