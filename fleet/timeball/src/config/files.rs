//! The files of this machine, and one of them as a configuration.

use std::fs::{self, File};
use std::io::{self, Read as _};

use clap::{Args, ValueEnum};
use conf::dialect::{Dialect, Reading};
use conf::include::{FILE_LENGTH_MAX, NAMES_MAX, ReadError, Reader};

use crate::ending::Failure;

/// Which file, and in which language it is.
#[derive(Args, Debug)]
pub(crate) struct FileArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub(super) file: String,
    /// The language it is in; default the one it looks like
    #[arg(long, value_enum)]
    dialect: Option<Language>,
}

/// The languages of configuration files, as arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    /// chrony.conf
    Chrony,
    /// ntp.conf
    Ntpd,
    /// ntpd.conf of OpenNTPD
    Openntpd,
}

impl From<Language> for Dialect {
    fn from(language: Language) -> Self {
        match language {
            Language::Chrony => Self::Chrony,
            Language::Ntpd => Self::Ntpd,
            Language::Openntpd => Self::OpenNtpd,
        }
    }
}

impl FileArgs {
    /// Reads the file with all that it includes; returns also in which language.
    ///
    /// # Errors
    /// When the file itself cannot be read.
    pub(super) fn read(&self) -> Result<(Dialect, Reading), Failure> {
        // Once only: what came through a pipe cannot be read again.
        let text = Disk
            .read_file(&self.file)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", self.file)))?;
        let dialect = self
            .dialect
            .map_or_else(|| Dialect::of_file(&self.file, &text), Dialect::from);
        let files = AlreadyRead {
            path: &self.file,
            text,
        };
        let further = dialect.further_files(&self.file, &files);
        let mut reading = dialect.read_with(&self.file, &further, &files);
        reading.suspect_names();
        Ok((dialect, reading))
    }
}

/// The files of this machine, of which one has been read. Only that one may come through a pipe, as with the daemon.
struct AlreadyRead<'a> {
    path: &'a str,
    text: String,
}

impl Reader for AlreadyRead<'_> {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        if path == self.path {
            Ok(self.text.clone())
        } else {
            RegularFiles.read_file(path)
        }
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        Disk.list_dir(path)
    }
}

/// The files of this machine without pipes and devices, as the daemon reads files that others name.
pub(super) struct RegularFiles;

impl Reader for RegularFiles {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        let kind = fs::metadata(path).map_err(|error| read_error(&error))?;
        if kind.is_file() || kind.is_dir() {
            Disk.read_file(path)
        } else {
            Err(ReadError::Other("It is no regular file".to_owned()))
        }
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        Disk.list_dir(path)
    }
}

/// The files of this machine.
struct Disk;

impl Reader for Disk {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| read_error(&error))?;
        let limit = u64::try_from(FILE_LENGTH_MAX).unwrap_or(u64::MAX);
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| read_error(&error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        let entries = fs::read_dir(path).map_err(|error| read_error(&error))?;
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
        Ok(names.take(NAMES_MAX).collect())
    }
}

fn read_error(error: &io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::NotFound,
        io::ErrorKind::IsADirectory => ReadError::IsDirectory,
        io::ErrorKind::NotADirectory => ReadError::NotDirectory,
        io::ErrorKind::PermissionDenied => ReadError::PermissionDenied,
        _ => ReadError::Other(error.to_string()),
    }
}
