//! The daemon's files: configuration, drift, past measurements.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use conf::config::{DriftFile, DriftFormat};
use conf::include::{FILE_LENGTH_MAX, NAMES_MAX, ReadError, Reader};
use conf::rtc::RtcError;
use os::files::{ReplaceError, give_directory, read_regular, read_text, replace};
use os::privileges::User;
use os::reason;

/// The permissions of the drift file, of that of the real-time clock and of dump files.
const FILE_MODE: u32 = 0o644;

/// The permissions of directories that the daemon makes.
const DIRECTORY_MODE: u32 = 0o750;

/// The end of the names of dump files.
const DUMP_SUFFIX: &str = ".dat";

/// The most that is read of a drift file, bytes.
const DRIFT_LENGTH_MAX: u64 = 4096;

/// The largest dump file that is read, bytes: a line has about 100, and a source keeps fewer than 100 of them.
const DUMP_LENGTH_MAX: u64 = 64 * 1024;

/// Reads configuration files for the parser.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConfigurationFiles;

impl Reader for ConfigurationFiles {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        let limit = u64::try_from(FILE_LENGTH_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|error| read_error(&error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        let entries = fs::read_dir(path).map_err(|error| read_error(&error))?;
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
        Ok(names.take(NAMES_MAX).collect())
    }
}

/// Reads the files of directories, and those that another includes: whoever may put one there cannot hold the daemon up with
/// a pipe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceFiles;

impl Reader for SourceFiles {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        let limit = u64::try_from(FILE_LENGTH_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let bytes = read_regular(Path::new(path), limit).map_err(|error| read_error(&error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        ConfigurationFiles.list_dir(path)
    }
}

/// Why a file cannot be read, in the parser's words.
fn read_error(error: &io::Error) -> ReadError {
    match error.kind() {
        ErrorKind::NotFound => ReadError::NotFound,
        ErrorKind::IsADirectory => ReadError::IsDirectory,
        ErrorKind::NotADirectory => ReadError::NotDirectory,
        ErrorKind::PermissionDenied => ReadError::PermissionDenied,
        _ => ReadError::Other(reason(error)),
    }
}

/// Makes a directory for the daemon's user, with those above it, unless it is there.
///
/// # Errors
/// What the system says.
pub(crate) fn make_directory(path: &Path, owner: Option<User>) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_directory(above, owner)?;
    }
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)?;
    owner.map_or(Ok(()), |user| give_directory(path, user))
}

/// Reads the frequency and its error bound, ppm, from a drift file: positive means that the clock gains.
///
/// # Errors
/// What the system says, or `InvalidData`.
pub(crate) fn read_drift(path: &Path, format: DriftFormat) -> io::Result<(f64, f64)> {
    conf::drift::parse(&read_text(path, DRIFT_LENGTH_MAX)?, format)
        .ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Replaces the drift file. One that is something else, such as a configuration that was named by mistake, stays as it is.
///
/// # Errors
/// Why not, which may be that it is no drift file.
pub(crate) fn write_drift(drift: &DriftFile, frequency_ppm: f64, skew_ppm: f64) -> Result<(), ReplaceError> {
    let path = Path::new(&drift.path);
    let is_none = is_no_drift_file(path).map_err(|error| ReplaceError::Open {
        path: path.to_owned(),
        error,
    })?;
    if is_none {
        return Err(ReplaceError::Write {
            path: path.to_owned(),
            error: io::Error::new(ErrorKind::InvalidData, "It is no drift file, and stays as it is"),
        });
    }
    let text = conf::drift::print(frequency_ppm, skew_ppm, drift.format);
    replace(path, text.as_bytes(), FILE_MODE)
}

/// Reports whether there is something in the place of a drift file that nobody has written as one. A link to nothing is
/// nothing, as for chronyd.
///
/// # Errors
/// It may not or cannot be read, so that nobody knows.
pub(crate) fn is_no_drift_file(path: &Path) -> io::Result<bool> {
    match read_regular(path, DRIFT_LENGTH_MAX + 1) {
        Ok(bytes) => Ok(
            u64::try_from(bytes.len()).map_or(true, |length| length > DRIFT_LENGTH_MAX)
                || conf::drift::is_something_else(&String::from_utf8_lossy(&bytes)),
        ),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(false),
            // A directory, a pipe, a device.
            ErrorKind::IsADirectory | ErrorKind::InvalidInput => Ok(true),
            _ => Err(error),
        },
    }
}

/// Replaces the file of what is known about the real-time clock.
///
/// # Errors
/// Why not.
pub(crate) fn write_rtc(path: &Path, error: &RtcError) -> Result<(), ReplaceError> {
    replace(path, conf::rtc::print(error).as_bytes(), FILE_MODE)
}

/// Replaces the dump file of a source.
///
/// # Errors
/// Why not. chronyd writes none beside, so that it is this one that cannot be opened.
pub(crate) fn write_dump(path: &Path, text: &str) -> Result<(), ReplaceError> {
    replace(path, text.as_bytes(), FILE_MODE).map_err(|error| match error {
        ReplaceError::Open { error, .. } => ReplaceError::Open {
            path: path.to_owned(),
            error,
        },
        error @ ReplaceError::Write { .. } => error,
    })
}

/// The dump file of a source.
pub(crate) fn dump_path(directory: &Path, source: &str) -> PathBuf {
    directory.join(format!("{source}{DUMP_SUFFIX}"))
}

/// Reads and removes all dump files of a directory, in the order of their names. What cannot be read, or is no text, comes as
/// a text that no source takes, so that it is told.
pub(crate) fn take_dumps(directory: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_dump)
        })
        .take(NAMES_MAX)
        .collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| {
            let read = read_regular(path, DUMP_LENGTH_MAX);
            // What stays would be of an earlier time at the next start.
            let _ = fs::remove_file(path);
            let source = path.file_stem()?.to_str()?.to_owned();
            let text = read.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            Some((source, text.unwrap_or_default()))
        })
        .collect()
}

