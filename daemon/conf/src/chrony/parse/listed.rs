//! Directives with several words, each with a form of its own.

use std::net::IpAddr;

use super::single::path_setting;
use super::{Refused, Statement};
use crate::chrony::directives::NUMBER_MAX;
use crate::chrony::numbers::{integer_prefix, number_prefix};
use crate::config::{
    AuthSelectMode, Broadcast, ClientLog, Config, Conflict, Constraint, ConstraintUrl, DriftFile,
    DriftFormat, FallbackDrift, InitialStep, LeapMode, LogKind, MakeStep, MaxChange, OpenCommand,
    TimeSmoothing,
};

/// The names that `initstepslew` takes; more are left out.
const INITIAL_SERVERS_MAX: usize = 64;

/// How many times the clock can be averaged over for `fallbackdrift`, log2 s.
const FALLBACK_DRIFT_MAX: i64 = 32;

/// Reads a directive of this file.
pub(super) fn read(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    match statement.directive.name {
        "authselectmode" => {
            let modes = [
                ("require", AuthSelectMode::Require),
                ("prefer", AuthSelectMode::Prefer),
                ("mix", AuthSelectMode::Mix),
                ("ignore", AuthSelectMode::Ignore),
            ];
            config.selection.auth_select_mode = one_of(statement, &modes)?;
        }
        "bindacqaddress" => match address(statement, 1)? {
            IpAddr::V4(address) => config.client.bind_ipv4 = Some(address),
            IpAddr::V6(address) => config.client.bind_ipv6 = Some(address),
        },
        "bindaddress" => match address(statement, 1)? {
            IpAddr::V4(address) => config.server.bind_ipv4 = Some(address),
            IpAddr::V6(address) => config.server.bind_ipv6 = Some(address),
        },
        "bindcmdaddress" if statement.word(1).starts_with('/') => {
            config.control.socket = path_setting(statement.word(1).to_owned());
        }
        "bindcmdaddress" => match address(statement, 1)? {
            IpAddr::V4(address) => config.control.bind_ipv4 = address,
            IpAddr::V6(address) => config.control.bind_ipv6 = address,
        },
        "broadcast" => broadcast(statement, config)?,
        "clientloglimit" => {
            let bytes = integer(statement, 1)?;
            let limit_bytes = u32::try_from(bytes.max(0)).unwrap_or(u32::MAX);
            if let ClientLog::On { limit_bytes: limit } = &mut config.server.client_log {
                *limit = limit_bytes;
            }
        }
        "driftfile" => drift_file(statement, config)?,
        "fallbackdrift" => fallback_drift(statement, config)?,
        "hwtimestamp" => hardware_timestamp(statement)?,
        "initstepslew" => initial_step(statement, config)?,
        "leapsecmode" => {
            let modes = [
                ("system", LeapMode::System),
                ("step", LeapMode::Step),
                ("slew", LeapMode::Slew),
                ("ignore", LeapMode::Ignore),
            ];
            config.leap.mode = one_of(statement, &modes)?;
        }
        "log" => log(statement, config)?,
        "mailonchange" => {
            statement.any_number(2)?;
        }
        "makestep" => {
            statement.is_whole_number(1)?;
            let threshold = statement.number(1, 0.0, NUMBER_MAX)?;
            let limit = u32::try_from(integer(statement, 2)?).ok();
            if let Some(threshold_s) = threshold {
                config.clock.make_step = Some(MakeStep::both(threshold_s, limit));
            }
        }
        "maxchange" => {
            statement.is_whole_number(1)?;
            let offset = statement.number(1, 0.0, NUMBER_MAX)?;
            let start = u32::try_from(whole_integer(statement, 2)?).unwrap_or(0);
            let ignore = u32::try_from(integer(statement, 3)?).ok();
            if let Some(offset_s) = offset {
                config.clock.max_change = Some(MaxChange {
                    offset_s,
                    start,
                    ignore,
                });
            }
        }
        "ntsaeads" => {
            for word in 1..statement.line.words.len() {
                statement.integer(word, 0, i32::MAX.into())?;
            }
        }
        "ntstrustedcerts" if statement.line.words.len() > 2 => {
            integer(statement, 1)?;
        }
        "opencommands" => open_commands(statement, config)?,
        "smoothtime" => smoothing(statement, config)?,
        "tempcomp" => temperature_compensation(statement)?,
        "timeball.conflict" => {
            config.conflict = Some(one_of(statement, &Conflict::WORDS)?);
        }
        "timeball.constraint" | "timeball.constraints" => constraint(statement, config)?,
        "timeball.metrics-address" => match statement.word(1).parse() {
            Ok(address) => config.metrics_address = Some(address),
            Err(_) => {
                return statement.unparsable(1, "it takes an address and a port, such as 127.0.0.1:9123");
            }
        },
        // include and confdir are followed elsewhere; the others are not supported or do nothing.
        _ => {}
    }
    Ok(())
}

