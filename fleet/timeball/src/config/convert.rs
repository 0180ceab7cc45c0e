//! `timeball config convert`: a configuration file in another language.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use conf::chrony;
use conf::config::{Config, KeyFormat};
use conf::diagnostic::Severity;
use conf::dialect::{Dialect, Reading};
use conf::include::{ReadError, Reader};
use conf::{ntp, openntpd};
use serde::{Deserialize, Serialize};

use super::files::{FileArgs, Language};
use crate::cli::Globals;
use crate::ending::{Ending, Failure, Verdict};
use crate::print::Printer;
use crate::text;

/// Arguments of `timeball config convert`.
#[derive(Args, Debug)]
pub(crate) struct ConvertArgs {
    /// The language to write
    #[arg(long, value_enum)]
    to: Language,
    /// Write to this file, which is replaced, and not to stdout
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Write it even if what protects the clock or its clients is lost
    #[arg(long)]
    lossy: bool,
    #[command(flatten)]
    file: FileArgs,
}

/// What the other language makes of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    file: String,
    dialect: String,
    to: String,
    /// Whether it was written.
    written: bool,
    text: String,
    differences: Vec<Difference>,
    /// What was wrong when it was read.
    notes: Vec<String>,
}

/// Something that is not the same in the other language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Difference {
    /// A line of chrony.conf, or what chrony.conf has no word for either.
    what: String,
    /// Whether it is there in the other language only, and not in the file only.
    added: bool,
    /// Whether it protects the clock or its clients.
    protects: bool,
}

/// Directives that protect the clock or its clients, so that it matters when they are lost.
const PROTECTING: [&str; 22] = [
    "authselectmode",
    "bindaddress",
    "bindcmdaddress",
    "bindcmddevice",
    "binddevice",
    "cmddeny",
    "cmdport",
    "cmdratelimit",
    "deny",
    "keyfile",
    "maxchange",
    "maxclockerror",
    "maxdistance",
    "maxdrift",
    "minsources",
    "noclientlog",
    "opencommands",
    "port",
    "ratelimit",
    "timeball.constraint",
    "timeball.constraints",
    "user",
];

/// Directives that open something, so that it matters when they are added.
const OPENING: [&str; 4] = ["allow", "cmdallow", "manual", "broadcast"];

/// Options of a source that protect the clock.
const PROTECTING_OPTIONS: [&str; 5] = ["key", "maxdelay", "noselect", "require", "trust"];

/// Fields that no language but one has a word for, and that protect nothing.
const HARMLESS_FIELDS: [&str; 3] = [
    "clock.drift_file",
    "clock.initial_frequency_ppm",
    "process.log_file",
];

/// Writes the file in the other language.
pub(crate) fn run(args: &ConvertArgs, globals: &Globals) -> Ending {
    let (dialect, reading) = args.file.read()?;
    let mut stderr = io::stderr().lock();
    let notes = reading
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    if reading
        .diagnostics
        .iter()
        .any(|found| found.severity == Severity::Error)
    {
        for note in &notes {
            writeln!(stderr, "{}", text::lines(note))?;
        }
        let file = text::line(&args.file.file);
        return Err(Failure::new(format!(
            "timeballd would not start with {file}: mend it first"
        )));
    }
    let to = Dialect::from(args.to);
    if to == Dialect::Ntpd {
        return Err(Failure::new(
            "ntp.conf is not written by this version: say --to chrony or openntpd",
        ));
    }
    let (written_text, differences) = convert(&reading, to);
    let is_safe = args.lossy || !differences.iter().any(|difference| difference.protects);
    let report = Report {
        file: args.file.file.clone(),
        dialect: dialect.to_string(),
        to: to.to_string(),
        written: is_safe,
        text: if is_safe { written_text } else { String::new() },
        differences,
        notes,
    };
    let body = serde_json::to_vec(&report).map_err(|error| Failure::new(error.to_string()))?;
    stderr.write_all(remarks(&report).as_bytes())?;
    if let (true, Some(path)) = (is_safe, &args.out) {
        fs::write(path, &report.text)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
    }
    let is_to_stdout = args.out.is_none();
    Printer::new(globals.format()).show(&body, |report: &Report| {
        if report.written && is_to_stdout {
            report.text.clone()
        } else {
            String::new()
        }
    })?;
    Ok(if is_safe {
        Verdict::Done
    } else {
        Verdict::SomeFailed
    })
}

/// Returns what the other language can say of a configuration, and what is not the same there.
fn convert(reading: &Reading, to: Dialect) -> (String, Vec<Difference>) {
    let config = &reading.config;
    let text = match to {
        Dialect::Chrony => chrony::write(config),
        Dialect::Ntpd => ntp::write(config),
        Dialect::OpenNtpd => openntpd::write(config),
    };
    let again = to.read("", &Alone(&text)).config;
    let differences = differences(&plain(config), &plain(&again));
    (text, differences)
}

