//! A fleet of real chronyds, changed and read through controller, agents and command line: what each real
//! chronyd then says through its own chronyc is what was asked.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what a test cannot read or start is a failed test"
)]

mod fleet_in_lab;
mod lab;

use std::time::Duration;

use fleet_in_lab::{Fleet, MANAGED, TIMEBALL, UP, sources_of};
use lab::{Chronyd, HostSpec, Lab, SYNC, Spec, System, eventually};

/// Twelve web hosts, four databases, two of families that are not managed, two of RHEL's, and those on which
/// something is wrong.
fn spec() -> Spec {
    let debian = |name: &str| HostSpec::new(name).no_sources();
    let mut spec = Spec::new();
    for n in 1..=12 {
        spec = spec.host(debian(&format!("web-{n:02}")));
    }
    for n in 1..=4 {
        spec = spec.host(debian(&format!("db-{n:02}")));
    }
    spec.host(HostSpec::new("alpine-01").system(System::Alpine))
        .host(HostSpec::new("suse-01").system(System::OpenSuse))
        .host(HostSpec::new("rocky-01").system(System::Rocky))
        .host(debian("refuse-01"))
        .host(debian("silent-01"))
        .host(debian("stopped-01").chronyd(Chronyd::Stopped))
        .host(debian("osapi-01").file(
            "/etc/chrony/sources.d/osapi-ntp.sources",
            "server ntp1.lab iburst\n",
        ))
}

fn labels(host: &str) -> String {
    match host.split_once('-') {
        Some(("web", n)) if n <= "06" => "  labels:\n    group: web.eu\n    tier: front\n".to_owned(),
        Some(("web", _)) => "  labels:\n    group: web.us\n".to_owned(),
        Some(("db", _)) => "  labels:\n    group: db\n".to_owned(),
        _ => String::new(),
    }
}

fn fleet() -> Fleet {
    Fleet::start(Lab::new(spec()), labels)
}

const ALL: usize = 23;

