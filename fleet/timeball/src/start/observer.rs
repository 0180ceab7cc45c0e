//! The timeballd that `timeball up` starts where no time service runs: it observes the clock and never sets it (`-x`),
//! so that the machine's offset can be seen. It has a directory of its own and ends with `up`.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use agent::{Container, Service};
use clap::Args;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::ending::{Ending, Failure};
use crate::paths;
use crate::replace::replace;

/// Name of the program.
const PROGRAM: &str = "timeballd";

/// Where the program is looked for beside `PATH`, in which ordinary users often have no `sbin`.
const DIRECTORIES: [&str; 2] = ["/usr/local/sbin", "/usr/sbin"];

/// How often in a row it is started before it is left alone.
const STARTS_MAX: u32 = 5;

/// How long it is waited before the second start; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// After so long it counts as one that runs.
const SOUND: Duration = Duration::from_secs(60);

/// How long it may take to end.
const END_WAIT: Duration = Duration::from_secs(3);

/// Longest path of a socket that every system takes, in bytes, less the name of the agent's own socket beside it.
const DIRECTORY_BYTES_MAX: usize = 107 - "/timeball.4194304.9999999999.sock".len();

/// How this machine's clock is seen.
pub(crate) enum Clock {
    /// By the time service that runs, or that the settings name.
    Served,
    /// By an observer, until it is told to stop.
    Observed(JoinHandle<()>),
    /// Not at all, for this reason.
    Unseen(String),
}

impl Clock {
    /// What the operator reads about it; nothing where all is as usual.
    pub(crate) fn told(&self) -> Option<String> {
        match self {
            Clock::Served => None,
            Clock::Observed(_) => {
                Some("no time service runs here: timeballd -x observes it and never sets it".to_owned())
            }
            Clock::Unseen(reason) => Some(format!("no time service runs here, and {reason}")),
        }
    }

    /// Waits until an observer has ended.
    pub(crate) async fn ended(self) {
        if let Clock::Observed(observer) = self {
            // A task that broke has dropped its process, and with it ended it.
            let _ = observer.await;
        }
    }
}

/// Sees to it that this machine's clock can be read: starts an observer where no time service runs, and makes the
/// agent ask it. What keeps an observer from starting is told; `up` goes on without one.
pub(crate) async fn begin(
    settings: &mut agent::Settings,
    data: &Path,
    stopped: watch::Receiver<bool>,
) -> Clock {
    if settings.service != Service::Auto || settings.container == Container::Container {
        return Clock::Served;
    }
    let asked = settings.clone();
    // Whoever cannot be asked is not there.
    if spawn_blocking(move || agent::time_service_runs(&asked))
        .await
        .unwrap_or(false)
    {
        return Clock::Served;
    }
    let Some(program) = find() else {
        return Clock::Unseen(
            "timeballd is neither beside timeball nor in PATH: `cargo build --release` makes both, then start \
             `timeball up` again"
                .to_owned(),
        );
    };
    let directory = data.join(PROGRAM);
    let observer = agent::Observer {
        directory: std::path::absolute(&directory).unwrap_or(directory),
        program,
    };
    if let Some(reason) = unfit(&observer.directory) {
        return Clock::Unseen(reason);
    }
    if let Err(error) = prepare(&observer) {
        let directory = observer.directory.display();
        return Clock::Unseen(format!(
            "timeballd cannot have {directory}: {error}; choose another data directory with --data DIR"
        ));
    }
    end_leftover(&observer).await;
    settings.service = Service::Observer(observer.clone());
    Clock::Observed(tokio::spawn(supervise(observer, stopped)))
}

/// The program: the one beside this one first, because both are of one version.
fn find() -> Option<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .map(|this| this.with_file_name(PROGRAM));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).chain(DIRECTORIES.map(PathBuf::from));
    beside
        .into_iter()
        .chain(named.map(|directory| directory.join(PROGRAM)))
        .find(|program| program.is_file())
}

