//! The daemon's log: stderr, a file, or the system's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use conf::config::{LogTopics, Topic};
use engine::io::Severity;
use os::files::append;
use os::syslog::{self, Priority};
use os::{Clock, reason};
use units::UnixTime;

use crate::identity::CommandLine;

/// The permissions of a log file.
const FILE_MODE: u32 = 0o640;

/// What is stderr, as a file.
const STDERR: &str = "/proc/self/fd/2";

/// Where lines go.
#[derive(Debug)]
enum Target {
    Stderr,
    /// The pipe that stderr is, opened once more for nobody to wait: others that have it may want to.
    Pipe(File),
    File(PathBuf, File),
    System,
}

/// The daemon's log.
#[derive(Debug)]
pub(crate) struct Log {
    target: Target,
    threshold: Severity,
    /// What is logged beside problems.
    topics: LogTopics,
    /// How many lines could not be written since the last that could.
    lost: u64,
    clock: Clock,
    /// Whose lines they look like.
    style: CommandLine,
}

impl Log {
    /// A log on stderr, with the time before every line. Where that is a pipe which nobody empties, as in a container whose
    /// runtime is stuck, lines are lost and the daemon goes on.
    pub(crate) fn to_stderr(threshold: Severity) -> Self {
        let is_pipe = fs::metadata(STDERR).is_ok_and(|stderr| stderr.file_type().is_fifo());
        let pipe = is_pipe.then(|| append(Path::new(STDERR), FILE_MODE).ok());
        Self::to(pipe.flatten().map_or(Target::Stderr, Target::Pipe), threshold)
    }

    /// A log at the end of a file, with the time before every line.
    ///
    /// # Errors
    /// What the system says of the file.
    pub(crate) fn to_file(path: &str, threshold: Severity) -> io::Result<Self> {
        let file = append(Path::new(path), FILE_MODE)?;
        Ok(Self::to(Target::File(path.into(), file), threshold))
    }

    /// Goes on in a new file where the old one has been moved, as those do who keep logs from growing. If none can be opened
    /// the old one goes on.
    pub(crate) fn reopen(&mut self) {
        let Target::File(path, file) = &mut self.target else {
            return;
        };
        match append(path, FILE_MODE) {
            Ok(new) => *file = new,
            Err(error) => {
                let line = format!(
                    "Could not open {} : {}, the log goes on in the old file",
                    path.display(),
                    reason(&error)
                );
                self.warn(&line);
            }
        }
    }

    /// The system's log, where the daemon has this name.
    pub(crate) fn to_system(name: &str, threshold: Severity) -> Self {
        syslog::open(name);
        Self::to(Target::System, threshold)
    }

    fn to(target: Target, threshold: Severity) -> Self {
        Self {
            target,
            threshold,
            topics: LogTopics::default(),
            lost: 0,
            clock: Clock::new(),
            style: CommandLine::Chrony,
        }
    }

    /// The same log with lines that begin as those of another daemon.
    #[must_use]
    pub(crate) fn like(self, style: CommandLine) -> Self {
        Self { style, ..self }
    }

    /// From now on only messages about these are logged, and problems.
    pub(crate) fn limit(&mut self, topics: LogTopics) {
        self.topics = topics;
    }

    /// Whether what is written is as OpenNTPD has it.
    pub(crate) fn is_openntpd(&self) -> bool {
        self.style == CommandLine::OpenNtpd
    }

    /// Whether whoever looks at stderr sees what is written.
    pub(crate) fn is_on_stderr(&self) -> bool {
        match &self.target {
            Target::Stderr | Target::Pipe(_) => true,
            Target::File(_, file) => match (file.metadata(), fs::metadata(STDERR)) {
                (Ok(file), Ok(stderr)) => (file.dev(), file.ino()) == (stderr.dev(), stderr.ino()),
                _ => false,
            },
            Target::System => false,
        }
    }

    /// The system clock, as the log reads it.
    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now().wall
    }

    /// Writes a line about the daemon itself, if it matters enough.
    pub(crate) fn write(&mut self, severity: Severity, text: &str) {
        self.write_about(Topic::System, severity, text);
    }

    /// Writes a line, if it matters enough and is a problem or about what is logged. Where the log is OpenNTPD's, which has
    /// words of its own for everything else ([`Self::say`]), only problems are left.
    pub(crate) fn write_about(&mut self, topic: Topic, severity: Severity, text: &str) {
        let is_wanted = !self.is_openntpd() && self.topics.has(topic);
        if severity > Severity::Info || is_wanted {
            self.say(severity, text);
        }
    }

    /// Writes a line whatever it is about, if it matters enough.
    pub(crate) fn say(&mut self, severity: Severity, text: &str) {
        if severity < self.threshold {
            return;
        }
        let text = match (self.style, severity) {
            (CommandLine::Chrony, Severity::Fatal) => format!("Fatal error : {text}"),
            (CommandLine::Ntpd, Severity::Fatal) => format!("ERR: {text}"),
            (CommandLine::OpenNtpd, Severity::Fatal) => format!("fatal: {text}"),
            _ => text.to_owned(),
        };
        if matches!(self.target, Target::System) {
            return syslog::write(priority(severity), &text);
        }
        let mut lines = self.line(&text);
        if self.lost > 0 {
            let lost = self.line(&format!("{} log messages were lost", self.lost));
            lines.insert_str(0, &lost);
        }
        let written = match &mut self.target {
            Target::File(_, file) | Target::Pipe(file) => file.write_all(lines.as_bytes()),
            Target::Stderr | Target::System => io::stderr().write_all(lines.as_bytes()),
        };
        self.lost = if written.is_ok() { 0 } else { self.lost + 1 };
    }

    /// A line with what such lines begin with.
    fn line(&self, text: &str) -> String {
        let now = self.clock.now().wall;
        match self.style {
            CommandLine::Chrony => format!("{now} {text}\n"),
            CommandLine::Ntpd => format!("{now} ntpd[{}]: {text}\n", std::process::id()),
            // Who collects these lines adds the time.
            CommandLine::OpenNtpd => format!("{text}\n"),
        }
    }

    /// Writes a change of state.
    pub(crate) fn info(&mut self, text: &str) {
        self.write(Severity::Info, text);
    }

    /// Writes something an operator should look at.
    pub(crate) fn warn(&mut self, text: &str) {
        self.write(Severity::Warning, text);
    }
}

