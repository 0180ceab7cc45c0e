//! One line while it is read, and what is said about it.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, Placed, Severity, Span};
use crate::explain::Fate;
use crate::ntp::directives::Directive;
use crate::ntp::lexer::Word;
use crate::words::near;

/// One line that is no comment.
pub(super) struct Line<'a> {
    pub(super) file: &'a Arc<str>,
    pub(super) number: u32,
    pub(super) text: &'a str,
    pub(super) words: &'a [Word],
}

impl Line<'_> {
    /// Locates the word at `index`; one beyond the last is where it would be.
    pub(super) fn span(&self, index: usize) -> Span {
        let place = |word: &Word| (word.column, word.width);
        let (word, last) = (self.words.get(index), self.words.last());
        Span::of_word(self.file, self.number, word.map(place), last.map(place))
    }

    /// Makes a diagnostic about the word at `index`.
    pub(super) fn diagnostic(
        &self,
        severity: Severity,
        index: usize,
        message: String,
        help: &str,
    ) -> Diagnostic {
        Diagnostic {
            severity,
            span: self.span(index),
            line_text: Diagnostic::line_text(self.text),
            message,
            help: (!help.is_empty()).then(|| help.to_owned()),
            placed: Placed::Before,
            unshown: 0,
        }
    }
}

/// Says that a line cannot be taken, which has been reported.
#[derive(Debug)]
pub(super) struct Refused;

/// One directive while it is read.
pub(super) struct Statement<'a> {
    pub(super) line: &'a Line<'a>,
    pub(super) directive: &'static Directive,
    pub(super) diagnostics: &'a mut Diagnostics,
    /// Words that are accepted without effect, all lines together.
    pub(super) idle: &'a mut IdleWords,
    /// What becomes of the line.
    pub(super) fate: Fate,
    pub(super) chrony: Vec<String>,
    pub(super) left_out: Vec<String>,
    pub(super) note: Option<String>,
}

/// The words without effect of a configuration, for one notice about them all.
#[derive(Default)]
pub(super) struct IdleWords {
    /// Each word with the numbers of its first lines, in the order of their first.
    words: Vec<(String, Vec<u32>)>,
    /// How many words were added, and how many of them to none of the words above.
    count: usize,
    unnamed: usize,
    /// The first of them.
    first: Option<Diagnostic>,
}

impl IdleWords {
    /// More words than these are counted and not named.
    const WORDS_MAX: usize = 20;
    /// More characters of a word than these are not shown.
    const LENGTH_MAX: usize = 40;
    /// More lines of a word than these are not named.
    const LINES_MAX: usize = 5;

    /// Adds the word at an index of a line.
    fn add(&mut self, at: &Line<'_>, index: usize) {
        let line = at.number;
        let word = at.words.get(index).map_or("", |word| word.text.as_str());
        let shown = word.chars().take(Self::LENGTH_MAX).collect::<String>();
        self.count += 1;
        let is_full = self.words.len() >= Self::WORDS_MAX;
        match self.words.iter_mut().find(|(known, _)| *known == shown) {
            Some((_, lines)) if lines.len() <= Self::LINES_MAX && lines.last() != Some(&line) => {
                lines.push(line);
            }
            Some(_) => {}
            None if is_full => self.unnamed += 1,
            None => self.words.push((shown, vec![line])),
        }
        let diagnostic = || at.diagnostic(Severity::Warning, index, String::new(), "");
        self.first.get_or_insert_with(diagnostic);
    }

    /// The number of words that were added.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Returns the notice, if there are any.
    pub(super) fn into_diagnostic(self) -> Option<Diagnostic> {
        let first = self.first?;
        let words = self.words.iter().map(|(word, lines)| {
            let more = if lines.len() > Self::LINES_MAX {
                ", …"
            } else {
                ""
            };
            let numbers = lines.iter().take(Self::LINES_MAX).map(u32::to_string);
            let numbers = numbers.collect::<Vec<_>>().join(", ");
            let plural = if lines.len() > 1 { "s" } else { "" };
            format!("{word} (line{plural} {numbers}{more})")
        });
        let more = match self.unnamed {
            0 => String::new(),
            unnamed => format!(", and {unnamed} more"),
        };
        let words = words.collect::<Vec<_>>().join(", ");
        let message = format!("accepted without effect: {words}{more}");
        Some(Diagnostic {
            severity: Severity::Warning,
            message,
            help: Some("nothing is missing; these words can go".to_owned()),
            ..first
        })
    }
}

