//! Reading the configuration again while the daemon runs.
//!
//! On a hang-up, and by itself where the file is one of a ConfigMap: there the name is a link through another link, `..data`,
//! which is made to point to a new directory. A file that is wrong changes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use conf::config::Config;
use conf::diagnostic::{Diagnostic, Severity as Weight};
use conf::dialect::{Dialect, Reading};
use conf::explain::{Explanation, Fate};
use engine::io::{Input, Severity};
use os::{DirectoryWatch, Token, Waiter, Watch, reason};
use units::Mono;

use crate::args::Arguments;
use crate::configuration::{ConfigurationText, adapt, report};
use crate::confinement::tcp_ports;
use crate::identity::Identity;
use crate::log::Log;
use crate::run::Daemon;
use crate::start::load_authorities;

/// How the loop calls the watched directory.
pub(crate) const CONFIGURATION: Token = Token(u32::MAX - 6);

/// The link in a volume that leads to the newest content.
const DATA_LINK: &str = "..data";

/// How long it is waited after a change for what else changes, seconds.
const SETTLE_S: f64 = 0.2;

/// The file is not read again sooner than so long after the last time, seconds, however often it changes.
const PAUSE_S: f64 = 1.0;

/// What is needed to read the configuration again.
#[derive(Debug)]
pub(crate) struct Reload {
    identity: Identity,
    arguments: Arguments,
    /// Where it is, and in which language it is until the next start.
    path: String,
    dialect: Dialect,
    is_guessed: bool,
    /// What counts until the next start.
    fixed: BTreeSet<Line>,
    /// The TCP ports that are reached until the next start, where the daemon is confined.
    ports: Vec<u16>,
    watch: Option<DirectoryWatch>,
    /// When it is to be read again.
    due: Option<Mono>,
    /// When it was last.
    last: Option<Mono>,
}

impl Reload {
    /// Begins to watch the file, if it is one of those that are replaced as a whole.
    pub(crate) fn begin(
        identity: &Identity,
        arguments: &Arguments,
        fixed: BTreeSet<Line>,
        ports: Vec<u16>,
        text: &ConfigurationText,
        log: &mut Log,
    ) -> Self {
        let watch = watched_directory(Path::new(&text.path)).and_then(|directory| {
            DirectoryWatch::new(&directory)
                .inspect_err(|error| {
                    let directory = directory.display();
                    log.warn(&format!("Could not watch {directory} : {}", reason(error)));
                })
                .ok()
        });
        Self {
            identity: *identity,
            arguments: arguments.clone(),
            path: text.path.clone(),
            dialect: text.dialect,
            is_guessed: text.is_guessed,
            fixed,
            ports,
            watch,
            due: None,
            last: None,
        }
    }

    /// Watches from now on.
    pub(crate) fn watch(&self, waiter: &mut Waiter) {
        if let Some(watch) = &self.watch {
            waiter.watch(CONFIGURATION, watch, Watch::Readable);
        }
    }

    /// When the configuration is to be read again.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.due
    }

    /// Whether a hang-up has the configuration be read again; otherwise it ends the daemon.
    pub(crate) fn is_on_hangup(&self) -> bool {
        self.identity.reloads_on_hangup
    }

    /// The directory has changed: it is read soon.
    pub(crate) fn changed(&mut self, now: Mono) {
        if self.watch.as_ref().is_some_and(DirectoryWatch::take) && self.due.is_none() {
            let soon = now.plus_seconds(SETTLE_S);
            let soonest = self.last.map(|last| last.plus_seconds(PAUSE_S));
            self.due = Some(soonest.map_or(soon, |soonest| soonest.max(soon)));
        }
    }
}

impl Daemon {
    /// Reads the configuration again if it is time to.
    pub(crate) fn reload_if_due(&mut self, now: Mono) {
        if self.hands.reloading.due.is_some_and(|due| due <= now) {
            self.reload(now);
        }
    }

