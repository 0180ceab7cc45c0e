//! The families of the accuracy laboratory: situations in which clock daemons are compared.
//!
//! The definitions are those under which chrony and others were measured (`bench/accuracy/README.md`): one ideal
//! server, an oscillator that starts 10 to 20 ms and 10 ppm off, exponential jitter, `makestep 1 3`. Each family has
//! two variants of polling: A `iburst minpoll 6 maxpoll 10`, B `iburst minpoll 4 maxpoll 6`.

use crate::clock::Oscillator;
use crate::network::{Jitter, Path};
use crate::record::{Record, number};
use crate::scenario::{Client, Scenario};
use crate::server::Server;

/// A situation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    /// Its name, with the variant: `S2B`.
    pub name: &'static str,
    /// What it is, for tables.
    pub title: &'static str,
    length_s: f64,
    /// Statistics are from here on.
    from_s: f64,
    base_s: f64,
    jitter_s: f64,
    wander: f64,
    frequency: f64,
    offset_s: f64,
    make_step: &'static str,
    poll: &'static str,
    /// A jump of frequency at the middle.
    heated: bool,
}

const LAN_10: Family = Family {
    name: "S1A",
    title: "LAN, 10 us jitter, stable oscillator (1e-10)",
    length_s: 40_000.0,
    from_s: 20_000.0,
    base_s: 50e-6,
    jitter_s: 10e-6,
    wander: 1e-10,
    frequency: 10e-6,
    offset_s: 0.02,
    make_step: "1 3",
    poll: POLL_A,
    heated: false,
};
const LAN_100: Family = Family {
    name: "S2A",
    title: "LAN, 100 us jitter, 1e-9",
    base_s: 200e-6,
    jitter_s: 100e-6,
    wander: 1e-9,
    ..LAN_10
};
const WAN: Family = Family {
    name: "S3aA",
    title: "WAN, 20 ms + 10 ms exponential jitter, 1e-9",
    base_s: 20e-3,
    jitter_s: 10e-3,
    wander: 1e-9,
    ..LAN_10
};
const START: Family = Family {
    name: "S5A",
    title: "start: 0.5 s + 50 ppm off, makestep 0.1 3, LAN 100 us",
    length_s: 10_000.0,
    from_s: 5_000.0,
    frequency: 50e-6,
    offset_s: 0.5,
    make_step: "0.1 3",
    ..LAN_100
};
const WAN_BAD_CLOCK: Family = Family {
    name: "S3bA",
    title: "WAN, 20 ms + 10 ms exponential jitter, 1e-8",
    wander: 1e-8,
    ..WAN
};
const START_SLEW: Family = Family {
    name: "S5bA",
    title: "start: 0.5 s + 50 ppm off, makestep 1 3 (slew), LAN 100 us",
    make_step: "1 3",
    ..START
};
const HEATED: Family = Family {
    name: "S8A",
    title: "temperature: +2 ppm (60 s time constant) at half time, LAN 100 us, 1e-9",
    heated: true,
    ..LAN_100
};

/// The usual default of distributions.
const POLL_A: &str = "iburst minpoll 6 maxpoll 10";
/// Short polling.
const POLL_B: &str = "iburst minpoll 4 maxpoll 6";

/// All families.
pub const FAMILIES: [Family; 14] = [
    LAN_10,
    LAN_10.short("S1B"),
    LAN_100,
    LAN_100.short("S2B"),
    WAN,
    WAN.short("S3aB"),
    WAN_BAD_CLOCK,
    WAN_BAD_CLOCK.short("S3bB"),
    START,
    START.short("S5B"),
    START_SLEW,
    START_SLEW.short("S5bB"),
    HEATED,
    HEATED.short("S8B"),
];

/// When the heater is switched on in the families that have one, seconds.
const HEATED_AT_S: f64 = 20_000.0;

