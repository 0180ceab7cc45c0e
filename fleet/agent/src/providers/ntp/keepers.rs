//! Who sets the clock of this host, as far as its processes tell.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::host::Host;

/// Programs that set clocks: what `/proc/PID/comm` calls them, which has 15 characters at most, and what operators do.
const PROGRAMS: [(&str, &str); 6] = [
    ("chronyd", "chronyd"),
    ("timeballd", "timeballd"),
    ("ntpd", NTPD),
    ("openntpd", OPENNTPD),
    ("systemd-timesyn", "systemd-timesyncd"),
    ("ntp-daemon", "ntpd-rs"),
];

/// What operators call the two that have one name among processes.
pub(super) const NTPD: &str = "ntpd";
pub(super) const OPENNTPD: &str = "openntpd";

/// What the processes of OpenNTPD call themselves, but for the first of them, which is their parent.
const PART_OF_OPENNTPD: &[u8] = b"ntpd: ";

/// Those that leave the clock alone with `-x`; to ntpd it means something else.
const OBSERVERS: [&str; 2] = ["chronyd", "timeballd"];

/// Letters of the options that have a value, of daemons whose command line is read.
fn letters_with_value(program: &str) -> &'static str {
    match program {
        "chronyd" | "timeballd" => "fFlLNPtu",
        NTPD => "cDfiIklpPrstuUvw",
        OPENNTPD => "fp",
        _ => "",
    }
}

/// Long options that have a value.
const LONG_WITH_VALUE: [&str; 2] = ["configfile", "dialect"];

/// What the files of those programs are called whose command line the agent goes by. Another program of root's can be
/// given any command line by somebody else, as `sudo` can.
const FILES: [&str; 3] = ["ntpd", "openntpd", "timeballd"];

/// The states of a process that has ended, and is there until its parent has heard of that (proc(5)).
const ENDED: [char; 3] = ['Z', 'X', 'x'];

/// The unit of times in `/proc/PID/stat`, per second (proc(5); the same on every machine that Linux has today).
const TICKS_PER_S: u64 = 100;

/// Where the field with the start of a process is, behind its name (proc(5), field 22 of `/proc/PID/stat`).
const START_FIELD: usize = 19;

/// The bit of `CAP_SYS_TIME` in a process's capabilities (capabilities(7)).
const CAP_SYS_TIME: u32 = 25;

/// A process of a time service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// Its program, as operators call it.
    pub(super) program: &'static str,
    pub(super) process: u32,
    /// Its command line.
    pub(super) words: Vec<String>,
    /// Whether it may set the host's clock. What is not known of it, because it is another user's or has just ended,
    /// does not clear it.
    pub(super) sets_clock: bool,
    /// Whether root runs it, in the agent's own user namespace: its users are root, or root has given it the clock.
    pub(super) of_root: bool,
    /// When it was started, in ticks after boot; a number tells nothing of another process that had it before.
    started: Option<u64>,
}

impl Running {
    /// The value of one of these options in its command line: of several the last counts.
    pub(super) fn argument(&self, options: &[&str]) -> Option<&str> {
        let found = self.options().into_iter().rev();
        let mut found = found.filter(|(name, _)| options.contains(&name.as_str()));
        found.next().and_then(|(_, value)| value)
    }

    /// The options of its command line, letters or long names, with their values.
    fn options(&self) -> Vec<(String, Option<&str>)> {
        let with_value = letters_with_value(self.program);
        let mut found = Vec::new();
        let mut words = self.words.iter().skip(1).map(String::as_str);
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                found.push(match long.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value)),
                    None if LONG_WITH_VALUE.contains(&long) => (long.to_owned(), words.next()),
                    None => (long.to_owned(), None),
                });
            } else if let Some(letters) = word.strip_prefix('-') {
                let mut letters = letters.chars();
                while let Some(letter) = letters.next() {
                    if with_value.contains(letter) {
                        let rest = Some(letters.as_str()).filter(|rest| !rest.is_empty());
                        found.push((letter.to_string(), rest.or_else(|| words.next())));
                        break;
                    }
                    found.push((letter.to_string(), None));
                }
            }
        }
        found
    }

    /// When it was started, after boot.
    pub(super) fn started(&self) -> Option<Duration> {
        let millis = |ticks: u64| ticks.saturating_mul(1000 / TICKS_PER_S);
        self.started.map(millis).map(Duration::from_millis)
    }

    /// Whether its command line says that it leaves the clock alone.
    fn observes(&self) -> bool {
        OBSERVERS.contains(&self.program) && self.options().iter().any(|(name, _)| name == "x")
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.program, self.process)
    }
}

