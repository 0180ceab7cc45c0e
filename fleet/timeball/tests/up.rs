//! `timeball up` as its first user meets it: one command, and what it prints can be typed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what goes wrong in a helper fails the test"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const TIMEBALL: &str = env!("CARGO_BIN_EXE_timeball");

/// How long is waited for something that comes by itself, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `timeball up` that runs.
struct Up {
    child: Child,
    /// What it printed before it began to wait.
    welcome: String,
}

fn command(home: &Path) -> Command {
    let mut command = Command::new(TIMEBALL);
    command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin");
    command
}

impl Up {
    fn start(home: &Path, listen: &str) -> Self {
        let mut child = command(home)
            .args(["up", "--data"])
            .arg(home.join("data"))
            .env("TIMEBALL_CONTROLLER_API_LISTEN", listen)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut welcome = String::new();
        // An empty line after the commands to try is the last.
        while !welcome.contains("Try:") || !welcome.ends_with("\n\n") {
            if stdout.read_line(&mut welcome).unwrap() == 0 {
                let mut log = String::new();
                child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
                panic!("it ended: {welcome}{log}");
            }
        }
        Up { child, welcome }
    }

    /// The commands it says to try.
    fn to_try(&self) -> Vec<String> {
        let (_, commands) = self.welcome.split_once("Try:\n").unwrap();
        commands
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Asks it to stop, and waits until it has; gives what it logged.
    fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(0));
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        log
    }
}

fn type_in(home: &Path, line: &str) -> Output {
    Command::new("/bin/sh")
        .args(["-c", line])
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap()
}

