//! ntpd's files of statistics: one for ever or one for each day, the newest under the name without a date too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use conf::config::{Statistics, StatisticsFile, StatisticsKind};
use os::files::append;
use os::reason;
use units::UnixTime;

use crate::log_files::Change;

/// The permissions of the files (observed with NTPsec 1.2.2).
const FILE_MODE: u32 = 0o644;

/// The files that are asked for.
#[derive(Debug, Default)]
pub(crate) struct StatisticsFiles {
    directory: PathBuf,
    files: BTreeMap<StatisticsKind, StatisticsFile>,
    /// Those that are open, by path.
    open: BTreeMap<StatisticsKind, (PathBuf, File)>,
    /// Those whose last line could not be written.
    failing: BTreeSet<StatisticsKind>,
}

impl StatisticsFiles {
    /// A file is opened when its first line comes.
    pub(crate) fn new(statistics: &Statistics) -> Self {
        Self {
            directory: statistics.dir.as_deref().unwrap_or_default().into(),
            files: statistics.files.clone(),
            ..Self::default()
        }
    }

    /// Writes a line that belongs to the day of `at`. Returns what is to be said of that: something when it begins to
    /// fail, and when it works again.
    pub(crate) fn write(&mut self, kind: StatisticsKind, at: UnixTime, line: &str) -> Option<Change> {
        let file = self.files.get(&kind)?;
        let base = self.directory.join(&file.name);
        let path = match file.is_daily {
            true => with_suffix(&base, &day(at)),
            false => base.clone(),
        };
        let link = (file.is_daily && file.has_link).then_some(base);
        match self.try_write(kind, &path, link.as_deref(), line) {
            Ok(()) => {
                let works = || Change::Works(format!("{} is written again", path.display()));
                self.failing.remove(&kind).then(works)
            }
            Err((tried, error)) => {
                self.open.remove(&kind);
                let why = reason(&error);
                let fails = || Change::Fails(format!("Could not {tried} {} : {why}", path.display()));
                self.failing.insert(kind).then(fails)
            }
        }
    }

    /// An error has before it what was tried.
    fn try_write(
        &mut self,
        kind: StatisticsKind,
        path: &Path,
        link: Option<&Path>,
        line: &str,
    ) -> Result<(), (&'static str, io::Error)> {
        if self.open.get(&kind).is_none_or(|(open, _)| open != path) {
            let file = append(path, FILE_MODE).map_err(|error| ("open", error))?;
            self.open.insert(kind, (path.to_owned(), file));
            if let Some(link) = link {
                make_link(path, link).map_err(|error| ("write", error))?;
            }
        }
        match self.open.get_mut(&kind) {
            Some((_, file)) => file
                .write_all(format!("{line}\n").as_bytes())
                .map_err(|error| ("write", error)),
            None => Ok(()),
        }
    }

    /// Closes all; they are opened anew by their next line.
    pub(crate) fn close(&mut self) {
        self.open.clear();
    }
}

/// The end of the name of the file of a day.
fn day(at: UnixTime) -> String {
    let date = at.date_time();
    let date = date.split(' ').next().unwrap_or_default();
    format!(".{}", date.replace('-', ""))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Makes the name without a date another name of the file. What had it before goes if it was such a name, and is kept under
/// another if it is a file of its own.
fn make_link(path: &Path, link: &Path) -> io::Result<()> {
    match fs::symlink_metadata(link) {
        Ok(found) if found.is_file() && found.nlink() == 1 => {
            fs::rename(link, with_suffix(link, &format!(".{}", std::process::id())))?;
        }
        Ok(_) => fs::remove_file(link)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::hard_link(path, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-02, so many seconds after its beginning.
    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(1_767_312_000 + seconds)
    }

    fn files(folder: &Path, is_daily: bool, has_link: bool) -> StatisticsFiles {
        let file = StatisticsFile {
            name: "loop".to_owned(),
            is_daily,
            has_link,
        };
        StatisticsFiles::new(&Statistics {
            dir: Some(folder.to_str().unwrap().to_owned()),
            files: BTreeMap::from([(StatisticsKind::Loop, file)]),
        })
    }

    /// What is in the directory: names, each with its text.
    fn found(folder: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let text = |entry: &fs::DirEntry| fs::read_to_string(entry.path()).unwrap();
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), text(&entry)))
            .collect()
    }

    fn expected(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        let files = files.iter();
        files
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn every_day_has_its_file_and_the_newest_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path(), true, true);
        for (seconds, line) in [(0, "one"), (86_399, "two"), (86_400, "three")] {
            assert_eq!(files.write(StatisticsKind::Loop, at(seconds), line), None);
        }
        assert_eq!(files.write(StatisticsKind::Peer, at(0), "not asked for"), None);
        assert_eq!(
            found(folder.path()),
            expected(&[
                ("loop", "three\n"),
                ("loop.20260102", "one\ntwo\n"),
                ("loop.20260103", "three\n"),
            ])
        );
    }

    #[test]
    fn a_file_that_has_the_name_of_the_newest_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("loop"), "of somebody\n").unwrap();
        let mut files = files(folder.path(), true, true);
        assert_eq!(files.write(StatisticsKind::Loop, at(0), "one"), None);
        let kept = format!("loop.{}", std::process::id());
        assert_eq!(
            found(folder.path()),
            expected(&[
                ("loop", "one\n"),
                ("loop.20260102", "one\n"),
                (&kept, "of somebody\n")
            ])
        );
    }

    #[test]
    fn one_file_for_ever_is_what_type_none_means_and_no_other_name_nolink() {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path(), false, true).write(StatisticsKind::Loop, at(0), "one");
        let mut again = files(folder.path(), false, true);
        assert_eq!(again.write(StatisticsKind::Loop, at(86_400), "two"), None);
        again.close();
        assert_eq!(again.write(StatisticsKind::Loop, at(86_400), "three"), None);
        assert_eq!(found(folder.path()), expected(&[("loop", "one\ntwo\nthree\n")]));
        let folder = tempfile::tempdir().unwrap();
        files(folder.path(), true, false).write(StatisticsKind::Loop, at(0), "one");
        assert_eq!(found(folder.path()), expected(&[("loop.20260102", "one\n")]));
    }

    #[test]
    fn that_it_cannot_be_written_is_said_once() {
        let mut files = files(Path::new("/nowhere"), false, false);
        let said = "Could not open /nowhere/loop : No such file or directory".to_owned();
        assert_eq!(
            files.write(StatisticsKind::Loop, at(0), "one"),
            Some(Change::Fails(said))
        );
        assert_eq!(files.write(StatisticsKind::Loop, at(0), "two"), None);
    }
}
