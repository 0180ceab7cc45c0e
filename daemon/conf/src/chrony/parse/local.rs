//! `local`.

use super::{Refused, Statement};
use crate::chrony::directives::NUMBER_MAX;
use crate::chrony::numbers::{integer_prefix, number_prefix};
use crate::config::{Config, Local};

/// Reads the options.
pub(super) fn read(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    let mut local = Local::default();
    let mut wait_unsynced_s = None;
    let mut at = 1;
    while let Some(word) = statement.line.word(at) {
        let option = word.to_ascii_lowercase();
        match option.as_str() {
            "orphan" => local.orphan = true,
            "stratum" => {
                at += 1;
                let value = integer_prefix(statement.word(at)).map(|(value, rest)| (value, rest.is_empty()));
                match value {
                    Some((stratum @ 1..=15, true)) => local.stratum = u8::try_from(stratum).unwrap_or(15),
                    Some((1..=15, false)) => return invalid_option(statement, at),
                    _ => return invalid_value(statement, at, "a stratum is 1 to 15"),
                }
            }
            "distance" => {
                at += 1;
                seconds(statement, at, &mut local.distance_s)?;
            }
            "activate" => {
                at += 1;
                seconds(statement, at, &mut local.activate_s)?;
            }
            "waitsynced" => {
                at += 1;
                seconds(statement, at, &mut local.wait_synced_s)?;
            }
            "waitunsynced" => {
                at += 1;
                let mut value = 0.0;
                seconds(statement, at, &mut value)?;
                wait_unsynced_s = Some(value);
            }
            _ => return invalid_option(statement, at),
        }
        at += 1;
    }
    local.wait_unsynced_s = wait_unsynced_s.unwrap_or(Local::default_wait_unsynced_s(local.orphan));
    config.local = Some(local);
    Ok(())
}

/// Reads a number of seconds. What is below 0 means the same as 0.
fn seconds(statement: &mut Statement<'_, '_>, at: usize, field: &mut f64) -> Result<(), Refused> {
    match number_prefix(statement.word(at)) {
        None => invalid_value(statement, at, "it takes a number of seconds"),
        Some((value, _)) if value.is_nan() => invalid_value(statement, at, "nan is no number"),
        Some((value, "")) => {
            *field = value.clamp(0.0, NUMBER_MAX);
            Ok(())
        }
        Some(_) => invalid_option(statement, at),
    }
}

fn invalid_option<T>(statement: &mut Statement<'_, '_>, at: usize) -> Result<T, Refused> {
    let message = "Invalid option in local directive".to_owned();
    let help = "options are stratum, distance, activate, orphan, waitsynced and waitunsynced";
    statement.error(at, message, help)
}

fn invalid_value<T>(statement: &mut Statement<'_, '_>, at: usize, help: &str) -> Result<T, Refused> {
    statement.error(at, "Invalid value in local directive".to_owned(), help)
}
