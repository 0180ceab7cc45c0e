//! `timeball wait` beside `timeballd ctl wait`: the same question to the same daemon, chronyd or timeballd, and the same
//! answer and exit status. The daemons never touch the clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

use std::fs::{self, File, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const TIMEBALL: &str = env!("CARGO_BIN_EXE_timeball");

/// How long a daemon may take to be synchronised, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a question is put to both: between the two the daemon may have measured again.
const ATTEMPTS: u32 = 20;

/// The timeballd that was built beside timeball.
fn timeballd() -> PathBuf {
    let program = Path::new(TIMEBALL).with_file_name("timeballd");
    assert!(
        program.is_file(),
        "{} is not there: build it with `cargo build -p timeballd`",
        program.display()
    );
    program
}

/// A daemon with its own files.
struct Daemon {
    folder: TempDir,
    child: Option<Child>,
}

impl Daemon {
    /// Makes a place for a daemon with these lines in its configuration.
    fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o770)).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let own = format!(
            "bindcmdaddress {}\npidfile {}\ncmdport 0\n",
            path("socket"),
            path("pid")
        );
        fs::write(path("conf"), own + lines).unwrap();
        Daemon { folder, child: None }
    }

    fn start(&mut self, program: &Path) {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let log = File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args([
                "-d",
                "-x",
                "-U",
                "-u",
                String::from_utf8(user).unwrap().trim(),
                "-f",
            ])
            .arg(self.folder.path().join("conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// `timeball wait` with these words: exit status, standard output, standard error.
    fn timeball(&self, words: &str) -> Answer {
        self.ask(Path::new(TIMEBALL), &["wait", "--host"], words)
    }

    /// The same of `timeballd ctl wait`.
    fn timeballd(&self, words: &str) -> Answer {
        self.ask(&timeballd(), &["ctl", "wait", "--host"], words)
    }

    fn ask(&self, program: &Path, command: &[&str], words: &str) -> Answer {
        let mut asked = Command::new(program);
        asked
            .args(command)
            .arg(self.folder.path().join("socket"))
            .args(words.split_whitespace());
        answer(&mut asked)
    }

    /// Asks both until they say the same, but for digits; gives what timeball said.
    #[track_caller]
    fn both(&self, words: &str) -> Answer {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let (ours, theirs) = (self.timeball(words), self.timeballd(words));
            if shape(&ours) == shape(&theirs) {
                return ours;
            }
            last = Some((ours, theirs));
            sleep(Duration::from_millis(50));
        }
        panic!("{words}: {last:#?}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

type Answer = (Option<i32>, String, String);

/// Exit status, standard output and standard error of a command, which finds no settings.
fn answer(command: &mut Command) -> Answer {
    let output = command.env_clear().env("HOME", "/nonexistent").output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Both programs with the same words.
fn programs(words: &[&str]) -> [Command; 2] {
    let mut ours = Command::new(TIMEBALL);
    let mut theirs = Command::new(timeballd());
    ours.arg("wait").args(words);
    theirs.args(["ctl", "wait"]).args(words);
    [ours, theirs]
}

/// An answer in which every number is 0, whatever its sign and its length.
fn shape((code, out, err): &Answer) -> Answer {
    let digits = |text: &str| {
        let mut shape = String::new();
        for character in text.chars() {
            let number = character.is_ascii_digit() || matches!(character, '-' | '.');
            if !number {
                shape.push(character);
            } else if !shape.ends_with('0') {
                shape.push('0');
            }
        }
        shape
    };
    (*code, digits(out), digits(err))
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// What must hold whichever daemon keeps the clock.
fn the_gate_opens_when_the_clock_is_right(program: &Path) {
    let port = free_port();
    let mut server = Daemon::new(&format!("local stratum 3\nallow 127.0.0.1\nport {port}\n"));
    let mut client = Daemon::new(&format!(
        "server 127.0.0.1 port {port} iburst minpoll 0 maxpoll 0\nport 0\n"
    ));

    // Nobody is there.
    let said = format!(
        "506 Cannot talk to daemon\n{}: no such socket; start the daemon, or look for `bindcmdaddress` in its \
         configuration\n",
        client.folder.path().join("socket").display()
    );
    let nobody = (Some(1), String::new(), said);
    assert_eq!(client.both("--timeout 0"), nobody);
    assert_eq!(client.both("--timeout 0.3s --max-error 1h --json"), nobody);

    // The daemon comes while it is waited for, and then its server.
    let waiting = Command::new(TIMEBALL)
        .args(["wait", "--max-error", "10s", "--timeout", "120s", "--host"])
        .arg(client.folder.path().join("socket"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    client.start(program);
    let begun = Instant::now();
    while client.timeball("--timeout 0").2.contains("506") {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} does not answer",
            program.display()
        );
        sleep(Duration::from_millis(50));
    }
    let (code, out, _) = client.both("--timeout 0");
    assert_eq!((code, out.as_str()), (Some(1), "not synchronised\n"));
    let (code, out, _) = client.both("--timeout 0 --json");
    assert_eq!(code, Some(1));
    assert!(
        out.starts_with("{\"synchronised\":false,\"error_bound_s\":null,"),
        "{out}"
    );
    server.start(Path::new("/usr/sbin/chronyd"));
    let output = waiting.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.starts_with("synchronised to 127.0.0.1, wrong by at most "),
        "{said}"
    );

    let (code, out, _) = client.both("--max-error 10s");
    assert!(
        code == Some(0) && out.starts_with("synchronised to 127.0.0.1"),
        "{out}"
    );
    let (code, out, _) = client.both("-N --json");
    assert_eq!(code, Some(0));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&report["synchronised"], &report["source"]),
        (&true.into(), &"127.0.0.1".into())
    );
    // The clock cannot be as right as this.
    let (code, out, _) = client.both("--max-error 1ns --timeout 100ms");
    assert!(
        code == Some(1)
            && out.starts_with("synchronised to 127.0.0.1")
            && out.ends_with(" seconds, which is more than 0.000000001\n"),
        "{out}"
    );
    let (code, out, _) = server.both("--timeout 0");
    assert_eq!(
        (code, out.as_str()),
        (Some(1), "not synchronised: serves its own time\n")
    );
    client.stop();
    let (code, out, said) = client.both("--timeout 0");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        said.starts_with("506 Cannot talk to daemon\n")
            && said.ends_with(": nobody listens there any more; start the daemon\n"),
        "{said}"
    );
}

#[test]
fn the_gate_opens_when_chronyd_has_the_clock_right() {
    the_gate_opens_when_the_clock_is_right(Path::new("/usr/sbin/chronyd"));
}

#[test]
fn the_gate_opens_when_timeballd_has_the_clock_right() {
    the_gate_opens_when_the_clock_is_right(&timeballd());
}

/// Daemons that hang at two sockets, whose second takes no more requests, and at two addresses.
#[test]
fn daemons_that_hang_do_not_hold_up_whoever_waits() {
    /// What all four were waited for when none of the waits knew the end: 1, 2 and 4 s for each.
    const PATIENCES: Duration = Duration::from_secs(28);

    let folder = tempfile::tempdir().unwrap();
    let [first, full] = ["first", "full"].map(|name| folder.path().join(name));
    let sockets = [&first, &full].map(|path| UnixDatagram::bind(path).unwrap());
    fill(&full);
    let port = free_port();
    let addresses = ["127.0.0.1", "127.0.0.2"].map(|address| UdpSocket::bind((address, port)).unwrap());

    let list = format!("{},{},127.0.0.1,127.0.0.2", first.display(), full.display());
    let port = port.to_string();
    let asked = programs(&["--timeout", "1s", "--host", &list, "-p", &port]).map(|mut command| {
        std::thread::spawn(move || {
            let begun = Instant::now();
            (answer(&mut command), begun.elapsed())
        })
    });
    for thread in asked {
        let ((code, out, said), took) = thread.join().unwrap();
        assert!(took < PATIENCES / 2, "{took:?}");
        assert_eq!((code, out.as_str()), (Some(1), ""));
        let late = "no answer in time; is the daemon";
        let places = [
            format!("{}: {late} stopped", first.display()),
            format!("{}: {late} stopped", full.display()),
            format!("127.0.0.1 port {port}: {late} there"),
            format!("127.0.0.2 port {port}: {late} there"),
        ];
        let mut lines = said.lines();
        assert_eq!(lines.next(), Some("506 Cannot talk to daemon"));
        for place in &places {
            let line = lines.next().unwrap();
            assert!(line.starts_with(place), "{line}");
        }
        assert_eq!(lines.next(), None);
    }

    // None of them took the time of another: both programs asked all that could be asked.
    let mut buffer = [0; 1500];
    sockets[0].set_nonblocking(true).unwrap();
    for _ in 0..2 {
        sockets[0].recv(&mut buffer).unwrap();
    }
    for address in addresses {
        address.set_nonblocking(true).unwrap();
        for _ in 0..2 {
            address.recv(&mut buffer).unwrap();
        }
    }
}

/// Sends to a socket until it takes no more, whoever sends.
fn fill(path: &Path) {
    let mut senders = Vec::new();
    loop {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while sender.send_to(b"x", path).is_ok() {
            sent += 1;
        }
        if sent == 0 {
            return;
        }
        senders.push(sender);
    }
}

#[test]
fn a_name_without_an_address_is_told() {
    for mut command in programs(&["--timeout", "0", "--host", "no-such-name.invalid"]) {
        let (code, out, said) = answer(&mut command);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            (lines.len(), lines[0]),
            (2, "506 Cannot talk to daemon"),
            "{said}"
        );
        assert!(
            lines[1].starts_with("no-such-name.invalid: ")
                && lines[1].ends_with("; write an address, or for a socket its path, which begins with /"),
            "{said}"
        );
    }
}

#[test]
fn wrong_use_is_told_from_a_wrong_clock() {
    let nobody = Daemon::new("");
    for words in [
        "--max-error",
        "--max-error x",
        "--timeout 1d",
        "--timeout 1e19s",
        "--nonsense 1",
        "nonsense",
        "-p 0",
        "--host 127.0.0.1,,::1",
    ] {
        let (ours, theirs) = (nobody.timeball(words), nobody.timeballd(words));
        assert_eq!(
            (ours.0, theirs.0),
            (Some(2), Some(2)),
            "{words}: {ours:?} {theirs:?}"
        );
        assert!(ours.1.is_empty() && !ours.2.is_empty(), "{words}");
    }
}
