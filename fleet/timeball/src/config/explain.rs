//! `timeball config explain`: what each line of a configuration file becomes.

use conf::diagnostic::Severity;
use conf::dialect::{Dialect, Reading};
use conf::explain::{Explanation, Fate};
use serde::{Deserialize, Serialize};

use super::check::{Finding, finding};
use super::files::FileArgs;
use crate::cli::Globals;
use crate::ending::{Ending, Failure, Verdict};
use crate::print::Printer;
use crate::text;

/// What becomes of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    file: String,
    dialect: String,
    /// Whether the daemon would start.
    starts: bool,
    lines: Vec<Line>,
    /// What is wrong with files as a whole.
    diagnostics: Vec<Finding>,
}

/// What becomes of a line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    file: String,
    line: u32,
    column: u32,
    text: String,
    /// `used`, `adapted`, `ignored` or `refused`.
    fate: String,
    /// The lines of chrony.conf that it amounts to.
    chrony: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Reads the file and says what becomes of its lines.
pub(crate) fn run(args: &FileArgs, globals: &Globals) -> Ending {
    let (dialect, reading) = args.read()?;
    let report = report(args, dialect, &reading);
    let body = serde_json::to_vec(&report).map_err(|error| Failure::new(error.to_string()))?;
    Printer::new(globals.format()).show(&body, page)?;
    Ok(if reading.is_right() {
        Verdict::Done
    } else {
        Verdict::SomeFailed
    })
}

fn report(args: &FileArgs, dialect: Dialect, reading: &Reading) -> Report {
    let diagnostics = &reading.diagnostics;
    let of_files = diagnostics.iter().filter(|found| found.span.line == 0);
    Report {
        file: args.file.clone(),
        dialect: dialect.to_string(),
        starts: diagnostics.iter().all(|found| found.severity != Severity::Error),
        lines: reading.lines.iter().map(line).collect(),
        diagnostics: of_files.map(finding).collect(),
    }
}

fn line(explanation: &Explanation) -> Line {
    Line {
        file: explanation.span.file.to_string(),
        line: explanation.span.line,
        column: explanation.span.column,
        text: explanation.text.clone(),
        fate: explanation.fate.word().to_owned(),
        chrony: explanation.chrony.clone(),
        note: explanation.note.clone(),
    }
}

/// Writes each line with what becomes of it, and the sum.
fn page(report: &Report) -> String {
    let mut page = String::new();
    for line in &report.lines {
        let file = text::line(&line.file);
        let said = match line.line {
            // What the language means without a line for it.
            0 => format!("{file}: (not said)"),
            number => format!("{file}:{number}: {}", text::line(&line.text)),
        };
        page.push_str(&format!("{said}\n  {}", line.fate));
        if let Some(note) = &line.note {
            page.push_str(&format!(": {}", text::line(note)));
        } else if line.chrony == [text::line(&line.text)] {
            page.push_str(" as it is");
        }
        page.push('\n');
        if line.chrony != [text::line(&line.text)] {
            for chrony in &line.chrony {
                page.push_str(&format!("  = {}\n", text::line(chrony)));
            }
        }
        page.push('\n');
    }
    for finding in &report.diagnostics {
        page.push_str(&format!("{}\n\n", text::lines(&finding.text)));
    }
    let count = |fate: Fate| {
        report
            .lines
            .iter()
            .filter(|line| line.fate == fate.word())
            .count()
    };
    let counts = [Fate::Used, Fate::Adapted, Fate::Ignored, Fate::Refused]
        .map(|fate| format!("{} {}", count(fate), fate.word()))
        .join(", ");
    let verdict = if report.starts {
        "would start"
    } else {
        "would not start"
    };
    let file = text::line(&report.file);
    page + &format!(
        "{file}, read as {}: timeballd {verdict}: {counts}\n",
        report.dialect
    )
}
