//! The languages in which a daemon can be configured.

use std::fmt;
use std::str::FromStr;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Placed, Severity, Span};
use crate::explain::Explanation;
use crate::include::{ReadError, Reader};
use crate::{chrony, openntpd};

/// Names a language, by the daemon whose language it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// chrony.conf, of chronyd.
    Chrony,
    /// ntp.conf, of ntpd (the classic one and NTPsec's).
    Ntpd,
    /// ntpd.conf, of OpenNTPD.
    OpenNtpd,
}

/// Holds everything that is known about a configuration when it has been read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What the daemon is asked to do.
    pub config: Config,
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
    /// What each line becomes, in the order in which lines are read.
    pub lines: Vec<Explanation>,
}

/// Says that a word names no language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown dialect {0}; it is one of chrony, ntpd and openntpd")]
pub struct UnknownDialect(String);

impl Dialect {
    /// Every language, in the order in which they are tried on a text that fits several.
    pub const ALL: [Self; 3] = [Self::Chrony, Self::Ntpd, Self::OpenNtpd];

    /// Returns its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Chrony => "chrony",
            Self::Ntpd => "ntpd",
            Self::OpenNtpd => "openntpd",
        }
    }

    /// Reads the configuration at `path` with all its files, except those of [`Config::source_dirs`], as the daemon
    /// does, and tells what becomes of each line. Of a file that has errors and looks like one of another language that
    /// is said too, as the last of [`Reading::diagnostics`].
    pub fn read(self, path: &str, reader: &dyn Reader) -> Reading {
        // What comes through a pipe can be read once only.
        let files = AlreadyRead {
            path,
            text: reader.read_file(path),
            others: reader,
        };
        let mut reading = self.read_as_it_is(path, &files);
        let has_error = reading
            .diagnostics
            .iter()
            .any(|found| found.severity > Severity::Warning);
        if has_error
            && let Ok(text) = &files.text
            && let meant = Self::of_text(text)
            && meant.wrong_lines(text) < self.wrong_lines(text)
        {
            reading.diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                span: Span::of_file(path.into()),
                line_text: String::new(),
                message: format!("this looks like {}", meant.file()),
                help: Some(format!("say --dialect {meant}")),
                placed: Placed::Nowhere,
            });
        }
        reading
    }

    fn read_as_it_is(self, path: &str, reader: &dyn Reader) -> Reading {
        match self {
            Self::Chrony => chrony::explain(path, reader),
            Self::Ntpd => self.refuse(path),
            Self::OpenNtpd => openntpd::read(path, reader),
        }
    }

    /// Returns what a file in the language is called, with its article.
    const fn file(self) -> &'static str {
        match self {
            Self::Chrony => "a chrony.conf",
            Self::Ntpd => "an ntp.conf",
            Self::OpenNtpd => "an ntpd.conf of OpenNTPD",
        }
    }

    /// Says of a language that it cannot be read.
    fn refuse(self, path: &str) -> Reading {
        let refusal = Diagnostic {
            severity: Severity::Error,
            span: Span::of_file(path.into()),
            line_text: String::new(),
            message: format!("the language of {self} is not read by this version"),
            help: Some("write the configuration as chrony.conf".to_owned()),
            placed: Placed::Nowhere,
        };
        Reading {
            config: Config::default(),
            diagnostics: vec![refusal],
            lines: Vec::new(),
        }
    }

    /// Returns the language in which the fewest lines of a text are wrong; of several the first of [`Self::ALL`]. Only
    /// languages that can be read are tried.
    pub fn of_text(text: &str) -> Self {
        let readable = [Self::Chrony, Self::OpenNtpd];
        let fewest = readable
            .into_iter()
            .min_by_key(|dialect| dialect.wrong_lines(text));
        fewest.unwrap_or(Self::Chrony)
    }

    /// Returns how many lines of a text are wrong in this language.
    fn wrong_lines(self, text: &str) -> usize {
        if self == Self::OpenNtpd {
            return openntpd::wrong_lines(text);
        }
        // An empty text fits all, and so does what files that are named say.
        let reading = self.read_as_it_is("", &Alone(text));
        let is_wrong = |found: &&Diagnostic| found.severity > Severity::Warning;
        reading.diagnostics.iter().filter(is_wrong).count()
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(word: &str) -> Result<Self, UnknownDialect> {
        let mut all = Self::ALL.into_iter();
        all.find(|dialect| dialect.word() == word)
            .ok_or_else(|| UnknownDialect(word.to_owned()))
    }
}

