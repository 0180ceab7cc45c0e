//! Logs of measurements: one file each, with a heading that comes again every so many lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use conf::config::Logs;
use engine::io::LogFile;
use os::files::append;
use os::reason;

/// The permissions of the files.
const FILE_MODE: u32 = 0o644;

/// The open log files.
#[derive(Debug)]
pub(crate) struct LogFiles {
    directory: Option<PathBuf>,
    /// After how many lines the heading is repeated; 0 is never.
    banner_lines: u32,
    open: BTreeMap<LogFile, Open>,
    /// Those whose last line could not be written.
    failing: BTreeSet<LogFile>,
}

/// What is worth a line in the daemon's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A log cannot be written any more, and why.
    Fails(String),
    /// It can again.
    Works(String),
}

/// One that is open.
#[derive(Debug)]
struct Open {
    file: File,
    /// How many lines were written since the last heading.
    lines: u32,
}

impl LogFiles {
    /// Makes the logs that are asked for; a file is opened when its first line comes.
    pub(crate) fn new(logs: &Logs) -> Self {
        Self {
            directory: logs.dir.as_ref().map(PathBuf::from),
            banner_lines: logs.banner_lines,
            open: BTreeMap::new(),
            failing: BTreeSet::new(),
        }
    }

    /// Writes a line at the end of a log, below its heading. Returns what is to be said of that: something when it
    /// begins to fail, and when it works again.
    pub(crate) fn write(&mut self, log: LogFile, line: &str) -> Option<Change> {
        let path = self.directory.as_ref()?.join(of(log).0);
        match self.try_write(log, &path, line) {
            Ok(()) => self
                .failing
                .remove(&log)
                .then(|| Change::Works(format!("{} is written again", path.display()))),
            Err((tried, error)) => {
                // It is opened anew by the next line, which has a heading: lines are missing above it.
                self.open.remove(&log);
                let why = reason(&error);
                self.failing
                    .insert(log)
                    .then(|| Change::Fails(format!("Could not {tried} {} : {why}", path.display())))
            }
        }
    }

    /// An error has before it what was tried.
    fn try_write(&mut self, log: LogFile, path: &Path, line: &str) -> Result<(), (&'static str, io::Error)> {
        let (_, heading, width) = of(log);
        let open = match self.open.entry(log) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                let file = append(path, FILE_MODE).map_err(|error| ("open", error))?;
                vacant.insert(Open { file, lines: 0 })
            }
        };
        let mut text = String::new();
        if self.banner_lines > 0 && open.lines.is_multiple_of(self.banner_lines) {
            let rule = "=".repeat(width);
            text = format!("{rule}\n{heading}\n{rule}\n");
        }
        open.lines = open.lines.wrapping_add(1);
        text.push_str(line);
        text.push('\n');
        open.file
            .write_all(text.as_bytes())
            .map_err(|error| ("write", error))
    }

    /// Closes all; they are opened anew by their next line.
    pub(crate) fn close(&mut self) {
        self.open.clear();
    }
}

