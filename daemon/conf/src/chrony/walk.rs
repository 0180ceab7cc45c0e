//! A configuration followed through its files, line by line.

use std::sync::Arc;

use super::directives::{Directive, Standing};
use super::scan::Via;
use super::source::SourceKind;
use super::words::{Word, is_comment, words};
use crate::diagnostic::{Diagnostic, Diagnostics, Placed, Severity, Span};
use crate::include::{
    BYTE_ORDER_MARK, FILE_LENGTH_MAX, FILES_MAX, INCLUDE_DEPTH_MAX, NOT_UTF8_HELP, ReadError, Reader,
    TOTAL_LENGTH_MAX, expand, search,
};

/// The longest line of a configuration file, without its end, in bytes (observed with chronyd 4.3).
const LINE_LENGTH_MAX: usize = 2046;

/// The longest line of a source file, without its end, in bytes (observed with chronyd 4.3).
const SOURCE_LINE_LENGTH_MAX: usize = 2047;

/// Is told what a configuration says, in the order in which it says it.
pub(super) trait Visit {
    /// Returns the directive with this word.
    fn find(&self, word: &str) -> Option<&'static Directive> {
        Directive::find(word)
    }

    /// Takes a line that is no comment, before it is looked at.
    fn line(&mut self, _line: &Line<'_>, _reports: &Reports) {}

    /// Takes a `server`, `pool` or `peer`. What is wrong in it is as grave as `refused`.
    fn source(&mut self, line: &Line<'_>, kind: SourceKind, refused: Severity, reports: &mut Reports);

    /// Takes any other directive; the number of its words is right.
    fn directive(&mut self, line: &Line<'_>, directive: &'static Directive, reports: &mut Reports);
}

/// One line of a file.
pub(super) struct Line<'a> {
    pub(super) file: &'a Arc<str>,
    pub(super) number: u32,
    pub(super) text: &'a str,
    pub(super) words: Vec<Word<'a>>,
    pub(super) via: Via,
    depth: usize,
}

impl Line<'_> {
    /// Locates the word at `index`; one beyond the last is where it would be.
    pub(super) fn span(&self, index: usize) -> Span {
        let place = |word: &Word<'_>| (word.column, word.width);
        let (word, last) = (self.words.get(index), self.words.last());
        Span::of_word(self.file, self.number, word.map(place), last.map(place))
    }

    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.words.iter().skip(1).map(|word| word.text)
    }

    /// Returns the first word after the directive.
    pub(super) fn argument(&self) -> Option<String> {
        self.arguments().next().map(str::to_owned)
    }

    /// Returns the word at `index`, the directive's being 0.
    pub(super) fn word(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(|word| word.text)
    }

    /// Makes a diagnostic about the word at `index`.
    pub(super) fn diagnostic(
        &self,
        severity: Severity,
        index: usize,
        message: String,
        help: Option<String>,
    ) -> Diagnostic {
        Diagnostic {
            severity,
            span: self.span(index),
            line_text: Diagnostic::line_text(self.text),
            message,
            help,
            placed: Placed::After,
            unshown: 0,
        }
    }
}

/// What is found wrong. Where too much is, reading ends.
#[derive(Default)]
pub(super) struct Reports(Diagnostics);

impl Reports {
    pub(super) fn report(
        &mut self,
        severity: Severity,
        line: &Line<'_>,
        word: usize,
        message: String,
        help: Option<String>,
    ) {
        self.push(line.diagnostic(severity, word, message, help));
    }

    fn report_file(&mut self, severity: Severity, path: &str, message: String) {
        self.push(Diagnostic::of_file(severity, Span::of_file(path.into()), message));
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push_or_stop(diagnostic);
    }

    pub(super) fn has_errors(&self) -> bool {
        self.0.count(Severity::Error) > 0
    }

    fn is_full(&self) -> bool {
        self.0.is_full(Severity::Error)
    }

    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.0.into_vec()
    }
}