/// Files of which one has been read.
struct AlreadyRead<'a> {
    path: &'a str,
    text: Result<String, ReadError>,
    others: &'a dyn Reader,
}

impl Reader for AlreadyRead<'_> {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        if path == self.path {
            self.text.clone()
        } else {
            self.others.read_file(path)
        }
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        self.others.list_dir(path)
    }
}

/// A text as the only file; every other file is empty.
struct Alone<'a>(&'a str);

impl Reader for Alone<'_> {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        Ok(if path.is_empty() {
            self.0.to_owned()
        } else {
            String::new()
        })
    }

    fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
        Err(ReadError::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Fate;
    use crate::include::tests::Files;

    #[test]
    fn words_name_languages() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        assert!("ntp".parse::<Dialect>().is_err());
    }

    #[test]
    fn a_file_of_another_language_is_recognised() {
        let last = |dialect: Dialect, text: &str| {
            let reading = dialect.read("/main", &Files::new(&[("/main", text)]));
            reading.diagnostics.last().map(ToString::to_string)
        };
        assert_eq!(
            last(Dialect::Chrony, "servers pool.ntp.org\nlisten on *\n").unwrap(),
            "/main: this looks like an ntpd.conf of OpenNTPD\n  help: say --dialect openntpd"
        );
        assert_eq!(
            last(Dialect::OpenNtpd, "driftfile /d\nserver a\nservers b\nrtcsync\n").unwrap(),
            "/main: this looks like a chrony.conf\n  help: say --dialect chrony"
        );
        assert_eq!(
            last(Dialect::Chrony, "servr a\n").unwrap().lines().next(),
            Some("/main:1:1: Invalid directive servr")
        );
        assert_eq!(last(Dialect::OpenNtpd, "server a\n"), None);
    }

    #[test]
    fn every_line_of_chrony_conf_has_a_fate() {
        let files = Files::new(&[
            (
                "/main",
                "# a comment\n  server  a iburst\ninclude /other\nsever b\nhwtstimeout 0.1\ndumponexit\nmaxtxbuffers 5\n",
            ),
            ("/other", "port 0\nmaxupdateskew 5x\n"),
        ]);
        let reading = Dialect::Chrony.read("/main", &files);
        let told = reading.lines.iter().map(|line| {
            (
                line.span.to_string(),
                line.text.as_str(),
                line.fate,
                line.chrony.join("|"),
            )
        });
        let of = |place: &str, text, fate, chrony: &str| (place.to_owned(), text, fate, chrony.to_owned());
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                of("/main:2:3", "server  a iburst", Fate::Used, "server a iburst"),
                of("/main:3:1", "include /other", Fate::Used, "include /other"),
                of("/other:1:1", "port 0", Fate::Used, "port 0"),
                of(
                    "/other:2:1",
                    "maxupdateskew 5x",
                    Fate::Adapted,
                    "maxupdateskew 5x"
                ),
                of("/main:4:1", "sever b", Fate::Refused, ""),
                of("/main:5:1", "hwtstimeout 0.1", Fate::Ignored, ""),
                of("/main:6:1", "dumponexit", Fate::Ignored, ""),
                of("/main:7:1", "maxtxbuffers 5", Fate::Ignored, ""),
            ]
        );
        assert_eq!(reading.config.server.port, 0);
    }
}
