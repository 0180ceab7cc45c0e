//! The fleet laboratory works, proven with chrony alone.

// What a test cannot read or start is a failed test.
#![allow(clippy::unwrap_used)]

mod lab;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Chronyd, HostSpec, Lab, SYNC, Spec, System, eventually};

/// Set in the copy of this test that is to be killed.
const VICTIM: &str = "TIMEBALL_LAB_VICTIM";

#[test]
fn a_fleet_follows_its_upstreams() {
    let start = Instant::now();
    let spec = Spec::fleet("web", 22)
        .host(
            HostSpec::new("db-01")
                .system(System::Rocky)
                .sources("pool pool.lab iburst minpoll 0 maxpoll 2"),
        )
        .host(HostSpec::new("lost-01").sources("server nowhere.lab iburst"));
    let lab = Lab::new(spec);
    println!("24 hosts and the hub in {:?}", start.elapsed());
    let traces = Traces::of(&lab);

    for host in lab.hosts().iter().filter(|host| host.name() != "lost-01") {
        let reference = eventually(SYNC, host.name(), || host.synchronised());
        assert!(
            reference.starts_with("ntp") || reference.starts_with("pool"),
            "{reference}"
        );
        assert_eq!(host.tracking().stratum, 4);
    }
    println!("all of them synchronised after {:?}", start.elapsed());
    let web = lab.host("web-07");
    assert_eq!(web.source_names(), ["ntp1.lab", "ntp2.lab", "ntp3.lab"]);
    // A pool also shows the places it keeps for addresses that the name did not give.
    let pool = lab.host("db-01").sources();
    assert!(
        pool.iter()
            .all(|source| source.mode == '^' && source.name == "pool.lab"),
        "{pool:?}"
    );
    assert_eq!(
        pool.iter().filter(|source| source.stratum == 3).count(),
        3,
        "{pool:?}"
    );

    let lost = lab.host("lost-01").sources();
    assert_eq!(
        (lost.len(), lost[0].name.as_str(), lost[0].state),
        (1, "nowhere.lab", '?')
    );
    assert!(lab.host("lost-01").synchronised().is_err());

    drop(lab);
    traces.assert_gone();
}

#[test]
fn a_host_is_its_own() {
    let systems = [System::Debian, System::Rocky, System::Alpine, System::OpenSuse];
    let spec = systems.iter().enumerate().fold(Spec::new(), |spec, (n, system)| {
        spec.host(
            HostSpec::new(&format!("host-{n}"))
                .system(*system)
                .file("/etc/motd", &format!("hi {n}\n")),
        )
    });
    let lab = Lab::new(spec);
    let names = |path: &str| {
        lab.hosts()
            .iter()
            .map(|h| h.read(path))
            .collect::<BTreeSet<_>>()
            .len()
    };

    for path in [
        "/etc/hostname",
        "/etc/machine-id",
        "/etc/os-release",
        "/usr/lib/os-release",
        "/etc/motd",
    ] {
        assert_eq!(names(path), 4, "{path}");
    }
    for host in lab.hosts() {
        assert_eq!(host.run(&["hostname"]).ok().trim(), host.name());
        assert_eq!(host.read("/etc/machine-id").trim().len(), 32);
        assert!(
            host.run(&["ip", "-brief", "addr"])
                .ok()
                .contains(&host.address().to_string())
        );
        assert!(
            host.run(&["ps", "-C", "chronyd", "-o", "args="])
                .ok()
                .contains(" -x ")
        );
        assert!(host.exists(host.system().chrony_conf()));
        assert!(
            host.exists(std::env::current_exe().unwrap().to_str().unwrap()),
            "the programs under test"
        );
    }
    assert!(!lab.host("host-1").exists("/etc/chrony"));
    assert_eq!(lab.host("host-0").list("/etc/chrony/sources.d"), ["README"]);

    lab.host("host-0")
        .write("/etc/chrony/sources.d/a/b.sources", "one\n");
    lab.host("host-0").write("/var/lib/timeball/state", "two\n");
    assert_eq!(lab.host("host-0").read("/var/lib/timeball/state"), "two\n");
    assert!(!lab.host("host-2").exists("/etc/chrony/sources.d/a"));
    assert!(!Path::new("/var/lib/timeball/state").exists());
    assert!(!Path::new("/etc/chrony/sources.d/a").exists());
}

#[test]
fn no_host_may_set_the_clock() {
    let lab = Lab::new(Spec::new().host(HostSpec::new("web-01").chronyd(Chronyd::Stopped)));
    let now = "date -u -s \"$(date -u +%FT%T)\"";
    for machine in [lab.host("web-01"), lab.hub()] {
        let refused = machine.sh(now).result().unwrap_err();
        assert!(refused.contains("Operation not permitted"), "{refused}");
    }
}

