//! A configuration, written.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::chrony::HostName;
use crate::config::{Config, Family, PathSetting, Restriction, SourceConfig, SourceKind, Subnet};

/// Writes a configuration as ntp.conf, as far as the language can say it.
///
/// Nothing is added to what was asked for: a source that is asked at another port is left out, and who is not let in is
/// shut out. What the language cannot say is what [`super::explain()`] does not find in the text.
pub fn write(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if let Some(file) = &config.clock.drift_file {
        word(&file.path)
            .into_iter()
            .for_each(|path| line(format!("driftfile {path}")));
    }
    if let Some(path) = config.leap.list_file.as_deref().and_then(word) {
        line(format!("leapfile {path}"));
    }
    if let PathSetting::Path(path) = &config.process.pid_file {
        word(path)
            .into_iter()
            .for_each(|path| line(format!("pidfile {path}")));
    }
    if let Some(path) = config.key_file.as_deref().and_then(word) {
        line(format!("keys {path}"));
        let mut ids = config
            .sources
            .iter()
            .filter_map(|source| source.key_id)
            .collect::<Vec<_>>();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().for_each(|id| line(format!("trustedkey {id}")));
    }
    // Steps and refused offsets are there unless they are switched off.
    let step_s = config.clock.make_step.map_or(0.0, |step| step.threshold_s);
    let panic_s = config.clock.max_change.map_or(0.0, |change| change.offset_s);
    line(format!("tinker step {step_s} panic {panic_s}"));
    line(format!(
        "tos maxdist {} minsane {}",
        config.selection.max_distance_s, config.selection.min_sources
    ));
    line(format!("dscp {}", config.client.dscp));
    for source in config.sources.iter().filter(|source| can_be_said(source)) {
        line(source_line(source));
    }
    for rule in config.server.as_restrictions().rules {
        line(restrict_line(&rule));
    }
    text
}

/// Returns a path if it is one word.
fn word(text: &str) -> Option<&str> {
    let is_plain = |character: char| character.is_ascii_graphic() && !"\"#(){}=,;".contains(character);
    (!text.is_empty() && text.chars().all(is_plain)).then_some(text)
}

/// Reports whether a source can be asked as it must be.
fn can_be_said(source: &SourceConfig) -> bool {
    let has_name = HostName::new(source.name.to_string()).is_ok();
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
        ("xleave", source.interleaved),
    ] {
        if is_given {
            let _ = write!(line, " {option}");
        }
    }
    if source.min_poll != default.min_poll {
        let _ = write!(line, " minpoll {}", source.min_poll);
    }
    if source.max_poll != default.max_poll {
        let _ = write!(line, " maxpoll {}", source.max_poll);
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
    let mut line = "restrict ".to_owned();
    // Writing to a string cannot fail.
    let _ = match &rule.subnet {
        Subnet::Prefix {
            address: IpAddr::V4(_),
            length: 0,
        } => write!(line, "-4 default"),
        Subnet::Prefix { length: 0, .. } => write!(line, "-6 default"),
        Subnet::Prefix { address, length } if *length == Subnet::length_max(*address) => {
            write!(line, "{address}")
        }
        Subnet::Prefix {
            address: IpAddr::V4(address),
            length,
        } => {
            let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or(0));
            write!(
                line,
                "{} mask {mask}",
                Ipv4Addr::from_bits(address.to_bits() & mask.to_bits())
            )
        }
        Subnet::Prefix {
            address: IpAddr::V6(address),
            length,
        } => {
            let mask = Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0));
            write!(
                line,
                "{} mask {mask}",
                Ipv6Addr::from_bits(address.to_bits() & mask.to_bits())
            )
        }
        Subnet::Name(name) => write!(line, "{name}"),
        Subnet::Everyone => Ok(()),
    };
    let flags = rule.flags;
    for (flag, is_given) in [
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
        ("ntpport", rule.ntp_port),
    ] {
        if is_given {
            line.push(' ');
            line.push_str(flag);
        }
    }
    line
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_is_read_is_written_and_read_again_as_the_same() {
        for text in [
            "server a iburst minpoll 4 maxpoll 5 version 3 prefer\npool b noselect\nserver -6 c true xleave bias 0.5\n",
            "driftfile /d\nleapfile /l\npidfile /p\ntinker step 0.5 panic 0\ntos maxdist 2.5 minsane 3\ndscp 0\nserver a\n",
            "server ::1 key 7\nkeys /k\ntrustedkey 7\nrestrict default ignore\nrestrict 10.1.2.3 mask 255.255.0.0 nomodify\n",
            "server a\nrestrict -6 2001:db8:: mask ffff:ffff:: notrust flake\nrestrict host.example noserve ntpport\n",
        ] {
            let config = read(text);
            let written = write(&config);
            let again = read(&written);
            let rules = |config: &Config| {
                let rules = config.server.restrictions.clone().unwrap_or_default().rules;
                let mut rules = rules.iter().map(restrict_line).collect::<Vec<_>>();
                rules.sort_unstable();
                rules
            };
            assert_eq!(rules(&again), rules(&config), "{written}");
            let without_rules = |config: Config| Config {
                server: crate::config::Server {
                    restrictions: None,
                    ..config.server
                },
                ..config
            };
            assert_eq!(without_rules(again), without_rules(config), "{written}");
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
