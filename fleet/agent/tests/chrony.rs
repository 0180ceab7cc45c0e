//! The provider against the real chronyd and the real timeballd, the same tests for both: a private daemon with its
//! own files, which never touches the clock. Needs root or user namespaces, Debian's chrony, and timeballd as
//! `cargo build` leaves it beside the tests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agent::{Apply, Container, Service, Settings, TimeService};
use model::ntp::{DriftKind, NtpStatus, SyncState};
use model::{Failure, FailureKind, HostResult, Operation, Outcome, Servers};

/// A time daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Daemon {
    Chronyd,
    Timeballd,
}

impl Daemon {
    fn name(self) -> &'static str {
        match self {
            Daemon::Chronyd => "chronyd",
            Daemon::Timeballd => "timeballd",
        }
    }

    /// What is started: Debian's chronyd, and the timeballd that was built with these tests.
    fn program(self) -> String {
        match self {
            Daemon::Chronyd => "/usr/sbin/chronyd".to_owned(),
            Daemon::Timeballd => {
                let test = std::env::current_exe().unwrap();
                let program = test.ancestors().nth(2).unwrap().join("timeballd");
                assert!(
                    program.is_file(),
                    "{} is not there: build it with `cargo build -p timeballd`",
                    program.display()
                );
                program.display().to_string()
            }
        }
    }
}

/// A directory of its own with a daemon that has nothing to do with the machine's.
struct Lab {
    daemon: Daemon,
    directory: tempfile::TempDir,
    settings: Settings,
}

/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

impl Lab {
    /// Starts the daemon with these lines in its configuration; `DIR` is the lab's directory.
    fn start(daemon: Daemon, lines: &str) -> Self {
        // Not below /tmp, which does not last: the agent would refuse to put anything there.
        let directory = tempfile::Builder::new()
            .prefix("timeball-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["run", "sources.d", "conf.d"] {
            fs::create_dir(path(name)).unwrap();
        }
        // chronyd disables its socket in a directory that others can enter.
        fs::set_permissions(path("run"), Permissions::from_mode(0o700)).unwrap();
        let dir = directory.path().display().to_string();
        let own =
            format!("bindcmdaddress {dir}/run/daemon.sock\npidfile {dir}/run/daemon.pid\nport 0\ncmdport 0");
        fs::write(
            path("daemon.conf"),
            format!("{own}\n{}\n", lines.replace("DIR", &dir)),
        )
        .unwrap();
        let program = daemon.program();
        let start = format!(
            "{program} -x -u root -f {dir}/daemon.conf -l {dir}/log </dev/null >/dev/null 2>{dir}/stderr"
        );
        let script = format!(
            "[ ! -e {dir}/fail ] || {{ echo 'Job failed.' >&2; exit 1; }}\n\
             pid=$(cat {dir}/run/daemon.pid 2>/dev/null) && kill \"$pid\"\n\
             while [ -n \"$pid\" ] && grep -qs '^State:.*[^Z] (' /proc/$pid/status; do sleep 0.02; done\n\
             {start} || {{ cat {dir}/stderr; exit 1; }}\n"
        );
        fs::write(path("restart"), script).unwrap();
        let mut settings = Settings::new("controller.invalid:1");
        settings.state = path("state");
        settings.container = Container::Host;
        settings.service = match daemon {
            Daemon::Chronyd => Service::Chrony,
            Daemon::Timeballd => Service::Timeballd,
        };
        let mut lab = Lab {
            daemon,
            directory,
            settings,
        };
        let (config, restart) = (lab.path("daemon.conf"), lab.path("restart"));
        lab.service().config = Some(config);
        lab.service().restart_command = Some(vec!["sh".into(), restart.display().to_string()]);
        lab.restart();
        lab
    }

