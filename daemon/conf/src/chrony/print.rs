//! The effective directives as text, as `chronyd -p` prints them.

use super::directives::Directive;
use super::parse::Parser;
use super::source::SourceKind;
use super::walk::{Line, Reports, Visit, Walk};
use crate::diagnostic::{Diagnostic, Severity};
use crate::include::Reader;

/// Returns the directives of the configuration at `path`, one on each line, without comments, with
/// single blanks, and with the lines of other files where `include` and `confdir` name them.
///
/// Also returns what is wrong, as [`super::parse`] does, without what is found only when the
/// configuration is set up. At the first error the text ends, with the line of the error.
pub fn print(path: &str, reader: &dyn Reader) -> (String, Vec<Diagnostic>) {
    let mut printer = Printer::default();
    let mut walk = Walk::new(reader);
    walk.main_file(path, &mut printer);
    (printer.text, walk.reports.into_diagnostics())
}

/// Returns directives that were given as arguments of the program, in the same way.
pub fn print_arguments(lines: &[String], reader: &dyn Reader) -> (String, Vec<Diagnostic>) {
    let mut printer = Printer::default();
    let mut walk = Walk::new(reader);
    walk.arguments(lines, &mut printer);
    (printer.text, walk.reports.into_diagnostics())
}

/// Collects lines, and has them read.
#[derive(Default)]
struct Printer {
    text: String,
    parser: Parser,
}

impl Visit for Printer {
    fn find(&self, word: &str) -> Option<&'static Directive> {
        self.parser.find(word)
    }

    fn line(&mut self, line: &Line<'_>, reports: &Reports) {
        if reports.has_errors() {
            return;
        }
        for (at, word) in line.words.iter().enumerate() {
            if at > 0 {
                self.text.push(' ');
            }
            self.text.push_str(word.text);
        }
        self.text.push('\n');
    }

    fn source(&mut self, line: &Line<'_>, kind: SourceKind, refused: Severity, reports: &mut Reports) {
        self.parser.source(line, kind, refused, reports);
    }

    fn directive(&mut self, line: &Line<'_>, directive: &'static Directive, reports: &mut Reports) {
        self.parser.directive(line, directive, reports);
    }
}
