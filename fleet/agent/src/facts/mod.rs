//! What the agent knows about its host: distribution, hardware, addresses, load.
//!
//! Everything is read from files, so that it costs little and a simulated host can have facts, too. A fact
//! that cannot be read is left out.

use std::path::Path;

use model::host::{HostFacts, RunningService};

use crate::host::Host;
use crate::settings::{Container, Settings};

mod distribution;
mod interfaces;
mod usage;

pub(crate) use usage::{load, memory_bytes};

/// Collects the facts of a host. `agent_uptime_s` is left 0.
pub(crate) fn collect(host: &dyn Host, machine_id: &str, settings: &Settings) -> HostFacts {
    let distribution = distribution::read(host);
    let hostname = settings.hostname.clone().unwrap_or_else(|| hostname(host));
    HostFacts {
        machine_id: machine_id.to_owned(),
        fqdn: fqdn(host, &hostname),
        hostname,
        labels: settings.labels.clone(),
        os_family: distribution.family,
        os_id: distribution.id,
        os_version: distribution.version,
        architecture: std::env::consts::ARCH.to_owned(),
        kernel_version: line(host, "/proc/sys/kernel/osrelease"),
        cpu_count: usage::cpu_count(&line(host, "/sys/devices/system/cpu/online")),
        service_mgr: if exists(host, "/run/systemd/system") {
            "systemd".to_owned()
        } else {
            String::new()
        },
        package_mgr: package_manager(host),
        containerized: containerized(host, settings.container),
        time_services: time_services(host),
        interfaces: interfaces::read(host),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        agent_uptime_s: 0,
        uptime_s: host.since_boot().as_secs(),
    }
}

/// The text of a file; empty when it cannot be read.
fn text(host: &dyn Host, path: &str) -> String {
    let content = host.read(Path::new(path)).unwrap_or_default();
    String::from_utf8_lossy(&content).into_owned()
}

/// The first line of a file; empty when it cannot be read.
fn line(host: &dyn Host, path: &str) -> String {
    text(host, path)
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn exists(host: &dyn Host, path: &str) -> bool {
    host.kind(Path::new(path)).is_ok()
}

/// The kernel's host name; when it holds a whole domain name, its first part is still the whole name that
/// the operator gave the host.
fn hostname(host: &dyn Host) -> String {
    let name = line(host, "/proc/sys/kernel/hostname");
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

/// The host's name with its domain, from the name itself or from `/etc/hosts`. Nobody is asked: on a host
/// with a wrong clock name services may not answer.
fn fqdn(host: &dyn Host, hostname: &str) -> String {
    if hostname.contains('.') {
        return hostname.to_owned();
    }
    text(host, "/etc/hosts")
        .lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut names = line.split_whitespace().skip(1);
            let all: Vec<&str> = names.by_ref().collect();
            all.contains(&hostname)
                .then(|| all.iter().find(|name| name.contains('.')).copied())?
        })
        .find(|name| !name.starts_with("localhost"))
        .unwrap_or_default()
        .to_owned()
}

fn package_manager(host: &dyn Host) -> String {
    [
        ("/usr/bin/apt-get", "apt"),
        ("/usr/bin/dnf", "dnf"),
        ("/usr/bin/yum", "yum"),
    ]
    .into_iter()
    .find(|(path, _)| exists(host, path))
    .map(|(_, name)| name.to_owned())
    .unwrap_or_default()
}

fn containerized(host: &dyn Host, setting: Container) -> bool {
    match setting {
        Container::Host => false,
        Container::Container => true,
        Container::Auto => ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"]
            .into_iter()
            .any(|path| exists(host, path)),
    }
}

/// The time services whose processes run here.
fn time_services(host: &dyn Host) -> Vec<RunningService> {
    let mut found: Vec<RunningService> = Vec::new();
    for (name, sets_clock) in crate::providers::ntp::running_services(host) {
        match found.iter_mut().find(|known| known.name == name) {
            Some(known) => known.sets_clock |= sets_clock,
            None => found.push(RunningService {
                name: name.to_owned(),
                sets_clock,
            }),
        }
    }
    found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{RealHost, SimulatedHost};

    #[test]
    fn a_simulated_debian_has_its_facts() {
        let host = SimulatedHost::new(&"0".repeat(32), "web-01");
        host.write(
            "/etc/hosts",
            "127.0.0.1 localhost\n10.1.2.3 web-01.example.com web-01 # me\n",
        );
        host.write("/usr/bin/apt-get", "");
        host.write("/sys/devices/system/cpu/online", "0-3,6\n");
        let facts = collect(&host, "id", &Settings::new("c:1"));
        assert_eq!(
            (facts.hostname.as_str(), facts.fqdn.as_str()),
            ("web-01", "web-01.example.com")
        );
        assert_eq!(
            (
                facts.os_id.as_str(),
                facts.os_family.as_str(),
                facts.os_version.as_str()
            ),
            ("debian", "debian", "12")
        );
        assert_eq!(
            (facts.service_mgr.as_str(), facts.package_mgr.as_str()),
            ("systemd", "apt")
        );
        assert_eq!(facts.cpu_count, 5);
        assert!(!facts.containerized);
    }

    #[test]
    fn the_time_services_that_run_are_facts() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        let services = || collect(&host, "id", &Settings::new("c:1")).time_services;
        assert_eq!(services(), []);
        for (process, comm, line) in [
            (20, "systemd-timesyn", ""),
            (30, "chronyd", "chronyd\0-x\0"),
            (31, "chronyd", "chronyd\0"),
            (40, "ntpd", "/usr/sbin/ntpd\0-f\0/etc/openntpd/ntpd.conf\0"),
            (41, "ntpd", "ntpd: ntp engine\0"),
            (50, "timeballd", "timeballd\0-x\0"),
        ] {
            host.write(format!("/proc/{process}/comm"), &format!("{comm}\n"));
            host.write(format!("/proc/{process}/cmdline"), line);
        }
        host.write("/proc/41/status", "Name:\tntpd\nPPid:\t40\n");
        let told: Vec<(String, bool)> = services()
            .into_iter()
            .map(|service| (service.name, service.sets_clock))
            .collect();
        let expected = [
            ("chronyd", true),
            ("openntpd", true),
            ("systemd-timesyncd", true),
            ("timeballd", false),
        ];
        assert_eq!(told, expected.map(|(name, sets)| (name.to_owned(), sets)));
        let facts = collect(&host, "id", &Settings::new("c:1"));
        assert_eq!(
            facts.conflicting_services().unwrap(),
            ["chronyd", "openntpd", "systemd-timesyncd"]
        );
    }

    #[test]
    fn a_container_is_recognised_and_can_be_contradicted() {
        let host = SimulatedHost::new(&"0".repeat(32), "h");
        host.write("/.dockerenv", "");
        let mut settings = Settings::new("c:1");
        assert!(collect(&host, "id", &settings).containerized);
        settings.container = Container::Host;
        assert!(!collect(&host, "id", &settings).containerized);
    }

    #[test]
    fn this_machine_has_facts() {
        let facts = collect(&RealHost, "id", &Settings::new("c:1"));
        assert!(facts.cpu_count > 0 && !facts.kernel_version.is_empty() && !facts.hostname.is_empty());
        assert!(facts.uptime_s > 0);
        assert!(facts.interfaces.iter().any(|interface| interface.name == "lo"));
        assert!(memory_bytes(&RealHost)[0] > 0);
    }
}
