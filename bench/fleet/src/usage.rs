//! What processes and the machine use, from `/proc`.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use crate::Fault;

/// Memory of a process in KiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// Resident set.
    pub(crate) rss_kib: u64,
    /// Resident set, shared pages divided among those who share them.
    pub(crate) pss_kib: u64,
}

/// Memory of a process now.
pub(crate) fn memory(pid: u32) -> Result<Memory, Fault> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("no {name} in smaps_rollup"))
    };
    Ok(Memory {
        rss_kib: field("Rss:")?,
        pss_kib: field("Pss:")?,
    })
}

/// Processor time that a process has used, in all its threads, user and system.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Fault> {
    cpu_fields(pid, [11, 12])
}

/// Processor time that the ended children of this process, and theirs, have used.
pub(crate) fn ended_children_cpu() -> Result<Duration, Fault> {
    cpu_fields(std::process::id(), [13, 14])
}

/// Processor time that a process and its living descendants have used.
pub(crate) fn family_cpu(pid: u32) -> Result<Duration, Fault> {
    let mut used = cpu(pid)?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    for child in children.split_whitespace() {
        // One that has ended meanwhile has nothing to add.
        used += family_cpu(child.parse()?).unwrap_or_default();
    }
    Ok(used)
}

fn cpu_fields(pid: u32, wanted: [usize; 2]) -> Result<Duration, Fault> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the fields after it are numbers.
    let (_, rest) = text.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64, Fault> {
        Ok(fields
            .get(at)
            .ok_or("too few fields in /proc/PID/stat")?
            .parse()?)
    };
    Ok(of_ticks(ticks(wanted[0])? + ticks(wanted[1])?))
}

/// Processor time that the whole machine has used; idle time and waiting for the disk are not used time.
pub(crate) fn machine_cpu() -> Result<Duration, Fault> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().ok_or("an empty /proc/stat")?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    let used = [0, 1, 2, 5, 6, 7].iter().filter_map(|&at| fields.get(at)).sum();
    Ok(of_ticks(used))
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_secs(1)
        .checked_div(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100))
        .unwrap_or_default()
        .saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// The load averages as `/proc/loadavg` has them.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The machine in one line.
pub(crate) fn machine() -> String {
    let line = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let found = text
            .lines()
            .find(|line| line.starts_with(name))
            .map(str::to_owned);
        found
            .and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
            .unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory_kib: u64 = line("/proc/meminfo", "MemTotal")
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores ({}), {} GiB, Linux {}; a shared, noisy virtual machine",
        line("/proc/cpuinfo", "model name"),
        memory_kib.div_ceil(1024 * 1024),
        kernel.trim()
    )
}

/// Raises the limit of open files of this process and its children as far as it goes; gives it.
pub(crate) fn raise_open_files() -> Result<u64, Fault> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_machine_use_something() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.rss_kib >= memory.pss_kib && memory.pss_kib > 100);
        assert!(machine_cpu().unwrap() >= cpu(own).unwrap());
        assert!(family_cpu(own).unwrap() >= cpu(own).unwrap());
        assert!(ended_children_cpu().is_ok());
        assert!(machine().contains("cores"));
    }
}
