//! `timeball up` on machines of the laboratory on which no time service runs: timeballd observes the clock, `get` shows
//! how wrong it is, and nothing of it is left behind.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what a test cannot read or start is a failed test"
)]

mod lab;

use std::path::Path;
use std::time::Duration;

use lab::{Chronyd, Host, HostSpec, Lab, Process, SYNC, Spec, eventually};
use serde_json::Value;

const TIMEBALL: &str = env!("CARGO_BIN_EXE_timeball");

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const DATA: &str = "/var/lib/timeball";
const CONFIG: &str = "/var/lib/timeball/timeballd/timeballd.conf";

/// How much later than the machine's clock its server says it is, seconds; up to a second less, because it is told in
/// whole seconds.
const LIE_S: i32 = 7;

/// A machine without a time service, with a configuration that has been changed by hand.
fn machine(name: &str) -> HostSpec {
    let directory = Path::new(CONFIG).parent().expect("a directory").display();
    HostSpec::new(name).chronyd(Chronyd::Absent).file(
        CONFIG,
        &format!(
            "server ntp1.lab iburst minpoll 0 maxpoll 0\nsourcedir {directory}/sources.d\n\
             bindcmdaddress {directory}/timeballd.sock\npidfile {directory}/timeballd.pid\ncmdport 0\nport 0\n"
        ),
    )
}

/// Starts `timeball up` and waits until it has said what the operator reads first.
fn up(host: &Host, program: &str) -> Process {
    // The machine that plays this host may be a container.
    let process = host.spawn_with(&[program, "up"], &[("TIMEBALL_AGENT_CONTAINER", "host")]);
    eventually(PATIENCE, "it is up", || {
        let log = process.log();
        match log.contains("Try:") {
            true => Ok(()),
            false => Err(log),
        }
    });
    process
}

/// The machine's row of `get`, once it is as wanted.
#[track_caller]
fn row(host: &Host, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(SYNC, what, || {
        let output = host.run(&[TIMEBALL, "client", "node", "ntp", "get", "--json"]);
        let answer: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let row = answer["results"][0].clone();
        match is_so(&row) {
            true => Ok(row),
            false => Err(format!("{}{}", output.stdout, output.stderr)),
        }
    })
}

fn observers(host: &Host) -> Vec<String> {
    let found = host.sh("pgrep -x timeballd || true").ok();
    found.lines().map(str::to_owned).collect()
}