/// Why a directory cannot be the observer's.
fn unfit(directory: &Path) -> Option<String> {
    let text = directory.to_str();
    let fits =
        |text: &&str| !text.contains(|character: char| character.is_whitespace() || character.is_control());
    if text.filter(fits).is_none() {
        return Some(format!(
            "the path {} cannot stand in timeballd's configuration: choose one without white space with --data DIR",
            directory.display()
        ));
    }
    (directory.as_os_str().len() > DIRECTORY_BYTES_MAX).then(|| {
        format!(
            "the path {} is too long for timeballd's socket: choose a shorter one with --data DIR",
            directory.display()
        )
    })
}

/// Makes the observer's directory, which nobody else may enter: timeballd has no socket in one that others can. A
/// configuration that is there stays as it is, but for an empty one, which an early end of the machine can leave.
fn prepare(observer: &agent::Observer) -> io::Result<()> {
    for directory in [&observer.directory, &observer.source_dir()] {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    fs::set_permissions(&observer.directory, Permissions::from_mode(0o700))?;
    match fs::read_to_string(observer.config()) {
        Ok(text) if !text.trim().is_empty() => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    replace(&observer.config(), &configuration(observer))
}

fn configuration(observer: &agent::Observer) -> String {
    format!(
        "# With this timeballd observes the clock of this machine for `timeball up`, which starts it with -x: it never\n\
         # sets the clock. It was written once: change the servers as you like and start `timeball up` again, but leave\n\
         # the paths below them as they are. Without this file it is written anew.\n\
         pool pool.ntp.org iburst\n\
         sourcedir {}\n\
         driftfile {}\n\
         bindcmdaddress {}\n\
         pidfile {}\n\
         cmdport 0\n\
         port 0\n",
        observer.source_dir().display(),
        observer.directory.join("drift").display(),
        observer.socket().display(),
        observer.pid_file().display()
    )
}

/// Waits for the end of the observer of an `up` that was killed, and sees to it.
async fn end_leftover(observer: &agent::Observer) {
    let text = fs::read_to_string(observer.pid_file()).unwrap_or_default();
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else {
        return;
    };
    let config = observer.config().display().to_string();
    // Its number may be another process's by now.
    let is_it = || {
        let command = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
        words
            .first()
            .is_some_and(|program| program.ends_with(PROGRAM.as_bytes()))
            && words.contains(&config.as_bytes())
    };
    let begun = Instant::now();
    while is_it() {
        let signal = match begun.elapsed() < END_WAIT {
            true => Signal::TERM,
            false => Signal::KILL,
        };
        if kill_process(pid, signal).is_err() || begun.elapsed() > 2 * END_WAIT {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Runs the observer until it is time to stop, and starts it again when it ends before.
async fn supervise(observer: agent::Observer, mut stopped: watch::Receiver<bool>) {
    let mut starts = 0;
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let why = match start(&observer) {
            Ok((child, log)) => match watch_over(child, log, &mut stopped).await {
                Some(why) => why,
                None => return,
            },
            Err(error) => format!("cannot start {}: {error}", observer.program.display()),
        };
        if begun.elapsed() >= SOUND {
            (starts, pause) = (0, FIRST_PAUSE);
        }
        starts += 1;
        if starts >= STARTS_MAX {
            tracing::error!(
                "timeballd ended {starts} times ({why}): this machine's clock is not observed any more; put right \
                 what it says, look at {}, and start `timeball up` again",
                observer.config().display()
            );
            return;
        }
        tracing::warn!(
            "timeballd ended ({why}); it is started again in {} s",
            pause.as_secs()
        );
        tokio::select! {
            () = sleep(pause) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        pause *= 2;
    }
}

/// Arguments of the process that becomes the observer.
#[derive(Args, Debug)]
pub(crate) struct ObserveArgs {
    /// The process whose end is the observer's
    #[arg(long)]
    parent: i32,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the observer: a program that ends with `up`, however that ends, and has no capability, root's neither.
pub(crate) fn observe(args: &ObserveArgs) -> Ending {
    let failed = |what: &str, error: io::Error| Failure::new(format!("{what}: {error}"));
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| failed("the end of `up` cannot be waited for", error.into()))?;
    if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(args.parent) {
        return Err(Failure::new("`timeball up` has ended already"));
    }
    if paths::is_root() {
        // The kernel may know fewer of them.
        for capability in CapabilitySet::all().iter() {
            let _ = remove_capability_from_bounding_set(capability);
        }
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, none).map_err(|error| failed("capabilities", error.into()))?;
    }
    set_no_new_privs(true).map_err(|error| failed("no_new_privs", error.into()))?;
    let [program, words @ ..] = args.command.as_slice() else {
        return Err(Failure::new("no program is named"));
    };
    let error = std::process::Command::new(program).args(words).exec();
    Err(failed(&program.display().to_string(), error))
}

/// Starts the observer. What it says comes as lines.
fn start(observer: &agent::Observer) -> io::Result<(Child, impl AsyncRead + Unpin + Send + 'static)> {
    // This program, even when its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command
        .args([
            "observe",
            "--parent",
            &getpid().as_raw_nonzero().to_string(),
            "--",
        ])
        .arg(&observer.program);
    command.args(["-x", "-d", "-f"]).arg(observer.config());
    if paths::is_root() {
        // Another user could not enter the data directory.
        command.args(["-u", "root"]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C is for `up`, which then tells the observer.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let log = child
        .stderr
        .take()
        .ok_or_else(|| io::Error::other("its log cannot be read"))?;
    Ok((child, log))
}

/// Waits until the observer ends and says why it did, or until it is time to stop; then it is ended.
async fn watch_over(
    mut child: Child,
    log: impl AsyncRead + Unpin + Send + 'static,
    stopped: &mut watch::Receiver<bool>,
) -> Option<String> {
    let last = tokio::spawn(read(log));
    let status = tokio::select! {
        status = child.wait() => Some(status),
        _ = stopped.wait_for(|stopped| *stopped) => None,
    };
    let Some(status) = status else {
        end(&mut child).await;
        return None;
    };
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let last = last.await.unwrap_or_default();
    Some(if last.is_empty() {
        status
    } else {
        format!("{status}: {}", crate::text::line(&last))
    })
}

/// Passes on what the observer says; gives its last line.
async fn read(log: impl AsyncRead + Unpin) -> String {
    let mut lines = BufReader::new(log).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::debug!("timeballd: {}", crate::text::line(&line));
        last = line;
    }
    last
}

async fn end(child: &mut Child) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended at this very moment.
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(END_WAIT, child.wait()).await.is_err() {
        tracing::warn!("timeballd did not end in time and was killed");
        let _ = child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use conf::chrony::parse;
    use conf::include::{ReadError, Reader};

    use super::*;

    struct OneFile(String);

    impl Reader for OneFile {
        fn read_file(&self, _path: &str) -> Result<String, ReadError> {
            Ok(self.0.clone())
        }

        fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn timeballd_understands_every_line_and_serves_nobody() {
        let observer = agent::Observer {
            directory: "/home/a/.local/state/timeball/timeballd".into(),
            program: "timeballd".into(),
        };
        let (config, problems) = parse("x", &OneFile(configuration(&observer)));
        assert_eq!(problems, []);
        assert_eq!(config.sources.len(), 1);
        assert_eq!((config.server.port, config.control.port), (0, 0));
    }

    #[test]
    fn paths_that_cannot_be_used_are_said_with_the_remedy() {
        assert_eq!(unfit(Path::new("/home/a/.local/state/timeball/timeballd")), None);
        let long = "x".repeat(DIRECTORY_BYTES_MAX);
        for path in ["/home/a b/timeballd", "/home/a\nserver b", long.as_str()] {
            let reason = unfit(&Path::new("/").join(path));
            assert!(
                reason.is_some_and(|reason| reason.ends_with("with --data DIR")),
                "{path}"
            );
        }
    }
}
