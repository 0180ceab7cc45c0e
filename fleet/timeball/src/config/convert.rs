//! `timeball config convert`: a configuration file in another language.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use conf::chrony;
use conf::config::{Config, KeyFormat, Restrictions};
use conf::diagnostic::Severity;
use conf::dialect::{Dialect, Reading};
use conf::explain::Fate;
use conf::include::{ReadError, Reader};
use conf::{ntp, openntpd};
use serde::{Deserialize, Serialize};

use super::files::{FileArgs, Language};
use crate::cli::Globals;
use crate::ending::{Ending, Failure, Verdict};
use crate::print::Printer;
use crate::replace::replace;
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
    /// The lines of the text that only timeballd understands: chronyd does not start with them.
    only_timeballd: Vec<String>,
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
    /// Whether it protects the clock or its clients; of a line that is refused nobody knows.
    protects: bool,
}

/// Directives that protect neither the clock nor its clients, so that nobody is harmed when they are lost. Of sources and
/// reference clocks it is their options that do, see [`HARMLESS_OPTIONS`].
const HARMLESS: [&str; 37] = [
    "acquisitionport",
    "allow",
    "broadcast",
    "clientloglimit",
    "cmdallow",
    "combinelimit",
    "corrtimeratio",
    "driftfile",
    "dscp",
    "dumpdir",
    "fallbackdrift",
    "hwclockfile",
    "initstepslew",
    "leapseclist",
    "leapsectz",
    "local",
    "lock_all",
    "log",
    "logbanner",
    "logchange",
    "logdir",
    "makestep",
    "manual",
    "maxsamples",
    "minsamples",
    "pidfile",
    "refresh",
    "reselectdist",
    "rtcautotrim",
    "rtcdevice",
    "rtcfile",
    "rtconutc",
    "rtcsync",
    "sched_priority",
    "sourcedir",
    "stratumweight",
    "timeball.metrics-address",
];

/// Directives that open something, so that it matters when they are added.
const OPENING: [&str; 4] = ["allow", "cmdallow", "manual", "broadcast"];

/// Options of sources and reference clocks without which these are asked with the same care, and how many words follow.
const HARMLESS_OPTIONS: [(&str, usize); 22] = [
    ("auto_offline", 0),
    ("burst", 0),
    ("copy", 0),
    ("dpoll", 1),
    ("extfield", 1),
    ("filter", 1),
    ("iburst", 0),
    ("ipv4", 0),
    ("ipv6", 0),
    ("maxpoll", 1),
    ("maxsamples", 1),
    ("maxsources", 1),
    ("maxunreach", 1),
    ("minpoll", 1),
    ("minsamples", 1),
    ("poll", 1),
    ("polltarget", 1),
    ("prefer", 0),
    ("presend", 1),
    ("refid", 1),
    ("version", 1),
    ("xleave", 0),
];

/// Options of sources and reference clocks that protect the clock and have no value.
const PROTECTING_FLAGS: [&str; 5] = ["noselect", "offline", "require", "tai", "trust"];

