//! The clock's two numbers, phase and frequency, with what is known of their errors.

use units::Mono;

/// Phase and frequency of the oscillator against true time at one instant, as a normal distribution.
///
/// The phase is true time − oscillator in seconds, the frequency its change per oscillator second. Between
/// samples the frequency wanders like a random walk with the power `wander²` (seconds² per second³), the model
/// of a two-state Kalman filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State {
    /// The instant, on the free oscillator.
    pub at: Mono,
    /// True time − oscillator, seconds.
    pub phase_s: f64,
    /// Change of the phase per second.
    pub frequency: f64,
    /// Variance of the phase, s².
    pub phase_variance: f64,
    /// Covariance of phase and frequency, s.
    pub covariance: f64,
    /// Variance of the frequency.
    pub frequency_variance: f64,
}

impl State {
    /// Returns what one sample and a guess of the frequency tell.
    pub fn first(
        at: Mono,
        phase_s: f64,
        phase_variance: f64,
        frequency: f64,
        frequency_variance: f64,
    ) -> Self {
        Self {
            at,
            phase_s,
            frequency,
            phase_variance,
            covariance: 0.0,
            frequency_variance,
        }
    }

    /// The phase at another time, seconds.
    pub fn phase_at(&self, at: Mono) -> f64 {
        self.phase_s + self.frequency * at.seconds_since(self.at)
    }

    /// Returns the state at another time, usually a later one; `wander_power` is the square of the frequency's
    /// random walk per root second.
    #[must_use]
    pub fn predicted(&self, at: Mono, wander_power: f64) -> Self {
        let interval_s = at.seconds_since(self.at);
        let age_s = interval_s.abs();
        Self {
            at,
            phase_s: self.phase_at(at),
            frequency: self.frequency,
            phase_variance: self.phase_variance
                + 2.0 * interval_s * self.covariance
                + interval_s * interval_s * self.frequency_variance
                + wander_power * age_s * age_s * age_s / 3.0,
            covariance: self.covariance
                + interval_s * self.frequency_variance
                + wander_power * age_s * interval_s / 2.0,
            frequency_variance: self.frequency_variance + wander_power * age_s,
        }
    }
}

/// An abrupt change, seen afterwards in the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    /// The oscillator runs at another rate since then (a heater, an air conditioner, a moved virtual machine).
    Frequency {
        /// The variance of the change.
        variance: f64,
        /// How long before the sample it is thought to have happened, seconds.
        since_s: f64,
    },
    /// All offsets moved at once (another route to the server).
    Phase {
        /// The variance of the change, s².
        variance: f64,
    },
}
