//! Samples of several polls → one (`filter`).

use crate::estimate::Sample;

/// The most samples that are held; with a longer `filter` the first ones of it count.
const SAMPLES_MAX: usize = 256;

/// The share of samples around the median of which the result is the mean.
const SHARE_KEPT: f64 = 0.6;

/// Collects the samples of some polls and makes one of them.
#[derive(Debug, Clone, PartialEq)]
pub struct MedianFilter {
    length: u32,
    polls: u32,
    samples: Vec<Sample>,
}

impl MedianFilter {
    /// Returns a filter over this many polls, at least one.
    pub fn new(length: u32) -> Self {
        Self {
            length: length.max(1),
            polls: 0,
            samples: Vec::new(),
        }
    }

    /// Takes a sample in.
    pub fn add(&mut self, sample: Sample) {
        let is_newer = self.samples.last().is_none_or(|last| sample.at > last.at);
        if is_newer && self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample);
        }
    }

    /// A poll has ended, with or without a sample. After the last one of the filter's length the result comes
    /// out, unless there was no sample; `frequency` is the change of the phase per second.
    pub fn end_poll(&mut self, frequency: f64) -> Option<Sample> {
        self.polls += 1;
        if self.polls < self.length {
            return None;
        }
        self.polls = 0;
        let samples = std::mem::take(&mut self.samples);
        combine(samples, frequency)
    }

    /// Moves phases with their origin, seconds.
    pub fn shift(&mut self, by_s: f64) {
        for sample in &mut self.samples {
            sample.phase_s += by_s;
        }
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        *self = Self::new(self.length);
    }
}

/// The mean of the samples around the median, told at the time of the newest of them.
pub(crate) fn combine(mut samples: Vec<Sample>, frequency: f64) -> Option<Sample> {
    let newest = *samples.last()?;
    let level = |sample: &Sample| sample.phase_s - frequency * sample.at.seconds_since(newest.at);
    samples.sort_by(|a, b| level(a).total_cmp(&level(b)));
    let dropped = number(samples.len()) * (1.0 - SHARE_KEPT) / 2.0;
    let dropped = usize::try_from(units::rounding::down_i64(dropped)).unwrap_or(0);
    let kept = samples.get(dropped..samples.len() - dropped)?;
    let count = number(kept.len());
    let mean = |value: fn(&Sample) -> f64| kept.iter().map(value).sum::<f64>() / count;
    let age_s = kept
        .iter()
        .map(|sample| sample.at.seconds_since(newest.at))
        .sum::<f64>()
        / count;
    Some(Sample {
        at: newest.at.plus_seconds(age_s),
        phase_s: mean(|sample| sample.phase_s),
        delay_s: mean(|sample| sample.delay_s),
        dispersion_s: mean(|sample| sample.dispersion_s),
        root_delay_s: mean(|sample| sample.root_delay_s),
        root_dispersion_s: mean(|sample| sample.root_dispersion_s),
    })
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Mono;

    fn sample(at_s: i64, phase_s: f64) -> Sample {
        Sample {
            at: Mono::from_nanos(at_s * 1_000_000_000),
            phase_s,
            delay_s: 1e-3,
            dispersion_s: 1e-6,
            root_delay_s: 0.0,
            root_dispersion_s: 0.0,
        }
    }

    #[test]
    fn one_sample_comes_of_all_polls_and_outliers_do_not_count() {
        let mut filter = MedianFilter::new(5);
        for poll in 0..4 {
            filter.add(sample(poll, if poll == 2 { 1.0 } else { 0.010 }));
            assert_eq!(filter.end_poll(0.0), None);
        }
        filter.add(sample(4, -1.0));
        let found = filter.end_poll(0.0).unwrap();
        assert!((found.phase_s - 0.010).abs() < 1e-12);
    }

    #[test]
    fn a_drifting_oscillator_is_no_outlier() {
        let mut filter = MedianFilter::new(5);
        for poll in 0..4 {
            filter.add(sample(
                poll * 10,
                1e-3 * 10.0 * f64::from(i32::try_from(poll).unwrap()),
            ));
            filter.end_poll(1e-3);
        }
        filter.add(sample(40, 0.040));
        let found = filter.end_poll(1e-3).unwrap();
        let expected = 1e-3 * found.at.seconds_since(Mono::ZERO);
        assert!((found.phase_s - expected).abs() < 1e-9);
    }

    #[test]
    fn lost_polls_count_and_none_at_all_gives_nothing() {
        let mut filter = MedianFilter::new(3);
        filter.add(sample(0, 0.5));
        assert_eq!(filter.end_poll(0.0), None);
        assert_eq!(filter.end_poll(0.0), None);
        assert_eq!(filter.end_poll(0.0), Some(sample(0, 0.5)));
        for _ in 0..3 {
            assert_eq!(filter.end_poll(0.0), None);
        }
    }

    #[test]
    fn no_configuration_makes_it_grow_without_end() {
        let mut filter = MedianFilter::new(u32::MAX);
        for at in 0..2000 {
            filter.add(sample(at, 0.0));
        }
        assert_eq!(filter.samples.len(), SAMPLES_MAX);
    }
}
