//! Who else keeps this host's clock.
//!
//! A clock has one keeper. In a container that is easily forgotten: the clock is the host's, and the host may have a daemon of
//! its own, unseen from inside. What can be seen is looked at before the first write and before every later one: what the
//! kernel was told, who holds the NTP port, which daemons have left their files, and a lock for daemons of our own kind. As
//! long as there is a sign of another keeper the clock is only measured.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use conf::config::{Config, Conflict};
use os::files::{open_own, read_text};
use os::{Clock, Trace};
use units::Mono;

use crate::identity::Identity;

/// The NTP port, as the kernel's list of sockets has it.
const NTP_PORT: &str = ":007B";

/// Files with the number of another daemon's process, below a directory of runtime files, and the daemon. They stay where one
/// was killed.
const PID_FILES: [(&str, &str); 5] = [
    ("chrony/chronyd.pid", "chronyd"),
    ("chronyd.pid", "chronyd"),
    ("ntpd.pid", "ntpd"),
    ("openntpd.pid", "openntpd"),
    ("timeballd/timeballd.pid", "timeballd"),
];

/// What is read of such a file, bytes.
const PID_FILE_LENGTH_MAX: u64 = 64;

/// What is there while systemd-timesyncd runs and keeps the clock; systemd removes it.
const TIMESYNCD_FILE: &str = "systemd/timesync/synchronized";

/// What the processes of the daemons with [`PID_FILES`] are called: one can stand in for another by its name.
const PROCESSES: [&str; 4] = ["chronyd", "ntpd", "openntpd", "timeballd"];

/// The namespace of processes in which all are seen, as the kernel calls it (`PROC_PID_INIT_INO`).
const ALL_PROCESSES: &str = "pid:[4026531836]";

/// Where such directories are: this system's, and the host's, for whoever mounts it.
const RUNTIME_DIRECTORIES: [&str; 2] = ["/run", "/host/run"];

/// The name of the lock, in the directory of the drift file.
const LOCK_FILE: &str = "clock.lock";

/// A kernel that was told less than this long ago that its clock is right has a keeper: daemons poll every 1024 s (chronyd,
/// ntpd) or 2048 s (systemd-timesyncd) at the latest.
const SILENCE_S: f64 = 3000.0;

/// By how much the kernel lets the bound of the error grow (`MAXFREQ`), so that it tells how long ago it was set.
const GROWTH: f64 = 500e-6;

/// How often it is looked for signs beside the kernel's while the clock is steered, seconds, when something is written anyway.
const INTERVAL_S: f64 = 60.0;

/// How often it is looked whether somebody else is still there, seconds. Only for this the daemon wakes up.
const LOOK_S: f64 = 15.0;

/// How long there has to be no sign of anybody else before the clock is taken over, seconds: of somebody who was only seen by
/// what the kernel was told …
const QUIET_S: f64 = 180.0;
/// … and of somebody whose files, port or lock were seen, and then were gone. It is longer than a restart takes.
const QUIET_AFTER_SEEN_S: f64 = 45.0;
/// Either is doubled each time that it turned out to be too short, up to this, seconds.
const QUIET_MAX_S: f64 = 2.0 * 3600.0;

/// The name in the environment of what is done.
const POLICY: &str = "TIMEBALL_CONFLICT";