    /// How the agent reaches and configures the daemon.
    fn service(&mut self) -> &mut TimeService {
        match self.daemon {
            Daemon::Chronyd => &mut self.settings.chrony,
            Daemon::Timeballd => &mut self.settings.timeballd,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn managed(&self) -> PathBuf {
        self.path("sources.d/timeball.sources")
    }

    fn restart(&self) {
        let status = Command::new("sh").arg(self.path("restart")).status().unwrap();
        assert!(status.success());
    }

    fn stop(&self) {
        let Ok(pid) = fs::read_to_string(self.path("run/daemon.pid")) else {
            return;
        };
        let killed = Command::new("kill")
            .arg(pid.trim())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        if killed.success() {
            let status = format!("/proc/{}/status", pid.trim());
            let ended = || !fs::read_to_string(&status).is_ok_and(|text| !text.contains("(zombie)"));
            eventually("the daemon ends", ended);
        }
    }

    fn perform(&self, operation: &Operation) -> HostResult {
        agent::perform(&self.settings, operation).unwrap()
    }

    fn create(&self, servers: &[&str]) -> Outcome {
        self.perform(&Operation::NtpCreate(list(servers))).outcome
    }

    fn update(&self, servers: &[&str]) -> Outcome {
        self.perform(&Operation::NtpUpdate(list(servers))).outcome
    }

    fn delete(&self) -> Outcome {
        self.perform(&Operation::NtpDelete).outcome
    }

    fn get(&self) -> NtpStatus {
        match self.perform(&Operation::NtpGet).outcome {
            Outcome::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// Names of the daemon's sources as chronyc shows them, sorted.
    fn chronyc_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .chronyc(&["-N", "-c", "sources", "-a"])
            .lines()
            .map(|line| line.split(',').nth(2).unwrap().to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn chronyc(&self, args: &[&str]) -> String {
        let output = Command::new("chronyc")
            .arg("-h")
            .arg(self.path("run/daemon.sock"))
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is in the directories that the agent writes to, the daemon's own files left out.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for directory in ["sources.d", "conf.d", "run"] {
            for entry in fs::read_dir(self.path(directory)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                files.push(format!("{directory}/{name}"));
            }
        }
        files.retain(|file| !file.starts_with("run/daemon."));
        files.sort();
        files
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop();
    }
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn list(servers: &[&str]) -> Servers {
    Servers::new(servers.iter().map(|server| server.parse().unwrap()).collect()).unwrap()
}

#[track_caller]
fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn changed(outcome: Outcome) -> Vec<String> {
    match outcome {
        Outcome::Changed(change) => change.notes,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_unchanged(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Unchanged(_)), "{outcome:?}");
}

/// Makes tests of functions of this file, with a daemon, and as root, as the agent runs.
macro_rules! tests {
    ($module:ident, $daemon:ident, $($test:ident,)+) => {
        mod $module {
            $(#[test]
            fn $test() {
                let name = concat!(stringify!($module), "::", stringify!($test));
                super::as_root(name, || super::$test(super::Daemon::$daemon));
            })+
        }
    };
}

/// Makes tests of what must hold for either daemon.
macro_rules! for_both {
    ($($test:ident,)+) => {
        tests!(chronyd, Chronyd, $($test,)+);
        tests!(timeballd, Timeballd, $($test,)+);
    };
}

for_both! {
    an_address_may_be_written_in_any_form,
    a_report_says_which_daemon_it_is_from,
    servers_are_created_updated_and_deleted_and_the_daemon_has_them,
    a_synchronised_clock_is_reported_as_chronyc_reports_it,
    hand_edits_are_drift_and_overwritten_by_an_update_only,
    a_name_of_the_hosts_own_files_stays_when_it_is_no_longer_managed,
    what_the_daemon_does_not_take_is_undone,
    without_the_daemon_nothing_is_touched,
    a_confdir_is_used_by_restarting_the_daemon_and_a_failed_restart_is_told,
    osapis_files_are_taken_over,
    a_symbolic_link_at_the_managed_path_is_refused,
}

tests!(
    chronyd_alone,
    Chronyd,
    chronys_version_is_that_of_its_program,
    a_host_without_a_place_is_told_and_adopted,
);

/// Runs a test as root. For an ordinary user that is the root of a user namespace, in which the test of this name
/// is started again.
fn as_root(name: &str, test: impl FnOnce()) {
    if rustix::process::geteuid().is_root() {
        return test();
    }
    let output = Command::new("unshare")
        .arg("--map-root-user")
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .output()
        .unwrap_or_else(|error| panic!("this test needs `unshare` of util-linux: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let text = text(&output.stdout) + &text(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{name} failed, or there is neither root nor a user namespace to be root in:\n{text}"
    );
}

fn servers_are_created_updated_and_deleted_and_the_daemon_has_them(daemon: Daemon) {
    let lab = Lab::start(daemon, "server main.invalid\nsourcedir DIR/sources.d");
    let status = lab.get();
    assert!(!status.managed && status.drift.is_none());
    assert_eq!(status.servers, ["main.invalid"]);
    let at = lab.path("daemon.conf");
    assert_eq!(
        status.other_servers,
        [format!("server main.invalid ({}:5)", at.display())]
    );
    assert_eq!(failure(lab.update(&["a.invalid"])).kind, FailureKind::NotManaged);
    assert_eq!(failure(lab.delete()).kind, FailureKind::NotManaged);

    changed(lab.create(&["a.invalid", "192.0.2.1"]));
    assert_eq!(lab.chronyc_names(), ["192.0.2.1", "a.invalid", "main.invalid"]);
    assert_unchanged(&lab.create(&["a.invalid", "192.0.2.1"]));
    let refused = failure(lab.create(&["b.invalid"]));
    assert_eq!(refused.kind, FailureKind::AlreadyManaged);
    assert!(
        refused.error.starts_with("already managed; use update"),
        "{}",
        refused.error
    );

    let servers = [
        "192.0.2.1",
        "2001:db8::1",
        "pool.invalid+pool",
        "b.invalid+minpoll=4",
    ];
    changed(lab.update(&servers));
    let names = [
        "192.0.2.1",
        "2001:db8::1",
        "b.invalid",
        "main.invalid",
        "pool.invalid",
    ];
    assert_eq!(lab.chronyc_names(), names);
    let status = lab.get();
    assert!(status.managed && status.drift.is_none(), "{:?}", status.drift);
    assert_eq!(
        status.servers,
        ["192.0.2.1", "2001:db8::1", "pool.invalid", "b.invalid"]
    );
    assert_eq!(status.managed_servers[3].options().minpoll, Some(4));
    assert_eq!(status.other_servers.len(), 1);
    let mut seen: Vec<&str> = status.sources.iter().map(|source| source.name.as_str()).collect();
    seen.sort_unstable();
    assert_eq!(seen, names);
    assert_eq!(status.state, SyncState::Unsynchronized);
    assert_eq!((status.stratum, status.offset_s), (None, None));

    let log = || fs::read_to_string(lab.path("log")).unwrap();
    let before = log();
    assert_unchanged(&lab.update(&servers));
    assert_eq!(log(), before, "nothing was reloaded");

    changed(lab.delete());
    assert_eq!(lab.chronyc_names(), ["main.invalid"]);
    assert_eq!(lab.files(), [""; 0]);
    assert_eq!(failure(lab.delete()).kind, FailureKind::NotManaged);
}

fn a_synchronised_clock_is_reported_as_chronyc_reports_it(daemon: Daemon) {
    let upstream = Lab::start(daemon, "local stratum 5\nallow 127.0.0.1");
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let conf = fs::read_to_string(upstream.path("daemon.conf")).unwrap();
    let conf = conf.replace("\nport 0\n", &format!("\nport {port}\n"));
    fs::write(upstream.path("daemon.conf"), conf).unwrap();
    upstream.restart();
    let status = upstream.get();
    assert_eq!(status.state, SyncState::Unsynchronized);
    let local = |note: &String| note.contains("stratum 5");
    assert!(status.notes.iter().any(local), "{:?}", status.notes);

    let lab = Lab::start(daemon, "sourcedir DIR/sources.d");
    changed(lab.create(&[&format!("127.0.0.1+port={port}+minpoll=0+maxpoll=0")]));
    eventually("the clock is synchronised", || {
        lab.get().state == SyncState::Synchronized
    });
    let status = lab.get();
    let tracking = lab.chronyc(&["-c", "-N", "tracking"]);
    let fields: Vec<&str> = tracking.trim().split(',').collect();
    assert_eq!(status.stratum, Some(fields[2].parse().unwrap()));
    assert_eq!(status.stratum, Some(6));
    assert_eq!(status.current_source.as_deref(), Some("127.0.0.1"));
    assert_eq!(status.current_source.as_deref(), Some(fields[1]));
    assert_eq!(status.leap.as_deref(), Some("normal"));
    eventually("the error bound is what chronyc's figures make", || {
        let status = lab.get();
        let tracking = lab.chronyc(&["-c", "-N", "tracking"]);
        let figures: Vec<f64> = tracking
            .trim()
            .split(',')
            .map(|field| field.parse().unwrap_or(0.0))
            .collect();
        let (offset, delay, dispersion) = (figures[4], figures[10], figures[11]);
        let (bound, theirs) = (
            status.error_bound_s.unwrap(),
            offset.abs() + delay / 2.0 + dispersion,
        );
        assert!(status.offset_s.unwrap().abs() <= bound);
        theirs > 0.0 && (bound / theirs - 1.0).abs() < 0.01
    });
    // chronyc shows a source's offset positive when the local clock is ahead; ours is the other way round.
    eventually("both see one sample", || {
        let ours = lab.get().sources.into_iter().next().unwrap();
        let sources = lab.chronyc(&["-c", "-N", "sources"]);
        let theirs: Vec<&str> = sources.trim().split(',').collect();
        let offset: f64 = theirs[7].parse().unwrap();
        let age: u32 = theirs[6].parse().unwrap();
        ours.last_sample_s == Some(age)
            && ours.state == "selected"
            && ours.stratum == 5
            && offset != 0.0
            && (ours.offset_s + offset).abs() < 1e-7
            && u8::from_str_radix(theirs[5], 8).unwrap() == ours.reach
    });

    upstream.stop();
    eventually("the clock runs free", || {
        lab.get().state == SyncState::FreeRunning
    });
    let later = lab.get();
    assert!(
        later.error_bound_s.unwrap() > 0.0 && later.stratum == Some(6),
        "{later:?}"
    );
}

fn hand_edits_are_drift_and_overwritten_by_an_update_only(daemon: Daemon) {
    let lab = Lab::start(daemon, "sourcedir DIR/sources.d");
    changed(lab.create(&["a.invalid"]));
    let written = fs::read_to_string(lab.managed()).unwrap();

    fs::write(lab.managed(), format!("{written}server hand.invalid\n")).unwrap();
    let status = lab.get();
    assert_eq!(status.drift.as_ref().unwrap().kind, DriftKind::Edited);
    assert_eq!(status.servers, ["a.invalid", "hand.invalid"]);
    let refused = failure(lab.create(&["a.invalid"]));
    assert_eq!(refused.kind, FailureKind::AlreadyManaged);
    lab.chronyc(&["reload", "sources"]);
    assert_eq!(lab.chronyc_names(), ["a.invalid", "hand.invalid"]);
    changed(lab.update(&["a.invalid"]));
    assert_eq!(lab.chronyc_names(), ["a.invalid"]);
    assert_eq!(fs::read_to_string(lab.managed()).unwrap(), written);

    fs::remove_file(lab.managed()).unwrap();
    assert_eq!(lab.get().drift.unwrap().kind, DriftKind::Missing);
    changed(lab.update(&["a.invalid"]));
    assert!(lab.get().drift.is_none());

    // The file is as written, but chronyd lost its source.
    fs::write(lab.managed(), "").unwrap();
    lab.chronyc(&["reload", "sources"]);
    fs::write(lab.managed(), &written).unwrap();
    assert_eq!(lab.get().drift.unwrap().kind, DriftKind::NotLoaded);
    let notes = changed(lab.update(&["a.invalid"]));
    assert!(notes[0].contains("made to load it"), "{notes:?}");
    assert_eq!(lab.chronyc_names(), ["a.invalid"]);
}

fn a_name_of_the_hosts_own_files_stays_when_it_is_no_longer_managed(daemon: Daemon) {
    let lab = Lab::start(daemon, "server both.invalid\nsourcedir DIR/sources.d");
    let notes = changed(lab.create(&["both.invalid", "a.invalid"]));
    assert!(
        notes[0].contains("both.invalid") && notes[0].contains("daemon.conf:5"),
        "{notes:?}"
    );
    changed(lab.update(&["a.invalid"]));
    changed(lab.delete());
    assert_eq!(lab.chronyc_names(), ["both.invalid"]);
}

fn what_the_daemon_does_not_take_is_undone(daemon: Daemon) {
    // chronyd takes no second source with the address of another, and timeballd none with NTS; both say so in their
    // log only.
    let (bad, name) = match daemon {
        Daemon::Chronyd => ("2001:db8::1", "2001:db8::1"),
        Daemon::Timeballd => ("nts.invalid+nts", "nts.invalid"),
    };
    let mut lab = Lab::start(daemon, "server 2001:DB8:0::1\nsourcedir DIR/sources.d");
    let main = lab.chronyc_names();
    lab.service().reload_timeout = Duration::from_millis(500);
    let failed = failure(lab.create(&["a.invalid", bad]));
    assert_eq!(failed.kind, FailureKind::DaemonRefused);
    assert_eq!(failed.rolled_back, Some(true));
    assert!(
        failed
            .error
            .contains(&format!("{} did not take {name}", daemon.name())),
        "{}",
        failed.error
    );
    assert_eq!(lab.chronyc_names(), main);
    assert_eq!(lab.files(), [""; 0]);
    assert!(!lab.get().managed);

    changed(lab.create(&["a.invalid"]));
    let before = fs::read_to_string(lab.managed()).unwrap();
    let failed = failure(lab.update(&["b.invalid", bad]));
    assert_eq!(failed.rolled_back, Some(true));
    assert_eq!(lab.chronyc_names(), [main[0].as_str(), "a.invalid"]);
    assert_eq!(fs::read_to_string(lab.managed()).unwrap(), before);
    assert!(lab.get().drift.is_none());
}

fn an_address_may_be_written_in_any_form(daemon: Daemon) {
    let lab = Lab::start(daemon, "sourcedir DIR/sources.d");
    changed(lab.create(&["2001:DB8:0::1"]));
    assert_unchanged(&lab.update(&["2001:DB8:0::1"]));
    let status = lab.get();
    assert!(status.drift.is_none(), "{:?}", status.drift);
    changed(lab.delete());
    assert_eq!(lab.chronyc_names(), [""; 0]);
}

fn a_report_says_which_daemon_it_is_from(daemon: Daemon) {
    let lab = Lab::start(daemon, "sourcedir DIR/sources.d");
    let status = lab.get();
    let name = match daemon {
        Daemon::Chronyd => "chrony",
        Daemon::Timeballd => "timeballd",
    };
    assert_eq!(status.service, name);
}

fn chronys_version_is_that_of_its_program(daemon: Daemon) {
    let lab = Lab::start(daemon, "sourcedir DIR/sources.d");
    let version = lab.get().service_version.unwrap();
    let output = Command::new(daemon.program()).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains(&format!(" version {version} ")),
        "{said}: {version}"
    );
}

fn without_the_daemon_nothing_is_touched(daemon: Daemon) {
    let lab = Lab::start(daemon, "sourcedir DIR/sources.d");
    changed(lab.create(&["a.invalid"]));
    let before = fs::read_to_string(lab.managed()).unwrap();
    lab.stop();
    for outcome in [lab.update(&["b.invalid"]), lab.delete()] {
        let failed = failure(outcome);
        assert_eq!(failed.kind, FailureKind::DaemonUnreachable);
        assert_eq!(failed.rolled_back, None);
        assert!(failed.error.contains("is it running?"), "{}", failed.error);
    }
    assert_eq!(fs::read_to_string(lab.managed()).unwrap(), before);
    let failed = failure(lab.perform(&Operation::NtpGet).outcome);
    assert_eq!(failed.kind, FailureKind::DaemonUnreachable);
    assert_eq!(lab.files(), ["sources.d/timeball.sources"]);
}

fn a_confdir_is_used_by_restarting_the_daemon_and_a_failed_restart_is_told(daemon: Daemon) {
    let mut lab = Lab::start(daemon, "confdir DIR/conf.d\nsourcedir DIR/sources.d");
    lab.service().apply = Apply::Confdir;
    let path = lab.path("conf.d/timeball.conf");
    let pid = || fs::read_to_string(lab.path("run/daemon.pid")).unwrap();
    let before = pid();
    changed(lab.create(&["a.invalid"]));
    assert_ne!(pid(), before);
    assert_eq!(lab.chronyc_names(), ["a.invalid"]);
    let before = fs::read_to_string(&path).unwrap();

    fs::write(lab.path("fail"), "").unwrap();
    let failed = failure(lab.update(&["b.invalid"]));
    assert_eq!(failed.kind, FailureKind::DaemonRefused);
    assert!(failed.error.contains("Job failed."), "{}", failed.error);
    // The restart that would undo it fails, too; but nobody has restarted it.
    assert_eq!(failed.rolled_back, Some(true));
    assert!(failed.error.contains("was not restarted"), "{}", failed.error);
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    fs::remove_file(lab.path("fail")).unwrap();

    // Back to the source directory: the file moves there.
    lab.service().apply = Apply::Auto;
    changed(lab.update(&["b.invalid"]));
    assert_eq!(lab.files(), ["sources.d/timeball.sources"]);
    assert_eq!(lab.chronyc_names(), ["b.invalid"]);
}

fn osapis_files_are_taken_over(daemon: Daemon) {
    let lab = Lab::start(daemon, "confdir DIR/conf.d\nsourcedir DIR/sources.d");
    let osapi = lab.path("sources.d/osapi-ntp.sources");
    fs::write(osapi, "server a.invalid iburst\n").unwrap();
    lab.chronyc(&["reload", "sources"]);
    let status = lab.get();
    assert!(status.managed);
    assert_eq!(status.servers, ["a.invalid"]);
    let refused = failure(lab.create(&["b.invalid"]));
    assert_eq!(refused.kind, FailureKind::AlreadyManaged);
    let notes = changed(lab.create(&["a.invalid"]));
    assert!(notes[0].contains("OSAPI"), "{notes:?}");
    assert_eq!(lab.files(), ["sources.d/timeball.sources"]);
    assert_eq!(lab.chronyc_names(), ["a.invalid"]);
    changed(lab.delete());

    let documented = lab.path("conf.d/osapi-ntp.conf");
    fs::write(&documented, "server c.invalid iburst\n").unwrap();
    lab.restart();
    changed(lab.update(&["d.invalid"]));
    assert_eq!(lab.files(), ["sources.d/timeball.sources"]);
    assert_eq!(lab.chronyc_names(), ["d.invalid"]);

    changed(lab.delete());
    fs::write(&documented, "server c.invalid iburst\n").unwrap();
    lab.restart();
    changed(lab.delete());
    assert_eq!(lab.files(), [""; 0]);
    assert_eq!(lab.chronyc_names(), [""; 0]);
}

fn a_host_without_a_place_is_told_and_adopted(daemon: Daemon) {
    let lab = Lab::start(daemon, "server main.invalid\nsourcedir /run/chrony-dhcp");
    let failed = failure(lab.create(&["a.invalid"]));
    assert_eq!(failed.kind, FailureKind::NoPlace);
    assert!(
        failed.error.contains("sourcedir /etc/chrony/sources.d") && failed.error.contains("agent adopt"),
        "{}",
        failed.error
    );
    assert!(
        Path::new("/etc/chrony/sources.d").exists(),
        "Debian's package has it"
    );
    let before = fs::read_to_string(lab.path("daemon.conf")).unwrap();

    // Where others may write, root does not.
    let directory = lab.path("daemon.conf").parent().unwrap().to_owned();
    let usual = fs::metadata(&directory).unwrap().permissions();
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
    let refused = agent::adopt(&lab.settings).unwrap_err().to_string();
    assert!(refused.contains("can be written by everybody"), "{refused}");
    assert_eq!(fs::read_to_string(lab.path("daemon.conf")).unwrap(), before);
    assert!(!lab.path("daemon.conf.timeball-backup").exists());
    fs::set_permissions(&directory, usual).unwrap();

    fs::write(lab.path("fail"), "").unwrap();
    assert!(agent::adopt(&lab.settings).is_err());
    assert_eq!(fs::read_to_string(lab.path("daemon.conf")).unwrap(), before);
    fs::remove_file(lab.path("fail")).unwrap();

    let report = agent::adopt(&lab.settings).unwrap();
    assert!(report.changed);
    assert_eq!(fs::read_to_string(report.backup.unwrap()).unwrap(), before);
    let after = fs::read_to_string(lab.path("daemon.conf")).unwrap();
    assert!(after.contains("\nsourcedir /etc/chrony/sources.d\n"), "{after}");
    assert_eq!(lab.chronyc_names(), ["main.invalid"]);
    assert!(!agent::adopt(&lab.settings).unwrap().changed);
}

fn a_symbolic_link_at_the_managed_path_is_refused(daemon: Daemon) {
    let lab = Lab::start(daemon, "sourcedir DIR/sources.d");
    fs::write(lab.path("precious"), "precious\n").unwrap();
    std::os::unix::fs::symlink(lab.path("precious"), lab.managed()).unwrap();
    let failed = failure(lab.update(&["a.invalid"]));
    assert_eq!(failed.kind, FailureKind::File);
    assert!(failed.error.contains("symbolic link"), "{}", failed.error);
    assert_eq!(fs::read_to_string(lab.path("precious")).unwrap(), "precious\n");
}
