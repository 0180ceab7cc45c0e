//! Figures: percentiles and spread.

use serde::Serialize;

/// Values in the order they were measured.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Series(pub(crate) Vec<f64>);

impl Series {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that `percent` of the values do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Median with the smallest and the largest value: `0.31 (0.28–0.40)`.
    pub(crate) fn spread(&self) -> String {
        if self.0.is_empty() {
            return "–".to_owned();
        }
        format!(
            "{} ({}–{})",
            short(self.median()),
            short(self.min()),
            short(self.max())
        )
    }
}

/// A number with three significant digits at least.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let series = Series((1..=200).rev().map(f64::from).collect());
        assert_eq!((series.percentile(50), series.percentile(99)), (100.0, 198.0));
        assert_eq!((series.min(), series.max()), (1.0, 200.0));
        assert_eq!(Series(vec![2.0]).spread(), "2.00 (2.00–2.00)");
        assert_eq!(Series::default().spread(), "–");
    }
}
