//! chrony's language, read: what the daemon is asked to do, and every line it would stumble over.

mod access;
mod limits;
mod listed;
mod local;
mod refclock;
mod set_up;
mod single;
mod source;

pub(super) use refclock::default_id;

use super::directives::{Argument, Directive, NUMBER_MAX, Support};
use super::numbers::{integer, number_prefix};
use super::scan::DIRECTORIES_MAX;
use super::source::SourceKind;
use super::walk::{Line, Reports, Visit, Walk, source_lines};
use crate::config::{Config, SourceConfig};
use crate::diagnostic::{Diagnostic, Severity};
use crate::include::Reader;
pub(crate) use access::name_of_rule;

/// Reads the configuration at `path` with all its files, except those of `sourcedir`.
///
/// Never fails: what cannot be understood becomes a diagnostic, and reading goes on, so that all is
/// said at once. With an error among the diagnostics the daemon must not start; the first is the
/// one of which chronyd dies, and [`Diagnostic::as_original`] is the text with which.
pub fn parse(path: &str, reader: &dyn Reader) -> (Config, Vec<Diagnostic>) {
    let mut parser = Parser::default();
    let mut walk = Walk::new(reader);
    walk.main_file(path, &mut parser);
    parser.finish(walk.reports)
}

/// Reads directives that were given as arguments of the program, in place of a file.
pub fn parse_arguments(lines: &[String], reader: &dyn Reader) -> (Config, Vec<Diagnostic>) {
    let mut parser = Parser::default();
    let mut walk = Walk::new(reader);
    walk.arguments(lines, &mut parser);
    parser.finish(walk.reports)
}

/// Reads the source files in the directories of [`Config::source_dirs`].
///
/// Sources come in the order in which a daemon adds them. No diagnostic is an error: a file that
/// cannot be read and a line that cannot be understood are passed over.
pub fn read_source_dirs(
    source_dirs: &[Vec<String>],
    reader: &dyn Reader,
) -> (Vec<SourceConfig>, Vec<Diagnostic>) {
    let mut parser = Parser::default();
    let mut walk = Walk::new(reader);
    for directories in source_dirs {
        walk.source_files(directories, &mut parser);
    }
    (parser.config.sources, walk.reports.into_diagnostics())
}

/// Reads the text of one source file, as [`read_source_dirs`] does. The last line counts only if it
/// ends in a newline.
pub fn parse_source_file(path: &str, text: &str) -> (Vec<SourceConfig>, Vec<Diagnostic>) {
    let mut parser = Parser::default();
    let mut reports = Reports::default();
    source_lines(path, text, &mut parser, &mut reports);
    (parser.config.sources, reports.into_diagnostics())
}

/// Fills a configuration.
#[derive(Default)]
pub(super) struct Parser {
    config: Config,
    set_up: set_up::SetUp,
}

impl Parser {
    /// Adds what only the whole configuration can tell.
    pub(super) fn finish(self, mut reports: Reports) -> (Config, Vec<Diagnostic>) {
        self.set_up.check(&self.config, &mut reports);
        (self.config, reports.into_diagnostics())
    }
}

impl Visit for Parser {
    fn find(&self, word: &str) -> Option<&'static Directive> {
        Directive::find_or_extension(word)
    }

    fn source(&mut self, line: &Line<'_>, kind: SourceKind, refused: Severity, reports: &mut Reports) {
        if let Some(source) = source::read(line, kind, refused, reports) {
            self.config.sources.push(source);
        }
    }

    fn directive(&mut self, line: &Line<'_>, directive: &'static Directive, reports: &mut Reports) {
        let mut statement = Statement {
            line,
            directive,
            reports,
        };
        // What is not supported is read all the same: chronyd refuses what it cannot read.
        let has_errors = match self.read(&mut statement) {
            Ok(()) => false,
            Err(Refused) => true,
        };
        if !has_errors {
            statement.say_if_not_supported();
        }
        self.set_up.remember(line, directive);
    }
}

impl Parser {
    /// Reads one directive.
    fn read(&mut self, statement: &mut Statement<'_, '_>) -> Result<(), Refused> {
        let config = &mut self.config;
        match statement.directive.argument {
            Argument::Integer { min, max } => {
                let value = statement.integer(1, min, max)?;
                single::set_integer(config, statement.directive.name, value);
                Ok(())
            }
            Argument::Number { min, max } => {
                if let Some(value) = statement.number(1, min, max)? {
                    single::set_number(config, statement.directive.name, value);
                }
                Ok(())
            }
            Argument::Text => {
                let value = statement.line.argument().unwrap_or_default();
                single::set_text(config, statement.directive.name, value);
                Ok(())
            }
            Argument::Other => self.read_other(statement),
        }
    }

