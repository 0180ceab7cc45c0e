//! What each line of chrony.conf becomes.

use std::collections::BTreeMap;

use super::directives::{Directive, Standing, Support};
use super::parse::Parser;
use super::source::SourceKind;
use super::walk::{Line, Reports, Visit, Walk};
use crate::diagnostic::{Diagnostic, Severity};
use crate::dialect::Reading;
use crate::explain::{Explanation, Fate};
use crate::include::Reader;

/// Reads the configuration at `path` as [`super::parse`] does, and tells what becomes of each line.
pub fn explain(path: &str, reader: &dyn Reader) -> Reading {
    let mut explainer = Explainer::default();
    let mut walk = Walk::new(reader);
    walk.main_file(path, &mut explainer);
    let Explainer { parser, mut lines } = explainer;
    let (config, diagnostics) = parser.finish(walk.reports);
    heed(&mut lines, &diagnostics);
    Reading {
        config,
        diagnostics,
        lines,
    }
}

/// Takes into account what was found wrong with each line.
fn heed(lines: &mut [Explanation], diagnostics: &[Diagnostic]) {
    let mut by_line: BTreeMap<u32, Vec<&Diagnostic>> = BTreeMap::new();
    for found in diagnostics {
        by_line.entry(found.span.line).or_default().push(found);
    }
    for line in lines {
        let found = by_line.get(&line.span.line);
        for found in found.into_iter().flatten() {
            if found.span.file == line.span.file {
                line.heed(found.severity, &found.message);
            }
        }
    }
}

/// Collects lines, and has them read.
#[derive(Default)]
struct Explainer {
    parser: Parser,
    lines: Vec<Explanation>,
}

impl Explainer {
    /// Adds a line that does what it says.
    fn add(&mut self, line: &Line<'_>) {
        let mut span = line.span(0);
        span.width = u32::try_from(line.text.trim().chars().count().max(1)).unwrap_or(u32::MAX);
        let text = line.words.iter().map(|word| word.text).collect::<Vec<_>>();
        self.lines.push(Explanation {
            span,
            text: line.text.trim().to_owned(),
            fate: Fate::Used,
            chrony: vec![text.join(" ")],
            left_out: Vec::new(),
            note: None,
        });
    }
}

impl Visit for Explainer {
    fn find(&self, word: &str) -> Option<&'static Directive> {
        self.parser.find(word)
    }

    fn line(&mut self, line: &Line<'_>, _reports: &Reports) {
        self.add(line);
    }

    fn source(&mut self, line: &Line<'_>, kind: SourceKind, refused: Severity, reports: &mut Reports) {
        self.parser.source(line, kind, refused, reports);
    }

    fn directive(&mut self, line: &Line<'_>, directive: &'static Directive, reports: &mut Reports) {
        if matches!(directive.name, "include" | "confdir") {
            self.add(line);
            if let Some(named) = self.lines.last_mut() {
                named.note = Some("the lines of the files it names follow".to_owned());
            }
        }
        let ignored = match (directive.standing, directive.support) {
            (Standing::Ignored, _) => Some("chronyd ignores it as well"),
            (Standing::Retired, _) => Some("it is no longer supported by chronyd"),
            (Standing::Honoured, Support::Idle) => Some("what it would tune is not there"),
            (Standing::Honoured, Support::LeftOut) => Some("timeballd goes on without"),
            (Standing::Honoured, Support::Full | Support::Refused) => None,
        };
        if let (Some(note), Some(last)) = (ignored, self.lines.last_mut()) {
            last.fate = Fate::Ignored;
            last.note = Some(note.to_owned());
            let said = std::mem::take(&mut last.chrony);
            if directive.support == Support::LeftOut {
                last.left_out = said;
            }
        }
        self.parser.directive(line, directive, reports);
    }
}
