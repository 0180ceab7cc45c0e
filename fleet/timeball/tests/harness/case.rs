//! One behaviour: how the program is called, and what comes of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::glob;
use super::server::{Exchange, Server};
use super::terminal::Terminal;

/// A behaviour file.
///
/// In arguments, environment, files and expected output `{url}` stands for the scripted server's address,
/// `{dead}` for an address where nobody listens, `{dir}` for the directory of the files and `{version}` for
/// the program's version; in expected output `{*}` stands for anything within the line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What it shows, for the reader.
    #[expect(dead_code, reason = "for people")]
    about: String,
    args: Vec<String>,
    /// The whole environment, but for `HOME`, which is `{dir}`, and the client's token.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Leave out the token that is in the environment otherwise.
    #[serde(default)]
    no_token: bool,
    /// Leave out the address of the scripted server that is in the environment otherwise.
    #[serde(default)]
    no_url: bool,
    #[serde(default)]
    stdin: String,
    /// Files by their name below `{dir}`; they can be read by their owner only.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Files that everybody can read.
    #[serde(default)]
    open_files: BTreeMap<String, String>,
    /// Make stdout a terminal of so many columns.
    #[serde(default)]
    stdout_columns: Option<u16>,
    /// Make stderr a terminal.
    #[serde(default)]
    stderr_terminal: bool,
    /// Interrupt the program when its last request hangs.
    #[serde(default)]
    interrupt: bool,
    /// The scripted server.
    #[serde(default)]
    server: Vec<Exchange>,
    pub(crate) expect: Expect,
}

/// What must come of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    status: i32,
    stdout: String,
    stderr: String,
    /// Texts that must be in stderr, which is not compared otherwise: for progress on a terminal.
    stderr_contains: Vec<String>,
    /// Texts that must be in stdout, which is not compared otherwise: for what a library writes.
    stdout_contains: Vec<String>,
    /// Files below `{dir}` afterwards.
    files: BTreeMap<String, String>,
}

/// What came of it.
pub(crate) struct Run {
    status: i32,
    stdout: String,
    stderr: String,
    files: BTreeMap<String, String>,
    server: Vec<String>,
}

impl Case {
    /// Calls the program.
    pub(crate) fn run(&self) -> Run {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().to_str().unwrap().to_owned();
        let server = Server::start(self.server.clone());
        let url = format!("http://{}", server.address);
        let put = |text: &str| {
            text.replace("{url}", &url)
                .replace("{dead}", DEAD)
                .replace("{dir}", &dir)
        };
        for (files, mode) in [(&self.files, 0o600), (&self.open_files, 0o644)] {
            for (name, content) in files {
                let path = directory.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, put(content)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_timeball"));
        command
            .args(self.args.iter().map(|arg| put(arg)))
            .current_dir(directory.path());
        command
            .env_clear()
            .env("HOME", &dir)
            .env("XDG_STATE_HOME", format!("{dir}/state"));
        if !self.no_url && !self.server.is_empty() {
            command.env("TIMEBALL_URL", &url);
        }
        if !self.no_token {
            command.env("TIMEBALL_TOKEN", "t0ken");
        }
        // The same data directory for root and others.
        command
            .env("TERM", "xterm")
            .env("TIMEBALL_DATA", format!("{dir}/state/timeball"));
        command.envs(self.env.iter().map(|(name, value)| (name, put(value))));
        let (status, stdout, stderr) = self.call(command, &server);
        let back = |text: String| {
            text.replace(&url, "{url}")
                .replace(&dir, "{dir}")
                .replace(DEAD, "{dead}")
                .replace(env!("CARGO_PKG_VERSION"), "{version}")
        };
        let files = self.expect.files.keys().map(|name| {
            let content =
                fs::read_to_string(Path::new(&dir).join(name)).unwrap_or_else(|error| error.to_string());
            (name.clone(), back(content))
        });
        Run {
            status,
            files: files.collect(),
            stdout: back(stdout),
            stderr: back(stderr),
            server: server.finish(),
        }
    }

    fn call(&self, mut command: Command, server: &Server) -> (i32, String, String) {
        let stdout = self.stdout_columns.map(Terminal::new);
        let stderr = self.stderr_terminal.then(|| Terminal::new(80));
        command.stdin(Stdio::piped());
        command.stdout(stdout.as_ref().map_or_else(Stdio::piped, Terminal::stdio));
        command.stderr(stderr.as_ref().map_or_else(Stdio::piped, Terminal::stdio));
        let mut child = command.spawn().unwrap();
        // The command holds the program's ends of the terminals.
        drop(command);
        let out = stdout.map_or_else(|| read(child.stdout.take()), Terminal::read);
        let err = stderr.map_or_else(|| read(child.stderr.take()), Terminal::read);
        // A program that does not read its input may be gone.
        let _ = child.stdin.take().unwrap().write_all(self.stdin.as_bytes());
        if self.interrupt {
            server.wait_until_it_hangs();
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        }
        let status = wait(&mut child);
        (status, out.join().unwrap(), err.join().unwrap())
    }
}

/// Nobody listens on the discard port of this address.
const DEAD: &str = "http://127.9.9.9:9";

fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let mut pipe = pipe.unwrap();
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// Waits for the program's end, a minute at most: a program that hangs is a failure, not a wait.
fn wait(child: &mut Child) -> i32 {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(2));
    }
}

