//! A configuration, written.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::lexer::KEYWORDS;
use super::statement::Listening;
use crate::chrony::HostName;
use crate::config::{
    Config, InterfaceRule, InterfaceTarget, Server, SourceConfig, SourceKind, Subnet, Verdict,
};

/// Writes a configuration as ntpd.conf of OpenNTPD, as far as the language can say it.
///
/// Nothing is added to what was asked for: a source that would be followed although it must not, or asked at another
/// port, is left out, and so is serving if not everybody may be served. What the language cannot say is what
/// [`super::read()`] does not find in the text.
pub fn write(config: &Config) -> String {
    let mut text = String::new();
    let sources = || config.sources.iter().filter(|source| can_be_said(source));
    // Writing to a string cannot fail.
    for address in addresses(&config.server) {
        let _ = match address {
            Listening::Everywhere => writeln!(text, "listen on *"),
            Listening::Address(address) => writeln!(text, "listen on {address}"),
            Listening::Name(name) => writeln!(text, "listen on {}", quoted(&name)),
        };
    }
    if let Some(address) = config.client.bind_ipv4 {
        let _ = writeln!(text, "query from {address}");
    }
    if let Some(address) = config.client.bind_ipv6 {
        let _ = writeln!(text, "query from {address}");
    }
    for constraint in &config.constraints.from {
        let word = if constraint.is_pool {
            "constraints"
        } else {
            "constraint"
        };
        // Nothing in a URL that was read ends a text in quotes.
        let _ = write!(text, "{word} from \"{}\"", constraint.url);
        for address in &constraint.addresses {
            let _ = write!(text, " {address}");
        }
        text.push('\n');
    }
    for source in sources() {
        let word = match source.kind {
            SourceKind::Server => "server",
            SourceKind::Pool | SourceKind::Peer => "servers",
        };
        let trusted = if source.select.trust { " trusted" } else { "" };
        let _ = writeln!(text, "{word} {}{trusted}", quoted(&source.name.to_string()));
    }
    text
}

/// Reports whether a source can be asked as it must be.
fn can_be_said(source: &SourceConfig) -> bool {
    let is_asked = !source.offline && !source.select.noselect;
    let has_name = HostName::new(source.name.to_string()).is_ok();
    has_name && source.kind != SourceKind::Peer && source.port == 123 && is_asked
}

/// Returns where clients are answered, if they can be everywhere from where somebody may ask.
fn addresses(server: &Server) -> Vec<Listening> {
    let access = server.access_rules();
    let is_allowed = |subnet: &Subnet| access.iter().any(|rule| rule.subnet == *subnet);
    let any = |address: IpAddr| Subnet::Prefix { address, length: 0 };
    let any4 = any(Ipv4Addr::UNSPECIFIED.into());
    let any6 = any(Ipv6Addr::UNSPECIFIED.into());
    let everyone = is_allowed(&Subnet::Everyone);
    let (has_v4, has_v6) = (is_allowed(&any4), is_allowed(&any6));
    // A part of those who are all let in may be named beside.
    let are_simple = access.iter().all(|rule| {
        let is_all = match &rule.subnet {
            Subnet::Everyone => true,
            Subnet::Prefix { address, .. } => everyone || if address.is_ipv4() { has_v4 } else { has_v6 },
            Subnet::Name(_) => everyone,
        };
        is_all && rule.verdict == Verdict::Allow
    });
    let listed = listed(&server.interfaces);
    let is_of_some = server.bind_device.is_some() || (listed.is_none() && !server.interfaces.is_empty());
    if !are_simple || is_of_some || server.port != 123 {
        return Vec::new();
    }
    if let Some(listed) = listed {
        let is_open = |is_ipv6: bool| everyone || if is_ipv6 { has_v6 } else { has_v4 };
        let open = listed.into_iter().filter(|place| match place {
            Listening::Address(address) => is_open(address.is_ipv6()),
            Listening::Name(_) | Listening::Everywhere => is_open(false) && is_open(true),
        });
        return open.collect();
    }
    let mut families = [
        (
            everyone || has_v4,
            server.bind_ipv4.map(IpAddr::V4),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ),
        (
            everyone || has_v6,
            server.bind_ipv6.map(IpAddr::V6),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ),
    ];
    if everyone && families.iter().all(|(_, bound, _)| bound.is_none()) {
        return vec![Listening::Everywhere];
    }
    // What is said first is written first.
    let place = |subnet: &Subnet| access.iter().position(|rule| rule.subnet == *subnet);
    if matches!((place(&any4), place(&any6)), (Some(of_v4), Some(of_v6)) if of_v6 < of_v4) {
        families.reverse();
    }
    let open = families.into_iter().filter(|(is_open, _, _)| *is_open);
    open.map(|(_, bound, every)| Listening::Address(bound.unwrap_or(every)))
        .collect()
}

