//! Hosts whose time service the agent cannot manage: every operation is skipped, with the reason.

use model::{Failure, FailureKind, Outcome, Servers};

use super::{AdoptReport, NtpProvider};
use crate::journal::Plan;
use crate::providers::Ledger;

/// A host whose time service the agent cannot manage.
pub(super) struct Unsupported {
    pub(super) reason: String,
}

impl Unsupported {
    fn skipped(&self) -> Outcome {
        Outcome::Skipped {
            reason: self.reason.clone(),
        }
    }
}

impl NtpProvider for Unsupported {
    fn status(&self) -> Outcome {
        self.skipped()
    }

    fn create(&self, _servers: &Servers, _ledger: &mut dyn Ledger) -> Outcome {
        self.skipped()
    }

    fn update(&self, _servers: &Servers, _ledger: &mut dyn Ledger) -> Outcome {
        self.skipped()
    }

    fn delete(&self, _ledger: &mut dyn Ledger) -> Outcome {
        self.skipped()
    }

    fn recover(&self, plan: &Plan) -> Outcome {
        let files: Vec<String> = plan
            .files
            .iter()
            .map(|change| change.path.display().to_string())
            .collect();
        Outcome::Failed(Failure {
            kind: FailureKind::Interrupted,
            error: format!(
                "the agent was stopped in the middle and cannot put it right: {}; look at {}",
                self.reason,
                files.join(", ")
            ),
            rolled_back: Some(false),
        })
    }

    fn adopt(&self) -> Result<AdoptReport, String> {
        Err(self.reason.clone())
    }

    fn sweep(&self) {}
}
