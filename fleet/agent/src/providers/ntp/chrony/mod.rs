//! chrony: asks chronyd through its own command protocol, and manages a file of servers beside the host's
//! own configuration.
//!
//! Every change follows one path: survey what is there, decide, plan, write the plan down, carry it out,
//! verify with the daemon, record. A step that fails undoes the plan.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Outcome, Servers};

use super::{AdoptReport, NtpProvider};
use crate::host::Host;
use crate::journal::Plan;
use crate::providers::Ledger;
use crate::settings::{Chrony, Settings};

mod adopt;
mod apply;
mod change;
mod daemon;
mod lines;
mod recover;
mod status;
mod survey;

#[cfg(test)]
mod tests;

/// The provider for hosts with chrony.
pub(crate) struct ChronyProvider {
    host: Arc<dyn Host>,
    family: Family,
    settings: Chrony,
    /// The agent's record of what it wrote.
    record: PathBuf,
    /// Since when, since boot, no source has been usable; absent while one is.
    unusable_since: Mutex<Option<Duration>>,
}

/// Families of distributions, which differ in paths and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Debian,
    Rhel,
}

impl Family {
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "debian" => Some(Family::Debian),
            "rhel" => Some(Family::Rhel),
            _ => None,
        }
    }

    /// chronyd's configuration file.
    fn config(self) -> &'static str {
        match self {
            Family::Debian => "/etc/chrony/chrony.conf",
            Family::Rhel => "/etc/chrony.conf",
        }
    }

    /// systemd's name for chronyd.
    fn unit(self) -> &'static str {
        match self {
            Family::Debian => "chrony",
            Family::Rhel => "chronyd",
        }
    }

    /// How chrony is installed.
    fn install(self) -> &'static str {
        match self {
            Family::Debian => "apt-get install chrony",
            Family::Rhel => "dnf install chrony",
        }
    }
}

impl ChronyProvider {
    pub(crate) fn new(host: Arc<dyn Host>, family: Family, settings: &Settings) -> Self {
        ChronyProvider {
            host,
            family,
            settings: settings.chrony.clone(),
            record: settings.state.join("ntp.json"),
            unusable_since: Mutex::new(None),
        }
    }

    fn config(&self) -> PathBuf {
        let usual = PathBuf::from(self.family.config());
        self.settings.config.clone().unwrap_or(usual)
    }

    fn restart_command(&self) -> Vec<String> {
        let usual = || {
            ["systemctl", "restart", self.family.unit()]
                .map(str::to_owned)
                .to_vec()
        };
        self.settings.restart_command.clone().unwrap_or_else(usual)
    }
}

impl NtpProvider for ChronyProvider {
    fn status(&self) -> Outcome {
        self.read_status()
    }

    fn create(&self, servers: &Servers, ledger: &mut dyn Ledger) -> Outcome {
        self.put(servers, change::Verb::Create, ledger)
            .unwrap_or_else(Outcome::Failed)
    }

    fn update(&self, servers: &Servers, ledger: &mut dyn Ledger) -> Outcome {
        self.put(servers, change::Verb::Update, ledger)
            .unwrap_or_else(Outcome::Failed)
    }

    fn delete(&self, ledger: &mut dyn Ledger) -> Outcome {
        self.remove(ledger).unwrap_or_else(Outcome::Failed)
    }

    fn recover(&self, plan: &Plan) -> Outcome {
        self.finish_or_undo(plan)
    }

    fn adopt(&self) -> Result<AdoptReport, String> {
        self.make_place()
    }

    fn sweep(&self) {
        let survey = self.survey();
        for directory in survey.directories() {
            // A directory that does not exist has nothing to sweep.
            let _ = self.host.sweep(&directory);
        }
    }
}