/// Reads a URL, and the addresses at which its host is asked.
fn constraint(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    let url = match ConstraintUrl::parse(statement.word(1)) {
        Ok(url) => url,
        Err(error) => return statement.unparsable(1, &error.to_string()),
    };
    let mut addresses = Vec::new();
    for word in 2..statement.line.words.len() {
        addresses.push(address(statement, word)?);
    }
    config.constraints.from.push(Constraint {
        url,
        addresses,
        is_pool: statement.directive.name == "timeball.constraints",
    });
    Ok(())
}

fn one_of<T: Copy>(statement: &mut Statement<'_, '_>, values: &[(&str, T)]) -> Result<T, Refused> {
    let found = values
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(statement.word(1)));
    match found {
        Some((_, value)) => Ok(*value),
        None => {
            let words = values.iter().map(|(word, _)| *word).collect::<Vec<_>>();
            statement.unparsable(1, &format!("it takes one of {}", words.join(", ")))
        }
    }
}

fn address(statement: &mut Statement<'_, '_>, word: usize) -> Result<IpAddr, Refused> {
    match statement.word(word).parse() {
        Ok(address) => Ok(address),
        Err(_) if statement.directive.name == "bindcmdaddress" => {
            statement.unparsable(word, "it takes an IP address or an absolute path")
        }
        Err(_) => statement.unparsable(word, "it takes an IP address"),
    }
}

/// Reads an integer; what follows it in the word is not read, with a warning.
fn integer(statement: &mut Statement<'_, '_>, word: usize) -> Result<i64, Refused> {
    let Some((value, rest)) = integer_prefix(statement.word(word)) else {
        return statement.unparsable(word, "it takes an integer");
    };
    if !rest.is_empty() {
        let message = format!("{rest} after the integer is not read");
        statement.warn(word, message, &format!("timeballd takes {value}"));
    }
    Ok(value)
}

/// Reads an integer that must be all of the word, since more integers follow.
fn whole_integer(statement: &mut Statement<'_, '_>, word: usize) -> Result<i64, Refused> {
    match integer_prefix(statement.word(word)) {
        Some((value, "")) => Ok(value),
        _ => statement.unparsable(word, "it takes an integer"),
    }
}

fn broadcast(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    let Some(interval_s) = u32::try_from(integer(statement, 1)?)
        .ok()
        .filter(|interval| *interval > 0)
    else {
        return statement.unparsable(1, "the interval is at least 1 second");
    };
    let address = address(statement, 2)?;
    let port = match statement.line.word(3) {
        None => 123,
        Some(_) => match u16::try_from(integer(statement, 3)?) {
            Ok(port) => port,
            Err(_) => return statement.unparsable(3, "a port is a number from 0 to 65535"),
        },
    };
    config.server.broadcasts.push(Broadcast {
        interval_s,
        address,
        port,
    });
    Ok(())
}

fn drift_file(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    let path = statement.word(1).to_owned();
    let mut interval_s = 3600.0;
    if let Some(option) = statement.line.word(2) {
        if !option.eq_ignore_ascii_case("interval") {
            return statement.unparsable(2, "the option is interval");
        }
        let seconds = integer(statement, 3)?.clamp(0, i32::MAX.into());
        interval_s = i32::try_from(seconds).map_or(interval_s, f64::from);
    }
    config.clock.drift_file = Some(DriftFile {
        path,
        interval_s,
        format: DriftFormat::Chrony,
    });
    Ok(())
}

fn fallback_drift(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    let bound = |value: i64| {
        let value = value.clamp(-FALLBACK_DRIFT_MAX, FALLBACK_DRIFT_MAX);
        i8::try_from(value).unwrap_or_default()
    };
    let min = bound(whole_integer(statement, 1)?);
    let max = bound(integer(statement, 2)?);
    if min > max {
        let message = "fallbackdrift directive has no effect".to_owned();
        statement.warn(1, message, "the first number is the lesser one");
    }
    // With an interval of 2^0 seconds or less it is off.
    let is_off = min > max || min <= 0;
    config.clock.fallback_drift = (!is_off).then_some(FallbackDrift { min, max });
    Ok(())
}

