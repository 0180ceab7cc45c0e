//! A daemon that is killed at any moment, and started again: it starts, its files are whole, and it goes on with what it knew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wire::candm::Request;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(1);

/// How often the daemon is killed.
const ROUNDS: u64 = 14;

/// A machine's directory, in which daemons come and go.
struct Place(TempDir);

impl Place {
    fn new(server_port: u16) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let lines = "port 0\ncmdport 0\nbindcmdaddress @DIR@/socket\npidfile @DIR@/pid\ndumpdir @DIR@/dump\n\
                     driftfile @DIR@/drift interval 1\n";
        let lines = lines.replace("@DIR@", place.0.path().to_str().unwrap());
        let server = format!("server 127.0.0.1 port {server_port} iburst minpoll -4 maxpoll -4\n");
        fs::write(place.path("conf"), lines + &server).unwrap();
        fs::create_dir(place.path("dump")).unwrap();
        fs::write(place.path("drift"), "12.5 0.25\n").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Starts a daemon that does not touch the clock.
    fn start(&self) -> Running {
        let conf = self.path("conf");
        Running(daemon(&["-r", "-f", conf.to_str().unwrap()], &self.path("log")))
    }

    /// Has the daemon write its measurements, and waits for the answer; none if it does not answer yet.
    fn dump(&self, patience: Duration) -> Option<()> {
        let own = self.path("asking");
        let _ = fs::remove_file(&own);
        let socket = UnixDatagram::bind(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        let sent = socket.send_to(&Request::Dump.encode(1), self.path("socket"));
        sent.ok().and_then(|_| socket.recv(&mut [0; 1000]).ok()).map(drop)
    }

    /// The frequency and its error bound in the drift file, which is whole.
    fn drift(&self) -> (f64, f64) {
        let text = fs::read_to_string(self.path("drift")).unwrap();
        let numbers: Vec<f64> = text
            .split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect();
        assert!(numbers.len() == 2 && text.ends_with('\n'), "{text:?}");
        (numbers[0], numbers[1])
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}: {}", self.log());
            sleep(Duration::from_millis(5));
        }
    }
}

/// A daemon that is killed at the end of this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn daemon(arguments: &[&str], log: &Path) -> Child {
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    Command::new(env!("CARGO_BIN_EXE_timeballd"))
        .args(["-x", "-d", "-U", "-u", String::from_utf8(user).unwrap().trim()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap())
        .spawn()
        .unwrap()
}

#[test]
fn a_daemon_that_is_killed_at_any_moment_starts_again_with_what_it_knew() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let place = Place::new(port);
    let lines = [
        &format!("port {port}"),
        "local stratum 1",
        "allow",
        "cmdport 0",
        "bindcmdaddress /",
        "pidfile /",
    ];
    let _server = Running(daemon(&lines, &place.path("server.log")));
    let chance = RandomState::new();
    for round in 0..ROUNDS {
        let known = place.drift();
        let has_dump = place.path("dump/127.0.0.1.dat").exists();
        let running = place.start();
        let chance_ms = chance.hash_one(round) % 300;
        // Some do not even come to their first answer.
        if round % 4 == 3 {
            sleep(Duration::from_millis(chance_ms / 8));
            continue;
        }
        let begun = Instant::now();
        place.wait_until("it answers", || place.dump(ANSWER).is_some());
        let (frequency_ppm, skew_ppm) = known;
        let read = format!("Frequency {frequency_ppm:.3} +/- {skew_ppm:.3} ppm read from ");
        let log = place.log();
        assert!(log.contains(&read), "{round}: {read}\n{log}");
        let is_loaded = log.contains("Loaded dump file for 127.0.0.1");
        assert!(
            is_loaded == has_dump && !log.contains("Could not"),
            "{round}: {log}"
        );
        // The kill comes while a dump is written, or the drift file, which is every second, or neither.
        let life = Duration::from_millis(950 + chance_ms);
        while begun.elapsed() < life {
            place.dump(ANSWER);
        }
        std::thread::scope(|scope| {
            scope.spawn(|| place.dump(ANSWER / 20));
            sleep(Duration::from_micros(chance_ms * 10));
            drop(running);
        });
    }
    // What the kills may have left beside the files does no harm, and goes when they are written again.
    let known = place.drift();
    let _running = place.start();
    place.wait_until("the drift is written", || place.drift() != known);
    place.wait_until("it answers", || place.dump(ANSWER).is_some());
    let names = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&place.path("dump")), ["127.0.0.1.dat"]);
    assert!(!place.path("drift.tmp").exists());
}
