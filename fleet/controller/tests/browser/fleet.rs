//! A fleet of simulated hosts with everything in it that a page has to bear.

use std::collections::BTreeMap;

use model::host::{HostFacts, HostReport};
use model::ntp::{Drift, DriftKind, NtpStatus, SourceStatus, SyncState};
use model::{Labels, Server};

/// One simulated host: what it says, and how it behaves.
pub(crate) struct Simulated {
    /// Who it says it is.
    pub(crate) facts: HostFacts,
    /// What it reports.
    pub(crate) report: HostReport,
    /// What it does.
    pub(crate) manner: Manner,
}

/// How a simulated host behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It reports at every heartbeat.
    Reports,
    /// It reports once and is never heard of again.
    FallsSilent,
    /// It has no token and waits to be accepted.
    Waits,
}

/// Text that tries to become markup, another command or another direction of writing.
pub(crate) const HOSTILE: &str =
    "<img src=x onerror=\"alert(1)\">'</td><script>alert(2)</script>\r\n\u{202e}gnp.exe";

/// About 25 hosts.
pub(crate) fn fleet() -> Vec<Simulated> {
    let mut fleet: Vec<Simulated> = (1..=9_u8)
        .map(|n| {
            let offset_us = [3.4, -12.8, 0.7, -1.9, 41.2, 5.5, -0.3, 18.0, -7.7][usize::from(n) - 1];
            let mut host = web(n, offset_us * 1e-6, 0.0011 + f64::from(n) * 0.000_07);
            host.facts.labels = labels(&[
                ("group", "web.eu"),
                ("rack", ["a1", "a2", "b1"][usize::from(n) % 3]),
            ]);
            host
        })
        .collect();
    fleet.extend((1..=3_u8).map(|n| reference(n, f64::from(n) * 4e-8)));
    fleet.extend((1..=4_u8).map(|n| {
        let mut host = web(10 + n, -0.000_023 * f64::from(n), 0.0047);
        host.facts.hostname = format!("db-{n:02}.fra1.example.com");
        host.facts.labels = labels(&[("group", "db"), ("tier", "gold")]);
        host
    }));
    fleet.extend([
        drifted(),
        not_loaded(),
        free_running(),
        fresh(),
        jittery(),
        container(),
        no_service(),
    ]);
    fleet.extend([
        silent(30, "storage-02"),
        silent(31, "edge-nairobi"),
        hostile(),
        waiting(40),
        waiting(41),
    ]);
    fleet
}

fn host(n: u8, hostname: &str, ntp: NtpStatus) -> Simulated {
    Simulated {
        facts: HostFacts {
            machine_id: format!(
                "{:032x}",
                u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)
            ),
            hostname: hostname.to_owned(),
            fqdn: if hostname.contains('.') {
                String::new()
            } else {
                format!("{hostname}.lab.example.com")
            },
            os_id: "debian".to_owned(),
            os_family: "debian".to_owned(),
            os_version: "12".to_owned(),
            architecture: "x86_64".to_owned(),
            kernel_version: "6.1.0-28-amd64".to_owned(),
            cpu_count: 8,
            agent_version: "0.1.0".to_owned(),
            agent_uptime_s: 86_400 * u64::from(n),
            uptime_s: 100_000 * u64::from(n),
            ..HostFacts::default()
        },
        report: HostReport {
            ntp: Some(ntp),
            load: [0.3, 0.2, 0.2],
            memory_bytes: [16 << 30, 9 << 30, 7 << 30],
            ..HostReport::default()
        },
        manner: Manner::Reports,
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let map: BTreeMap<String, String> = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Labels::try_from(map).unwrap()
}

fn source(name: &str, address: &str, state: &str, offset_s: f64) -> SourceStatus {
    SourceStatus {
        name: name.to_owned(),
        address: Some(address.to_owned()),
        mode: "server".to_owned(),
        state: state.to_owned(),
        stratum: 2,
        poll: 6,
        reach: 0o377,
        last_sample_s: Some(23),
        offset_s,
        error_s: 0.000_84,
    }
}

/// A host that follows the organisation's servers.
fn web(n: u8, offset_s: f64, error_bound_s: f64) -> Simulated {
    let servers = [
        "ntp1.lab.example.com",
        "ntp2.lab.example.com",
        "ntp3.lab.example.com",
    ];
    let status = NtpStatus {
        state: SyncState::Synchronized,
        service: "chrony".to_owned(),
        service_version: Some("4.3".to_owned()),
        stratum: Some(3),
        offset_s: Some(offset_s),
        error_bound_s: Some(error_bound_s),
        root_delay_s: Some(0.0018),
        root_dispersion_s: Some(error_bound_s - 0.0009),
        frequency_ppm: Some(-7.413 + f64::from(n)),
        skew_ppm: Some(0.021),
        leap: Some("normal".to_owned()),
        current_source: Some(servers[0].to_owned()),
        sources: vec![
            source(servers[0], "10.20.0.11", "selected", offset_s),
            source(servers[1], "10.20.0.12", "combined", offset_s + 0.000_021),
            SourceStatus {
                reach: 0o365,
                poll: 7,
                ..source(servers[2], "10.20.0.13", "not_combined", 0.000_34)
            },
        ],
        servers: servers.map(str::to_owned).to_vec(),
        managed_servers: servers.map(|name| name.parse::<Server>().unwrap()).to_vec(),
        managed: true,
        ..NtpStatus::default()
    };
    host(n, &format!("web-{n:02}"), status)
}

