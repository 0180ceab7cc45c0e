//! Directives that set one thing or a few.

use super::Parser;
use super::source::Place;
use super::statement::{Refused, Statement, integer};
use super::statistics;
use crate::config::{
    ClientLog, DriftFile, DriftFormat, KeyFormat, Local, LogTopics, MakeStep, MaxChange, PathSetting,
    SystemVariable,
};
use crate::diagnostic::Severity;

/// How often the drift file is written, seconds.
const DRIFT_INTERVAL_S: f64 = 3600.0;

/// The largest number of clients that are remembered, whatever is asked for.
const CLIENTS_MAX: u64 = 1_000_000;

/// The memory for one client, bytes.
pub(in crate::ntp) const BYTES_PER_CLIENT: u64 = 128;

/// The memory for clients where nobody shall be told of them, bytes: what rate limits need.
const CLIENT_LOG_SMALL: u32 = 64 * 1024;

/// The largest number of variables that are added.
const VARIABLES_MAX: usize = 64;

/// The most characters that one of them has, so that it fits into an answer.
const VARIABLE_LENGTH_MAX: usize = 120;

/// Reads a directive that is one of these.
pub(super) fn read(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    match statement.directive.name {
        "driftfile" => drift_file(statement, parser),
        "leapfile" => {
            let has_word = ["checkhash", "ignorehash"].contains(&statement.word(2));
            let path = if has_word && !statement.word(1).is_empty() {
                statement.idle(2);
                statement.no_more(3)?;
                statement.word(1).to_owned()
            } else {
                statement.only_word("file")?
            };
            statement.amounts_to(format!("leapseclist {path}"));
            parser.config.leap.list_file = Some(path);
            Ok(())
        }
        "pidfile" => {
            let path = statement.only_word("file")?;
            statement.amounts_to(format!("pidfile {path}"));
            parser.config.process.pid_file = PathSetting::Path(path);
            Ok(())
        }
        "logfile" => {
            parser.config.process.log_file = Some(statement.only_word("file")?);
            statement.adapt("chronyd takes it as an argument, -l");
            Ok(())
        }
        "keys" => {
            let path = statement.only_word("file")?;
            statement.amounts_to(format!("keyfile {path}"));
            statement.adapt(
                "chronyd writes the lines of that file in another way: ID TYPE HEX:KEY or ID TYPE ASCII:KEY",
            );
            parser.config.key_file = Some(path);
            parser.config.key_format = KeyFormat::Ntpd;
            Ok(())
        }
        "trustedkey" => trusted_keys(statement, parser),
        "dscp" => {
            let value = statement.integer(1, 0, 63)?;
            statement.no_more(2)?;
            statement.amounts_to(format!("dscp {value}"));
            parser.config.client.dscp = u8::try_from(value).unwrap_or_default();
            Ok(())
        }
        "tinker" => tinker(statement, parser),
        "tos" => tos(statement, parser),
        "enable" | "disable" => switches(statement, parser),
        "logconfig" => {
            log_classes(statement, parser);
            Ok(())
        }
        "statistics" | "filegen" | "statsdir" => statistics::read(statement, parser),
        "setvar" => variable(statement, parser),
        "controlkey" => {
            let key = statement.integer(1, 1, 65_534)?;
            statement.no_more(2)?;
            parser.config.control_key = u32::try_from(key).ok();
            parser.control_key_place = Some(Place::of(statement, parser, 1));
            statement.adapt("chrony's command protocol has no keys");
            Ok(())
        }
        "mru" => clients(statement, parser),
        "rlimit" => resources(statement, parser),
        "nts" => nts(statement),
        "crypto" => {
            statement.idle(0);
            Ok(())
        }
        name => {
            // The table and this list are one; a test reads every directive of the table.
            let message = format!("\"{name}\" is not read");
            statement.refuse_as(Severity::Error, 0, message, "")
        }
    }
}

