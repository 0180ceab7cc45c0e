//! The daemon's log: stderr, a file, or the system's.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use engine::io::Severity;
use os::Clock;
use os::syslog::{self, Priority};

/// The permissions of a log file.
const FILE_MODE: u32 = 0o640;

/// Where lines go.
#[derive(Debug)]
enum Target {
    Stderr,
    File(File),
    System,
}

/// The daemon's log.
#[derive(Debug)]
pub(crate) struct Log {
    target: Target,
    threshold: Severity,
    clock: Clock,
}

impl Log {
    /// A log on stderr, with the time before every line.
    pub(crate) fn to_stderr(threshold: Severity) -> Self {
        Self {
            target: Target::Stderr,
            threshold,
            clock: Clock::new(),
        }
    }

    /// A log at the end of a file, with the time before every line.
    ///
    /// # Errors
    /// What the system says of the file.
    pub(crate) fn to_file(path: &str, threshold: Severity) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(path)?;
        Ok(Self {
            target: Target::File(file),
            threshold,
            clock: Clock::new(),
        })
    }

    /// The system's log, where the daemon has this name.
    pub(crate) fn to_system(name: &str, threshold: Severity) -> Self {
        syslog::open(name);
        Self {
            target: Target::System,
            threshold,
            clock: Clock::new(),
        }
    }

    /// Writes a line, if it matters enough.
    pub(crate) fn write(&mut self, severity: Severity, text: &str) {
        if severity < self.threshold {
            return;
        }
        let prefix = if severity == Severity::Fatal {
            "Fatal error : "
        } else {
            ""
        };
        let now = self.clock.now().wall;
        // A log that cannot be written has nowhere to say so.
        let _ = match &mut self.target {
            Target::Stderr => io::stderr().write_all(format!("{now} {prefix}{text}\n").as_bytes()),
            Target::File(file) => file.write_all(format!("{now} {prefix}{text}\n").as_bytes()),
            Target::System => {
                syslog::write(priority(severity), &format!("{prefix}{text}"));
                Ok(())
            }
        };
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
        let text = std::fs::read_to_string(path).unwrap();
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
