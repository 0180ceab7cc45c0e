//! How busy the host is (proc(5)).

use crate::host::Host;

/// Load averages over 1, 5 and 15 minutes; zero when unknown.
pub(crate) fn load(host: &dyn Host) -> [f64; 3] {
    let line = super::line(host, "/proc/loadavg");
    let mut values = line.split_whitespace().map_while(|word| word.parse().ok());
    std::array::from_fn(|_| values.next().unwrap_or(0.0))
}

/// Memory in bytes: total, available to new programs, in use; zero when unknown.
pub(crate) fn memory_bytes(host: &dyn Host) -> [u64; 3] {
    let text = super::text(host, "/proc/meminfo");
    let bytes = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    let total = bytes("MemTotal").unwrap_or(0);
    let available = bytes("MemAvailable").unwrap_or(0).min(total);
    [total, available, total - available]
}

/// Counts the processors of a list such as `0-3,6`.
pub(super) fn cpu_count(list: &str) -> u32 {
    list.split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SimulatedHost;

    #[test]
    fn load_and_memory_are_read() {
        let host = SimulatedHost::new("", "h");
        assert_eq!(load(&host), [0.0; 3]);
        assert_eq!(memory_bytes(&host), [0; 3]);
        host.write("/proc/loadavg", "0.10 0.20 0.30 1/234 5678\n");
        host.write(
            "/proc/meminfo",
            "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n",
        );
        assert_eq!(load(&host), [0.1, 0.2, 0.3]);
        assert_eq!(memory_bytes(&host), [1_024_000, 409_600, 614_400]);
    }

    #[test]
    fn processors_are_counted() {
        for (list, count) in [("0", 1), ("0-1", 2), ("0-3,6", 5), ("", 0), ("x", 0), ("3-1", 0)] {
            assert_eq!(cpu_count(list), count, "{list}");
        }
    }
}
