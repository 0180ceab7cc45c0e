//! Doubt of the frequency that samples begin with.
//!
//! A drift file is right nearly always, and wrong by anything otherwise: an image that was cloned with it, a virtual
//! machine on another host, a counter that was calibrated anew. A filter that is sure of a wrong frequency takes good
//! samples for outliers, and its error for nothing. So other banks begin with a frequency that is known less well, and
//! are believed as far as they foretell the samples better. As soon as that is decided one bank is left.

use super::Estimator;
use super::bank::{Bank, Opinion, Prior};
use super::state::State;

/// A way in which the first frequency may be wrong.
struct Case {
    /// How likely that is before any sample.
    chance: f64,
    /// The standard deviation of the frequency if so.
    frequency_error: f64,
    /// When the samples alone tell the frequency so well, and it is the one that was expected, this is no case any more.
    frequency_told: f64,
}

const CASES: [Case; 2] = [
    Case {
        chance: 0.05,
        frequency_error: 3e-5,
        frequency_told: 1e-6,
    },
    Case {
        chance: 0.001,
        frequency_error: 1e-3,
        frequency_told: 3e-5,
    },
];

/// Who is so uncertain of the first frequency does not need to doubt it.
const ERROR_WITHOUT_DOUBT: f64 = 1e-4;

/// The first frequency is wrong when the chance that it is right is below this.
const RIGHT_CHANCE_MIN: f64 = 1e-4;

/// What filters say is possible until the samples have made them so many times less likely, as logarithm: a hundred.
const POSSIBLE: f64 = 4.605;

/// How many times wider than a normal distribution Student's is that has one, two, … degrees of freedom, where 99.99 % of both
/// are within.
const STUDENT: [f64; 8] = [1636.0, 25.7, 7.2, 4.0, 2.87, 2.33, 2.03, 1.83];

/// Filters that do not believe the first frequency, or those that do when they are less likely.
#[derive(Debug, Clone)]
pub(super) struct Doubt {
    bank: Bank,
    prior: Prior,
    chance: Chance,
}

/// How likely what filters begin with is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance {
    /// Before any sample, as logarithm.
    before: f64,
    /// They are dropped when it is below this, as logarithm.
    least: f64,
}

impl Chance {
    /// That the first frequency is right.
    pub(super) fn of_right() -> Self {
        Self {
            before: 0.0,
            least: RIGHT_CHANCE_MIN.ln(),
        }
    }
}

impl Doubt {
    /// Returns the doubts of this prior, if it is sure enough to be doubted.
    pub(super) fn of(prior: &Prior) -> Vec<Self> {
        let cases = CASES
            .iter()
            .filter(|_| prior.frequency_error < ERROR_WITHOUT_DOUBT);
        let doubt = |case: &Case| Self {
            bank: Bank::new(),
            prior: Prior {
                frequency_error: case.frequency_error,
                ..*prior
            },
            chance: Chance {
                before: case.chance.ln(),
                // What is left of a chance when all frequencies but those near the expected one are out.
                least: (case.chance * case.frequency_told / case.frequency_error).ln(),
            },
        };
        cases.map(doubt).collect()
    }
}

impl Estimator {
    /// By how much a frequency that was made of this one and those of other sources may be wrong, beyond its variance, because a
    /// few samples that agree by chance tell too little about their noise; as a part.
    pub fn doubt_of_few(&self, frequency: f64) -> f64 {
        let Some(opinion) = self.opinion.filter(|_| !self.bank.is_anchored()) else {
            return 0.0;
        };
        // Two of the samples make a line of any noise.
        let freedom = self.window.len().saturating_sub(2);
        let Some(wider) = freedom
            .checked_sub(1)
            .map_or(STUDENT.first(), |index| STUDENT.get(index))
        else {
            return 0.0;
        };
        // What was known before them is none of theirs.
        let theirs = 1.0 - opinion.state.frequency_variance / self.prior.frequency_error.powi(2);
        let error = opinion.state.frequency_variance.sqrt();
        let doubt = (error * (wider - 1.0) * theirs.max(0.0)).min(self.frequency_error_max());
        doubt + (frequency - opinion.state.frequency).abs()
    }