#[test]
fn chronyd_follows_what_is_written() {
    let lab = Lab::new(
        Spec::new()
            .host(HostSpec::new("web-01").no_sources())
            .host(HostSpec::new("web-02").chronyd(Chronyd::Stopped)),
    );
    let web = lab.host("web-01");
    assert_eq!(web.sources(), []);
    web.write(
        "/etc/chrony/sources.d/site.sources",
        "server ntp2.lab iburst minpoll 0 maxpoll 2\n",
    );
    web.chronyc(&["reload", "sources"]);
    assert_eq!(eventually(SYNC, "a source", || web.synchronised()), "ntp2.lab");

    // A restart through the lab's systemctl is a real one, and a refused one leaves no daemon.
    let before = web.chronyd_pid().unwrap();
    web.run(&["systemctl", "restart", "chrony.service"]).ok();
    assert_ne!(web.chronyd_pid().unwrap(), before);
    web.write("/etc/chrony/conf.d/bad.conf", "nonsense\n");
    let refused = web.run(&["systemctl", "restart", "chrony"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(web.chronyd_log().contains("nonsense") || web.chronyd_log().contains("bad.conf"));
    assert_eq!(web.chronyd_pid(), None);
    assert_eq!(web.run(&["systemctl", "is-active", "chrony"]).code, 3);
    assert_eq!(web.run(&["systemctl", "restart", "ntpsec"]).code, 5);
    assert_eq!(
        web.systemctl_calls()
            .iter()
            .filter(|call| call.starts_with("restart"))
            .count(),
        3
    );

    let idle = lab.host("web-02");
    assert_eq!(idle.chronyd_pid(), None);
    idle.start_chronyd();
    assert_eq!(idle.source_names(), ["ntp1.lab", "ntp2.lab", "ntp3.lab"]);
    idle.stop_chronyd();
    assert!(!idle.try_chronyc(&["tracking"]).success());
}

#[test]
fn faults_come_and_go() {
    let lab = Lab::new(Spec::fleet("web", 1));
    let web = lab.host("web-01");
    let directory = "/etc/chrony/sources.d";
    let file = "/etc/chrony/sources.d/site.sources";
    let write = || {
        web.sh(&format!(
            "/bin/echo server ntp1.lab >{file}.new && mv {file}.new {file}"
        ))
        .result()
    };

    web.write(file, "server ntp3.lab\n");
    web.make_readonly(directory);
    assert!(write().unwrap_err().contains("Read-only file system"));
    web.make_writable(directory);
    write().unwrap();

    web.write(file, "server ntp3.lab\n");
    web.fill_disk(directory);
    assert!(write().unwrap_err().contains("No space left on device"));
    assert_eq!(web.read(file), "server ntp3.lab\n");
    web.free_disk(directory);
    write().unwrap();
    assert_eq!(web.read(file), "server ntp1.lab\n");

    web.refuse_commands();
    let refused = web.try_chronyc(&["reload", "sources"]);
    assert!(refused.stdout.contains("501 Not authorised"), "{refused:?}");
    web.accept_commands();
    web.chronyc(&["reload", "sources"]);

    web.fail_restarts(true);
    assert!(!web.run(&["systemctl", "restart", "chrony"]).success());
    web.fail_restarts(false);
    web.start_chronyd();

    let ping = || {
        web.run(&[
            "bash",
            "-c",
            "timeout 2 bash -c 'echo >/dev/tcp/10.213.255.254/9'",
        ])
        .stderr
    };
    assert!(ping().contains("refused"), "{}", ping());
    web.unplug();
    assert!(ping().contains("unreachable"), "{}", ping());
    web.plug();
    assert!(ping().contains("refused"), "{}", ping());
}

#[test]
fn upstreams_stop_and_lie() {
    let lab = Lab::new(Spec::fleet("web", 1));
    let web = lab.host("web-01");
    let state = |name: &str| {
        let sources = web.sources();
        sources
            .iter()
            .find(|source| source.name == name)
            .map(|source| (source.state, source.reach))
            .unwrap()
    };
    eventually(SYNC, "web-01 synchronised", || web.synchronised());

    lab.upstream(3).lie(100);
    eventually(SYNC, "ntp3 found out", || match state("ntp3.lab") {
        ('x', _) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    lab.upstream(1).stop();
    eventually(SYNC, "ntp1 missed", || match state("ntp1.lab").1 & 1 {
        0 => Ok(()),
        _ => Err(format!("{:?}", state("ntp1.lab"))),
    });
    lab.upstream(1).start();
    eventually(SYNC, "ntp1 back", || match state("ntp1.lab").1 & 1 {
        1 => Ok(()),
        _ => Err(format!("{:?}", state("ntp1.lab"))),
    });
}

#[test]
fn processes_are_watched_frozen_and_ended() {
    let lab = Lab::new(Spec::fleet("web", 2).host(HostSpec::new("bare-01").chronyd(Chronyd::Absent)));
    let web = lab.host("web-01");

    let script = "trap 'echo bye; exit 7' TERM; echo $NAME; while :; do sleep 0.01; done";
    let service = web.spawn_with(&["sh", "-c", script], &[("NAME", "service")]);
    eventually(SYNC, "its first word", || match service.log().as_str() {
        "service\n" => Ok(()),
        other => Err(other.to_owned()),
    });
    assert!(service.alive());
    web.freeze(service.pid());
    assert!(web.read(&format!("/proc/{}/stat", service.pid())).contains(" T "));
    web.kill(service.pid(), "TERM");
    assert!(service.alive());
    web.thaw(service.pid());
    assert_eq!(service.wait(SYNC), 7);
    assert_eq!(service.log(), "service\nbye\n");

    let killed = lab.hub_spawn(&["sleep", "1000"]);
    lab.hub().kill(killed.pid(), "KILL");
    assert_eq!(killed.wait(SYNC), 137);
    assert_eq!(web.run(&["no-such-program"]).code, 127);
    assert_eq!(lab.hub_run(&["hostname"]).ok(), "hub\n");
    assert!(lab.logs().contains("bye"));

    // No host sees the processes of another, and one without chrony has none of it.
    assert!(!lab.host("web-02").run(&["ps", "ax"]).ok().contains("sleep"));
    let bare = lab.host("bare-01");
    assert_eq!(bare.try_chronyc(&["tracking"]).code, 127);
    assert!(!bare.exists("/usr/sbin/chronyd") && !bare.exists("/etc/chrony"));

    let frozen = web.spawn(&["sleep", "1000"]);
    web.freeze(frozen.pid());
    let traces = Traces::of(&lab);
    drop(lab);
    traces.assert_gone();
}

#[test]
fn a_panic_leaves_nothing() {
    let mut traces = None;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let lab = Lab::new(Spec::fleet("web", 2));
        lab.host("web-02").spawn(&["sleep", "1000"]);
        traces = Some(Traces::of(&lab));
        panic!("on purpose");
    }));
    assert!(result.is_err());
    traces.unwrap().assert_gone();
}

#[test]
fn a_killed_test_leaves_nothing() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_victim", "--ignored", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let traces = Traces::parse(
        &lines
            .find_map(|line| line.split_once("traces ").map(|t| t.1.to_owned()))
            .unwrap(),
    );
    assert!(!traces.left().is_empty());
    victim.kill().unwrap();
    victim.wait().unwrap();
    traces.assert_processes_gone();
    drop(Lab::new(Spec::new()));
    assert!(!traces.directory.exists(), "the next laboratory sweeps up");
}

