//! Why a value was refused, in the words an operator can act on.

use std::fmt;

/// A refused value: which field, what is wrong with it, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the field as the sender wrote it, such as `servers[1].minpoll`; empty for the whole body.
    pub field: String,
    /// What is wrong, without the value's full length: long values are cut.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

impl Invalid {
    /// Makes a refusal from its three parts.
    pub fn new(field: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Invalid {
            field: field.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// Puts the refusal below an outer field: `minpoll` in `servers[1]` is `servers[1].minpoll`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = match (outer, self.field.as_str()) {
            ("", _) => self.field,
            (outer, "") => outer.to_owned(),
            (outer, inner) if inner.starts_with('[') => format!("{outer}{inner}"),
            (outer, inner) => format!("{outer}.{inner}"),
        };
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for Invalid {}

/// Shows a stranger's text in an error: quoted, escaped, cut to 60 characters.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let cut = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{cut}\"", shown.escape_debug())
}

/// Makes a message with a stranger's words in it one line, and cuts it.
pub(crate) fn one_line(message: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 400;
    let printable = |character: char| if character.is_control() { '?' } else { character };
    message.chars().take(SHOWN_CHARS_MAX).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_field_problem_and_remedy() {
        let refused = Invalid::new("minpoll", "99 is too large", "give -6 to 24").within("servers[1]");
        assert_eq!(
            refused.to_string(),
            "servers[1].minpoll: 99 is too large; give -6 to 24"
        );
    }

    #[test]
    fn a_message_with_a_strangers_words_is_one_line() {
        assert_eq!(one_line("unknown field `a\nb\u{1b}`"), "unknown field `a?b?`");
        assert_eq!(one_line(&"x".repeat(10_000)).len(), 400);
    }

    #[test]
    fn a_strangers_text_is_escaped_and_cut() {
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        assert!(quoted(&"x".repeat(10_000)).chars().count() < 70);
    }
}
