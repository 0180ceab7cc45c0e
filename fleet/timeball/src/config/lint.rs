//! `timeball config lint`: what works in a configuration file and is a mistake all the same.

use std::collections::BTreeSet;
use std::net::IpAddr;

use conf::chrony::read_source_dirs;
use conf::config::{Config, Restriction, SourceConfig, SourceKind, SourceName, Subnet, Verdict as Access};
use conf::diagnostic::Severity;
use conf::dialect::Reading;
use serde::{Deserialize, Serialize};

use super::files::{FileArgs, RegularFiles};
use crate::cli::Globals;
use crate::ending::{Ending, Failure, Verdict};
use crate::print::Printer;
use crate::text;

/// With how many sources a wrong one is found out, also while one of them is away.
const SOURCES_ADVISED: usize = 4;

/// Who smears leap seconds, by the ends of their names: Google, Amazon and Meta say so.
const SMEARING_NAMES: [&str; 5] = [
    "google.com",
    "time.android.com",
    "metadata.google.internal",
    "time.aws.com",
    "time.facebook.com",
];

/// The addresses of Amazon's service inside its network, which smears.
const SMEARING_ADDRESSES: [&str; 2] = ["169.254.169.123", "fd00:ec2::123"];

/// Words that are options of a source and stand in the place of its name where that is forgotten.
const OPTIONS: [&str; 12] = [
    "auto_offline",
    "burst",
    "iburst",
    "key",
    "maxpoll",
    "minpoll",
    "noselect",
    "nts",
    "offline",
    "prefer",
    "trust",
    "xleave",
];

/// The least stratum at which a clock that nobody corrects is told without being taken for a server with a better one
/// (NTP, BCP 223: the local clock is to be the last choice).
const LOCAL_STRATUM_MIN: u8 = 8;

/// Labels under which two-letter domains are given out (co.uk, com.au).
const SECOND_LEVELS: [&str; 9] = ["ac", "co", "com", "edu", "gov", "gob", "ne", "net", "org"];

/// What was found.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    file: String,
    dialect: String,
    findings: Vec<Finding>,
}

/// One mistake.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Finding {
    /// Which rule found it; the word does not change.
    rule: String,
    /// The place of the line it is about, `FILE:LINE`, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    message: String,
    help: String,
}

/// Reads the file and says what is unwise in it.
pub(crate) fn run(args: &FileArgs, globals: &Globals) -> Ending {
    let (dialect, mut reading) = args.read()?;
    let (more, _) = read_source_dirs(&reading.config.source_dirs, &RegularFiles);
    reading.config.sources.extend(more);
    let report = Report {
        file: args.file.clone(),
        dialect: dialect.to_string(),
        findings: lint(&reading),
    };
    let body = serde_json::to_vec(&report).map_err(|error| Failure::new(error.to_string()))?;
    Printer::new(globals.format()).show(&body, page)?;
    Ok(if report.findings.is_empty() {
        Verdict::Done
    } else {
        Verdict::SomeFailed
    })
}

/// Returns what is unwise, the gravest first.
fn lint(reading: &Reading) -> Vec<Finding> {
    let mut findings = Findings {
        reading,
        found: Vec::new(),
    };
    findings.errors();
    findings.names();
    findings.number();
    findings.smearing();
    findings.operators();
    findings.local();
    findings.clients();
    findings.reports();
    findings.found
}