#[test]
fn an_operators_day() {
    let fleet = fleet();
    let host = |name: &str| fleet.lab.host(name);
    fleet.lab.host("refuse-01").refuse_commands();
    fleet.lab.host("silent-01").freeze(fleet.agent("silent-01").pid());

    // --- everybody is asked, and everybody is in the answer
    let answer = fleet.ntp("get", "_all", &["--timeout", "5"]);
    assert_eq!(answer.rows().len(), ALL);
    let names: Vec<&str> = answer
        .rows()
        .iter()
        .filter_map(|row| row["hostname"].as_str())
        .collect();
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(answer.code, 1, "silent-01 did not answer");
    for (host, family) in [("alpine-01", "alpine"), ("suse-01", "suse")] {
        assert_eq!(answer.status(host), "skipped");
        assert!(answer.error(host).contains(family), "{}", answer.error(host));
    }
    assert_eq!(answer.status("silent-01"), "failed");
    assert!(
        answer.error("silent-01").contains("did not respond"),
        "{}",
        answer.error("silent-01")
    );
    assert_eq!(answer.status("stopped-01"), "failed");
    assert_eq!(
        answer.row("web-01")["synchronized"],
        false,
        "it has no source yet"
    );
    assert_eq!(answer.row("rocky-01")["status"], "ok");

    let running = || -> Vec<Option<u32>> {
        (1..=12)
            .map(|n| host(&format!("web-{n:02}")).chronyd_pid())
            .collect()
    };
    let before_any_change = running();
    assert!(before_any_change.iter().all(Option::is_some));

    // --- create, on a label
    let servers = ["--servers", "ntp1.lab,ntp2.lab"];
    let answer = fleet.ntp("create", "group:web", &servers);
    assert_eq!((answer.code, answer.rows().len()), (0, 12), "{}", answer.stdout);
    for n in 1..=12 {
        let name = format!("web-{n:02}");
        assert_eq!(answer.status(&name), "ok(true)");
        assert_eq!(sources_of(host(&name)), ["ntp1.lab", "ntp2.lab"]);
    }
    assert!(sources_of(host("db-01")).is_empty(), "the label was not its");

    // --- again: nothing to do, nothing written, nothing reloaded
    let stamp = |name: &str| host(name).run(&["stat", "-c", "%i %y", MANAGED]).ok();
    let before = (stamp("web-01"), host("web-01").chronyd_log());
    let answer = fleet.ntp("create", "group:web", &servers);
    assert_eq!((answer.code, answer.status("web-01").as_str()), (0, "ok(false)"));
    let answer = fleet.ntp("update", "group:web.eu", &servers);
    assert_eq!(
        (answer.rows().len(), answer.status("web-01").as_str()),
        (6, "ok(false)")
    );
    assert_eq!((stamp("web-01"), host("web-01").chronyd_log()), before);

    // --- create where it is managed differently is refused, and changes nothing
    let answer = fleet.ntp("create", "web-01", &["--servers", "ntp3.lab"]);
    assert_eq!((answer.code, answer.status("web-01").as_str()), (1, "failed"));
    assert!(
        answer.error("web-01").contains("already managed; use update"),
        "{}",
        answer.error("web-01")
    );
    assert_eq!(sources_of(host("web-01")), ["ntp1.lab", "ntp2.lab"]);

    // --- exactly one host for _any
    let answer = fleet.ntp("get", "_any", &[]);
    assert_eq!(answer.rows().len(), 1, "{}", answer.stdout);

    // --- update of a host that is not managed: 404, exit 2; of all: a row
    let answer = fleet.ntp("update", "db-01", &servers);
    assert_eq!(answer.code, 2, "{}", answer.stdout);
    assert!(answer.stderr.contains("not managed"), "{}", answer.stderr);
    let answer = fleet.ntp("update", "group:db", &servers);
    assert_eq!((answer.code, answer.status("db-01").as_str()), (1, "failed"));

    // --- one host, by name and by machine id, with options
    let answer = fleet.ntp(
        "create",
        "db-01",
        &["--servers", "ntp3.lab+minpoll=4+maxpoll=6+prefer,pool.lab+pool"],
    );
    assert_eq!(
        (answer.code, answer.status("db-01").as_str()),
        (0, "ok(true)"),
        "{}",
        answer.stdout
    );
    assert_eq!(sources_of(host("db-01")), ["ntp3.lab", "pool.lab"]);
    let file = host("db-01").read(MANAGED);
    assert!(
        file.contains("server ntp3.lab iburst") && file.contains("minpoll 4"),
        "{file}"
    );
    assert!(
        file.contains("pool pool.lab iburst") && file.ends_with('\n'),
        "{file}"
    );
    let machine_id = host("db-01").read("/etc/machine-id").trim().to_owned();
    let answer = fleet.ntp("get", &machine_id, &[]);
    assert_eq!(answer.rows().len(), 1);
    assert_eq!(
        answer.row("db-01")["servers"],
        serde_json::json!(["ntp3.lab", "pool.lab"])
    );

    // --- it becomes synchronised, and says so with its bound
    eventually(SYNC, "web-01 is synchronised by what was configured", || {
        let answer = fleet.ntp("get", "web-01", &[]);
        let row = answer.row("web-01");
        let bound = row["detail"]["error_bound_s"].as_f64();
        match (row["synchronized"].as_bool(), bound) {
            (Some(true), Some(bound)) if bound > 0.0 && bound < 1.0 => Ok(()),
            _ => Err(row.to_string()),
        }
    });
    let answer = fleet.ntp("get", "web-01", &[]);
    let row = answer.row("web-01");
    assert_eq!(row["stratum"], host("web-01").tracking().stratum);
    assert!(
        ["ntp1.lab", "ntp2.lab"].contains(&row["current_source"].as_str().unwrap_or_default()),
        "{row}"
    );
    assert!(
        row["offset"]
            .as_str()
            .is_some_and(|text| text.starts_with(['+', '-']) && text.ends_with('s'))
    );

    // --- a hand edit is drift: reported, and overwritten by the next update only
    host("web-02").write(MANAGED, "server ntp3.lab iburst\n");
    let answer = fleet.ntp("get", "web-02", &[]);
    assert_eq!(
        answer.row("web-02")["detail"]["drift"]["kind"],
        "edited",
        "{}",
        answer.stdout
    );
    assert_eq!(host("web-02").read(MANAGED), "server ntp3.lab iburst\n");
    let answer = fleet.ntp("update", "web-02", &servers);
    assert_eq!(answer.status("web-02"), "ok(true)");
    assert_eq!(sources_of(host("web-02")), ["ntp1.lab", "ntp2.lab"]);
    host("web-03").run(&["rm", MANAGED]).ok();
    let answer = fleet.ntp("get", "web-03", &[]);
    assert_eq!(
        answer.row("web-03")["detail"]["drift"]["kind"],
        "missing",
        "{}",
        answer.stdout
    );
    let answer = fleet.ntp("update", "web-03", &servers);
    assert_eq!(answer.status("web-03"), "ok(true)", "{}", answer.stdout);

    // --- all of that without a restart of chronyd
    assert_eq!(running(), before_any_change);

    // --- what another tool managed is taken over, and not left beside
    let answer = fleet.ntp("update", "osapi-01", &["--servers", "ntp2.lab"]);
    assert_eq!(answer.status("osapi-01"), "ok(true)", "{}", answer.stdout);
    assert!(!host("osapi-01").exists("/etc/chrony/sources.d/osapi-ntp.sources"));
    assert_eq!(sources_of(host("osapi-01")), ["ntp2.lab"]);

    // --- a host whose configuration has no place for the file says which line to add, and adopt adds it
    let answer = fleet.ntp("create", "rocky-01", &servers);
    assert_eq!(answer.status("rocky-01"), "failed");
    assert!(
        answer.error("rocky-01").contains("sourcedir /etc/chrony"),
        "{}",
        answer.error("rocky-01")
    );
    host("rocky-01").run(&[TIMEBALL, "agent", "adopt"]).ok();
    host("rocky-01").run(&[TIMEBALL, "agent", "adopt"]).ok();
    let answer = fleet.ntp("create", "rocky-01", &servers);
    assert_eq!(answer.status("rocky-01"), "ok(true)", "{}", answer.stdout);
    let now = sources_of(host("rocky-01"));
    assert!(
        now.contains(&"ntp1.lab".to_owned()) && now.contains(&"ntp2.lab".to_owned()),
        "{now:?}"
    );

    // --- delete: the file goes, the daemon forgets, others stay
    let answer = fleet.ntp("delete", "web-01", &[]);
    assert_eq!(answer.status("web-01"), "ok(true)");
    assert!(sources_of(host("web-01")).is_empty() && !host("web-01").exists(MANAGED));
    let answer = fleet.ntp("delete", "web-01", &[]);
    assert_eq!(answer.code, 2, "it is not managed any more: {}", answer.stdout);
    let answer = fleet.ntp("delete", "_all", &["--timeout", "5"]);
    assert_eq!(answer.status("web-05"), "ok(true)");
    assert!(sources_of(host("web-05")).is_empty());
    assert_eq!(answer.status("alpine-01"), "skipped");
    assert_eq!(running(), before_any_change);

    // --- the jobs tell the same
    let jobs = fleet.client(&["job", "list", "--json"]);
    assert_eq!(jobs.code, 0, "{}", jobs.stderr);
    assert!(!jobs.stdout.contains("processing"), "{}", jobs.stdout);
}

