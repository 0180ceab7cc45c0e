//! Controller and agents are killed at random moments of a broadcast: nothing is lost, nothing is done twice,
//! no file is half-written, and in the end every row tells the truth.
//!
//! `TIMEBALL_KILLS` says how often (20 without it), `TIMEBALL_SEED` repeats a run.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what a test cannot read or start is a failed test"
)]

mod fleet_in_lab;
mod lab;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet_in_lab::{Fleet, MANAGED, TIMEBALL, UP, sources_of};
use lab::{HostSpec, Lab, Spec, eventually};
use serde_json::Value;

const HOSTS: usize = 6;

/// A small generator whose whole run follows from its seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => default,
    }
}

#[test]
fn kills_at_random_moments_lose_nothing_and_do_nothing_twice() {
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let seed = number("TIMEBALL_SEED", u64::from(clock));
    println!("seed: TIMEBALL_SEED={seed}");
    let mut random = Random(seed);
    let spec = (1..=HOSTS).fold(Spec::new(), |spec, n| {
        spec.host(HostSpec::new(&format!("web-{n:02}")).no_sources())
    });
    let mut fleet = Fleet::start(Lab::new(spec), |_| String::new());
    let names: Vec<String> = fleet
        .lab
        .hosts()
        .iter()
        .map(|host| host.name().to_owned())
        .collect();
    let created = fleet.ntp("create", "_all", &["--servers", "ntp1.lab"]);
    assert_eq!(created.code, 0, "{}", created.stdout);

    for round in 0..number("TIMEBALL_KILLS", 20) {
        // Names that nobody has resolve never, which chronyd takes as it takes any other.
        let wanted = vec!["ntp1.lab".to_owned(), format!("round-{round}.lab")];
        let before = files(&fleet, &names);
        let data = fleet.data().display().to_string();
        let command = fleet.lab.hub_spawn(&[
            TIMEBALL,
            "--data",
            &data,
            "client",
            "node",
            "ntp",
            "update",
            "--target",
            "_all",
            "--timeout",
            "10",
            "--servers",
            &wanted.join(","),
        ]);
        std::thread::sleep(Duration::from_micros(random.below(250_000)));
        let victim = random.below(3);
        if victim == 0 {
            fleet.kill_controller();
            let _ = command.wait(UP);
            fleet.restart_controller();
        } else {
            let name = &names[usize::try_from(random.below(HOSTS as u64)).unwrap_or(0)];
            fleet.kill_agent(name);
            let _ = command.wait(UP);
            fleet.start_agent(name, &[]);
        }
        fleet.everyone_is_ready(HOSTS);
        eventually(UP, &format!("round {round} (seed {seed}) is settled"), || {
            settled(&fleet, &names, &before, &wanted)
        });
    }
    for name in &names {
        let log = fleet.agent(name).log();
        assert!(!log.contains("panicked"), "{name}: {log}");
    }
}

/// What stands in the managed file of each host.
fn files(fleet: &Fleet, names: &[String]) -> BTreeMap<String, String> {
    names
        .iter()
        .map(|name| (name.clone(), fleet.lab.host(name).read(MANAGED)))
        .collect()
}

fn settled(
    fleet: &Fleet,
    names: &[String],
    before: &BTreeMap<String, String>,
    wanted: &[String],
) -> Result<(), String> {
    let newest = newest_job(fleet)?;
    let round = wanted.last().map(String::as_str).unwrap_or_default();
    // The controller may have been killed before it had stored the job; then nobody may have heard of it.
    let job = if newest["operation"]["data"].to_string().contains(round) {
        Some(newest)
    } else {
        None
    };
    for name in names {
        let host = fleet.lab.host(name);
        let file = host.read(MANAGED);
        let new = wanted
            .iter()
            .all(|server| file.contains(&format!("server {server} ")));
        if !new && file != before[name] {
            return Err(format!("{name}: neither the old nor the new file:\n{file}"));
        }
        let left = host.list("/etc/chrony/sources.d");
        if left != ["timeball.sources"] && left != ["README", "timeball.sources"] {
            return Err(format!("{name}: left behind: {left:?}"));
        }
        let mut listed: Vec<String> = file
            .lines()
            .filter_map(|line| line.strip_prefix("server "))
            .filter_map(|rest| rest.split(' ').next())
            .map(str::to_owned)
            .collect();
        listed.sort();
        let loaded = sources_of(host);
        if listed != loaded {
            return Err(format!("{name}: the file has {listed:?} and chronyd {loaded:?}"));
        }
        let Some(job) = &job else {
            if new {
                return Err(format!("{name} did a job that is not stored"));
            }
            continue;
        };
        let state = job["agent_states"][name]["status"].as_str().unwrap_or("no row");
        match (state, new) {
            ("completed", true) | ("failed", false) => {}
            _ => {
                return Err(format!(
                    "{name}: the row says {state}, the file is {}",
                    if new { "new" } else { "old" }
                ));
            }
        }
    }
    match job.as_ref().and_then(|job| job["status"].as_str()) {
        Some("processing" | "submitted") => Err("the job has not ended".to_owned()),
        _ => Ok(()),
    }
}

fn newest_job(fleet: &Fleet) -> Result<Value, String> {
    let list = fleet.client(&["job", "list", "--limit", "1", "--json"]);
    let jobs = list.json["jobs"]
        .as_array()
        .or(list.json["items"].as_array())
        .cloned();
    let id = jobs.and_then(|jobs| jobs.first().and_then(|job| job["id"].as_str()).map(str::to_owned));
    let id = id.ok_or_else(|| format!("no job: {}{}", list.stdout, list.stderr))?;
    let job = fleet.client(&["job", "get", "--job-id", &id, "--json"]);
    if job.code == 0 {
        Ok(job.json)
    } else {
        Err(job.stderr)
    }
}