/// The machine ids of the hosts in the fleet, once there is one.
fn hosts(home: &Path) -> Vec<String> {
    let start = Instant::now();
    loop {
        let mut list = command(home);
        list.args(["client", "agent", "list", "--json", "--data"])
            .arg(home.join("data"));
        let output = list.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let agents = list["agents"].as_array().unwrap();
        let ready = agents.iter().all(|agent| agent["status"] == "Ready");
        if !agents.is_empty() && ready {
            return agents
                .iter()
                .map(|agent| agent["machine_id"].as_str().unwrap().to_owned())
                .collect();
        }
        assert!(start.elapsed() < PATIENCE, "this machine never joined: {list}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn one_command_brings_up_a_fleet_of_one_and_a_second_start_goes_on_with_it() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // Where no time service runs the clock is observed; without a name that would be looked up.
    let observer = home.join("data/timeballd");
    std::fs::create_dir_all(&observer).unwrap();
    let socket = observer.join("timeballd.sock");
    std::fs::write(
        observer.join("timeballd.conf"),
        format!(
            "server 127.0.0.1 port 9\nbindcmdaddress {}\npidfile {}\ncmdport 0\nport 0\n",
            socket.display(),
            observer.join("timeballd.pid").display()
        ),
    )
    .unwrap();
    // The port that is asked for is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let up = Up::start(home, &format!("127.0.0.1:{port}"));
    assert!(
        up.welcome.contains(&format!("(port {port} is taken)")),
        "{}",
        up.welcome
    );
    let token_file = home.join("data/admin.token");
    assert!(
        up.welcome.contains(&token_file.display().to_string()),
        "{}",
        up.welcome
    );
    assert!(token_file.is_file());

    // What it says to try finds this machine in the fleet, however soon it is typed.
    let to_try = up.to_try();
    let soon = type_in(home, &to_try[0]);
    let errors = String::from_utf8_lossy(&soon.stderr);
    assert!(soon.status.code().unwrap() < 2, "{}: {errors}", to_try[0]);
    assert!(!up.welcome.contains("joined"), "{}", up.welcome);

    let first = hosts(home);
    assert_eq!(first.len(), 1);
    assert_eq!(to_try.len(), 3, "{to_try:?}");
    // The third may change the clock's servers, which a test must not do.
    for line in to_try.iter().take(2) {
        let output = type_in(home, line);
        let code = output.status.code().unwrap();
        // A machine without a time service answers, with a failure of its own.
        assert!(code < 2, "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    let observed = up.welcome.contains("timeballd -x observes it");
    if observed {
        let begun = Instant::now();
        while !type_in(home, &format!("{} -o wide", to_try[0]))
            .stdout
            .windows(9)
            .any(|word| word == b"timeballd")
        {
            assert!(begun.elapsed() < PATIENCE, "the clock is not observed");
            thread::sleep(Duration::from_millis(50));
        }
    }

    let second = command(home)
        .args(["up", "--data"])
        .arg(home.join("data"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2));
    let refusal = String::from_utf8_lossy(&second.stderr);
    assert!(
        refusal.contains(&format!("process {} runs a controller", up.child.id())),
        "{refusal}"
    );

    let log = up.stop();
    assert!(log.contains("stopping"), "{log}");
    assert!(!socket.exists(), "the observer has ended: {log}");

    let again = Up::start(home, "127.0.0.1:0");
    assert_eq!(hosts(home), first);
    let mut jobs = command(home);
    jobs.args(["client", "job", "list", "--json", "--data"])
        .arg(home.join("data"));
    let jobs: serde_json::Value = serde_json::from_slice(&jobs.output().unwrap().stdout).unwrap();
    assert_eq!(jobs["items"][0]["operation"]["type"], "node.ntp.get");
    again.stop();
}

#[test]
fn a_machine_that_does_not_join_is_said() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let state = home.join("data/agent");
    std::fs::create_dir_all(home.join("data")).unwrap();
    std::fs::write(&state, "no directory").unwrap();
    let up = Up::start(home, "127.0.0.1:0");
    let reason = format!(
        "this machine has not joined yet: its agent does not run: {}",
        state.display()
    );
    assert!(up.welcome.contains(&reason), "{}", up.welcome);
    up.stop();

    // It comes in, and later with another key.
    std::fs::remove_file(&state).unwrap();
    Up::start(home, "127.0.0.1:0").stop();
    std::fs::remove_dir_all(&state).unwrap();
    let up = Up::start(home, "127.0.0.1:0");
    assert!(
        up.welcome.contains("this machine has not joined yet: not after"),
        "{}",
        up.welcome
    );
    let log = up.stop();
    assert!(log.contains("belongs to a host with another key"), "{log}");
}

/// Whether a process runs, and what. One that has ended may wait to be taken note of.
fn runs(pid: u32) -> Option<Vec<u8>> {
    let program = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    (!program.is_empty()).then_some(program)
}

#[test]
fn what_observes_ends_with_the_process_that_started_it() {
    let mut parent = Command::new("/bin/sh")
        .args([
            "-c",
            "\"$0\" observe --parent $$ -- sleep 600 & echo $!; wait",
            TIMEBALL,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let observer: u32 = line.trim().parse().unwrap();
    let begun = Instant::now();
    // It is one only after its checks.
    while !runs(observer).is_some_and(|program| program.starts_with(b"sleep\0")) {
        assert!(begun.elapsed() < PATIENCE, "it does not start");
        thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&parent), Signal::KILL).unwrap();
    parent.wait().unwrap();
    let begun = Instant::now();
    while runs(observer).is_some() {
        if begun.elapsed() > PATIENCE {
            let left = Pid::from_raw(observer.cast_signed()).unwrap();
            kill_process(left, Signal::KILL).unwrap();
            panic!("it has outlived the process that started it");
        }
        thread::sleep(Duration::from_millis(10));
    }

    // One whose parent ended before it could ask to be told does not start.
    let late = Command::new(TIMEBALL)
        .args(["observe", "--parent", &parent.id().to_string(), "--", "true"])
        .output()
        .unwrap();
    assert_eq!(late.status.code(), Some(2));
    let refusal = String::from_utf8_lossy(&late.stderr);
    assert!(refusal.contains("has ended already"), "{refusal}");
}
