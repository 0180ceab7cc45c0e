//! Two daemons in a world of their own: a server whose clock is right, and a client whose clock is not.
//!
//! Nothing of theirs reaches the machine: a library that is preloaded answers in the place of the C library's
//! functions, by name, and ends a daemon that asks for more than can be intercepted. So these tests show two things:
//! that a clock is set right, and that the daemon runs where functions are intercepted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

mod drift;
mod keeper;
mod ntpd;
mod openntpd;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

/// When the simulated time begins, Unix seconds: 2026-01-01.
const START_S: u64 = 1_767_225_600;

/// The size of the shared file, above that of `struct world`.
const WORLD_LENGTH: u64 = 1 << 20;

/// How many seconds are traced at most (`TRACE`).
const TRACE_MAX: usize = 4096;

/// How long a simulation may take, in the time of the machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// The client's clock at the start.
struct Clock {
    error_s: f64,
    /// Positive: it gains.
    frequency_ppm: f64,
    /// How far its real-time clock is ahead, if it has one.
    rtc_ahead_s: Option<f64>,
}

/// A clock without errors.
const RIGHT: Clock = Clock {
    error_s: 0.0,
    frequency_ppm: 0.0,
    rtc_ahead_s: None,
};

/// What became of the client's clock.
struct Outcome {
    /// Its error each second, positive when it is ahead.
    errors_s: Vec<f64>,
    /// How often it was stepped.
    steps: u64,
    /// How often its rate was set.
    rates: u64,
    /// Whether the kernel was last told that it is synchronised.
    synchronised: bool,
    log: String,
}

impl Outcome {
    /// The first second from which on the error stays below a limit.
    fn settled_s(&self, below_s: f64) -> usize {
        let last_above = self.errors_s.iter().rposition(|error_s| error_s.abs() >= below_s);
        last_above.map_or(0, |second| second + 1)
    }
}

/// Runs a server and a client for some seconds of simulated time.
fn simulate(seconds: u64, clock: &Clock, arguments: &[&str], configuration: &str) -> Outcome {
    let folder = new_world(seconds);
    let server = server(1, 2, folder.path(), &[]);
    let client = daemon(2, 2, clock, folder.path(), arguments, configuration);
    for (node, child) in [(1, server), (2, client)] {
        let (log, has_succeeded) = ended(node, child, folder.path());
        assert!(has_succeeded, "node {node} has failed: {log}");
    }
    outcome(folder.path())
}

/// Makes a world that ends after some seconds.
fn new_world(seconds: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world");
    let end_ns = (START_S + seconds) * 1_000_000_000;
    fs::write(&world, end_ns.to_ne_bytes()).unwrap();
    File::options()
        .write(true)
        .open(&world)
        .unwrap()
        .set_len(WORLD_LENGTH)
        .unwrap();
    folder
}

/// Waits for the end of a node; returns its log, and whether it has succeeded.
fn ended(node: u32, mut child: Child, folder: &Path) -> (String, bool) {
    let log = folder.join(format!("log.{node}"));
    let before = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if before.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("node {node} does not end: {}", fs::read_to_string(log).unwrap());
        }
        sleep(Duration::from_millis(10));
    }
    (fs::read_to_string(log).unwrap(), child.wait().unwrap().success())
}

/// Reads the beginning of `struct world`, and the log of node 2.
fn outcome(folder: &Path) -> Outcome {
    let world = fs::read(folder.join("world")).unwrap();
    let log = fs::read_to_string(folder.join("log.2")).unwrap();
    let word = |index: usize| u64::from_ne_bytes(world[index * 8..index * 8 + 8].try_into().unwrap());
    let traced = usize::try_from(word(1)).unwrap();
    Outcome {
        errors_s: (1..traced)
            .map(|second| f64::from_bits(word(2 + second)))
            .collect(),
        steps: word(2 + TRACE_MAX),
        rates: word(3 + TRACE_MAX),
        synchronised: word(4 + TRACE_MAX) == 1,
        log,
    }
}

/// Starts a server whose clock is right as one of so many nodes.
fn server(node: u32, nodes: u32, folder: &Path, arguments: &[&str]) -> Child {
    let arguments = [&["-x"], arguments].concat();
    daemon(
        node,
        nodes,
        &RIGHT,
        folder,
        &arguments,
        "local stratum 1\nallow\n",
    )
}

