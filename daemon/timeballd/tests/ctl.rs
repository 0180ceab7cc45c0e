//! `timeballd ctl` beside `chronyc`: the same question to the same chronyd, and the same answer on the screen.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a daemon may take to answer for the first time, and to be synchronised.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a question is put to both: between the two the daemon may have measured again.
const ATTEMPTS: u32 = 20;

/// A chronyd that does not touch the clock.
struct Chronyd {
    folder: TempDir,
    child: Child,
}

impl Chronyd {
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let path = |name: &str| folder.path().join(name);
        let (socket, pid_file) = (path("socket"), path("pid"));
        let common = format!(
            "bindcmdaddress {}\npidfile {}\n",
            socket.display(),
            pid_file.display()
        );
        fs::write(path("conf"), common + config).unwrap();
        let log = File::create(path("log")).unwrap();
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let child = Command::new("/usr/sbin/chronyd")
            .args([
                "-d",
                "-x",
                "-U",
                "-u",
                String::from_utf8(user).unwrap().trim(),
                "-f",
            ])
            .arg(path("conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// What `chronyc` prints, and whether it was content.
    fn chronyc(&self, words: &str) -> (bool, String) {
        let socket = self.socket();
        run(
            Command::new("/usr/bin/chronyc").args(["-n", "-h", socket.to_str().unwrap()]),
            words,
        )
    }

    /// What `timeballd ctl` prints, and whether it was content.
    fn ctl(&self, words: &str) -> (bool, String) {
        let socket = self.socket();
        run(
            Command::new(env!("CARGO_BIN_EXE_timeballd")).args(["ctl", "-h", socket.to_str().unwrap()]),
            words,
        )
    }

    /// Asks both until they say the same.
    #[track_caller]
    fn compare(&self, words: &str) {
        self.compare_as(words, str::to_owned);
    }

    /// Asks both until they say the same in some view.
    #[track_caller]
    fn compare_as(&self, words: &str, view: impl Fn(&str) -> String) {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let (theirs, ours) = (self.chronyc(words), self.ctl(words));
            if theirs.0 == ours.0 && view(&theirs.1) == view(&ours.1) {
                return;
            }
            last = Some((theirs.1, ours.1));
            sleep(Duration::from_millis(50));
        }
        let (theirs, ours) = last.unwrap();
        panic!("{words}:\n{theirs}--- but timeballd ctl:\n{ours}");
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn run(command: &mut Command, words: &str) -> (bool, String) {
    let output = command.args(words.split(' ')).output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    text += &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), text)
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A server, and a client of it that is synchronised.
fn pair() -> (Chronyd, Chronyd) {
    let port = free_port();
    let server = Chronyd::start(&format!("local stratum 3\nallow\nport {port}\ncmdport 0\n"));
    let keys = server.folder.path().join("keys");
    fs::write(&keys, "7 SHA1 HEX:000102030405060708090a0b0c0d0e0f\n").unwrap();
    let client = Chronyd::start(&format!(
        "server 127.0.0.1 port {port} iburst prefer trust\n\
         server 127.0.0.2 port {port} iburst noselect\n\
         server 127.0.0.9 port 9 key 7 noselect\n\
         server no-such-name.invalid\n\
         refclock SOCK {} refid SOC0 noselect\n\
         keyfile {}\nport 0\ncmdport 0\nmanual\nallow 192.0.2.0/24\n\
         smoothtime 400 0.01 leaponly\n",
        server.folder.path().join("refclock").display(),
        keys.display()
    ));
    let before = Instant::now();
    while !client.chronyc("waitsync 1").0 {
        assert!(before.elapsed() < PATIENCE, "chronyd does not synchronise");
        sleep(Duration::from_millis(100));
    }
    (server, client)
}

#[test]
fn reports_are_those_of_chronyc() {
    let (server, client) = pair();
    for words in [
        "sources",
        "sources -a",
        "selectdata",
        "authdata",
        "activity",
        "ntpdata",
        "ntpdata 127.0.0.1",
        "ntpdata 192.0.2.1",
        "ntpdata ID#0000000001",
        "ntpdata ID#0000000099",
        "sourcename ID#0000000001",
        "smoothing",
        "manual list",
        "sourcename 127.0.0.1",
        "sourcename 192.0.2.1",
        "accheck 192.0.2.1",
        "accheck 198.51.100.1",
    ] {
        client.compare(words);
    }
    for words in ["clients", "clients -k", "clients -p 1", "clients -k -p 1000000"] {
        server.compare(words);
    }
    // From then on there are new counts.
    assert!(server.ctl("clients -r").1.contains("\n127.0.0.1 "));
    server.compare("clients -p 1000000");
    let smoothed = Chronyd::start("smoothtime 400 0.01\nport 0\ncmdport 0\n");
    smoothed.compare("smoothing");
    server.compare("tracking");
}

#[test]
fn numbers_that_move_stand_in_the_same_places() {
    let (_server, client) = pair();
    let shape = |text: &str| {
        let digits = text.replace(|character: char| character.is_ascii_digit(), "0");
        digits.replace("slow", "fast").replace(['+', '-'], " ")
    };
    for words in [
        "tracking",
        "serverstats",
        "waitsync 1",
        "sourcestats",
        "sourcestats -a",
    ] {
        client.compare_as(words, shape);
    }
}

#[test]
fn changes_are_answered_alike() {
    let (_server, client) = pair();
    for words in [
        "reload sources",
        "refresh",
        "rekey",
        "cyclelogs",
        "reselect",
        "offline 127.0.0.2",
        "online 127.0.0.2",
        "online 192.0.2.1",
        "onoffline",
        "burst 1/2 127.0.0.9",
        "delete 192.0.2.1",
        "makestep",
        "dump",
    ] {
        client.compare(words);
    }
    assert_eq!(client.ctl("delete 127.0.0.9"), (true, "200 OK\n".to_owned()));
    assert!(!client.chronyc("sources").1.contains("127.0.0.9"));
    assert_eq!(client.ctl("shutdown"), (true, "200 OK\n".to_owned()));
    let before = Instant::now();
    while client.socket().exists() {
        assert!(before.elapsed() < PATIENCE, "chronyd does not end");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn waiting_ends_when_the_error_is_bounded_and_columns_are_explained() {
    let (_server, client) = pair();
    let (good, text) = client.ctl("wait --max-error 2s --timeout 20s");
    assert!(
        good && text.starts_with("synchronised to 127.0.0.1, wrong by at most 0."),
        "{text}"
    );
    for (report, explained) in [
        ("sources", "Reach  "),
        ("sourcestats", "Std Dev  "),
        ("selectdata", "Score  "),
        ("activity", ""),
    ] {
        let ((_, plain), (_, verbose)) = (client.ctl(report), client.ctl(&format!("{report} -v")));
        assert!(
            verbose.starts_with(explained) || verbose.contains(&format!("\n{explained}")),
            "{verbose}"
        );
        assert_eq!(
            verbose.lines().count() > plain.lines().count(),
            !explained.is_empty(),
            "{verbose}"
        );
    }
    let (good, text) = client.ctl("wait --max-error 1ns --timeout 0.1s --json");
    assert!(
        !good && text.starts_with("{\"synchronised\":") && text.ends_with("}\n"),
        "{text}"
    );
}

#[test]
fn a_daemon_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeballd"));
    let answer = run(command.args(["ctl", "-h", socket.to_str().unwrap()]), "tracking");
    let said = format!(
        "506 Cannot talk to daemon\n{}: no such socket; start the daemon, or look for `bindcmdaddress` in its \
         configuration\n",
        socket.display()
    );
    assert_eq!(answer, (false, said));
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeballd"));
    let (_, text) = run(command.arg("ctl"), "nonsense");
    assert_eq!(
        text,
        "Unrecognized command: nonsense; try `timeballd ctl --help`\n"
    );
}

#[test]
fn json_of_waitsync_names_the_source_as_tracking_does() {
    let alone = Chronyd::start("port 0\ncmdport 0\n");
    let (_server, client) = pair();
    for (daemon, source) in [(&alone, ""), (&client, "127.0.0.1")] {
        for words in ["tracking --json", "waitsync 1 --json"] {
            let (_, text) = daemon.ctl(words);
            assert!(
                text.contains(&format!("\"source\":\"{source}\",")),
                "{words}: {text}"
            );
            assert!(!text.contains("-0,"), "{words}: {text}");
        }
    }
}

#[test]
fn json_has_one_direction_for_offsets() {
    let (_server, client) = pair();
    let (good, text) = client.ctl("sources --json");
    assert!(good, "{text}");
    assert!(
        text.starts_with("[{\"source\":\"SOC0\",\"mode\":\"refclock\",\"state\":\"unselectable\""),
        "{text}"
    );
    let selected = "{\"source\":\"127.0.0.1\",\"mode\":\"server\",\"state\":\"selected\",\"stratum\":3,";
    let measured = || {
        let (_, text) = client.ctl("sources --json");
        let (_, after) = text.split_once(selected).unwrap_or_else(|| panic!("{text}"));
        let (_, offset) = after.split_once("\"measured_offset_s\":").unwrap();
        offset.split(',').next().unwrap().to_owned()
    };
    // The line says by how much the clock is ahead, JSON by how much it is behind. Both have to be of one measurement.
    let before = Instant::now();
    let (row, measured) = loop {
        let offset = measured();
        let table = client.ctl("sources").1;
        if offset == measured() {
            let row = table.lines().find(|row| row.starts_with("^* 127.0.0.1")).unwrap();
            break (row.to_owned(), offset);
        }
        assert!(before.elapsed() < PATIENCE, "every answer is another");
    };
    let (_, ahead) = row.split_once('[').unwrap();
    let ahead = ahead.trim_start().starts_with('+');
    assert_eq!(measured.starts_with('-'), ahead, "{row} {measured}");
}
