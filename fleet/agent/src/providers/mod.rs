//! Providers: what the host's own services can do for an operation.

use std::io;
use std::sync::Arc;

use model::host::HostFacts;
use model::{Operation, Outcome};

use crate::host::Host;
use crate::journal::Plan;
use crate::settings::Settings;

pub(crate) mod ntp;

use ntp::{AdoptReport, NtpProvider};

/// The providers of one host.
pub(crate) struct Providers {
    ntp: Box<dyn NtpProvider>,
}

/// Where a provider writes down what it is about to do.
pub(crate) trait Ledger {
    /// Writes a plan down.
    ///
    /// # Errors
    /// When that failed; nothing must be touched then.
    fn plan(&mut self, plan: &Plan) -> io::Result<()>;
}

impl Providers {
    /// Chooses the providers for a host with these facts.
    pub(crate) fn select(host: &Arc<dyn Host>, facts: &HostFacts, settings: &Settings) -> Self {
        Providers {
            ntp: ntp::select(host, facts, settings),
        }
    }

    /// Performs an operation.
    pub(crate) fn perform(&self, operation: &Operation, ledger: &mut dyn Ledger) -> Outcome {
        match operation {
            Operation::NtpGet => self.ntp.status(),
            Operation::NtpCreate(servers) => self.ntp.create(servers, ledger),
            Operation::NtpUpdate(servers) => self.ntp.update(servers, ledger),
            Operation::NtpDelete => self.ntp.delete(ledger),
        }
    }

    /// Finishes or undoes an operation that was interrupted.
    pub(crate) fn recover(&self, operation: &Operation, plan: &Plan) -> Outcome {
        match operation {
            Operation::NtpGet | Operation::NtpCreate(_) | Operation::NtpUpdate(_) | Operation::NtpDelete => {
                self.ntp.recover(plan)
            }
        }
    }

    /// The state of the host's clock for a heartbeat.
    pub(crate) fn status(&self) -> Outcome {
        self.ntp.status()
    }

    /// Makes the host's time service read managed files.
    pub(crate) fn adopt(&self) -> Result<AdoptReport, String> {
        self.ntp.adopt()
    }

    /// Removes what an interrupted agent left.
    pub(crate) fn sweep(&self) {
        self.ntp.sweep();
    }
}
