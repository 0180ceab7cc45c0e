//! One measurement of the host's oscillator against one source.

use units::Mono;

/// One accepted measurement, told on the time scale of the free oscillator.
///
/// The phase of the oscillator against true time does not depend on how the system clock was steered, so that
/// no sample ever has to be corrected when the clock is slewed or stepped; see
/// [`Timeline`](crate::timeline::Timeline).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When, on the free oscillator.
    pub at: Mono,
    /// True time − oscillator, seconds; positive: the oscillator is behind.
    pub phase_s: f64,
    /// The round trip to the source and back, seconds.
    pub delay_s: f64,
    /// What is known of the error of the phase beside the round trip, seconds: the precision of both clocks.
    pub dispersion_s: f64,
    /// The source's own root delay at that time, seconds.
    pub root_delay_s: f64,
    /// The source's own root dispersion at that time, and by how much the round trip may be off because the frequency
    /// was not known better, seconds.
    pub root_dispersion_s: f64,
}

impl Sample {
    /// Half the way to the primary reference and all the dispersion on it, seconds: the bound of the error of
    /// this sample (RFC 5905 §11.1, root distance).
    pub fn root_distance_s(&self) -> f64 {
        f64::midpoint(self.delay_s, self.root_delay_s) + self.dispersion_s + self.root_dispersion_s
    }
}
