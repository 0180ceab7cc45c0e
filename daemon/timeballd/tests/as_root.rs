//! The daemon where it starts as root: what it makes ready before it gives that up.
//!
//! [`inside`] runs a test once more, as root and with mounts of its own: root of the machine, or for an ordinary user
//! root of a user namespace with one user, where the daemon has nobody else to become and stays who it is. The daemon
//! never touches the clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

mod https;

use std::any::type_name;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says in the environment that the test is root already.
const INSIDE: &str = "TIMEBALLD_TEST_INSIDE";

/// Runs a test as root with mounts of its own. `test` has to be a closure written in the test itself: the test is found
/// by its name, which is in the type of the closure.
#[track_caller]
fn inside<F: FnOnce()>(test: F) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let name = type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let output = Command::new("unshare")
        .args((!is_root).then_some("--map-root-user"))
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("unshare cannot be run: {error}"));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    // A name that is none would run no test, and succeed.
    assert!(
        output.status.success() && said[0].contains("test result: ok. 1 passed"),
        "{name} as root:\n{}\n{}",
        said[0],
        said[1]
    );
}

/// Somebody to become: name and number. Root where there is nobody else.
fn somebody() -> (&'static str, u32) {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    if map.split_whitespace().last() == Some("1") {
        return ("root", 0);
    }
    let uid = Command::new("id").args(["-u", "nobody"]).output().unwrap().stdout;
    let uid = String::from_utf8(uid).unwrap().trim().parse().unwrap();
    ("nobody", uid)
}

/// A daemon under its own name that only observes. It ends with this value.
struct Daemon {
    folder: TempDir,
    child: Child,
}

impl Daemon {
    /// Starts it; in its configuration `@DIR@` is a directory for the test.
    fn start(user: &str, config: &str) -> Self {
        Self::start_through(&[], user, config)
    }

    /// Likewise, with a program that prepares the start before it becomes the daemon.
    fn start_through(before: &[&str], user: &str, config: &str) -> Self {
        Self::start_at("1", before, user, config)
    }

    /// Likewise, with another level of `-F`.
    fn start_at(level: &str, before: &[&str], user: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let conf = folder.path().join("conf");
        fs::write(&conf, config.replace("@DIR@", folder.path().to_str().unwrap())).unwrap();
        let mut words = before.to_vec();
        words.extend([
            env!("CARGO_BIN_EXE_timeballd"),
            "-x",
            "-d",
            "-F",
            level,
            "-u",
            user,
            "-f",
        ]);
        let child = Command::new(words[0])
            .args(&words[1..])
            .arg(conf)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// What the kernel says of it in `/proc/PID/status`, the first word.
    fn status(&self, name: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        found.split_whitespace().next().unwrap().to_owned()
    }

    /// The limit of locked memory.
    fn limit(&self) -> String {
        let text = fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let found = text.lines().find(|line| line.starts_with("Max locked memory"));
        found.unwrap().to_owned()
    }

    /// Waits until something is so.
    fn wait_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert_eq!(self.child.try_wait().unwrap(), None, "{what}: {}", self.log());
            assert!(begun.elapsed() < PATIENCE, "{what}: {}", self.log());
            sleep(Duration::from_millis(10));
        }
    }

    /// Has the daemon end; returns what it had logged, without the times.
    fn end(mut self) -> Vec<String> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end: {}", self.log());
            sleep(Duration::from_millis(10));
        }
        let lines = self.log();
        let texts = lines.lines().filter_map(|line| line.split_once("Z "));
        texts.map(|(_, text)| text.to_owned()).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_directory_of_socket_and_pid_file_is_made_for_the_daemons_user() {
    inside(|| {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs", "/run"])
            .status();
        assert!(mounted.unwrap().success());
        let (user, uid) = somebody();
        let mut daemon = Daemon::start(user, "port 0\ncmdport 0\nserver 127.0.0.1 port 9\n");
        let [socket, pid_file] =
            ["timeballd.sock", "timeballd.pid"].map(|name| PathBuf::from("/run/timeballd").join(name));
        daemon.wait_until("the command socket is there", |_| socket.exists());
        assert!(pid_file.exists());
        assert_eq!(fs::metadata("/run/timeballd").unwrap().uid(), uid);
        let log = daemon.end();
        assert!(!socket.exists() && !pid_file.exists(), "{log:?}");
        let is_confined = log.contains(&"Loaded seccomp filter (level 1)".to_owned());
        assert_eq!(is_confined, user != "root", "{log:?}");
        assert!(
            !log.iter().any(|line| line.contains("Disabled command socket")),
            "{log:?}"
        );
    });
}