fn drift_file(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let path = statement.word(1).to_owned();
    parser.config.clock.drift_file = None;
    if path.is_empty() {
        return Ok(());
    }
    if statement.len() > 2 {
        statement.idle(2);
        statement.no_more(3)?;
    }
    statement.amounts_to(format!("driftfile {path}"));
    statement
        .adapt("chronyd keeps two numbers there, the first with the other sign; it cannot read this file");
    parser.config.clock.drift_file = Some(DriftFile {
        path,
        interval_s: DRIFT_INTERVAL_S,
        format: DriftFormat::Ntpd,
    });
    Ok(())
}

/// Reads numbers of keys and ranges, `(1 ... 9)`.
fn trusted_keys(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let mut ranges = Vec::new();
    let mut at = 1;
    let number = |statement: &mut Statement<'_>, at: usize| -> Result<u32, Refused> {
        Ok(u32::try_from(statement.integer(at, 1, 65_534)?).unwrap_or(1))
    };
    while at < statement.len() {
        if statement.word(at) == "(" {
            let first = number(statement, at + 1)?;
            if statement.word(at + 2) != "..." || statement.word(at + 4) != ")" {
                return statement.refuse(
                    at,
                    "no range of keys".to_owned(),
                    "it is written (FIRST ... LAST)",
                );
            }
            let last = number(statement, at + 3)?;
            if last < first {
                return statement.refuse(
                    at,
                    "the range of keys is empty".to_owned(),
                    "the least number is first",
                );
            }
            ranges.push(first..=last);
            at += 5;
        } else {
            let one = number(statement, at)?;
            ranges.push(one..=one);
            at += 1;
        }
    }
    if ranges.is_empty() {
        return statement.refuse(1, "missing number of a key after \"trustedkey\"".to_owned(), "");
    }
    statement.adapt("chronyd uses all keys of its key file");
    parser.config.trusted_keys.get_or_insert_default().extend(ranges);
    Ok(())
}

/// Reads `tinker`. What is good on the line counts, also where something else on it is not.
fn tinker(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let clock = &mut parser.config.clock;
    let mut result = Ok(());
    for at in (1..statement.len()).step_by(2) {
        let option = statement.word(at).to_owned();
        let value = match statement.number(at + 1, -1e9, 1e9) {
            Ok(value) => value,
            Err(refused) => {
                result = Err(refused);
                continue;
            }
        };
        let positive = value.max(0.0);
        match option.as_str() {
            "panic" => {
                clock.max_change = (positive > 0.0).then_some(MaxChange {
                    offset_s: positive,
                    start: 0,
                    ignore: Some(0),
                });
                statement.amounts_to(match clock.max_change {
                    Some(_) => format!("maxchange {positive} 0 0"),
                    None => "maxchange 1e9 0 -1".to_owned(),
                });
            }
            "step" | "stepback" | "stepfwd" => {
                // With 0 it is never stepped in that direction.
                let threshold_s = if positive > 0.0 { positive } else { f64::INFINITY };
                let mut step = clock.make_step.unwrap_or(MakeStep::both(f64::INFINITY, None));
                if option != "stepback" {
                    step.forward_s = threshold_s;
                }
                if option != "stepfwd" {
                    step.back_s = threshold_s;
                }
                let is_never = step.forward_s.is_infinite() && step.back_s.is_infinite();
                clock.make_step = (!is_never).then_some(step);
                statement.amounts_to(match step.threshold_s() {
                    Some(larger_s) => format!("makestep {larger_s} -1"),
                    None => "makestep 0 0".to_owned(),
                });
                if step.forward_s != step.back_s {
                    statement.adapt("chrony has one threshold for both directions");
                }
            }
            "stepout" => {
                let help = "it steps as soon as it is sure of the offset";
                let message = "timeballd does not wait before a step".to_owned();
                statement.leave_out(at..at + 2, message, help);
            }
            "dispersion" => {
                clock.max_clock_error_ppm = positive * 1e6;
                statement.amounts_to(format!("maxclockerror {}", positive * 1e6));
            }
            "freq" => {
                // ntpd says by how much the clock is to be hurried on, timeballd by how much it gains.
                clock.initial_frequency_ppm = Some(-value);
                statement.adapt("chrony has no word for the frequency at the start but its drift file");
            }
            "allan" | "tick" => statement.idle(at),
            "huffpuff" => {
                let help = "timeballd looks for asymmetric delays by itself";
                statement.leave_out(at..at + 2, "huffpuff is left out".to_owned(), help);
            }
            _ => {
                let known = [
                    "allan",
                    "dispersion",
                    "freq",
                    "huffpuff",
                    "panic",
                    "step",
                    "stepback",
                    "stepfwd",
                    "stepout",
                    "tick",
                ];
                result = statement.unknown(at, "option", &known);
            }
        }
    }
    result
}

