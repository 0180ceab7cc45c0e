//! What an agent says, brought within bounds: a host with a defect, or a hostile one, must not make the API
//! print a number that its clients cannot read. They read integers as `int64` and the rest as `float64`.
//!
//! A number past its bound becomes the bound. That is no repair: such a host is wrong, and its row shows it.

use crate::host::{HostFacts, HostReport};
use crate::ntp::NtpStatus;
use crate::{HostResult, Outcome};

/// Longest time between two clocks that is told, in seconds: 317 years.
const SECONDS_MAX: f64 = 1e10;

/// Greatest frequency error that is told, in parts per million: a clock that runs at double speed or stands.
const PPM_MAX: f64 = 1e6;

/// Greatest load average that is told.
const LOAD_MAX: f64 = 1e6;

/// Most memory that is told, in bytes: what fits an `int64`.
const BYTES_MAX: u64 = i64::MAX.unsigned_abs();

/// Longest that a host is said to be up, in seconds: a hundred years.
const UPTIME_S_MAX: u64 = 100 * 365 * 86_400;

/// Longest that a host is said to have worked on a job, in milliseconds: a year.
const DURATION_MS_MAX: u64 = 365 * 86_400 * 1000;

impl HostReport {
    /// The report with every number within its bounds.
    #[must_use]
    pub fn plausible(mut self) -> Self {
        self.load = self.load.map(|load| within(load, 0.0, LOAD_MAX));
        self.memory_bytes = self.memory_bytes.map(|bytes| bytes.min(BYTES_MAX));
        self.ntp = self.ntp.map(NtpStatus::plausible);
        self
    }
}

impl NtpStatus {
    /// The status with every number within its bounds.
    #[must_use]
    pub fn plausible(mut self) -> Self {
        let (either, positive) = (
            |s: f64| within(s, -SECONDS_MAX, SECONDS_MAX),
            |s: f64| within(s, 0.0, SECONDS_MAX),
        );
        self.offset_s = self.offset_s.map(either);
        self.error_bound_s = self.error_bound_s.map(positive);
        // chrony's protocol has a sign here, and asymmetric paths do make the delay negative.
        self.root_delay_s = self.root_delay_s.map(either);
        self.root_dispersion_s = self.root_dispersion_s.map(positive);
        self.frequency_ppm = self.frequency_ppm.map(|ppm| within(ppm, -PPM_MAX, PPM_MAX));
        self.skew_ppm = self.skew_ppm.map(|ppm| within(ppm, 0.0, PPM_MAX));
        for source in &mut self.sources {
            source.offset_s = either(source.offset_s);
            source.error_s = positive(source.error_s);
        }
        self
    }
}

impl HostFacts {
    /// The facts with every number within its bounds.
    #[must_use]
    pub fn plausible(mut self) -> Self {
        self.uptime_s = self.uptime_s.min(UPTIME_S_MAX);
        self.agent_uptime_s = self.agent_uptime_s.min(UPTIME_S_MAX);
        self
    }
}

impl HostResult {
    /// The answer with every number within its bounds.
    #[must_use]
    pub fn plausible(mut self) -> Self {
        self.duration_ms = self.duration_ms.min(DURATION_MS_MAX);
        if let Outcome::Status(status) = self.outcome {
            self.outcome = Outcome::Status(Box::new(status.plausible()));
        }
        self
    }
}

/// The number within these bounds; what is no number is the one next to nought.
fn within(number: f64, least: f64, most: f64) -> f64 {
    if number.is_nan() {
        return 0.0_f64.clamp(least, most);
    }
    number.clamp(least, most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ntp::SourceStatus;

    fn any_number() -> impl Strategy<Value = f64> {
        prop_oneof![
            proptest::num::f64::ANY,
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(f64::MAX)
        ]
    }

    proptest! {
        /// Whatever a host tells, the API's JSON has numbers that a Go client takes into its fields.
        #[test]
        fn no_number_is_past_what_clients_read(
            f in any_number(),
            n in prop_oneof![any::<u64>(), Just(u64::MAX)],
        ) {
            let source = SourceStatus {
                name: "a.lab".to_owned(),
                address: None,
                mode: "server".to_owned(),
                state: "selected".to_owned(),
                stratum: 1,
                poll: 6,
                reach: 255,
                last_sample_s: Some(u32::MAX),
                offset_s: f,
                error_s: f,
            };
            let status = NtpStatus {
                offset_s: Some(f),
                error_bound_s: Some(f),
                root_delay_s: Some(f),
                root_dispersion_s: Some(f),
                frequency_ppm: Some(f),
                skew_ppm: Some(f),
                sources: vec![source],
                ..NtpStatus::default()
            };
            let report = HostReport {
                ntp: Some(status),
                ntp_error: None,
                load: [f; 3],
                memory_bytes: [n; 3],
            };
            let facts = HostFacts { uptime_s: n, agent_uptime_s: n, ..HostFacts::default() }.plausible();
            prop_assert!(facts.uptime_s.checked_add(u64::from(u32::MAX)).is_some());
            let report = report.plausible();
            prop_assert!(report.load.iter().all(|load| load.is_finite()));
            check(&serde_json::to_value(report).unwrap());
            check(&serde_json::to_value(facts).unwrap());
        }
    }

    fn check(value: &serde_json::Value) {
        match value {
            serde_json::Value::Number(number) => {
                assert!(
                    number.as_i64().is_some() || number.as_f64().is_some_and(|f| f.abs() <= SECONDS_MAX),
                    "{number}"
                );
                assert!(!number.is_u64() || number.as_i64().is_some(), "{number}");
            }
            serde_json::Value::Array(values) => values.iter().for_each(check),
            serde_json::Value::Object(fields) => fields.values().for_each(check),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => {}
        }
    }
}
