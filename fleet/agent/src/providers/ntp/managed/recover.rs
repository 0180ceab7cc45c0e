//! Interrupted changes: finished when everything is in place and the daemon takes it, else undone.

use model::{Change, Failure, FailureKind, Outcome};

use super::{Backend, Managed};
use crate::digest::sha256_hex;
use crate::journal::{Effect, FileChange, Names, Plan};

impl<B: Backend> Managed<B> {
    /// Finishes or undoes a change in the middle of which the agent was stopped.
    pub(super) fn finish_or_undo(&self, plan: &Plan) -> Outcome {
        // After a power failure the daemon starts at the same time; what it has read is known when it answers.
        // When it does not run at all, it will read what is left here.
        let _ = self.verify(&Names::default(), Effect::Reload);
        let is_next = |change: &FileChange| self.holds(&change.path, change.next.as_ref());
        let is_former = |change: &FileChange| self.holds(&change.path, change.former.as_ref());
        if let Some(strange) = plan
            .files
            .iter()
            .find(|change| !is_next(change) && !is_former(change))
        {
            return interrupted(
                false,
                &format!(
                    "{} was changed by somebody else since, and was left as it is",
                    strange.path.display()
                ),
            );
        }
        let mut why = "it was not complete".to_owned();
        if plan.files.iter().all(is_next) {
            match self.carry_out(plan) {
                Ok(()) => return finished(plan),
                Err(error) => why = error.to_string(),
            }
        }
        match self.undo(plan) {
            Ok(how) => interrupted(true, &format!("{why}; {how}")),
            Err(how) => interrupted(false, &format!("{why}; {how}")),
        }
    }
}

fn finished(plan: &Plan) -> Outcome {
    let file = plan.files.first();
    Outcome::Changed(Change {
        path: file
            .map(|change| change.path.display().to_string())
            .unwrap_or_default(),
        sha256: file
            .and_then(|change| change.next.as_ref())
            .map(|content| sha256_hex(&content.0)),
        notes: vec![
            "the agent was stopped in the middle of this job and finished it when it was started again"
                .to_owned(),
        ],
    })
}

fn interrupted(rolled_back: bool, how: &str) -> Outcome {
    Outcome::Failed(Failure {
        kind: FailureKind::Interrupted,
        error: format!("the agent was stopped in the middle of this job: {how}"),
        rolled_back: Some(rolled_back),
    })
}
