//! Plans: what a job is about to do to the host, written down so that it can be finished or undone.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// What a job is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The time daemon's files, in the order in which they change.
    pub files: Vec<FileChange>,
    /// The agent's own record, which changes last.
    pub record: FileChange,
    /// How the daemon is told.
    pub effect: Effect,
    /// What the daemon must have afterwards.
    pub next: Names,
    /// What the daemon must have when the job is undone.
    pub former: Names,
}

/// The change of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Absolute path.
    pub path: PathBuf,
    /// What was there before; absent when nothing was.
    pub former: Option<Content>,
    /// What will be there; absent when the file is removed.
    pub next: Option<Content>,
}

/// How the time daemon is told about changed files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is asked to read its source files again.
    Reload,
    /// It is restarted.
    Restart,
}

/// Names of sources that the daemon must have, and must not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// It must have each of them.
    pub present: Vec<String>,
    /// It must have none of them.
    pub absent: Vec<String>,
}

/// Content of a file, as base64 in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Content(pub Vec<u8>);

impl From<Content> for String {
    fn from(content: Content) -> String {
        BASE64.encode(content.0)
    }
}

impl TryFrom<String> for Content {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64.decode(text).map(Content)
    }
}

impl Plan {
    /// The plan that undoes this one.
    #[must_use]
    pub fn reversed(&self) -> Plan {
        let reversed = |change: &FileChange| FileChange {
            path: change.path.clone(),
            former: change.next.clone(),
            next: change.former.clone(),
        };
        Plan {
            files: self.files.iter().rev().map(reversed).collect(),
            record: reversed(&self.record),
            effect: self.effect,
            next: self.former.clone(),
            former: self.next.clone(),
        }
    }
}