/// The process of a daemon whose command line the agent goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Believed {
    pub(super) process: Running,
    /// Its program, which nobody but root can change; unknown to an agent that is not root, and runs nothing as root.
    pub(super) file: Option<PathBuf>,
}

/// A process that sets the host's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keeper {
    /// Its program.
    pub(super) program: &'static str,
    pub(super) process: u32,
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.program, self.process)
    }
}

/// The processes of time services, as all who take part in one operation see them: the whole of `/proc` is read once for
/// it, however many ask.
pub(super) struct Processes {
    host: Arc<dyn Host>,
    seen: Mutex<Option<Arc<[Running]>>>,
}

impl Processes {
    pub(super) fn new(host: Arc<dyn Host>) -> Self {
        Processes {
            host,
            seen: Mutex::new(None),
        }
    }

    pub(super) fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// Makes whoever asks next look again.
    pub(super) fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The processes as they were when they were looked at.
    pub(super) fn running(&self) -> Arc<[Running]> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(seen.get_or_insert_with(|| running(&*self.host).into()))
    }

    /// Whether there is one of this program, be it in a container.
    pub(super) fn has(&self, program: &str) -> bool {
        self.running().iter().any(|process| process.program == program)
    }

    /// The process of this program whose command line the agent goes by: one that root runs on this very host, not in a
    /// container, and whose program nobody else can change. Anybody can give a process any name and any command line.
    ///
    /// # Errors
    /// Why those that root runs are not believed, when there are such and none is.
    pub(super) fn believed(&self, program: &str) -> Result<Option<Believed>, String> {
        let running = self.running();
        let mut found: Vec<&Running> = running
            .iter()
            .filter(|process| process.program == program && process.of_root)
            .collect();
        found.sort_by_key(|process| (!process.sets_clock, process.process));
        if !self.host.is_root() {
            return Ok(found.first().map(|process| Believed {
                process: (*process).clone(),
                file: None,
            }));
        }
        let mut doubt = None;
        for process in found {
            match self.file_of(process) {
                Ok(file) => {
                    return Ok(Some(Believed {
                        process: process.clone(),
                        file: Some(file),
                    }));
                }
                Err(reason) => {
                    doubt.get_or_insert_with(|| format!("{process} is not trusted: {reason}"));
                }
            }
        }
        doubt.map_or(Ok(None), Err)
    }

    /// The program of a process, which nobody but root can change.
    fn file_of(&self, process: &Running) -> Result<PathBuf, String> {
        let file = self.host.program_of(process.process);
        let file = file.map_err(|error| error.to_string())?;
        let name = file.file_name().and_then(|name| name.to_str());
        if !name.is_some_and(|name| FILES.contains(&name)) {
            return Err(format!("it is {}, and no time service", file.display()));
        }
        if started(&*self.host, process.process) != process.started {
            return Err("it has ended".to_owned());
        }
        Ok(file)
    }

    /// Those that may set the host's clock.
    pub(super) fn keepers(&self) -> Vec<Keeper> {
        let running = self.running();
        let keepers = running.iter().filter(|process| process.sets_clock);
        keepers
            .map(|keeper| Keeper {
                program: keeper.program,
                process: keeper.process,
            })
            .collect()
    }
}

/// The processes of time services, be they in containers. Of OpenNTPD's only the first is one: the others ask it to set
/// the clock.
pub(super) fn running(host: &dyn Host) -> Vec<Running> {
    let own_users = host.read(Path::new("/proc/self/uid_map")).ok();
    let names = host.list(Path::new("/proc")).unwrap_or_default();
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    let mut parents_of_parts: Vec<u32> = Vec::new();
    let mut found: Vec<Running> = Vec::new();
    for process in numbers {
        let read = |file: &str| host.read(&Path::new("/proc").join(format!("{process}/{file}")));
        let Some(program) = read("comm").ok().and_then(|comm| program(&comm)) else {
            continue;
        };
        // Before the command line: whoever compares it later knows whose that is.
        let started = started(host, process);
        let line = read("cmdline").unwrap_or_default();
        let status = read("status").unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        if field(&status, "State:").is_some_and(|state| state.starts_with(ENDED)) {
            continue;
        }
        if program == NTPD && line.starts_with(PART_OF_OPENNTPD) {
            parents_of_parts.extend(field(&status, "PPid:").and_then(|parent| parent.parse::<u32>().ok()));
            continue;
        }
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let words: Vec<String> = words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        // In another user namespace than the agent's nobody can set the clock, whatever he may do there.
        let elsewhere = matches!((&own_users, read("uid_map").ok()), (Some(own), Some(its)) if *own != its);
        let may_set_clocks = may_set_clocks(&status);
        let mut running = Running {
            program,
            process,
            words,
            sets_clock: false,
            of_root: !elsewhere && (is_roots(&status) || may_set_clocks == Some(true)),
            started,
        };
        running.sets_clock = may_set_clocks.unwrap_or(true) && !elsewhere && !running.observes();
        found.push(running);
    }
    for process in &mut found {
        if process.program == NTPD && parents_of_parts.contains(&process.process) {
            process.program = OPENNTPD;
        }
    }
    found
}