    /// Asks the banks what the samples of the window say.
    pub(super) fn evaluate(&mut self) {
        self.opinion = self.bank.evaluate(&self.window, &self.prior);
        let Some(opinion) = &mut self.opinion else { return };
        let mut others = Vec::new();
        for doubt in &mut self.doubts {
            let Some(mut other) = doubt.bank.evaluate(&self.window, &doubt.prior) else {
                return;
            };
            if doubt.chance.before + other.log_evidence > self.chance.before + opinion.log_evidence {
                std::mem::swap(&mut self.bank, &mut doubt.bank);
                std::mem::swap(&mut self.prior, &mut doubt.prior);
                std::mem::swap(&mut self.chance, &mut doubt.chance);
                std::mem::swap(opinion, &mut other);
            }
            others.push(other);
        }
        let likeliest = self.chance.before + opinion.log_evidence;
        let leads = |doubt: &Doubt, other: &Opinion| doubt.chance.before + other.log_evidence - likeliest;
        let mut total = 1.0;
        self.doubted = 0.0;
        for (doubt, other) in self.doubts.iter().zip(&others) {
            if leads(doubt, other) > doubt.chance.before - POSSIBLE {
                let apart = other.state.frequency - opinion.state.frequency;
                self.doubted = apart
                    .hypot(other.state.frequency_variance.sqrt())
                    .max(self.doubted);
            }
            let weight = leads(doubt, other).exp();
            total += weight;
            *opinion = opinion.mixed(other, weight / total);
        }
        let mut others = others.iter();
        self.doubts.retain(|doubt| {
            others
                .next()
                .is_some_and(|other| leads(doubt, other) > doubt.chance.least)
        });
    }
}

impl Opinion {
    /// The mean of this and another opinion, which has this share; the variances include their disagreement.
    fn mixed(&self, other: &Self, share: f64) -> Self {
        let mean = |one: f64, another: f64| one + share * (another - one);
        let apart = share * (1.0 - share);
        let (one, another) = (&self.state, &other.state);
        let phase_apart_s = another.phase_s - one.phase_s;
        let frequency_apart = another.frequency - one.frequency;
        Self {
            state: State {
                at: one.at,
                phase_s: mean(one.phase_s, another.phase_s),
                frequency: mean(one.frequency, another.frequency),
                phase_variance: mean(one.phase_variance, another.phase_variance)
                    + apart * phase_apart_s * phase_apart_s,
                covariance: mean(one.covariance, another.covariance)
                    + apart * phase_apart_s * frequency_apart,
                frequency_variance: mean(one.frequency_variance, another.frequency_variance)
                    + apart * frequency_apart * frequency_apart,
            },
            noise_variance: mean(self.noise_variance, other.noise_variance),
            rest_variance: mean(self.rest_variance, other.rest_variance),
            wander_power: mean(self.wander_power.ln(), other.wander_power.ln()).exp(),
            log_evidence: self.log_evidence,
        }
    }
}

#[cfg(test)]
mod tests {
    use units::Mono;

    use super::*;
    use crate::estimate::Sample;

    const PRIOR: Prior = Prior {
        frequency: 2e-5,
        frequency_error: 3e-7,
        precision_s: 1e-7,
    };

    /// An estimator that has seen so many samples, 2 s apart, of an oscillator with this frequency.
    fn seen(count: u32, frequency: f64) -> Estimator {
        seen_after(PRIOR, count, frequency)
    }