/// The least severity that a level of `-L` lets through.
pub(crate) fn threshold(level: i32) -> Severity {
    match level {
        ..=-1 => Severity::Debug,
        0 => Severity::Info,
        1 => Severity::Warning,
        2 => Severity::Error,
        3.. => Severity::Fatal,
    }
}

/// How the system's log calls a severity.
fn priority(severity: Severity) -> Priority {
    match severity {
        Severity::Debug => Priority::Debug,
        Severity::Info => Priority::Info,
        Severity::Warning => Priority::Warning,
        Severity::Error => Priority::Error,
        Severity::Fatal => Priority::Critical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_what_matters_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let path = path.to_str().unwrap();
        for threshold in [Severity::Warning, Severity::Info] {
            let mut log = Log::to_file(path, threshold).unwrap();
            log.info("information");
            log.warn("warning");
        }
        Log::to_file(path, threshold(3))
            .unwrap()
            .write(Severity::Fatal, "the end");
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .map(|line| line.split_once("Z ").unwrap().1)
            .collect();
        assert_eq!(
            lines,
            ["warning", "information", "warning", "Fatal error : the end"]
        );
        assert_eq!(text.find('Z'), Some("2026-01-01T00:00:00".len()));
    }

    #[test]
    fn a_file_that_was_moved_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut log = Log::to_file(path("log").to_str().unwrap(), Severity::Info).unwrap();
        log.info("one");
        fs::rename(path("log"), path("log.1")).unwrap();
        log.info("two");
        log.reopen();
        log.info("three");
        // Where none can be made the old one goes on, and says so.
        fs::rename(path("log"), path("log.2")).unwrap();
        fs::create_dir(path("log")).unwrap();
        log.reopen();
        log.info("four");
        let lines = |name: &str| {
            let text = fs::read_to_string(path(name)).unwrap();
            let lines = text
                .lines()
                .map(|line| line.split_once("Z ").unwrap().1.to_owned());
            lines.collect::<Vec<_>>()
        };
        assert_eq!(lines("log.1"), ["one", "two"]);
        let fails = format!(
            "Could not open {} : Is a directory, the log goes on in the old file",
            path("log").display()
        );
        assert_eq!(lines("log.2"), ["three", &fails, "four"]);
    }

    #[test]
    fn lines_begin_as_those_of_the_daemon_whose_name_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for style in [CommandLine::Chrony, CommandLine::Ntpd, CommandLine::OpenNtpd] {
            let log = Log::to_file(path.to_str().unwrap(), Severity::Info).unwrap();
            let mut log = log.like(style);
            log.info("text");
            log.write(Severity::Fatal, "text");
            if log.is_openntpd() {
                log.say(Severity::Info, "its own");
            }
        }
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| match line.split_once("Z ") {
            Some((time, rest)) if time.len() == "2026-01-01T00:00:00".len() => rest.to_owned(),
            _ => format!("without time: {line}"),
        });
        let ntpd = format!("ntpd[{}]:", std::process::id());
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                "text",
                "Fatal error : text",
                &format!("{ntpd} text"),
                &format!("{ntpd} ERR: text"),
                "without time: fatal: text",
                "without time: its own",
            ]
        );
    }

    #[test]
    fn of_what_is_no_problem_only_what_is_asked_for_is_logged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::to_file(path.to_str().unwrap(), Severity::Info).unwrap();
        // syncstatus and peerevents
        for topics in [LogTopics(1 << 14 | 1 << 5), LogTopics::default()] {
            log.limit(topics);
            for topic in [
                Topic::System,
                Topic::Source,
                Topic::SourceEvent,
                Topic::Clock,
                Topic::ClockEvent,
            ] {
                log.write_about(topic, Severity::Info, &format!("{topic:?}"));
            }
            log.warn("a problem");
        }
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| line.split_once("Z ").unwrap().1);
        assert_eq!(
            lines.collect::<Vec<_>>().join(", "),
            "SourceEvent, Clock, a problem, System, Source, SourceEvent, Clock, ClockEvent, a problem"
        );
    }

    #[test]
    fn levels_are_chronys() {
        assert_eq!(
            [-2, -1, 0, 1, 2, 3, 9].map(threshold),
            [
                Severity::Debug,
                Severity::Debug,
                Severity::Info,
                Severity::Warning,
                Severity::Error,
                Severity::Fatal,
                Severity::Fatal,
            ]
        );
    }
}
