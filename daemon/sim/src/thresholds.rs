//! How accurate the engine has to be, family by family, and how accurate chrony is: `bench/accuracy/thresholds.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::families::{FAMILIES, Family, Score};

/// The committed limits.
const TEXT: &str = include_str!("../../../bench/accuracy/thresholds.toml");

/// The limits of one family.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Root mean square offset, microseconds.
    pub rms_us: f64,
    /// Root mean square frequency error, slews included, parts in 10^9.
    pub frequency_ppb: f64,
    /// Requests per hour.
    pub requests_per_hour: f64,
    /// Steps of each seed, exactly.
    pub steps: f64,
    /// Until the offset is below 1 ms for good, seconds, the median; only where it always gets there.
    pub settled_s: Option<f64>,
    /// What chrony reached under the same definitions.
    pub chrony: Peer,
}

/// The figures of another daemon.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Root mean square offset, microseconds.
    pub rms_us: f64,
    /// Root mean square frequency error, parts in 10^9.
    pub frequency_ppb: f64,
    /// Requests per hour.
    pub requests_per_hour: f64,
}

/// Reads the limits of all families.
///
/// # Panics
/// When the file is not as it should be, or a family is missing.
pub fn thresholds() -> BTreeMap<&'static str, Threshold> {
    let mut all: BTreeMap<String, Threshold> = toml::from_str(TEXT).unwrap_or_else(|error| panic!("{error}"));
    let limits = FAMILIES.map(|Family { name, .. }| {
        (
            name,
            all.remove(name)
                .unwrap_or_else(|| panic!("{name} has no thresholds")),
        )
    });
    assert!(all.is_empty(), "there are no such families: {:?}", all.keys());
    limits.into_iter().collect()
}

impl Threshold {
    /// What is worse than it may be, in words.
    pub fn complaints(&self, name: &str, score: &Score) -> Vec<String> {
        let (settled_s, reached) = score.settled;
        let settled_s = if reached == score.seeds {
            settled_s
        } else {
            f64::INFINITY
        };
        let limited = [
            ("RMS offset, us", score.rms_s * 1e6, Some(self.rms_us)),
            (
                "RMS frequency error, ppb",
                score.frequency_rms * 1e9,
                Some(self.frequency_ppb),
            ),
            (
                "requests per hour",
                score.requests_per_hour,
                Some(self.requests_per_hour),
            ),
            ("seconds until below 1 ms", settled_s, self.settled_s),
        ];
        let mut complaints: Vec<String> = limited
            .into_iter()
            .filter_map(|(what, value, limit)| {
                limit
                    .filter(|limit| value > *limit)
                    .map(|limit| format!("{name}: {what}: {value:.2}, allowed {limit}"))
            })
            .collect();
        if (score.steps - self.steps).abs() > 1e-9 {
            complaints.push(format!("{name}: steps: {}, expected {}", score.steps, self.steps));
        }
        complaints
    }
}