#[test]
fn what_is_restricted_is_said() {
    inside(|| {
        let user = somebody().0;
        let config = "port 0\ncmdport 0\nbindcmdaddress /\npidfile /\nserver 127.0.0.1 port 9\n";
        let root = "System calls and files are not restricted: the daemon stays root";
        let filter = |level: u32| format!("Loaded seccomp filter (level {level})");
        for (level, user, said) in [
            // As chronyd says it, of a level by which a call that is not foreseen is refused.
            ("-1", user, filter(1)),
            ("-2", user, filter(2)),
            ("1", "root", root.to_owned()),
            ("0", "root", String::new()),
        ] {
            let said = if user == "root" && level != "0" {
                root.to_owned()
            } else {
                said
            };
            let mut daemon = Daemon::start_at(level, &[], user, config);
            daemon.wait_until("it runs", |daemon| {
                daemon.log().contains("Could not open NTP socket") || daemon.log().contains(&said)
            });
            let log = daemon.end();
            let told = |line: &&String| line.contains("restricted") || line.contains("seccomp");
            let told: Vec<_> = log.iter().filter(told).collect();
            let expected: Vec<_> = Some(&said).filter(|said| !said.is_empty()).into_iter().collect();
            assert_eq!(told, expected, "{level} {user} {log:?}");
        }
    });
}

#[test]
fn a_directory_of_somebody_else_has_no_socket_and_that_is_said_with_the_reason() {
    inside(|| {
        let mut daemon = Daemon::start(
            "root",
            "port 0\ncmdport 0\nbindcmdaddress /tmp/socket\nserver 127.0.0.1 port 9\npidfile @DIR@/pid\n",
        );
        daemon.wait_until("it runs", |daemon| {
            daemon.log().contains("Disabled command socket /tmp/socket")
        });
        let log = daemon.end();
        assert!(log.contains(&"Wrong permissions on /tmp".to_owned()), "{log:?}");
        assert!(!Path::new("/tmp/socket").exists());
    });
}

/// Without a limit that can be lifted nothing is locked: what is allocated later would not be had.
#[test]
fn memory_is_locked_without_a_limit_or_not_at_all() {
    inside(|| {
        let user = somebody().0;
        let config =
            "port 0\ncmdport 0\nbindcmdaddress /\npidfile @DIR@/pid\nlock_all\nserver 127.0.0.1 port 9\n";
        let limited = ["prlimit", "--memlock=8388608:8388608"];
        let unprivileged = ["setpriv", "--bounding-set=-sys_resource"];
        let check = |before: &[&str]| {
            let mut daemon = Daemon::start_through(before, user, config);
            daemon.wait_until("it runs", |daemon| daemon.folder.path().join("pid").exists());
            daemon.wait_until("it is set up", |daemon| {
                daemon.log().contains("Running with root privileges") || daemon.status("Uid:") != "0"
            });
            let is_locked = daemon.status("VmLck:") != "0";
            let is_unlimited = daemon.limit().contains("unlimited");
            let log = daemon.end();
            let is_said = log
                .iter()
                .any(|line| line.starts_with("Could not lock memory, running on without : "));
            assert_eq!((is_locked, is_said), (is_unlimited, !is_unlimited), "{log:?}");
        };
        // Whether root may lift a limit is up to where the test runs.
        check(&[]);
        check(&limited);
        check(&[&unprivileged[..], &limited].concat());
    });
}

#[test]
fn constraints_are_asked_by_a_confined_daemon() {
    inside(|| {
        let authority = https::Authority::new("known");
        let server = https::TimeServer::start("127.0.0.1:0", authority.certify("localhost", 2020, 2400), 0);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authority.pem");
        fs::write(&file, &authority.pem).unwrap();
        let config = format!(
            "port 0\ncmdport 0\nbindcmdaddress /\npidfile /\nserver 127.0.0.1 port 9\ntimeball.constraint-ca {}\n\
             timeball.constraints https://localhost:{}/\n",
            file.display(),
            server.address.port(),
        );
        let mut daemon = Daemon::start(somebody().0, &config);
        // Its name is looked up, and its addresses are asked, by helpers that inherit what the daemon may do.
        daemon.wait_until("the constraint has answered", |daemon| {
            daemon.log().contains("constraint reply from 127.0.0.1: offset ")
        });
        daemon.end();
    });
}
