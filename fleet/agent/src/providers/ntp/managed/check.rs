//! A configuration, looked at by the daemon's own checker before the daemon has to start with it.

use std::time::Duration;

use model::{Failure, FailureKind};

use super::apply::StepError;
use super::{Backend, Common, Managed, told};
use crate::host::{Access, CommandOutput};

/// How long the checker may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How a daemon's configuration is looked at in its place.
pub(in crate::providers::ntp) enum Checker {
    /// The daemon has no checker for that.
    None,
    /// It has, and this is why it cannot be used.
    Unusable(String),
    /// The command.
    Command(Vec<String>),
}

impl<B: Backend> Managed<B> {
    /// Lets the daemon's own checker look at the whole configuration where it is: a security module may keep the daemon's
    /// program from reading any other file. Says why that could not be done.
    ///
    /// # Errors
    /// In the checker's words.
    pub(super) fn check_in_place(&self) -> Result<Option<String>, StepError> {
        let not_done = |reason: String| {
            let daemon = self.daemon();
            Ok(Some(format!(
                "{daemon}'s own checker did not look at the new file before the restart: {reason}"
            )))
        };
        let command = match self.backend.checker() {
            Checker::None => return Ok(None),
            Checker::Unusable(reason) => return not_done(reason),
            Checker::Command(command) => command,
        };
        match self.host().run(&command, TIMEOUT) {
            Ok(output) if output.success => Ok(None),
            // It names the file in which the mistake is.
            Ok(output) if output.text.contains(&*self.backend.config().to_string_lossy()) => {
                Err(StepError::Mistake {
                    daemon: self.daemon(),
                    told: told(&output),
                })
            }
            Ok(output) => not_done(format!("`{}`: {}", command.join(" "), told(&output))),
            Err(error) => not_done(format!("`{}`: {error}", command.join(" "))),
        }
    }
}

impl Common {
    /// Runs a checker, given the path of what it is to look at, on a copy of this content.
    ///
    /// # Errors
    /// In the checker's words. There is none where it does not take an empty file either: then the daemon has no such
    /// checker, or may not read the copy, and its restart is the check.
    pub(in crate::providers::ntp) fn check_copy(
        &self,
        content: &[u8],
        command: impl Fn(String) -> Vec<String>,
    ) -> Result<(), Failure> {
        let copy = self.record.with_file_name("check.conf");
        let run = |content: &[u8]| -> Option<CommandOutput> {
            self.host.replace(&copy, content, Access::Private).ok()?;
            self.host.run(&command(copy.display().to_string()), TIMEOUT).ok()
        };
        let can_check = run(b"").is_some_and(|output| output.success);
        let checked = if can_check { run(content) } else { None };
        // A copy that stays is written over by the next check.
        let _ = self.host.remove(&copy);
        match checked {
            Some(output) if !output.success => Err(Failure::new(
                FailureKind::DaemonRefused,
                format!(
                    "{} would not start with these servers: {}",
                    self.identity.daemon,
                    told(&output)
                ),
            )),
            _ => Ok(()),
        }
    }
}
