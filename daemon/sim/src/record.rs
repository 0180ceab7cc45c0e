//! What was seen of a host while its world went on: true errors, which the host itself cannot know, and what it did.

use std::collections::BTreeMap;

use conf::rtc::RtcError;
use engine::io::{ClockCommand, LogFile, Severity};

/// What was written into the file of the real-time clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RtcFile {
    /// When.
    pub at_s: f64,
    /// What.
    pub error: RtcError,
    /// The real-time clock − true time then, by the file and in truth, seconds.
    pub ahead_s: (f64, f64),
}

/// What `ntpq` showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// When.
    pub at_s: f64,
    /// The variables of the daemon.
    pub system: BTreeMap<String, String>,
    /// The variables of each source.
    pub sources: Vec<BTreeMap<String, String>>,
}

/// One life of a host.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// System clock − true time at each whole second, seconds; not a number while it sleeps.
    pub offsets_s: Vec<f64>,
    /// How much faster than true time the system clock runs then, as a part.
    pub frequencies: Vec<f64>,
    /// When it started, seconds since the world began.
    pub started_s: f64,
    /// When it sent requests, and to whom (by the number of the host).
    pub requests: Vec<(f64, usize)>,
    /// When it stepped its clock, and by how much.
    pub steps: Vec<(f64, f64)>,
    /// What else it did to its clock.
    pub commands: Vec<(f64, ClockCommand)>,
    /// Its log.
    pub log: Vec<(f64, Severity, String)>,
    /// Its log files.
    pub log_files: Vec<(f64, LogFile, String)>,
    /// The drift file: when it was written, frequency and skew, ppm.
    pub drifts: Vec<(f64, f64, f64)>,
    /// What was written into the file of the real-time clock.
    pub rtc_files: Vec<RtcFile>,
    /// The error of the real-time clock at each whole second, seconds: positive when it is ahead.
    pub rtc_offsets_s: Vec<f64>,
    /// What `ntpq` showed, each time that its operator looked.
    pub looks: Vec<Look>,
    /// Whether it said that it is ready.
    pub ready: bool,
    /// When it ended, and with which status.
    pub exit: Option<(f64, u8)>,
}

/// A line of tracking.log.
struct Tracked {
    at_s: f64,
    /// The error of the frequency, as a part.
    skew: f64,
    /// The most the clock can be off by, seconds.
    bound_s: f64,
}

/// By this part clocks may drift (`maxclockerror`) without anybody knowing.
const MAX_CLOCK_ERROR: f64 = 1e-6;

impl Record {
    /// The root mean square of the offset from one time to another, seconds.
    pub fn offset_rms_s(&self, from_s: f64, to_s: f64) -> f64 {
        root_mean_square(part(&self.offsets_s, from_s, to_s))
    }

    /// The largest offset from one time to another, without its sign, seconds.
    pub fn offset_max_s(&self, from_s: f64, to_s: f64) -> f64 {
        largest(part(&self.offsets_s, from_s, to_s))
    }

    /// The root mean square of the frequency error from one time to another.
    pub fn frequency_rms(&self, from_s: f64, to_s: f64) -> f64 {
        root_mean_square(part(&self.frequencies, from_s, to_s))
    }

    /// The largest frequency error from one time to another, without its sign.
    pub fn frequency_max(&self, from_s: f64, to_s: f64) -> f64 {
        largest(part(&self.frequencies, from_s, to_s))
    }

    /// How long after `from_s` the offset comes below a limit and stays there until `to_s`, seconds; `None`: never.
    pub fn settled_after_s(&self, from_s: f64, to_s: f64, limit_s: f64) -> Option<f64> {
        let offsets = part(&self.offsets_s, from_s, to_s);
        match offsets
            .iter()
            .rposition(|offset| offset.is_nan() || offset.abs() >= limit_s)
        {
            None => Some(0.0),
            Some(last) if last + 1 >= offsets.len() => None,
            Some(last) => Some(number(last + 1)),
        }
    }

