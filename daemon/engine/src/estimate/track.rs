//! What one filter of the bank knows: phase, frequency, and how unequal the two directions of the path are.

use units::Mono;

use super::state::{Change, State};

/// How far the inequality of the directions may move from sample to sample, its standard deviation.
const ASYMMETRY_WALK: f64 = 0.003;

/// When all waits are in one direction.
const ASYMMETRY_MAX: f64 = 0.5;

/// Phase, frequency and asymmetry as a normal distribution.
///
/// The asymmetry is the part of an excess delay by which the measured phase is off: 0 when waits in both directions
/// are alike, ½ when only the answers wait, −½ when only the requests do. The phase is that of a sample with the
/// delay that delays are counted from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Track {
    state: State,
    asymmetry: f64,
    asymmetry_variance: f64,
    /// Covariance of phase and asymmetry, s.
    with_phase: f64,
    /// Covariance of frequency and asymmetry.
    with_frequency: f64,
}

impl Track {
    /// Returns what one sample and guesses tell.
    pub(super) fn first(state: State, asymmetry_variance: f64) -> Self {
        Self {
            state,
            asymmetry: 0.0,
            asymmetry_variance,
            with_phase: 0.0,
            with_frequency: 0.0,
        }
    }

    /// Returns it at another time, usually a later one, as [`State::predicted`] does.
    pub(super) fn predicted(&self, at: Mono, wander_power: f64) -> Self {
        let interval_s = at.seconds_since(self.state.at);
        let walk = if self.asymmetry_variance > 0.0 {
            ASYMMETRY_WALK * ASYMMETRY_WALK
        } else {
            0.0
        };
        Self {
            state: self.state.predicted(at, wander_power),
            with_phase: self.with_phase + interval_s * self.with_frequency,
            asymmetry_variance: self.asymmetry_variance + walk,
            ..*self
        }
    }

    /// What a sample with this excess delay should measure, and the variance of that, s².
    pub(super) fn expected(&self, excess_s: f64) -> (f64, f64) {
        let state = self.with_excess(excess_s);
        (state.phase_s, state.phase_variance)
    }

    /// By what part of its excess delay a sample is off.
    pub(super) fn asymmetry(&self) -> f64 {
        self.asymmetry
    }

    /// Phase and frequency as a sample with this excess delay would measure them.
    pub(super) fn with_excess(&self, excess_s: f64) -> State {
        State {
            phase_s: self.state.phase_s + self.asymmetry * excess_s,
            phase_variance: (self.state.phase_variance
                + 2.0 * excess_s * self.with_phase
                + excess_s * excess_s * self.asymmetry_variance)
                .max(0.0),
            covariance: self.state.covariance + excess_s * self.with_frequency,
            ..self.state
        }
    }

    /// Takes a measured phase in, and returns how surprising it was.
    pub(super) fn update(&mut self, phase_s: f64, excess_s: f64, variance: f64) -> Innovation {
        let seen = self.with_excess(excess_s);
        let miss_s = phase_s - seen.phase_s;
        let total = seen.phase_variance + variance;
        let phase = self.state.phase_variance + excess_s * self.with_phase;
        let frequency = seen.covariance;
        let asymmetry = self.with_phase + excess_s * self.asymmetry_variance;
        let rate = miss_s / total;
        self.state.phase_s += phase * rate;
        self.state.frequency += frequency * rate;
        // No wait moves an offset by more than half of itself, whatever a server does.
        self.asymmetry = (self.asymmetry + asymmetry * rate).clamp(-ASYMMETRY_MAX, ASYMMETRY_MAX);
        self.state.phase_variance -= phase * phase / total;
        self.state.covariance -= phase * frequency / total;
        self.state.frequency_variance -= frequency * frequency / total;
        self.with_phase -= phase * asymmetry / total;
        self.with_frequency -= frequency * asymmetry / total;
        self.asymmetry_variance -= asymmetry * asymmetry / total;
        self.round_up();
        Innovation {
            miss_s,
            variance: total,
        }
    }

    /// Makes variances and covariances of what rounding has left: where almost nothing of a large variance remains,
    /// the difference may be negative, and the next samples would blow that up.
    fn round_up(&mut self) {
        let state = &mut self.state;
        state.phase_variance = state.phase_variance.max(0.0);
        state.frequency_variance = state.frequency_variance.max(0.0);
        self.asymmetry_variance = self.asymmetry_variance.max(0.0);
        bound(
            &mut state.covariance,
            state.phase_variance,
            state.frequency_variance,
        );
        bound(
            &mut self.with_phase,
            state.phase_variance,
            self.asymmetry_variance,
        );
        bound(
            &mut self.with_frequency,
            state.frequency_variance,
            self.asymmetry_variance,
        );
    }

    /// Forgets what a change of the clock or of the path has made worthless.
    pub(super) fn disturb(&mut self, change: Change) {
        self.state.disturb(change);
    }

    /// Moves the phase when its origin moves, seconds.
    pub(super) fn shift(&mut self, by_s: f64) {
        self.state.phase_s += by_s;
    }
}

/// Lets a covariance say no more than that both always go together.
fn bound(covariance: &mut f64, one: f64, other: f64) {
    if *covariance * *covariance > one * other {
        *covariance = (one * other).sqrt().copysign(*covariance);
    }
}

/// How far a sample was from what was expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Innovation {
    /// Measured − expected phase, seconds.
    pub miss_s: f64,
    /// The variance it should have had, s².
    pub variance: f64,
}

impl Innovation {
    /// The square of the miss in units of its standard deviation.
    pub(super) fn surprise(&self) -> f64 {
        self.miss_s * self.miss_s / self.variance
    }

    /// The logarithm of the probability density of the miss, without the constant.
    pub(super) fn log_likelihood(&self) -> f64 {
        -0.5 * (self.variance.ln() + self.surprise())
    }
}