#[test]
fn a_failed_change_leaves_the_old_configuration_in_force() {
    let fleet = fleet();
    let host = |name: &str| fleet.lab.host(name);
    let create = fleet.ntp("create", "_all", &["--servers", "ntp1.lab", "--timeout", "10"]);
    assert_eq!(create.status("web-01"), "ok(true)", "{}", create.stdout);
    let old = host("web-01").read(MANAGED);

    host("web-01").refuse_commands();
    host("web-02").make_readonly("/etc/chrony/sources.d");
    host("web-03").fill_disk("/etc/chrony/sources.d");
    host("web-04").stop_chronyd();
    let answer = fleet.ntp(
        "update",
        "group:web",
        &["--servers", "ntp2.lab,ntp3.lab", "--timeout", "20"],
    );
    assert_eq!(answer.code, 1);
    for name in ["web-01", "web-02", "web-03", "web-04"] {
        assert_eq!(answer.status(name), "failed", "{name}: {}", answer.stdout);
        assert_ne!(answer.error(name), "");
        assert_eq!(host(name).read(MANAGED), old, "{name}");
        let left: Vec<String> = host(name).list("/etc/chrony/sources.d");
        assert!(
            left.iter()
                .all(|file| !file.contains(".tmp") && !file.contains(".new")),
            "{name}: {left:?}"
        );
    }
    assert!(
        answer.error("web-02").contains("Read-only"),
        "{}",
        answer.error("web-02")
    );
    assert!(
        answer.error("web-03").contains("No space"),
        "{}",
        answer.error("web-03")
    );
    assert_eq!(sources_of(host("web-02")), ["ntp1.lab"]);
    assert_eq!(answer.status("web-05"), "ok(true)");
    assert_eq!(sources_of(host("web-05")), ["ntp2.lab", "ntp3.lab"]);

    // The fault mended, the same command completes the change.
    host("web-01").accept_commands();
    host("web-02").make_writable("/etc/chrony/sources.d");
    host("web-03").free_disk("/etc/chrony/sources.d");
    host("web-04").start_chronyd();
    let answer = fleet.ntp("update", "group:web", &["--servers", "ntp2.lab,ntp3.lab"]);
    assert_eq!(answer.code, 0, "{}", answer.stdout);
    for n in 1..=12 {
        assert_eq!(sources_of(host(&format!("web-{n:02}"))), ["ntp2.lab", "ntp3.lab"]);
    }
    assert_eq!(answer.status("web-05"), "ok(false)");
}