/// Returns the addresses and names that rules on interfaces come to, if they are a list of them: all others are shut.
fn listed(rules: &[InterfaceRule]) -> Option<Vec<Listening>> {
    let is_every = |rule: &InterfaceRule, is_ipv6: bool| {
        let target = InterfaceTarget::Address(Subnet::Prefix {
            address: if is_ipv6 {
                Ipv6Addr::UNSPECIFIED.into()
            } else {
                Ipv4Addr::UNSPECIFIED.into()
            },
            length: 0,
        });
        !rule.listen && rule.target == target
    };
    let [of_v4, of_v6, said @ ..] = rules else {
        return None;
    };
    if !is_every(of_v4, false) || !is_every(of_v6, true) {
        return None;
    }
    let place = |rule: &InterfaceRule| match &rule.target {
        InterfaceTarget::Address(Subnet::Name(name)) if rule.listen => Some(Listening::Name(name.clone())),
        InterfaceTarget::Address(Subnet::Prefix { address, length }) if rule.listen => {
            let is_one = *length == Subnet::length_max(*address);
            (is_one || (*length == 0 && address.is_unspecified())).then_some(Listening::Address(*address))
        }
        _ => None,
    };
    said.iter().map(place).collect()
}

/// Returns the name of a source, in quotes if it would be something else without.
fn quoted(name: &str) -> String {
    if KEYWORDS.contains(&name) || name.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chrony;
    use crate::diagnostic::Severity;
    use crate::include::tests::Files;
    use crate::openntpd::read;

    fn of_chrony(text: &str) -> Config {
        let (config, diagnostics) = chrony::parse("/main", &Files::new(&[("/main", text)]));
        assert_eq!(diagnostics, [], "{text}");
        config
    }

    #[test]
    fn what_can_be_said_is_written() {
        for (chrony, openntpd) in [
            ("", ""),
            (
                "server a iburst\npool b iburst maxsources 8 trust\n",
                "server a\nservers b trusted\n",
            ),
            (
                "server 10\nserver on trust\nserver 2001:db8::1\n",
                "server \"10\"\nserver \"on\" trusted\nserver 2001:db8::1\n",
            ),
            (
                "peer a\nserver b port 124\nserver c noselect\nserver d offline\nserver e key 1\n",
                "server e\n",
            ),
            (
                "allow\nbindacqaddress 192.0.2.1\nbindacqaddress ::1\n",
                "listen on *\nquery from 192.0.2.1\nquery from ::1\n",
            ),
            ("allow 0/0\n", "listen on 0.0.0.0\n"),
            (
                "allow\nbindaddress 127.0.0.1\n",
                "listen on 127.0.0.1\nlisten on ::\n",
            ),
            ("allow ::/0\nbindaddress ::1\n", "listen on ::1\n"),
            ("allow\ndeny 192.0.2.0/24\n", ""),
            ("allow 192.0.2.0/24\n", ""),
            ("allow\nport 124\n", ""),
            ("server a\\\nserver a\"b\n", ""),
            ("allow\nbinddevice eth0\n", ""),
            (
                "timeball.constraint https://a:8443/b%20 192.0.2.1 ::1\ntimeball.constraints a\n",
                "constraint from \"https://a:8443/b%20\" 192.0.2.1 ::1\nconstraints from \"https://a/\"\n",
            ),
        ] {
            assert_eq!(write(&of_chrony(chrony)), openntpd, "{chrony}");
        }
    }

    #[test]
    fn what_is_read_is_written_and_read_again_as_the_same() {
        for text in [
            "",
            "listen on *\nserver a\nservers b trusted\n",
            "listen on 127.0.0.1\nlisten on ::1\nquery from 192.0.2.1\nserver \"on\"\nserver \"10\"\n",
            "constraint from '9.9.9.9'\nconstraint from \"https://a:8443/b\" 192.0.2.1 ::1\nconstraints from a\nserver b",
            "listen on ::\nserver 192.0.2.1\nservers ::1\nserver fe80::1%eth0\n",
            "listen on 192.0.2.1\nlisten on 192.0.2.2\nlisten on ::1\nserver a\n",
            "listen on 0.0.0.0\nlisten on ::1\nlisten on ::2\nserver a\n",
            "listen on ::1\nlisten on 0.0.0.0\nserver a\n",
            "listen on ::1\nlisten on 127.0.0.1\nserver a\n",
            "listen on time.example\nlisten on 192.0.2.1\nlisten on fe80::1%eth0\nlisten on \"server\"\n",
        ] {
            let of = |text: &str| read("/main", &Files::new(&[("/main", text)]));
            let reading = of(text);
            let again = of(&write(&reading.config));
            assert!(
                again
                    .diagnostics
                    .iter()
                    .all(|found| found.severity < Severity::Error)
            );
            assert_eq!(again.config, reading.config);
        }
    }
}