    /// Reads the configuration again and takes from it what can change. One that is wrong changes nothing.
    pub(crate) fn reload(&mut self, now: Mono) {
        self.hands.reloading.due = None;
        self.hands.reloading.last = Some(now);
        let Reload {
            path,
            dialect,
            is_guessed,
            arguments,
            ..
        } = &self.hands.reloading;
        let (text, is_same) = ConfigurationText::again(path, *dialect, *is_guessed, arguments);
        let Reading {
            mut config,
            diagnostics: problems,
            lines,
        } = text.parse(arguments);
        adapt(&mut config, arguments);
        let log = &mut self.hands.log;
        // What is wrong is said in full; of all that the first error is the reason.
        let said = report(&problems, text.dialect, arguments, log);
        let taken = is_same
            .and_then(|()| has_no_error(&problems, text.dialect))
            .and_then(|()| has_every_line(&lines))
            .and(said)
            .and_then(|()| has_sources(&self.hands.config, &config));
        let condition = &mut self.hands.condition;
        if let Err(wrong) = taken {
            if condition.configuration_error.as_ref() != Some(&wrong) {
                log.write(
                    Severity::Error,
                    &format!("The new configuration is wrong, the old one stays in force : {wrong}"),
                );
            }
            condition.configuration_error = Some(wrong);
            return;
        }
        condition.configuration_error = None;
        condition.reloads = condition.reloads.saturating_add(1);
        condition.weights.clone_from(&config.weights);
        log.info(&format!("Configuration {} read again", text.path));
        if let Some(fixed) = changes(&self.hands.reloading.fixed, &fixed_lines(&config)) {
            log.warn(&format!("In force only after a restart : {fixed}"));
        }
        if let Some(ports) = added(&self.hands.reloading.ports, &tcp_ports(&config)) {
            log.warn(&format!(
                "Where the daemon is confined, constraints on port {ports} are asked only after a restart"
            ));
        }
        take(&mut self.hands.config, &config);
        log.limit(config.process.log_topics);
        if let Some(authorities) = load_authorities(&config, log) {
            self.hands.constraints.believe(authorities);
        }
        self.tell(Input::Configuration(Box::new(config)));
    }
}

/// A file of which the daemon would leave out a line at the start is not one to go on with.
fn has_no_error(problems: &[Diagnostic], dialect: Dialect) -> Result<(), String> {
    let first = problems.iter().find(|problem| problem.severity > Weight::Warning);
    first.map_or(Ok(()), |error| {
        Err(match dialect {
            Dialect::Ntpd => format!("{}: {}", error.span, error.message),
            Dialect::Chrony | Dialect::OpenNtpd => error.as_original(),
        })
    })
}

/// Nor is one with a line of which the daemon only says at the start that it goes on without: behind a typing error there can
/// be a source or a rule that was in force until now.
fn has_every_line(lines: &[Explanation]) -> Result<(), String> {
    let refused = lines.iter().find(|line| line.fate == Fate::Refused);
    refused.map_or(Ok(()), |line| {
        let why = line.note.as_deref().unwrap_or("the line cannot be taken");
        Err(format!(
            "{}: {why} (a restart goes on without the line)",
            line.span
        ))
    })
}

/// A file without any source, in the place of one that has some, is one that is being written.
fn has_sources(old: &Config, new: &Config) -> Result<(), String> {
    let has_any = |config: &Config| {
        !(config.sources.is_empty() && config.ref_clocks.is_empty() && config.source_dirs.is_empty())
    };
    if has_any(old) && !has_any(new) {
        return Err("it names no source (a restart takes it as it is)".to_owned());
    }
    Ok(())
}

/// Replaces what can change while the daemon runs.
fn take(running: &mut Config, new: &Config) {
    running.sources.clone_from(&new.sources);
    running.server.access.clone_from(&new.server.access);
    running.server.restrictions.clone_from(&new.server.restrictions);
    running.server.rate_limit = new.server.rate_limit;
    running.control.access.clone_from(&new.control.access);
    running.control.rate_limit = new.control.rate_limit;
    running.constraints.clone_from(&new.constraints);
    running.trusted_keys.clone_from(&new.trusted_keys);
    running.process.log_topics = new.process.log_topics;
}

/// The directive of a line and the line, in chrony's language, or in ntpd's where chrony has no word for it.
pub(crate) type Line = (String, String);

/// The lines of a configuration that count at the start only.
pub(crate) fn fixed_lines(config: &Config) -> BTreeSet<Line> {
    let mut fixed = config.clone();
    take(&mut fixed, &Config::default());
    let text = conf::chrony::write(&fixed);
    let lines = text.lines().map(|line| {
        let directive = line.split(' ').next().unwrap_or_default();
        (directive.to_owned(), line.to_owned())
    });
    let own = |directive: &str, value: String| (directive.to_owned(), value);
    let Config {
        clock,
        server,
        statistics,
        variables,
        control_key,
        ..
    } = &fixed;
    let interfaces = (!server.interfaces.is_empty()).then(|| format!("{:?}", server.interfaces));
    let files = (!statistics.files.is_empty()).then(|| format!("{statistics:?}"));
    let variables = (!variables.is_empty()).then(|| format!("{variables:?}"));
    let others = [
        clock.observe.then(|| own("disable ntp", String::new())),
        interfaces.map(|value| own("interface", value)),
        files.map(|value| own("statistics", value)),
        variables.map(|value| own("setvar", value)),
        control_key.map(|key| own("controlkey", key.to_string())),
    ];
    lines.chain(others.into_iter().flatten()).collect()
}

