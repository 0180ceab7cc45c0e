//! The configuration that is meant: where its text is, in which language, what the arguments change of it, and what is
//! said of its mistakes.

use conf::config::{Config, Family, LogKind, PathSetting};
use conf::diagnostic::{Diagnostic, Severity as Weight, Span};
use conf::dialect::{Dialect, Reading};
use conf::include::{ReadError, Reader};
use engine::io::Severity;
use os::AddressFamily;

use crate::args::{Arguments, Once};
use crate::files::{ConfigurationFiles, SourceFiles};
use crate::identity::{CommandLine, Identity};
use crate::log::Log;

/// The name of the lines that the arguments of ntpd become, as a file.
const COMMAND_LINE: &str = "command line";

/// The configuration before it is read: once, because it may come through a pipe.
pub(crate) struct ConfigurationText {
    /// The language.
    pub dialect: Dialect,
    /// Where it comes from; empty for arguments of the program.
    pub path: String,
    content: Result<String, ReadError>,
    /// Lines that count beside those of the file.
    directives: String,
    /// What is said of a file that is not there, where that is no reason not to start.
    pub missing: Option<String>,
    /// Whether the language follows from nothing but the text.
    pub is_guessed: bool,
}

impl ConfigurationText {
    /// Finds the configuration that is meant, and its language: that which was said, or else that of the program's name, or
    /// else that of the file. What the environment names may be in any language: there that of the program's name counts unless
    /// the text says that it is another one.
    pub(crate) fn find(identity: &Identity, arguments: &Arguments) -> Self {
        let directives = arguments.directives.join("\n");
        if !arguments.directives.is_empty() && identity.command_line == CommandLine::Chrony {
            let said = arguments.dialect.or(identity.dialect);
            return Self {
                dialect: said.unwrap_or(Dialect::Chrony),
                path: String::new(),
                content: Ok(directives),
                directives: String::new(),
                missing: None,
                is_guessed: false,
            };
        }
        let named = identity
            .config_file_named
            .then(Identity::named_config_file)
            .flatten()
            .filter(|_| arguments.config_file.is_none());
        let usual = || identity.config_file(&ConfigurationFiles);
        let asked = arguments.config_file.as_deref().or(named.as_deref());
        let path = asked.unwrap_or_else(usual);
        let mut content = ConfigurationFiles.read_file(path);
        let mut missing = None;
        if identity.command_line == CommandLine::Ntpd && content == Err(ReadError::NotFound) {
            // ntpd then has what is on its command line, and its own rules.
            missing = Some(format!("failed to open '{path}': {}", ReadError::NotFound));
            content = Ok(String::new());
        }
        let text = content.as_deref().unwrap_or_default();
        let (dialect, is_guessed) = match (arguments.dialect, identity.dialect) {
            (Some(said), _) => (said, false),
            (None, Some(of_name)) if named.is_none() => (of_name, false),
            (None, None) => (Dialect::of_file(path, text), true),
            (None, Some(of_name)) => {
                let told = of_name.or_of_text(text);
                (told, of_name != told)
            }
        };
        Self {
            dialect,
            path: path.to_owned(),
            content,
            directives,
            missing,
            is_guessed,
        }
    }

    /// Finds the configuration that was found at the start as it is now, in the language of then. It comes from a file or
    /// not at all: the daemon that runs waits for nobody.
    ///
    /// # Errors
    /// The text looks like one of another language, where nothing but the text said which it is.
    pub(crate) fn again(
        path: &str,
        dialect: Dialect,
        is_guessed: bool,
        arguments: &Arguments,
    ) -> (Self, Result<(), String>) {
        let directives = arguments.directives.join("\n");
        let (content, directives) = match path {
            "" => (Ok(directives), String::new()),
            path => (SourceFiles.read_file(path), directives),
        };
        let text = content.as_deref().unwrap_or_default();
        let looks = dialect.or_of_text(text);
        let same = if is_guessed && looks != dialect {
            Err(format!(
                "it looks like the language {looks}, and was in {dialect} at the start (a restart takes it as it is, \
                 --dialect says which it is)"
            ))
        } else {
            Ok(())
        };
        let text = Self {
            dialect,
            path: path.to_owned(),
            content,
            directives,
            missing: None,
            is_guessed,
        };
        (text, same)
    }

