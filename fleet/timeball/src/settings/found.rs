//! A setting's value together with the place it comes from.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

use crate::ending::Failure;
use crate::text;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    text: String,
    origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(&'static str),
    /// The settings file.
    File {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The key as it stands there.
        key: String,
    },
    /// What the controller of this machine left for clients.
    Left(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) | Origin::Environment(name) => f.write_str(name),
            Origin::File { file, line, key } => write!(f, "{key} in {}:{line}", file.display()),
            Origin::Left(file) => file.display().fmt(f),
        }
    }
}

impl Found {
    /// Puts value and place together.
    pub(crate) fn new(text: impl Into<String>, origin: Origin) -> Self {
        Found {
            text: text.into(),
            origin,
        }
    }

    /// The value as text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The value as a path.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(&self.text)
    }

    /// Where it comes from.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Reads the value.
    ///
    /// # Errors
    /// [`Failure::Refused`] naming place, value and what `read` says of it.
    pub(crate) fn read<T, E: fmt::Display>(
        &self,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Failure> {
        read(&self.text).map_err(|error| self.refuse(&error.to_string()))
    }

    /// Refuses the value.
    pub(crate) fn refuse(&self, why: &str) -> Failure {
        let shown = text::line(&text::cut(&self.text, 80));
        let (origin, quoted) = (self.origin.to_string(), format!("\"{shown}\""));
        // A value's own error often repeats it, and a file that was left is its own place.
        if why.contains(&quoted) || origin == shown {
            Failure::new(format!("{origin}: {why}"))
        } else {
            Failure::new(format!("{origin} {quoted}: {why}"))
        }
    }
}

/// Reads `30s`, `5m`, `90 days` or a number of seconds.
///
/// # Errors
/// A text that says what to write.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is needed, such as 30s, 10m or 90d".to_owned();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

/// Reads `true` or `false`.
///
/// # Errors
/// A text that says what to write.
pub(crate) fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false is needed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("30s", 30),
            ("30", 30),
            ("10m", 600),
            ("1h30m", 5400),
            ("90d", 7_776_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "soon", "-3s", "1 month"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_names_place_value_and_remedy() {
        let found = Found::new("soon", Origin::Environment("TIMEBALL_X"));
        assert_eq!(
            found.read(duration).unwrap_err().to_string(),
            "TIMEBALL_X \"soon\": a duration is needed, such as 30s, 10m or 90d"
        );
    }
}
