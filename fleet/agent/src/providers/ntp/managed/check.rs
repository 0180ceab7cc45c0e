//! A configuration, looked at by the daemon's own checker before it is put in place.

use std::time::Duration;

use model::{Failure, FailureKind};

use super::{Common, told};
use crate::host::{Access, CommandOutput};

/// How long the checker may take.
const TIMEOUT: Duration = Duration::from_secs(10);

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
