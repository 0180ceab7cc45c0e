//! Commands inside of a machine: those that end by themselves, and those that stay.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::holder::signal_group;
use super::wait::{eventually, within};

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command as a test would write it, for messages.
    pub command: String,
    /// Its exit status; 137 after it was stopped for taking too long.
    pub code: i32,
    /// Everything it wrote to standard output.
    pub stdout: String,
    /// Everything it wrote to standard error.
    pub stderr: String,
}

impl Output {
    pub(super) fn collect(command: String, run: &mut Command) -> Self {
        let output = run.output().unwrap_or_else(|error| panic!("{command}: {error}"));
        Self {
            command,
            code: code(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Whether the exit status is 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// Standard output of a command that must succeed; panics with all it said otherwise.
    #[track_caller]
    pub fn ok(self) -> String {
        match self.result() {
            Ok(stdout) => stdout,
            Err(reason) => panic!("{reason}"),
        }
    }

    /// Standard output, or one line about the failure.
    pub fn result(self) -> Result<String, String> {
        if self.success() {
            return Ok(self.stdout);
        }
        let Self {
            command,
            code,
            stdout,
            stderr,
        } = self;
        Err(format!(
            "`{command}` exited with {code}: {}{}",
            stdout.trim_end(),
            stderr.trim_end()
        ))
    }
}

/// A command that stays: cheap to clone, ended by the laboratory at the latest.
#[derive(Debug, Clone)]
pub struct Process(Arc<Running>);

#[derive(Debug)]
struct Running {
    title: String,
    /// `nsenter`, whose group holds the whole command and whose status is the command's.
    child: Mutex<Child>,
    group: u32,
    /// The command's own process id inside of its machine.
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `args` by means of `enter` (see `Holder::command`), output into `log`.
    pub(super) fn start(
        title: String,
        mut enter: Command,
        args: &[&str],
        log: PathBuf,
        pidfile: &Path,
    ) -> Self {
        // The outer shell never stops when the command is frozen, which nsenter could not bear.
        enter.args(["sh", "-c", "\"$@\"; exit $?", "lab"]);
        enter
            .args([
                "sh",
                "-c",
                "echo $$ >\"$0.new\" && mv \"$0.new\" \"$0\"; exec \"$@\"",
            ])
            .arg(pidfile);
        enter.args(args).process_group(0).stdin(Stdio::null());
        let out = File::create(&log).unwrap();
        enter.stdout(out.try_clone().unwrap()).stderr(out);
        let mut child = enter.spawn().unwrap_or_else(|error| panic!("{title}: {error}"));
        let pid = within(Duration::from_secs(20), || {
            let ended = child.try_wait().ok().flatten();
            match fs::read_to_string(pidfile)
                .ok()
                .and_then(|text| text.trim().parse().ok())
            {
                Some(pid) => Ok(Ok(pid)),
                None if ended.is_some() => Ok(Err("it never started".to_owned())),
                None => Err("no process id".to_owned()),
            }
        });
        let pid = pid.and_then(|result| result).unwrap_or_else(|reason| {
            signal_group(child.id(), "KILL");
            panic!(
                "{title}: {reason}: {}",
                fs::read_to_string(&log).unwrap_or_default()
            )
        });
        let group = child.id();
        Self(Arc::new(Running {
            title,
            child: Mutex::new(child),
            group,
            pid,
            log,
        }))
    }

    /// Where it runs and what, for messages: `web-01: timeball agent`.
    pub fn title(&self) -> &str {
        &self.0.title
    }

    /// Its process id inside of its machine, as `Host::kill` and `Host::freeze` take it.
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// Its exit status once it has ended (128 + n after signal n).
    pub fn exit_code(&self) -> Option<i32> {
        self.0.child.lock().unwrap().try_wait().unwrap().map(code)
    }

    /// Whether it still runs.
    pub fn alive(&self) -> bool {
        self.exit_code().is_none()
    }

    /// Waits for its end and returns its exit status; panics after `deadline` with its log.
    #[track_caller]
    pub fn wait(&self, deadline: Duration) -> i32 {
        eventually(deadline, &format!("the end of {}", self.title()), || {
            self.exit_code()
                .ok_or_else(|| format!("it still runs:\n{}", self.log()))
        })
    }

    /// Ends it and all it started with SIGKILL, and waits until the last of them holds nothing any more: whoever
    /// takes its place finds locks and ports free.
    pub fn destroy(&self) {
        if self.alive() {
            signal_group(self.0.group, "KILL");
            let _ = self.0.child.lock().unwrap().wait();
            eventually(
                Duration::from_secs(20),
                &format!("the end of {}", self.title()),
                || {
                    if lives(self.0.group) {
                        Err("it was killed and has not ended".to_owned())
                    } else {
                        Ok(())
                    }
                },
            );
        }
    }

    /// What it wrote so far to standard output and standard error.
    pub fn log(&self) -> String {
        fs::read(&self.0.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

/// Whether a process of this group still has a thread that runs.
fn lives(group: u32) -> bool {
    let group = group.to_string();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .any(|process| {
            // `PID (NAME) STATE PARENT GROUP …`; it may end while it is looked at.
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
            let (state, its_group) = (fields.next(), fields.nth(1));
            let threads = || fs::read_dir(process.join("task")).map_or(0, Iterator::count);
            its_group == Some(group.as_str()) && (state != Some("Z") || threads() > 1)
        })
}

/// The exit status as a shell would number it.
fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .or_else(|| status.signal().map(|n| 128 + n))
        .unwrap_or(-1)
}