/// Reads `tos`. What is good on the line counts, also where something else on it is not.
fn tos(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let mut result = Ok(());
    for at in (1..statement.len()).step_by(2) {
        let read = one_of_tos(statement, parser, at);
        result = result.and(read);
    }
    result
}

fn one_of_tos(statement: &mut Statement<'_>, parser: &mut Parser, at: usize) -> Result<(), Refused> {
    let config = &mut parser.config;
    let selection = &mut config.selection;
    match statement.word(at) {
        "minsane" => {
            let value = statement.integer(at + 1, 0, i64::from(i32::MAX))?.max(1);
            selection.min_sources = u32::try_from(value).unwrap_or(1);
            statement.amounts_to(format!("minsources {value}"));
        }
        "maxclock" => {
            let value = statement.integer(at + 1, 1, i64::from(i32::MAX))?;
            parser.max_clock = u32::try_from(value).unwrap_or(u32::MAX);
            statement.adapt("it says how many servers a pool has, which chrony says on its line");
        }
        "minclock" => {
            statement.integer(at + 1, 1, i64::from(i32::MAX))?;
            statement.adapt("timeballd combines all sources that are near enough to the best");
        }
        "floor" => {
            let value = statement.integer(at + 1, 0, 15)?;
            selection.min_stratum = u8::try_from(value).unwrap_or_default();
            statement.amounts_to(format!("minstratum {value}"));
        }
        "ceiling" => {
            // A source of this stratum is not taken any more.
            let value = statement.integer(at + 1, 1, 16)? - 1;
            selection.max_stratum = u8::try_from(value).unwrap_or(15);
            statement.amounts_to(format!("maxstratum {value}"));
        }
        "orphan" => {
            let value = statement.integer(at + 1, 1, 17)?;
            let wait_s = parser.orphan_wait_s;
            config.local = (value <= 15).then(|| Local {
                stratum: u8::try_from(value).unwrap_or(15),
                orphan: true,
                wait_unsynced_s: wait_s,
                ..Local::default()
            });
            if value <= 15 {
                statement.amounts_to(format!("local stratum {value} orphan"));
            }
        }
        "orphanwait" => {
            parser.orphan_wait_s = statement.number(at + 1, 0.0, 1e9)?;
            if let Some(local) = &mut config.local {
                local.wait_unsynced_s = parser.orphan_wait_s;
            }
            statement.adapt("chrony says it on the line of local, waitunsynced");
        }
        "maxdist" => {
            selection.max_distance_s = statement.number(at + 1, 0.0, 1e9)?;
            statement.amounts_to(format!("maxdistance {}", selection.max_distance_s));
        }
        "mindist" => {
            statement.number(at + 1, 0.0, 1e9)?;
            let help = "an interval is as wide as the errors of its source say";
            statement.leave_out(at..at + 2, "mindist is left out".to_owned(), help);
        }
        "maxdisp" | "cohort" | "beacon" | "basedate" | "bcpollbstep" => statement.idle(at),
        _ => {
            let known = [
                "basedate",
                "bcpollbstep",
                "beacon",
                "ceiling",
                "cohort",
                "floor",
                "maxclock",
                "maxdisp",
                "maxdist",
                "minclock",
                "mindist",
                "minsane",
                "orphan",
                "orphanwait",
            ];
            return statement.unknown(at, "option", &known);
        }
    }
    Ok(())
}

