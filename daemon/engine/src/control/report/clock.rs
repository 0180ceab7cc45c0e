//! The clock: where its time comes from, and how wrong it can be.

use std::net::IpAddr;

use units::{Leap, Mono, ReferenceId, Stratum, UnixTime};

use crate::Engine;

/// The state of the system clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracking {
    /// What is followed.
    pub following: Following,
    /// Its identifier.
    pub reference_id: ReferenceId,
    /// The address of the selected NTP source.
    pub address: Option<IpAddr>,
    /// Our stratum; [`Stratum::ZERO`] when nothing is followed.
    pub stratum: Stratum,
    /// The leap second announced for the end of the UTC day.
    pub leap: Leap,
    /// When the reference was last heard; the epoch when nothing is followed.
    pub reference_time: UnixTime,
    /// True time − system clock as far as is known, seconds; positive: the clock is behind.
    pub offset_s: f64,
    /// The offset of the last update, true time − system clock, seconds.
    pub last_offset_s: f64,
    /// The running root mean square of these, seconds.
    pub rms_offset_s: f64,
    /// The error of the oscillator's frequency that is made up for, ppm; positive: it gains.
    pub frequency_ppm: f64,
    /// How much more it gains by the measurements of the reference, ppm.
    pub residual_frequency_ppm: f64,
    /// The error of the frequency, ppm.
    pub skew_ppm: f64,
    /// The delay to the primary reference and back, seconds.
    pub root_delay_s: f64,
    /// The dispersion to the primary reference now, seconds; without what is still to be corrected.
    pub root_dispersion_s: f64,
    /// The time between the last two updates, seconds.
    pub update_interval_s: f64,
}

/// What a clock follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// Nothing: its time means nothing to anybody.
    Nothing,
    /// Itself (`local`).
    Itself,
    /// A source.
    Source,
}

impl Tracking {
    /// How far the clock can be off, seconds: what is known of its offset, half the root delay, and the root
    /// dispersion. `None` when it follows no source, for then nobody knows.
    #[must_use]
    pub fn error_bound_s(&self) -> Option<f64> {
        let bound_s = self.offset_s.abs() + self.root_delay_s / 2.0 + self.root_dispersion_s;
        (self.following == Following::Source).then_some(bound_s)
    }
}

impl Engine {
    /// The state of the system clock when the monotonic clock reads `now`.
    pub fn tracking(&self, now: Mono) -> Tracking {
        let state = self.discipline.tracking(now, &self.timeline);
        let served = self.served(now);
        let following = match served.reference_id {
            ReferenceId::LOCAL if served.address.is_none() => Following::Itself,
            _ if served.leap == Leap::Unsynchronised => Following::Nothing,
            _ => Following::Source,
        };
        let is_source = following == Following::Source;
        let of_source = |value: f64| if is_source { value } else { 0.0 };
        Tracking {
            following,
            reference_id: served.reference_id,
            address: served.address,
            stratum: served.stratum,
            leap: served.leap,
            reference_time: served.reference_time,
            offset_s: state.remaining_s,
            last_offset_s: state.last_offset_s,
            rms_offset_s: state.rms_offset_s,
            frequency_ppm: -state.frequency * 1e6,
            residual_frequency_ppm: of_source(-state.residual_frequency * 1e6),
            skew_ppm: of_source(state.skew * 1e6),
            root_delay_s: served.root_delay_s,
            // What is still to be corrected is told by itself.
            root_dispersion_s: served.root_dispersion_s - of_source(state.remaining_s.abs()),
            update_interval_s: state.update_interval_s,
        }
    }
}