/// Follows a configuration; `visitor` is told what it says.
pub(super) struct Walk<'a> {
    reader: &'a dyn Reader,
    /// Every file that was read, in that order.
    pub(super) files: Vec<String>,
    /// What was found wrong.
    pub(super) reports: Reports,
    /// How many bytes of files may still be read.
    length_left: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(reader: &'a dyn Reader) -> Self {
        Self {
            reader,
            files: Vec::new(),
            reports: Reports::default(),
            length_left: TOTAL_LENGTH_MAX,
        }
    }

    /// Follows the configuration at `path`.
    pub(super) fn main_file(&mut self, path: &str, visitor: &mut dyn Visit) {
        if let Some(text) = self.read_file(path, None) {
            self.configuration(path, &text, Via::Main, 1, visitor);
        }
    }

    /// Follows the lines that were given as arguments.
    pub(super) fn arguments(&mut self, lines: &[String], visitor: &mut dyn Visit) {
        let file: Arc<str> = "".into();
        for (number, text) in (1..).zip(lines) {
            self.raw_line(&file, number, text, Via::Main, 1, visitor);
        }
    }

    /// Reads the source files in the directories of one `sourcedir`.
    pub(super) fn source_files(&mut self, directories: &[String], visitor: &mut dyn Visit) {
        let directories = directories.iter().map(String::as_str).collect::<Vec<_>>();
        for path in search(&directories, ".sources", self.reader) {
            self.source_file(&path, visitor);
        }
    }

    /// Returns the text of a file that is to be part of the configuration. `cited` is the line
    /// that names it.
    fn read_file(&mut self, path: &str, cited: Option<&Line<'_>>) -> Option<String> {
        let message = if self.files.len() >= FILES_MAX {
            format!("{path} is not read: there are more than {FILES_MAX} files")
        } else {
            match self.reader.read_file(path) {
                Ok(text) if text.len() > FILE_LENGTH_MAX => {
                    format!("{path} is not read: it has more than {FILE_LENGTH_MAX} bytes")
                }
                Ok(text) if text.len() > self.length_left => {
                    format!("{path} is not read: all files have more than {TOTAL_LENGTH_MAX} bytes")
                }
                Ok(text) => {
                    self.length_left -= text.len();
                    self.files.push(path.to_owned());
                    return Some(text);
                }
                Err(ReadError::IsDirectory) => return None,
                Err(error) => format!("Could not open {path} : {error}"),
            }
        };
        match cited {
            Some(line) => self.refuse_file(line, message, None),
            None => self.reports.report_file(Severity::Error, path, message),
        }
        None
    }

    /// Says that the file that a line names is not read; the original does not say by which line.
    fn refuse_file(&mut self, line: &Line<'_>, message: String, help: Option<String>) {
        self.reports.push(Diagnostic {
            placed: Placed::Nowhere,
            ..line.diagnostic(Severity::Error, 1, message, help)
        });
    }

    /// Reads a configuration file, line by line, and the files it names where it names them.
    fn configuration(&mut self, path: &str, text: &str, via: Via, depth: usize, visitor: &mut dyn Visit) {
        let file: Arc<str> = path.into();
        for (number, text) in (1..).zip(text.split('\n')) {
            self.raw_line(&file, number, text, via, depth, visitor);
        }
    }

    fn raw_line(
        &mut self,
        file: &Arc<str>,
        number: u32,
        text: &str,
        via: Via,
        depth: usize,
        visitor: &mut dyn Visit,
    ) {
        if self.reports.is_full() {
            return;
        }
        let line = Line {
            file,
            number,
            text,
            words: words(text),
            via,
            depth,
        };
        if text.len() > LINE_LENGTH_MAX {
            let message = "String too long".to_owned();
            let help = format!("a line has at most {LINE_LENGTH_MAX} bytes");
            self.reports
                .report(Severity::Error, &line, 0, message, Some(help));
        } else if text.contains('\0') {
            let message = "the line has a NUL character".to_owned();
            self.reports.report(Severity::Error, &line, 0, message, None);
        } else {
            self.line(&line, visitor);
        }
    }

    fn line(&mut self, line: &Line<'_>, visitor: &mut dyn Visit) {
        let Some(first) = line.words.first().filter(|word| !is_comment(word.text)) else {
            return;
        };
        let directive = visitor.find(first.text);
        let names_files = directive.is_some_and(|found| matches!(found.name, "include" | "confdir"));
        if !names_files {
            visitor.line(line, &self.reports);
        }
        let Some(directive) = directive else {
            let message = format!("Invalid directive {}", first.text);
            let help = if first.text.starts_with(BYTE_ORDER_MARK) {
                "the file begins with a byte order mark; remove it".to_owned()
            } else if let Some(meant) = Directive::meant_by(first.text) {
                format!("did you mean \"{meant}\"?")
            } else {
                "directives are listed in chrony.conf(5)".to_owned()
            };
            let help = Some(help);
            self.reports.report(Severity::Error, line, 0, message, help);
            return;
        };
        let reports = &mut self.reports;
        let is_other = |word: &Word<'_>| word.text.contains(char::REPLACEMENT_CHARACTER);
        if let Some(place) = line.words.iter().position(is_other) {
            let message = format!("Could not parse {} directive", directive.name);
            let help = NOT_UTF8_HELP.to_owned();
            reports.report(Severity::Error, line, place, message, Some(help));
            return;
        }
        if let Some(kind) = SourceKind::from_word(directive.name) {
            visitor.source(line, kind, Severity::Error, reports);
            return;
        }
        let arguments = line.words.len() - 1;
        let wrong = |counted: &str| match directive.counted {
            true => format!("{counted} arguments for {} directive", directive.name),
            false => format!("Could not parse {} directive", directive.name),
        };
        if arguments < directive.arguments_min {
            reports.report(Severity::Error, line, line.words.len(), wrong("Missing"), None);
            return;
        }
        if let Some(arguments_max) = directive.arguments_max.filter(|max| arguments > *max) {
            let help = "a comment needs a line of its own".to_owned();
            let message = wrong("Too many");
            reports.report(Severity::Error, line, arguments_max + 1, message, Some(help));
            return;
        }
        if directive.standing == Standing::Retired {
            let message = format!("{} directive is no longer supported", directive.name);
            reports.push(Diagnostic {
                placed: Placed::Nowhere,
                ..line.diagnostic(Severity::Warning, 0, message, None)
            });
        }
        visitor.directive(line, directive, reports);
        match directive.name {
            "include" => {
                let pattern = line.word(1).unwrap_or_default();
                match expand(pattern, self.reader) {
                    Ok(paths) => {
                        for path in paths {
                            self.nested(line, &path, Via::Include, visitor);
                        }
                    }
                    Err(error) => {
                        let message = format!("Could not search for files matching {pattern}");
                        let help = format!("{error}: directories of a pattern have to be there and readable");
                        self.refuse_file(line, message, Some(help));
                    }
                }
            }
            "confdir" => {
                let directories = line.arguments().collect::<Vec<_>>();
                for path in search(&directories, ".conf", self.reader) {
                    self.nested(line, &path, Via::ConfDir, visitor);
                }
            }
            _ => {}
        }
    }

    fn nested(&mut self, line: &Line<'_>, path: &str, via: Via, visitor: &mut dyn Visit) {
        if self.reports.is_full() {
            return;
        }
        if line.depth >= INCLUDE_DEPTH_MAX {
            let message = "Maximum include level reached".to_owned();
            let help = format!("files are nested at most {INCLUDE_DEPTH_MAX} deep");
            return self.refuse_file(line, message, Some(help));
        }
        if let Some(text) = self.read_file(path, Some(line)) {
            self.configuration(path, &text, via, line.depth + 1, visitor);
        }
    }

    /// Reads a source file, as far as a daemon reads it.
    fn source_file(&mut self, path: &str, visitor: &mut dyn Visit) {
        let text = match self.reader.read_file(path) {
            Ok(text) if text.len() <= FILE_LENGTH_MAX.min(self.length_left) => text,
            Ok(text) => {
                let message = if text.len() > FILE_LENGTH_MAX {
                    format!("{path} is not read: it has more than {FILE_LENGTH_MAX} bytes")
                } else {
                    format!("{path} is not read: all files have more than {TOTAL_LENGTH_MAX} bytes")
                };
                return self.reports.report_file(Severity::Warning, path, message);
            }
            Err(ReadError::IsDirectory) => return,
            Err(error) => {
                let message = format!("Could not open {path} : {error}");
                return self.reports.report_file(Severity::Warning, path, message);
            }
        };
        if self.files.len() >= FILES_MAX {
            let message = format!("{path} is not read: there are more than {FILES_MAX} files");
            return self.reports.report_file(Severity::Warning, path, message);
        }
        self.length_left -= text.len();
        self.files.push(path.to_owned());
        source_lines(path, &text, visitor, &mut self.reports);
    }
}