#[test]
fn where_no_time_service_runs_the_clock_is_observed() {
    let lab = Lab::new(Spec::new().host(machine("bare")));
    lab.upstream(1).lie(LIE_S);
    let host = lab.host("bare");
    let process = up(host, TIMEBALL);
    let log = process.log();
    assert!(
        log.contains(
            "\n  Clock        no time service runs here: timeballd -x observes it and never sets it\n"
        ),
        "{log}"
    );

    // --- the real offset of the clock, which nobody sets
    let is_observed = |row: &Value| {
        let offset_s = row["detail"]["offset_s"].as_f64().unwrap_or_default();
        row["synchronized"] == true && (offset_s - f64::from(LIE_S)).abs() < 1.1
    };
    let seen = row(host, "the offset is seen", is_observed);
    assert_eq!(
        (&seen["detail"]["service"], &seen["current_source"]),
        (&"timeballd".into(), &"ntp1.lab".into()),
        "{seen}"
    );
    assert_eq!(
        seen["detail"]["service_version"],
        env!("CARGO_PKG_VERSION"),
        "{seen}"
    );
    assert!(
        seen["detail"]["error_bound_s"].as_f64() >= Some(f64::from(LIE_S) - 1.1),
        "{seen}"
    );
    assert!(seen["detail"]["notes"].to_string().contains("(-x)"), "{seen}");

    // --- root may give it servers, which are kept in its own directory
    let create = [TIMEBALL, "client", "node", "ntp", "create", "--target", "_all"];
    let created = host.run(&[&create[..], &["--servers", "ntp2.lab"]].concat());
    assert!(created.success(), "{}{}", created.stdout, created.stderr);
    let managed = host.read("/var/lib/timeball/timeballd/sources.d/timeball.sources");
    assert!(managed.contains("server ntp2.lab iburst"), "{managed}");

    // --- one that dies is started again
    let before = observers(host);
    assert_eq!(before.len(), 1);
    host.kill(before[0].parse().expect("a process id"), "KILL");
    eventually(PATIENCE, "another observer runs", || {
        let now = observers(host);
        match now.len() == 1 && now != before {
            true => Ok(()),
            false => Err(format!("{now:?}, {before:?} before")),
        }
    });
    row(host, "the offset is seen again", is_observed);

    // --- and it ends with `up`
    host.kill(process.pid(), "TERM");
    assert_eq!(process.wait(PATIENCE), 0);
    assert!(observers(host).is_empty());

    // --- also when `up` is killed; an empty configuration, as a power failure may leave it, is written anew
    let process = up(host, TIMEBALL);
    row(host, "the offset is seen by the next", is_observed);
    let capabilities = host
        .sh("grep -h '^Cap[PEBA]' /proc/$(pgrep -x timeballd)/status")
        .ok();
    assert!(
        capabilities.lines().count() == 4
            && capabilities
                .lines()
                .all(|line| line.ends_with("\t0000000000000000")),
        "{capabilities}"
    );
    host.kill(process.pid(), "KILL");
    process.wait(PATIENCE);
    eventually(PATIENCE, "the observer ends", || {
        let left = observers(host);
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.concat())
        }
    });
    host.sh(&format!(": >{CONFIG}")).ok();
    let process = up(host, TIMEBALL);
    assert!(host.read(CONFIG).contains("\npool pool.ntp.org iburst\n"));
    host.kill(process.pid(), "TERM");
    assert_eq!(process.wait(PATIENCE), 0);
    assert!(observers(host).is_empty());
}

#[test]
fn an_observer_that_cannot_run_is_left_alone_and_said() {
    let broken = HostSpec::new("broken")
        .chronyd(Chronyd::Absent)
        .file(CONFIG, "nonsense\n");
    let lab = Lab::new(Spec::new().host(broken).host(HostSpec::new("served")));

    let host = lab.host("broken");
    let process = up(host, TIMEBALL);
    eventually(PATIENCE, "it is given up", || {
        let log = process.log();
        let given_up = log.contains("timeballd ended 5 times") && log.contains("Invalid directive");
        match given_up && log.matches("it is started again").count() == 4 {
            true => Ok(()),
            false => Err(log),
        }
    });
    let failed = row(host, "the row says why", |row| row["status"] == "failed");
    let error = failed["error"].as_str().unwrap_or_default();
    assert!(
        error.contains("timeballd does not answer") && error.contains(CONFIG),
        "{error}"
    );
    host.kill(process.pid(), "TERM");
    assert_eq!(process.wait(PATIENCE), 0);

    // --- without the program there is one line, and all else works
    host.run(&["install", "-D", TIMEBALL, "/var/tmp/alone/timeball"])
        .ok();
    let process = up(host, "/var/tmp/alone/timeball");
    let log = process.log();
    assert!(
        log.contains(
            "Clock        no time service runs here, and timeballd is neither beside timeball nor in PATH"
        ),
        "{log}"
    );
    row(host, "the row says that nothing answers", |row| {
        row["error"]
            .as_str()
            .is_some_and(|error| error.contains("does not answer"))
    });
    host.kill(process.pid(), "TERM");
    assert_eq!(process.wait(PATIENCE), 0);

    // --- where a time service runs, nothing is started
    let host = lab.host("served");
    let process = up(host, TIMEBALL);
    assert!(!process.log().contains("Clock  "), "{}", process.log());
    let seen = row(host, "chronyd is asked", |row| row["status"] == "ok");
    assert_eq!(seen["detail"]["service"], "chrony");
    assert!(observers(host).is_empty());
    assert!(!host.exists(&format!("{DATA}/timeballd")));
    host.kill(process.pid(), "TERM");
    assert_eq!(process.wait(PATIENCE), 0);
}