    /// Says in which language it is taken, where that was guessed and is not the program's own.
    pub(crate) fn guess(&self) -> Option<String> {
        let Self { dialect, path, .. } = self;
        let (taken, is_told) = (dialect.file(), "--dialect says if it is another");
        match dialect {
            Dialect::Chrony => None,
            Dialect::Ntpd => Some(format!(
                "Taking {path} for {taken}: everybody may ask for the time unless its rules say otherwise ({is_told})"
            )),
            Dialect::OpenNtpd => Some(format!("Taking {path} for {taken} ({is_told})")),
        }
        .filter(|_| self.is_guessed)
    }

    /// Reads it, from the arguments or from the file. What becomes of each line is told of other languages than chrony's.
    pub(crate) fn parse(&self, arguments: &Arguments) -> Reading {
        let (config, mut diagnostics) = match self.dialect {
            Dialect::Chrony if self.path.is_empty() => {
                conf::chrony::parse_arguments(&arguments.directives, self)
            }
            Dialect::Chrony => conf::chrony::parse(&self.path, self),
            Dialect::Ntpd | Dialect::OpenNtpd => return self.read(),
        };
        self.name_another(&mut diagnostics);
        Reading {
            config,
            diagnostics,
            lines: Vec::new(),
        }
    }

    /// Adds to the mistakes of a file in chrony's language that it looks like one of another, if it does. With the others that
    /// is part of reading them.
    pub(crate) fn name_another(&self, problems: &mut Vec<Diagnostic>) {
        if let Ok(text) = &self.content
            && !self.path.is_empty()
            && first_error(problems).is_some()
        {
            problems.extend(self.dialect.looks_like_another(&self.path, text));
        }
    }

    /// Finds the last line of a directive, which is chrony's: where it is, and what stands there without white space around it.
    pub(crate) fn last_line_of(&self, directive: &str, arguments: &Arguments) -> Option<(Span, String)> {
        let is_one = |line: &str| {
            let first = line.split_whitespace().next().unwrap_or_default();
            first.eq_ignore_ascii_case(directive)
        };
        if self.dialect != Dialect::Chrony {
            return None;
        }
        if !self.path.is_empty() {
            let lines = self.dialect.read(&self.path, self).lines;
            let line = lines.into_iter().rfind(|line| is_one(&line.text))?;
            return Some((line.span, line.text));
        }
        let lines = arguments.directives.iter().zip(1..);
        let (line, number) = lines.filter(|(line, _)| is_one(line)).last()?;
        let span = Span {
            line: number,
            ..Span::of_file("".into())
        };
        Some((span, line.trim().to_owned()))
    }

    /// Reads it in its language, which is not chrony's, with what becomes of each line.
    pub(crate) fn read(&self) -> Reading {
        let mut further = self.dialect.further_files(&self.path, self);
        if !self.directives.is_empty() {
            further.push(COMMAND_LINE.to_owned());
        }
        self.dialect.read_with(&self.path, &further, self)
    }
}

impl Reader for ConfigurationText {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        if path == self.path {
            self.content.clone()
        } else if path == COMMAND_LINE {
            Ok(self.directives.clone())
        } else {
            // Only the file that was said may come through a pipe, at the start; one that lies in a directory holds the start up for ever.
            SourceFiles.read_file(path)
        }
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        ConfigurationFiles.list_dir(path)
    }
}

/// What is asked of the daemon, by its arguments and by those settings that others have as arguments.
pub(crate) fn with_settings(arguments: &Arguments, config: &Config) -> Arguments {
    let log_file = arguments.log_file.clone();
    let is_silent = arguments.logs_to_stderr();
    let configured = config.process.log_file.clone().filter(|_| !is_silent);
    Arguments {
        observe: arguments.observe || config.clock.observe,
        log_file: log_file.or(configured),
        ..arguments.clone()
    }
}

