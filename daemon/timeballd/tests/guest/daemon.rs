//! A daemon that may set the clock, ours or chronyd.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::clock::{Kernel, offset_s};

/// How long anything may take: the machine is emulated, and may have to share the processor with others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// The directory to which the daemon may write, whoever it becomes.
const STATE: &str = "state";

/// The number of the user called nobody.
const NOBODY: u32 = 65_534;

/// A program that is tried.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    path: &'static str,
}

impl Program {
    pub(crate) const CHRONYD: Self = Self {
        name: "chronyd",
        path: "/usr/sbin/chronyd",
    };
    pub(crate) const TIMEBALLD: Self = Self {
        name: "timeballd",
        path: "/image/timeballd",
    };
    /// timeballd under the name of another.
    pub(crate) const OPENNTPD: Self = Self {
        name: "openntpd",
        path: "/image/openntpd",
    };

    pub(crate) fn is_ours(&self) -> bool {
        self.path.starts_with("/image/")
    }
}

/// A daemon that runs; it is killed with this value.
pub(crate) struct Daemon {
    folder: TempDir,
    child: Child,
}

impl Daemon {
    /// Starts it; in its configuration `@DIR@` is a directory to which nobody may write, the user of that name.
    pub(crate) fn start(program: &Program, arguments: &[&str], configuration: &str) -> Self {
        Self::start_through(&[], program, arguments, configuration)
    }

    /// Likewise, with a program that prepares the start before it becomes the daemon.
    pub(crate) fn start_through(
        before: &[&str],
        program: &Program,
        arguments: &[&str],
        configuration: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let inner = folder.path().join(STATE);
        fs::create_dir(&inner).unwrap();
        chown(&inner, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o750)).unwrap();
        let conf = folder.path().join("conf");
        fs::write(&conf, configuration.replace("@DIR@", inner.to_str().unwrap())).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let words = [before, &[program.path], arguments].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .arg("-f")
            .arg(conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// See [`status`].
    pub(crate) fn status(&self, name: &str) -> String {
        status(self.child.id(), name)
    }

    /// Waits until something is so, as long as it runs.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let folder = self.folder.path().to_owned();
        let log = || fs::read_to_string(folder.join("log")).unwrap();
        until(what, log, || {
            assert_eq!(self.child.try_wait().unwrap(), None, "{what}: {}", self.log());
            is_so(self)
        });
    }

    /// A file that it has written.
    pub(crate) fn written(&self, name: &str) -> String {
        let path = self.folder.path().join(STATE).join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}: {}", self.log()))
    }

    /// Has it end as a service manager does.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let (status, log) = self.wait();
        assert_eq!(status, Some(0), "{log}");
    }

    /// Waits until it has ended: its exit status, and what it had logged.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> (Option<i32>, String) {
        let folder = self.folder.path().to_owned();
        let log = || fs::read_to_string(folder.join("log")).unwrap();
        let mut status = None;
        until("it ends", log, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.and_then(|status| status.code()), log())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the kernel says of a process in `/proc/PID/status`, the first word.
pub(crate) fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    found.split_whitespace().next().unwrap().to_owned()
}

/// Waits until something is so, or fails with the log.
#[track_caller]
pub(crate) fn until(what: &str, log: impl Fn() -> String, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not after {PATIENCE:?}; {:?}, off by {} s: {}",
            Kernel::read(),
            offset_s(),
            log()
        );
        sleep(Duration::from_millis(100));
    }
}