/// Whether the program runs in a container and minds that under this name. Image and engine say it in the environment.
pub(crate) fn is_in_container(identity: &Identity) -> bool {
    let mut marks = ["container", "KUBERNETES_SERVICE_HOST"].into_iter();
    identity.minds_container && marks.any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// What is done about others under this name, here. What the environment says counts where the configuration says nothing:
/// the languages of the two daemons called ntpd have no word for it.
///
/// # Errors
/// The environment says something else, as a line for the log.
pub(crate) fn policy(identity: &Identity, config: &Config) -> Result<Conflict, String> {
    if let Some(policy) = config.conflict {
        return Ok(policy);
    }
    let said = env::var_os(POLICY).filter(|word| !word.is_empty() && identity.minds_container);
    let Some(word) = said else {
        return Ok(if is_in_container(identity) {
            Conflict::Observe
        } else {
            Conflict::Ignore
        });
    };
    let known = Conflict::WORDS.iter().find(|(known, _)| word == *known);
    known.map(|(_, policy)| *policy).ok_or_else(|| {
        let word = word.display();
        format!("{POLICY} is {word} in the environment : it takes observe, fail or ignore")
    })
}

/// How it is said that the clock is not steered.
pub(crate) fn refusal(reason: &str) -> String {
    format!(
        "The clock is measured and not steered, because it has another keeper : {reason}. Stop that one on the host, or set \
         {POLICY}=ignore in the environment (timeball.conflict ignore in chrony's language)"
    )
}

/// Looks for others who keep the clock.
#[derive(Debug)]
pub(crate) struct ConflictFinder {
    places: Places,
    lock: Option<File>,
    /// What we have written into the kernel.
    ours: Option<Trace>,
    /// What others have, when it was looked at last.
    theirs: Option<Trace>,
    /// Whether there was more of somebody else than what the kernel was told, when it was looked at last.
    is_seen: bool,
    /// What the kernel had been told when somebody who was seen was gone.
    left: Option<Trace>,
    /// Why the clock is not steered, as long as it is not.
    reason: Option<String>,
    /// Since when there is no sign.
    quiet_since: Option<Mono>,
    /// How often that was too short, as a factor: 1, 2, 4, …
    quiet_factor: f64,
    /// When all signs are looked for again.
    next: Mono,
}

/// Where signs are looked for.
#[derive(Debug)]
struct Places {
    /// The root of the file system that this process has for itself, if it is in a container.
    root: PathBuf,
    proc: PathBuf,
    runtime: Vec<PathBuf>,
    lock: Option<PathBuf>,
}

impl ConflictFinder {
    /// Looks for the first time. `state` is the directory of the daemon's own files.
    pub(crate) fn begin(state: Option<&Path>, clock: &Clock, now: Mono) -> Self {
        let places = Places {
            root: "/".into(),
            proc: "/proc".into(),
            runtime: RUNTIME_DIRECTORIES.map(PathBuf::from).to_vec(),
            lock: state.map(|directory| directory.join(LOCK_FILE)),
        };
        let mut finder = Self::new(places, now);
        let trace = clock.trace().ok();
        finder.reason = finder.sign(trace.as_ref());
        if finder.reason.is_some() {
            finder.next = now.plus_seconds(LOOK_S);
        }
        finder
    }

    fn new(places: Places, now: Mono) -> Self {
        Self {
            places,
            lock: None,
            ours: None,
            theirs: None,
            is_seen: false,
            left: None,
            reason: None,
            quiet_since: None,
            quiet_factor: 1.0,
            next: now.plus_seconds(INTERVAL_S),
        }
    }

    /// Why the clock is not steered; `None` when it is.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Looks for signs before something is written.
    ///
    /// # Errors
    /// Why nothing is to be written.
    pub(crate) fn before_write(&mut self, trace: Option<&Trace>, now: Mono) -> Result<(), &str> {
        if self.reason.is_none() {
            self.reason = if now >= self.next {
                self.next = now.plus_seconds(INTERVAL_S);
                self.sign(trace)
            } else {
                trace.and_then(|trace| self.sign_in_kernel(trace))
            };
            if self.reason.is_some() {
                self.ours = None;
                self.quiet_since = None;
                self.next = now.plus_seconds(LOOK_S);
            }
        }
        self.reason.as_deref().map_or(Ok(()), Err)
    }

    /// Notes what was written.
    pub(crate) fn written(&mut self, trace: Option<Trace>) {
        let Some(trace) = trace else { return };
        let is_new = !self.ours.is_some_and(|ours| ours.is_same_hand(&trace));
        self.ours = Some(trace);
        if is_new && let Some(lock) = &mut self.lock {
            // A note for a daemon after this one, which can do without.
            let note = format!("{} {}\n", trace.frequency, trace.tick);
            let _ = lock
                .set_len(0)
                .and_then(|()| lock.seek(SeekFrom::Start(0)))
                .and_then(|_| lock.write_all(note.as_bytes()));
        }
    }

    /// When it is looked again whether the clock may be taken over.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.reason.as_ref().map(|_| self.next)
    }

    /// Looks again; returns whether the clock may be taken over from now on.
    pub(crate) fn look_again(&mut self, trace: Option<&Trace>, now: Mono) -> bool {
        if self.reason.is_none() || now < self.next {
            return false;
        }
        self.next = now.plus_seconds(LOOK_S);
        if let Some(reason) = self.sign(trace) {
            self.reason = Some(reason);
            self.quiet_since = None;
            return false;
        }
        let since = *self.quiet_since.get_or_insert(now);
        let quiet_s = match self.left {
            Some(_) => QUIET_AFTER_SEEN_S,
            None => QUIET_S,
        };
        if now.seconds_since(since) < (quiet_s * self.quiet_factor).min(QUIET_MAX_S) {
            return false;
        }
        self.reason = None;
        self.left = None;
        self.quiet_factor = (self.quiet_factor * 2.0).min(QUIET_MAX_S / QUIET_AFTER_SEEN_S);
        self.next = now.plus_seconds(INTERVAL_S);
        // Whatever is there now is what we begin with.
        self.ours = trace.copied();
        true
    }

    /// A sign of somebody else.
    fn sign(&mut self, trace: Option<&Trace>) -> Option<String> {
        let seen = self.sign_of_lock();
        let seen = seen.or_else(|| self.sign_of_files());
        let seen = seen.or_else(|| self.sign_of_port());
        let was_seen = std::mem::replace(&mut self.is_seen, seen.is_some());
        if was_seen || seen.is_some() {
            // All that the kernel was told until now was told by that one.
            self.left = trace.copied();
            self.theirs = trace.copied();
        }
        seen.or_else(|| self.sign_in_kernel(trace?))
    }

    /// Another daemon of our kind.
    fn sign_of_lock(&mut self) -> Option<String> {
        if self.lock.is_some() {
            return None;
        }
        let path = self.places.lock.as_ref()?;
        // Where nothing can be written there is no lock, and nobody can hold it.
        let file = open_own(path).ok()?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Some(format!("another timeballd holds {}", path.display())),
            Err(TryLockError::Error(_)) => None,
            Ok(()) => {
                self.lock = Some(file);
                None
            }
        }
    }

    /// A daemon that has left its files where they can be seen.
    fn sign_of_files(&self) -> Option<String> {
        for directory in &self.places.runtime {
            let of_pids = PID_FILES.map(|(name, daemon)| (directory.join(name), daemon));
            let found = of_pids
                .into_iter()
                .find(|(path, _)| path.exists() && self.may_run(path));
            let timesyncd = directory.join(TIMESYNCD_FILE);
            let timesyncd = timesyncd.exists().then_some((timesyncd, "systemd-timesyncd"));
            if let Some((path, daemon)) = found.or(timesyncd) {
                return Some(format!(
                    "{daemon} runs on this host: there is {} (remove it if that has ended)",
                    path.display()
                ));
            }
        }
        None
    }

    /// Whether the process in a pid file can be another daemon that runs. What cannot be known here is taken for one.
    fn may_run(&self, file: &Path) -> bool {
        // It is another daemon's, whose user can put a pipe there.
        let text = read_text(file, PID_FILE_LENGTH_MAX).unwrap_or_default();
        let Ok(id) = text.trim().parse::<u32>() else {
            return true;
        };
        if id == std::process::id() {
            return false;
        }
        if !self.sees_processes_behind(file) {
            return true;
        }
        let process = self.places.proc.join(id.to_string());
        (process.exists() && is_daemon(&process)) || self.is_in_container(id)
    }

    /// Whether the process that wrote a file would be among those that can be seen: here are those of the whole machine, or
    /// the file is on the file system that nobody has but this container. A directory that is mounted can be that of a host
    /// with processes that have other numbers, or none, in here.
    fn sees_processes_behind(&self, file: &Path) -> bool {
        let Places { root, proc, .. } = &self.places;
        // Some hide the processes of others.
        if !proc.join("1/comm").exists() {
            return false;
        }
        let namespace = fs::read_link(proc.join("self/ns/pid"));
        let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
        namespace.is_ok_and(|namespace| namespace.as_os_str() == ALL_PROCESSES)
            // An overlay tells of files on what they lie; of directories it tells that they are its own.
            || file.parent().and_then(device).is_some_and(|found| Some(found) == device(root))
    }

    /// Whether a daemon runs in a container in which it has this number.
    fn is_in_container(&self, id: u32) -> bool {
        let entries = fs::read_dir(&self.places.proc);
        let mut processes = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        processes.any(|process| {
            let status = || fs::read_to_string(process.join("status")).unwrap_or_default();
            is_numbered(&process) && is_daemon(&process) && number_inside(&status()) == Some(id)
        })
    }

    /// Somebody else who has the NTP port.
    fn sign_of_port(&self) -> Option<String> {
        let mut own = None;
        for list in ["net/udp", "net/udp6"] {
            let Ok(list) = File::open(self.places.proc.join(list)) else {
                continue;
            };
            // A host has any number of sockets, and this is done again and again.
            for line in BufReader::new(list).lines().map_while(Result::ok) {
                let Some(inode) = holder(&line) else { continue };
                let own = own.get_or_insert_with(|| self.own_sockets());
                if !own.contains(&format!("socket:[{inode}]")) {
                    return Some("another NTP daemon has UDP port 123 of this host".to_owned());
                }
            }
        }
        None
    }

    /// The sockets of this process, as the kernel names them.
    fn own_sockets(&self) -> Vec<String> {
        let entries = fs::read_dir(self.places.proc.join("self/fd"));
        let links = entries.into_iter().flatten().flatten();
        links
            .filter_map(|entry| {
                fs::read_link(entry.path())
                    .ok()?
                    .into_os_string()
                    .into_string()
                    .ok()
            })
            .collect()
    }

    /// What somebody else has told the kernel.
    fn sign_in_kernel(&mut self, trace: &Trace) -> Option<String> {
        if let Some(ours) = &self.ours {
            return (!ours.is_same_hand(trace)).then(|| {
                format!(
                    "somebody else steers it: the rate was set to {:.3} ppm and is {:.3} ppm now",
                    ours.rate_ppm, trace.rate_ppm
                )
            });
        }
        let before = self.theirs.replace(*trace);
        if before.is_some_and(|before| !before.is_same_hand(trace)) {
            return Some(format!(
                "somebody else steers it: the rate was set to {:.3} ppm",
                trace.rate_ppm
            ));
        }
        let silent_s = trace.max_error_s / GROWTH;
        if !self.left.is_some_and(|left| is_silent_since(&left, trace)) {
            self.left = None;
        }
        let is_left = self.left.is_some() || self.is_left_by_us(trace);
        let is_kept = trace.is_synchronised && silent_s < SILENCE_S && !is_left;
        is_kept.then(|| {
            format!(
                "somebody else has told the kernel within the last {:.0} minutes that it is right",
                (silent_s / 60.0).ceil()
            )
        })
    }

    /// Whether a daemon before this one, of our kind, has left this in the kernel.
    fn is_left_by_us(&mut self, trace: &Trace) -> bool {
        let Some(lock) = &mut self.lock else { return false };
        let mut note = String::new();
        let read = lock
            .seek(SeekFrom::Start(0))
            .and_then(|_| lock.take(64).read_to_string(&mut note));
        read.is_ok() && note.trim() == format!("{} {}", trace.frequency, trace.tick)
    }
}

