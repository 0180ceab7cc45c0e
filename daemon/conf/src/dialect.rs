//! The languages in which a daemon can be configured.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics, Placed, Severity, Span};
use crate::explain::{Explanation, Fate};
use crate::include::{BYTE_ORDER_MARK, ReadError, Reader, search};
use crate::{chrony, ntp, openntpd};

/// The directory with further files of ntp.conf's language, beside the file (NTPsec).
const FURTHER_FILES: &str = "ntp.d";

/// The largest number of wrong lines that are counted to tell languages apart.
const WRONG_LINES_MAX: usize = 500;

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

impl Reading {
    /// Returns how a check of the configuration takes what was found. Of ntp.conf the daemon only warns of a line that it
    /// does not understand; a check does not pass with one.
    pub fn severity(&self, found: &Diagnostic) -> Severity {
        let is_refused = |line: &Explanation| {
            let (at, about) = (&line.span, &found.span);
            line.fate == Fate::Refused && at.line == about.line && at.file == about.file
        };
        if found.span.line > 0 && self.lines.iter().any(is_refused) {
            found.severity.max(Severity::Skipped)
        } else {
            found.severity
        }
    }

    /// Reports whether the daemon starts with it, and with every line of it.
    pub fn is_right(&self) -> bool {
        let mut found = self.diagnostics.iter();
        found.all(|found| found.severity <= Severity::Warning)
            && self.lines.iter().all(|line| line.fate != Fate::Refused)
    }

    /// Adds a warning for each line with a source whose name looks like an address: a daemon does not ask whether it was meant,
    /// and looks it up for ever.
    pub fn suspect_names(&mut self) {
        let names = self
            .config
            .sources
            .iter()
            .filter(|source| source.name.looks_like_address());
        let names = names
            .map(|source| source.name.to_string())
            .collect::<BTreeSet<_>>();
        let is_suspect = |word: &str| {
            let bare = word.trim_matches(['"', '[', ']']);
            names.contains(word) || names.contains(bare)
        };
        if names.is_empty() {
            return;
        }
        let mut found = Diagnostics::default();
        for line in &mut self.lines {
            let Some(word) = line.text.split_whitespace().skip(1).find(|word| is_suspect(word)) else {
                continue;
            };
            let before = line.text.find(word).and_then(|at| line.text.get(..at));
            let before = u32::try_from(before.map_or(0, |before| before.chars().count())).unwrap_or(u32::MAX);
            let indent = usize::try_from(line.span.column.saturating_sub(1)).unwrap_or_default();
            let message = format!("{word} looks like an address, and is none");
            found.push(Diagnostic {
                severity: Severity::Warning,
                span: Span {
                    column: line.span.column.saturating_add(before),
                    width: u32::try_from(word.chars().count()).unwrap_or(u32::MAX),
                    ..line.span.clone()
                },
                line_text: " ".repeat(indent) + &line.text,
                message: message.clone(),
                help: Some(
                    "the daemon looks it up as a name for ever; write an address, or the name of a host"
                        .to_owned(),
                ),
                placed: Placed::Nowhere,
                unshown: 0,
            });
            line.note.get_or_insert(message);
        }
        self.diagnostics.extend(found.into_vec());
    }
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
    /// does, and tells what becomes of each line. Of a file with lines that are refused, and that looks like one of another
    /// language, that is said too, as the last of [`Reading::diagnostics`].
    pub fn read(self, path: &str, reader: &dyn Reader) -> Reading {
        self.read_with(path, &[], reader)
    }

    /// Returns the files that the daemon reads after the one at `path` without being told: those of `ntp.d` beside an
    /// ntp.conf, whatever that is called.
    pub fn further_files(self, path: &str, reader: &dyn Reader) -> Vec<String> {
        match Path::new(path).parent() {
            Some(directory) if self == Self::Ntpd => {
                let directory = directory.join(FURTHER_FILES);
                search(&[&directory.to_string_lossy()], ".conf", reader)
            }
            _ => Vec::new(),
        }
    }

    /// Reads the configuration as [`Self::read`] does, and after it further files as if their lines stood at its end.
    /// Only ntp.conf has such; for the other languages there are none.
    pub fn read_with(self, path: &str, further: &[String], reader: &dyn Reader) -> Reading {
        // What comes through a pipe can be read once only.
        let files = AlreadyRead {
            path,
            text: reader.read_file(path),
            others: reader,
        };
        let mut reading = match self {
            Self::Ntpd => ntp::explain_with(path, further, &files),
            _ => self.read_as_it_is(path, &files),
        };
        if !reading.is_right()
            && let Ok(text) = &files.text
        {
            reading.diagnostics.extend(self.looks_like_another(path, text));
        }
        reading
    }

