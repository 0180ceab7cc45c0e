//! Lengths of time as people write them.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Units, and how many seconds one is.
const UNITS: [(&str, f64); 6] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// The longest time that can be waited for, seconds: no clock of the system leaves its range meanwhile.
const WAIT_MAX_S: f64 = 1e18;

/// Why a text is no length of time; displays what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTime {
    /// It is not a number with a unit.
    Unreadable(String),
    /// It cannot be waited for so long.
    TooLong(String),
}

impl fmt::Display for NoTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(text) => write!(formatter, "{text} is no time, such as 10ms or 2m"),
            Self::TooLong(text) => write!(formatter, "{text} is too long"),
        }
    }
}

impl Error for NoTime {}

/// Reads a length of time, at least 0, in seconds. It has a unit (`ns`, `us`, `ms`, `s`, `m` or `h`) or is in seconds:
///
/// ```
/// assert_eq!(units::parse_seconds("250us"), Ok(0.000_25));
/// assert_eq!(units::parse_seconds("1.5"), Ok(1.5));
/// assert!(units::parse_seconds("1d").is_err());
/// ```
///
/// # Errors
/// [`NoTime::Unreadable`] for everything else.
pub fn parse_seconds(text: &str) -> Result<f64, NoTime> {
    let unit = UNITS
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let (number, scale) = unit.unwrap_or((text, &1.0));
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value * scale),
        _ => Err(NoTime::Unreadable(text.to_owned())),
    }
}

/// Reads a length of time that can be waited for, written as for [`parse_seconds`].
///
/// # Errors
/// As for [`parse_seconds`], and [`NoTime::TooLong`].
pub fn parse_duration(text: &str) -> Result<Duration, NoTime> {
    Some(parse_seconds(text)?)
        .filter(|seconds| *seconds <= WAIT_MAX_S)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| NoTime::TooLong(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, value) in [("3", 3.0), ("1.5s", 1.5), ("250us", 0.000_25), ("1h", 3600.0)] {
            assert_eq!(parse_seconds(text), Ok(value));
        }
        for text in ["", "ms", "-1s", "1d", "nan", "inf"] {
            let said = format!("{text} is no time, such as 10ms or 2m");
            assert_eq!(parse_seconds(text).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn what_clocks_cannot_count_is_not_waited_for() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["1e300", "1e19s", "1e308h"] {
            let said = format!("{text} is too long");
            assert_eq!(parse_duration(text).unwrap_err().to_string(), said);
        }
    }
}
