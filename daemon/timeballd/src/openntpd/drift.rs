//! The drift file: opened at the start and written in place, so that neither the daemon's user nor a file that is mounted
//! by itself hinders it.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use conf::config::DriftFormat;
use engine::io::Severity;
use os::reason;

use crate::log::Log;

/// The largest drift file that is read, bytes.
const LENGTH_MAX: u64 = 4096;

/// Where the frequency is remembered.
#[derive(Debug)]
pub(crate) struct Drift {
    path: PathBuf,
    file: Option<File>,
    /// It was told that it cannot be written.
    is_told: bool,
}

impl Drift {
    /// Opens the file, or makes it, and says so; also returns what is remembered: by how much the oscillator gains and the
    /// error of that, ppm.
    pub(crate) fn open(path: &Path, log: &mut Log) -> (Self, Option<(f64, f64)>) {
        let shown = path.display();
        let mut known = None;
        let is_there = path.symlink_metadata().is_ok();
        if !is_there {
            log.say(Severity::Error, &format!("creating new {shown}"));
        }
        let file = match os::files::open_own(path) {
            Ok(file) if is_there => {
                let mut text = String::new();
                // What cannot be read is as good as empty.
                let _ = (&file).take(LENGTH_MAX).read_to_string(&mut text);
                known = conf::drift::parse(&text, DriftFormat::OpenNtpd);
                if known.is_none() {
                    log.say(Severity::Warning, &format!("{shown} is empty"));
                }
                Some(file)
            }
            Ok(file) => Some(file),
            Err(error) => {
                if is_there {
                    log.say(
                        Severity::Error,
                        &format!("can't open {shown}: {}", reason(&error)),
                    );
                }
                None
            }
        };
        let drift = Self {
            path: path.to_owned(),
            file,
            is_told: false,
        };
        (drift, known)
    }

    /// Writes by how much the oscillator gains, ppm; says whether there is such a file. That it cannot be written is told
    /// once.
    pub(crate) fn write(&mut self, frequency_ppm: f64, log: &mut Log) -> bool {
        let Some(file) = &mut self.file else { return false };
        let text = conf::drift::print(frequency_ppm, 0.0, DriftFormat::OpenNtpd);
        match replace(file, &text) {
            Ok(()) => self.is_told = false,
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    let line = format!("can't write {}: {}", self.path.display(), reason(&error));
                    log.say(Severity::Warning, &line);
                }
            }
        }
        true
    }
}

/// Makes a text the content of an open file.
fn replace(file: &mut File, text: &str) -> io::Result<()> {
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::CommandLine;

    /// Opens a drift file; returns also what was said.
    fn open(path: &Path, folder: &Path) -> (Drift, Option<(f64, f64)>, String) {
        let file = folder.join("log");
        let mut log = Log::to_file(file.to_str().unwrap(), Severity::Debug)
            .unwrap()
            .like(CommandLine::OpenNtpd);
        let (drift, known) = Drift::open(path, &mut log);
        let said = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(file).unwrap();
        (drift, known, said)
    }

    #[test]
    fn it_is_made_written_in_place_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ntpd.drift");
        let (mut drift, known, said) = open(&path, folder.path());
        assert_eq!(known, None);
        assert_eq!(said, format!("creating new {}\n", path.display()));
        let (_, known, said) = open(&path, folder.path());
        assert_eq!(known, None);
        assert_eq!(said, format!("{} is empty\n", path.display()));

        let mut log = Log::to_stderr(Severity::Fatal).like(CommandLine::OpenNtpd);
        assert!(drift.write(1234.5678, &mut log));
        assert!(drift.write(-12.3456, &mut log));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "12.346\n");
        let (_, known, said) = open(&path, folder.path());
        assert_eq!(known.map(|(gain_ppm, _)| gain_ppm), Some(-12.346));
        assert_eq!(said, "");
    }

    #[test]
    fn what_the_daemons_user_put_in_its_place_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ntpd.drift");
        let other = folder.path().join("other");
        std::fs::write(&other, "12.5\n").unwrap();
        for make in [
            (|other: &Path, path: &Path| std::os::unix::fs::symlink(other, path)) as fn(&Path, &Path) -> _,
            |other, path| std::fs::hard_link(other, path),
            |_, path| std::fs::create_dir(path),
        ] {
            make(&other, &path).unwrap();
            let (mut drift, known, said) = open(&path, folder.path());
            assert_eq!(known, None);
            assert!(
                said.starts_with(&format!("can't open {}: ", path.display())),
                "{said}"
            );
            assert!(!drift.write(
                1.0,
                &mut Log::to_stderr(Severity::Fatal).like(CommandLine::OpenNtpd)
            ));
            let _ = std::fs::remove_file(&path);
        }
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "12.5\n");
    }

    #[test]
    fn where_none_can_be_made_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/ntpd.drift");
        let (mut drift, known, said) = open(&path, folder.path());
        assert_eq!(known, None);
        assert_eq!(said, format!("creating new {}\n", path.display()));
        assert!(!drift.write(
            1.0,
            &mut Log::to_stderr(Severity::Fatal).like(CommandLine::OpenNtpd)
        ));
    }
}
