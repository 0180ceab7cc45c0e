//! The daemon in the background: who is told what, and what is left when it has ended.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon that only observes, with all its files in a directory of its own.
struct Daemon {
    folder: TempDir,
    notified: UnixDatagram,
}

impl Daemon {
    /// Starts it; the process that was started has ended well by then.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notified = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notified.set_read_timeout(Some(PATIENCE)).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(
            folder.path().join("conf"),
            format!(
                "port 0\ncmdport 0\nuser root\nbindcmdaddress {}\npidfile {}\nserver 127.0.0.1 port 9 iburst\n",
                path("run/socket"),
                path("pid")
            ),
        )
        .unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_timeballd"))
            .args(["-x", "-U", "-f", &path("conf"), "-l", &path("log")])
            .env("NOTIFY_SOCKET", path("notify"))
            .status()
            .unwrap();
        assert!(
            status.success(),
            "{status}: {:?}",
            fs::read_to_string(path("log"))
        );
        Self { folder, notified }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.path("pid")).unwrap().trim().to_owned()
    }

    /// What the service manager is told next.
    fn notification(&self) -> String {
        let mut buffer = [0; 64];
        let length = self.notified.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill")
                .args([signal, &self.pid()])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.path("pid")) {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
    }
}

fn wait_until_gone(path: &Path) {
    let before = Instant::now();
    while path.exists() {
        assert!(before.elapsed() < PATIENCE, "{} is still there", path.display());
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_daemon_says_when_it_is_ready_and_cleans_up_when_it_ends() {
    let daemon = Daemon::start();
    assert_eq!(daemon.notification(), "READY=1");
    let process = Path::new("/proc").join(daemon.pid());
    assert_eq!(fs::read_link(process.join("cwd")).unwrap(), Path::new("/"));
    for standard in ["0", "1", "2"] {
        assert_eq!(
            fs::read_link(process.join("fd").join(standard)).unwrap(),
            Path::new("/dev/null")
        );
    }
    assert!(daemon.path("run/socket").exists());

    daemon.signal("-TERM");
    assert_eq!(daemon.notification(), "STOPPING=1");
    wait_until_gone(&daemon.path("pid"));
    assert!(!daemon.path("run/socket").exists());
    let log = fs::read_to_string(daemon.path("log")).unwrap();
    let lines: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("Z "))
        .map(|(_, text)| text)
        .collect();
    assert!(lines[0].starts_with("timeballd version "), "{log}");
    assert_eq!(lines[1], "Disabled control of system clock");
    assert_eq!(lines.last(), Some(&"timeballd exiting"));
}

#[test]
fn a_second_daemon_does_not_start() {
    let daemon = Daemon::start();
    assert_eq!(daemon.notification(), "READY=1");
    let output = Command::new(env!("CARGO_BIN_EXE_timeballd"))
        .args(["-x", "-U", "-f", daemon.path("conf").to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "Another timeballd may already be running (pid={}), check {}\n",
        daemon.pid(),
        daemon.path("pid").display()
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    assert!(
        daemon.path("run/socket").exists(),
        "the first one's socket is left alone"
    );
    daemon.signal("-INT");
    assert_eq!(daemon.notification(), "STOPPING=1");
}
