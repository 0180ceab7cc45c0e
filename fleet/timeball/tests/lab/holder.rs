//! The namespaces of one machine, and the process that keeps them alive.
//!
//! Nothing has a name in the running system: no `ip netns` entry, no mount that the rest of
//! the machine sees. The namespaces live as long as their first process, and that process
//! lives as long as a pipe which this test holds open. A test that is killed leaves nothing.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::wait::within;

/// Nothing in the laboratory may set the clock, whatever options it is started with.
const NO_CLOCK: [&str; 3] = ["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time"];

/// Where every machine looks for its programs. An ordinary user's own list lacks chronyd's directory.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the laboratory gets its powers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Powers {
    /// The machines live in a user namespace of their own, because we are not root.
    user_namespace: bool,
    /// Only one user exists in there: `_chrony` does not, and nobody may write into an overlay.
    pub(super) one_user: bool,
}

impl Powers {
    /// Finds out; panics with the remedy if the laboratory cannot be built at all.
    pub(super) fn find() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let root = status.lines().any(|line| line.starts_with("Uid:\t0\t0\t"));
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        let mapped: u64 = map
            .lines()
            .filter_map(|l| l.split_whitespace().nth(2)?.parse::<u64>().ok())
            .sum();
        let may = Command::new("unshare")
            .args(if root {
                &["-nm", "true"][..]
            } else {
                &["-Urnm", "true"][..]
            })
            .output()
            .is_ok_and(|output| output.status.success());
        assert!(
            may,
            "the fleet laboratory needs namespaces: run ./test as root, or allow user namespaces \
             (sysctl kernel.unprivileged_userns_clone=1)"
        );
        Self {
            user_namespace: !root,
            one_user: !root || mapped < 1000,
        }
    }
}

/// The first process of a machine's namespaces.
#[derive(Debug)]
pub(super) struct Holder {
    powers: Powers,
    /// `unshare`, the parent of the first process.
    child: Child,
    /// Closing it ends the machine.
    leash: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The first process, as seen from the test.
    pid: u32,
}

impl Holder {
    /// Creates the namespaces and runs host.sh in them until it has mounted everything.
    ///
    /// `beside` is the hub: a machine of an unprivileged laboratory shares its user namespace.
    pub(super) fn start<'a>(
        powers: Powers,
        beside: Option<&Self>,
        script: &Path,
        settings: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
        log: &Path,
    ) -> Result<Self, String> {
        let mut command = match beside {
            Some(hub) if powers.user_namespace => {
                let mut command = hub.nsenter(&["-U", "--preserve-credentials"]);
                command.arg("unshare");
                command
            }
            _ => {
                let mut command = Command::new("unshare");
                command.args(powers.user_namespace.then_some("-Ur"));
                command
            }
        };
        command.args(["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--"]);
        command.args(NO_CLOCK).arg("sh").arg(script);
        command.envs(settings).env("PATH", PATH);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        command.stderr(File::create(log).map_err(|e| format!("{}: {e}", log.display()))?);
        let mut child = command.spawn().map_err(|e| format!("unshare: {e}"))?;
        let leash = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut holder = Self {
            powers,
            child,
            leash,
            answers,
            pid: 0,
        };
        let words = holder
            .answer("mounted")
            .map_err(|e| format!("{e}: {}", tail(log)))?;
        holder.pid = words
            .trim()
            .parse()
            .map_err(|_| format!("no process id in {words:?}"))?;
        Ok(holder)
    }

    /// Tells host.sh that its cable is plugged in, and waits until the machine is up.
    pub(super) fn plugged_in(&mut self, log: &Path) -> Result<(), String> {
        let leash = self.leash.as_mut().unwrap();
        leash
            .write_all(b"wired\n")
            .map_err(|e| format!("{e}: {}", tail(log)))?;
        self.answer("up")
            .map(drop)
            .map_err(|e| format!("{e}: {}", tail(log)))
    }

    /// The first process of the machine, as seen from outside of it.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// A command that runs inside of the machine; program and arguments are to be added.
    pub(super) fn command(&self) -> Command {
        let mut command = self.nsenter(&["-m", "-u", "-i", "-n", "-p"]);
        if self.powers.user_namespace {
            command.args(["-U", "--preserve-credentials"]);
        }
        command.arg("--").args(NO_CLOCK);
        command
    }

    /// `ip` with the machine's interfaces, but the process ids of the test: it moves cables.
    pub(super) fn ip(&self) -> Command {
        let mut command = self.nsenter(&["-n"]);
        if self.powers.user_namespace {
            command.args(["-U", "--preserve-credentials"]);
        }
        command.args(["--", "ip"]);
        command
    }

    /// Lets the machine end by itself; [`Holder::drop`] waits for it.
    pub(super) fn release(&mut self) {
        self.leash = None;
    }

    fn nsenter(&self, options: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid.to_string()]).args(options);
        command
    }

    fn answer(&mut self, word: &str) -> Result<String, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|e| e.to_string())?;
        match line.strip_prefix(word) {
            Some(rest) => Ok(rest.to_owned()),
            None => Err(format!("host.sh said {line:?} instead of {word:?}")),
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.release();
        let ended = within(Duration::from_secs(5), || match self.child.try_wait() {
            Ok(None) => Err("still there".to_owned()),
            _ => Ok(()),
        });
        if ended.is_err() {
            signal_group(self.child.id(), "KILL");
            let _ = self.child.wait();
        }
    }
}

/// Sends a signal to every process of a group that the laboratory started.
pub(super) fn signal_group(group: u32, signal: &str) {
    let line = format!("kill -s {signal} -- -{group}");
    let _ = Command::new("sh")
        .args(["-c", &line])
        .stderr(Stdio::null())
        .status();
}

/// The end of a file, for a message.
fn tail(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default().trim().to_owned()
}