/// What chrony.conf has no word for: the field, what the language that has it calls it, and whether it protects something.
/// Of other fields nobody knows, so that they count as protecting.
const UNSAID: [(&str, &str, bool); 15] = [
    (
        "clock.drift_file",
        "driftfile (ntpd keeps one number there, chronyd two)",
        false,
    ),
    ("clock.initial_frequency_ppm", "tinker freq", false),
    (
        "clock.make_step",
        "tinker stepfwd, stepback (a threshold for each direction)",
        true,
    ),
    ("clock.observe", "disable ntp", true),
    ("control_key", "controlkey", false),
    (
        "key_format",
        "keys (ntpd and chronyd write their key files in different ways)",
        true,
    ),
    ("process.log_file", "logfile", false),
    ("process.log_topics", "logconfig", false),
    ("server.interfaces", "interface", true),
    ("server.is_monitored", "disable monitor", false),
    (
        "server.restrictions",
        "restrict (flags that the other language has no word for)",
        true,
    ),
    ("statistics.dir", "statsdir", false),
    ("statistics.files", "statistics, filegen", false),
    ("trusted_keys", "trustedkey", true),
    ("variables", "setvar", false),
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
    let (written_text, differences) = convert(&reading, to);
    let is_safe = args.lossy || !differences.iter().any(|difference| difference.protects);
    let text = if is_safe { written_text } else { String::new() };
    let of_timeballd = text.lines().filter(|line| line.starts_with("timeball."));
    let report = Report {
        file: args.file.file.clone(),
        dialect: dialect.to_string(),
        to: to.to_string(),
        written: is_safe,
        only_timeballd: of_timeballd.map(str::to_owned).collect(),
        text,
        differences,
        notes,
    };
    let body = serde_json::to_vec(&report).map_err(|error| Failure::new(error.to_string()))?;
    stderr.write_all(remarks(&report).as_bytes())?;
    if let (true, Some(path)) = (is_safe, &args.out) {
        replace(path, &report.text)
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
    let mut differences = not_taken(reading);
    differences.extend(self::differences(&plain(config), &plain(&again)));
    // By which others may do more, never less.
    let of_sources = |config: &Config| config.server.as_restrictions().of_sources;
    if of_sources(config).is_some() && of_sources(config) != of_sources(&again) {
        differences.push(Difference {
            what: "restrict source".to_owned(),
            added: false,
            protects: false,
        });
    }
    (text, differences)
}

/// Returns what was not taken from the file, so that no language has it.
fn not_taken(reading: &Reading) -> Vec<Difference> {
    let lines = reading.lines.iter();
    let lost = lines.flat_map(|line| {
        let is_refused = line.fate == Fate::Refused;
        let refused = is_refused.then_some(&line.text);
        let said = refused.into_iter().chain(&line.left_out);
        said.map(move |said| Difference {
            what: format!("{said} ({}:{})", line.span.file, line.span.line),
            added: false,
            protects: is_refused,
        })
    });
    lost.collect()
}

/// Returns a configuration with what can be said in several ways said in one: who is told the time, and the keys if no
/// file has any.
fn plain(config: &Config) -> Config {
    let mut plain = config.clone();
    let restrictions = Restrictions {
        of_sources: None,
        ..config.server.as_restrictions()
    };
    let (access, is_all) = restrictions.as_access();
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
    let directive = line.split(' ').next().unwrap_or_default();
    let names = match directive {
        "server" | "pool" | "peer" => 2,
        "refclock" => 3,
        _ => return !HARMLESS.contains(&directive),
    };
    // A source that is left out harms nobody; one that is asked with less care does.
    let name = |line: &str| {
        line.split(' ')
            .take(names)
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut with_less = added.iter().filter(|added| name(added) == name(line));
    let care = care(line, names);
    with_less.any(|with_less| {
        let kept = self::care(with_less, names);
        care.iter().any(|option| !kept.contains(option))
    })
}

/// Returns the options of a source that protect the clock, each with its value.
fn care(line: &str, names: usize) -> Vec<String> {
    let mut words = line.split(' ').skip(names);
    let mut care = Vec::new();
    while let Some(word) = words.next() {
        if let Some((_, values)) = HARMLESS_OPTIONS.iter().find(|(option, _)| *option == word) {
            words.by_ref().take(*values).for_each(drop);
        } else if PROTECTING_FLAGS.contains(&word) {
            care.push(word.to_owned());
        } else {
            care.push(format!("{word} {}", words.next().unwrap_or_default()));
        }
    }
    care
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
    // Weights of sources are not used, which is told of each line that has one.
    let names = names.filter(|field| !field.starts_with("weights"));
    // The first two say enough: the rules of a list are not told one by one.
    let names = names.map(|field| field.split('.').take(2).collect::<Vec<_>>().join("."));
    let told = names.map(|field| {
        let is_in = |known: &&(&str, &str, bool)| {
            field
                .strip_prefix(known.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match UNSAID.iter().find(is_in) {
            Some((_, word, protects)) => ((*word).to_owned(), *protects),
            None => (field, true),
        }
    });
    let told = told.collect::<BTreeSet<_>>();
    let difference = |(what, protects)| Difference {
        added: false,
        protects,
        what,
    };
    told.into_iter().map(difference).collect()
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
    let lines = match report.only_timeballd.len() {
        0 => None,
        1 => Some("a line begins".to_owned()),
        several => Some(format!("{several} lines begin")),
    };
    if let Some(lines) = lines {
        remarks.push_str(&format!(
            "timeball: {lines} with \"timeball.\", which only timeballd understands: chronyd starts without them only, and \
             does not do what they say\n"
        ));
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
        Ok(Vec::new())
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

    /// What is told of an ntp.conf in another language.
    fn of_ntp_conf(before: &str, to: Dialect) -> (String, Vec<String>) {
        let (text, differences) = convert(&Dialect::Ntpd.read("", &Alone(before)), to);
        let grave = |difference: &Difference| if difference.protects { "! " } else { "" };
        let told = differences
            .iter()
            .map(|found| format!("{}{}", grave(found), found.what));
        (text, told.collect())
    }

    #[test]
    fn the_simplest_ntp_conf_is_chrony_conf() {
        let server = "server a\nmakestep 0.128 -1\nmaxchange 1000 0 0\n";
        for (before, access, told) in [
            ("server a\n", "allow 0.0.0.0/0\nallow ::/0\n", &[][..]),
            ("server a\nrestrict default ignore\n", "", &[]),
            (
                "server a\nrestrict default ignore\nrestrict 127.0.0.1\nrestrict 192.0.2.0 mask 255.255.255.0 nomodify\n",
                "allow 192.0.2.0/24\nallow 127.0.0.1/32\n",
                &[],
            ),
            (
                "server a\nrestrict default limited kod nomodify noquery\nrestrict 127.0.0.1\nrestrict ::1\n\
                 restrict source nomodify noquery\n",
                "allow 0.0.0.0/0\nallow ::/0\n",
                &["restrict source"],
            ),
            (
                "server a\nstatsdir /s\nstatistics loopstats\nlogconfig =syncstatus\nsetvar a = b default\n",
                "allow 0.0.0.0/0\nallow ::/0\n",
                &["logconfig", "setvar", "statistics, filegen", "statsdir"],
            ),
            (
                "server a\nrestrict default notrust\n",
                "",
                &["! restrict (flags that the other language has no word for)"],
            ),
            (
                "server a\ndisable ntp\ninterface ignore all\n",
                "allow 0.0.0.0/0\nallow ::/0\n",
                &["! disable ntp", "! interface"],
            ),
        ] {
            let (text, found) = of_ntp_conf(before, Dialect::Chrony);
            assert_eq!(found, told, "{before}{text}");
            assert!(text.starts_with("server a\n"), "{text}");
            let lines = server.lines().chain(access.lines());
            for line in lines {
                assert!(text.lines().any(|found| found == line), "{line} in {text}");
            }
            let is_access = |line: &&str| line.starts_with("allow") || line.starts_with("deny");
            assert_eq!(
                text.lines().filter(is_access).collect::<Vec<_>>(),
                access.lines().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn no_protection_is_lost_without_a_word() {
        for (line, what) in [
            (
                "timeball.constraint-ca /ca.pem",
                "-! timeball.constraint-ca /ca.pem",
            ),
            ("timeball.conflict fail", "-! timeball.conflict fail"),
            ("minstratum 2", "-! minstratum 2"),
            ("maxjitter 0.1", "-! maxjitter 0.1"),
            ("smoothtime 400 0.01", "-! smoothtime 400 0.01"),
            ("server b iburst offset 0.5", "-! server b iburst offset 0.5"),
            ("server b iburst minstratum 3", "-! server b iburst minstratum 3"),
            (
                "server b iburst maxdelayratio 2.0",
                "-! server b iburst maxdelayratio 2.0",
            ),
            ("server b iburst minpoll 4", "- server b iburst minpoll 4"),
            (
                "server b iburst copy presend 7",
                "- server b iburst presend 7 copy",
            ),
            ("dumpdir /d", "- dumpdir /d"),
        ] {
            let (_, told) = between(&format!("rtcsync\nserver a iburst\n{line}\n"), Dialect::OpenNtpd);
            let told = told
                .iter()
                .filter(|told| told.starts_with('-'))
                .collect::<Vec<_>>();
            let [found] = told.as_slice() else {
                panic!("{line}: {told:?}")
            };
            let mut found_words = found.split(' ').collect::<Vec<_>>();
            let mut words = what.split(' ').collect::<Vec<_>>();
            found_words.sort_unstable();
            words.sort_unstable();
            assert_eq!(found_words, words);
        }
    }

    #[test]
    fn ntp_conf_says_everything_of_itself() {
        for text in [
            "server a\n",
            "server a iburst\npool b\npool c\ntos maxclock 11 minsane 3 floor 2 ceiling 8\ndriftfile /d\nleapfile /l\n",
            "server a key 3\nkeys /k\ntrustedkey 1 3 (5 ... 9)\ncontrolkey 1\n",
            "server a\nrestrict default ignore\nrestrict 192.0.2.0 mask 255.255.255.0 notrust\nrestrict source nomodify\n",
            "server a\nunrestrict default limited noquery\nlimit average 0.25 burst 8 kod 0\n",
            "server a\nserver 127.127.1.0\nfudge 127.127.1.0 stratum 10\n",
            "server a\ntos orphan 6 orphanwait 60\ndisable ntp kernel monitor\n",
            "server 127.127.28.2 minpoll 4 prefer\nfudge 127.127.28.2 time1 0.1 refid GPS stratum 1\ntinker freq 3 dispersion 0.00001\n",
            "server a\ninterface ignore all\ninterface listen eth0\ninterface listen 192.0.2.0/24\ninterface drop ipv6\n",
            "server a\nstatsdir /s\nstatistics loopstats\nfilegen peerstats file p type none nolink\nlogfile /log\n\
             logconfig =syncstatus +sysall\nsetvar a = \"b c\" default\nsetvar d = e\nmru maxdepth 100\nrlimit memlock 32\n",
            "server a\ntinker stepback 0\ndisable monitor\n",
            "server a\ntinker stepfwd 0.5 stepback 3\n",
        ] {
            let (written, told) = of_ntp_conf(text, Dialect::Ntpd);
            assert_eq!(told, [""; 0], "{text}\n{written}");
        }
    }

    #[test]
    fn what_is_not_taken_is_told_in_every_language() {
        for to in Dialect::ALL {
            let told = of_ntp_conf("server a\ntinker stepout 900\nservr b\nserver iburst\n", to).1;
            let of_file = told.iter().filter(|told| told.contains(" (:"));
            assert_eq!(
                of_file.collect::<Vec<_>>(),
                [
                    "tinker stepout 900 (:2)",
                    "! servr b (:3)",
                    "! server iburst (:4)"
                ]
            );
        }
        let reading = Dialect::OpenNtpd.read("", &Alone("server a weight 7\n"));
        let [only] = &convert(&reading, Dialect::OpenNtpd).1[..] else {
            panic!("{:?}", reading.diagnostics)
        };
        assert_eq!(
            (only.what.as_str(), only.protects),
            ("server a weight 7 (:1)", false)
        );
        let told = of_ntp_conf("server a\ntinker stepback 0\ndisable monitor\n", Dialect::Chrony).1;
        assert_eq!(
            told,
            [
                "disable monitor",
                "! tinker stepfwd, stepback (a threshold for each direction)"
            ]
        );
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