/// Starts a daemon as one of so many nodes.
fn daemon(
    node: u32,
    nodes: u32,
    clock: &Clock,
    folder: &Path,
    arguments: &[&str],
    configuration: &str,
) -> Child {
    let file = folder.join(format!("conf.{node}"));
    let common = "pidfile /\nbindcmdaddress /\ncmdport 0\nuser root\n";
    fs::write(&file, format!("{common}{configuration}")).unwrap();
    let log = File::create(folder.join(format!("log.{node}"))).unwrap();
    let rtc = clock
        .rtc_ahead_s
        .map(|seconds| ("SIMULATED_RTC", seconds.to_string()));
    Command::new(env!("CARGO_BIN_EXE_timeballd"))
        .args(["-d", "-U", "-f", file.to_str().unwrap()])
        .args(arguments)
        .env("LD_PRELOAD", library(nodes))
        .env("SIMULATED_WORLD", folder.join("world"))
        .env("SIMULATED_NODE", node.to_string())
        .env("SIMULATED_OFFSET", clock.error_s.to_string())
        .env("SIMULATED_PPM", clock.frequency_ppm.to_string())
        .env_remove("SIMULATED_RTC")
        .envs(rtc)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// What a program is started in that is to see nobody else's files, and no network: `$PREPARE` makes what it needs.
const ALONE: &str = "
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var
eval \"$PREPARE\"
exec env LD_PRELOAD=\"$LIBRARY\" \"$@\"
";

/// Starts timeballd under another name as node 2 of so many, alone on a machine that a script prepares.
fn start_alone(
    nodes: u32,
    clock: &Clock,
    folder: &Path,
    prepare: &str,
    (name, arguments): (&str, &[&str]),
    environment: &[(&str, &str)],
) -> Child {
    let program = folder.join(name);
    symlink(env!("CARGO_BIN_EXE_timeballd"), &program).unwrap();
    let log = File::create(folder.join("log.2")).unwrap();
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--net"])
        .args(["sh", "-euc", ALONE, "sh"])
        .arg(program)
        .args(arguments)
        .env("PREPARE", prepare)
        .env("LIBRARY", library(nodes))
        .env("TZ", "UTC")
        .env("SIMULATED_WORLD", folder.join("world"))
        .env("SIMULATED_NODE", "2")
        .env("SIMULATED_OFFSET", clock.error_s.to_string())
        .env("SIMULATED_PPM", clock.frequency_ppm.to_string())
        .env_remove("SIMULATED_RTC")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// The library that is preloaded, for a world of two nodes or of three, compiled once.
fn library(nodes: u32) -> &'static Path {
    static LIBRARIES: [OnceLock<(TempDir, PathBuf)>; 2] = [OnceLock::new(), OnceLock::new()];
    let (_, path) = LIBRARIES[usize::from(nodes == 3)].get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("preload.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulated/preload.c");
        let status = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&path, &source])
            .args([&format!("-DNODES={nodes}"), "-lpthread"])
            .status()
            .unwrap();
        assert!(status.success(), "the C compiler has failed");
        (folder, path)
    });
    path
}

#[test]
fn a_clock_that_is_far_off_is_stepped_and_then_steered() {
    let clock = Clock {
        error_s: -7.0,
        frequency_ppm: 120.0,
        rtc_ahead_s: None,
    };
    let outcome = simulate(
        1800,
        &clock,
        &[],
        "server 10.0.0.1 iburst\nmakestep 1 3\nrtcsync\n",
    );
    assert_eq!(outcome.steps, 1, "{}", outcome.log);
    assert!(outcome.settled_s(0.1) <= 60, "{}", outcome.settled_s(0.1));
    assert!(outcome.settled_s(1e-3) <= 600, "{}", outcome.settled_s(1e-3));
    assert!(outcome.synchronised);
    assert!(
        outcome.log.contains("Selected source 10.0.0.1"),
        "{}",
        outcome.log
    );
    assert!(outcome.log.contains("Z timeballd exiting"), "{}", outcome.log);
}

#[test]
fn a_clock_that_is_off_a_little_is_slewed() {
    let clock = Clock {
        error_s: 0.05,
        frequency_ppm: -30.0,
        rtc_ahead_s: None,
    };
    let outcome = simulate(1800, &clock, &[], "server 10.0.0.1 iburst\n");
    assert_eq!(outcome.steps, 0, "{}", outcome.log);
    assert!(outcome.rates > 0);
    assert!(outcome.settled_s(1e-3) <= 600, "{}", outcome.settled_s(1e-3));
    assert!(outcome.settled_s(1e-4) <= 1200, "{}", outcome.settled_s(1e-4));
}

