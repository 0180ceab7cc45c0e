//! What each line of a configuration becomes.

use crate::diagnostic::{Severity, Span};

/// Says what one line of a configuration becomes. Comments and blank lines have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Where the line is; the column is that of its first word, the width that of the line from there on.
    pub span: Span,
    /// The line, without white space around it.
    pub text: String,
    /// What becomes of it.
    pub fate: Fate,
    /// The lines of chrony.conf that it amounts to; none if it has no effect, or if chrony has no word for it, which
    /// `note` says then.
    pub chrony: Vec<String>,
    /// What of it timeballd leaves out although something is missing then: each time the directive and the words.
    pub left_out: Vec<String>,
    /// Why, where the fate does not say everything.
    pub note: Option<String>,
}

/// Says what becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It does what it says.
    Used,
    /// It does something near to what it says.
    Adapted,
    /// It has no effect, and nothing is wrong with that.
    Ignored,
    /// It cannot be taken. The diagnostic for the line says whether the daemon starts without it.
    Refused,
}

impl Fate {
    /// Returns its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Adapted => "adapted",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        }
    }
}

impl Explanation {
    /// Takes into account what was found wrong with this line.
    pub(crate) fn heed(&mut self, severity: Severity, message: &str) {
        let fate = match severity {
            Severity::Error | Severity::Skipped => Fate::Refused,
            Severity::Warning => Fate::Adapted,
        };
        if fate > self.fate || (fate == self.fate && self.note.is_none()) {
            self.note = Some(message.to_owned());
        }
        self.fate = self.fate.max(fate);
        if self.fate == Fate::Refused {
            self.chrony.clear();
        }
    }
}
