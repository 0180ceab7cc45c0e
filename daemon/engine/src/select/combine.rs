//! Many sources' opinions → one.
//!
//! A source is wrong in two ways. Its estimate is noisy, as its standard deviation says; and the way to it may
//! take longer in one direction, which no number of samples shows. The second is taken to have a standard
//! deviation of [`ASYMMETRY`] of the root distance. Weights are the inverse of the sum of both variances, so that
//! neither a quiet source far away nor a noisy one nearby pulls at the clock.

use units::Leap;

use super::candidate::Candidate;
use super::rules::Rules;

/// The standard deviation of what asymmetric paths do, as a part of the root distance: with waits in both
/// directions that differ by up to a third, uniformly, offsets are off by a tenth of the distance.
const ASYMMETRY: f64 = 0.1;

/// How many standard deviations two sources may differ by and still be averaged.
const OUTLIER_SIGMAS: f64 = 4.0;

/// By how much the rates of two good clocks may differ as servers steer theirs (0.1 ppm).
const FREQUENCY_TOLERANCE: f64 = 1e-7;

/// No estimate is taken to be better than this, seconds (a tenth of a nanosecond).
const OFFSET_ERROR_MIN_S: f64 = 1e-10;

/// No estimate is taken to be better than this.
const FREQUENCY_ERROR_MIN: f64 = 1e-13;

/// What the sources that are followed say together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Combined {
    /// True time − system clock, seconds: positive when the local clock is behind.
    pub offset_s: f64,
    /// The standard deviation of [`offset_s`](Self::offset_s), seconds, as if the errors of the sources were
    /// independent, but larger when they differ by more than their errors explain.
    pub offset_error_s: f64,
    /// Change of (true time − oscillator) per second: positive when the oscillator is slow. 0 when unknown.
    pub frequency: f64,
    /// The standard deviation of [`frequency`](Self::frequency); infinite when unknown.
    pub frequency_error: f64,
    /// The round trip from the best source to the primary reference, seconds.
    pub root_delay_s: f64,
    /// The dispersion of the best source, seconds.
    pub root_dispersion_s: f64,
    /// What most of the selectable sources announce, or of the trusted ones if there are any.
    pub leap: Leap,
    /// How many sources this is made of, at least 1.
    pub sources: usize,
}

/// Why a selectable source is not averaged with the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is too far away.
    Distant,
    /// It says something else.
    Outlier,
}

/// Says why a source is not to be averaged with the best one; `None` if it is.
pub(super) fn misfit(candidate: &Candidate, best: &Candidate, rules: &Rules) -> Option<Misfit> {
    // Not a comparison the other way round: NaN is distant.
    let is_near = candidate.root_distance_s < best.root_distance_s * rules.combine_limit;
    if !is_near {
        return Some(Misfit::Distant);
    }
    let offset_apart_s = (candidate.offset_s - best.offset_s).abs();
    let offset_error_s = offset_variance(candidate) + offset_variance(best);
    if offset_apart_s > OUTLIER_SIGMAS * offset_error_s.sqrt() {
        return Some(Misfit::Outlier);
    }
    if !candidate.has_usable_frequency() || !best.has_usable_frequency() {
        return None;
    }
    let frequency_apart = (candidate.frequency - best.frequency).abs();
    let frequency_error = (candidate.frequency_error.powi(2) + best.frequency_error.powi(2)).sqrt();
    if frequency_apart > OUTLIER_SIGMAS * frequency_error + FREQUENCY_TOLERANCE {
        return Some(Misfit::Outlier);
    }
    None
}

/// Averages the members, of which `best` is one.
pub(super) fn combine(best: &Candidate, members: &[&Candidate], leap: Leap) -> Combined {
    let offset = Average::of(members.iter().map(|member| Opinion {
        value: member.offset_s,
        error: member.offset_error_s,
        variance: offset_variance(member),
    }))
    .unwrap_or(Average {
        value: best.offset_s,
        error: best.offset_error_s,
    });
    let frequency = Average::of(members.iter().filter(|member| member.has_usable_frequency()).map(
        |member| Opinion {
            value: member.frequency,
            error: member.frequency_error,
            variance: member.frequency_error.max(FREQUENCY_ERROR_MIN).powi(2),
        },
    ))
    .unwrap_or(Average {
        value: 0.0,
        error: f64::INFINITY,
    });
    Combined {
        offset_s: offset.value,
        offset_error_s: offset.error,
        frequency: frequency.value,
        frequency_error: frequency.error,
        root_delay_s: best.root_delay_s,
        root_dispersion_s: best.root_dispersion_s,
        leap,
        sources: members.len(),
    }
}

/// Returns the leap second that more than half of the sources announce.
pub(super) fn leap_of_majority(sources: &[&Candidate]) -> Leap {
    let is_majority =
        |&leap: &Leap| sources.iter().filter(|source| source.leap == leap).count() > sources.len() / 2;
    [Leap::Insert, Leap::Delete]
        .into_iter()
        .find(is_majority)
        .unwrap_or(Leap::Normal)
}

/// The variance of all that can be wrong with an offset, s².
fn offset_variance(candidate: &Candidate) -> f64 {
    let systematic_s = ASYMMETRY * candidate.root_distance_s;
    candidate.offset_error_s.max(OFFSET_ERROR_MIN_S).powi(2) + systematic_s * systematic_s
}

/// One value with what it weighs.
#[derive(Debug, Clone, Copy)]
struct Opinion {
    value: f64,
    /// The standard deviation that shows.
    error: f64,
    /// The variance that counts.
    variance: f64,
}

/// A weighted mean and its standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Average {
    value: f64,
    error: f64,
}

impl Average {
    /// Averages; `None` without opinions or when the sum is no number.
    fn of(opinions: impl Iterator<Item = Opinion> + Clone) -> Option<Self> {
        let total: f64 = opinions.clone().map(|opinion| 1.0 / opinion.variance).sum();
        let weights = opinions.map(|opinion| (1.0 / opinion.variance / total, opinion));
        let value: f64 = weights
            .clone()
            .map(|(weight, opinion)| weight * opinion.value)
            .sum();
        let error_square: f64 = weights
            .clone()
            .map(|(weight, opinion)| (weight * opinion.error).powi(2))
            .sum();
        // What the differences are in units of what was expected of them (Birge's ratio, squared).
        let (mut count, mut surprise) = (0.0_f64, 0.0_f64);
        for (_, opinion) in weights {
            count += 1.0;
            surprise += (opinion.value - value).powi(2) / opinion.variance;
        }
        let excess = if count > 1.0 {
            (surprise / (count - 1.0)).max(1.0)
        } else {
            1.0
        };
        let average = Self {
            value,
            error: (error_square * excess).sqrt(),
        };
        (count > 0.0 && average.value.is_finite() && average.error.is_finite()).then_some(average)
    }
}
