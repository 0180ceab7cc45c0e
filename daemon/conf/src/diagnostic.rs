//! What is wrong with a configuration, and where.

use std::fmt;
use std::sync::Arc;

/// The longest part of a line that a diagnostic shows, in characters.
const EXCERPT_LENGTH_MAX: usize = 160;

/// The longest part of a line that a diagnostic keeps, in characters.
const LINE_TEXT_LENGTH_MAX: usize = 2046;

/// Locates a piece of text in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file, by the path under which it was read; empty for arguments of the program.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 means the file as a whole.
    pub line: u32,
    /// The first character, counted from 1.
    pub column: u32,
    /// The number of characters, at least 1.
    pub width: u32,
}

impl Span {
    /// Locates a file as a whole.
    pub fn of_file(file: Arc<str>) -> Self {
        Self {
            file,
            line: 0,
            column: 1,
            width: 1,
        }
    }
}

impl Span {
    /// Locates a word of a line by its column and width; where there is none, the place behind the last one.
    pub(crate) fn of_word(
        file: &Arc<str>,
        line: u32,
        word: Option<(u32, u32)>,
        last: Option<(u32, u32)>,
    ) -> Self {
        let behind = |(column, width): (u32, u32)| (column.saturating_add(width).saturating_add(1), 1);
        let (column, width) = word.or(last.map(behind)).unwrap_or((1, 1));
        Self {
            file: Arc::clone(file),
            line,
            column,
            width,
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = if self.file.is_empty() {
            "arguments"
        } else {
            &self.file
        };
        write_printable(formatter, file)?;
        match self.line {
            0 => Ok(()),
            line => write!(formatter, ":{line}:{}", self.column),
        }
    }
}

/// Says how a daemon takes what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The daemon goes on, but not as the line says.
    Warning,
    /// The daemon goes on without the line, but a check of the configuration fails.
    Skipped,
    /// The daemon does not start with this.
    Error,
}

/// Says what is wrong with a configuration, where, and what to write instead.
///
/// Displays as `file:line:col: message`, the line with a caret below what is wrong, and the help:
///
/// ```text
/// /etc/chrony/chrony.conf:3:10: unknown option mipoll
///   server a mipoll 3
///            ^^^^^^
///   help: options of server are listed in chrony.conf(5)
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How the daemon takes it.
    pub severity: Severity,
    /// Where it is.
    pub span: Span,
    /// The line it is on, or its beginning if it is long; empty for a file as a whole.
    pub line_text: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// How the original program says line and file when it reports this.
    pub placed: Placed,
    /// How many others of its severity it stands for, which are not shown; 0 for all but the last.
    pub unshown: usize,
}

/// Says how a program tells the line and the file of what it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placed {
    /// It does not.
    Nowhere,
    /// After the text, as chronyd does: ` at line N in file F`.
    After,
    /// Before the text, as OpenNTPD does: `F:N: `.
    Before,
}

impl Diagnostic {
    /// Returns what is kept of the line that one is on.
    pub(crate) fn line_text(line: &str) -> String {
        let end = line.char_indices().nth(LINE_TEXT_LENGTH_MAX);
        end.and_then(|(end, _)| line.get(..end))
            .unwrap_or(line)
            .to_owned()
    }

    /// Makes one that is about a file as a whole.
    pub(crate) const fn of_file(severity: Severity, span: Span, message: String) -> Self {
        Self {
            severity,
            span,
            line_text: String::new(),
            message,
            help: None,
            placed: Placed::Nowhere,
            unshown: 0,
        }
    }

    /// The number of things that are wrong, of which it tells.
    pub fn count(&self) -> usize {
        self.unshown.max(1)
    }

