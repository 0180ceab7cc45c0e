//! `timeball config check`: what timeballd would make of a configuration file.

use std::fs::{self, File};
use std::io::{self, Read as _};

use clap::{Args, ValueEnum};
use conf::chrony::{parse, read_source_dirs};
use conf::diagnostic::{Diagnostic, Severity};
use conf::include::{FILE_LENGTH_MAX, NAMES_MAX, ReadError, Reader};
use serde::{Deserialize, Serialize};

use crate::cli::Globals;
use crate::ending::{Ending, Failure, Verdict};
use crate::print::Printer;
use crate::text;

/// Arguments of `timeball config check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    file: String,
    /// The language it is in: chrony
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    dialect: Dialect,
}

/// The languages of configuration files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Dialect {
    /// That of chrony.conf
    #[default]
    Chrony,
}

/// What was found.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    file: String,
    dialect: Dialect,
    /// Whether the daemon would start.
    starts: bool,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<Finding>,
}

/// One thing that is not as it should be.
#[derive(Debug, Serialize, Deserialize)]
struct Finding {
    severity: Grade,
    file: String,
    /// From 1; 0 is the file as a whole.
    line: u32,
    column: u32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// All of it, for people.
    text: String,
}

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Warning,
    /// The daemon starts without the line.
    Skipped,
    Error,
}

/// Reads the file and says what is wrong with it.
pub(crate) fn run(args: &CheckArgs, globals: &Globals) -> Ending {
    // Once only: what came through a pipe cannot be read again.
    let given = Disk
        .read_file(&args.file)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", args.file)))?;
    let report = report(args, given);
    let body = serde_json::to_vec(&report).map_err(|error| Failure::new(error.to_string()))?;
    Printer::new(globals.format()).show(&body, page)?;
    Ok(if report.starts {
        Verdict::Done
    } else {
        Verdict::SomeFailed
    })
}

/// Reads `given`, which is the text of the file, and all that it includes.
fn report(args: &CheckArgs, given: String) -> Report {
    let files = AlreadyRead {
        path: &args.file,
        text: given,
    };
    let diagnostics = match args.dialect {
        Dialect::Chrony => {
            let (config, mut diagnostics) = parse(&args.file, &files);
            diagnostics.extend(read_source_dirs(&config.source_dirs, &RegularFiles).1);
            diagnostics
        }
    };
    let count = |severity| {
        let found = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity);
        found.count()
    };
    let errors = count(Severity::Error);
    Report {
        file: args.file.clone(),
        dialect: args.dialect,
        starts: errors == 0,
        errors,
        warnings: count(Severity::Warning),
        diagnostics: diagnostics.iter().map(finding).collect(),
    }
}

fn finding(diagnostic: &Diagnostic) -> Finding {
    Finding {
        severity: match diagnostic.severity {
            Severity::Warning => Grade::Warning,
            Severity::Skipped => Grade::Skipped,
            Severity::Error => Grade::Error,
        },
        file: diagnostic.span.file.to_string(),
        line: diagnostic.span.line,
        column: diagnostic.span.column,
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
        text: diagnostic.to_string(),
    }
}

/// Writes the findings one after the other, and the sum of them.
fn page(report: &Report) -> String {
    let mut page = String::new();
    for finding in &report.diagnostics {
        let grade = match finding.severity {
            Grade::Warning => "warning",
            Grade::Skipped => "skipped",
            Grade::Error => "error",
        };
        // The line that is shown can have anything in it.
        page.push_str(&format!("{grade}: {}\n\n", text::lines(&finding.text)));
    }
    let counted = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let verdict = if report.starts {
        "timeballd would start"
    } else {
        "timeballd would not start"
    };
    let (errors, warnings) = (
        counted(report.errors, "error"),
        counted(report.warnings, "warning"),
    );
    let file = text::line(&report.file);
    page + &format!("{file}: {verdict}: {errors}, {warnings}\n")
}

/// The files of this machine, of which one has been read.
struct AlreadyRead<'a> {
    path: &'a str,
    text: String,
}

impl Reader for AlreadyRead<'_> {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        if path == self.path {
            Ok(self.text.clone())
        } else {
            Disk.read_file(path)
        }
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        Disk.list_dir(path)
    }
}

/// The files of this machine without pipes and devices, as the daemon reads source directories.
struct RegularFiles;

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
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.take(NAMES_MAX).collect())
    }
}

fn read_error(error: &io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::NotFound,
        io::ErrorKind::IsADirectory => ReadError::IsDirectory,
        io::ErrorKind::PermissionDenied => ReadError::PermissionDenied,
        _ => ReadError::Other(error.to_string()),
    }
}
