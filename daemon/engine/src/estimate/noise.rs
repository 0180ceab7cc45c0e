//! How far a sample can be off, read from its delay.
//!
//! A packet that waited nowhere measures exactly; every wait of a request or of an answer moves the measured
//! offset by half of it. When the waits of both directions are independent and exponential, a sample with the
//! excess delay D is off by anything in ±D/2 with equal chance, a variance of D²/12. Where jitter is of another
//! kind the delay says less, down to nothing; how much it says on this path is learned, see
//! [`Bank`](super::bank::Bank).

use super::number;
use super::sample::Sample;

/// The spread a path is assumed to have until samples show it, as a part of the shortest round trip.
const SPREAD_UNSEEN: f64 = 0.05;

/// … but no more than this, seconds: queues make packets wait, not distance.
const SPREAD_UNSEEN_MAX_S: f64 = 0.01;

/// The shortest of n delays is expected to exceed the true minimum by this part of their median excess, over the
/// root of n, if waits are exponential.
const SLACK: f64 = 0.6;

/// The mean square of the excess delays as a multiple of the square of their median, if waits are exponential.
const SQUARE_OF_MEDIAN: f64 = 2.1;

/// How many samples show it.
const SAMPLES_TO_SHOW_SPREAD: usize = 4;

/// What the delays of a window of samples tell about the path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PathDelay {
    /// The shortest round trip in the window, seconds.
    pub minimum_s: f64,
    /// How much longer than the true minimum the shortest one is expected to be, seconds.
    slack_s: f64,
    /// Mean square of the excess delays in the path's usual times, s²; never 0.
    mean_square: f64,
    /// The variance below which no sample is believed, s².
    floor: f64,
}

impl PathDelay {
    /// Reads the delays of a window; `precision_s` is that of both clocks.
    pub(crate) fn of<'a>(samples: impl Iterator<Item = &'a Sample>, precision_s: f64) -> Self {
        let mut delays_s: Vec<f64> = samples.map(|sample| sample.delay_s).collect();
        delays_s.sort_unstable_by(f64::total_cmp);
        let minimum_s = delays_s.first().copied().unwrap_or(0.0);
        // The median does not care how bad the bad times of a path are.
        let mut typical_s = delays_s
            .get(delays_s.len() / 2)
            .map_or(0.0, |delay_s| delay_s - minimum_s);
        if delays_s.len() < SAMPLES_TO_SHOW_SPREAD {
            typical_s = typical_s.max((SPREAD_UNSEEN * minimum_s.max(0.0)).min(SPREAD_UNSEEN_MAX_S));
        }
        let slack_s = SLACK * typical_s / number(delays_s.len().max(1)).sqrt();
        let floor = precision_s * precision_s;
        let mean_square = (SQUARE_OF_MEDIAN * (typical_s + slack_s).powi(2)).max(12.0 * floor);
        Self {
            minimum_s,
            slack_s,
            mean_square,
            floor,
        }
    }

    /// The mean variance of a sample if waits are exponential and independent, s²: where learning begins.
    pub(super) fn expected_variance(&self) -> f64 {
        (self.mean_square / 12.0).max(self.floor)
    }

    /// The variance of a sample, s², on a path with this mean variance; `unrelated` is the part of the noise that
    /// the delay does not show, 0 to 1.
    pub(super) fn variance(&self, sample: &Sample, mean_variance: f64, unrelated: f64) -> f64 {
        let excess_s = sample.delay_s - self.minimum_s + self.slack_s;
        let shape = unrelated + (1.0 - unrelated) * excess_s * excess_s / self.mean_square;
        (mean_variance * shape).max(self.floor) + sample.dispersion_s * sample.dispersion_s
    }

    /// The lowest mean variance that is believed, s².
    pub(super) fn floor(&self) -> f64 {
        self.floor
    }
}