    /// Returns the text under which the original program reports this, where it has one: with line and file as
    /// [`Self::placed`] says, or with the line only if it was given as an argument.
    pub fn as_original(&self) -> String {
        let Span { file, line, .. } = &self.span;
        let message = &self.message;
        match (self.placed, file.is_empty()) {
            (Placed::Nowhere, _) => message.clone(),
            (Placed::After | Placed::Before, _) if *line == 0 => message.clone(),
            (Placed::After, true) => format!("{message} at line {line}"),
            (Placed::After, false) => format!("{message} at line {line} in file {file}"),
            (Placed::Before, _) => format!("{file}:{line}: {message}"),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.span)?;
        write_printable(formatter, &self.message)?;
        if self.span.line > 0 {
            let column = usize::try_from(self.span.column).unwrap_or(usize::MAX).max(1);
            let width = usize::try_from(self.span.width).unwrap_or(usize::MAX).max(1);
            // Of a long line only the part around the caret is shown.
            let skipped = if column > EXCERPT_LENGTH_MAX {
                column - 1
            } else {
                0
            };
            let shown = self
                .line_text
                .chars()
                .skip(skipped)
                .take(EXCERPT_LENGTH_MAX)
                .collect::<String>();
            let indent = column - 1 - skipped;
            let width = width.min(EXCERPT_LENGTH_MAX - indent);
            formatter.write_str("\n  ")?;
            write_printable(formatter, &shown)?;
            write!(formatter, "\n  {:indent$}{:^<width$}", "", "")?;
        }
        if let Some(help) = &self.help {
            formatter.write_str("\n  help: ")?;
            write_printable(formatter, help)?;
        }
        Ok(())
    }
}

/// Collects what is found wrong, up to a number of each severity; of more than that only the number is kept. So however
/// many warnings there are, they hide no error and are none.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    kept: Vec<Diagnostic>,
    /// How many there were of each severity, kept or not.
    counts: [usize; 3],
}

impl Diagnostics {
    /// The largest number of one severity that is kept.
    pub(crate) const KEPT_MAX: usize = 1000;

    /// Adds one, unless there are enough of its severity.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.push_with(diagnostic.severity, || diagnostic);
    }

    /// Adds one of a severity, which is only made if there are not enough of it.
    pub(crate) fn push_with(&mut self, severity: Severity, make: impl FnOnce() -> Diagnostic) {
        let is_kept = !self.is_full(severity);
        self.counts[severity as usize] += 1;
        if is_kept {
            self.kept.push(make());
        }
    }

    /// Adds one for a reader that stops where too much is wrong: the last error that is kept says so.
    pub(crate) fn push_or_stop(&mut self, diagnostic: Diagnostic) {
        let severity = diagnostic.severity;
        let file = Arc::clone(&diagnostic.span.file);
        self.push_with_or_stop(severity, &file, || diagnostic);
    }

    /// Adds one of a file and a severity as [`Self::push_or_stop`] does; it is only made if there are not enough of it.
    pub(crate) fn push_with_or_stop(
        &mut self,
        severity: Severity,
        file: &Arc<str>,
        make: impl FnOnce() -> Diagnostic,
    ) {
        self.push_with(severity, make);
        if severity == Severity::Error && self.count(severity) == Self::KEPT_MAX - 1 {
            let span = Span::of_file(Arc::clone(file));
            let message = "too much is wrong; the rest is not read";
            self.push(Diagnostic::of_file(severity, span, message.to_owned()));
        }
    }

    /// Reports whether no more of a severity are kept.
    pub(crate) fn is_full(&self, severity: Severity) -> bool {
        self.count(severity) >= Self::KEPT_MAX
    }

    /// The number of those of a severity.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.counts[severity as usize]
    }

    /// Puts those that are kept into an order, those with the same key as they are.
    pub(crate) fn sort_by_key<K: Ord>(&mut self, key: impl FnMut(&Diagnostic) -> K) {
        self.kept.sort_by_key(key);
    }

    /// Returns those that are kept, and of each severity with more how many those are.
    pub(crate) fn into_vec(mut self) -> Vec<Diagnostic> {
        for (severity, what) in [
            (Severity::Error, "error"),
            (Severity::Skipped, "mistake"),
            (Severity::Warning, "warning"),
        ] {
            let unshown = self.count(severity).saturating_sub(Self::KEPT_MAX);
            let Some(first) = self.kept.first().filter(|_| unshown > 0) else {
                continue;
            };
            let span = Span::of_file(Arc::clone(&first.span.file));
            let verb = if unshown == 1 { " is" } else { "s are" };
            let message = format!("{unshown} more {what}{verb} not shown, in all files together");
            self.kept.push(Diagnostic {
                help: Some("mend those that are, and look again".to_owned()),
                unshown,
                ..Diagnostic::of_file(severity, span, message)
            });
        }
        self.kept
    }
}