/// Reads the text of a source file, as far as a daemon reads it: a line without its end is not
/// read, and what is no source is passed over.
pub(super) fn source_lines(path: &str, text: &str, visitor: &mut dyn Visit, reports: &mut Reports) {
    let file: Arc<str> = path.into();
    for (number, text) in (1..).zip(text.split_inclusive('\n')) {
        let terminated = text.strip_suffix('\n');
        let text = terminated.unwrap_or(text);
        let line = Line {
            file: &file,
            number,
            text,
            words: words(text),
            via: Via::SourceDir,
            depth: 1,
        };
        if reports.is_full() {
            return;
        }
        if terminated.is_none() || text.len() > SOURCE_LINE_LENGTH_MAX || text.contains('\0') {
            let message = "Stopped reading".to_owned();
            let help = match terminated {
                None => "end the line with a newline".to_owned(),
                Some(_) => format!("a line has at most {SOURCE_LINE_LENGTH_MAX} bytes and no NUL"),
            };
            return reports.report(Severity::Warning, &line, 0, message, Some(help));
        }
        let Some(first) = line.words.first().filter(|word| !is_comment(word.text)) else {
            continue;
        };
        match SourceKind::from_word(first.text) {
            Some(kind) => visitor.source(&line, kind, Severity::Warning, reports),
            None => {
                let message = "Skipped what is no source".to_owned();
                let help = "a source file has server, pool and peer directives only".to_owned();
                reports.report(Severity::Warning, &line, 0, message, Some(help));
            }
        }
    }
}
