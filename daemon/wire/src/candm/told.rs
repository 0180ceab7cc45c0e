//! How the state of the clock is told, in a sentence and as JSON.

use units::UnixTime;

use super::{ReferenceId, Timespec, Tracking};
use crate::json::Json;
use crate::object;

impl Tracking {
    /// Tells in a sentence what the clock follows, which is called `source`, and how well.
    pub fn sentence(&self, source: &str) -> String {
        let bound_s = self.error_bound_s();
        match self.reference_id {
            _ if self.is_synchronised() => {
                format!("synchronised to {source}, wrong by at most {bound_s:.9} seconds")
            }
            ReferenceId::LOCAL => "not synchronised: serves its own time".to_owned(),
            _ => "not synchronised".to_owned(),
        }
    }

    /// Tells the same to somebody who wants the error to be so many seconds at most: also that it may be larger.
    pub fn sentence_against(&self, source: &str, max_error_s: f64) -> String {
        let sentence = self.sentence(source);
        if self.is_synchronised() && self.error_bound_s() > max_error_s {
            format!("{sentence}, which is more than {max_error_s:.9}")
        } else {
            sentence
        }
    }

    /// Tells the state of the clock with the bound of its error, which means something only when it is synchronised.
    /// Offsets are positive when the clock is behind, whatever sign the protocol has for them.
    pub fn to_json(&self, source: String) -> Json {
        let synchronised = self.is_synchronised();
        object! {
            "synchronised": synchronised,
            "error_bound_s": synchronised.then(|| self.error_bound_s()),
            "offset_s": self.current_correction_s,
            "source": source,
            "reference_id": self.reference_id.to_string(),
            "stratum": self.stratum,
            "reference_time": self.reference_time.to_json(),
            "last_offset_s": -self.last_offset_s,
            "rms_offset_s": self.rms_offset_s,
            "frequency_ppm": self.frequency_ppm,
            "residual_frequency_ppm": self.residual_frequency_ppm,
            "skew_ppm": self.skew_ppm,
            "root_delay_s": self.root_delay_s,
            "root_dispersion_s": self.root_dispersion_s,
            "update_interval_s": self.last_update_interval_s,
            "leap": self.leap.text(),
        }
    }
}

impl Timespec {
    /// Tells the time in whole seconds, unless it stands for "never".
    pub fn to_json(self) -> Json {
        match self.is_zero() {
            true => Json::Null,
            false => UnixTime::from_seconds(self.seconds()).to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candm::{Address, Leap};

    /// A clock that is 1 ms behind a server.
    fn following() -> Tracking {
        Tracking {
            reference_id: ReferenceId(0xc000_0201),
            address: Address::V4([192, 0, 2, 1].into()),
            stratum: 3,
            leap: Leap::Normal,
            reference_time: Timespec::new(1_770_000_000, 5),
            current_correction_s: 1e-3,
            last_offset_s: -2.5e-9,
            rms_offset_s: f64::INFINITY,
            frequency_ppm: -12.5,
            residual_frequency_ppm: 0.0,
            skew_ppm: 0.25,
            root_delay_s: 4e-3,
            root_dispersion_s: 1e-3,
            last_update_interval_s: 64.0,
        }
    }

    #[test]
    fn the_bound_is_told_while_it_means_something() {
        let tracking = following();
        assert_eq!(
            tracking.sentence("a"),
            "synchronised to a, wrong by at most 0.004000000 seconds"
        );
        assert_eq!(
            tracking.to_json("a".to_owned()).to_string(),
            "{\"synchronised\":true,\"error_bound_s\":0.004,\"offset_s\":0.001,\"source\":\"a\",\
             \"reference_id\":\"C0000201\",\"stratum\":3,\"reference_time\":\"2026-02-02T02:40:00Z\",\
             \"last_offset_s\":0.0000000025,\"rms_offset_s\":null,\"frequency_ppm\":-12.5,\
             \"residual_frequency_ppm\":0,\"skew_ppm\":0.25,\"root_delay_s\":0.004,\"root_dispersion_s\":0.001,\
             \"update_interval_s\":64,\"leap\":\"Normal\"}"
        );
        assert_eq!(
            tracking.sentence_against("a", 3e-3),
            "synchronised to a, wrong by at most 0.004000000 seconds, which is more than 0.003000000"
        );
        assert_eq!(tracking.sentence_against("a", 4e-3), tracking.sentence("a"));
        let lost = Tracking {
            reference_id: ReferenceId::UNSYNCHRONISED,
            address: Address::Unspecified,
            reference_time: Timespec::new(0, 0),
            ..tracking
        };
        assert_eq!(lost.sentence("a"), "not synchronised");
        assert_eq!(lost.sentence_against("a", 1e-9), "not synchronised");
        let json = lost.to_json(String::new()).to_string();
        assert!(
            json.starts_with("{\"synchronised\":false,\"error_bound_s\":null,"),
            "{json}"
        );
        assert!(json.contains("\"reference_time\":null,"), "{json}");
        let alone = Tracking {
            reference_id: ReferenceId::LOCAL,
            ..lost
        };
        assert_eq!(alone.sentence(""), "not synchronised: serves its own time");
    }
}
