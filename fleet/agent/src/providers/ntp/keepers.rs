//! Who sets the clock of this host, as far as its processes tell.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

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

/// The states of a process that has ended, and is there until its parent has heard of that (proc(5)).
const ENDED: [char; 3] = ['Z', 'X', 'x'];

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
}

impl Running {
    /// The word after the last of these flags in its command line, or behind it in one word: of several the last counts.
    pub(super) fn argument(&self, flags: &[&str]) -> Option<&str> {
        let mut found = None;
        let mut words = self.words.iter().skip(1);
        while let Some(word) = words.next() {
            for flag in flags {
                match word.strip_prefix(*flag) {
                    Some("") => found = words.next().map(String::as_str),
                    Some(rest) => found = Some(rest.strip_prefix('=').unwrap_or(rest)),
                    None => {}
                }
            }
        }
        found
    }
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
    let numbers = names.iter().filter_map(|name| name.parse().ok());
    let mut parents_of_parts: Vec<u32> = Vec::new();
    let mut found: Vec<Running> = Vec::new();
    for process in numbers {
        let read = |file: &str| host.read(&Path::new("/proc").join(format!("{process}/{file}")));
        let Some(program) = read("comm").ok().and_then(|comm| program(&comm)) else {
            continue;
        };
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
        let observes = OBSERVERS.contains(&program) && words.iter().any(|word| word == "-x");
        // In another user namespace than the agent's nobody can set the clock, whatever he may do there.
        let elsewhere = matches!((&own_users, read("uid_map").ok()), (Some(own), Some(its)) if *own != its);
        found.push(Running {
            program,
            process,
            words,
            sets_clock: may_set_clocks(&status) && !observes && !elsewhere,
        });
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

/// Whether a process with this `/proc/PID/status` may set clocks: one in a container usually may not.
fn may_set_clocks(status: &str) -> bool {
    field(status, "CapEff:")
        .and_then(|text| u64::from_str_radix(text, 16).ok())
        .is_none_or(|bits| bits >> CAP_SYS_TIME & 1 == 1)
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
        };
        for (line, expected) in [
            ("ntpd -g -c /etc/a -N -c /etc/b", Some("/etc/b")),
            ("ntpd -c/etc/a", Some("/etc/a")),
            ("ntpd --configfile=/etc/a", Some("/etc/a")),
            ("ntpd -g", None),
            ("ntpd -c", None),
        ] {
            assert_eq!(of(line).argument(&["-c", "--configfile"]), expected, "{line}");
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