/// What operators call the program of a process with this name.
fn program(comm: &[u8]) -> Option<&'static str> {
    let is_it = |(known, _): &(&str, &'static str)| comm.trim_ascii() == known.as_bytes();
    PROGRAMS.into_iter().find(is_it).map(|(_, program)| program)
}

/// A field of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// Whether a process with this `/proc/PID/status` may set clocks, where that is known: one in a container usually may not.
fn may_set_clocks(status: &str) -> Option<bool> {
    let bits = u64::from_str_radix(field(status, "CapEff:")?, 16).ok()?;
    Some(bits >> CAP_SYS_TIME & 1 == 1)
}

/// Whether all user ids of a process with this `/proc/PID/status` are root's: with only some of them root's, somebody else
/// has started it.
fn is_roots(status: &str) -> bool {
    field(status, "Uid:").is_some_and(|ids| ids.split_ascii_whitespace().all(|id| id == "0"))
}

/// When a process was started, in ticks after boot (proc(5)). The second field, its name, can hold anything.
fn started(host: &dyn Host, process: u32) -> Option<u64> {
    let stat = host.read(Path::new(&format!("/proc/{process}/stat"))).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_ascii_whitespace().nth(START_FIELD)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SimulatedHost;

    fn keepers(host: &SimulatedHost) -> Vec<Keeper> {
        Processes::new(Arc::new(host.clone())).keepers()
    }

    #[test]
    fn of_several_arguments_the_last_counts() {
        let of = |line: &str| Running {
            program: NTPD,
            process: 1,
            words: line.split(' ').map(str::to_owned).collect(),
            sets_clock: true,
            of_root: true,
            started: None,
        };
        for (line, expected) in [
            ("ntpd -g -c /etc/a -N -c /etc/b", Some("/etc/b")),
            ("ntpd -c/etc/a", Some("/etc/a")),
            ("ntpd --configfile=/etc/a", Some("/etc/a")),
            ("ntpd -g", None),
            ("ntpd --configfile /etc/a", Some("/etc/a")),
            ("ntpd -gnc /etc/a -p -c", Some("/etc/a")),
            ("ntpd -g -- -c /etc/a", None),
            ("ntpd -c", None),
        ] {
            assert_eq!(of(line).argument(&["c", "configfile"]), expected, "{line}");
        }
    }

    /// A host with a process, and what is believed of those named ntpd.
    fn process(host: &SimulatedHost, number: u32, files: &[(&str, &str)]) {
        for (file, content) in files {
            host.write(format!("/proc/{number}/{file}"), content);
        }
    }

    fn believed(host: &SimulatedHost) -> Result<Option<u32>, String> {
        let found = Processes::new(Arc::new(host.clone())).believed(NTPD)?;
        Ok(found.map(|found| found.process.process))
    }

    const ROOT: &str = "Uid:\t0\t0\t0\t0\nCapEff:\t0000000000000000\n";
    const NTPSEC: &str = "Uid:\t101\t101\t101\t101\nCapEff:\t0000000002000400\n";
    const EVE: &str = "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n";

    #[test]
    fn only_what_root_runs_is_believed() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        host.write("/proc/self/uid_map", "0 0 4294967295\n");
        let ntpd = |number: u32, status: &str, exe: &str| {
            let files = [("comm", "ntpd\n"), ("status", status), ("exe", exe)];
            process(&host, number, &files);
        };
        assert_eq!(believed(&host), Ok(None));
        // Anybody's, be it the very program.
        ntpd(5, EVE, "/usr/sbin/ntpd");
        // Started by somebody else through a program of root's.
        let through = "Uid:\t1000\t0\t0\t0\nCapEff:\t0000000000000000\n";
        ntpd(6, through, "/usr/sbin/ntpd");
        assert_eq!(believed(&host), Ok(None));
        // Root of another user namespace.
        ntpd(
            7,
            "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n",
            "/usr/sbin/ntpd",
        );
        host.write("/proc/7/uid_map", "0 1000 1\n");
        assert_eq!(believed(&host), Ok(None));
        // Root's, but another program.
        ntpd(8, ROOT, "/usr/bin/sudo");
        let doubt = believed(&host).unwrap_err();
        assert!(
            doubt.contains("ntpd (process 8) is not trusted: it is /usr/bin/sudo"),
            "{doubt}"
        );
        // A program that cannot be looked at.
        ntpd(9, ROOT, "");
        host.delete("/proc/9/exe");
        host.delete("/proc/8/comm");
        assert!(believed(&host).unwrap_err().contains("process 9"));
        // The daemon that has given up root.
        ntpd(40, NTPSEC, "/usr/sbin/ntpd");
        assert_eq!(believed(&host), Ok(Some(40)));
        ntpd(41, ROOT, "/usr/local/sbin/ntpd");
        assert_eq!(believed(&host), Ok(Some(40)), "the one that sets the clock");
    }

    #[test]
    fn a_number_that_another_process_has_now_is_not_believed() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        let stat = |started: u32| format!("7 (n) t pd) S {}{started} 0", "1 ".repeat(18));
        let files = [("comm", "ntpd\n"), ("status", ROOT), ("exe", "/usr/sbin/ntpd")];
        process(&host, 7, &files);
        host.write("/proc/7/stat", &stat(100));
        let processes = Processes::new(Arc::new(host.clone()));
        assert!(processes.believed(NTPD).unwrap().is_some());
        host.write("/proc/7/stat", &stat(101));
        assert!(processes.believed(NTPD).unwrap_err().ends_with("it has ended"));
    }

    #[test]
    fn an_observer_is_one_however_its_letters_are_put_together() {
        for (line, observes) in [
            ("chronyd\0-dx\0-u\0root\0", true),
            ("chronyd\0-4xf/etc/x\0", true),
            ("chronyd\0-f\0-x\0", false),
            ("chronyd\0-f/etc/x\0", false),
            ("chronyd\0-ux\0", false),
            ("timeballd\0--dialect\0chrony\0-x\0", true),
        ] {
            let host = SimulatedHost::new(&"0".repeat(32), "h");
            let comm = line.split('\0').next().unwrap();
            process(&host, 7, &[("comm", comm), ("cmdline", line)]);
            assert_eq!(keepers(&host).is_empty(), observes, "{line:?}");
        }
    }

    #[test]
    fn a_process_of_another_user_namespace_sets_no_clock() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        host.write("/proc/7/comm", "ntpd\n");
        host.write("/proc/self/uid_map", "0 0 4294967295\n");
        host.write("/proc/7/uid_map", "0 0 4294967295\n");
        assert_eq!(keepers(&host).len(), 1);
        host.write("/proc/7/uid_map", "0 1000 1\n");
        assert_eq!(keepers(&host).len(), 0);
    }

    #[test]
    fn a_process_that_has_ended_sets_no_clock() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        host.write("/proc/7/comm", "chronyd\n");
        host.write("/proc/7/status", "Name:\tchronyd\nState:\tS (sleeping)\n");
        assert_eq!(keepers(&host).len(), 1);
        host.write("/proc/7/status", "Name:\tchronyd\nState:\tZ (zombie)\n");
        assert!(running(&host).is_empty());
    }

    #[test]
    fn processes_are_looked_at_again_when_they_are_forgotten() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        let processes = Processes::new(Arc::new(host.clone()));
        assert!(!processes.has("chronyd"));
        host.write("/proc/7/comm", "chronyd\n");
        assert!(!processes.has("chronyd"));
        processes.forget();
        assert!(processes.has("chronyd"));
    }

    #[test]
    fn processes_that_set_the_clock_are_told_from_those_that_do_not() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        let process = |number: u32, comm: &str, command: &str, capabilities: &str| {
            for (file, content) in [
                ("comm", format!("{comm}\n")),
                ("cmdline", command.replace(' ', "\0")),
                ("status", format!("Name:\t{comm}\nCapEff:\t{capabilities}\n")),
            ] {
                host.write(format!("/proc/{number}/{file}"), &content);
            }
        };
        let all = "000001ffffffffff";
        process(10, "chronyd", "/usr/sbin/chronyd -F 1", "0000000002000400");
        process(11, "chronyd", "/usr/sbin/chronyd -x", all);
        process(12, "timeballd", "timeballd -x -d -f /x", all);
        process(13, "ntpd", "/usr/sbin/ntpd -x -g", all);
        process(
            14,
            "systemd-timesyn",
            "/lib/systemd/systemd-timesyncd",
            "0000000002000000",
        );
        // In a container.
        process(15, "ntpd", "ntpd", "00000000a80425fb");
        process(16, "sh", "sh chronyd", all);
        host.write("/proc/17/comm", "timeballd\n");
        let found: Vec<String> = keepers(&host).iter().map(Keeper::to_string).collect();
        assert_eq!(
            found,
            [
                "chronyd (process 10)",
                "ntpd (process 13)",
                "systemd-timesyncd (process 14)",
                "timeballd (process 17)"
            ]
        );
    }
}
