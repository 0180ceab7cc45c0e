//! What if the filters have lost the oscillator: the newest samples agree with one another, and with nothing that is believed.

use super::bank::{Entry, Prior};
use super::{Estimator, Sample, way_s};
use crate::middle::line_through;

/// So many newest samples tell whether what is believed is lost.
const SAMPLES: usize = 8;

/// Of fewer than so many, because `maxsamples` allows no more, none can be told to be on a line by no chance.
const SAMPLES_MIN: usize = 4;

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
        // Among samples that nothing older has left a trace beside there is nothing to contradict; of too few any are on a line.
        let is_all = self.window.len() <= SAMPLES && !self.bank.is_anchored();
        if is_explained || is_all || self.window.len() < SAMPLES_MIN {
            return None;
        }
        let newest: Vec<&Sample> = self.samples().rev().take(SAMPLES).collect();
        let line = Line::through(&newest)?;
        // Where the way is longer than it was, what is believed is off by little more than it explains, and the samples may be off by
        // all of it.
        let waits_s = self.window.iter().rev().take(SAMPLES).map(Entry::wait_s);
        let longer_s = waits_s.fold(f64::INFINITY, f64::min).max(0.0) / 2.0;
        let is_far = |sample: &&&Sample| {
            let miss_s = (sample.phase_s - opinion.state.phase_at(sample.at)).abs();
            miss_s > way_s(sample) + longer_s + TIMES_FURTHER * line.largest_miss_s
        };
        let far = newest.iter().filter(is_far).count();
        (far + CROSSED * newest.len() / SAMPLES >= newest.len()).then_some(line)
    }
}

/// A line through phases, newest first.
struct Line {
    /// Its slope, as a part.
    frequency: f64,
    /// What that may be wrong by, as a part.
    frequency_error: f64,
    /// How far the sample is from it that is the furthest, seconds.
    largest_miss_s: f64,
}

impl Line {
    /// The line through the medians; `None` for fewer than two samples.
    fn through(samples: &[&Sample]) -> Option<Self> {
        let last = samples.first()?.at;
        let points: Vec<(f64, f64)> = samples
            .iter()
            .map(|sample| (sample.at.seconds_since(last), sample.phase_s))
            .collect();
        let (frequency, phase_s) = line_through(&points)?;
        let misses = points.iter().map(|(x, y)| (y - frequency * x - phase_s).abs());
        let largest_miss_s = misses.fold(0.0, f64::max);
        let largest_way_s = samples.iter().map(|sample| way_s(sample)).fold(0.0, f64::max);
        let span_s = last.seconds_since(samples.last()?.at);
        Some(Self {
            frequency,
            frequency_error: 2.0 * (largest_miss_s + largest_way_s) / span_s,
            largest_miss_s,
        })
    }
}
