//! The running estimate of a quantile (`maxdelayquant`).

/// The weight of a new value never falls below 1 / this.
const MEMORY: f64 = 200.0;

/// How many values the first estimates are made of.
const FIRST: usize = 10;

/// Follows a quantile of values that come one at a time.
///
/// The estimate moves up by the wanted share of a step for every value above it, and down by the rest of a step
/// for every value below it, so that it rests where the share of values below is the one wanted. The step is a
/// part of the mean distance between values and estimate, and shrinks while values are few.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantile {
    share: f64,
    first: Vec<f64>,
    count: f64,
    value: f64,
    spread: f64,
}

impl Quantile {
    /// Returns an estimate of the quantile below which this share of values lies, 0…1.
    pub fn new(share: f64) -> Self {
        Self {
            share,
            first: Vec::new(),
            count: 0.0,
            value: 0.0,
            spread: 0.0,
        }
    }

    /// The estimate; `None` until there are enough values.
    pub fn value(&self) -> Option<f64> {
        (self.first.len() >= FIRST).then_some(self.value)
    }

    /// Takes a value in; one that is not finite is ignored.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.count += 1.0;
        if self.first.len() < FIRST {
            self.begin(value);
            return;
        }
        let weight = (1.0 / self.count).max(1.0 / MEMORY);
        self.spread += weight * ((value - self.value).abs() - self.spread);
        // 3: at the density of an exponential tail the estimate settles in a few hundred values.
        let step = 3.0 * weight * self.spread;
        self.value += if value > self.value {
            step * self.share
        } else {
            -step * (1.0 - self.share)
        };
    }

    fn begin(&mut self, value: f64) {
        let place = self.first.partition_point(|other| *other < value);
        self.first.insert(place, value);
        let rank = self.share * (self.count - 1.0);
        let index = usize::try_from(units::rounding::nearest_i64(rank)).unwrap_or(0);
        self.value = self.first.get(index).copied().unwrap_or(value);
        let distances: f64 = self.first.iter().map(|other| (other - self.value).abs()).sum();
        self.spread = distances / self.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_share_of_delays_is_below() {
        for share in [0.05, 0.1, 0.5, 0.95] {
            let mut quantile = Quantile::new(share);
            let mut random = 1_u64;
            let (mut below, mut total) = (0.0, 0.0);
            for round in 0..6000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let uniform = f64::from(u32::try_from(random >> 33).unwrap()) / 2_147_483_648.0;
                let delay_s = 1e-4 - 1e-4 * (1.0 - uniform).ln();
                if round >= 500 {
                    total += 1.0;
                    below += f64::from(quantile.value().is_some_and(|limit| delay_s <= limit));
                }
                quantile.add(delay_s);
            }
            let found: f64 = below / total;
            assert!((found - share).abs() < 0.03, "{share}: {found}");
        }
    }

    #[test]
    fn few_values_tell_nothing_and_no_value_breaks_it() {
        let mut quantile = Quantile::new(0.5);
        for _ in 0..FIRST - 1 {
            quantile.add(1.0);
        }
        assert_eq!(quantile.value(), None);
        quantile.add(f64::NAN);
        quantile.add(1.0);
        assert_eq!(quantile.value(), Some(1.0));
    }
}