/// Looks whether chronyd could read it.
fn hardware_timestamp(statement: &mut Statement<'_, '_>) -> Result<(), Refused> {
    let mut at = 2;
    while let Some(word) = statement.line.word(at) {
        let option = word.to_ascii_lowercase();
        let value = statement.word(at + 1);
        let is_right = match option.as_str() {
            "nocrossts" => {
                at += 1;
                continue;
            }
            "minpoll" | "maxpoll" => integer_prefix(value)
                .is_some_and(|(poll, rest)| (-32..=32).contains(&poll) && rest.is_empty()),
            "minsamples" | "maxsamples" => integer_prefix(value).is_some_and(|(_, rest)| rest.is_empty()),
            "precision" | "txcomp" | "rxcomp" => {
                number_prefix(value).is_some_and(|(_, rest)| rest.is_empty())
            }
            "rxfilter" => ["none", "ntp", "ptp", "all"]
                .iter()
                .any(|filter| filter.eq_ignore_ascii_case(value)),
            _ => return statement.unparsable(at, "options of hwtimestamp are listed in chrony.conf(5)"),
        };
        if !is_right {
            return statement.unparsable(at + 1, "the option has another kind of value");
        }
        at += 2;
    }
    Ok(())
}

/// Looks whether chronyd could read it: a file, an interval, and a file of points or five numbers.
fn temperature_compensation(statement: &mut Statement<'_, '_>) -> Result<(), Refused> {
    match statement.line.words.len() - 1 {
        3 => {
            statement.any_number(2)?;
        }
        words @ (4 | 5) => {
            let message = "Missing arguments for tempcomp directive".to_owned();
            return statement.error(words + 1, message, "");
        }
        _ => {
            for word in 2..6 {
                statement.is_whole_number(word)?;
            }
            statement.any_number(6)?;
        }
    }
    Ok(())
}

fn initial_step(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    let threshold = statement.number(1, 0.0, NUMBER_MAX)?;
    let servers = statement.line.arguments().skip(1);
    let servers = servers
        .take(INITIAL_SERVERS_MAX)
        .map(str::to_owned)
        .collect::<Vec<_>>();
    if statement.line.words.len() > INITIAL_SERVERS_MAX + 2 {
        let message = format!("only {INITIAL_SERVERS_MAX} servers are measured");
        statement.warn(INITIAL_SERVERS_MAX + 2, message, "");
    }
    config.initial_step = threshold.map(|threshold_s| InitialStep { threshold_s, servers });
    Ok(())
}

fn log(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    for word in 1..statement.line.words.len() {
        let kind = LogKind::ALL
            .into_iter()
            .find(|kind| kind.word() == statement.word(word));
        let Some(kind) = kind else {
            let words = LogKind::ALL.map(LogKind::word).join(", ");
            let message = "Invalid log parameter".to_owned();
            return statement.error(word, message, &format!("it takes {words}"));
        };
        config.logs.kinds.insert(kind);
        if kind == LogKind::TempComp {
            let message = "tempcomp option in log directive is not supported".to_owned();
            statement.warn(word, message, "timeballd goes on without");
        }
    }
    Ok(())
}

fn open_commands(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    config.control.open_commands.clear();
    for word in 1..statement.line.words.len() {
        let command = OpenCommand::ALL
            .into_iter()
            .find(|command| command.word().eq_ignore_ascii_case(statement.word(word)));
        let Some(command) = command else {
            let words = OpenCommand::ALL.map(OpenCommand::word).join(", ");
            return statement.unparsable(word, &format!("it takes {words}"));
        };
        config.control.open_commands.insert(command);
    }
    Ok(())
}

fn smoothing(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    statement.is_whole_number(1)?;
    let max_frequency = statement.number(1, 0.0, NUMBER_MAX)?;
    let max_wander = statement.number(2, 0.0, NUMBER_MAX)?;
    let leap_only = match statement.line.word(3) {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("leaponly") => true,
        Some(_) => return statement.unparsable(3, "the option is leaponly"),
    };
    if let (Some(max_frequency_ppm), Some(max_wander_ppm_per_s)) = (max_frequency, max_wander) {
        config.server.smoothing = Some(TimeSmoothing {
            max_frequency_ppm,
            max_wander_ppm_per_s,
            leap_only,
        });
    }
    Ok(())
}
