//! What must come of a scenario, in the words of time keeping.
//!
//! An [`Expectation`] is a number that is read from each run and a limit. It holds for every seed, for most of
//! them ([`Expectation::for_most`]), or for the mean over all ([`Expectation::on_average`]).

use crate::record::{Record, number};

/// Something that must be so.
pub struct Expectation {
    what: String,
    unit: Unit,
    limit: Limit,
    window: (f64, f64),
    measure: Measure,
    scope: Scope,
}

/// Reads a number from a run, from one time to another.
type Measure = Box<dyn Fn(&Record, f64, f64) -> f64 + Send + Sync>;

#[derive(Debug, Clone, Copy)]
enum Limit {
    Below(f64),
    Above(f64),
    Exactly(f64),
}

#[derive(Debug, Clone, Copy)]
enum Scope {
    /// This part of the seeds, at least.
    Part(f64),
    /// The root mean square over the seeds.
    Average,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Seconds,
    Parts,
    Number,
}

/// The clock is off by less than this, seconds. Say from when on: [`Expectation::within`].
pub fn offset_below(limit_s: f64) -> Expectation {
    Expectation::new(
        "largest offset",
        Unit::Seconds,
        Limit::Below(limit_s),
        |record, from_s, to_s| record.offset_max_s(from_s, to_s),
    )
}

/// The clock is off by more than this at some time, seconds: what the scenario breaks is broken.
pub fn offset_above(limit_s: f64) -> Expectation {
    Expectation::new(
        "largest offset",
        Unit::Seconds,
        Limit::Above(limit_s),
        |record, from_s, to_s| record.offset_max_s(from_s, to_s),
    )
}

/// The root mean square of the clock's offset is below this, seconds.
pub fn offset_rms_below(limit_s: f64) -> Expectation {
    Expectation::new(
        "RMS offset",
        Unit::Seconds,
        Limit::Below(limit_s),
        |record, from_s, to_s| record.offset_rms_s(from_s, to_s),
    )
}

/// The root mean square of the clock's frequency error, slews included, is below this part.
pub fn frequency_rms_below(limit: f64) -> Expectation {
    Expectation::new(
        "RMS frequency error",
        Unit::Parts,
        Limit::Below(limit),
        |record, from_s, to_s| record.frequency_rms(from_s, to_s),
    )
}

/// The clock never runs wrong by more than this part, slews included.
pub fn frequency_below(limit: f64) -> Expectation {
    Expectation::new(
        "largest frequency error",
        Unit::Parts,
        Limit::Below(limit),
        |record, from_s, to_s| record.frequency_max(from_s, to_s),
    )
}

/// No more requests are sent than so many per hour.
pub fn requests_per_hour_below(limit: f64) -> Expectation {
    Expectation::new(
        "requests per hour",
        Unit::Number,
        Limit::Below(limit),
        |record, from_s, to_s| record.requests_per_hour(from_s, to_s),
    )
}

/// At least so many requests are sent per hour.
pub fn requests_per_hour_above(limit: f64) -> Expectation {
    Expectation::new(
        "requests per hour",
        Unit::Number,
        Limit::Above(limit),
        |record, from_s, to_s| record.requests_per_hour(from_s, to_s),
    )
}

/// The clock is never further off than the daemon says it can be. Needs `log tracking`.
pub fn error_within_its_bound() -> Expectation {
    Expectation::new(
        "seconds in which the error is larger than the bound",
        Unit::Number,
        Limit::Exactly(0.0),
        |record, from_s, to_s| number(record.seconds_beyond_bound(from_s, to_s)),
    )
}

/// The clock is stepped so many times, and no more.
pub fn steps(count: u32) -> Expectation {
    Expectation::new(
        "steps",
        Unit::Number,
        Limit::Exactly(f64::from(count)),
        |record, from_s, to_s| number(record.steps_between(from_s, to_s)),
    )
}

/// The clock is not stepped.
pub fn no_steps() -> Expectation {
    steps(0)
}

/// A line with this text is in the daemon's log.
pub fn says(text: &str) -> Expectation {
    said(text, Limit::Above(0.5))
}

