//! What the configuration says about selecting.

use units::Stratum;

use super::candidate::AuthMode;

/// The limits and weights of the selection; the defaults are chrony's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How authentication changes options (`authselectmode`).
    pub auth_mode: AuthMode,
    /// How many sources must be selectable before the clock is touched (`minsources`).
    pub sources_min: usize,
    /// The largest root distance, seconds (`maxdistance`).
    pub distance_max_s: f64,
    /// The largest jitter, seconds (`maxjitter`).
    pub jitter_max_s: f64,
    /// What each stratum adds to the distance, seconds (`stratumweight`).
    pub stratum_weight_s: f64,
    /// Up to how many times the distance of the selected source others are combined with it
    /// (`combinelimit`); 0: none is.
    pub combine_limit: f64,
    /// How much closer than the selected source another must be to be better, seconds (`reselectdist`).
    pub reselect_distance_s: f64,
    /// The least stratum (`minstratum`).
    pub stratum_min: Stratum,
    /// The largest stratum (`maxstratum`).
    pub stratum_max: Stratum,
    /// From this stratum on a source is thought to serve its own time (`local stratum N orphan`); `None` without
    /// `orphan`.
    pub orphan_stratum: Option<Stratum>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            auth_mode: AuthMode::Mix,
            sources_min: 1,
            distance_max_s: 3.0,
            jitter_max_s: 1.0,
            stratum_weight_s: 1e-3,
            combine_limit: 3.0,
            reselect_distance_s: 1e-4,
            stratum_min: Stratum(0),
            stratum_max: Stratum(15),
            orphan_stratum: None,
        }
    }
}