/// The ports that were not there before.
fn added(before: &[u16], now: &[u16]) -> Option<String> {
    let added = now.iter().filter(|port| !before.contains(port));
    let added: BTreeSet<&u16> = added.collect();
    let added: Vec<String> = added.into_iter().map(u16::to_string).collect();
    (!added.is_empty()).then(|| added.join(", "))
}

/// The directives that differ.
fn changes(old: &BTreeSet<Line>, new: &BTreeSet<Line>) -> Option<String> {
    let lines = old.symmetric_difference(new);
    let changed: BTreeSet<&str> = lines.map(|(directive, _)| directive.as_str()).collect();
    (!changed.is_empty()).then(|| changed.into_iter().collect::<Vec<_>>().join(", "))
}

/// The directory in which a link says what the file is, if it is so.
fn watched_directory(path: &Path) -> Option<PathBuf> {
    let directory = path.parent()?;
    (path.is_symlink() && directory.join(DATA_LINK).is_symlink()).then(|| directory.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn parse(text: &str) -> Config {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (config, problems) = conf::chrony::parse_arguments(&lines, &crate::files::ConfigurationFiles);
        assert!(problems.is_empty(), "{problems:?}");
        config
    }

    #[test]
    fn what_cannot_change_is_named() {
        let old = parse("server a\nallow 10.0.0.0/8\nmakestep 1 3\nport 123\n");
        let changes = |text: &str| changes(&fixed_lines(&old), &fixed_lines(&parse(text)));
        assert_eq!(
            changes("server b\nserver c\nratelimit\nmakestep 1 3\ncmdallow 10.0.0.1\n"),
            None
        );
        assert_eq!(
            changes("server b\ndriftfile /d\nport 1123\nmakestep 1 3\n").as_deref(),
            Some("driftfile, port")
        );
        assert_eq!(changes("server a\n").as_deref(), Some("makestep"));
    }

    #[test]
    fn ports_that_are_not_open_are_named() {
        assert_eq!(added(&[443, 53], &[53]), None);
        assert_eq!(added(&[443, 53], &[443, 443, 53]), None);
        assert_eq!(added(&[53], &[8443, 443, 443, 53]).as_deref(), Some("443, 8443"));
    }

    #[test]
    fn what_chrony_has_no_word_for_is_named_too() {
        let parse = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ntp.conf");
            fs::write(&path, text).unwrap();
            let (config, problems) = Dialect::Ntpd.parse(path.to_str().unwrap(), &crate::files::SourceFiles);
            assert_eq!(has_no_error(&problems, Dialect::Ntpd), Ok(()), "{text}");
            config
        };
        let base = "server 192.0.2.1\n";
        for (added, expected) in [
            ("disable ntp\n", Some("disable ntp")),
            ("interface ignore all\n", Some("interface")),
            ("statsdir /s\nstatistics loopstats\n", Some("statistics")),
            ("setvar a = b\n", Some("setvar")),
            ("tinker step 1\n", Some("makestep")),
            ("restrict default ignore\nlogconfig =syncall\n", None),
        ] {
            let (old, new) = (
                fixed_lines(&parse(base)),
                fixed_lines(&parse(&(added.to_owned() + base))),
            );
            assert_eq!(changes(&old, &new).as_deref(), expected, "{added}");
            assert_eq!(changes(&new, &old).as_deref(), expected, "{added}");
        }
        let with_key = |trusted: u32, control: u32| {
            let mut config = parse(base);
            config.trusted_keys = Some(vec![trusted..=trusted]);
            config.control_key = Some(control);
            config
        };
        let mut running = with_key(1, 1);
        let new = with_key(2, 2);
        let changed = changes(&fixed_lines(&running), &fixed_lines(&new));
        assert_eq!(changed.as_deref(), Some("controlkey"));
        take(&mut running, &new);
        assert_eq!(running.trusted_keys, new.trusted_keys);
    }

    #[test]
    fn a_file_without_sources_is_none_yet() {
        let (some, none) = (parse("server a\n"), parse("allow\n"));
        assert!(has_sources(&some, &none).is_err());
        assert_eq!(has_sources(&none, &none), Ok(()));
        assert_eq!(has_sources(&none, &some), Ok(()));
    }

    #[test]
    fn only_volumes_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("..1")).unwrap();
        fs::write(path("..1/ntpd.conf"), "").unwrap();
        symlink("..1/ntpd.conf", path("ntpd.conf")).unwrap();
        assert_eq!(watched_directory(&path("ntpd.conf")), None);
        symlink("..1", path("..data")).unwrap();
        assert_eq!(
            watched_directory(&path("ntpd.conf")),
            Some(folder.path().to_owned())
        );
        assert_eq!(watched_directory(&path("..1/ntpd.conf")), None);
        assert_eq!(watched_directory(Path::new("")), None);
    }
}
