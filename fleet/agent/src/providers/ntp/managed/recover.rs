//! Interrupted changes: finished when everything is in place and the daemon takes it, else undone.

use model::{Change, Failure, FailureKind, Outcome};

use super::{Backend, Managed};
use crate::digest::sha256_hex;
use crate::journal::{Effect, FileChange, Names, Plan};
use crate::providers::ntp::keepers::Keeper;

impl<B: Backend> Managed<B> {
    /// Finishes or undoes a change in the middle of which the agent was stopped.
    pub(super) fn finish_or_undo(&self, plan: &Plan) -> Outcome {
        // After a power failure the daemon starts at the same time; what it has read is known when it answers.
        let answers = self.verify(&Names::default(), Effect::Reload).is_ok();
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
        let is_complete = plan.files.iter().all(is_next);
        // A restart would start it.
        if let Some(why) = self.is_not_to_start(answers)
            && plan.effect == Effect::Restart
        {
            return self.put_back(plan, &why);
        }
        let mut why = "it was not complete".to_owned();
        if is_complete {
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

    /// Why the daemon must not be restarted, when somebody has put it out of service since.
    fn is_not_to_start(&self, answers: bool) -> Option<String> {
        let daemon = self.daemon();
        let keepers = self.backend.common().processes.keepers();
        let others: Vec<String> = keepers
            .iter()
            .filter(|keeper| keeper.program != daemon)
            .map(Keeper::to_string)
            .collect();
        match (answers, others.as_slice()) {
            (true, []) => None,
            (true, _) if self.backend.has_keeper() => None,
            (_, []) => Some(format!("{daemon} does not run")),
            (_, others) => Some(format!(
                "{daemon} does not run, and {} keeps the clock",
                others.join(", ")
            )),
        }
    }

    /// Puts the former files of a daemon that is out of service back, and tells nobody.
    fn put_back(&self, plan: &Plan, why: &str) -> Outcome {
        let daemon = self.daemon();
        match self.put_files(&plan.reversed()) {
            Ok(()) => interrupted(
                true,
                &format!(
                    "{why}; the former file is in place; {daemon} was not started, and reads it when it is"
                ),
            ),
            Err(error) => interrupted(false, &format!("{why}; {error}")),
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
        warnings: Vec::new(),
    })
}

/// What became of a change that was interrupted.
pub(in crate::providers::ntp) fn interrupted(rolled_back: bool, how: &str) -> Outcome {
    Outcome::Failed(Failure {
        kind: FailureKind::Interrupted,
        error: format!("the agent was stopped in the middle of this job: {how}"),
        rolled_back: Some(rolled_back),
    })
}
