//! A configuration, written.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::parse::{
    BYTES_PER_CLIENT, LOG_CLASSES, LOG_TYPES, RATE_LIMIT, clock_address, shared_memory_permissions,
};
use crate::chrony::HostName;
use crate::config::{
    ClientLog, Clock, Config, Family, InterfaceRule, InterfaceTarget, LogTopics, PathSetting, RefClock,
    RefClockDriver, RestrictFlags, Restriction, Selection, Server, SourceConfig, SourceKind, Subnet,
};

/// The polling intervals of ntpd, log2 s.
const POLL: RangeInclusive<i8> = 0..=17;

/// The largest number of a key.
const KEY_MAX: u32 = 65_534;

/// Writes a configuration as ntp.conf, as far as the language can say it.
///
/// Nothing is added to what was asked for: a source that is asked at another port is left out, and who is not let in is
/// shut out. `xleave` is left out, because NTPsec refuses the whole line for it. What the language cannot say is what
/// [`super::explain()`] does not find in the text.
pub fn write(config: &Config) -> String {
    let mut lines = Vec::new();
    files(config, &mut lines);
    keys(config, &mut lines);
    clock(config, &mut lines);
    let sources = config.sources.iter().filter(|source| can_be_said(source));
    let sources = sources.collect::<Vec<_>>();
    lines.extend(pools_line(&sources));
    lines.extend(sources.into_iter().map(source_line));
    for ref_clock in &config.ref_clocks {
        ref_clock_lines(ref_clock, &mut lines);
    }
    local_clock(config, &mut lines);
    server(&config.server, &mut lines);
    reports(config, &mut lines);
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

/// Adds files, those with keys excepted.
fn files(config: &Config, lines: &mut Vec<String>) {
    let process = &config.process;
    let pid_file = match &process.pid_file {
        PathSetting::Path(path) => Some(path.as_str()),
        PathSetting::Default | PathSetting::Disabled => None,
    };
    let drift_file = config.clock.drift_file.as_ref().map(|file| file.path.as_str());
    for (directive, path) in [
        ("driftfile", drift_file),
        ("leapfile", config.leap.list_file.as_deref()),
        ("pidfile", pid_file),
        ("logfile", process.log_file.as_deref()),
    ] {
        if let Some(path) = path.and_then(word) {
            lines.push(format!("{directive} {path}"));
        }
    }
    if process.lock_memory {
        lines.push("rlimit memlock 32".to_owned());
    }
}

/// Adds the file with keys and which of them are used.
fn keys(config: &Config, lines: &mut Vec<String>) {
    let Some(path) = config.key_file.as_deref().and_then(word) else {
        return;
    };
    lines.push(format!("keys {path}"));
    let all = [1..=KEY_MAX];
    let trusted = config.trusted_keys.as_deref().unwrap_or(&all);
    let ranges = trusted.iter().map(|range| match (range.start(), range.end()) {
        (first, last) if first == last => format!("{first}"),
        (first, last) => format!("({first} ... {last})"),
    });
    let ranges = ranges.collect::<Vec<_>>();
    if !ranges.is_empty() {
        lines.push(format!("trustedkey {}", ranges.join(" ")));
    }
    lines.extend(config.control_key.map(|id| format!("controlkey {id}")));
}

/// Adds how the clock follows its sources.
fn clock(config: &Config, lines: &mut Vec<String>) {
    let (clock, selection) = (&config.clock, &config.selection);
    // Steps and refused offsets are there unless they are switched off.
    let threshold = |step_s: f64| if step_s.is_finite() { step_s } else { 0.0 };
    let step = match clock.make_step {
        None => "step 0".to_owned(),
        Some(step) if step.forward_s == step.back_s => format!("step {}", step.forward_s),
        Some(step) => format!(
            "stepfwd {} stepback {}",
            threshold(step.forward_s),
            threshold(step.back_s)
        ),
    };
    let panic_s = clock.max_change.map_or(0.0, |change| change.offset_s);
    let mut tinker = format!("tinker {step} panic {panic_s}");
    // Writing to a string cannot fail.
    if clock.max_clock_error_ppm != Clock::default().max_clock_error_ppm {
        let _ = write!(tinker, " dispersion {}", parts(clock.max_clock_error_ppm));
    }
    if let Some(ppm) = clock.initial_frequency_ppm {
        let _ = write!(tinker, " freq {}", -ppm);
    }
    lines.push(tinker);
    let mut tos = format!(
        "tos maxdist {} minsane {}",
        selection.max_distance_s, selection.min_sources
    );
    let default = Selection::default();
    if selection.min_stratum != default.min_stratum {
        let _ = write!(tos, " floor {}", selection.min_stratum);
    }
    if selection.max_stratum != default.max_stratum {
        let _ = write!(tos, " ceiling {}", selection.max_stratum.saturating_add(1));
    }
    lines.push(tos);
    lines.push(format!("dscp {}", config.client.dscp));
    for (word, is_off) in [("ntp", clock.observe), ("kernel", !config.rtc.kernel_sync)] {
        if is_off {
            lines.push(format!("disable {word}"));
        }
    }
}

/// Returns the number that is so many parts per million, exactly if there is one.
fn parts(ppm: f64) -> f64 {
    let near = ppm / 1e6;
    let exact = [near, near.next_up(), near.next_down()];
    exact.into_iter().find(|parts| parts * 1e6 == ppm).unwrap_or(near)
}

/// Returns the line that says how many servers the pools have together.
fn pools_line(sources: &[&SourceConfig]) -> Option<String> {
    let pools = sources.iter().filter(|source| source.kind == SourceKind::Pool);
    let servers = pools.map(|pool| usize::from(pool.max_sources)).sum::<usize>();
    (servers > 0).then(|| format!("tos maxclock {}", sources.len() + servers))
}

/// Adds a reference clock if it is one of ntpd's.
fn ref_clock_lines(clock: &RefClock, lines: &mut Vec<String>) {
    let RefClockDriver::SharedMemory { unit, permissions } = clock.driver;
    let is_of_ntpd = (0..=255).contains(&unit) && permissions == shared_memory_permissions(unit);
    if !is_of_ntpd || clock.is_tai || !(0..=17).contains(&clock.poll) {
        return;
    }
    let mut line = format!("server 127.127.28.{unit} minpoll {}", clock.poll);
    for (word, is_given) in [
        ("prefer", clock.select.prefer),
        ("noselect", clock.select.noselect),
        ("true", clock.select.trust),
    ] {
        if is_given {
            let _ = write!(line, " {word}");
        }
    }
    lines.push(line);
    let mut fudge = format!(
        "fudge 127.127.28.{unit} time1 {} stratum {}",
        clock.offset_s, clock.stratum
    );
    let id = String::from_utf8_lossy(&clock.reference_id);
    if let Some(id) = word(id.trim_end_matches('\0')) {
        let _ = write!(fudge, " refid {id}");
    }
    lines.push(fudge);
}

/// Adds serving this host's own time.
fn local_clock(config: &Config, lines: &mut Vec<String>) {
    let Some(local) = &config.local else { return };
    if local.orphan {
        let (stratum, wait_s) = (local.stratum, local.wait_unsynced_s);
        lines.push(format!("tos orphan {stratum} orphanwait {wait_s}"));
    } else {
        lines.push("server 127.127.1.0".to_owned());
        lines.push(format!("fudge 127.127.1.0 stratum {}", local.stratum));
    }
}

/// Adds who is answered, where and how often.
fn server(server: &Server, lines: &mut Vec<String>) {
    for InterfaceRule { listen, target } in &server.interfaces {
        let target = match target {
            InterfaceTarget::All => Some("all".to_owned()),
            InterfaceTarget::Ipv4 => Some("ipv4".to_owned()),
            InterfaceTarget::Ipv6 => Some("ipv6".to_owned()),
            InterfaceTarget::Name(name) => word(name).map(str::to_owned),
            InterfaceTarget::Address(Subnet::Prefix { address, length }) => {
                Some(format!("{address}/{length}"))
            }
            InterfaceTarget::Address(Subnet::Everyone | Subnet::Name(_)) => None,
        };
        let action = if *listen { "listen" } else { "ignore" };
        lines.extend(target.map(|target| format!("interface {action} {target}")));
    }
    let restrictions = server.as_restrictions();
    for rule in &restrictions.rules {
        lines.push(restrict_line(rule));
        // Of all addresses these hold unless they are taken away.
        let is_of_all = matches!(rule.subnet, Subnet::Prefix { length: 0, .. }) && !rule.ntp_port;
        for (flag, is_given) in [("limited", rule.flags.limited), ("noquery", rule.flags.noquery)] {
            if is_of_all && !is_given {
                lines.push(format!("unrestrict {} {flag}", whom(&rule.subnet)));
            }
        }
    }
    if let Some(flags) = restrictions.of_sources {
        lines.push(format!("restrict source{}", flag_words(flags)));
    }
    if let Some(limit) = server.rate_limit
        && limit != RATE_LIMIT
        // What the number of packets in a second can be.
        && (-16..=9).contains(&limit.interval)
    {
        lines.push(format!(
            "limit average {} burst {} kod {}",
            2f64.powi(-i32::from(limit.interval)),
            limit.burst,
            u8::from(limit.kod > 0)
        ));
    }
    match server.client_log {
        ClientLog::Off => lines.push("disable monitor".to_owned()),
        ClientLog::On { .. } if !server.is_monitored => lines.push("disable monitor".to_owned()),
        log @ ClientLog::On { limit_bytes } if log != ClientLog::default() => {
            lines.push(format!(
                "mru maxdepth {}",
                u64::from(limit_bytes) / BYTES_PER_CLIENT
            ));
        }
        ClientLog::On { .. } => {}
    }
}

/// Adds what is logged, and what others can read.
fn reports(config: &Config, lines: &mut Vec<String>) {
    let LogTopics(topics) = config.process.log_topics;
    if config.process.log_topics != LogTopics::default() {
        let words = LOG_CLASSES
            .iter()
            .flat_map(|class| LOG_TYPES.iter().map(move |kind| format!("{class}{kind}")));
        let words = words.enumerate().filter(|(bit, _)| topics >> bit & 1 == 1);
        let words = words.map(|(_, word)| format!(" +{word}")).collect::<String>();
        // A first word without a sign before it would be the only one.
        lines.push(format!("logconfig =sysall -sysall{words}"));
    }
    let statistics = &config.statistics;
    if let Some(directory) = statistics.dir.as_deref().and_then(word) {
        lines.push(format!("statsdir {directory}"));
        for (kind, file) in &statistics.files {
            let Some(name) = word(&file.name) else { continue };
            let (every, link) = (
                if file.is_daily { "day" } else { "none" },
                if file.has_link { "link" } else { "nolink" },
            );
            lines.push(format!("filegen {} file {name} type {every} {link}", kind.word()));
        }
    }
    for variable in &config.variables {
        let default = if variable.is_default { " default" } else { "" };
        lines.push(format!(
            "setvar {} = \"{}\"{default}",
            variable.name, variable.value
        ));
    }
}

/// Returns a path if it is one word.
fn word(text: &str) -> Option<&str> {
    let is_plain = |character: char| character.is_ascii_graphic() && !"\"#(){}=,;".contains(character);
    (!text.is_empty() && text.chars().all(is_plain)).then_some(text)
}

/// Reports whether a source can be asked as it must be. An address of a reference clock is no host's.
fn can_be_said(source: &SourceConfig) -> bool {
    let is_clock = clock_address(&source.name.to_string()).is_some();
    let has_name = !is_clock && HostName::new(source.name.to_string()).is_ok();
    has_name && source.kind != SourceKind::Peer && source.port == 123 && !source.offline
}

fn source_line(source: &SourceConfig) -> String {
    let default = SourceConfig::new(source.kind, source.name.clone());
    let word = if source.kind == SourceKind::Pool {
        "pool"
    } else {
        "server"
    };
    let mut line = word.to_owned();
    match source.family {
        Some(Family::V4) => line.push_str(" -4"),
        Some(Family::V6) => line.push_str(" -6"),
        None => {}
    }
    // Writing to a string cannot fail.
    let _ = write!(line, " {}", source.name);
    for (option, is_given) in [
        ("iburst", source.iburst),
        ("burst", source.burst),
        ("prefer", source.select.prefer),
        ("noselect", source.select.noselect),
        ("true", source.select.trust),
    ] {
        if is_given {
            let _ = write!(line, " {option}");
        }
    }
    // NTPsec refuses a line with a sign, and takes the nearest interval in the place of a longer one.
    let poll = |poll: i8| poll.clamp(*POLL.start(), *POLL.end());
    if source.min_poll != default.min_poll {
        let _ = write!(line, " minpoll {}", poll(source.min_poll));
    }
    if source.max_poll != default.max_poll {
        let _ = write!(line, " maxpoll {}", poll(source.max_poll));
    }
    if let Some(version) = source.version {
        let _ = write!(line, " version {version}");
    }
    if let Some(id) = source.key_id {
        let _ = write!(line, " key {id}");
    }
    if source.offset_s != 0.0 {
        let _ = write!(line, " bias {}", source.offset_s);
    }
    line
}

fn restrict_line(rule: &Restriction) -> String {
    let port = if rule.ntp_port { " ntpport" } else { "" };
    format!("restrict {}{}{port}", whom(&rule.subnet), flag_words(rule.flags))
}

/// Returns whom a rule is about, with the mask.
fn whom(subnet: &Subnet) -> String {
    match subnet {
        Subnet::Prefix {
            address: IpAddr::V4(_),
            length: 0,
        } => "-4 default".to_owned(),
        Subnet::Prefix { length: 0, .. } => "-6 default".to_owned(),
        Subnet::Prefix { address, length } if *length == Subnet::length_max(*address) => address.to_string(),
        Subnet::Prefix {
            address: IpAddr::V4(address),
            length,
        } => {
            let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or(0));
            let network = Ipv4Addr::from_bits(address.to_bits() & mask.to_bits());
            format!("{network} mask {mask}")
        }
        Subnet::Prefix {
            address: IpAddr::V6(address),
            length,
        } => {
            let mask = Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0));
            let network = Ipv6Addr::from_bits(address.to_bits() & mask.to_bits());
            format!("{network} mask {mask}")
        }
        Subnet::Name(name) => name.clone(),
        Subnet::Everyone => "default".to_owned(),
    }
}