impl Statement<'_> {
    /// Returns the word at an index, empty if there is none.
    pub(super) fn word(&self, index: usize) -> &str {
        self.line.words.get(index).map_or("", |word| word.text.as_str())
    }

    /// The number of words, the directive's included.
    pub(super) fn len(&self) -> usize {
        self.line.words.len()
    }

    /// Says that the line cannot be taken.
    pub(super) fn refuse<T>(&mut self, word: usize, message: String, help: &str) -> Result<T, Refused> {
        self.refuse_as(self.refusal(), word, message, help)
    }

    /// Returns how the daemon takes it that the line cannot be taken.
    const fn refusal(&self) -> Severity {
        if self.directive.security {
            Severity::Error
        } else {
            Severity::Skipped
        }
    }

    /// Says that the line cannot be taken, and how the daemon takes that.
    pub(super) fn refuse_as<T>(
        &mut self,
        severity: Severity,
        word: usize,
        message: String,
        help: &str,
    ) -> Result<T, Refused> {
        self.fate = Fate::Refused;
        self.note = Some(message.clone());
        let make = || self.line.diagnostic(severity, word, message, help);
        self.diagnostics.push_with(severity, make);
        Err(Refused)
    }

    /// Says that the line does not do what it says, or not all of it.
    pub(super) fn warn(&mut self, word: usize, message: String, help: &str) {
        self.adapt(&message);
        let make = || self.line.diagnostic(Severity::Warning, word, message, help);
        self.diagnostics.push_with(Severity::Warning, make);
    }

    /// Says that words have no effect although something is missing then.
    pub(super) fn leave_out(&mut self, words: Range<usize>, message: String, help: &str) {
        let said = words.clone().filter(|at| *at > 0).map(|at| self.word(at));
        let said = std::iter::once(self.directive.name).chain(said);
        let said = said.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        self.left_out.push(said);
        self.warn(words.start, message, help);
    }

    /// Notes that the line does something near to what it says, which nobody has to be told of at the start.
    pub(super) fn adapt(&mut self, note: &str) {
        self.fate = self.fate.max(Fate::Adapted);
        match &mut self.note {
            Some(notes) => {
                notes.push_str("; ");
                notes.push_str(note);
            }
            None => self.note = Some(note.to_owned()),
        }
    }

    /// Notes that a word has no effect.
    pub(super) fn idle(&mut self, word: usize) {
        self.idle.add(self.line, word);
    }

    /// Adds a line of chrony.conf that this one amounts to.
    pub(super) fn amounts_to(&mut self, line: impl Into<String>) {
        self.chrony.push(line.into());
    }

    /// Says that a word is none of those that are expected.
    pub(super) fn unknown<T>(&mut self, word: usize, what: &str, known: &[&str]) -> Result<T, Refused> {
        let text = self.word(word).to_owned();
        let name = self.directive.name;
        let message = format!("unknown {what} \"{text}\" of \"{name}\"");
        // What is not shown needs no help, which takes its time to find.
        let is_shown = !self.diagnostics.is_full(self.refusal());
        let meant = is_shown.then(|| near(&text, known)).flatten();
        let help = match meant {
            Some(meant) => format!("did you mean {meant}? ntpd skips the whole line"),
            None => "ntpd skips the whole line".to_owned(),
        };
        self.refuse(word, message, &help)
    }

    /// Reads the word at an index as an integer of a range.
    pub(super) fn integer(&mut self, word: usize, min: i64, max: i64) -> Result<i64, Refused> {
        let value = integer(self.word(word)).filter(|value| (min..=max).contains(value));
        match value {
            Some(value) => Ok(value),
            None => self.wrong_value(word, &format!("it takes an integer from {min} to {max}")),
        }
    }

    /// Reads the word at an index as a number of a range.
    pub(super) fn number(&mut self, word: usize, min: f64, max: f64) -> Result<f64, Refused> {
        let value = number(self.word(word)).filter(|value| (min..=max).contains(value));
        match value {
            Some(value) => Ok(value),
            None => self.wrong_value(word, &format!("it takes a number from {min} to {max}")),
        }
    }

    /// Says that a value is missing or wrong.
    pub(super) fn wrong_value<T>(&mut self, word: usize, help: &str) -> Result<T, Refused> {
        let is_word = |text: &&str| text.contains(char::is_alphanumeric);
        let of = [self.word(word - 1)].into_iter().find(is_word);
        let of = of.unwrap_or(self.directive.name).to_owned();
        let message = match self.word(word) {
            "" => format!("missing value after \"{of}\""),
            text => format!("\"{text}\" is no value for \"{of}\""),
        };
        self.refuse(word, message, help)
    }

    /// Returns the only word after the directive, which takes one that is not empty.
    pub(super) fn only_word(&mut self, what: &str) -> Result<String, Refused> {
        if self.word(1).is_empty() {
            let message = format!("missing {what} after \"{}\"", self.directive.name);
            return self.refuse(1, message, "");
        }
        self.no_more(2)?;
        Ok(self.word(1).to_owned())
    }

    /// Looks that there are no words from an index on.
    pub(super) fn no_more(&mut self, from: usize) -> Result<(), Refused> {
        if self.len() > from {
            let message = format!("\"{}\" has one word too many", self.directive.name);
            return self.refuse(from, message, "a comment begins with #");
        }
        Ok(())
    }
}

/// Reads an integer, decimal or hexadecimal.
pub(super) fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with(['+', '-']) => i64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Reads a number, also one that is written as an integer.
pub(super) fn number(text: &str) -> Option<f64> {
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    let parsed = text.parse::<f64>().ok().filter(|_| is_number);
    parsed
        .filter(|value| value.is_finite())
        .or_else(|| u32::try_from(integer(text)?).ok().map(f64::from))
}