/// Reads `enable` and `disable`.
fn switches(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let is_on = statement.directive.name == "enable";
    if statement.len() < 2 {
        let message = format!("missing word after \"{}\"", statement.directive.name);
        return statement.refuse(1, message, "");
    }
    let mut result = Ok(());
    for at in 1..statement.len() {
        match statement.word(at) {
            "ntp" => {
                parser.config.clock.observe = !is_on;
                if !is_on {
                    statement.adapt("chronyd takes it as an argument, -x");
                }
            }
            "kernel" => {
                parser.config.rtc.kernel_sync = is_on;
                statement.amounts_to(if is_on { "rtcsync" } else { "" });
                statement.chrony.retain(|line| !line.is_empty());
                statement.adapt("it only says whether the kernel sets the real-time clock");
            }
            "monitor" => {
                parser.unmonitored = (!is_on).then(|| Place::of(statement, parser, at));
                if !is_on {
                    statement.adapt("chrony has noclientlog");
                }
            }
            "stats" => {
                parser.is_keeping_statistics = is_on;
                statement.adapt("it switches the files of statistics");
            }
            "pps"
            | "calibrate"
            | "unpeer_crypto_early"
            | "unpeer_crypto_nak_early"
            | "unpeer_digest_early" => statement.idle(at),
            "mode7" if is_on => {
                let help = "it was open to amplification attacks (CVE-2013-5211) and is gone from ntpd too";
                result = statement.refuse(at, "mode 7 is not available".to_owned(), help);
            }
            "mode7" | "peer_clear_digest_early" => statement.idle(at),
            "bclient" if is_on => {
                let help = "time that nobody asked for is easily forged";
                statement.leave_out(at..at + 1, "broadcasts are not listened to".to_owned(), help);
            }
            "auth" if !is_on => {
                let help = "timeballd takes neither peers nor broadcasts that it was not told of, with or without keys";
                statement.leave_out(at..at + 1, "authentication cannot be disabled".to_owned(), help);
            }
            "bclient" | "auth" => statement.idle(at),
            _ => {
                let known = [
                    "auth",
                    "bclient",
                    "calibrate",
                    "kernel",
                    "mode7",
                    "monitor",
                    "ntp",
                    "pps",
                    "stats",
                ];
                result = statement.unknown(at, "word", &known);
            }
        }
    }
    result
}

/// The classes of `logconfig`, each with four types of messages.
pub(in crate::ntp) const LOG_CLASSES: [&str; 4] = ["sys", "peer", "clock", "sync"];
/// The types of `logconfig`.
pub(in crate::ntp) const LOG_TYPES: [&str; 4] = ["info", "events", "status", "statistics"];

/// Returns the messages that a word of `logconfig` means: one bit for each class and type.
fn log_word(word: &str) -> Option<u16> {
    let of_type = |rest: &str| -> Option<u16> {
        if rest == "all" {
            return Some(0b1111);
        }
        LOG_TYPES
            .iter()
            .position(|name| *name == rest)
            .map(|bit| 1 << bit)
    };
    let classes = LOG_CLASSES.iter().enumerate();
    for (place, class) in classes {
        if let Some(types) = word.strip_prefix(class).and_then(of_type) {
            return Some(types << (4 * place));
        }
    }
    let rest = word.strip_prefix("all")?;
    if let Some(place) = LOG_CLASSES.iter().position(|class| *class == rest) {
        return Some(0b1111 << (4 * place));
    }
    of_type(rest).map(|types| types * 0x1111)
}

/// Returns the words for some messages.
fn log_words(mask: u16) -> String {
    if mask == u16::MAX {
        return "all".to_owned();
    }
    let mut words = Vec::new();
    for (place, class) in LOG_CLASSES.iter().enumerate() {
        let types = mask >> (4 * place) & 0b1111;
        if types == 0b1111 {
            words.push(format!("{class}all"));
            continue;
        }
        let named = LOG_TYPES.iter().enumerate();
        let named = named.filter(|(bit, _)| types >> bit & 1 == 1);
        words.extend(named.map(|(_, name)| format!("{class}{name}")));
    }
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(" ")
    }
}

