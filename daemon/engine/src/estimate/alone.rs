//! Samples that contradict those before them: one alone is wrong itself, and the next one tells whether it is.

use super::{Estimator, way_s};

/// A sample that is so many times further from the one before it and the one after than is usual may be alone …
const ALONE_SCATTERS: f64 = 10.0;

/// … once so many samples before it have shown what is usual.
const SAMPLES_TO_BE_ALONE: usize = 6;

/// By how much the frequency may be wrong or change within three samples, as a part.
const FREQUENCY_STRAY: f64 = 1e-6;

impl Estimator {
    /// Takes the sample before the newest for as uncertain as it is far from its neighbours, and what it made believed for
    /// nothing, if no way explains how far it is and they agree with each other as if it were not there.
    pub(super) fn isolate(&mut self) {
        let Some(alone) = self.window.len().checked_sub(2) else {
            return;
        };
        let Some(far_s) = self.distance_alone_s(alone) else {
            return;
        };
        let changed = self.changed;
        for entry in &mut self.window {
            if Some(entry.sample.at) == changed {
                entry.change = None;
            }
        }
        if let Some(entry) = self.window.get_mut(alone) {
            entry.sample.dispersion_s += far_s;
            entry.change = None;
            entry.is_alone = true;
        }
        self.nearest.clear();
        for index in 0..self.window.len() {
            self.compare(self.window[index].sample);
        }
    }

    /// How far the sample with this index is from the one before it and the one after, if it is alone with what it says,
    /// seconds.
    fn distance_alone_s(&self, index: usize) -> Option<f64> {
        let [before, after] = [index.checked_sub(1)?, index + 1];
        let span_s = self.span_s(before, after)?;
        let neighbours = self.distance(before, after, span_s)?;
        let [first, second] =
            [(before, index), (index, after)].map(|(from, to)| self.distance(from, to, span_s));
        let far_s = first?.apart_s.min(second?.apart_s);
        let is_alone = neighbours.is_explained() && !first?.is_explained() && !second?.is_explained();
        (is_alone && self.is_unusual(far_s, index)).then_some(far_s)
    }

    /// Whether the newest sample is so far from the one before it that the next one has to tell which of them is right.
    pub(super) fn may_be_alone(&self) -> bool {
        let index = self.window.len().saturating_sub(1);
        let before = index.saturating_sub(1);
        let distance = self
            .span_s(before, index)
            .and_then(|span_s| self.distance(before, index, span_s));
        distance.is_some_and(|distance| !distance.is_explained() && self.is_unusual(distance.apart_s, index))
    }

    fn span_s(&self, from: usize, to: usize) -> Option<f64> {
        let [from, to] = [from, to].map(|index| self.window.get(index));
        Some(to?.sample.at.seconds_since(from?.sample.at))
    }

    /// How far two samples are apart if the frequency is what was believed before the newest sample, in which they had no part,
    /// and may have gone astray for so long.
    fn distance(&self, from: usize, to: usize, span_s: f64) -> Option<Distance> {
        let [from, to] = [from, to].map(|index| self.window.get(index));
        let (from, to) = (&from?.sample, &to?.sample);
        let moved_s = self.known? * to.at.seconds_since(from.at);
        Some(Distance {
            apart_s: (to.phase_s - from.phase_s - moved_s).abs(),
            explained_s: way_s(from) + way_s(to) + FREQUENCY_STRAY * span_s,
        })
    }

    /// Whether it is not usual that a sample is so far from those beside it, as the ones before this index show.
    fn is_unusual(&self, far_s: f64, index: usize) -> bool {
        index >= SAMPLES_TO_BE_ALONE && far_s > ALONE_SCATTERS * self.usual_scatter_s(index)
    }

    /// How far half of the samples before this index are from the line through their neighbours at most, seconds: what
    /// a few wild ones among them do not change.
    fn usual_scatter_s(&self, index: usize) -> f64 {
        let mut squares: Vec<f64> = self.misses(0..index).collect();
        squares.sort_unstable_by(f64::total_cmp);
        squares.get(squares.len() / 2).copied().unwrap_or(0.0).sqrt()
    }
}

/// How far two samples are apart, and by how much their ways and a frequency gone astray explain it, seconds.
#[derive(Debug, Clone, Copy)]
struct Distance {
    apart_s: f64,
    explained_s: f64,
}

impl Distance {
    fn is_explained(self) -> bool {
        self.apart_s <= self.explained_s
    }
}