struct Findings<'a> {
    reading: &'a Reading,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, rule: &str, source: Option<&SourceConfig>, message: String, help: &str) {
        self.found.push(Finding {
            rule: rule.to_owned(),
            place: source.and_then(|source| self.place(source)),
            message,
            help: help.to_owned(),
        });
    }

    fn config(&self) -> &Config {
        &self.reading.config
    }

    /// Returns the sources that are followed.
    fn followed(&self) -> Vec<SourceConfig> {
        let sources = self.config().sources.iter();
        sources
            .filter(|source| !source.select.noselect)
            .cloned()
            .collect()
    }

    /// Returns where a source is said.
    fn place(&self, source: &SourceConfig) -> Option<String> {
        let name = source.name.to_string();
        let says = |line: &String| {
            let mut words = line.split_whitespace();
            let directive = words.next().unwrap_or_default();
            ["server", "pool", "peer"]
                .iter()
                .any(|word| word.eq_ignore_ascii_case(directive))
                && words.next() == Some(name.as_str())
        };
        let line = self
            .reading
            .lines
            .iter()
            .find(|line| line.chrony.iter().any(says))?;
        Some(format!("{}:{}", line.span.file, line.span.line))
    }

    /// Says which lines do not count.
    fn errors(&mut self) {
        let diagnostics = self.reading.diagnostics.iter();
        let errors = diagnostics.filter(|found| self.reading.severity(found) > Severity::Warning);
        let findings = errors.map(|found| Finding {
            rule: "errors".to_owned(),
            place: Some(match found.span.line {
                0 => found.span.file.to_string(),
                line => format!("{}:{line}", found.span.file),
            }),
            message: found.message.clone(),
            help: found
                .help
                .clone()
                .unwrap_or_else(|| "timeball config check shows the line".to_owned()),
        });
        let findings = findings.collect::<Vec<_>>();
        self.found.extend(findings);
    }

    /// Looks at what sources are called.
    fn names(&mut self) {
        let mut seen = BTreeSet::new();
        for source in self.config().sources.clone() {
            let name = source.name.to_string();
            if OPTIONS.iter().any(|option| option.eq_ignore_ascii_case(&name)) {
                let message = format!("a source is called {name}, which is an option");
                self.add(
                    "option-as-name",
                    Some(&source),
                    message,
                    "write the name of the server before it",
                );
            }
            if source.name.looks_like_address() {
                self.add(
                    "address-as-name",
                    Some(&source),
                    format!("{name} looks like an address, and is none"),
                    "the daemon looks it up as a name for ever: write an address, or the name of a host",
                );
            }
            if self.is_own(&source) {
                let message = format!("{name} is this host itself");
                self.add(
                    "own-address",
                    Some(&source),
                    message,
                    "name another host: none can learn the time from itself",
                );
            }
            // A point at the end only says that the name is whole.
            let whole = name.trim_end_matches('.').to_ascii_lowercase();
            let is_second = !seen.insert((whole, source.port));
            if is_second {
                let message = format!("{name} is there twice");
                self.add(
                    "twice",
                    Some(&source),
                    message,
                    "a source that is asked twice does not confirm itself",
                );
            }
        }
    }

    /// Reports whether a source is this host.
    fn is_own(&self, source: &SourceConfig) -> bool {
        // Several servers of one host, on other ports, are for tests and for chains of daemons.
        if source.port != self.config().server.port {
            return false;
        }
        match &source.name {
            SourceName::Address(address) => {
                let server = &self.config().server;
                let bound = [server.bind_ipv4.map(IpAddr::V4), server.bind_ipv6.map(IpAddr::V6)];
                address.is_loopback() || address.is_unspecified() || bound.contains(&Some(*address))
            }
            SourceName::Name(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                name == "localhost" || name.ends_with(".localhost")
            }
        }
    }

    /// Looks at how many sources there are.
    fn number(&mut self) {
        let followed = self.followed();
        let sources = followed.iter().map(|source| match source.kind {
            SourceKind::Pool => usize::from(source.max_sources),
            SourceKind::Server | SourceKind::Peer => 1,
        });
        let clocks = self
            .config()
            .ref_clocks
            .iter()
            .filter(|clock| !clock.select.noselect)
            .count();
        let count = sources.sum::<usize>() + clocks;
        let help = format!("name {SOURCES_ADVISED}, so that three are left when one is away, or a pool");
        match count {
            0 if self.config().local.is_some() => {}
            0 => self.add("no-source", None, "no source is followed".to_owned(), &help),
            1 => self.add(
                "one-source",
                followed.first(),
                "there is one source: when it is wrong nothing shows it".to_owned(),
                &help,
            ),
            2 => self.add(
                "two-sources",
                None,
                "there are two sources: when they disagree nothing shows which is right".to_owned(),
                &help,
            ),
            _ => {}
        }
    }

    /// Looks whether smeared and unsmeared time is mixed.
    fn smearing(&mut self) {
        let followed = self.followed();
        let (smeared, others): (Vec<_>, Vec<_>) =
            followed.iter().partition(|source| is_smeared(&source.name));
        if let (Some(smeared), Some(other)) = (smeared.first().copied(), others.first()) {
            let message = format!(
                "{} smears leap seconds and {} is not known to",
                smeared.name, other.name
            );
            let help =
                "around a leap second they differ by up to a second: follow only the one kind or the other";
            self.add("mixed-smearing", Some(smeared), message, help);
        }
    }

    /// Looks whether the sources are of several operators.
    fn operators(&mut self) {
        let followed = self.followed();
        let operators = followed
            .iter()
            .map(|source| operator(&source.name))
            .collect::<Vec<_>>();
        let has_clock = !self.config().ref_clocks.is_empty();
        if let [Some(first), others @ ..] = operators.as_slice()
            && !has_clock
            && !others.is_empty()
            && others.iter().all(|operator| operator.as_ref() == Some(first))
        {
            let message = format!("all {} sources are of {first}", operators.len());
            let help = "one mistake of one operator makes all of them wrong: add sources of another one";
            self.add("one-operator", None, message, help);
        }
    }

    /// Looks at how this host's own time is told.
    fn local(&mut self) {
        let config = self.config();
        let Some(local) = config.local else { return };
        let stratum = local.stratum;
        if stratum < LOCAL_STRATUM_MIN && !local.orphan {
            self.add(
                "local-stratum",
                None,
                format!("where no source is left this host tells its own time as stratum {stratum}"),
                "clients take that for a good server's: use stratum 10 or more",
            );
        }
        // Orphans agree on one of them whose time is told.
        if local.orphan {
            return;
        }
        let in_loop = self.followed().into_iter().find(|source| {
            !self.is_own(source) && (source.kind == SourceKind::Peer || self.is_client(source))
        });
        if let Some(source) = in_loop {
            let message = format!(
                "{} may ask this host, which then tells its own time as stratum {stratum}",
                source.name
            );
            let help = "each of two such hosts can end up following its own time by way of the other: add orphan (tos orphan \
                        in ntp.conf) on both, or do not let the source ask";
            self.add("stratum-loop", Some(&source), message, help);
        }
    }

    /// Reports whether a rule lets in a source that is not about everybody.
    fn is_client(&self, source: &SourceConfig) -> bool {
        let SourceName::Address(address) = source.name else {
            return false;
        };
        let restrictions = self.config().server.as_restrictions();
        let is_named = |rule: &Restriction| !matches!(rule.subnet, Subnet::Prefix { length: 0, .. });
        let rule = restrictions.find(address, source.port);
        self.config().server.port != 0
            && rule.is_some_and(|rule| is_named(rule) && !rule.flags.ignore && !rule.flags.noserve)
    }

    /// Looks at who may ask for reports by the control packets of ntpq.
    fn reports(&mut self) {
        let server = &self.config().server;
        let restrictions = server.restrictions.as_ref().filter(|_| server.port != 0);
        let mut rules = restrictions
            .into_iter()
            .flat_map(|restrictions| &restrictions.rules);
        let is_open = rules.any(|rule| {
            let is_of_all = matches!(rule.subnet, Subnet::Prefix { length: 0, .. });
            is_of_all && !rule.flags.ignore && !rule.flags.noquery
        });
        if is_open {
            self.add(
                "open-to-ntpq",
                None,
                "everybody who can reach this host may ask it for reports with ntpq".to_owned(),
                "add noquery to restrict default, and name the hosts that may ask",
            );
        }
    }

    /// Looks at who is served.
    fn clients(&mut self) {
        let server = &self.config().server;
        let access = server.access_rules();
        // Of the rules for all addresses of a family the last one holds.
        let allows = |is_of_family: fn(&IpAddr) -> bool| {
            let all = access.iter().rev().find(|rule| match &rule.subnet {
                Subnet::Everyone => true,
                Subnet::Prefix { address, length } => *length == 0 && is_of_family(address),
                Subnet::Name(_) => false,
            });
            all.is_some_and(|rule| rule.verdict == Access::Allow)
        };
        let is_open = server.port != 0 && (allows(IpAddr::is_ipv4) || allows(IpAddr::is_ipv6));
        if !is_open {
            return;
        }
        // Of rules with flags, all for all addresses that let somebody in have to say so.
        let limits = |rule: &Restriction| {
            let is_of_all = matches!(rule.subnet, Subnet::Prefix { length: 0, .. });
            let is_closed = rule.flags.ignore || rule.flags.noserve;
            !is_of_all || is_closed || rule.flags.limited
        };
        let restrictions = server.restrictions.as_ref();
        let is_limited = server.rate_limit.is_some()
            && restrictions.is_none_or(|restrictions| restrictions.rules.iter().all(limits));
        let help = match restrictions {
            Some(_) => "add limited to restrict default",
            None => "add ratelimit",
        };
        self.add(
            "open-to-everyone",
            None,
            "everybody who can reach this host is served".to_owned(),
            "name the networks of the clients, unless this is to be a public server",
        );
        if !is_limited {
            self.add(
                "no-rate-limit",
                None,
                "nothing limits how often one client of all is answered".to_owned(),
                help,
            );
        }
    }
}

