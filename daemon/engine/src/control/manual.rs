//! Times that somebody typed (`manual`, `settime`).
//!
//! Each one is a sample of the oscillator like any other, and a bad one: what a person types is off by tenths of
//! a second. A line through all of them gives offset and, from the second on, frequency.

use std::collections::VecDeque;

use units::{Mono, UnixTime};

/// How many samples are kept; what fits one reply of chrony's protocol.
pub const SAMPLES_MAX: usize = 16;

/// The shortest time between two samples, seconds: with less a frequency is nothing but the typist's error.
const INTERVAL_MIN_S: f64 = 1.0;

/// One typed time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ManualSample {
    /// The time that was typed.
    pub time: UnixTime,
    /// When, on the free oscillator.
    pub at: Mono,
    /// True time − oscillator by it, seconds.
    pub phase_s: f64,
    /// True time − our clock then, seconds; positive: the clock was behind.
    pub offset_s: f64,
}

/// A line through the typed times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// An instant on the oscillator …
    pub at: Mono,
    /// … and true time − oscillator there, seconds.
    pub phase_s: f64,
    /// The change of that per second; `None` with one sample.
    pub frequency: Option<f64>,
}

impl Line {
    /// True time − oscillator by the line, seconds.
    #[must_use]
    pub fn phase_at(&self, at: Mono) -> f64 {
        self.phase_s + self.frequency.unwrap_or(0.0) * at.seconds_since(self.at)
    }
}

/// The typed times, and whether any are taken.
#[derive(Debug, Clone, Default)]
pub struct Manual {
    /// Whether typed times are taken.
    pub enabled: bool,
    samples: VecDeque<ManualSample>,
}

impl Manual {
    /// Begins without samples.
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        Self {
            enabled,
            samples: VecDeque::new(),
        }
    }

    /// Takes a sample in, and returns the line through all; `None` if it comes too soon after the last one.
    pub fn add(&mut self, sample: ManualSample) -> Option<Line> {
        if self
            .samples
            .back()
            .is_some_and(|last| sample.at.seconds_since(last.at) < INTERVAL_MIN_S)
        {
            return None;
        }
        while self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.line()
    }

    /// Forgets one sample; false if there is none with this number.
    pub fn delete(&mut self, index: usize) -> bool {
        self.samples.remove(index).is_some()
    }

    /// Forgets all samples.
    pub fn reset(&mut self) {
        self.samples.clear();
    }

    /// The samples, oldest first.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = &ManualSample> {
        self.samples.iter()
    }

    /// Moves all phases when their origin moves, seconds.
    pub fn shift(&mut self, by_s: f64) {
        for sample in &mut self.samples {
            sample.phase_s += by_s;
        }
    }

    /// The line with the least squares through all samples; `None` without any.
    #[must_use]
    pub fn line(&self) -> Option<Line> {
        let last = self.samples.back()?;
        let (mut count, mut sum_t, mut sum_p) = (0.0, 0.0, 0.0);
        for sample in &self.samples {
            count += 1.0;
            sum_t += sample.at.seconds_since(last.at);
            sum_p += sample.phase_s - last.phase_s;
        }
        let (mean_t, mean_p) = (sum_t / count, sum_p / count);
        let (mut squares, mut products) = (0.0, 0.0);
        for sample in &self.samples {
            let t = sample.at.seconds_since(last.at) - mean_t;
            squares += t * t;
            products += t * (sample.phase_s - last.phase_s - mean_p);
        }
        let frequency = (squares > 0.0).then(|| products / squares);
        // `last` is the origin of both axes.
        let phase_s = last.phase_s + mean_p - frequency.unwrap_or(0.0) * mean_t;
        Some(Line {
            at: last.at,
            phase_s,
            frequency,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_s: f64, phase_s: f64) -> ManualSample {
        ManualSample {
            time: UnixTime::EPOCH,
            at: Mono::ZERO.plus_seconds(at_s),
            phase_s,
            offset_s: phase_s,
        }
    }

    #[test]
    fn one_sample_is_an_offset_and_two_are_a_frequency() {
        let mut manual = Manual::new(true);
        let line = manual.add(sample(3600.0, -0.5)).expect("the first is taken");
        assert_eq!((line.phase_s, line.frequency), (-0.5, None));
        let line = manual.add(sample(7200.0, -0.86)).expect("the second is taken");
        assert!((line.frequency.expect("two make a frequency") + 1e-4).abs() < 1e-12);
        assert!((line.phase_s + 0.86).abs() < 1e-12);
    }

    #[test]
    fn the_line_goes_through_the_middle() {
        let mut manual = Manual::new(true);
        for (at_s, phase_s) in [(0.0, 1.0), (10.0, 2.0), (20.0, 3.6)] {
            manual.add(sample(at_s, phase_s));
        }
        let line = manual.line().expect("there are samples");
        assert!((line.frequency.unwrap_or(0.0) - 0.13).abs() < 1e-12);
        assert!((line.phase_at(Mono::ZERO.plus_seconds(10.0)) - 2.2).abs() < 1e-12);
    }

    #[test]
    fn samples_in_the_same_second_are_refused() {
        let mut manual = Manual::new(true);
        assert!(manual.add(sample(10.0, 0.0)).is_some());
        assert!(manual.add(sample(10.9, 0.0)).is_none());
        assert!(manual.add(sample(11.0, 0.0)).is_some());
        assert_eq!(manual.samples().len(), 2);
    }

    #[test]
    fn there_are_never_more_than_fit_a_reply() {
        let mut manual = Manual::new(true);
        for second in 0..100 {
            manual.add(sample(f64::from(second), 0.0));
        }
        assert_eq!(manual.samples().len(), SAMPLES_MAX);
        assert!(manual.delete(15) && !manual.delete(15));
        manual.reset();
        assert_eq!(manual.line(), None);
    }
}