/// Writes text from a file so that it can neither break the layout nor steer a terminal.
fn write_printable(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        let shown = match character {
            '\t' => ' ',
            character if character.is_control() => char::REPLACEMENT_CHARACTER,
            character => character,
        };
        fmt::Write::write_char(formatter, shown)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn diagnostic(column: u32, width: u32, line_text: &str) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            span: Span {
                file: "a.conf".into(),
                line: 3,
                column,
                width,
            },
            line_text: line_text.to_owned(),
            message: "no".to_owned(),
            help: Some("yes".to_owned()),
            placed: Placed::After,
            unshown: 0,
        }
    }

    #[test]
    fn the_original_says_line_and_file_if_it_knows_them() {
        let placed = diagnostic(10, 2, "server a");
        assert_eq!(placed.as_original(), "no at line 3 in file a.conf");
        let mut argument = placed.clone();
        argument.span.file = "".into();
        assert_eq!(argument.as_original(), "no at line 3");
        assert_eq!(argument.span.to_string(), "arguments:3:10");
        let unplaced = Diagnostic {
            placed: Placed::Nowhere,
            ..placed.clone()
        };
        assert_eq!(unplaced.as_original(), "no");
        let before = Diagnostic {
            placed: Placed::Before,
            ..placed
        };
        assert_eq!(before.as_original(), "a.conf:3: no");
    }

    #[test]
    fn a_diagnostic_cites_the_line_with_a_caret() {
        let text = diagnostic(10, 2, "server a\tbb c").to_string();
        assert_eq!(
            text,
            "a.conf:3:10: no\n  server a bb c\n           ^^\n  help: yes"
        );
    }

    #[test]
    fn a_diagnostic_of_a_file_has_no_line() {
        let span = Span::of_file("a.conf".into());
        let text = Diagnostic {
            span,
            help: None,
            ..diagnostic(1, 1, "")
        }
        .to_string();
        assert_eq!(text, "a.conf: no");
    }

    #[test]
    fn escape_sequences_are_defused() {
        assert!(!diagnostic(1, 1, "\x1b[2J").to_string().contains('\x1b'));
    }

    #[test]
    fn however_many_warnings_there_are_they_hide_no_error_and_are_none() {
        let mut found = Diagnostics::default();
        let of = |severity| Diagnostic {
            severity,
            ..diagnostic(1, 1, "a")
        };
        for _ in 0..5000 {
            found.push_or_stop(of(Severity::Warning));
        }
        found.push_or_stop(of(Severity::Error));
        let all = found.into_vec();
        assert_eq!(all.len(), Diagnostics::KEPT_MAX + 2);
        let errors = all.iter().filter(|found| found.severity == Severity::Error);
        assert_eq!(errors.count(), 1);
        let last = all.last().unwrap();
        assert_eq!(
            last.message,
            "4000 more warnings are not shown, in all files together"
        );
        let told = |severity| {
            let of = all.iter().filter(move |found| found.severity == severity);
            of.map(Diagnostic::count).sum::<usize>()
        };
        assert_eq!([told(Severity::Warning), told(Severity::Error)], [5000, 1]);
    }

    #[test]
    fn of_a_long_line_the_beginning_is_kept() {
        let line = "é".repeat(LINE_TEXT_LENGTH_MAX);
        assert_eq!(Diagnostic::line_text(&line), line);
        assert_eq!(Diagnostic::line_text(&format!("{line}a")), line);
        assert_eq!(Diagnostic::line_text(""), "");
    }

    #[test]
    fn what_is_not_kept_is_counted_and_not_made() {
        let mut found = Diagnostics::default();
        let mut made = 0;
        for _ in 0..Diagnostics::KEPT_MAX + 7 {
            found.push_with(Severity::Error, || {
                made += 1;
                diagnostic(1, 1, "a")
            });
        }
        assert_eq!(made, Diagnostics::KEPT_MAX);
        assert_eq!(found.count(Severity::Error), Diagnostics::KEPT_MAX + 7);
    }

    #[test]
    fn the_last_error_that_is_kept_says_that_reading_stops() {
        let mut found = Diagnostics::default();
        while !found.is_full(Severity::Error) {
            found.push_or_stop(diagnostic(1, 1, "a"));
        }
        let all = found.into_vec();
        assert_eq!(all.len(), Diagnostics::KEPT_MAX);
        assert_eq!(
            all.last().unwrap().to_string(),
            "a.conf: too much is wrong; the rest is not read"
        );
    }

    proptest! {
        #[test]
        fn rendering_never_panics_and_stays_short(column: u32, width: u32, text in ".{0,400}") {
            let rendered = diagnostic(column, width, &text).to_string();
            prop_assert_eq!(rendered.lines().count(), 4);
            prop_assert!(rendered.chars().count() < 3 * EXCERPT_LENGTH_MAX);
        }
    }
}
