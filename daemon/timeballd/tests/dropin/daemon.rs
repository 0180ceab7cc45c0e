//! A daemon for the time of a test, and `chronyc` to ask it.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long it is waited for an answer that is as it should be.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a daemon may take to end.
const END: Duration = Duration::from_secs(10);

/// Which daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The original.
    Chronyd,
    /// Ours.
    Timeballd,
}

impl Program {
    fn path(self) -> String {
        match self {
            Self::Chronyd => peer("CHRONYD", "/usr/sbin/chronyd"),
            Self::Timeballd => env!("CARGO_BIN_EXE_timeballd").to_owned(),
        }
    }
}

impl Program {
    /// Runs a daemon with these arguments, without touching the clock, until it ends by itself; returns its status and what
    /// it logged, without the times. In the arguments `@DIR@` is a directory.
    pub(crate) fn run(self, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |text: &str| text.replace("@DIR@", folder.path().to_str().unwrap());
        let path = self.path();
        let output = Command::new("timeout")
            .arg(END.as_secs().to_string())
            .args([&path, "-x", "-U", "-d"])
            .args(arguments.iter().map(|argument| in_folder(argument)))
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{path} cannot be run: {error}"));
        let text = String::from_utf8(output.stderr).unwrap();
        let lines = text.lines().map(|line| {
            let line = line.split_once("Z ").map_or(line, |(_, text)| text);
            line.replace(folder.path().to_str().unwrap(), "@DIR@")
                .replace("timeballd", "chronyd")
        });
        (output.status.code(), lines.collect())
    }
}

/// Who runs the test.
pub(crate) fn user() -> String {
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(user).unwrap().trim().to_owned()
}

/// A program of chrony: that of Debian, or of another release that the environment names.
fn peer(variable: &str, debian: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| debian.to_owned())
}

/// A daemon that runs in a directory of its own, does not touch the clock, and speaks over a Unix socket and a
/// UDP port. It ends with this value.
pub(crate) struct Daemon {
    folder: tempfile::TempDir,
    child: Child,
    pub(crate) command_port: u16,
}

impl Daemon {
    /// Starts a daemon and waits until it answers. In its configuration `@DIR@` is its directory.
    pub(crate) fn start(program: Program, config: &str) -> Self {
        Self::start_with(program, &[], config)
    }

    /// Likewise, with more options; in these too `@DIR@` is its directory.
    pub(crate) fn start_with(program: Program, options: &[&str], config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let path = |name: &str| folder.path().join(name);
        let command_port = free_port();
        let text =
            format!("cmdport {command_port}\nbindcmdaddress @DIR@/socket\npidfile @DIR@/pid\n{config}\n");
        let in_folder = |text: &str| text.replace("@DIR@", folder.path().to_str().unwrap());
        let text = in_folder(&text);
        fs::write(path("conf"), text).unwrap();
        let log = File::create(path("log")).unwrap();
        let path_of_program = program.path();
        let child = Command::new(&path_of_program)
            .args(["-d", "-x", "-U", "-u", &user(), "-f"])
            .arg(path("conf"))
            .args(options.iter().map(|option| in_folder(option)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{path_of_program} cannot be run: {error}"));
        let daemon = Self {
            folder,
            child,
            command_port,
        };
        daemon.wait_until("activity", |(_, status)| *status == Some(0));
        daemon
    }

    /// Waits until what `chronyc` prints, and its status, are as they should be.
    pub(crate) fn wait_until(&self, command: &str, is_so: impl Fn(&(String, Option<i32>)) -> bool) {
        let begun = Instant::now();
        let mut answer = self.ask(command);
        while !is_so(&answer) {
            assert!(
                begun.elapsed() < PATIENCE,
                "chronyc {command}: {answer:?}\n{}",
                self.log()
            );
            sleep(Duration::from_millis(20));
            answer = self.ask(command);
        }
    }

    /// Asks over the Unix socket; returns what `chronyc` prints and its status.
    pub(crate) fn ask(&self, command: &str) -> (String, Option<i32>) {
        let socket = self.path("socket");
        chronyc(&["-n", "-h", socket.to_str().unwrap()], command)
    }

    /// Asks over UDP.
    pub(crate) fn ask_udp(&self, address: &str, command: &str) -> (String, Option<i32>) {
        let port = self.command_port.to_string();
        chronyc(&["-n", "-h", address, "-p", &port], command)
    }

    /// Asks for lines of comma-separated values, over the Unix socket.
    pub(crate) fn ask_for_values(&self, command: &str) -> (String, Option<i32>) {
        let socket = self.path("socket");
        chronyc(&["-c", "-n", "-h", socket.to_str().unwrap()], command)
    }

    /// Asks with these options, over the Unix socket. Each of `words` is one argument.
    pub(crate) fn ask_with(&self, options: &[&str], words: &[&str]) -> (String, Option<i32>) {
        let socket = self.path("socket");
        let arguments = [options, &["-h", socket.to_str().unwrap()], words].concat();
        chronyc(&arguments, "")
    }

    /// Sends a datagram to the Unix socket; returns the answer.
    pub(crate) fn ask_raw(&self, request: &[u8]) -> Vec<u8> {
        let own = self.path("asking");
        let socket = UnixDatagram::bind(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        socket.set_read_timeout(Some(END)).unwrap();
        socket.send_to(request, self.path("socket")).unwrap();
        let mut answer = [0; 1000];
        let length = socket.recv(&mut answer).unwrap();
        fs::remove_file(own).unwrap();
        answer[..length].to_vec()
    }

    /// A file in the directory of the daemon.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the daemon has ended by itself; returns its status.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.code(),
                None if begun.elapsed() > END => panic!("it does not end:\n{}", self.log()),
                None => sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Ends the daemon; returns what it had logged.
    pub(crate) fn end(self) -> String {
        self.log()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A UDP port that nobody has.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// A server of time for the time of a test, that follows its own clock, at stratum 5; returns its port.
pub(crate) fn server() -> (Daemon, u16) {
    let port = free_port();
    let config = format!("port {port}\nlocal stratum 5\nallow\n");
    (Daemon::start(Program::Chronyd, &config), port)
}

fn chronyc(arguments: &[&str], command: &str) -> (String, Option<i32>) {
    let program = peer("CHRONYC", "/usr/bin/chronyc");
    let output = Command::new(&program)
        .args(arguments)
        .args(command.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let mut text = String::from_utf8(output.stdout).unwrap();
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    (text, output.status.code())
}