/// Whether a directory below `/proc` is that of a process.
fn is_numbered(process: &Path) -> bool {
    let name = process.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a process is one of those that keep clocks, or does not let itself be looked at.
fn is_daemon(process: &Path) -> bool {
    fs::read_to_string(process.join("comm")).map_or(true, |name| PROCESSES.contains(&name.trim_end()))
}

/// The number that a process has in the innermost of its namespaces, where it is in more than one.
fn number_inside(status: &str) -> Option<u32> {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_ascii_whitespace().skip(1).last()?.parse().ok()
}

/// Whether the kernel was told nothing between two looks: its bound of the error only grows by itself.
fn is_silent_since(before: &Trace, now: &Trace) -> bool {
    before.is_same_hand(now) && now.max_error_s >= before.max_error_s
}

/// The inode of a socket, from its line in a list of the kernel, if it has the NTP port.
fn holder(line: &str) -> Option<&str> {
    let mut fields = line.split_ascii_whitespace();
    let has_port = fields.nth(1)?.ends_with(NTP_PORT);
    let inode = fields.nth(7)?;
    has_port.then_some(inode)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const FREE: Trace = Trace {
        frequency: 0,
        tick: 10_000,
        loops: 0,
        is_synchronised: false,
        max_error_s: 16.0,
        rate_ppm: 0.0,
    };

    const OURS: Trace = Trace {
        frequency: 65_536,
        rate_ppm: 1.0,
        ..FREE
    };

    const THEIRS: Trace = Trace {
        frequency: -131_072,
        rate_ppm: -2.0,
        ..FREE
    };

    struct Host(TempDir);

    impl Host {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for directory in ["proc/net", "proc/self/fd", "run", "state"] {
                fs::create_dir_all(folder.path().join(directory)).unwrap();
            }
            Self(folder)
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn finder(&self) -> ConflictFinder {
            let path = |name: &str| self.0.path().join(name);
            let places = Places {
                root: path("run"),
                proc: path("proc"),
                runtime: vec![path("run")],
                lock: Some(path("state").join(LOCK_FILE)),
            };
            ConflictFinder::new(places, Mono::ZERO)
        }

        fn sign(&self, trace: &Trace) -> Option<String> {
            self.finder().sign(Some(trace))
        }
    }

    fn at(seconds: f64) -> Mono {
        Mono::ZERO.plus_seconds(seconds)
    }

    #[test]
    fn a_host_without_another_keeper_has_no_sign() {
        let host = Host::new();
        assert_eq!(host.sign(&FREE), None);
        // Since its boot, or since a daemon ended long ago.
        let once = Trace {
            is_synchronised: true,
            max_error_s: 1.6,
            ..FREE
        };
        assert_eq!(host.sign(&once), None);
    }

    #[test]
    fn a_kernel_that_was_told_lately_has_a_keeper() {
        let host = Host::new();
        let kept = Trace {
            is_synchronised: true,
            max_error_s: 0.5,
            ..OURS
        };
        let said = host.sign(&kept).unwrap();
        assert!(
            said.ends_with("within the last 17 minutes that it is right"),
            "{said}"
        );
        // Unless that was a daemon of ours that was killed.
        let mut killed = host.finder();
        assert_eq!(killed.sign(Some(&FREE)), None);
        killed.written(Some(OURS));
        drop(killed);
        assert_eq!(host.sign(&kept), None);
        let other = Trace { frequency: 1, ..kept };
        assert!(host.sign(&other).is_some());
    }

    #[test]
    fn what_others_put_in_the_place_of_files_is_left_alone() {
        let host = Host::new();
        let path = |name: &str| host.0.path().join(name);
        host.write("precious", "as it was");
        std::os::unix::fs::symlink(path("precious"), path("state").join(LOCK_FILE)).unwrap();
        let mut finder = host.finder();
        assert_eq!(finder.sign(Some(&FREE)), None);
        finder.written(Some(OURS));
        assert_eq!(fs::read_to_string(path("precious")).unwrap(), "as it was");
        // A pipe that nobody writes to holds up nobody who reads it.
        fs::create_dir(path("run/chrony")).unwrap();
        let pipe = path("run/chrony/chronyd.pid");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(
            host.sign(&FREE)
                .is_some_and(|sign| sign.starts_with("chronyd runs"))
        );
    }

    #[test]
    fn a_pid_file_counts_as_long_as_its_daemon_can_run() {
        let file = "run/chrony/chronyd.pid";
        let host = |id: &str, processes: &[(&str, &str)]| {
            let host = Host::new();
            host.write(file, id);
            for (place, text) in processes {
                host.write(&format!("proc/{place}"), text);
            }
            host
        };
        let init = ("1/comm", "sh\n");
        for (what, id, processes, is_sign) in [
            ("it runs", "4711\n", &[init, ("4711/comm", "chronyd\n")][..], true),
            ("it has ended", "4711\n", &[init], false),
            (
                "another has its number",
                "4711\n",
                &[init, ("4711/comm", "sleep\n")],
                false,
            ),
            (
                "another daemon stands in for it",
                "4711\n",
                &[init, ("4711/comm", "timeballd\n")],
                true,
            ),
            ("processes are hidden", "4711\n", &[], true),
            ("it does not say", "", &[init], true),
            (
                "it runs in a container",
                "7\n",
                &[
                    init,
                    ("7/comm", "kthreadd\n"),
                    ("900/comm", "chronyd\n"),
                    ("900/status", "Name:\tx\nNSpid:\t900\t7\n"),
                ],
                true,
            ),
            (
                "one with another number runs in a container",
                "7\n",
                &[
                    init,
                    ("900/comm", "chronyd\n"),
                    ("900/status", "NSpid:\t900\t8\n"),
                ],
                false,
            ),
        ] {
            assert_eq!(host(id, processes).sign(&FREE).is_some(), is_sign, "{what}");
        }
        // Where the file is on another file system than all that is the container's own, only who sees all processes knows.
        let ended = host("4711\n", &[init]);
        let mut finder = ended.finder();
        finder.places.root = "/proc".into();
        assert!(finder.sign(Some(&FREE)).is_some());
        fs::create_dir_all(ended.0.path().join("proc/self/ns")).unwrap();
        std::os::unix::fs::symlink(ALL_PROCESSES, ended.0.path().join("proc/self/ns/pid")).unwrap();
        assert_eq!(finder.sign(Some(&FREE)), None);
    }

    #[test]
    fn daemons_are_known_by_their_files() {
        for (name, daemon) in PID_FILES
            .into_iter()
            .chain([(TIMESYNCD_FILE, "systemd-timesyncd")])
        {
            let host = Host::new();
            host.write(&format!("run/{name}"), "1\n");
            let said = host.sign(&FREE).unwrap();
            assert!(
                said.starts_with(&format!("{daemon} runs on this host: ")),
                "{said}"
            );
            host.write(&format!("run/{name}"), &format!("{}\n", std::process::id()));
            assert_eq!(host.sign(&FREE).is_none(), name.ends_with(".pid"), "this is us");
        }
    }

    #[test]
    fn the_port_of_others_is_told_from_ours() {
        let host = Host::new();
        let list = |port: &str| {
            format!(
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n \
                 77: 00000000:{port} 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0\n"
            )
        };
        host.write("proc/net/udp", &list("0143"));
        assert_eq!(host.sign(&FREE), None);
        host.write("proc/net/udp", &list("007B"));
        assert!(host.sign(&FREE).unwrap().contains("UDP port 123"));
        std::os::unix::fs::symlink("socket:[4711]", host.0.path().join("proc/self/fd/5")).unwrap();
        assert_eq!(host.sign(&FREE), None);
    }

    #[test]
    fn of_two_daemons_one_steers() {
        let host = Host::new();
        let mut first = host.finder();
        assert_eq!(first.sign(Some(&FREE)), None);
        let mut second = host.finder();
        assert!(
            second
                .sign(Some(&FREE))
                .unwrap()
                .starts_with("another timeballd holds ")
        );
        drop(first);
        assert_eq!(second.sign(Some(&FREE)), None);
    }

    #[test]
    fn somebody_who_writes_too_is_noticed_at_the_next_write() {
        let host = Host::new();
        let mut finder = host.finder();
        assert_eq!(finder.before_write(Some(&FREE), at(1.0)), Ok(()));
        finder.written(Some(OURS));
        assert_eq!(finder.before_write(Some(&OURS), at(2.0)), Ok(()));
        assert_eq!(
            finder.before_write(Some(&THEIRS), at(3.0)),
            Err("somebody else steers it: the rate was set to 1.000 ppm and is -2.000 ppm now")
        );
        // What was queued is not written either, and nothing else as long as there are signs.
        assert!(finder.before_write(Some(&OURS), at(3.0)).is_err());
        assert_eq!(finder.deadline(), Some(at(18.0)));
        assert!(!finder.look_again(Some(&THEIRS), at(17.0)));
    }

    /// Looks every 15 s until the clock is taken over; returns how long that took, seconds.
    fn quiet_s(finder: &mut ConflictFinder, from_s: f64, trace: impl Fn(f64) -> Trace) -> f64 {
        let mut now_s = from_s;
        while !finder.look_again(Some(&trace(now_s)), at(now_s)) {
            now_s += 15.0;
            assert!(now_s < 1e5);
        }
        now_s - from_s
    }

    #[test]
    fn who_was_seen_and_is_gone_is_not_waited_for_by_what_it_told_the_kernel() {
        // It tells the kernel every 64 s, and has done so 4 s before its end.
        let kept = |silent_s: f64| Trace {
            is_synchronised: true,
            max_error_s: 0.001 + silent_s * GROWTH,
            ..THEIRS
        };
        let host = Host::new();
        host.write("run/chrony/chronyd.pid", "1\n");
        let mut finder = host.finder();
        finder.reason = finder.sign(Some(&kept(40.0)));
        assert!(finder.reason().unwrap().starts_with("chronyd runs on this host"));
        assert!(!finder.look_again(Some(&kept(55.0)), at(60.0)));
        fs::remove_file(host.0.path().join("run/chrony/chronyd.pid")).unwrap();
        assert_eq!(quiet_s(&mut finder, 75.0, |now_s| kept(now_s - 71.0)), 45.0);

        // One that is only restarted is there again, and its quiet time has not begun.
        let host = Host::new();
        let mut finder = host.finder();
        finder.is_seen = true;
        finder.reason = Some("chronyd runs".to_owned());
        assert!(!finder.look_again(Some(&kept(4.0)), at(75.0)));
        host.write("run/chrony/chronyd.pid", "2\n");
        for now_s in [90.0, 105.0, 120.0, 135.0, 150.0] {
            assert!(!finder.look_again(Some(&kept(1.0)), at(now_s)));
        }
        fs::remove_file(host.0.path().join("run/chrony/chronyd.pid")).unwrap();
        assert_eq!(quiet_s(&mut finder, 165.0, |now_s| kept(now_s - 150.0)), 45.0);

        // Somebody unseen who goes on telling the kernel is waited for as ever.
        let host = Host::new();
        let mut finder = host.finder();
        finder.is_seen = true;
        finder.reason = Some("chronyd runs".to_owned());
        let told_again = |now_s: f64| kept(if now_s < 100.0 { now_s } else { now_s - 100.0 });
        let waited_s = quiet_s(&mut finder, 75.0, told_again);
        assert!((3100.0..3300.0).contains(&waited_s), "{waited_s}");
    }

    #[test]
    fn the_clock_is_taken_over_after_a_quiet_time_that_grows() {
        let host = Host::new();
        let mut finder = host.finder();
        let mut now_s = 1.0;
        for quiet_s in [180.0, 360.0, 720.0] {
            finder.written(Some(OURS));
            assert!(finder.before_write(Some(&THEIRS), at(now_s)).is_err());
            let begun_s = now_s + 15.0;
            while !finder.look_again(Some(&THEIRS), at(now_s)) {
                now_s += 15.0;
                assert!(now_s < 1e6);
            }
            assert_eq!(now_s - begun_s, quiet_s);
            assert_eq!((finder.reason(), finder.deadline()), (None, None));
        }
        // Whoever moves it meanwhile begins that anew.
        finder.written(Some(OURS));
        assert!(finder.before_write(Some(&THEIRS), at(now_s)).is_err());
        for _ in 0..4000 {
            now_s += 15.0;
            let frequency = finder.theirs.map_or(0, |theirs| theirs.frequency) + 1;
            assert!(!finder.look_again(Some(&Trace { frequency, ..THEIRS }), at(now_s)));
        }
    }
}