/// Reads `logconfig`, whose words change what lines before it have left, in order.
fn log_classes(statement: &mut Statement<'_>, parser: &mut Parser) {
    let LogTopics(mask) = &mut parser.config.process.log_topics;
    let mut is_set = false;
    let mut reset_at = None;
    for at in 1..statement.len() {
        let word = statement.word(at).to_owned();
        let (sign, name) = match word.chars().next() {
            Some(sign @ ('=' | '+' | '-')) => (sign, word.get(1..).unwrap_or_default()),
            _ => ('=', word.as_str()),
        };
        let Some(messages) = log_word(name) else {
            let message = format!("logconfig: '{name}' not recognized - ignored");
            statement.warn(at, message, "ntpd then logs nothing if the word begins with =");
            continue;
        };
        match sign {
            '+' => *mask |= messages,
            '-' => *mask &= !messages,
            _ => {
                reset_at = reset_at.or(is_set.then_some(at));
                is_set = true;
                *mask = messages;
            }
        }
    }
    let meant = log_words(*mask);
    if let Some(at) = reset_at {
        let help = format!("ntpd logs only {meant} after this line; all of the words were probably meant");
        statement.warn(
            at,
            "\"=\" resets the mask; use \"+\" for later items".to_owned(),
            &help,
        );
    }
    statement.adapt(&format!(
        "chrony has no word for it; problems are logged, and of the rest {meant}"
    ));
}

/// Reads `setvar NAME = VALUE [default]`.
fn variable(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    let name = statement.word(1).to_owned();
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    if name.is_empty() || !name.chars().all(is_name) || statement.word(2) != "=" || statement.len() < 4 {
        let help = "it is written setvar NAME = VALUE [default]";
        return statement.refuse(1, "no variable".to_owned(), help);
    }
    let value = statement.word(3).to_owned();
    if !value
        .chars()
        .all(|character| character == ' ' || character.is_ascii_graphic())
        || value.contains('"')
    {
        let help = "it has printable ASCII characters and no quotes";
        return statement.refuse(3, format!("\"{value}\" is no value for a variable"), help);
    }
    if name.len() + value.len() > VARIABLE_LENGTH_MAX {
        let help = format!("name and value have {VARIABLE_LENGTH_MAX} characters together at most");
        return statement.refuse(3, "the variable is too long".to_owned(), &help);
    }
    let is_default = match statement.word(4) {
        "" => false,
        "default" => true,
        _ => return statement.unknown(4, "word", &["default"]),
    };
    statement.no_more(5)?;
    let variables = &mut parser.config.variables;
    variables.retain(|known| known.name != name);
    if variables.len() >= VARIABLES_MAX {
        let help = format!("there are {VARIABLES_MAX} at most");
        return statement.refuse(1, "too many variables".to_owned(), &help);
    }
    variables.push(SystemVariable {
        name,
        value,
        is_default,
    });
    statement.adapt("only ntpq can read it");
    Ok(())
}

/// Reads `mru`: how many clients are remembered.
fn clients(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    for at in (1..statement.len()).step_by(2) {
        let option = statement.word(at).to_owned();
        let known = [
            "maxdepth",
            "maxmem",
            "mindepth",
            "maxage",
            "minage",
            "initalloc",
            "initmem",
            "incalloc",
            "incmem",
        ];
        if !known.contains(&option.as_str()) {
            return statement.unknown(at, "option", &known);
        }
        let value = statement.integer(at + 1, i64::MIN, i64::MAX)?;
        // A negative number is no limit.
        let value = u64::try_from(value).unwrap_or(u64::MAX);
        let clients = match option.as_str() {
            "maxdepth" => value.min(CLIENTS_MAX),
            "maxmem" => (value.saturating_mul(1024) / BYTES_PER_CLIENT).min(CLIENTS_MAX),
            "mindepth" | "maxage" | "minage" => {
                let help = "who asked last is remembered, whenever that was: say how many with maxdepth";
                statement.leave_out(at..at + 2, format!("{option} is left out"), help);
                continue;
            }
            // How the table grows.
            _ => {
                statement.idle(at);
                continue;
            }
        };
        let limit_bytes = u32::try_from(clients * BYTES_PER_CLIENT).unwrap_or(u32::MAX);
        parser.config.server.client_log = ClientLog::On { limit_bytes };
        statement.amounts_to(format!("clientloglimit {limit_bytes}"));
    }
    Ok(())
}

