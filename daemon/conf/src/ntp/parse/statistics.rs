//! `statsdir`, `statistics` and `filegen`: files of statistics.

use super::Parser;
use super::statement::{Refused, Statement};
use crate::config::{StatisticsFile, StatisticsKind};

/// Where the files are unless `statsdir` says otherwise (Debian's package of NTPsec).
pub(super) const DIRECTORY: &str = "/var/log/ntpsec";

/// Files that ntpd has and timeballd does not: of what it does not do, or does not count by itself.
const NOT_WRITTEN: [&str; 7] = [
    "clockstats",
    "cryptostats",
    "ntskelog",
    "ntskestats",
    "ntsstats",
    "timingstats",
    "usestats",
];

/// How often a file begins anew, of which `none` and `day` are what timeballd does.
const TYPES: [&str; 7] = ["none", "pid", "day", "week", "month", "year", "age"];

/// Reads one of the three.
pub(super) fn read(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    match statement.directive.name {
        "statsdir" => {
            parser.config.statistics.dir = Some(statement.only_word("directory")?);
            statement.adapt("chrony has other logs: logdir and log");
            Ok(())
        }
        "statistics" => {
            if statement.len() < 2 {
                return statement.refuse(1, "missing file after \"statistics\"".to_owned(), "");
            }
            for at in 1..statement.len() {
                if let Some(kind) = kind(statement, at)? {
                    let files = &mut parser.config.statistics.files;
                    files.entry(kind).or_insert_with(|| StatisticsFile::new(kind));
                }
            }
            statement.adapt("chrony has other logs: log tracking measurements statistics");
            Ok(())
        }
        _ => generation(statement, parser),
    }
}

/// Reads which file a word names; `None` of one that is not written.
fn kind(statement: &mut Statement<'_>, at: usize) -> Result<Option<StatisticsKind>, Refused> {
    let word = statement.word(at).to_owned();
    let mut kinds = StatisticsKind::ALL.into_iter();
    if let Some(kind) = kinds.find(|kind| kind.word() == word) {
        return Ok(Some(kind));
    }
    if NOT_WRITTEN.contains(&word.as_str()) {
        let help = "files that are: loopstats, peerstats, protostats, rawstats, sysstats";
        statement.leave_out(at..at + 1, format!("{word} is not written"), help);
        return Ok(None);
    }
    let known = StatisticsKind::ALL.map(StatisticsKind::word);
    statement.unknown(at, "file", &known)
}

/// Reads `filegen NAME [file F] [type T] [link|nolink] [enable|disable]`.
fn generation(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    if statement.len() < 2 {
        return statement.refuse(1, "missing file after \"filegen\"".to_owned(), "");
    }
    let kind = kind(statement, 1)?;
    let files = &mut parser.config.statistics.files;
    let known = kind.and_then(|kind| files.get(&kind).cloned());
    let default = kind.map(StatisticsFile::new);
    let Some(mut file) = known.or(default) else {
        return Ok(());
    };
    let mut is_on = true;
    let mut at = 2;
    while at < statement.len() {
        match statement.word(at) {
            "file" => {
                at += 1;
                let name = statement.word(at).to_owned();
                let is_inside =
                    !name.is_empty() && !name.starts_with('/') && !name.split('/').any(|part| part == "..");
                if !is_inside {
                    return statement.wrong_value(at, "it is a name below the directory of statsdir");
                }
                file.name = name;
            }
            "type" => {
                at += 1;
                let word = statement.word(at).to_owned();
                if !TYPES.contains(&word.as_str()) {
                    return statement.wrong_value(at, "it is none or day");
                }
                file.is_daily = word != "none";
                if !matches!(word.as_str(), "none" | "day") {
                    let help = "a file for each day it is, or one for ever: type none";
                    statement.warn(at, format!("type {word} is taken as day"), help);
                }
            }
            "link" => file.has_link = true,
            "nolink" => file.has_link = false,
            "enable" => is_on = true,
            "disable" => is_on = false,
            _ => {
                let known = ["file", "type", "link", "nolink", "enable", "disable"];
                return statement.unknown(at, "option", &known);
            }
        }
        at += 1;
    }
    let files = &mut parser.config.statistics.files;
    if let Some(kind) = kind {
        if is_on {
            files.insert(kind, file);
        } else {
            files.remove(&kind);
        }
    }
    statement.adapt("chrony's logs have names of their own");
    Ok(())
}

/// Takes what `disable stats` says, and where the files are that nothing is said of.
pub(super) fn finish(parser: &mut Parser) {
    let statistics = &mut parser.config.statistics;
    if !parser.is_keeping_statistics {
        statistics.files.clear();
    }
    if statistics.files.is_empty() {
        statistics.dir = None;
    } else {
        statistics.dir.get_or_insert_with(|| DIRECTORY.to_owned());
    }
}