    /// Likewise, after this was known.
    fn seen_after(prior: Prior, count: u32, frequency: f64) -> Estimator {
        let mut estimator = Estimator::new(prior, 0);
        for n in 0..count {
            let at_s = 2.0 * f64::from(n);
            // Waits of some 10 µs, as regular as a test may be.
            let wait_s = 1e-5 * f64::from((7 * n + 3) % 5);
            estimator.add(Sample {
                at: Mono::ZERO.plus_seconds(at_s),
                phase_s: 1e-3 + frequency * at_s + wait_s * (f64::from(n % 3) - 1.0) / 2.0,
                delay_s: 2e-4 + wait_s,
                dispersion_s: 1e-7,
                root_delay_s: 0.0,
                root_dispersion_s: 0.0,
            });
        }
        estimator
    }

    #[test]
    fn a_frequency_that_fits_is_not_doubted_for_long() {
        assert!(seen(1, 2e-5).doubts.len() == 2);
        let estimator = seen(12, 2e-5);
        let state = estimator.state().unwrap();
        assert!(estimator.doubts.is_empty());
        assert!((state.frequency - 2e-5).abs() < 2e-7, "{state:?}");
        assert!(state.frequency_variance.sqrt() < 1e-6, "{state:?}");
    }

    #[test]
    fn a_frequency_that_does_not_fit_is_forgotten_after_a_few_samples() {
        for wrong in [-2e-2, -2e-3, 4e-4, 5e-5] {
            let estimator = seen(6, 2e-5 + wrong);
            let state = estimator.state().unwrap();
            assert!(estimator.prior.frequency_error > PRIOR.frequency_error, "{wrong}");
            assert!(
                (state.frequency - 2e-5 - wrong).abs() < 1e-5,
                "{wrong}: {state:?}"
            );
        }
    }

    #[test]
    fn until_it_is_decided_the_error_includes_the_doubt() {
        for wrong in [-2e-3, 4e-4, 3e-5, 0.0] {
            for count in 1..8 {
                let state = seen(count, 2e-5 + wrong).state().unwrap();
                let deviation_s = state.phase_variance.sqrt();
                let phase_s = 1e-3 + (2e-5 + wrong) * 2.0 * f64::from(count - 1);
                assert!(
                    (state.phase_s - phase_s).abs() < 4.0 * deviation_s,
                    "{wrong} {count}: {state:?}"
                );
            }
        }
    }

    #[test]
    fn few_samples_may_agree_by_chance() {
        let error = |estimator: &Estimator| estimator.state().unwrap().frequency_variance.sqrt();
        let unsure = Prior {
            frequency_error: 1e-4,
            ..PRIOR
        };
        let doubt = |estimator: &Estimator| estimator.doubt_of_few(estimator.state().unwrap().frequency);
        assert_eq!(doubt(&seen_after(unsure, 1, 2e-5)), 0.0);
        for count in 2..6 {
            let estimator = seen_after(unsure, count, 2e-5);
            let alone = doubt(&estimator);
            assert!(alone > 2.0 * error(&estimator), "{count}: {alone}");
            assert!(alone <= estimator.frequency_error_max(), "{count}: {alone}");
            // Who goes by others is as much further off as they are.
            let frequency = estimator.state().unwrap().frequency + 1e-5;
            assert!((estimator.doubt_of_few(frequency) - alone - 1e-5).abs() < 1e-12);
        }
        assert_eq!(seen_after(unsure, 11, 2e-5).doubt_of_few(1.0), 0.0);
        // What was known before says more than they do.
        let sure = Prior {
            frequency_error: 1e-9,
            ..PRIOR
        };
        let estimator = seen_after(sure, 4, 2e-5);
        assert!(
            estimator.doubt_of_few(2e-5) < 3.0 * error(&estimator),
            "{estimator:?}"
        );
    }

    #[test]
    fn who_knows_nothing_doubts_nothing() {
        let unsure = Prior {
            frequency_error: 1e-4,
            ..PRIOR
        };
        assert!(Doubt::of(&unsure).is_empty());
    }
}