/// Returns a configuration with what can be said in several ways said in one: who is told the time, and the keys if no
/// file has any.
fn plain(config: &Config) -> Config {
    let mut plain = config.clone();
    let (access, is_all) = config.server.as_restrictions().as_access();
    plain.server.access = access;
    if is_all {
        plain.server.restrictions = None;
    }
    if plain.key_file.is_none() {
        plain.key_format = KeyFormat::default();
        plain.trusted_keys = None;
    }
    plain
}

/// Returns what is in one configuration and not in the other, in the words of chrony.conf as far as it has them.
fn differences(before: &Config, after: &Config) -> Vec<Difference> {
    let (said_before, said_after) = (chrony::write(before), chrony::write(after));
    let mut count = BTreeMap::<&str, i32>::new();
    for line in said_before.lines() {
        *count.entry(line).or_default() += 1;
    }
    for line in said_after.lines() {
        *count.entry(line).or_default() -= 1;
    }
    let lost = said_before
        .lines()
        .filter(|line| count.get(line).is_some_and(|count| *count > 0));
    let added = said_after
        .lines()
        .filter(|line| count.get(line).is_some_and(|count| *count < 0));
    let (lost, added) = (lost.collect::<Vec<_>>(), added.collect::<Vec<_>>());
    let mut found = Vec::new();
    for line in &lost {
        found.push(Difference {
            what: (*line).to_owned(),
            added: false,
            protects: loses_protection(line, &added),
        });
    }
    for line in &added {
        let directive = line.split(' ').next().unwrap_or_default();
        found.push(Difference {
            what: (*line).to_owned(),
            added: true,
            protects: OPENING.contains(&directive) && !lost.iter().any(|line| opens_as_much(line, directive)),
        });
    }
    found.extend(unsaid(before, after));
    found
}

/// Reports whether something is lost with a line that protects, when others are added.
fn loses_protection(line: &str, added: &[&str]) -> bool {
    let mut words = line.split(' ');
    let directive = words.next().unwrap_or_default();
    if !matches!(directive, "server" | "pool" | "peer") {
        return PROTECTING.contains(&directive);
    }
    // A source that is left out harms nobody; one that is asked with less care does.
    let name = words.next();
    let with_less = added.iter().find(|line| line.split(' ').nth(1) == name);
    let has = |line: &str, option: &str| line.split(' ').skip(2).any(|word| word == option);
    with_less.is_some_and(|with_less| {
        PROTECTING_OPTIONS
            .iter()
            .any(|option| has(line, option) && !has(with_less, option))
    })
}

/// Reports whether a line that is lost let everybody in as one that is added does.
fn opens_as_much(line: &str, directive: &str) -> bool {
    line == directive
}

/// Returns what is not the same in two configurations and cannot be said in chrony.conf, by the names of the fields.
fn unsaid(before: &Config, after: &Config) -> Vec<Difference> {
    let said = |config: &Config| {
        let text = chrony::write(config);
        fields(&chrony::parse("", &Alone(&text)).0)
    };
    let (said_before, said_after) = (said(before), said(after));
    let (before, after) = (fields(before), fields(after));
    let is_unsaid = |field: &&String| {
        let field = field.as_str();
        let differs = before.get(field) != after.get(field);
        differs && (said_before.get(field) != before.get(field) || said_after.get(field) != after.get(field))
    };
    let names = before.keys().chain(after.keys()).filter(is_unsaid);
    // The first two say enough: the rules of a list are not told one by one.
    let names = names.map(|field| field.split('.').take(2).collect::<Vec<_>>().join("."));
    let names = names.collect::<BTreeSet<_>>();
    let difference = |what: String| Difference {
        added: false,
        protects: !HARMLESS_FIELDS.contains(&what.as_str()),
        what,
    };
    names.into_iter().map(difference).collect()
}

/// Returns the fields of a configuration with their values, each by the names that lead to it.
fn fields(config: &Config) -> BTreeMap<String, String> {
    let text = format!("{config:#?}");
    let mut fields = BTreeMap::new();
    // What is open: its name, whether what is in it is counted, and the count.
    let mut open: Vec<(String, bool, usize)> = Vec::new();
    for line in text.lines().skip(1) {
        let line = line.trim();
        if line.starts_with(['}', ']', ')']) {
            open.pop();
            continue;
        }
        let (name, value) = match line.split_once(": ").filter(|(name, _)| !name.starts_with('"')) {
            Some((name, value)) => (name.to_owned(), value),
            None => match open.last_mut() {
                Some((_, true, count)) => {
                    *count += 1;
                    (count.to_string(), line)
                }
                _ => (String::new(), line),
            },
        };
        if value.ends_with(['{', '[', '(']) {
            // A structure has a name before the brace; a set has not.
            let is_counted = value == "{" || value == "[";
            open.push((name, is_counted, 0));
            continue;
        }
        let names = open.iter().map(|(name, _, _)| name).chain([&name]);
        let names = names
            .filter(|name| !name.is_empty())
            .map(String::as_str)
            .collect::<Vec<_>>();
        fields.insert(names.join("."), value.trim_end_matches(',').to_owned());
    }
    fields
}