    /// How many seconds, from one time to another, the clock is off by more than tracking.log says it can be: the bound of
    /// the last line, growing with the error of the frequency there.
    pub fn seconds_beyond_bound(&self, from_s: f64, to_s: f64) -> usize {
        let mut lines = self.tracking().peekable();
        let mut last = None;
        let mut beyond = 0;
        for (second, offset_s) in self.offsets_s.iter().enumerate() {
            let now_s = number(second);
            while let Some(line) = lines.next_if(|line| line.at_s <= now_s) {
                last = Some(line);
            }
            let is_beyond = last.as_ref().is_some_and(|line: &Tracked| {
                offset_s.abs() > line.bound_s + (now_s - line.at_s) * (line.skew + MAX_CLOCK_ERROR)
            });
            if is_beyond && (from_s..to_s).contains(&now_s) {
                beyond += 1;
            }
        }
        beyond
    }

    /// The lines of tracking.log.
    fn tracking(&self) -> impl Iterator<Item = Tracked> {
        let lines = self.log_files.iter().filter(|line| line.1 == LogFile::Tracking);
        lines.filter_map(|(at_s, _, line)| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            Some(Tracked {
                at_s: *at_s,
                skew: columns.get(5)?.parse::<f64>().ok()? / 1e6,
                bound_s: columns.last()?.parse().ok()?,
            })
        })
    }

    /// Requests per hour from one time to another.
    pub fn requests_per_hour(&self, from_s: f64, to_s: f64) -> f64 {
        let sent = self
            .requests
            .iter()
            .filter(|(at_s, _)| (from_s..to_s).contains(at_s))
            .count();
        number(sent) / ((to_s - from_s) / 3600.0)
    }

    /// How often the clock was stepped from one time to another.
    pub fn steps_between(&self, from_s: f64, to_s: f64) -> usize {
        self.steps
            .iter()
            .filter(|(at_s, _)| (from_s..to_s).contains(at_s))
            .count()
    }

    /// How many log lines contain this text.
    pub fn said(&self, text: &str) -> usize {
        self.log.iter().filter(|(_, _, line)| line.contains(text)).count()
    }

    /// How long it was watched, seconds.
    pub fn length_s(&self) -> f64 {
        number(self.offsets_s.len())
    }
}

fn part(values: &[f64], from_s: f64, to_s: f64) -> &[f64] {
    let index = |at_s: f64| {
        usize::try_from(units::rounding::nearest_i64(at_s))
            .unwrap_or(0)
            .min(values.len())
    };
    values.get(index(from_s)..index(to_s)).unwrap_or_default()
}

fn root_mean_square(values: &[f64]) -> f64 {
    let known = values.iter().filter(|value| !value.is_nan());
    let (sum, count) = known.fold((0.0, 0), |(sum, count), value| (sum + value * value, count + 1));
    (sum / number(count).max(1.0)).sqrt()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most: f64, value| most.max(value.abs()))
}

/// A count as a number to calculate with.
pub(crate) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offsets_s: &[f64]) -> Record {
        Record {
            offsets_s: offsets_s.to_vec(),
            ..Record::default()
        }
    }

    #[test]
    fn settling_is_for_good() {
        let record = record(&[9.0, 1.0, -9.0, 1.0, -1.0, 1.0]);
        assert_eq!(record.settled_after_s(0.0, 6.0, 2.0), Some(3.0));
        assert_eq!(record.settled_after_s(3.0, 6.0, 2.0), Some(0.0));
        assert_eq!(record.settled_after_s(0.0, 3.0, 2.0), None);
        assert_eq!(record.settled_after_s(0.0, 6.0, 1.0), None);
    }

    #[test]
    fn errors_are_those_of_the_window_and_of_an_awake_host() {
        let record = record(&[100.0, 3.0, f64::NAN, -4.0, 100.0]);
        assert!((record.offset_rms_s(1.0, 4.0) - 12.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(record.offset_max_s(1.0, 4.0), 4.0);
    }
}