/// How a family went, over some seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Root mean square offset, seconds.
    pub rms_s: f64,
    /// Its standard error, from the spread between seeds, seconds.
    pub rms_error_s: f64,
    /// The largest offset of all seeds, seconds.
    pub max_s: f64,
    /// Root mean square frequency error, slews included, as a part.
    pub frequency_rms: f64,
    /// Until the offset is below 1 ms for good, seconds: the median of those that get there, and how many do.
    pub settled: (f64, usize),
    /// Requests per hour.
    pub requests_per_hour: f64,
    /// Steps per seed.
    pub steps: f64,
    /// After the event: the largest offset, and the root mean square of the last quarter, seconds.
    pub after_event: Option<(f64, f64)>,
    /// How many seeds.
    pub seeds: usize,
}

impl Family {
    /// The family of this name.
    pub fn named(name: &str) -> Option<Self> {
        FAMILIES.into_iter().find(|family| family.name == name)
    }

    const fn short(self, name: &'static str) -> Self {
        Self {
            name,
            poll: POLL_B,
            ..self
        }
    }

    /// The scenario, without expectations.
    pub fn scenario(&self) -> Scenario {
        let low_s = if self.offset_s >= 0.5 {
            self.offset_s
        } else {
            self.offset_s / 2.0
        };
        let mut oscillator = Oscillator::perfect()
            .wander(self.wander)
            .gaining(self.frequency)
            .off_by_between(low_s, self.offset_s)
            .either_sign();
        if self.heated {
            oscillator = oscillator.frequency_jump(HEATED_AT_S, 2e-6, 60.0);
        }
        Scenario::of_hours(self.length_s / 3600.0)
            .server("time", Server::ideal())
            .path(
                "time",
                Path::of(self.base_s).jitter(Jitter::Exponential(self.jitter_s)),
            )
            .client(
                Client::asking(&format!("server time {}", self.poll))
                    .also(&format!("makestep {}", self.make_step))
                    .clock(oscillator),
            )
    }

    /// Runs seeds 1 to this and returns how it went.
    pub fn score(&self, seeds: u64) -> Score {
        self.summarise(&self.scenario().run_all(1..=seeds))
    }

    fn summarise(&self, runs: &[(u64, Record)]) -> Score {
        let count = number(runs.len());
        let each = |measure: &dyn Fn(&Record) -> f64| -> Vec<f64> {
            runs.iter().map(|(_, run)| measure(run)).collect()
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
        let quadratic =
            |values: &[f64]| (values.iter().map(|value| value * value).sum::<f64>() / count).sqrt();
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);

        let rms = each(&|run| run.offset_rms_s(self.from_s, self.length_s));
        let middle = mean(&rms);
        let spread = rms.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        let calm_until_s = if self.heated { HEATED_AT_S } else { self.length_s };
        let mut settled: Vec<f64> = runs
            .iter()
            .filter_map(|(_, run)| run.settled_after_s(run.started_s, calm_until_s, 1e-3))
            .collect();
        settled.sort_by(f64::total_cmp);
        let late_s = f64::midpoint(HEATED_AT_S, self.length_s);
        Score {
            rms_s: quadratic(&rms),
            rms_error_s: (spread / count).sqrt(),
            max_s: most(&each(&|run| run.offset_max_s(self.from_s, self.length_s))),
            frequency_rms: quadratic(&each(&|run| run.frequency_rms(self.from_s, self.length_s))),
            settled: (
                settled.get(settled.len() / 2).copied().unwrap_or(f64::NAN),
                settled.len(),
            ),
            requests_per_hour: mean(&each(&|run| run.requests_per_hour(0.0, self.length_s))),
            steps: mean(&each(&|run| number(run.steps.len()))),
            after_event: self.heated.then(|| {
                let peak = most(&each(&|run| run.offset_max_s(HEATED_AT_S, self.length_s)));
                (
                    peak,
                    quadratic(&each(&|run| run.offset_rms_s(late_s, self.length_s))),
                )
            }),
            seeds: runs.len(),
        }
    }
}