fn resources(statement: &mut Statement<'_>, parser: &mut Parser) -> Result<(), Refused> {
    for at in (1..statement.len()).step_by(2) {
        match statement.word(at) {
            "memlock" => {
                if integer(statement.word(at + 1)).is_some_and(|megabytes| megabytes > 0) {
                    parser.config.process.lock_memory = true;
                    statement.amounts_to("lock_all");
                } else {
                    statement.idle(at);
                }
            }
            resource @ ("stacksize" | "filenum") => {
                let message = format!("{resource} is left out");
                let help = "the limits are those with which timeballd is started";
                statement.leave_out(at..at + 2, message, help);
            }
            _ => return statement.unknown(at, "resource", &["memlock", "stacksize", "filenum"]),
        }
    }
    Ok(())
}

fn nts(statement: &mut Statement<'_>) -> Result<(), Refused> {
    for at in 1..statement.len() {
        if statement.word(at) == "enable" {
            let help = "clients that ask for it would get no answer; remove the word to start without";
            return statement.refuse(at, "timeballd is no NTS server yet".to_owned(), help);
        }
    }
    if statement.word(1) == "disable" && statement.len() == 2 {
        statement.idle(0);
    } else {
        let help = "timeballd neither asks with NTS nor answers with it yet";
        statement.leave_out(1..statement.len(), "nts is left out".to_owned(), help);
    }
    Ok(())
}

/// Takes what `disable monitor` says: a table for rate limits only, and none where nobody is limited.
pub(super) fn monitor(parser: &mut Parser, is_limited: bool) {
    let Some(place) = parser.unmonitored.take() else {
        return;
    };
    let server = &mut parser.config.server;
    if !is_limited {
        server.client_log = ClientLog::Off;
        return;
    }
    server.client_log = ClientLog::On {
        limit_bytes: CLIENT_LOG_SMALL,
    };
    server.is_monitored = false;
    let message = "'monitor' cannot be disabled while 'limited' is enabled".to_owned();
    let help = "ntpd goes on remembering clients; timeballd remembers only as many as the rate limit needs";
    parser.warn_later(place, message, help);
}

/// Distributes the number of servers that `tos maxclock` allows over the pools, of which each counts as one.
pub(super) fn distribute(parser: &mut Parser, places: &[Place]) {
    let sources = &mut parser.config.sources;
    let is_pool = |source: &crate::config::SourceConfig| source.kind == crate::config::SourceKind::Pool;
    let pools = u32::try_from(sources.iter().filter(|source| is_pool(source)).count()).unwrap_or(u32::MAX);
    let lines = u32::try_from(sources.len()).unwrap_or(u32::MAX);
    let Some(last) = pools.checked_sub(1) else { return };
    let left = parser.max_clock.saturating_sub(lines);
    let mut rank = 0;
    for (source, place) in sources.iter_mut().zip(places) {
        if !is_pool(source) {
            continue;
        }
        // The first pools have one more where it does not come out even.
        let share = (left + last - rank) / pools;
        rank += 1;
        source.max_sources = u8::try_from(share.clamp(1, 16)).unwrap_or(1);
        // A line that chrony cannot write has none.
        let line = parser.lines.get_mut(place.line);
        if let Some(line) = line.and_then(|line| line.chrony.first_mut()) {
            *line = crate::chrony::source_line(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_words_are_classes_and_types() {
        assert_eq!(log_word("sysall"), Some(0x000f));
        assert_eq!(log_word("syncstatus"), Some(0x4000));
        assert_eq!(log_word("allall"), Some(0xffff));
        assert_eq!(log_word("allevents"), Some(0x2222));
        assert_eq!(log_word("allclock"), Some(0x0f00));
        for word in ["", "sys", "all", "everything", "sysinf", "systemall"] {
            assert_eq!(log_word(word), None, "{word}");
        }
        assert_eq!(log_words(0x400f), "sysall syncstatus");
        assert_eq!(log_words(0), "nothing");
    }
}
