//! Who sets the clock of this host, as far as its processes tell.

use std::fmt;
use std::path::Path;

use crate::host::Host;

/// Programs that set clocks: what `/proc/PID/comm` calls them, which has 15 characters at most, and what operators do.
const PROGRAMS: [(&str, &str); 6] = [
    ("chronyd", "chronyd"),
    ("timeballd", "timeballd"),
    ("ntpd", "ntpd"),
    ("openntpd", "openntpd"),
    ("systemd-timesyn", "systemd-timesyncd"),
    ("ntp-daemon", "ntpd-rs"),
];

/// Those that leave the clock alone with `-x`; to ntpd it means something else.
const OBSERVERS: [&str; 2] = ["chronyd", "timeballd"];

/// The bit of `CAP_SYS_TIME` in a process's capabilities (capabilities(7)).
const CAP_SYS_TIME: u32 = 25;

/// A process that sets the host's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keeper {
    /// Its program.
    pub(super) program: &'static str,
    process: u32,
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.program, self.process)
    }
}

/// The processes that may set the host's clock. What is not known of a process, because it is another user's or has just
/// ended, does not clear it.
pub(super) fn keepers(host: &dyn Host) -> Vec<Keeper> {
    let names = host.list(Path::new("/proc")).unwrap_or_default();
    names
        .iter()
        .filter_map(|name| name.parse().ok())
        .filter_map(|process| keeper(host, process))
        .collect()
}

/// The process, if it may set the host's clock.
pub(super) fn keeper(host: &dyn Host, process: u32) -> Option<Keeper> {
    let directory = Path::new("/proc").join(process.to_string());
    let comm = host.read(&directory.join("comm")).ok()?;
    let (_, program) = PROGRAMS
        .into_iter()
        .find(|(comm_of, _)| comm.trim_ascii() == comm_of.as_bytes())?;
    let words = host.read(&directory.join("cmdline")).unwrap_or_default();
    let observes = OBSERVERS.contains(&program) && words.split(|byte| *byte == 0).any(|word| word == b"-x");
    let status = host.read(&directory.join("status")).unwrap_or_default();
    let may_set = may_set_clocks(&String::from_utf8_lossy(&status));
    (may_set && !observes).then_some(Keeper { program, process })
}

/// Whether a process with this `/proc/PID/status` may set clocks: one in a container usually may not.
fn may_set_clocks(status: &str) -> bool {
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    capabilities
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .is_none_or(|bits| bits >> CAP_SYS_TIME & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SimulatedHost;

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
