//! How far a sample can be off, read from its delay.
//!
//! A packet that waited nowhere measures exactly; every wait of a request or of an answer moves the measured
//! offset by half of it. When the waits of both directions are independent and exponential, a sample with the
//! excess delay D is off by anything in ±D/2 with equal chance, a variance of D²/12. Where jitter is of another
//! kind the delay says less, down to nothing; how much it says on this path is learned, see
//! [`Bank`](super::bank::Bank).

use super::bank::Entry;
use super::number;

/// The spread a path is assumed to have until samples show it, as a part of the shortest round trip.
const SPREAD_UNSEEN: f64 = 0.05;

/// … but no more than this, seconds: queues make packets wait, not distance.
const SPREAD_UNSEEN_MAX_S: f64 = 0.01;

/// The shortest of n delays is expected to exceed the true minimum by this part of their median excess, over the
/// root of n, if waits are exponential.
const SLACK: f64 = 0.6;

/// From a quarter of the waits, the shortest ones, but so many at least, it is read how long the shortest one is.
const GAPS_MIN: usize = 4;

/// The mean square of the excess delays as a multiple of the square of their median, if waits are exponential.
const SQUARE_OF_MEDIAN: f64 = 2.1;

/// How many samples show it.
const SAMPLES_TO_SHOW_SPREAD: usize = 4;

/// What the delays of a window of samples tell about the path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PathDelay {
    /// The shortest round trip on the route that is taken, seconds.
    pub minimum_s: f64,
    /// The usual excess over it, seconds.
    usual_s: f64,
    /// The delay that excess delays of unequal directions are counted from, seconds: any, as long as it stays.
    origin_s: f64,
    /// The shortest possible round trip if only one direction has waits, beyond the origin, seconds.
    rest_s: f64,
    /// Its standard deviation, seconds.
    rest_error_s: f64,
    /// Mean square of the excess delays in the path's usual times, s²; never 0.
    mean_square: f64,
    /// The variance below which no sample is believed, s².
    floor: f64,
}

impl PathDelay {
    /// Reads the delays of a window; `origin_s` is what [`excess_s`](Self::excess_s) counts from, `precision_s` that
    /// of both clocks.
    pub(super) fn of<'a>(
        entries: impl DoubleEndedIterator<Item = &'a Entry> + Clone,
        origin_s: f64,
        precision_s: f64,
    ) -> Self {
        let route = entries.clone().next_back().map(|entry| entry.route);
        let minimum_s = route.map_or(0.0, |route| route.minimum_s());
        let samples = route.map_or(1, |route| route.samples().max(1));
        let mut waits_s: Vec<f64> = entries.map(Entry::wait_s).collect();
        waits_s.sort_unstable_by(f64::total_cmp);
        // The median does not care how bad the bad times of a path are.
        let mut usual_s = waits_s.get(waits_s.len() / 2).copied().unwrap_or(0.0);
        if waits_s.len() < SAMPLES_TO_SHOW_SPREAD {
            usual_s = usual_s.max((SPREAD_UNSEEN * minimum_s.max(0.0)).min(SPREAD_UNSEEN_MAX_S));
        }
        let slack_s = SLACK * usual_s / number(waits_s.len().max(1)).sqrt();
        // The shortest waits lie as far apart as the shortest one from none at all, if waits are exponential.
        let gaps = GAPS_MIN
            .max(waits_s.len() / 4)
            .min(waits_s.len().saturating_sub(1));
        let gap_s = match (waits_s.first(), waits_s.get(gaps)) {
            (Some(first), Some(last)) if gaps > 0 => (last - first) / number(gaps),
            _ => 0.0,
        };
        let rest_error_s = gap_s * (number(waits_s.len()) / number(samples)).min(1.0);
        let floor = precision_s * precision_s;
        let mean_square = (SQUARE_OF_MEDIAN * (usual_s + slack_s).powi(2)).max(12.0 * floor);
        Self {
            minimum_s,
            usual_s: usual_s.max(precision_s),
            origin_s,
            rest_s: minimum_s - route.map_or(0.0, |route| route.longer_s) - rest_error_s - origin_s,
            rest_error_s,
            mean_square,
            floor,
        }
    }

    /// The usual wait, seconds; never 0.
    pub(super) fn usual_s(&self) -> f64 {
        self.usual_s
    }

    /// The variance of a sample if waits are exponential and independent, s²: where learning begins.
    pub(super) fn expected_variance(&self) -> f64 {
        (self.mean_square / 12.0).max(self.floor)
    }

    /// What the delay of a sample says about its variance.
    pub(super) fn shape(&self, entry: &Entry) -> Shape {
        let slack_s = SLACK * self.usual_s / number(entry.route.samples().max(1)).sqrt();
        let wait_s = entry.wait_s() + slack_s;
        let dispersion_s = entry.sample.dispersion_s;
        Shape {
            waited: wait_s * wait_s / self.mean_square,
            floor: self.floor,
            dispersion: dispersion_s * dispersion_s,
        }
    }

    /// How much longer a sample took than the delay that delays are counted from, were it on the first route,
    /// seconds.
    pub(super) fn excess_s(&self, entry: &Entry) -> f64 {
        entry.sample.delay_s - entry.route.longer_s - self.origin_s
    }

    /// The excess of a packet that waits nowhere, if only one direction has waits, and its standard deviation,
    /// seconds.
    pub(super) fn rest_s(&self) -> (f64, f64) {
        (self.rest_s, self.rest_error_s)
    }

    /// The lowest mean variance that is believed, s².
    pub(super) fn floor(&self) -> f64 {
        self.floor
    }
}

/// What the delay of a sample says about its variance, for whoever knows the size of the noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// The square of its excess delay, in units of the mean square.
    waited: f64,
    /// The variance below which no sample is believed, s².
    floor: f64,
    /// The variance that no filter would explain, s².
    dispersion: f64,
}

impl Shape {
    /// The variance of the sample, s², on a path with this mean variance; `unrelated` is the part of the noise that
    /// the delay does not show, 0 to 1.
    #[inline(always)]
    pub(super) fn variance(&self, mean_variance: f64, unrelated: f64) -> f64 {
        let shape = unrelated + (1.0 - unrelated) * self.waited;
        let variance = mean_variance * shape;
        (if variance > self.floor {
            variance
        } else {
            self.floor
        }) + self.dispersion
    }
}
