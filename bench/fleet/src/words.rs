//! What a simulated host says: of the size and kind that a Debian host with four servers says.

use link::key::Fingerprint;
use model::host::{HostFacts, HostReport, NetworkInterface, RunningService};
use model::ntp::{NtpStatus, SourceStatus, SyncState};
use model::{Change, Labels, Server, ServerOptions, Servers};

/// The servers every simulated host follows.
const SERVERS: [&str; 4] = [
    "ntp1.example.com",
    "ntp2.example.com",
    "ntp3.example.com",
    "time.example.org",
];

/// Name of the host with this number.
pub(crate) fn hostname(number: usize) -> String {
    format!("host-{number:05}")
}

/// Machine id of the host with this number.
pub(crate) fn machine_id(number: usize) -> String {
    format!(
        "{:032x}",
        0x7a5c_0000_0000_0000_0000_0000_0000_0000_u128 + number as u128
    )
}

/// Who the host is.
pub(crate) fn facts(number: usize) -> HostFacts {
    let (high, low) = (number / 250, number % 250 + 1);
    let interface = |name: &str, ipv4: String, mac: Option<String>| NetworkInterface {
        name: name.to_owned(),
        ipv4: Some(ipv4),
        ipv6: Some(format!("fe80::5054:ff:fe{high:02x}:{low:x}")),
        mac,
    };
    let labels = ["group:web.eu", "rack:a1"]
        .iter()
        .filter_map(|label| label.parse().ok());
    HostFacts {
        machine_id: machine_id(number),
        hostname: hostname(number),
        fqdn: format!("{}.example.com", hostname(number)),
        labels: Labels::from_iter(labels),
        os_id: "debian".to_owned(),
        os_family: "debian".to_owned(),
        os_version: "12".to_owned(),
        architecture: "x86_64".to_owned(),
        kernel_version: "6.1.0-41-amd64".to_owned(),
        cpu_count: 8,
        service_mgr: "systemd".to_owned(),
        package_mgr: "apt".to_owned(),
        containerized: false,
        time_services: vec![RunningService {
            name: "chronyd".to_owned(),
            sets_clock: true,
        }],
        interfaces: vec![
            interface("lo", "127.0.0.1".to_owned(), None),
            interface(
                "eth0",
                format!("10.20.{high}.{low}"),
                Some(format!("52:54:00:00:{high:02x}:{low:02x}")),
            ),
        ],
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        agent_uptime_s: 3_600,
        uptime_s: 1_234_567,
    }
}

/// The report of the host's heartbeat with this number; no two in a row are equal.
pub(crate) fn report(number: usize, beat: u32) -> HostReport {
    let load = f64::from(beat % 100) / 100.0;
    HostReport {
        ntp: Some(status(number, beat)),
        ntp_error: None,
        load: [load, 0.31, 0.27],
        memory_bytes: [
            16_677_978_112,
            9_132_556_288 + u64::from(beat) * 4096,
            7_545_421_824,
        ],
    }
}

/// State of the host's clock.
pub(crate) fn status(number: usize, beat: u32) -> NtpStatus {
    let wobble = f64::from(beat % 997) * 1.7e-8;
    let source = |i: u8, name: &str| SourceStatus {
        name: name.to_owned(),
        address: Some(format!("192.0.2.{}", 10 + i)),
        mode: "server".to_owned(),
        state: if i == 0 { "selected" } else { "combined" }.to_owned(),
        stratum: 2,
        poll: 6,
        reach: 255,
        last_sample_s: Some(beat % 64),
        offset_s: 0.000_031_241 + wobble + f64::from(i) * 2.13e-5,
        error_s: 0.001_873_341 + wobble,
    };
    let options = |name: &&str| Server::new(name, ServerOptions::default()).ok();
    NtpStatus {
        state: SyncState::Synchronized,
        service: "chrony".to_owned(),
        service_version: Some("4.3".to_owned()),
        stratum: Some(3),
        offset_s: Some(0.000_003_422 + wobble),
        error_bound_s: Some(0.003_218_874 + wobble),
        root_delay_s: Some(0.004_873_112),
        root_dispersion_s: Some(0.000_778_903),
        frequency_ppm: Some(-12.413),
        skew_ppm: Some(0.021),
        leap: Some("normal".to_owned()),
        current_source: Some(SERVERS[number % SERVERS.len()].to_owned()),
        sources: (0_u8..).zip(SERVERS).map(|(i, name)| source(i, name)).collect(),
        servers: SERVERS.map(str::to_owned).to_vec(),
        managed_servers: SERVERS.iter().filter_map(options).collect(),
        other_servers: Vec::new(),
        managed: true,
        drift: None,
        conflict: None,
        notes: Vec::new(),
    }
}

/// What putting `servers` into force did.
pub(crate) fn change(servers: &Servers) -> Change {
    let content: String = servers
        .names()
        .iter()
        .map(|name| format!("server {name} iburst\n"))
        .collect();
    let sha256 = Fingerprint::of(content.as_bytes()).to_string();
    Change {
        path: "/etc/chrony/sources.d/timeball.sources".to_owned(),
        sha256: Some(sha256.trim_start_matches("SHA256:").to_owned()),
        notes: Vec::new(),
        warnings: Vec::new(),
    }
}