/// A host with a clock of its own.
fn reference(n: u8, offset_s: f64) -> Simulated {
    let pps = SourceStatus {
        mode: "refclock".to_owned(),
        address: None,
        stratum: 0,
        poll: 4,
        last_sample_s: Some(9),
        error_s: 0.000_000_12,
        ..source("PPS0", "", "selected", offset_s)
    };
    let status = NtpStatus {
        state: SyncState::Synchronized,
        service: "timeballd".to_owned(),
        service_version: Some("0.1.0".to_owned()),
        stratum: Some(1),
        offset_s: Some(offset_s),
        error_bound_s: Some(0.000_001_7),
        current_source: Some("PPS0".to_owned()),
        sources: vec![
            pps,
            source("ptbtime1.ptb.de", "192.53.103.108", "not_combined", -0.000_41),
        ],
        servers: vec!["ptbtime1.ptb.de".to_owned()],
        other_servers: vec![
            "refclock PPS /dev/pps0 refid PPS0 (/etc/chrony/chrony.conf:4)".to_owned(),
            "server ptbtime1.ptb.de iburst nts (/etc/chrony/chrony.conf:5)".to_owned(),
        ],
        leap: Some("normal".to_owned()),
        ..NtpStatus::default()
    };
    let mut host = host(20 + n, &format!("ntp{n}"), status);
    host.facts.labels = labels(&[("group", "time")]);
    host
}

fn drifted() -> Simulated {
    let mut host = web(15, 0.000_008, 0.0019);
    host.facts.hostname = "mail-01".to_owned();
    let ntp = host.report.ntp.as_mut().unwrap();
    ntp.drift = Some(Drift {
        kind: DriftKind::Edited,
        detail:
            "/etc/chrony/sources.d/timeball.sources was changed at 2026-03-02 09:14 UTC: line 2 is `server \
                 time.google.com iburst`"
                .to_owned(),
    });
    ntp.notes = vec!["time.google.com smears leap seconds, the other sources do not".to_owned()];
    host
}

fn not_loaded() -> Simulated {
    let mut host = web(16, 0.000_3, 0.0088);
    host.facts.hostname = "mail-02".to_owned();
    host.report.ntp.as_mut().unwrap().drift = Some(Drift {
        kind: DriftKind::NotLoaded,
        detail: "chronyd has no source ntp3.lab.example.com; it was started before the file was written"
            .to_owned(),
    });
    host
}

fn free_running() -> Simulated {
    let mut host = web(17, 0.0021, 0.0384);
    host.facts.hostname = "edge-lagos".to_owned();
    host.facts.labels = labels(&[("group", "edge.af"), ("link", "satellite")]);
    let ntp = host.report.ntp.as_mut().unwrap();
    ntp.state = SyncState::FreeRunning;
    for source in &mut ntp.sources {
        source.reach = 0;
        source.state = "unusable".to_owned();
        source.last_sample_s = Some(4_130);
    }
    ntp.sources[0].state = "selected".to_owned();
    host
}

fn fresh() -> Simulated {
    let status = NtpStatus {
        service: "timesyncd".to_owned(),
        leap: Some("unsynchronised".to_owned()),
        sources: vec![SourceStatus {
            reach: 0,
            stratum: 0,
            last_sample_s: None,
            state: "unusable".to_owned(),
            address: None,
            ..source("2.debian.pool.ntp.org", "", "unusable", 0.0)
        }],
        servers: vec!["2.debian.pool.ntp.org".to_owned()],
        other_servers: vec!["pool 2.debian.pool.ntp.org (/etc/systemd/timesyncd.conf:18)".to_owned()],
        ..NtpStatus::default()
    };
    host(24, "vm-build-7", status)
}

fn jittery() -> Simulated {
    let mut host = web(18, -0.182, 0.347);
    host.facts.hostname = "factory-plc-gateway".to_owned();
    host.facts.labels = labels(&[("group", "ot.line4"), ("site", "graz")]);
    let ntp = host.report.ntp.as_mut().unwrap();
    ntp.sources[1].state = "falseticker".to_owned();
    ntp.sources[1].offset_s = 2.73;
    ntp.sources[2].state = "jittery".to_owned();
    ntp.stratum = Some(4);
    host
}

fn container() -> Simulated {
    let mut host = host(25, "ci-runner-a", NtpStatus::default());
    host.facts.containerized = true;
    host.report.ntp = None;
    host.report.ntp_error = Some("skipped: inside a container the clock is the host's".to_owned());
    host
}

fn no_service() -> Simulated {
    let mut host = host(26, "legacy-billing", NtpStatus::default());
    host.facts.os_id = "ubuntu".to_owned();
    host.facts.os_version = "16.04".to_owned();
    host.report.ntp = None;
    host.report.ntp_error =
        Some("no time service runs: looked for chronyd, timeballd, ntpd and openntpd".to_owned());
    host
}

fn silent(n: u8, name: &str) -> Simulated {
    let mut host = web(n, 0.000_015, 0.0021);
    host.facts.hostname = name.to_owned();
    host.manner = Manner::FallsSilent;
    host
}

fn hostile() -> Simulated {
    let mut host = web(32, 0.000_002, 0.0014);
    host.facts.hostname = "visitor".to_owned();
    host.facts.os_id = HOSTILE.to_owned();
    host.facts.kernel_version = "x".repeat(400);
    let ntp = host.report.ntp.as_mut().unwrap();
    ntp.current_source = Some(HOSTILE.to_owned());
    ntp.sources[0].name = HOSTILE.to_owned();
    ntp.sources[0].mode = HOSTILE.to_owned();
    ntp.servers = vec![HOSTILE.to_owned()];
    ntp.other_servers = vec![HOSTILE.to_owned()];
    ntp.notes = vec![HOSTILE.to_owned()];
    host
}

fn waiting(n: u8) -> Simulated {
    let mut host = host(
        n,
        if n == 40 { "web-10" } else { "kiosk-lobby" },
        NtpStatus::default(),
    );
    host.manner = Manner::Waits;
    host
}