/// Whether a file of this name is one that [`write_dump`] writes: others in the directory are somebody else's.
fn is_dump(name: &str) -> bool {
    name.strip_suffix(DUMP_SUFFIX).is_some_and(|source| {
        source.parse::<std::net::IpAddr>().is_ok()
            || source
                .strip_prefix("refid:")
                .is_some_and(|id| u32::from_str_radix(id, 16).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drift_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drift");
        for (format, skew) in [(DriftFormat::Chrony, 0.052_646), (DriftFormat::Ntpd, 1.0)] {
            let drift = DriftFile {
                path: path.to_str().unwrap().to_owned(),
                interval_s: 3600.0,
                format,
            };
            write_drift(&drift, -10.053_497, 0.052_646).unwrap();
            assert_eq!(read_drift(&path, format).unwrap(), (-10.053_497, skew));
        }
    }

    #[test]
    fn a_drift_never_replaces_what_is_no_drift_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ntp.conf");
        let drift = DriftFile {
            path: path.to_str().unwrap().to_owned(),
            interval_s: 3600.0,
            format: DriftFormat::Ntpd,
        };
        let long = format!("# {}\nserver a\n", "=".repeat(10_000));
        for text in ["server a\n", "# nothing yet\n", &long] {
            fs::write(&path, text).unwrap();
            let error = write_drift(&drift, 1.0, 1.0).unwrap_err();
            let said = format!(
                "Could not write {} : It is no drift file, and stays as it is",
                path.display()
            );
            assert_eq!(error.to_string(), said);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        for text in ["", "\0\0\0", "12.5 x"] {
            fs::write(&path, text).unwrap();
            write_drift(&drift, 1.0, 1.0).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "-1.000000\n");
        }
        for bytes in [&[0x80; 4097][..], &[b'1'; 5000]] {
            fs::write(&path, bytes).unwrap();
            assert!(write_drift(&drift, 1.0, 1.0).is_err());
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        fs::remove_file(&path).unwrap();
        let make_link = || std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        for make in [&(|| make_pipe(&path)) as &dyn Fn(), &make_link, &|| {
            fs::create_dir(&path).unwrap();
        }] {
            make();
            let error = write_drift(&drift, 1.0, 1.0).unwrap_err();
            assert!(
                error
                    .to_string()
                    .ends_with("It is no drift file, and stays as it is"),
                "{error}"
            );
            assert!(!path.is_file());
            let _ = fs::remove_file(&path);
        }
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink(folder.path().join("nothing"), &path).unwrap();
        write_drift(&drift, 1.0, 1.0).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "-1.000000\n");
    }

    #[test]
    fn nonsense_is_no_drift() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drift");
        let format = DriftFormat::Chrony;
        assert_eq!(read_drift(&path, format).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(&path, "1.0 x").unwrap();
        assert_eq!(
            read_drift(&path, format).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
    }

    fn make_pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }

    #[test]
    fn what_is_not_read_in_a_source_directory_is_named() {
        let folder = tempfile::tempdir().unwrap();
        make_pipe(&folder.path().join("a.sources"));
        fs::write(folder.path().join("b.sources"), "server b\n").unwrap();
        let long = folder.path().join("c.sources");
        fs::write(&long, "#".repeat(FILE_LENGTH_MAX + 1)).unwrap();
        let dirs = [vec![folder.path().to_str().unwrap().to_owned()]];
        let (sources, problems) = conf::chrony::read_source_dirs(&dirs, &SourceFiles);
        assert_eq!(sources.len(), 1);
        let said: Vec<String> = problems.iter().map(|problem| problem.as_original()).collect();
        let pipe = folder.path().join("a.sources");
        let expected = [
            format!("Could not open {} : It is no regular file", pipe.display()),
            format!("{} is not read: it has more than 1048576 bytes", long.display()),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn dumps_are_taken_once_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        for (source, text) in [
            ("192.0.2.7", "one"),
            ("2001:db8::7", "two"),
            ("refid:50505300", "three"),
        ] {
            write_dump(&dump_path(folder.path(), source), text).unwrap();
        }
        make_pipe(&folder.path().join("192.0.2.8.dat"));
        fs::write(folder.path().join("192.0.2.9.dat"), b"DMP0\xff\xfe\n").unwrap();
        for other in ["note.dat", "refid:x.dat", "192.0.2.7.nts"] {
            fs::write(folder.path().join(other), "other").unwrap();
        }
        let taken = take_dumps(folder.path());
        let taken: Vec<(&str, &str)> = taken.iter().map(|(source, text)| (&**source, &**text)).collect();
        let written = [
            ("192.0.2.7", "one"),
            ("192.0.2.8", ""),
            ("192.0.2.9", ""),
            ("2001:db8::7", "two"),
            ("refid:50505300", "three"),
        ];
        assert_eq!(taken, written);
        assert!(take_dumps(folder.path()).is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn configuration_files_are_read_in_the_parsers_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(ConfigurationFiles.read_file(path), Err(ReadError::IsDirectory));
        assert_eq!(
            ConfigurationFiles.read_file(&format!("{path}/none")),
            Err(ReadError::NotFound)
        );
        fs::write(format!("{path}/a.conf"), b"server a\xff").unwrap();
        assert_eq!(
            ConfigurationFiles.read_file(&format!("{path}/a.conf")).unwrap(),
            "server a\u{fffd}"
        );
        assert_eq!(ConfigurationFiles.list_dir(path).unwrap(), ["a.conf"]);
    }
}
