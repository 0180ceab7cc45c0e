//! Readings of the real-time clock → where it is and how fast it runs, against the oscillator.

use units::Mono;
use units::rounding::f64_from_i64;

use crate::middle::{line_through, median};

/// One reading, taken when a second of the real-time clock began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// The oscillator then.
    pub(super) at: Mono,
    /// The second that began, Unix seconds.
    pub(super) second: i64,
}

/// What the real-time clock reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    /// The oscillator at the last reading.
    pub(super) at: Mono,
    /// The second that was read, Unix seconds …
    pub(super) second: i64,
    /// … and how far it was past the beginning of that, as far as is known, seconds.
    pub(super) past_s: f64,
    /// What it gains in a second of the oscillator, seconds.
    pub(super) gain: f64,
    /// How many runs of readings lie on one side of the line.
    pub(super) runs: usize,
}

/// So many readings make a line.
const READINGS_MIN: usize = 3;

/// So many runs, or fewer, of readings on one side of a line are no chance if they are so improbable.
const IMPROBABLE: f64 = 0.05;

/// Readings that are all so near to a line are well on it, whatever side they are on, seconds: no interrupt is handled
/// more evenly.
const NEAR_S: f64 = 1e-6;

/// Readings of so long a time are enough, seconds …
const SPAN_ENOUGH_S: f64 = 840.0;
/// … when they tell the gain to this part: the temperature changes it by more, so that older ones only know a clock as
/// it was.
const GAIN_ERROR_ENOUGH: f64 = 1e-7;

/// The standard deviation of normal noise, as a multiple of the median of its sizes.
const DEVIATION_OF_MEDIAN: f64 = 1.4826;

impl Line {
    /// What the real-time clock reads when the oscillator reads `at`: seconds since the second of the last reading.
    pub(super) fn since_second_s(&self, at: Mono) -> f64 {
        self.past_s + at.seconds_since(self.at) * (1.0 + self.gain)
    }
}

/// Fits a line to readings, of which the oldest are dropped as long as they are not on one with the others, or not
/// needed; `None` when there are too few.
pub(super) fn fit(readings: &mut Vec<Reading>) -> Option<Line> {
    loop {
        let fitted = fit_all(readings)?;
        if readings.len() <= READINGS_MIN || (fitted.is_good && !fitted.is_long) {
            return Some(fitted.line);
        }
        readings.remove(0);
    }
}

/// A line through all readings.
struct Fitted {
    line: Line,
    /// Whether it is a good model of them.
    is_good: bool,
    /// Whether fewer would do.
    is_long: bool,
}

/// Fits a line to all readings. It goes through the medians (Theil and Sen), to which it is nothing when an interrupt
/// is handled late now and then.
fn fit_all(readings: &[Reading]) -> Option<Fitted> {
    let last = readings.last().filter(|_| readings.len() >= READINGS_MIN)?;
    let points: Vec<(f64, f64)> = readings
        .iter()
        .map(|reading| {
            let x = reading.at.seconds_since(last.at);
            (x, f64_from_i64(reading.second.saturating_sub(last.second)) - x)
        })
        .collect();
    let (gain, past_s) = line_through(&points)?;
    let residuals: Vec<f64> = points.iter().map(|(x, y)| y - gain * x - past_s).collect();
    let changes = residuals
        .windows(2)
        .filter(|pair| pair[0].is_sign_negative() != pair[1].is_sign_negative());
    let runs = 1 + changes.count();
    let is_near = residuals.iter().all(|residual| residual.abs() < NEAR_S);
    let line = Line {
        at: last.at,
        second: last.second,
        past_s,
        gain,
        runs,
    };
    let deviation_s =
        DEVIATION_OF_MEDIAN * median(residuals.iter().map(|residual| residual.abs()).collect())?;
    let span_s = last.at.seconds_since(readings.first()?.at);
    let gain_error = deviation_s * (12.0 / count(readings.len())).sqrt() / span_s;
    Some(Fitted {
        line,
        is_good: is_near || probability_of_runs(readings.len(), runs) >= IMPROBABLE,
        is_long: span_s > SPAN_ENOUGH_S && gain_error < GAIN_ERROR_ENOUGH,
    })
}