/// The program's own idea of the date is moved for these agents (faketime), ten years back and ten years on.
#[test]
fn an_agent_whose_clock_is_wrong_by_ten_years_works_like_any_other() {
    let lab = Lab::new(
        Spec::new()
            .host(HostSpec::new("past").no_sources())
            .host(HostSpec::new("future").no_sources()),
    );
    let mut fleet = Fleet::start(lab, |_| String::new());
    let library = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    ]
    .into_iter()
    .find(|path| std::path::Path::new(path).exists())
    .expect("the Debian package libfaketime is needed");
    for (name, shift) in [("past", "-10y"), ("future", "+10y")] {
        fleet.kill_agent(name);
        let state = fleet.lab.host(name);
        state
            .run(&["rm", "-rf", "/var/lib/timeball/agent/controller.json"])
            .ok();
        let env = [
            ("LD_PRELOAD", library),
            ("FAKETIME", shift),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let year = fleet.lab.host(name).run_with(&["date", "+%Y"], &env, "").ok();
        let now = fleet.lab.host(name).run(&["date", "+%Y"]).ok();
        assert_ne!(year, now, "the date is moved");
        fleet.start_agent(name, &env);
    }
    fleet.everyone_is_ready(2);
    for (verb, servers, sources) in [
        ("create", "ntp1.lab", vec!["ntp1.lab"]),
        ("update", "ntp2.lab,ntp3.lab", vec!["ntp2.lab", "ntp3.lab"]),
    ] {
        let answer = fleet.ntp(verb, "_all", &["--servers", servers]);
        assert_eq!(answer.code, 0, "{}", answer.stdout);
        for name in ["past", "future"] {
            assert_eq!(sources_of(fleet.lab.host(name)), sources);
        }
    }
    fleet.kill_controller();
    fleet.restart_controller();
    fleet.everyone_is_ready(2);
    let answer = fleet.ntp("delete", "_all", &[]);
    assert_eq!(answer.code, 0, "{}", answer.stdout);
}

