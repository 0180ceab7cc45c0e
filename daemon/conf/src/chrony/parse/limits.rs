//! `ratelimit` and `cmdratelimit`.

use super::{Refused, Statement};
use crate::chrony::numbers::integer;
use crate::config::{Config, RateLimit};

/// The options: the word, and the least and largest value, of others of which the nearest is taken.
const OPTIONS: [(&str, i64, i64); 4] = [
    ("interval", -19, 12),
    ("burst", 1, 255),
    ("leak", 1, 4),
    ("kod", 0, 4),
];

/// What chronyd reads at all.
const READ: std::ops::RangeInclusive<i64> = -32..=32;

/// Reads the options; `kod` is for NTP only.
pub(super) fn read(statement: &mut Statement<'_, '_>, config: &mut Config) -> Result<(), Refused> {
    let is_ntp = statement.directive.name == "ratelimit";
    let mut limit = if is_ntp {
        RateLimit::NTP
    } else {
        RateLimit::CONTROL
    };
    let mut at = 1;
    while let Some(word) = statement.line.word(at) {
        let option = OPTIONS
            .into_iter()
            .find(|option| option.0.eq_ignore_ascii_case(word) && (is_ntp || option.0 != "kod"));
        let Some((option, min, max)) = option else {
            let help = "options are interval, burst and leak; those of ratelimit also kod";
            return statement.unparsable(at, help);
        };
        at += 1;
        let Some(value) = integer(statement.word(at)).filter(|value| READ.contains(value)) else {
            return statement.unparsable(at, "it takes an integer from -32 to 32");
        };
        let taken = value.clamp(min, max);
        if taken != value {
            let message = format!("{option} {value} is out of range");
            statement.warn(at, message, &format!("timeballd takes {taken} instead"));
        }
        let unsigned = u8::try_from(taken).unwrap_or_default();
        match option {
            "interval" => limit.interval = i8::try_from(taken).unwrap_or_default(),
            "burst" => limit.burst = unsigned,
            "leak" => limit.leak = unsigned,
            _ => limit.kod = unsigned,
        }
        at += 1;
    }
    match statement.directive.name {
        "ratelimit" => config.server.rate_limit = Some(limit),
        "cmdratelimit" => config.control.rate_limit = Some(limit),
        _ => {}
    }
    Ok(())
}