/// How probable it is that so many points, each on either side by chance, make no more runs than these.
fn probability_of_runs(points: usize, runs: usize) -> f64 {
    let changes_possible = points.saturating_sub(1);
    let mut term = 1.0;
    let mut sum = 0.0;
    for changes in 0..runs.min(points) {
        sum += term;
        term *= count(changes_possible - changes) / count(changes + 1);
    }
    changes_possible
        .try_into()
        .map_or(0.0, |power: i32| sum * 0.5_f64.powi(power))
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of a clock that gains so many ppm, each handled late by so many seconds.
    fn readings(gain_ppm: f64, late_s: &[f64]) -> Vec<Reading> {
        (0..)
            .zip(late_s)
            .map(|(number, late_s)| {
                let second = number * 60;
                let at_s = f64_from_i64(second) / (1.0 + gain_ppm * 1e-6) + late_s;
                Reading {
                    at: Mono::ZERO.plus_seconds(1000.0 + at_s),
                    second: 1_262_304_000 + second,
                }
            })
            .collect()
    }

    #[test]
    fn two_readings_are_no_line() {
        assert_eq!(fit(&mut readings(1.0, &[0.0; 2])), None);
    }

    #[test]
    fn a_steady_clock_is_found_and_all_its_readings_are_kept() {
        let mut all = readings(100.0, &[0.0; 9]);
        let line = fit(&mut all).unwrap();
        assert_eq!(all.len(), 9);
        assert!((line.gain * 1e6 - 100.0).abs() < 1e-3, "{line:?}");
        assert!(line.past_s.abs() < 1e-8);
        let later = line.at.plus_seconds(1000.0);
        assert!((line.since_second_s(later) - 1000.1).abs() < 1e-6);
    }

    #[test]
    fn a_late_interrupt_changes_nothing() {
        let late_s = [2e-5, 1e-5, 3e-5, 5e-3, 2e-5, 1e-5, 3e-5, 2e-5, 1e-5, 4e-2, 2e-5];
        let line = fit(&mut readings(-20.0, &late_s)).unwrap();
        assert!((line.gain * 1e6 + 20.0).abs() < 0.2, "{line:?}");
        assert!(line.past_s.abs() < 2e-5, "{line:?}");
    }

    #[test]
    fn readings_from_before_a_change_of_rate_are_dropped() {
        let mut all = readings(10.0, &[0.0; 20]);
        let turn = all[9];
        for reading in &mut all[10..] {
            // From then on it gains 50 ppm more.
            let since_s = reading.at.seconds_since(turn.at);
            reading.at = turn.at.plus_seconds(since_s * (1.0 - 50e-6));
        }
        let line = fit(&mut all).unwrap();
        assert!((9..=14).contains(&all.len()), "{}", all.len());
        assert!((line.gain * 1e6 - 60.0).abs() < 2.0, "{line:?}");
    }

    #[test]
    fn a_quarter_of_an_hour_is_enough_of_a_quiet_clock_and_not_of_a_noisy_one() {
        let mut quiet = readings(10.0, &[1e-5; 40]);
        fit(&mut quiet).unwrap();
        assert_eq!(quiet.len(), 15);
        let noise_s: Vec<f64> = (0..40_u32)
            .map(|number| f64::from(number * 7 % 11) * 1e-3)
            .collect();
        let mut noisy = readings(10.0, &noise_s);
        fit(&mut noisy).unwrap();
        assert_eq!(noisy.len(), 40);
    }

    #[test]
    fn runs_are_as_probable_as_those_of_a_coin() {
        // Of eight tosses: 2 of the 128 equally probable sequences after the first have no change.
        assert!((probability_of_runs(8, 1) - 1.0 / 128.0).abs() < 1e-12);
        assert!((probability_of_runs(8, 2) - 8.0 / 128.0).abs() < 1e-12);
        assert!((probability_of_runs(64, 64) - 1.0).abs() < 1e-9);
    }
}
