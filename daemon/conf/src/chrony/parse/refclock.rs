//! `refclock`.

use super::set_up::SetUp;
use super::{Refused, Statement};
use crate::chrony::numbers::{integer_prefix, number_prefix};
use crate::config::{Config, RefClock, RefClockDriver};

/// The drivers of chrony. Of those that are not built here chronyd says that they are not compiled in.
const DRIVERS: [&str; 5] = ["PHC", "PPS", "RTC", "SHM", "SOCK"];

/// Reads the driver, its parameter and the options.
pub(super) fn read(
    statement: &mut Statement<'_, '_>,
    config: &mut Config,
    set_up: &mut SetUp,
) -> Result<(), Refused> {
    let driver = statement.word(1).to_owned();
    let (unit, permissions) = shared_memory(statement.word(2));
    let shm = RefClockDriver::SharedMemory { unit, permissions };
    let mut clock = RefClock::new(shm, default_id(&driver, config.ref_clocks.len()));
    options(statement, &mut clock)?;
    if driver != "SHM" {
        let message = if DRIVERS.contains(&driver.as_str()) {
            format!("refclock driver {driver} is not compiled in")
        } else {
            format!("unknown refclock driver {driver}")
        };
        set_up.refuse(statement.line, 1, message);
        return Ok(());
    }
    if clock.is_tai {
        set_up.needs_leap_seconds(statement.line);
    }
    config.ref_clocks.push(clock);
    Ok(())
}

/// The number of a segment, and the permissions after it, octal.
fn shared_memory(parameter: &str) -> (i32, u32) {
    let mut parts = parameter.split(':');
    let unit = parts.next().and_then(integer_prefix).map_or(0, |(unit, _)| unit);
    let permissions = parts
        .filter_map(|option| option.strip_prefix("perm="))
        .filter_map(|octal| u32::from_str_radix(octal, 8).ok())
        .next_back();
    (
        i32::try_from(unit).unwrap_or(0),
        permissions.unwrap_or(0o600) & 0o777,
    )
}

/// Returns the reference id of the clock at a place among the reference clocks.
pub(in crate::chrony) fn default_id(driver: &str, place: usize) -> [u8; 4] {
    let mut id = [0; 4];
    let digit = char::from_digit(u32::try_from(place % 10).unwrap_or(0), 10).unwrap_or('0');
    for (to, from) in id.iter_mut().zip(driver.chars().take(3).chain([digit])) {
        *to = u8::try_from(from).unwrap_or(b'?');
    }
    id
}

fn options(statement: &mut Statement<'_, '_>, clock: &mut RefClock) -> Result<(), Refused> {
    let mut at = 3;
    while let Some(word) = statement.line.word(at) {
        let option = word.to_ascii_lowercase();
        match option.as_str() {
            "prefer" => clock.select.prefer = true,
            "noselect" => clock.select.noselect = true,
            "trust" => clock.select.trust = true,
            "require" => clock.select.require = true,
            "tai" => clock.is_tai = true,
            "pps" | "local" => return not_built(statement, at),
            _ => {
                at += 1;
                with_value(statement, &option, at, clock)?;
                if option == "minsamples" {
                    let message = format!("refclock option {option} is not supported");
                    statement.warn(at - 1, message, "timeballd goes on without");
                }
            }
        }
        at += 1;
    }
    // Nothing would be asked before the end of a poll.
    clock.driver_poll = clock.driver_poll.min(clock.poll);
    Ok(())
}

/// Reads an option with its value, which is at `at`.
fn with_value(
    statement: &mut Statement<'_, '_>,
    option: &str,
    at: usize,
    clock: &mut RefClock,
) -> Result<(), Refused> {
    match option {
        "poll" => clock.poll = integer(statement, at, -32, 32)?,
        "dpoll" => clock.driver_poll = integer(statement, at, -32, 32)?,
        "filter" => clock.filter_length = integer::<u32>(statement, at, 0, i32::MAX.into())?.max(1),
        "stratum" => clock.stratum = integer(statement, at, 0, 15)?,
        "minsamples" => clock.min_samples = Some(integer(statement, at, 0, i32::MAX.into())?),
        "maxsamples" => clock.max_samples = Some(integer(statement, at, 0, i32::MAX.into())?),
        "maxunreach" => clock.max_unreach = integer(statement, at, 0, i32::MAX.into())?,
        "offset" => clock.offset_s = number(statement, at)?.clamp(-1e9, 1e9),
        "delay" => clock.delay_s = number(statement, at)?.clamp(0.0, 1000.0),
        "precision" => clock.precision_s = Some(number(statement, at)?.clamp(1e-9, 1.0)),
        "refid" => {
            let word = statement.word(at);
            let mut id = [0; 4];
            if word.is_empty() || word.len() > id.len() {
                return invalid_value(statement, at, "a reference id has 1 to 4 letters");
            }
            for (to, from) in id.iter_mut().zip(word.bytes()) {
                *to = from;
            }
            clock.reference_id = id;
        }
        "lock" | "maxlockage" | "rate" | "width" | "maxdispersion" => return not_built(statement, at - 1),
        _ => return invalid_option(statement, at - 1),
    }
    Ok(())
}

fn integer<T: TryFrom<i64>>(
    statement: &mut Statement<'_, '_>,
    at: usize,
    min: i64,
    max: i64,
) -> Result<T, Refused> {
    let value = integer_prefix(statement.word(at)).map(|(value, rest)| (value, rest.is_empty()));
    match value {
        Some((_, false)) => invalid_option(statement, at),
        Some((value, true)) if (min..=max).contains(&value) => T::try_from(value)
            .or_else(|_| invalid_value(statement, at, &format!("it takes an integer from {min} to {max}"))),
        _ => invalid_value(statement, at, &format!("it takes an integer from {min} to {max}")),
    }
}

fn number(statement: &mut Statement<'_, '_>, at: usize) -> Result<f64, Refused> {
    match number_prefix(statement.word(at)) {
        None => invalid_value(statement, at, "it takes a number of seconds"),
        Some((value, _)) if value.is_nan() => invalid_value(statement, at, "nan is no number"),
        Some((value, "")) => Ok(value),
        Some(_) => invalid_option(statement, at),
    }
}

/// What chronyd does and we do not.
fn not_built<T>(statement: &mut Statement<'_, '_>, at: usize) -> Result<T, Refused> {
    let option = statement.word(at).to_ascii_lowercase();
    let message = format!("refclock option {option} is not supported");
    statement.error(at, message, "remove the reference clock to start without")
}

fn invalid_option<T>(statement: &mut Statement<'_, '_>, at: usize) -> Result<T, Refused> {
    let message = "Invalid option in refclock directive".to_owned();
    statement.error(at, message, "options of refclock are listed in chrony.conf(5)")
}

fn invalid_value<T>(statement: &mut Statement<'_, '_>, at: usize, help: &str) -> Result<T, Refused> {
    statement.error(at, "Invalid value in refclock directive".to_owned(), help)
}