/// The name of a log's file, its heading, and the width of the rules around that.
fn of(log: LogFile) -> (&'static str, &'static str, usize) {
    match log {
        LogFile::Measurements => (
            "measurements.log",
            "   Date (UTC) Time     IP Address   L St 123 567 ABCD  LP RP Score    Offset  Peer del. Peer disp.  \
             Root del. Root disp. Refid     MTxRx",
            136,
        ),
        LogFile::Statistics => (
            "statistics.log",
            "   Date (UTC) Time     IP Address    Std dev'n Est offset  Offset sd  Diff freq   Est skew  Stress  \
             Ns  Bs  Nr  Asym",
            116,
        ),
        LogFile::Tracking => (
            "tracking.log",
            "   Date (UTC) Time     IP Address   St   Freq ppm   Skew ppm     Offset L Co  Offset sd Rem. corr. \
             Root delay Root disp. Max. error",
            131,
        ),
        LogFile::Selection => (
            "selection.log",
            "   Date (UTC) Time     IP Address   S EOpts Reach Score Last sample  Low end   High end",
            87,
        ),
        LogFile::Rtc => (
            "rtc.log",
            "   Date (UTC) Time   RTC fast (s) Val   Est fast (s)   Slope (ppm)  Ns  Nr Meas",
            79,
        ),
        LogFile::RefClocks => (
            "refclocks.log",
            "   Date (UTC) Time         Refid  DP L P  Raw offset   Cooked offset      Disp.",
            79,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(banner_lines: u32) -> (tempfile::TempDir, LogFiles) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Some(folder.path().to_str().unwrap().to_owned());
        let logs = LogFiles::new(&Logs {
            dir,
            banner_lines,
            ..Logs::default()
        });
        (folder, logs)
    }

    fn lines(folder: &tempfile::TempDir) -> Vec<String> {
        let text = std::fs::read_to_string(folder.path().join("tracking.log")).unwrap();
        text.lines().map(|line| line.chars().take(5).collect()).collect()
    }

    #[test]
    fn the_heading_comes_again() {
        let (folder, mut logs) = logs(2);
        for line in ["one", "two", "three"] {
            assert_eq!(logs.write(LogFile::Tracking, line), None);
        }
        assert_eq!(
            lines(&folder),
            [
                "=====", "   Da", "=====", "one", "two", "=====", "   Da", "=====", "three"
            ]
        );
    }

    #[test]
    fn the_heading_can_be_left_out() {
        let (folder, mut logs) = logs(0);
        assert_eq!(logs.write(LogFile::Tracking, "one"), None);
        logs.close();
        assert_eq!(logs.write(LogFile::Tracking, "two"), None);
        assert_eq!(lines(&folder), ["one", "two"]);
    }

    #[test]
    fn a_closed_file_may_have_been_moved() {
        let (folder, mut logs) = logs(32);
        assert_eq!(logs.write(LogFile::Tracking, "one"), None);
        std::fs::rename(folder.path().join("tracking.log"), folder.path().join("old")).unwrap();
        logs.close();
        assert_eq!(logs.write(LogFile::Tracking, "two"), None);
        assert_eq!(lines(&folder).last().unwrap(), "two");
    }

    #[test]
    fn without_a_directory_nothing_is_written_and_a_wrong_one_is_said() {
        assert_eq!(
            LogFiles::new(&Logs::default()).write(LogFile::Selection, "line"),
            None
        );
        let dir = Some("/nowhere".to_owned());
        let mut logs = LogFiles::new(&Logs {
            dir,
            ..Logs::default()
        });
        let said = "Could not open /nowhere/selection.log : No such file or directory".to_owned();
        assert_eq!(logs.write(LogFile::Selection, "line"), Some(Change::Fails(said)));
    }

    #[test]
    fn that_a_file_cannot_be_written_is_said_once_and_that_it_can_again() {
        let (folder, mut logs) = logs(32);
        let path = folder.path().join("tracking.log");
        // As a disk without room is one.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let fails = Change::Fails(format!(
            "Could not write {} : No space left on device",
            path.display()
        ));
        assert_eq!(logs.write(LogFile::Tracking, "one"), Some(fails.clone()));
        assert_eq!(logs.write(LogFile::Tracking, "two"), None);
        assert_eq!(logs.write(LogFile::Selection, "another"), None);
        std::fs::remove_file(&path).unwrap();
        let works = Change::Works(format!("{} is written again", path.display()));
        assert_eq!(logs.write(LogFile::Tracking, "three"), Some(works));
        assert_eq!(logs.write(LogFile::Tracking, "four"), None);
        assert_eq!(lines(&folder), ["=====", "   Da", "=====", "three", "four"]);
        logs.close();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        assert_eq!(logs.write(LogFile::Tracking, "five"), Some(fails));
    }
}