#[test]
#[ignore = "the victim of a_killed_test_leaves_nothing"]
fn a_victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let lab = Lab::new(Spec::fleet("web", 2));
    let sleeper = lab.host("web-02").spawn(&["sleep", "1000"]);
    lab.host("web-02").freeze(sleeper.pid());
    println!("\ntraces {}", Traces::of(&lab));
    sleeper.wait(Duration::from_secs(600));
}

/// What a laboratory leaves if it does not end well.
#[derive(Debug)]
struct Traces {
    directory: PathBuf,
    /// Every process in the laboratory's namespaces. Not the namespaces themselves: the kernel
    /// gives their numbers to the next laboratory as soon as they are gone.
    processes: BTreeSet<String>,
}

impl Traces {
    fn of(lab: &Lab) -> Self {
        let machines = lab.hosts().iter().chain([lab.hub()]);
        let inside: BTreeSet<_> = machines
            .filter_map(|host| pid_namespace(&host.anchor().to_string()))
            .collect();
        let pids = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let ours = pids.filter(|pid| pid_namespace(pid).is_some_and(|id| inside.contains(&id)));
        Self {
            directory: lab.shared().to_owned(),
            processes: ours.filter_map(|pid| identity(&pid)).collect(),
        }
    }

    fn parse(text: &str) -> Self {
        let mut words = text.split(' ').map(str::to_owned);
        Self {
            directory: words.next().unwrap().into(),
            processes: words.collect(),
        }
    }

    /// The processes that still live.
    fn left(&self) -> Vec<&String> {
        let alive = |process: &String| identity(process.split('@').next().unwrap()).as_ref() == Some(process);
        self.processes.iter().filter(|process| alive(process)).collect()
    }

    fn assert_processes_gone(&self) {
        eventually(
            Duration::from_secs(60),
            "the end of all processes",
            || match self.left() {
                left if left.is_empty() => Ok(()),
                left => Err(format!("{left:?}")),
            },
        );
    }

    fn assert_gone(&self) {
        assert!(
            self.processes.len() > 10,
            "three upstreams and a few hosts: {self:?}"
        );
        self.assert_processes_gone();
        assert!(!self.directory.exists());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.directory.to_str().unwrap()), "{mounts}");
        let links = Command::new("ip")
            .args(["-brief", "link"])
            .output()
            .unwrap()
            .stdout;
        assert!(!String::from_utf8(links).unwrap().contains("lab0"));
    }
}

impl std::fmt::Display for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.processes.iter().map(String::as_str).collect();
        write!(f, "{} {}", self.directory.display(), names.join(" "))
    }
}

/// The PID namespace of a process: each machine of a laboratory has its own.
fn pid_namespace(pid: &str) -> Option<PathBuf> {
    fs::read_link(Path::new("/proc").join(pid).join("ns/pid")).ok()
}

/// A process that no later one is mistaken for: `PID@START`; none if it is gone.
fn identity(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    let start = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!("{pid}@{start}"))
}
