//! What if the filters have lost the oscillator: the newest samples agree with one another, and with nothing that is believed.

use units::Mono;

use super::bank::Prior;
use super::{Estimator, Sample, way_s};

/// So many newest samples tell whether what is believed is lost.
const SAMPLES: usize = 8;

/// By so many times more than they are off the line through them they are off what is believed.
const TIMES_FURTHER: f64 = 10.0;

/// So many of them what is believed may come near as it crosses that line.
const CROSSED: usize = 2;

impl Estimator {
    /// Begins again with the newest samples if what is believed is far off most of them and a line through them is not. Filters
    /// that are sure of something wrong take good samples for outliers, and never learn from them.
    pub(super) fn start_again_if_lost(&mut self) {
        let Some(line) = self.line_of_the_lost() else {
            return;
        };
        let prior = Prior {
            frequency: line.frequency,
            frequency_error: line.frequency_error,
            ..self.prior
        };
        let newest: Vec<Sample> = self.samples().rev().take(SAMPLES).copied().collect();
        *self = Self {
            doubts: Vec::new(),
            ..Self::new(prior, self.samples_max)
        };
        for sample in newest.into_iter().rev() {
            self.add(sample);
        }
    }

    /// The line through the newest samples, if what is believed is lost.
    fn line_of_the_lost(&self) -> Option<Line> {
        let opinion = self.opinion?;
        let is_explained = self.unexplained_s() <= TIMES_FURTHER * self.jitter_s()?;
        if is_explained || self.window.len() <= SAMPLES {
            return None;
        }
        let newest: Vec<&Sample> = self.samples().rev().take(SAMPLES).collect();
        let line = Line::through(&newest)?;
        let is_far = |sample: &&Sample| {
            let miss_s = (sample.phase_s - opinion.state.phase_at(sample.at)).abs();
            miss_s > way_s(sample) + TIMES_FURTHER * line.largest_miss_s
        };
        let far = newest.iter().filter(|sample| is_far(sample)).count();
        (far + CROSSED >= newest.len()).then_some(line)
    }
}

/// A line through phases.
struct Line {
    /// Its slope.
    frequency: f64,
    /// What that may be wrong by.
    frequency_error: f64,
    /// How far the sample is from it that is the furthest, seconds.
    largest_miss_s: f64,
}

impl Line {
    /// The line of the middle slope of all pairs (Theil and Sen), and the middle distance from it.
    fn through(samples: &[&Sample]) -> Option<Self> {
        let last = samples.first()?.at;
        let seconds = |at: Mono| at.seconds_since(last);
        let mut slopes: Vec<f64> = samples
            .iter()
            .enumerate()
            .flat_map(|(place, to)| samples.iter().skip(place + 1).map(move |from| (from, to)))
            .map(|(from, to)| (to.phase_s - from.phase_s) / to.at.seconds_since(from.at))
            .collect();
        let frequency = median(&mut slopes)?;
        let above = |sample: &&Sample| sample.phase_s - frequency * seconds(sample.at);
        let phase_s = median(&mut samples.iter().map(above).collect::<Vec<f64>>())?;
        let misses = samples.iter().map(|sample| (above(sample) - phase_s).abs());
        let largest_miss_s = misses.fold(0.0, f64::max);
        let largest_way_s = samples.iter().map(|sample| way_s(sample)).fold(0.0, f64::max);
        let span_s = -seconds(samples.last()?.at);
        Some(Self {
            frequency,
            frequency_error: 2.0 * (largest_miss_s + largest_way_s) / span_s,
            largest_miss_s,
        })
    }
}

/// The middle one of numbers.
fn median(numbers: &mut [f64]) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}