#[test]
fn a_clock_that_stood_still_is_set_to_when_the_drift_file_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let drift = folder.path().join("drift");
    fs::write(&drift, "-10.0 0.1\n").unwrap();
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(START_S - 10);
    File::options()
        .write(true)
        .open(&drift)
        .unwrap()
        .set_modified(written)
        .unwrap();

    let clock = Clock {
        error_s: -400_000.0,
        frequency_ppm: -10.0,
        rtc_ahead_s: None,
    };
    let outcome = simulate(30, &clock, &["-s"], &format!("driftfile {}\n", drift.display()));
    let first_s = outcome.errors_s[0];
    assert!((first_s + 10.0).abs() < 0.01, "{first_s}");
    assert!(
        outcome.log.contains("System time restored from driftfile"),
        "{}",
        outcome.log
    );
    assert!(
        outcome.log.contains("Frequency -10.000 +/- 0.100 ppm read from"),
        "{}",
        outcome.log
    );
}

#[test]
fn a_clock_that_is_observed_is_not_touched() {
    let clock = Clock {
        error_s: 3.0,
        frequency_ppm: 10.0,
        rtc_ahead_s: None,
    };
    let outcome = simulate(600, &clock, &["-x"], "server 10.0.0.1 iburst\nmakestep 1 -1\n");
    assert_eq!((outcome.steps, outcome.rates), (0, 0), "{}", outcome.log);
    let last_s = outcome.errors_s.last().unwrap();
    assert!((last_s - 3.006).abs() < 1e-4, "{last_s}");
}

#[test]
fn a_clock_that_stood_still_is_set_from_the_real_time_clock() {
    let folder = tempfile::tempdir().unwrap();
    let (rtc, adjtime) = (folder.path().join("rtc"), folder.path().join("adjtime"));
    // By the file the real-time clock is 5.25 s ahead; it has become 50 ms more.
    fs::write(&rtc, format!("1 {START_S} 5.250000 0.000\n")).unwrap();
    fs::write(&adjtime, "0.0 0 0.0\n0\nUTC\n").unwrap();
    let clock = Clock {
        error_s: -400_000.0,
        frequency_ppm: -10.0,
        rtc_ahead_s: Some(5.3),
    };
    let configuration = format!(
        "server 10.0.0.1 offline\nrtcfile {}\nhwclockfile {}\nlogdir {}\nlog rtc\n",
        rtc.display(),
        adjtime.display(),
        folder.path().display()
    );
    let outcome = simulate(60, &clock, &["-s"], &configuration);
    assert_eq!(outcome.steps, 1, "{}", outcome.log);
    // To the second at once, and when the real-time clock has told its seconds, as well as the file knows.
    assert!(outcome.errors_s[0].abs() < 0.6, "{:?}", outcome.errors_s);
    for error_s in &outcome.errors_s[20..] {
        assert!((error_s - 0.05).abs() < 1e-3, "{error_s} {}", outcome.log);
    }
    for line in ["System time set from RTC", "System clock off from RTC by "] {
        assert!(outcome.log.contains(line), "{}", outcome.log);
    }
    let log = fs::read_to_string(folder.path().join("rtc.log")).unwrap();
    assert!(
        log.contains("   Date (UTC) Time   RTC fast (s) Val   Est fast (s)   Slope (ppm)  Ns  Nr Meas\n"),
        "{log}"
    );
    assert!(log.lines().count() > 10, "{log}");
}

#[test]
fn a_real_time_clock_that_is_wrong_is_set_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let rtc = folder.path().join("rtc");
    let clock = Clock {
        error_s: 0.02,
        frequency_ppm: 10.0,
        rtc_ahead_s: Some(-7.7),
    };
    let configuration = format!(
        "server 10.0.0.1 iburst\nrtconutc\nhwclockfile /nowhere\nrtcautotrim 2\nrtcfile {}\n",
        rtc.display()
    );
    let outcome = simulate(900, &clock, &[], &configuration);
    assert_eq!(
        outcome.log.matches("RTC wrong by -7.").count(),
        1,
        "{}",
        outcome.log
    );
    let text = fs::read_to_string(&rtc).unwrap();
    let words: Vec<f64> = text
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    // It was set when one of its seconds began, seven tenths into a true one, and is half a second past that one then.
    assert!((words[2] + 0.2).abs() < 0.01, "{text}");
    assert!(words[3].abs() < 1.0, "{text}");
}
