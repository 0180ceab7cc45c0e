//! `timeball config check`: what timeballd would make of a configuration file.

use conf::chrony::read_source_dirs;
use conf::diagnostic::{Diagnostic, Severity};
use conf::dialect::{Dialect, Reading};
use serde::{Deserialize, Serialize};

use super::files::{FileArgs, RegularFiles};
use crate::cli::Globals;
use crate::ending::{Ending, Failure, Verdict};
use crate::print::Printer;
use crate::text;

/// What was found.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    file: String,
    dialect: String,
    /// Whether the daemon would start.
    starts: bool,
    errors: usize,
    /// Lines without which it would start.
    skipped: usize,
    warnings: usize,
    diagnostics: Vec<Finding>,
}

/// One thing that is not as it should be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Finding {
    severity: Grade,
    file: String,
    /// From 1; 0 is the file as a whole.
    line: u32,
    column: u32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// All of it, for people.
    pub(super) text: String,
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
pub(crate) fn run(args: &FileArgs, globals: &Globals) -> Ending {
    let (dialect, reading) = args.read()?;
    let report = report(args, dialect, reading);
    let body = serde_json::to_vec(&report).map_err(|error| Failure::new(error.to_string()))?;
    Printer::new(globals.format()).show(&body, page)?;
    Ok(if report.starts && report.skipped == 0 {
        Verdict::Done
    } else {
        Verdict::SomeFailed
    })
}

/// Says what was found, also in the files of the directories of sources.
fn report(args: &FileArgs, dialect: Dialect, mut reading: Reading) -> Report {
    let of_directories = read_source_dirs(&reading.config.source_dirs, &RegularFiles).1;
    reading.diagnostics.extend(of_directories);
    let graded = reading.diagnostics.iter().map(|found| Diagnostic {
        severity: reading.severity(found),
        ..found.clone()
    });
    let diagnostics = graded.collect::<Vec<_>>();
    let count = |severity| {
        let found = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity);
        found.map(Diagnostic::count).sum()
    };
    let errors = count(Severity::Error);
    Report {
        file: args.file.clone(),
        dialect: dialect.to_string(),
        starts: errors == 0,
        errors,
        skipped: count(Severity::Skipped),
        warnings: count(Severity::Warning),
        diagnostics: diagnostics.iter().map(finding).collect(),
    }
}

/// Says one thing that is not as it should be.
pub(super) fn finding(diagnostic: &Diagnostic) -> Finding {
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
    let skipped = match report.skipped {
        0 => String::new(),
        skipped => format!(" {},", counted(skipped, "skipped line")),
    };
    let file = text::line(&report.file);
    let dialect = text::line(&report.dialect);
    page + &format!("{file}, read as {dialect}: {verdict}: {errors},{skipped} {warnings}\n")
}