/// Makes the configuration what the arguments want it to be.
pub(crate) fn adapt(config: &mut Config, arguments: &Arguments) {
    if let Some(path) = &arguments.pid_file {
        config.process.pid_file = PathSetting::Path(path.clone());
    }
    if let Some(limit) = &mut config.clock.max_change
        && arguments.any_first_offset
    {
        limit.start = limit.start.max(1);
    }
    config.clock.step_first |= arguments.step_first;
    let family = match arguments.family {
        AddressFamily::Any => None,
        AddressFamily::Ipv4 => Some(Family::V4),
        AddressFamily::Ipv6 => Some(Family::V6),
    };
    for source in &mut config.sources {
        source.family = source.family.or(family);
    }
    config.family = family;
    if arguments.restart {
        config.initial_step = None;
        config.clock.make_step = config.clock.make_step.filter(|step| step.limit.is_none());
    }
    if arguments.once.is_some() {
        // Nobody is answered by a daemon that ends in some seconds; with -Q it does not even say that it is there.
        config.server.access.clear();
        config.server.restrictions = None;
        config.server.broadcasts.clear();
        config.control.port = 0;
        config.control.socket = PathSetting::Disabled;
    }
    if arguments.once == Some(Once::Log) {
        config.process.pid_file = PathSetting::Disabled;
    }
    if config.logs.dir.is_none() {
        config.logs.kinds.clear();
    }
    if config.logs.kinds.contains(&LogKind::RawMeasurements) {
        config.logs.kinds.insert(LogKind::Measurements);
    }
}

/// Logs what is wrong with the configuration. chronyd says nothing after the first error.
///
/// # Errors
/// Why the daemon cannot start with it, as a line for the log.
pub(crate) fn report(
    problems: &[Diagnostic],
    dialect: Dialect,
    arguments: &Arguments,
    log: &mut Log,
) -> Result<(), String> {
    if dialect == Dialect::Ntpd {
        return report_all(problems, arguments.tolerant, log);
    }
    for problem in problems {
        match problem.severity {
            Weight::Error => return Err(problem.as_original()),
            Weight::Warning | Weight::Skipped => log.warn(&problem.as_original()),
        }
    }
    Ok(())
}

/// Logs everything that is wrong, with its place and what to do about it.
fn report_all(problems: &[Diagnostic], tolerant: bool, log: &mut Log) -> Result<(), String> {
    let mut errors = 0;
    let is_rule = |problem: &Diagnostic| problem.line_text.trim_start().starts_with("restrict");
    for problem in problems {
        let Diagnostic {
            severity,
            span,
            message,
            help,
            ..
        } = problem;
        let help = help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        let line = format!("{span}: {}: {message}{help}", weight(*severity));
        match severity {
            Weight::Warning => log.warn(&line),
            Weight::Skipped => log.write(Severity::Error, &line),
            Weight::Error => {
                // Such a rule is there as the strictest that it can have meant.
                if !(tolerant && is_rule(problem)) {
                    errors += problem.count();
                }
                log.write(Severity::Error, &line);
            }
        }
    }
    if errors > 0 {
        return Err(format!(
            "Not started : {errors} of these errors would let others do what they shall not"
        ));
    }
    Ok(())
}

/// The line with which a daemon does not start; it says nothing of errors after the first.
fn first_error(problems: &[Diagnostic]) -> Option<&Diagnostic> {
    let first = problems.iter().find(|problem| problem.severity == Weight::Error);
    first.filter(|problem| problem.span.line > 0)
}

/// How it is shown: the line with a caret below what is wrong, and what is said of the file as a whole.
pub(crate) fn shown_error(problems: &[Diagnostic]) -> Option<String> {
    let error = first_error(problems)?;
    let of_file = problems.iter().skip_while(|problem| *problem != error);
    let of_file = of_file.filter(|problem| {
        problem.severity == Weight::Warning && problem.span.line == 0 && problem.unshown == 0
    });
    let shown: Vec<String> = [error]
        .into_iter()
        .chain(of_file)
        .map(ToString::to_string)
        .collect();
    Some(shown.join("\n"))
}

/// How a problem is called in messages.
pub(crate) const fn weight(severity: Weight) -> &'static str {
    match severity {
        Weight::Warning => "warning",
        Weight::Skipped | Weight::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use conf::chrony;

    use super::*;

    /// A file that is there.
    struct Only(String);

    impl Reader for Only {
        fn read_file(&self, _path: &str) -> Result<String, ReadError> {
            Ok(self.0.clone())
        }

        fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn beside_the_first_error_only_what_is_said_of_the_file_is_shown() {
        let text = format!("foo\n{}", "maxclockerror 1e15\n".repeat(2000));
        let (_, problems) = chrony::parse("/main", &Only(text));
        assert_eq!(problems.last().map(|notice| notice.unshown), Some(1000));
        let shown = shown_error(&problems).unwrap();
        assert!(shown.starts_with("/main:1:1: Invalid directive foo\n"), "{shown}");
        assert_eq!(shown.lines().count(), 4, "{shown}");
    }
}
