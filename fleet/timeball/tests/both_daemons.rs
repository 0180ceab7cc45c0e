//! A fleet in which some hosts run chronyd and others timeballd: nobody who manages it has to know which is which.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what a test cannot read or start is a failed test"
)]

mod fleet_in_lab;
mod lab;

use fleet_in_lab::{Fleet, MANAGED, sources_of};
use lab::{HostSpec, Lab, SYNC, Spec, eventually};

/// The file that timeball manages on a host of timeballd.
const MANAGED_OF_TIMEBALLD: &str = "/etc/timeball/sources.d/timeball.sources";

/// A host of chrony, two of timeballd, one of them without a place for servers, and one that has both.
fn fleet() -> Fleet {
    let bare = HostSpec::new("bare-01").no_sources().timeballd().file(
        "/etc/timeball/timeballd.conf",
        "driftfile /var/lib/timeballd/drift\n",
    );
    let two = HostSpec::new("two-01").no_sources().timeballd().file(
        "/etc/chrony/chrony.conf",
        "sourcedir /etc/chrony/sources.d\nport 0\ncmdport 0\n",
    );
    let spec = Spec::new()
        .host(HostSpec::new("chrony-01").no_sources())
        .host(HostSpec::new("tb-01").no_sources().timeballd())
        .host(bare)
        .host(two);
    Fleet::start(Lab::new(spec), |name| match name {
        "chrony-01" | "tb-01" => "  labels:\n    group: web\n".to_owned(),
        _ => String::new(),
    })
}

#[test]
fn one_command_changes_chronyd_and_timeballd_alike() {
    let fleet = fleet();
    let host = |name: &str| fleet.lab.host(name);
    let pair = [("chrony-01", MANAGED), ("tb-01", MANAGED_OF_TIMEBALLD)];

    // --- the row says who keeps the clock
    let answer = fleet.ntp("get", "_all", &[]);
    assert_eq!((answer.code, answer.rows().len()), (0, 4), "{}", answer.stdout);
    for (name, service) in [
        ("chrony-01", "chrony"),
        ("tb-01", "timeballd"),
        ("bare-01", "timeballd"),
        // chrony is configured there and does not run.
        ("two-01", "timeballd"),
    ] {
        assert_eq!(answer.row(name)["detail"]["service"], service, "{name}");
    }
    let version = |name: &str| answer.row(name)["detail"]["service_version"].clone();
    assert_eq!(version("tb-01"), env!("CARGO_PKG_VERSION"));
    assert!(version("chrony-01").is_string());
    let wide = fleet.client(&["node", "ntp", "get", "--target", "tb-01", "-o", "wide"]);
    let called = concat!("timeballd ", env!("CARGO_PKG_VERSION"));
    assert!(wide.stdout.contains(called), "{}", wide.stdout);

    // --- create, again, update, delete
    let servers = ["--servers", "ntp1.lab+minpoll=0+maxpoll=1,ntp2.lab"];
    let answer = fleet.ntp("create", "group:web", &servers);
    assert_eq!((answer.code, answer.rows().len()), (0, 2), "{}", answer.stdout);
    let pids = || pair.map(|(name, _)| host(name).chronyd_pid());
    let before = pids();
    assert!(before.iter().all(Option::is_some), "{before:?}");
    for (name, managed) in pair {
        assert_eq!(answer.status(name), "ok(true)");
        assert_eq!(sources_of(host(name)), ["ntp1.lab", "ntp2.lab"]);
        assert!(host(name).exists(managed));
    }
    let answer = fleet.ntp("create", "group:web", &servers);
    for (name, _) in pair {
        assert_eq!(answer.status(name), "ok(false)");
    }
    for (name, _) in pair {
        eventually(SYNC, &format!("{name} is synchronised"), || {
            let answer = fleet.ntp("get", name, &[]);
            // chronyd's first bound grows by a second each second: it knows nothing of its frequency yet.
            let bound_s = answer.row(name)["detail"]["error_bound_s"].as_f64();
            match answer.row(name)["synchronized"] == true && bound_s.is_some_and(|bound_s| bound_s < 0.1) {
                true => Ok(()),
                false => Err(answer.stdout),
            }
        });
    }
    let answer = fleet.ntp("get", "group:web", &[]);
    for (name, _) in pair {
        let detail = &answer.row(name)["detail"];
        let bound_s = detail["error_bound_s"].as_f64().unwrap_or(f64::NAN);
        assert!(bound_s > 0.0 && bound_s < 1.0, "{detail}");
        assert_eq!(answer.row(name)["stratum"], 4, "{detail}");
    }
    let answer = fleet.ntp("update", "group:web", &["--servers", "ntp3.lab,pool.lab+pool"]);
    assert_eq!(answer.code, 0, "{}", answer.stdout);
    for (name, managed) in pair {
        assert_eq!(sources_of(host(name)), ["ntp3.lab", "pool.lab"]);
        // --- a hand edit is drift, and overwritten by an update
        let text = host(name).read(managed);
        host(name).write(managed, &format!("{text}server ntp1.lab\n"));
        let drift = fleet.ntp("get", name, &[]).row(name)["detail"]["drift"]["kind"].clone();
        assert_eq!(drift, "edited", "{name}");
    }
    let answer = fleet.ntp("update", "group:web", &["--servers", "ntp3.lab"]);
    for (name, _) in pair {
        assert_eq!(answer.status(name), "ok(true)");
        assert_eq!(sources_of(host(name)), ["ntp3.lab"]);
    }
    assert_eq!(pids(), before, "nothing was restarted");

    // --- what timeballd does not take is undone, and told in its row; chronyd takes it
    let answer = fleet.ntp("update", "group:web", &["--servers", "ntp2.lab+nts"]);
    assert_eq!(
        (answer.code, answer.status("chrony-01").as_str()),
        (1, "ok(true)")
    );
    let error = answer.error("tb-01");
    assert!(
        error.contains("timeballd did not take ntp2.lab") && error.contains("in force again"),
        "{error}"
    );
    assert_eq!(sources_of(host("tb-01")), ["ntp3.lab"]);
    assert!(host("tb-01").chronyd_log().contains("nts"), "its log says why");

    // --- delete
    let answer = fleet.ntp("delete", "group:web", &[]);
    assert_eq!(answer.code, 0, "{}", answer.stdout);
    for (name, managed) in pair {
        assert!(sources_of(host(name)).is_empty() && !host(name).exists(managed));
    }

    // --- a daemon that does not run is named by its own name, though another one's package left a link behind
    let wants = "/etc/systemd/system/sysinit.target.wants";
    let nowhere = "/nowhere/systemd-timesyncd.service";
    let script = format!("mkdir -p {wants} && ln -sfn {nowhere} {wants}/systemd-timesyncd.service");
    host("tb-01").sh(&script).ok();
    host("tb-01").stop_chronyd();
    let error = fleet.ntp("get", "tb-01", &[]).error("tb-01");
    assert!(
        error.starts_with("timeballd does not answer at /run/timeballd/timeballd.sock")
            && error.contains("systemctl status timeballd"),
        "{error}"
    );
    host("tb-01").start_chronyd();
    assert_eq!(fleet.ntp("get", "tb-01", &[]).code, 0);
}