/// Lines with this text are in the daemon's log so many times.
pub fn says_times(count: u32, text: &str) -> Expectation {
    said(text, Limit::Exactly(f64::from(count)))
}

/// No line with this text is in the daemon's log.
pub fn never_says(text: &str) -> Expectation {
    said(text, Limit::Exactly(0.0))
}

fn said(text: &str, limit: Limit) -> Expectation {
    let text = text.to_owned();
    Expectation::new(
        &format!("lines with \"{text}\""),
        Unit::Number,
        limit,
        move |record, from_s, to_s| {
            let now = |at_s: &f64| (from_s..to_s).contains(at_s);
            number(
                record
                    .log
                    .iter()
                    .filter(|(at_s, _, line)| now(at_s) && line.contains(&text))
                    .count(),
            )
        },
    )
}

/// The daemon goes on.
pub fn no_exit() -> Expectation {
    measured_exactly("exits", 0.0, |record| record.exit.map_or(0.0, |_| 1.0))
}

/// The daemon ends with this status.
pub fn exit_with(status: u8) -> Expectation {
    measured_exactly("exit status", f64::from(status), |record| {
        record.exit.map_or(-1.0, |exit| f64::from(exit.1))
    })
}

/// A number of the run is exactly this.
pub fn measured_exactly(
    what: &str,
    value: f64,
    measure: impl Fn(&Record) -> f64 + Send + Sync + 'static,
) -> Expectation {
    Expectation::new(what, Unit::Number, Limit::Exactly(value), move |record, _, _| {
        measure(record)
    })
}

/// A number of the run is below this.
pub fn measured_below(
    what: &str,
    limit: f64,
    measure: impl Fn(&Record) -> f64 + Send + Sync + 'static,
) -> Expectation {
    Expectation::new(what, Unit::Number, Limit::Below(limit), move |record, _, _| {
        measure(record)
    })
}

/// A number of the run is above this.
pub fn measured_above(
    what: &str,
    limit: f64,
    measure: impl Fn(&Record) -> f64 + Send + Sync + 'static,
) -> Expectation {
    Expectation::new(what, Unit::Number, Limit::Above(limit), move |record, _, _| {
        measure(record)
    })
}

impl Expectation {
    fn new(
        what: &str,
        unit: Unit,
        limit: Limit,
        measure: impl Fn(&Record, f64, f64) -> f64 + Send + Sync + 'static,
    ) -> Self {
        let window = (0.0, f64::INFINITY);
        Self {
            what: what.to_owned(),
            unit,
            limit,
            window,
            measure: Box::new(measure),
            scope: Scope::Part(1.0),
        }
    }

    /// From so many seconds on, to the end.
    #[must_use]
    pub fn within(self, seconds: f64) -> Self {
        self.between(seconds, f64::INFINITY)
    }

    /// From one time to another, seconds.
    #[must_use]
    pub fn between(mut self, from_s: f64, to_s: f64) -> Self {
        self.window = (from_s, to_s);
        self
    }

    /// It is enough if it is so for this part of the seeds.
    #[must_use]
    pub fn for_most(mut self, part: f64) -> Self {
        self.scope = Scope::Part(part);
        self
    }

    /// It is enough if it is so for the root mean square over all seeds.
    #[must_use]
    pub fn on_average(mut self) -> Self {
        self.scope = Scope::Average;
        self
    }

    /// The number it is about.
    fn value(&self, record: &Record) -> f64 {
        let end_s = self.window.1.min(record.length_s());
        (self.measure)(record, self.window.0, end_s)
    }

    fn holds(&self, value: f64) -> bool {
        match self.limit {
            Limit::Below(limit) => value < limit,
            Limit::Above(limit) => value > limit,
            Limit::Exactly(expected) => (value - expected).abs() < 1e-9,
        }
    }

