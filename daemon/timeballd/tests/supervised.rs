//! What a supervisor sees of the daemon: whether it is alive and ready, a configuration that changes while it runs, and a
//! clock that somebody else keeps. No daemon here can touch the clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

mod believes;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write, pipe};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// As open(2) has it on Linux.
const O_NONBLOCK: i32 = 0o4000;

/// A daemon with a folder of its own, whose configuration is in a volume as Kubernetes makes them.
struct Daemon {
    folder: TempDir,
    child: Child,
    metrics: u16,
    version: u32,
}

impl Daemon {
    /// Begins with this configuration; `arguments` are those of the program.
    fn start(configuration: &str, arguments: &[&str]) -> Self {
        Self::start_with(configuration, arguments, None, None)
    }

    /// Likewise, with a library before all others, and with a log that goes elsewhere.
    fn start_with(
        configuration: &str,
        arguments: &[&str],
        library: Option<&Path>,
        log: Option<Stdio>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir(folder.path().join("volume")).unwrap();
        symlink("..data/ntp.conf", folder.path().join("volume/ntp.conf")).unwrap();
        let mut daemon = Self {
            child: Command::new("true").spawn().unwrap(),
            metrics: TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port(),
            version: 0,
            folder,
        };
        daemon.child.wait().unwrap();
        daemon.replace(configuration);
        let mut command = Command::new("setpriv");
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]);
        }
        daemon.child = command
            .arg(env!("CARGO_BIN_EXE_timeballd"))
            .args(["-d", "-U"])
            .args(arguments)
            .env("NTP_CONF_FILE", daemon.path("volume/ntp.conf"))
            .envs(library.map(|library| ("LD_PRELOAD", library)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap_or_else(|| File::create(daemon.path("log")).unwrap().into()))
            .spawn()
            .unwrap();
        daemon
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the configuration as the kubelet does: a new directory, and the link `..data` renamed onto the old one.
    fn replace(&mut self, configuration: &str) {
        let old = format!("..{}", self.version);
        self.version += 1;
        let new = format!("..{}", self.version);
        let volume = self.path("volume");
        let common = format!(
            "bindcmdaddress {}\npidfile /\ncmdport 0\ndriftfile {}\ntimeball.metrics-address 127.0.0.1:{}\n",
            self.path("socket").display(),
            self.path("drift").display(),
            self.metrics
        );
        fs::create_dir(volume.join(&new)).unwrap();
        fs::write(volume.join(&new).join("ntp.conf"), common + configuration).unwrap();
        symlink(&new, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        let _ = fs::remove_dir_all(volume.join(old));
    }

    /// What `timeballd ctl` prints, and its exit status.
    fn ctl(&self, words: &str) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_timeballd"))
            .args(["ctl", "-h", self.path("socket").to_str().unwrap()])
            .args(words.split(' '))
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits until something holds.
    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "{what}:\n{}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn until_logged(&self, line: &str) {
        self.until(line, || self.log().contains(line));
    }

    /// A number on the page for Prometheus.
    fn metric(&self, name: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {page}"))
            .trim()
            .to_owned()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that serves its own time, and the line for it.
fn server() -> (Daemon, String) {
    let port = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Daemon::start(
        &format!("local stratum 3\nallow\nport {port}\nbindaddress 127.0.0.1\n"),
        &["-x"],
    );
    (
        server,
        format!("server 127.0.0.1 port {port} iburst minpoll 0 maxpoll 0\n"),
    )
}

#[test]
fn alive_and_ready_are_two_questions() {
    let (server, line) = server();
    let lost = Daemon::start("server 127.0.0.1 port 9\n", &["-x"]);
    lost.until("alive", || lost.ctl("alive").0 == 0);
    assert!(lost.ctl("alive").1.starts_with("alive : it answered within 0."));
    assert!(
        lost.ctl("alive --json")
            .1
            .starts_with("{\"alive\":true,\"answer_s\":0.")
    );
    assert_eq!(
        lost.ctl("ready"),
        (1, "not ready : not synchronised\n".to_owned())
    );

    let client = Daemon::start(&line, &["-x"]);
    client.until("ready", || client.ctl("ready").0 == 0);
    let (_, said) = client.ctl("ready --max-error 10s");
    assert!(
        said.starts_with("ready : synchronised to 127.0.0.1, wrong by at most 0."),
        "{said}"
    );
    let (status, said) = client.ctl("ready --max-error 1ns");
    assert_eq!(status, 1);
    assert!(said.ends_with("which is more than 0.000000001\n"), "{said}");
    let (status, json) = client.ctl("ready --max-error 1ns --json");
    assert_eq!(status, 1);
    assert!(
        json.starts_with("{\"ready\":false,\"reason\":\"wrong by at most ")
            && json.contains("\"condition\":{\"steers\":false,\"conflict\":null,\"reloads\":0,\"configuration_error\":null,\"constraints\":null}")
            && json.contains("\"tracking\":{\"synchronised\":true,"),
        "{json}"
    );
    let (status, said) = client.ctl("status");
    assert_eq!(status, 0);
    assert!(
        said.starts_with("Time          : synchronised to 127.0.0.1, ")
            && said.ends_with(
                "\nClock         : not steered : observing only\nConfiguration : that of the start\n"
            ),
        "{said}"
    );

    // One that does not answer is neither.
    client.signal("-STOP");
    let begun = Instant::now();
    assert_eq!(client.ctl("alive").0, 1);
    assert!(begun.elapsed() < PATIENCE);
    let (status, json) = client.ctl("ready --json");
    assert_eq!(
        (status, json.as_str()),
        (1, "{\"ready\":false,\"reason\":\"506 Cannot talk to daemon\"}\n")
    );
    client.signal("-CONT");
    drop(server);
}

#[test]
fn a_volume_that_changes_is_read_again() {
    let mut daemon = Daemon::start("server 127.0.0.1 port 9\nserver 127.0.0.2 port 9\n", &["-x"]);
    daemon.until_logged("Disabled control");
    daemon.until("alive", || daemon.ctl("alive").0 == 0);
    let sources = |daemon: &Daemon| daemon.ctl("sources").1;
    daemon.replace("server 127.0.0.2 port 9\nserver 127.0.0.3 port 9\nmakestep 1 3\n");
    daemon.until_logged("read again");
    daemon.until_logged("Removed source 127.0.0.1");
    daemon.until_logged("Added source 127.0.0.3");
    daemon.until_logged("In force only after a restart : makestep");
    let now = sources(&daemon);
    assert!(
        now.contains("127.0.0.2") && now.contains("127.0.0.3") && !now.contains("127.0.0.1"),
        "{now}"
    );

    // What is wrong changes nothing, and is said everywhere.
    assert_eq!(daemon.metric("timeball_config_reload_success "), "1");
    daemon.replace("server 127.0.0.4 port 9\nnonsense\n");
    daemon.until_logged("the old one stays in force : Invalid directive");
    let now = sources(&daemon);
    assert!(now.contains("127.0.0.3") && !now.contains("127.0.0.4"), "{now}");
    assert_eq!(daemon.metric("timeball_config_reload_success "), "0");
    let (_, status) = daemon.ctl("status");
    assert!(
        status.contains("\nConfiguration : the newest is not in force : Invalid directive"),
        "{status}"
    );
    daemon.replace("allow\n");
    daemon.until_logged("the old one stays in force : it names no source");
    daemon.replace("server 127.0.0.4 port 9\n");
    daemon.until_logged("Added source 127.0.0.4");
    assert_eq!(daemon.metric("timeball_config_reload_success "), "1");
    let (_, json) = daemon.ctl("status --json");
    assert!(
        json.contains("\"reloads\":2,\"configuration_error\":null"),
        "{json}"
    );
}

#[test]
fn a_volume_that_changes_all_the_time_does_no_harm() {
    let mut daemon = Daemon::start("server 127.0.0.1 port 9\n", &["-x"]);
    daemon.until("alive", || daemon.ctl("alive").0 == 0);
    for round in 0..30 {
        let wrong = if round % 3 == 0 { "nonsense\n" } else { "" };
        daemon.replace(&format!("server 127.0.0.{} port 9\n{wrong}", 10 + round));
        sleep(Duration::from_millis(100));
    }
    daemon.replace("server 127.0.0.99 port 9\n");
    daemon.until_logged("Added source 127.0.0.99");
    let (_, sources) = daemon.ctl("sources");
    assert_eq!(sources.matches("127.0.0.").count(), 1, "{sources}");
    // Once a second at most, and not at all for what was gone by then.
    let log = daemon.log();
    let times = log.matches(" read again").count() + log.matches("stays in force").count();
    assert!((1..=6).contains(&times), "{times}: {log}");
}

#[test]
fn a_hang_up_has_the_configuration_be_read_again_and_ends_chronyd() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = |name: &str| folder.path().join(name);
    symlink(env!("CARGO_BIN_EXE_timeballd"), path("chronyd")).unwrap();
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    for (program, ends) in [("chronyd", true), ("timeballd", false)] {
        let text = format!(
            "bindcmdaddress {}\npidfile /\ncmdport 0\nserver 127.0.0.1 port 9\n",
            path("socket").display()
        );
        fs::write(path("conf"), &text).unwrap();
        let program = match program {
            "chronyd" => path("chronyd"),
            _ => env!("CARGO_BIN_EXE_timeballd").into(),
        };
        let mut child = Command::new(program)
            .args(["-d", "-x", "-U", "-u", user.trim(), "-f"])
            .arg(path("conf"))
            .stderr(File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let log = || fs::read_to_string(path("log")).unwrap();
        let begun = Instant::now();
        while !path("socket").exists() {
            assert!(begun.elapsed() < PATIENCE, "{}", log());
            sleep(Duration::from_millis(20));
        }
        fs::write(path("conf"), text + "server 127.0.0.2 port 9\n").unwrap();
        let hang_up = || {
            Command::new("kill")
                .args(["-HUP", &child.id().to_string()])
                .status()
        };
        assert!(hang_up().unwrap().success());
        if ends {
            assert!(child.wait().unwrap().success());
            assert!(!log().contains("read again"), "{}", log());
            continue;
        }
        while !log().contains("Added source 127.0.0.2") {
            assert!(begun.elapsed() < PATIENCE, "{}", log());
            sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn an_ntp_conf_that_is_wrong_or_another_language_or_a_pipe_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(
        path("conf"),
        "server 127.0.0.2\nserver 127.0.0.3\nrestrict 127.0.0.1\n",
    )
    .unwrap();
    // A network and a /run of its own: the language has no words for other ports and sockets.
    let mut words: Vec<&str> = vec!["unshare", "--map-root-user", "--net", "--mount"];
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        words.splice(
            0..0,
            ["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time"],
        );
    }
    let script = "mount -t tmpfs none /run && exec \"$@\"";
    words.extend(["sh", "-c", script, "sh", env!("CARGO_BIN_EXE_timeballd")]);
    words.extend(["-d", "-x", "-U", "-u", "root", "-f"]);
    let mut child = Command::new("env")
        .args(words)
        .arg(path("conf"))
        .stderr(File::create(path("log")).unwrap())
        .spawn()
        .unwrap();
    let log = || fs::read_to_string(path("log")).unwrap();
    let until = |line: &str| {
        let begun = Instant::now();
        while !log().contains(line) {
            assert!(begun.elapsed() < PATIENCE, "{line}: {}", log());
            sleep(Duration::from_millis(20));
        }
    };
    // Until the daemon takes a hang-up it would die of one.
    let takes_hangup = || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() & 1 == 1
    };
    let begun = Instant::now();
    while !takes_hangup() {
        assert!(begun.elapsed() < PATIENCE, "{}", log());
        sleep(Duration::from_millis(20));
    }
    until(" for an ntp.conf: everybody may ask for the time unless its rules say otherwise ");
    let hang_up = || {
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-HUP", &id])
                .status()
                .unwrap()
                .success()
        );
    };
    let replace = |text: &str| {
        fs::write(path("new"), text).unwrap();
        fs::rename(path("new"), path("conf")).unwrap();
        hang_up();
    };
    replace("server 127.0.0.2 minpol 4\nserver 127.0.0.3\nrestrict 127.0.0.1\n");
    until("the old one stays in force : ");
    let error = format!(
        "the old one stays in force : {}:1:18: unknown option",
        path("conf").display()
    );
    assert!(log().contains(&error), "{}", log());
    // Behind a word that means nothing there can be a source that was in force.
    replace("servr 127.0.0.2\nserver 127.0.0.3\nrestrict 127.0.0.1\n");
    until(&format!(
        "the old one stays in force : {}:1:1: unknown directive \"servr\" (a restart goes on without the line)",
        path("conf").display()
    ));
    // Without its rules it could be a chrony.conf; it goes on as what it was.
    replace("server 127.0.0.2\nserver 127.0.0.3\nserver 127.0.0.4\n");
    until("Added source 127.0.0.4");
    replace("server 127.0.0.5\nmakestep 1 3\nrtcsync\n");
    until("the old one stays in force : it looks like the language chrony, and was in ntpd at the start");
    assert!(
        Command::new("mkfifo")
            .arg(path("new"))
            .status()
            .unwrap()
            .success()
    );
    fs::rename(path("new"), path("conf")).unwrap();
    hang_up();
    until("It is no regular file");
    replace("server 127.0.0.2\nserver 127.0.0.3\nserver 127.0.0.6\nrestrict 127.0.0.1\n");
    until("Added source 127.0.0.6");
    let said = log();
    assert!(
        !said.contains("Removed source 127.0.0.2")
            && !said.contains("Added source 127.0.0.5")
            && !said.contains("In force only after a restart"),
        "{said}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_log_that_was_moved_goes_on_in_a_new_file_after_a_hang_up() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = |name: &str| folder.path().join(name);
    let log = path("log");
    let daemon = Daemon::start("server 127.0.0.1 port 9\n", &["-x", "-l", log.to_str().unwrap()]);
    let has = |name: &str, text: &str| fs::read_to_string(path(name)).is_ok_and(|log| log.contains(text));
    daemon.until("it has begun", || has("log", "Disabled control"));
    daemon.until("alive", || daemon.ctl("alive").0 == 0);
    fs::rename(&log, path("log.1")).unwrap();
    daemon.signal("-HUP");
    daemon.until("it goes on", || has("log", "read again"));
    assert!(!has("log.1", "read again"));
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let (mut reader, writer) = pipe().unwrap();
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut filler = OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(path)
        .unwrap();
    let mut filled = 0;
    while let Ok(length) = filler.write(&[b'\n'; 4096]) {
        filled += length;
    }
    drop(filler);
    let mut daemon = Daemon::start_with("", &["-x"], None, Some(writer.into()));
    daemon.until("alive", || daemon.ctl("alive").0 == 0);
    // What was not written is told as soon as somebody reads.
    reader.read_exact(&mut vec![0; filled]).unwrap();
    daemon.signal("-TERM");
    let begun = Instant::now();
    while daemon.child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(10));
    }
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    let lines: Vec<_> = log.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    let [lost, exiting] = lines[..] else {
        panic!("{log}")
    };
    assert!(lost.ends_with(" log messages were lost"), "{lost}");
    assert_eq!(exiting, "timeballd exiting");
}