#[test]
fn a_host_of_timeballd_is_adopted_and_two_daemons_on_one_host_are_told() {
    let fleet = fleet();
    let bare = fleet.lab.host("bare-01");

    // --- without a place for the file, and with it
    let error = fleet
        .ntp("create", "bare-01", &["--servers", "ntp1.lab"])
        .error("bare-01");
    assert!(
        error.contains("sourcedir /etc/timeball/sources.d") && error.contains("/etc/timeball/timeballd.conf"),
        "{error}"
    );
    let pid = bare.chronyd_pid();
    fleet.kill_agent("bare-01");
    let adopted = bare.run(&[fleet_in_lab::TIMEBALL, "agent", "adopt"]).ok();
    assert!(
        adopted.contains("restarted timeballd, which answers"),
        "{adopted}"
    );
    assert_ne!(bare.chronyd_pid(), pid);
    let mut fleet = fleet;
    fleet.start_agent("bare-01", &[]);
    fleet.everyone_is_ready(4);
    let answer = fleet.ntp("create", "bare-01", &["--servers", "ntp1.lab"]);
    assert_eq!(answer.status("bare-01"), "ok(true)", "{}", answer.stdout);
    assert_eq!(sources_of(fleet.lab.host("bare-01")), ["ntp1.lab"]);

    // --- chronyd is started beside timeballd: nothing is done until one of them ends
    let two = fleet.lab.host("two-01");
    let script = "mkdir -p /run/chrony && . /run/lab/env && chown \"$LAB_USER:\" /run/chrony && chmod 700 /run/chrony && \
                  chronyd -x -F 1 -u \"$LAB_USER\" -f /etc/chrony/chrony.conf";
    two.sh(script).ok();
    for answer in [
        fleet.ntp("get", "two-01", &[]),
        fleet.ntp("create", "two-01", &["--servers", "ntp1.lab"]),
    ] {
        let error = answer.error("two-01");
        assert!(
            error.starts_with("two time services run on this host, chronyd and timeballd"),
            "{error}"
        );
        assert_eq!(answer.code, 1);
    }
    two.sh("pid=$(cat /run/chrony/chronyd.pid) && kill $pid && while kill -0 $pid 2>/dev/null; do sleep 0.02; done")
        .ok();
    let answer = fleet.ntp("create", "two-01", &["--servers", "ntp1.lab"]);
    assert_eq!(answer.status("two-01"), "ok(true)", "{}", answer.stdout);
    assert_eq!(sources_of(two), ["ntp1.lab"]);
}