    fn describe(&self) -> String {
        let (word, limit) = match self.limit {
            Limit::Below(limit) => ("below", limit),
            Limit::Above(limit) => ("above", limit),
            Limit::Exactly(expected) => ("exactly", expected),
        };
        let (from_s, to_s) = self.window;
        let window = match (from_s > 0.0, to_s.is_finite()) {
            (false, false) => String::new(),
            (true, false) => format!(", from {from_s} s on"),
            _ => format!(", from {from_s} s to {to_s} s"),
        };
        format!("{} {word} {}{window}", self.what, self.unit.show(limit))
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value.abs() < 1e-3 => format!("{:.3} µs", value * 1e6),
            Self::Seconds if value.abs() < 1.0 => format!("{:.3} ms", value * 1e3),
            Self::Seconds => format!("{value:.3} s"),
            Self::Parts if value.abs() < 1e-6 => format!("{:.3} ppb", value * 1e9),
            Self::Parts => format!("{:.3} ppm", value * 1e6),
            Self::Number => format!("{value}"),
        }
    }
}

/// The most seeds that a complaint names.
const SEEDS_NAMED_MAX: usize = 5;

/// Returns a complaint for each expectation that did not come true.
pub fn judge(expectations: &[Expectation], runs: &[(u64, Record)]) -> Vec<String> {
    let complain = |expectation: &Expectation| {
        let values: Vec<(u64, f64)> = runs
            .iter()
            .map(|(seed, record)| (*seed, expectation.value(record)))
            .collect();
        let show = |value| expectation.unit.show(value);
        match expectation.scope {
            Scope::Average => {
                let squares: f64 = values.iter().map(|(_, value)| value * value).sum();
                let average = (squares / number(values.len()).max(1.0)).sqrt();
                (!expectation.holds(average)).then(|| {
                    format!(
                        "expected {} on average: was {}",
                        expectation.describe(),
                        show(average)
                    )
                })
            }
            Scope::Part(part) => {
                let mut failed: Vec<(u64, f64)> = values
                    .iter()
                    .copied()
                    .filter(|(_, value)| !expectation.holds(*value))
                    .collect();
                if number(failed.len()) <= (1.0 - part) * number(values.len()) + 1e-9 {
                    return None;
                }
                // The worst first, whatever worst is.
                failed.sort_by(|a, b| match expectation.limit {
                    Limit::Above(_) => a.1.total_cmp(&b.1),
                    Limit::Below(_) | Limit::Exactly(_) => b.1.total_cmp(&a.1),
                });
                let named: Vec<String> = failed
                    .iter()
                    .take(SEEDS_NAMED_MAX)
                    .map(|(seed, value)| format!("{} with seed {seed}", show(*value)))
                    .collect();
                let (failed, all) = (failed.len(), values.len());
                Some(format!(
                    "expected {}: not so in {failed} of {all} seeds, was {}",
                    expectation.describe(),
                    named.join(", ")
                ))
            }
        }
    };
    expectations.iter().filter_map(complain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Vec<(u64, Record)> {
        let run = |offset_s| Record {
            offsets_s: vec![1.0, offset_s, offset_s],
            ..Record::default()
        };
        vec![(1, run(1e-5)), (2, run(3e-5)), (3, run(-7e-5))]
    }

    #[test]
    fn what_holds_is_not_complained_of() {
        assert_eq!(judge(&[offset_below(1e-4).within(1.0)], &runs()), [""; 0]);
        assert_eq!(
            judge(&[offset_below(5e-5).within(1.0).for_most(0.6)], &runs()),
            [""; 0]
        );
        assert_eq!(
            judge(&[offset_rms_below(5e-5).within(1.0).on_average()], &runs()),
            [""; 0]
        );
    }

    #[test]
    fn a_complaint_names_the_worst_seeds_first() {
        let complaints = judge(&[offset_below(2e-5).within(1.0)], &runs());
        assert_eq!(
            complaints,
            [
                "expected largest offset below 20.000 µs, from 1 s on: not so in 2 of 3 seeds, was 70.000 µs with seed 3, \
              30.000 µs with seed 2"
            ]
        );
    }

    #[test]
    fn a_complaint_of_an_average_says_what_it_was() {
        let complaints = judge(&[offset_rms_below(2e-5).within(1.0).on_average()], &runs());
        assert_eq!(
            complaints,
            ["expected RMS offset below 20.000 µs, from 1 s on on average: was 44.347 µs"]
        );
    }
}