#[test]
fn a_clock_with_another_keeper_is_measured_and_not_steered() {
    let (_server, line) = server();
    let holder = tempfile::tempdir().unwrap();
    let lock = holder.path().join("clock.lock");
    let file = File::create(&lock).unwrap();
    file.lock().unwrap();
    let drift = format!("driftfile {}\n", holder.path().join("drift").display());
    let library = believes::library(holder.path());
    for (policy, is_ready) in [("observe", true), ("fail", false)] {
        let configuration = format!("{line}{drift}timeball.conflict {policy}\n");
        let daemon = Daemon::start_with(&configuration, &[], Some(&library), None);
        daemon.until_logged(
            "The clock is measured and not steered, because it has another keeper : another timeballd holds ",
        );
        daemon.until("synchronised", || daemon.ctl("wait").0 == 0);
        assert_eq!(daemon.metric("timeball_clock_conflict "), "1");
        assert_eq!(daemon.metric("timeball_clock_steered "), "0");
        let (_, status) = daemon.ctl("status");
        assert!(
            status.contains("\nClock         : not steered : another timeballd holds "),
            "{status}"
        );
        let (status, said) = daemon.ctl("ready");
        assert_eq!(status == 0, is_ready, "{said}");
        assert!(!daemon.log().contains("Could not adjust"), "{}", daemon.log());
    }
    // Whoever does not look steers.
    let configuration = format!("{line}{drift}timeball.conflict ignore\n");
    let mut daemon = Daemon::start_with(&configuration, &[], Some(&library), None);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(70));
    daemon.until_logged("the clock is written");
}

