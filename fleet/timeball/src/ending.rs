//! How a command ends, and the exit code that says so.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// What every command gives back.
pub(crate) type Ending = Result<Verdict, Failure>;

/// What a command that did its work found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything is done; exit code 0.
    Done,
    /// Some host failed or did not answer, the one host that was asked for was skipped, or the answer to a yes-or-no
    /// question is no; exit code 1.
    SomeFailed,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Whoever read the output has seen enough; exit code 0, as for any well-behaved filter.
    #[error("the reader of the output went away")]
    BrokenPipe,
    /// Wrong use, no way to the controller, or its refusal: what is wrong and what to do; exit code 2.
    #[error("{0}")]
    Refused(String),
    /// As [`Failure::Refused`], by the API, which gave this object as its reason; exit code 2.
    #[error("{text}")]
    RefusedByApi { text: String, body: Vec<u8> },
}

impl Failure {
    /// Makes a refusal from its text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Failure::Refused(text.into())
    }
}

/// Output that cannot be written ends the command.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::Refused(format!("cannot write the output: {error}")),
        }
    }
}

/// Prints the failure, if it is one, on one line and gives the exit code.
pub(crate) fn exit_code(ending: &Ending) -> ExitCode {
    match ending {
        Ok(Verdict::Done) | Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Ok(Verdict::SomeFailed) => ExitCode::from(1),
        Err(Failure::Refused(text) | Failure::RefusedByApi { text, .. }) => {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "timeball: {text}");
            ExitCode::from(2)
        }
    }
}