/// Returns flags, each with a blank before it.
fn flag_words(flags: RestrictFlags) -> String {
    let words = [
        ("ignore", flags.ignore),
        ("noserve", flags.noserve),
        ("notrust", flags.notrust),
        ("version", flags.version),
        ("limited", flags.limited),
        ("kod", flags.kod),
        ("flake", flags.flake),
        ("noquery", flags.noquery),
        ("nomodify", flags.nomodify),
        ("nomrulist", flags.nomrulist),
    ];
    let given = words.into_iter().filter(|(_, is_given)| *is_given);
    given.map(|(word, _)| format!(" {word}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample;

    use super::*;
    use crate::chrony;
    use crate::diagnostic::Severity;
    use crate::include::tests::Files;
    use crate::ntp::parse;

    fn read(text: &str) -> Config {
        let (config, diagnostics) = parse("/main", &Files::new(&[("/main", text)]));
        let wrong = diagnostics
            .iter()
            .filter(|found| found.severity > Severity::Warning);
        assert_eq!(
            wrong.collect::<Vec<_>>(),
            [] as [&crate::diagnostic::Diagnostic; 0],
            "{text}"
        );
        config
    }

    /// The lines of its rules in one order, and the configuration without them.
    fn parts_of(mut config: Config) -> (Vec<String>, Config) {
        let restrictions = config.server.restrictions.take().unwrap_or_default();
        let mut rules = restrictions.rules.iter().map(restrict_line).collect::<Vec<_>>();
        rules.extend(restrictions.of_sources.map(flag_words));
        rules.sort_unstable();
        (rules, config)
    }

    fn check(text: &str) {
        let config = read(text);
        let written = write(&config);
        assert_eq!(parts_of(read(&written)), parts_of(config), "{text}\n{written}");
    }

    /// Lines that say all there is, any of which may be there.
    const LINES: [&str; 46] = [
        "server a iburst minpoll 4 maxpoll 5 version 3 prefer",
        "pool b noselect",
        "pool e iburst",
        "pool -4 f",
        "server -6 c true bias 0.5",
        "server 192.0.2.1 burst",
        "server ::1 key 7",
        "server g key 8",
        "unpeer c",
        "driftfile /d",
        "leapfile /l",
        "pidfile /p",
        "logfile /log",
        "keys /k",
        "trustedkey 7 (9 ... 12)",
        "trustedkey 8",
        "controlkey 9",
        "tinker step 0.5 panic 0",
        "tinker dispersion 0.000003 freq -7.25",
        "tinker stepback 0",
        "tinker stepfwd 0.3 stepback 4",
        "tos maxdist 2.5 minsane 3",
        "tos maxclock 41",
        "tos maxclock 3",
        "tos floor 2 ceiling 7",
        "tos orphan 6 orphanwait 30",
        "dscp 0",
        "disable ntp kernel",
        "disable monitor",
        "mru maxdepth 3000",
        "rlimit memlock 32",
        "server 127.127.1.0\nfudge 127.127.1.0 stratum 9",
        "server 127.127.28.1 prefer noselect\nfudge 127.127.28.1 refid PPS time1 -0.25 stratum 2",
        "server 127.127.28.7 minpoll 3 true",
        "interface ignore all\ninterface listen eth*\ninterface drop 192.0.2.0/24",
        "interface listen ipv6\ninterface ignore ::1",
        "limit average 0.25 burst 8 kod 0",
        "restrict default ignore",
        "restrict -4 default notrust version kod",
        "restrict 10.1.2.3 mask 255.255.0.0 nomodify",
        "restrict -6 2001:db8:: mask ffff:ffff:: notrust flake\nrestrict 10.0.0.0/9 noserve ntpport",
        "restrict host.example limited nomrulist\nrestrict ::1\nrestrict source nomodify noquery",
        "unrestrict default limited noquery",
        "statsdir /s\nstatistics loopstats rawstats\nfilegen peerstats file p type none nolink",
        "logconfig =syncstatus +sysall",
        "setvar x = \"a b\" default\nsetvar y = =#",
    ];

    #[test]
    fn what_is_read_is_written_and_read_again_as_the_same() {
        check("server a\n");
        for line in LINES {
            check(&format!("{line}\nserver z\nkeys /k\ntrustedkey 7 8\n"));
        }
        check("logconfig =sysall -sysall\nserver a\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn any_lines_are_written_and_read_again_as_the_same(lines in sample::subsequence(&LINES[..], 0..=46)) {
            let mut text = lines.join("\n");
            // Of a key that nobody trusts the line is left out, which is another test's matter.
            text.push_str("\nserver z\nkeys /k\ntrustedkey 7 8 9\n");
            check(&text);
        }
    }

    #[test]
    fn who_is_served_by_chronys_rules_is_served_and_nobody_else() {
        for (access, served, not_served) in [
            ("", &[][..], &["192.0.2.1", "2001:db8::1"][..]),
            ("allow\n", &["192.0.2.1", "2001:db8::1"], &[]),
            ("allow 192.0.2.0/24\n", &["192.0.2.255"], &["192.0.3.0", "::2"]),
            ("allow\ndeny 192.0.2.0/25\n", &["192.0.2.128"], &["192.0.2.127"]),
            (
                "deny 192.0.2.0/26\nallow 192.0.2.0/25\n",
                &["192.0.2.1"],
                &["192.0.2.128"],
            ),
            (
                "deny 192.0.2.0/28\nallow all 192.0.2.0/24\n",
                &["192.0.2.1"],
                &["192.0.1.0"],
            ),
            (
                "allow 2001:db8::/33\n",
                &["2001:db8:1::"],
                &["2001:db8:8000::", "192.0.2.1"],
            ),
        ] {
            let (config, diagnostics) = chrony::parse("/main", &Files::new(&[("/main", access)]));
            assert_eq!(diagnostics, []);
            let again = read(&write(&config));
            let restrictions = again.server.restrictions.unwrap();
            let is_served =
                |address: &&str| !restrictions.flags(address.parse().unwrap(), 1024, false).noserve;
            assert!(served.iter().all(is_served), "{access}");
            assert!(!not_served.iter().any(is_served), "{access}");
        }
    }
}