    /// Says of a file with a mistake that it looks like one of another language, if it does: fewer of its lines begin with a
    /// word that the other does not have.
    pub fn looks_like_another(self, path: &str, text: &str) -> Option<Diagnostic> {
        let meant = self.or_of_text(text);
        let is_another = meant.wrong_lines(text).0 < self.wrong_lines(text).0;
        is_another.then(|| Diagnostic {
            severity: Severity::Warning,
            span: Span::of_file(path.into()),
            line_text: String::new(),
            message: format!("this looks like {}", meant.file()),
            help: Some(format!("say --dialect {meant} to timeballd or timeball config")),
            placed: Placed::Nowhere,
            unshown: 0,
        })
    }

    fn read_as_it_is(self, path: &str, reader: &dyn Reader) -> Reading {
        match self {
            Self::Chrony => chrony::explain(path, reader),
            Self::Ntpd => ntp::explain(path, reader),
            Self::OpenNtpd => openntpd::read(path, reader),
        }
    }

    /// Returns what a file in the language is called, with its article.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Chrony => "a chrony.conf",
            Self::Ntpd => "an ntp.conf",
            Self::OpenNtpd => "an ntpd.conf of OpenNTPD",
        }
    }

    /// Reads the configuration at `path` as [`Self::read`] does, without telling what becomes of each line.
    pub fn parse(self, path: &str, reader: &dyn Reader) -> (Config, Vec<Diagnostic>) {
        match self {
            Self::Chrony => chrony::parse(path, reader),
            Self::Ntpd | Self::OpenNtpd => {
                let reading = self.read(path, reader);
                (reading.config, reading.diagnostics)
            }
        }
    }

    /// Reports whether the language has a directive with this word.
    fn has_directive(self, word: &str) -> bool {
        match self {
            Self::Chrony => chrony::Directive::find_or_extension(word).is_some(),
            Self::Ntpd => ntp::Directive::find(word).is_some(),
            Self::OpenNtpd => matches!(
                word,
                "constraint" | "constraints" | "listen" | "query" | "sensor" | "server" | "servers"
            ),
        }
    }

    /// Returns the language of the file at `path` with this text: that which the file's name says, which is chrony's unless it
    /// is `ntp.conf` or `ntpd.conf`, or another one as [`Self::or_of_text`] tells.
    pub fn of_file(path: &str, text: &str) -> Self {
        let named = match Path::new(path).file_name().and_then(|name| name.to_str()) {
            Some("ntp.conf") => Self::Ntpd,
            Some("ntpd.conf") => Self::OpenNtpd,
            _ => Self::Chrony,
        };
        named.or_of_text(text)
    }

    /// Returns the language itself, or that in which fewer lines of a text begin with a word that it does not have; of several
    /// of those the first of [`Self::ALL`].
    ///
    /// Lines that are wrong otherwise make no other language of it, least of all one in which everybody is answered unless a
    /// rule says otherwise: ntpd takes much that chronyd refuses. Only to chrony's language, which takes nothing that is wrong
    /// and answers nobody unasked, a text goes that is right there and wrong in this one.
    #[must_use]
    pub fn or_of_text(self, text: &str) -> Self {
        let counted = Self::ALL.map(|dialect| (dialect, dialect.wrong_lines(text)));
        let fewest = counted.iter().map(|(_, (foreign, _))| *foreign).min();
        let mut fitting = counted
            .iter()
            .filter(|(_, (foreign, _))| Some(*foreign) == fewest);
        let first = fitting.clone().next();
        match (fitting.find(|(dialect, _)| *dialect == self), first) {
            (Some((_, (_, 1..))), Some((Self::Chrony, (_, 0)))) => Self::Chrony,
            (Some(_), _) => self,
            (None, first) => first.map_or(self, |(dialect, _)| *dialect),
        }
    }

    /// Returns how many lines of a text begin with a word that is none in this language, and how many are wrong, up to
    /// [`WRONG_LINES_MAX`] of each: not all languages are read further.
    fn wrong_lines(self, text: &str) -> (usize, usize) {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        if self == Self::OpenNtpd {
            let words = text.lines().filter_map(|line| line.split_whitespace().next());
            // A word with an equals sign names a macro.
            let words = words.filter(|word| !word.starts_with('#') && !word.contains('='));
            let foreign = words.filter(|word| !self.has_directive(word)).count();
            let wrong = openntpd::wrong_lines(text, WRONG_LINES_MAX);
            return (foreign.min(WRONG_LINES_MAX), wrong);
        }
        // What files that are named say fits all.
        let reading = self.read_as_it_is("", &Alone(text));
        let count = |is_meant: &dyn Fn(&Explanation) -> bool| {
            let meant = reading.lines.iter().filter(|line| is_meant(line));
            meant.take(WRONG_LINES_MAX).count()
        };
        let is_foreign = |line: &Explanation| {
            let word = line.text.split_whitespace().next();
            word.is_some_and(|word| !self.has_directive(word))
        };
        (count(&is_foreign), count(&|line| line.fate == Fate::Refused))
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
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::include::tests::Files;

    #[test]
    fn words_name_languages() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        assert!("ntp".parse::<Dialect>().is_err());
    }

    #[test]
    fn a_name_that_looks_like_an_address_is_found_wherever_it_is_and_however_often() {
        let suspected = |text: &str| {
            let mut reading = Dialect::Ntpd.read("/main", &Files::new(&[("/main", text)]));
            let others = reading.diagnostics.len();
            reading.suspect_names();
            reading.diagnostics.split_off(others)
        };
        let far = suspected(&format!("{}server 10.0.0.5O\n", " ".repeat(70_000)));
        assert_eq!(far[0].span.column, 70_008);
        assert!(far[0].to_string().contains("10.0.0.5O looks like an address"));
        let often = suspected(&"server 10.0.0.999\n".repeat(5000));
        assert_eq!(often.len(), Diagnostics::KEPT_MAX + 1);
        assert_eq!(often.iter().map(Diagnostic::count).sum::<usize>(), 5000);
    }

    #[test]
    fn what_fits_several_languages_is_in_the_one_that_is_meant() {
        let all = &Dialect::ALL[..];
        for (text, fitting) in [
            ("", all),
            ("# only a comment\n", all),
            ("server a\n", all),
            ("server a iburst\n", &[Dialect::Chrony, Dialect::Ntpd]),
            ("servers a\n", &[Dialect::OpenNtpd]),
            ("servers a\nserver b wieght 5\n", &[Dialect::OpenNtpd]),
            ("restrict default\n", &[Dialect::Ntpd]),
            ("server a iburst\nmakestep 1 3\n", &[Dialect::Chrony]),
            // With mistakes.
            ("server a wieght 3\n", all),
            ("server a weight 11\n", all),
            ("servr a\n", all),
            // Mistakes of chrony.conf that are none in ntp.conf.
            ("server a iburst # backup\n", all),
            ("driftfile /d # x\n", &[Dialect::Chrony, Dialect::Ntpd]),
            ("server a maxpoll 33\n", all),
            ("server a true\n", all),
            ("server -4 a\n", all),
            ("server a trusted\n", all),
            ("broadcast 192.0.2.255\n", &[Dialect::Chrony, Dialect::Ntpd]),
            // Those take the whole away from OpenNTPD, and then it is chrony's.
            (
                "driftfile /d\nserver a iburst # backup\n",
                &[Dialect::Chrony, Dialect::Ntpd],
            ),
        ] {
            let fits = |meant: &Dialect| meant.or_of_text(text) == *meant;
            let found = Dialect::ALL.into_iter().filter(fits);
            assert_eq!(found.collect::<Vec<_>>(), fitting, "{text}");
        }
    }

    #[test]
    fn a_file_of_another_language_is_recognised() {
        let last = |dialect: Dialect, text: &str| {
            let reading = dialect.read("/main", &Files::new(&[("/main", text)]));
            reading.diagnostics.last().map(ToString::to_string)
        };
        assert_eq!(
            last(Dialect::Chrony, "servers pool.ntp.org\nlisten on *\n").unwrap(),
            "/main: this looks like an ntpd.conf of OpenNTPD\n  help: say --dialect openntpd to timeballd or timeball config"
        );
        assert_eq!(
            last(Dialect::OpenNtpd, "driftfile /d\nserver a\nservers b\nrtcsync\n").unwrap(),
            "/main: this looks like a chrony.conf\n  help: say --dialect chrony to timeballd or timeball config"
        );
        assert_eq!(
            last(Dialect::Chrony, "servr a\n").unwrap().lines().next(),
            Some("/main:1:1: Invalid directive servr")
        );
        assert_eq!(last(Dialect::OpenNtpd, "server a\n"), None);
        // Of ntp.conf, whose reader only warns of directives that it does not know.
        for (text, expected) in [
            (
                "server a\nmakestep 1 3\nrtcsync\n",
                "/main: this looks like a chrony.conf",
            ),
            (
                "servers a\nlisten on *\n",
                "/main: this looks like an ntpd.conf of OpenNTPD",
            ),
        ] {
            let last = last(Dialect::Ntpd, text).unwrap();
            assert_eq!(last.lines().next(), Some(expected));
        }
        let of_ntpd = last(Dialect::Ntpd, "servr a\nrestrict default\ntinker step 1\n").unwrap();
        assert!(!of_ntpd.contains("looks like"), "{of_ntpd}");
    }

    #[test]
    fn a_name_that_looks_like_an_address_is_suspected_where_it_stands() {
        for (dialect, text) in [
            (Dialect::Chrony, "server b\n  server 10.0.0.5O iburst\n"),
            (Dialect::Ntpd, "restrict default\n  server 10.0.0.5O iburst\n"),
            (Dialect::OpenNtpd, "server b\n  server 10.0.0.5O  trusted\n"),
        ] {
            let mut reading = dialect.read("/main", &Files::new(&[("/main", text)]));
            assert_eq!(reading.diagnostics, [], "the daemon starts as ever");
            reading.suspect_names();
            let [found] = &reading.diagnostics[..] else {
                panic!("{:?}", reading.diagnostics)
            };
            let said = found.to_string();
            assert!(
                said.starts_with(
                    "/main:2:10: 10.0.0.5O looks like an address, and is none\n    server 10.0.0.5O "
                ),
                "{said}"
            );
            assert!(said.contains("\n           ^^^^^^^^^\n"), "{said}");
            let line = reading.lines.last().unwrap();
            assert_eq!((line.fate, line.note.is_some()), (Fate::Used, true), "{dialect}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_told_where_its_line_is_lost() {
        for dialect in [Dialect::Chrony, Dialect::OpenNtpd] {
            let reading = dialect.read("/main", &Files::new(&[("/main", "\u{feff}server a\nserver b\n")]));
            let [found] = &reading.diagnostics[..] else {
                panic!("{:?}", reading.diagnostics)
            };
            assert_eq!(found.severity, Severity::Error);
            let help = found.help.as_deref().unwrap_or_default();
            assert!(
                help.starts_with("the file begins with a byte order mark"),
                "{found}"
            );
        }
    }

    #[test]
    fn only_ntp_conf_has_further_files() {
        let files = Files::new(&[
            ("/etc/ntp.d/b.conf", ""),
            ("/etc/ntp.d/a.conf", ""),
            ("/etc/ntp.d/c", ""),
        ]);
        let further = |dialect: Dialect| dialect.further_files("/etc/x", &files);
        assert_eq!(further(Dialect::Ntpd), ["/etc/ntp.d/a.conf", "/etc/ntp.d/b.conf"]);
        assert_eq!(further(Dialect::Chrony), [""; 0]);
        assert_eq!(further(Dialect::OpenNtpd), [""; 0]);
    }

    #[test]
    fn what_no_word_tells_apart_is_what_the_name_of_the_file_says() {
        for (path, text, expected) in [
            ("/etc/ntp.conf", "server a iburst\ndriftfile /d\n", Dialect::Ntpd),
            (
                "/etc/chrony.conf",
                "server a iburst\ndriftfile /d # x\n",
                Dialect::Chrony,
            ),
            ("timeballd.conf", "server a trusted\n", Dialect::Chrony),
            ("/etc/ntpd.conf", "server a trusted\n", Dialect::OpenNtpd),
            ("/etc/ntpd.conf", "server a iburst\n", Dialect::Chrony),
            ("/etc/ntp.conf", "server a\nmakestep 1 3\n", Dialect::Chrony),
            ("", "server a true\n", Dialect::Chrony),
        ] {
            assert_eq!(Dialect::of_file(path, text), expected, "{path} {text}");
        }
    }

    #[test]
    fn a_text_tells_its_language() {
        for (text, expected) in [
            ("", Dialect::Chrony),
            ("pool a iburst\ndriftfile /d\n", Dialect::Chrony),
            ("server a nts\n", Dialect::Chrony),
            ("sever a\n", Dialect::Chrony),
            ("server a iburst\nmakestep 1 3\nrtcsync\n", Dialect::Chrony),
            ("server a mipoll 3\nmakestep 1 3\n", Dialect::Chrony),
            ("server iburst\nrestrict nomodify notrap\n", Dialect::Ntpd),
            ("server a iburst\nrestrict default ignore\n", Dialect::Ntpd),
            ("server a preempt\n", Dialect::Chrony),
            (
                "server 127.127.1.0\nfudge 127.127.1.0 stratum 10\n",
                Dialect::Ntpd,
            ),
            ("\u{feff}server a\n", Dialect::Chrony),
            ("\u{feff}servers a\n", Dialect::OpenNtpd),
            ("server a weight 5\n", Dialect::Chrony),
            ("servers pool.ntp.org", Dialect::OpenNtpd),
            ("listen on *\nserver a\n", Dialect::OpenNtpd),
            ("tinker panic 0\nkeys /k\nincludefile /x\n", Dialect::Ntpd),
        ] {
            assert_eq!(Dialect::Chrony.or_of_text(text), expected, "{text}");
        }
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