#[test]
fn a_host_without_a_token_waits_until_it_is_accepted() {
    let lab = Lab::new(Spec::fleet("web", 2));
    let mut fleet = Fleet::start(lab, |_| String::new());
    // The second host is removed, and comes again without a token and with a new key.
    fleet.kill_agent("web-02");
    let removed = fleet.client(&["agent", "remove", "--hostname", "web-02"]);
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    let host = fleet.lab.host("web-02");
    host.run(&["rm", "-rf", "/var/lib/timeball/agent"]).ok();
    let settings = host.read("/etc/timeball/timeball.yaml");
    let without: String = settings
        .lines()
        .filter(|line| !line.contains("token"))
        .map(|line| format!("{line}\n"))
        .collect();
    host.write("/etc/timeball/timeball.yaml", &without);
    fleet.start_agent("web-02", &[]);
    let fingerprint = eventually(UP, "web-02 waits", || {
        let answer = fleet.client(&["agent", "list", "--pending", "--json"]);
        match answer.json["agents"][0]["fingerprint"].as_str() {
            Some(fingerprint) => Ok(fingerprint.to_owned()),
            None => Err(answer.stdout + &answer.stderr),
        }
    });
    let own = fleet
        .lab
        .host("web-02")
        .run(&[TIMEBALL, "agent", "fingerprint"])
        .ok();
    assert!(own.contains(&fingerprint), "{own} is not {fingerprint}");

    let answer = fleet.ntp("get", "web-02", &[]);
    assert_eq!(answer.code, 2);
    assert!(answer.stderr.contains("accept"), "{}", answer.stderr);
    assert_eq!(fleet.ntp("get", "_all", &[]).rows().len(), 1, "it is not asked");
    let wrong = format!("SHA256:{}", "0".repeat(64));
    let refused = fleet.client(&["agent", "accept", "--hostname", "web-02", "--fingerprint", &wrong]);
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    let accepted = fleet.client(&[
        "agent",
        "accept",
        "--hostname",
        "web-02",
        "--fingerprint",
        &fingerprint,
    ]);
    assert_eq!(accepted.code, 0, "{}", accepted.stderr);
    fleet.everyone_is_ready(2);
    assert_eq!(fleet.ntp("get", "_all", &[]).rows().len(), 2);

    // Out of service and back.
    assert_eq!(fleet.client(&["agent", "drain", "--hostname", "web-02"]).code, 0);
    let answer = fleet.ntp("create", "_all", &["--servers", "ntp1.lab"]);
    assert_eq!(
        (answer.status("web-01").as_str(), answer.status("web-02").as_str()),
        ("ok(true)", "skipped")
    );
    assert_eq!(
        fleet.client(&["agent", "undrain", "--hostname", "web-02"]).code,
        0
    );
    let answer = fleet.ntp("create", "_all", &["--servers", "ntp1.lab"]);
    assert_eq!(
        (answer.status("web-01").as_str(), answer.status("web-02").as_str()),
        ("ok(false)", "ok(true)")
    );
}

#[test]
fn an_agent_that_is_cut_off_is_named_and_comes_back() {
    let lab = Lab::new(Spec::fleet("web", 3));
    let fleet = Fleet::start(lab, |_| String::new());
    fleet.lab.host("web-02").unplug();
    let answer = fleet.ntp("get", "_all", &["--timeout", "3"]);
    assert_eq!((answer.code, answer.rows().len()), (1, 3));
    assert_eq!(answer.status("web-02"), "failed");
    assert_ne!(answer.error("web-02"), "");
    eventually(UP, "the controller has noticed", || {
        let error = fleet.ntp("get", "_all", &["--timeout", "3"]).error("web-02");
        if error.contains("not connected") {
            Ok(())
        } else {
            Err(error)
        }
    });
    fleet.lab.host("web-02").plug();
    fleet.everyone_is_ready(3);
    assert_eq!(fleet.ntp("get", "_all", &[]).code, 0);
    assert_eq!(
        fleet
            .ntp(
                "update",
                "web-02",
                &[
                    "--servers",
                    "ntp1.lab",
                    "--timeout",
                    Duration::from_secs(9).as_secs().to_string().as_str()
                ]
            )
            .code,
        2
    );
}