    /// Reads a directive that has a form of its own.
    fn read_other(&mut self, statement: &mut Statement<'_, '_>) -> Result<(), Refused> {
        let config = &mut self.config;
        match statement.directive.name {
            "allow" | "deny" => access::read(statement, &mut config.server.access, &mut self.set_up),
            "cmdallow" | "cmddeny" => access::read(statement, &mut config.control.access, &mut self.set_up),
            "local" => local::read(statement, config),
            "refclock" => refclock::read(statement, config, &mut self.set_up),
            "ratelimit" | "cmdratelimit" | "ntsratelimit" => limits::read(statement, config),
            "sourcedir" => {
                let directories = statement.line.words.len() - 1;
                if (1..=DIRECTORIES_MAX).contains(&directories) {
                    let paths = statement.line.arguments().map(str::to_owned);
                    config.source_dirs.push(paths.collect());
                } else {
                    let message = "sourcedir directive has no effect".to_owned();
                    let help = format!("it takes 1 to {DIRECTORIES_MAX} directories");
                    statement.warn(0, message, &help);
                }
                Ok(())
            }
            _ => listed::read(statement, config),
        }
    }
}

/// Says that a directive has an error, which has been reported.
#[derive(Debug)]
pub(super) struct Refused;

/// One directive while it is read.
pub(super) struct Statement<'a, 'l> {
    line: &'a Line<'l>,
    directive: &'static Directive,
    reports: &'a mut Reports,
}

impl Statement<'_, '_> {
    fn error<T>(&mut self, word: usize, message: String, help: &str) -> Result<T, Refused> {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.reports
            .report(Severity::Error, self.line, word, message, help);
        Err(Refused)
    }

    fn warn(&mut self, word: usize, message: String, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.reports
            .report(Severity::Warning, self.line, word, message, help);
    }

    /// Refuses the word at an index as chronyd refuses most things.
    fn unparsable<T>(&mut self, word: usize, help: &str) -> Result<T, Refused> {
        let message = format!("Could not parse {} directive", self.directive.name);
        self.error(word, message, help)
    }

    /// Returns the word at an index, which counting has shown to be there.
    fn word(&self, index: usize) -> &str {
        self.line.word(index).unwrap_or_default()
    }

    /// Reads the word at an index as an integer, which must be all of it and in range.
    fn integer(&mut self, word: usize, min: i64, max: i64) -> Result<i64, Refused> {
        let help = format!("it takes an integer from {min} to {max}");
        let value = integer(self.word(word)).filter(|value| *value != i64::MAX && *value != i64::MIN);
        match value {
            None => self.unparsable(word, &help),
            Some(value) if (min..=max).contains(&value) => Ok(value),
            Some(value) => {
                let name = self.directive.name;
                let message = format!("Invalid value {value} in {name} directive (min {min}, max {max})");
                self.error(word, message, "")
            }
        }
    }

    /// Reads the word at an index as a number. Of a number out of range the nearest in range is
    /// taken, with a warning; `None` is what is no number, `nan`.
    fn number(&mut self, word: usize, min: f64, max: f64) -> Result<Option<f64>, Refused> {
        let Some((value, rest)) = number_prefix(self.word(word)) else {
            return self.unparsable(word, "it takes a decimal number");
        };
        let rest = rest.to_owned();
        if value.is_nan() {
            let message = format!("{} directive has no effect", self.directive.name);
            self.warn(word, message, "nan is no number");
            return Ok(None);
        }
        if !rest.is_empty() {
            let message = format!("{rest} after the number is not read");
            self.warn(word, message, "numbers have no unit");
        }
        let taken = value.clamp(min, max);
        if taken != value {
            let message = format!("{} is out of range", self.word(word));
            self.warn(word, message, &format!("timeballd takes {taken:?} instead"));
        }
        Ok(Some(taken))
    }

    /// Reads the word at an index as a number of any size and sign.
    fn any_number(&mut self, word: usize) -> Result<Option<f64>, Refused> {
        self.number(word, -NUMBER_MAX, NUMBER_MAX)
    }

    /// Looks that the word at an index is a number to its end, where more numbers follow.
    fn is_whole_number(&mut self, word: usize) -> Result<(), Refused> {
        match number_prefix(self.word(word)) {
            Some((_, "")) => Ok(()),
            _ => self.unparsable(word, "it takes a decimal number"),
        }
    }

    /// Says what timeballd does not do.
    fn say_if_not_supported(&mut self) {
        let name = self.directive.name;
        let message = format!("{name} directive is not supported");
        let is_off = self.directive.default == self.word(1) && !self.directive.default.is_empty();
        match self.directive.support {
            Support::Full | Support::Idle => {}
            Support::LeftOut | Support::Refused if is_off => {}
            Support::LeftOut => self.warn(0, message, "timeballd goes on without"),
            Support::Refused => {
                // The error has been reported; there is nothing to give up here.
                let _ = self.error::<()>(0, message, "remove the line to start without");
            }
        }
    }
}