/// Writes what is not the same.
fn remarks(report: &Report) -> String {
    let mut remarks = String::new();
    for note in &report.notes {
        remarks.push_str(&format!("{}\n\n", text::lines(note)));
    }
    for difference in &report.differences {
        let sign = if difference.added { '+' } else { '-' };
        let grave = if difference.protects {
            "   (protects the clock or its clients)"
        } else {
            ""
        };
        remarks.push_str(&format!("{sign} {}{grave}\n", text::line(&difference.what)));
    }
    if !report.written {
        remarks.push_str(
            "timeball: nothing is written, because what protects the clock or its clients would be lost; \
             --lossy writes it all the same\n",
        );
    }
    remarks
}

/// A text as the only file.
struct Alone<'a>(&'a str);

impl Reader for Alone<'_> {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        if path.is_empty() {
            Ok(self.0.to_owned())
        } else {
            Err(ReadError::NotFound)
        }
    }

    fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
        Err(ReadError::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(before: &str, to: Dialect) -> (String, Vec<String>) {
        let reading = Dialect::Chrony.read("", &Alone(before));
        assert_eq!(reading.diagnostics, [], "{before}");
        let (text, differences) = convert(&reading, to);
        let told = differences.into_iter().map(|difference| {
            let sign = if difference.added { '+' } else { '-' };
            let grave = if difference.protects { "!" } else { "" };
            format!("{sign}{grave} {}", difference.what)
        });
        (text, told.collect())
    }

    #[test]
    fn what_another_language_cannot_say_is_told() {
        for (before, text, told) in [
            ("", "", &["+ rtcsync"][..]),
            ("server a iburst\nrtcsync\n", "server a\n", &[]),
            (
                "server a\nrtcsync\n",
                "server a\n",
                &["- server a", "+ server a iburst"],
            ),
            (
                "server a iburst key 1\nkeyfile /k\nrtcsync\n",
                "server a\n",
                &["-! server a iburst key 1", "-! keyfile /k", "+ server a iburst"],
            ),
            ("peer a\nrtcsync\n", "", &["- peer a"]),
            (
                "server a iburst\ntimeball.constraint https://b/ 192.0.2.1\nrtcsync\n",
                "constraint from \"https://b/\" 192.0.2.1\nserver a\n",
                &[],
            ),
            ("allow\nratelimit\nrtcsync\n", "listen on *\n", &[]),
            ("allow\nrtcsync\n", "listen on *\n", &["+ ratelimit"]),
            (
                "allow\ndeny 192.0.2.1\nrtcsync\n",
                "",
                &["- allow 0.0.0.0/0", "- allow ::/0", "-! deny 192.0.2.1/32"],
            ),
            (
                "driftfile /d\nmakestep 1 3\nrtcsync\n",
                "",
                &["- driftfile /d", "- makestep 1 3"],
            ),
        ] {
            let (written, differences) = between(before, Dialect::OpenNtpd);
            assert_eq!(
                (written.as_str(), differences.as_slice()),
                (
                    text,
                    told.iter()
                        .map(|told| (*told).to_owned())
                        .collect::<Vec<_>>()
                        .as_slice()
                ),
                "{before}"
            );
        }
    }

    #[test]
    fn chrony_conf_says_everything_of_itself() {
        let text = "server a iburst\npool b key 3\nallow 192.0.2.0/24\nkeyfile /k\nlocal stratum 8\nrtcsync\nmakestep 1 3\n";
        assert_eq!(between(text, Dialect::Chrony).1, [""; 0]);
    }

    #[test]
    fn a_constraint_is_not_lost_without_a_word() {
        let (_, told) = between(
            "server a iburst\ntimeball.constraints https://b/\n",
            Dialect::Ntpd,
        );
        assert!(
            told.contains(&"-! timeball.constraints https://b/".to_owned()),
            "{told:?}"
        );
    }

    #[test]
    fn what_chrony_conf_has_no_word_for_is_told_by_its_field() {
        let mut config = Config {
            key_file: Some("/with a blank".to_owned()),
            ..Config::default()
        };
        config.process.user = Some("two words".to_owned());
        let told = unsaid(&config, &Config::default());
        let told = told
            .iter()
            .map(|difference| (difference.what.as_str(), difference.protects));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [("key_file", true), ("process.user", true)]
        );
    }
}
