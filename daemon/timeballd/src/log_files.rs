//! Logs of measurements: one file each, with a heading that comes again every so many lines.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use conf::config::Logs;
use engine::io::LogFile;
use os::reason;

/// The open log files.
#[derive(Debug)]
pub(crate) struct LogFiles {
    directory: Option<PathBuf>,
    /// After how many lines the heading is repeated; 0 is never.
    banner_lines: u32,
    open: BTreeMap<LogFile, Open>,
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
        }
    }

    /// Writes a line at the end of a log, below its heading.
    ///
    /// # Errors
    /// What the system says, with the file's name.
    pub(crate) fn write(&mut self, log: LogFile, line: &str) -> Result<(), String> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        let (name, heading, width) = of(log);
        let path = directory.join(name);
        let said = |error: io::Error| format!("Could not write {} : {}", path.display(), reason(&error));
        let open = match self.open.entry(log) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                let file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&path)
                    .map_err(said)?;
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
        open.file.write_all(text.as_bytes()).map_err(said)
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
            logs.write(LogFile::Tracking, line).unwrap();
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
        logs.write(LogFile::Tracking, "one").unwrap();
        logs.close();
        logs.write(LogFile::Tracking, "two").unwrap();
        assert_eq!(lines(&folder), ["one", "two"]);
    }

    #[test]
    fn a_closed_file_may_have_been_moved() {
        let (folder, mut logs) = logs(32);
        logs.write(LogFile::Tracking, "one").unwrap();
        std::fs::rename(folder.path().join("tracking.log"), folder.path().join("old")).unwrap();
        logs.close();
        logs.write(LogFile::Tracking, "two").unwrap();
        assert_eq!(lines(&folder).last().unwrap(), "two");
    }

    #[test]
    fn without_a_directory_nothing_is_written_and_a_wrong_one_is_said() {
        LogFiles::new(&Logs::default())
            .write(LogFile::Selection, "line")
            .unwrap();
        let dir = Some("/nowhere".to_owned());
        let mut logs = LogFiles::new(&Logs {
            dir,
            ..Logs::default()
        });
        assert_eq!(
            logs.write(LogFile::Selection, "line").unwrap_err(),
            "Could not write /nowhere/selection.log : No such file or directory"
        );
    }
}