impl Expect {
    /// Compares, and tells the differences.
    pub(crate) fn check(&self, run: &Run) -> Result<(), String> {
        let mut wrong = run.server.clone();
        if self.status != run.status {
            wrong.push(format!("status expected: {}, was: {}", self.status, run.status));
        }
        let mut compare = |what: &str, expected: &str, actual: &str, contains: &[String]| {
            if contains.is_empty() {
                if !glob::matches(expected, actual) {
                    wrong.push(format!(
                        "--- {what} expected:\n{expected}--- {what} was:\n{actual}---"
                    ));
                }
            } else {
                for text in contains.iter().filter(|text| !actual.contains(text.as_str())) {
                    wrong.push(format!("--- {what} lacks:\n{text}\n--- {what} was:\n{actual}---"));
                }
            }
        };
        compare("stdout", &self.stdout, &run.stdout, &self.stdout_contains);
        compare("stderr", &self.stderr, &run.stderr, &self.stderr_contains);
        for (name, expected) in &self.files {
            compare(
                name,
                expected,
                run.files.get(name).map_or("", String::as_str),
                &[],
            );
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }
}

/// The file with what came of the run in place of what was expected. The parts that say `…_contains` and the
/// files stay.
pub(crate) fn blessed(text: &str, run: &Run) -> String {
    let (call, expect) = text.split_once("[expect]").unwrap_or((text, ""));
    let old: Expect = toml::from_str::<BTreeMap<String, Expect>>(&format!("[expect]{expect}"))
        .ok()
        .and_then(|mut tables| tables.remove("expect"))
        .unwrap_or_default();
    let mut new = format!("{call}[expect]\nstatus = {}\n", run.status);
    let mut part = |name: &str, value: &str, contains: &[String]| {
        if contains.is_empty() {
            new.push_str(&format!("{name} = {}\n", quoted(value)));
        } else {
            new.push_str(&format!("{name}_contains = {contains:?}\n"));
        }
    };
    part("stdout", &run.stdout, &old.stdout_contains);
    part("stderr", &run.stderr, &old.stderr_contains);
    if !run.files.is_empty() {
        new.push_str("[expect.files]\n");
        for (name, content) in &run.files {
            new.push_str(&format!("{name:?} = {}\n", quoted(content)));
        }
    }
    new
}

/// A TOML string: literal where that can be, so that it reads as printed.
fn quoted(text: &str) -> String {
    let literal = !text.contains("'''") && text.chars().all(|c| c == '\n' || !c.is_control());
    match (text, literal) {
        ("", _) => "''".to_owned(),
        (_, true) => format!("'''\n{text}'''"),
        (_, false) => {
            let mut quoted = String::from("\"");
            for c in text.chars() {
                match c {
                    '"' | '\\' => quoted.extend(['\\', c]),
                    '\n' => quoted.push_str("\\n"),
                    c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
                    c => quoted.push(c),
                }
            }
            quoted + "\""
        }
    }
}
