//! Two real time services on one clock, from their processes to everything that an operator looks at: NTPsec's ntpd and
//! systemd-timesyncd.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what a test cannot read or start is a failed test"
)]

mod fleet_in_lab;
mod lab;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use fleet_in_lab::{Fleet, TIMEBALL, UP};
use lab::{Chronyd, Host, HostSpec, Lab, Spec, eventually};
use serde_json::json;

/// Both services and then the agent, in a user namespace: there they have the capability to set clocks, and the kernel
/// refuses to let them set the machine's all the same.
const BOTH: &str = "\
runs() { until [ \"$(cat /proc/$1/comm)\" = $2 ]; do sleep 0.02; done; }
LD_LIBRARY_PATH=$LIBRARIES $NTPD -n -c /etc/ntpsec/ntp.conf -p /run/ntpd.pid >/run/lab/ntpd.log 2>&1 &
runs $! ntpd
LD_LIBRARY_PATH=$SYSTEMD:$LIBRARIES $TIMESYNCD >/run/lab/timesyncd.log 2>&1 &
echo $! >/run/lab/timesyncd.pid
runs $! systemd-timesyn
exec $TIMEBALL agent
";

#[test]
fn two_services_on_one_clock_are_told_wherever_an_operator_looks() {
    let host = HostSpec::new("two-01").chronyd(Chronyd::Stopped).file(
        "/etc/ntpsec/ntp.conf",
        "server ntp1.lab iburst\nrestrict default ignore\nrestrict 127.0.0.1\n\
             restrict 10.213.0.0 mask 255.255.0.0\n",
    );
    let fleet = Fleet::start(Lab::new(Spec::new().host(host)), |_| String::new());
    fleet.kill_agent("two-01");
    let host = fleet.lab.host("two-01");
    start_both(host);

    // --- the API: a condition, and the services as facts
    let agent = || {
        fleet
            .client(&["agent", "get", "--hostname", "two-01", "--json"])
            .json
    };
    let conflict = || {
        let agent = agent();
        let conditions = agent["conditions"].as_array().cloned().unwrap_or_default();
        let is_it = |condition: &&serde_json::Value| condition["type"] == "TimeServiceConflict";
        conditions
            .iter()
            .find(is_it)
            .map(|condition| condition["reason"].as_str().expect("a text").to_owned())
    };
    // Of a service that does not answer yet only the facts tell.
    let reason = eventually(UP, "the conflict is told", || match conflict() {
        Some(reason) if reason.contains("this clock: ntpd (process ") => Ok(reason),
        other => Err(format!(
            "{other:?}: {}\n{}",
            agent(),
            host.sh("cat /run/lab/*.log").stdout
        )),
    });
    assert!(reason.contains(", systemd-timesyncd (process "), "{reason}");
    let services = json!([
        {"name": "ntpd", "sets_clock": true},
        {"name": "systemd-timesyncd", "sets_clock": true},
    ]);
    assert_eq!(agent()["time_services"], services);

    // --- the command line
    let page = fleet.client(&["agent", "get", "--hostname", "two-01"]).stdout;
    assert!(
        page.contains("Running:       ntpd, systemd-timesyncd\n") && page.contains("TimeServiceConflict"),
        "{page}"
    );
    let rows = fleet.client(&["node", "ntp", "get", "--target", "two-01"]);
    assert!(
        rows.code == 0 && rows.stdout.contains(&format!("two-01  {reason}\n")),
        "{}",
        rows.stdout
    );

    // --- metrics and the web page
    let metrics = fetch(&fleet, "curl -sS http://127.0.0.1:8080/metrics");
    let keepers = metrics
        .lines()
        .find(|line| line.starts_with("timeball_clock_keepers{") && line.contains("\"two-01\""));
    assert!(keepers.is_some_and(|line| line.ends_with(" 2.0")), "{keepers:?}");
    let page = fetch(
        &fleet,
        "curl -sS -c jar -d \"token=$(cat admin.token)\" http://127.0.0.1:8080/ui/sign-in && \
         curl -sS -b jar http://127.0.0.1:8080/",
    );
    assert!(
        page.contains("two-01") && page.contains("two time services</span>"),
        "{page}"
    );

    // --- the end of one of them is the end of the alarm
    host.sh("kill $(cat /run/lab/timesyncd.pid)").ok();
    eventually(UP, "the conflict is over", || match conflict() {
        None => Ok(()),
        Some(reason) => Err(reason),
    });
    let rows = fleet.client(&["node", "ntp", "get", "--target", "two-01"]);
    assert!(!rows.stdout.contains("several time services"), "{}", rows.stdout);
}

fn start_both(host: &Host) {
    // In a user namespace of one user nobody can become another one.
    let script = "sed -i '/^systemd-timesync:/d' /etc/passwd /etc/group && \
                  echo systemd-timesync:x:0:0::/:/bin/false >>/etc/passwd && \
                  echo systemd-timesync:x:0: >>/etc/group && \
                  mkdir -p /var/lib/systemd/timesync /run/systemd/timesync /run/systemd/netif && \
                  echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start";
    host.sh(script).ok();
    let libraries = libraries();
    let systemd: Vec<String> = libraries
        .iter()
        .map(|folder| format!("{folder}/systemd"))
        .collect();
    let environment = [
        ("LIBRARIES", libraries.join(":")),
        ("SYSTEMD", systemd.join(":")),
        ("NTPD", peer("ntpsec/usr/sbin/ntpd")),
        ("TIMESYNCD", peer("timesyncd/lib/systemd/systemd-timesyncd")),
        ("TIMEBALL", TIMEBALL.to_owned()),
    ];
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let words = ["unshare", "--user", "--map-root-user", "sh", "-euc", BOTH];
    host.spawn_with(&words, &environment);
}

/// Runs a script in the hub, in the controller's data directory.
fn fetch(fleet: &Fleet, script: &str) -> String {
    let script = format!("cd '{}' && {script}", fleet.data().display());
    fleet.lab.hub_run(&["sh", "-c", &script]).ok()
}

/// Where Debian's packages are unpacked that cannot be installed side by side.
fn peers() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
    env::var_os("TIMEBALL_PEERS").map_or_else(own, PathBuf::from)
}

fn peer(path: &str) -> String {
    let path = peers().join(path);
    assert!(
        path.exists(),
        "{} is not there: ./test unpacks it",
        path.display()
    );
    path.display().to_string()
}

/// The directories of the libraries that the services need and the machine may not have.
fn libraries() -> Vec<String> {
    let folders = ["usr/lib", "lib"].map(|lib| peers().join("libraries").join(lib));
    let entries = folders.iter().filter_map(|lib| fs::read_dir(lib).ok()).flatten();
    let paths = entries.map(|entry| entry.expect("an entry").path().display().to_string());
    paths.filter(|path| path.ends_with("-linux-gnu")).collect()
}