#[test]
fn who_may_not_set_the_clock_does_not_observe_unasked() {
    let (_server, line) = server();
    let holder = tempfile::tempdir().unwrap();
    let file = File::create(holder.path().join("clock.lock")).unwrap();
    file.lock().unwrap();
    let drift = format!("driftfile {}\n", holder.path().join("drift").display());
    for policy in ["observe", "fail", "ignore"] {
        let mut daemon = Daemon::start(&format!("{line}{drift}timeball.conflict {policy}\n"), &[]);
        daemon.until_logged("CAP_SYS_TIME is missing");
        assert_eq!(daemon.child.wait().unwrap().code(), Some(1), "{policy}");
        let log = daemon.log();
        let last = log.lines().last().unwrap();
        assert!(
            last.contains("Fatal error : the clock cannot be set: CAP_SYS_TIME is missing (be root; in a container `--cap-add SYS_TIME`")
                && last.ends_with("or observe only with -x)"),
            "{log}"
        );
    }
    let daemon = Daemon::start(&format!("{line}{drift}timeball.conflict observe\n"), &["-x"]);
    daemon.until("synchronised", || daemon.ctl("wait").0 == 0);
}

#[test]
fn in_a_container_the_usual_is_to_look() {
    let (_server, line) = server();
    let holder = tempfile::tempdir().unwrap();
    let library = believes::library(holder.path());
    let file = File::create(holder.path().join("clock.lock")).unwrap();
    file.lock().unwrap();
    let text = format!(
        "{line}driftfile {}\npidfile /\ncmdport 0\n",
        holder.path().join("drift").display()
    );
    fs::write(holder.path().join("conf"), text).unwrap();
    let run = |container: &str, policy: &str| {
        let mut command = Command::new("setpriv");
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]);
        }
        let output = command
            .arg(env!("CARGO_BIN_EXE_timeballd"))
            .args(["-d", "-U", "-t", "1", "-f"])
            .arg(holder.path().join("conf"))
            .arg("-4")
            .env("container", container)
            .env("TIMEBALL_CONFLICT", policy)
            .env("LD_PRELOAD", &library)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let (observes, steers) = (
        "it has another keeper : another timeballd holds ",
        "the clock is written",
    );
    assert!(run("oci", "").contains(observes));
    assert!(run("", "").contains(steers));
    assert!(run("oci", "ignore").contains(steers));
    assert!(run("", "observe").contains(observes));
    let wrong =
        "Fatal error : TIMEBALL_CONFLICT is maybe in the environment : it takes observe, fail or ignore";
    assert!(run("oci", "maybe").contains(wrong));
}

/// Lets a process have so many descriptors.
fn limit_descriptors(id: u32, count: usize) {
    let limit = format!("--nofile={count}:");
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &id.to_string(), &limit]);
    assert!(prlimit.status().unwrap().success());
}

#[test]
fn a_name_is_looked_up_once_a_helper_can_be_started() {
    let (_server, line) = server();
    let client = Daemon::start("", &["-x", "-4"]);
    client.until("alive", || client.ctl("alive").0 == 0);
    let id = client.child.id();
    let is_open = |number: &usize| Path::new(&format!("/proc/{id}/fd/{number}")).is_symlink();
    limit_descriptors(id, (0..).find(|number| !is_open(number)).unwrap());
    let added = Command::new("chronyc")
        .args(["-h", client.path("socket").to_str().unwrap(), "add"])
        .args(line.replace("127.0.0.1", "localhost").split_ascii_whitespace())
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    let refused = "Could not start resolver : Too many open files";
    client.until_logged(refused);
    sleep(Duration::from_millis(2500));
    assert_eq!(client.log().matches("Could not start resolver").count(), 1);
    limit_descriptors(id, 256);
    client.until("ready", || client.ctl("ready").0 == 0);
}