/// Reports whether a source is known to smear leap seconds.
fn is_smeared(name: &SourceName) -> bool {
    match name {
        SourceName::Address(address) => SMEARING_ADDRESSES.contains(&address.to_string().as_str()),
        SourceName::Name(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let is_below = |end: &str| {
                name.strip_suffix(end)
                    .is_some_and(|start| start.is_empty() || start.ends_with('.'))
            };
            SMEARING_NAMES.iter().any(|end| is_below(end))
        }
    }
}

/// Returns the domain under which an operator has its servers; `None` where the name does not say who that is.
fn operator(name: &SourceName) -> Option<String> {
    let SourceName::Name(name) = name else {
        return None;
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels = name.split('.').collect::<Vec<_>>();
    let is_country = labels.last().is_some_and(|last| last.len() == 2);
    let second = labels.len().checked_sub(2).and_then(|at| labels.get(at));
    let length = match second {
        None => return None,
        Some(second) if is_country && SECOND_LEVELS.contains(second) => 3,
        Some(_) => 2,
    };
    let domain = labels.get(labels.len().checked_sub(length)?..)?.join(".");
    // The servers of the pool are of thousands of operators.
    (!name.ends_with("pool.ntp.org")).then_some(domain)
}

/// Writes the findings one after the other, and the sum of them.
fn page(report: &Report) -> String {
    let mut page = String::new();
    for finding in &report.findings {
        let place = match &finding.place {
            Some(place) => format!("{}: ", text::line(place)),
            None => String::new(),
        };
        let message = text::line(&finding.message);
        page.push_str(&format!(
            "{place}{message} [{}]\n  help: {}\n\n",
            finding.rule, finding.help
        ));
    }
    let count = match report.findings.len() {
        0 => "nothing unwise was found".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    page + &format!(
        "{}, read as {}: {count}\n",
        text::line(&report.file),
        report.dialect
    )
}

#[cfg(test)]
mod tests {
    use conf::dialect::Dialect;
    use conf::include::{ReadError, Reader};

    use super::*;

    /// One file, `/f`.
    struct File<'a>(&'a str);

    impl Reader for File<'_> {
        fn read_file(&self, path: &str) -> Result<String, ReadError> {
            if path == "/f" {
                Ok(self.0.to_owned())
            } else {
                Err(ReadError::NotFound)
            }
        }

        fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
            Err(ReadError::NotFound)
        }
    }

    fn rules(text: &str) -> String {
        rules_of(Dialect::Chrony, text)
    }

    fn rules_of(dialect: Dialect, text: &str) -> String {
        let found = lint(&dialect.read("/f", &File(text)));
        let rules = found.into_iter().map(|finding| match finding.place {
            Some(place) => format!("{} {place}", finding.rule),
            None => finding.rule,
        });
        rules.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn mistakes_of_ntp_conf_are_found() {
        let closed = "pool a\nrestrict default ignore\n";
        for (text, expected) in [
            ("server iburst\n", "errors /f:3"),
            ("servr b\n", "errors /f:3"),
            ("pool a\n", "open-to-everyone"),
            (
                "pool a\nunrestrict default noquery\n",
                "open-to-everyone, open-to-ntpq",
            ),
            (
                "pool a\nunrestrict -6 default noquery\n",
                "open-to-everyone, open-to-ntpq",
            ),
            (
                "pool a\nunrestrict default limited\n",
                "open-to-everyone, no-rate-limit",
            ),
            (
                "pool a\nrestrict default ignore\nunrestrict default limited noquery\n",
                "",
            ),
            (
                "fudge 127.127.1.0 stratum 3\nserver 127.127.1.0\n",
                "local-stratum",
            ),
            ("fudge 127.127.1.0 stratum 10\nserver 127.127.1.0\n", ""),
            ("tos orphan 5\n", ""),
            (
                "server 127.127.1.0\nfudge 127.127.1.0 stratum 10\nserver 10.0.0.2\nrestrict 10.0.0.0/8\n",
                "stratum-loop /f:5",
            ),
            ("tos orphan 5\nserver 10.0.0.2\nrestrict 10.0.0.0/8\n", ""),
            (
                "server 127.127.1.0\nfudge 127.127.1.0 stratum 10\nserver 10.0.0.2\nrestrict 10.0.0.0/9 noserve\n",
                "",
            ),
        ] {
            let text = if text.starts_with("pool") {
                text.to_owned()
            } else {
                format!("{closed}{text}")
            };
            assert_eq!(rules_of(Dialect::Ntpd, &text), expected, "{text:?}");
        }
    }

    #[test]
    fn each_mistake_is_found() {
        for (text, expected) in [
            ("pool a iburst\n", ""),
            ("pool a maxsources 2\n", "two-sources"),
            ("", "no-source"),
            ("local\n", ""),
            ("server a noselect\n", "no-source"),
            ("\nserver a\n", "one-source /f:2"),
            ("server a\nserver b.example\n", "two-sources"),
            ("server a\nserver b.example\nrefclock SHM 0\n", ""),
            ("server a\nsever b\n", "errors /f:2, one-source /f:1"),
            ("server iburst\npool a\n", "option-as-name /f:1"),
            ("server 10.0.0.256\npool a\n", "address-as-name /f:1"),
            ("server 127.0.0.1\npool a\n", "own-address /f:1"),
            ("server 127.0.0.1 port 11123\npool a\n", ""),
            (
                "server localhost\npeer ::1\npool a\n",
                "own-address /f:1, own-address /f:2",
            ),
            (
                "bindaddress 192.0.2.1\npool a\nserver 192.0.2.1\n",
                "own-address /f:3",
            ),
            ("pool a\npool A\n", "twice /f:2"),
            ("pool a.x.de\npool a.X.de.\n", "twice /f:2, one-operator"),
            ("pool a\nlocal stratum 7\n", "local-stratum"),
            ("pool a\nlocal stratum 5 orphan\n", ""),
            ("pool a\npeer b\nlocal\n", "stratum-loop /f:2"),
            ("pool a\npeer b\nlocal orphan\n", ""),
            (
                "pool a\nserver 10.0.0.2\nlocal\nallow 10.0.0.0/8\n",
                "stratum-loop /f:2",
            ),
            (
                "pool a\nserver 10.0.0.2\nlocal\nallow 10.0.0.0/8\ndeny 10.0.0.2\n",
                "",
            ),
            ("pool a\nserver 10.0.0.2\nlocal\nallow 10.0.0.0/8\nport 0\n", ""),
            ("pool a\nserver time.google.com\n", "mixed-smearing /f:2"),
            ("pool a\nserver 169.254.169.123 noselect\n", ""),
            ("pool time.google.com\nserver time1.google.com\n", "one-operator"),
            ("pool nottime.aws.com.example\nserver notgoogle.com\n", ""),
            (
                "server a.x.co.uk\nserver b.x.co.uk\nserver c.x.co.uk\n",
                "one-operator",
            ),
            ("server a.x.co.uk\nserver b.y.co.uk\nserver c.x.co.uk\n", ""),
            ("pool 0.pool.ntp.org\npool 1.pool.ntp.org\n", ""),
            ("server a.x.de\nserver b.x.de\nserver 192.0.2.1\n", ""),
            ("pool a\nallow\n", "open-to-everyone, no-rate-limit"),
            ("pool a\nallow 0/0\nratelimit\n", "open-to-everyone"),
            ("pool a\nallow\nport 0\n", ""),
            ("pool a\nallow 192.0.2.0/24\ndeny all\n", ""),
            ("pool a\nallow\ndeny\n", ""),
            ("pool a\nallow 0/0\ndeny ::/0\nratelimit\n", "open-to-everyone"),
        ] {
            assert_eq!(rules(text), expected, "{text:?}");
        }
    }
}
