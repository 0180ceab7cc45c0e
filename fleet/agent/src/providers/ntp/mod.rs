//! Time services: which one the host has, and what the agent can do with it.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conf::include::{ReadError, Reader};
use model::host::HostFacts;
use model::{Outcome, Servers};

use super::Ledger;
use crate::host::Host;
use crate::journal::Plan;
use crate::settings::{Service, Settings};

mod chrony;
mod keepers;
mod managed;
mod ntpd;
mod openntpd;
mod services;
mod timesyncd;
mod unsupported;

use keepers::NTPD;
use services::{Family, Services};

/// What stands above managed servers.
const MANAGED_HEADER: &str =
    "Managed by timeball. Changes are reported as drift and overwritten by the next update.";

/// How much a clock may go wrong by itself from one answer of its source to the next (RFC 5905 §4, PHI).
const DRIFT_S_PER_S: f64 = 15e-6;

/// A name as it stands in a configuration, but an address in the form that is usual for it.
fn address_in_one_form(name: &str) -> String {
    name.parse()
        .map_or_else(|_| name.to_owned(), |address: IpAddr| address.to_string())
}

/// What the agent can do with a time service. Every call may block.
pub(crate) trait NtpProvider: Send + Sync {
    /// Reports the state of the clock and of its configuration.
    fn status(&self) -> Outcome;

    /// Puts these servers under management on a host that is not managed.
    fn create(&self, servers: &Servers, ledger: &mut dyn Ledger) -> Outcome;

    /// Replaces the managed servers.
    fn update(&self, servers: &Servers, ledger: &mut dyn Ledger) -> Outcome;

    /// Removes the managed servers.
    fn delete(&self, ledger: &mut dyn Ledger) -> Outcome;

    /// Finishes or undoes what was interrupted.
    fn recover(&self, plan: &Plan) -> Outcome;

    /// Makes the service read managed files.
    fn adopt(&self) -> Result<AdoptReport, String>;

    /// Removes what an interrupted agent left.
    fn sweep(&self);
}

/// What `adopt` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptReport {
    /// Whether the configuration was changed; false when it had a place for managed files already.
    pub changed: bool,
    /// The time service's configuration file.
    pub config: PathBuf,
    /// The directory for managed files.
    pub directory: PathBuf,
    /// Copy of the configuration as it was before.
    pub backup: Option<PathBuf>,
    /// What was done, for the operator, one sentence each.
    pub notes: Vec<String>,
}

/// Families that are supported.
const SUPPORTED: &str = "debian and rhel, with chrony, timeballd, ntpd, OpenNTPD or systemd-timesyncd";

/// Chooses the provider for a host with these facts.
pub(super) fn select(host: &Arc<dyn Host>, facts: &HostFacts, settings: &Settings) -> Box<dyn NtpProvider> {
    let family = facts.os_family.as_str();
    let observes = matches!(settings.service, Service::Observer(_));
    if facts.containerized && !observes {
        return Box::new(unsupported::Unsupported {
            reason: format!(
                "this host is a container (family {family}): its clock belongs to the machine below; supported \
                 are hosts of the families {SUPPORTED}"
            ),
        });
    }
    // timeballd is the same everywhere.
    let of_timeballd = (observes || settings.service == Service::Timeballd).then_some(Family::Debian);
    match Family::of(family).or(of_timeballd) {
        Some(family) => Box::new(Services::new(host, family, settings)),
        None => Box::new(unsupported::Unsupported {
            reason: format!(
                "operation not supported on this OS family ({}); supported are {SUPPORTED}",
                if family.is_empty() { "unknown" } else { family }
            ),
        }),
    }
}

/// Whether a time service runs that the agent can ask, wherever a distribution may have it.
pub(crate) fn any_runs(host: &Arc<dyn Host>, settings: &Settings) -> bool {
    [Family::Debian, Family::Rhel]
        .into_iter()
        .any(|family| Services::new(host, family, settings).any_runs())
}

/// The time services whose processes run on a host, and whether each may set its clock.
pub(crate) fn running_services(host: &dyn Host) -> Vec<(&'static str, bool)> {
    let running = keepers::running(host);
    running
        .iter()
        .map(|process| (process.program, process.sets_clock))
        .collect()
}

/// Lets the parsers of configuration files read a host's files.
struct HostReader<'a>(&'a dyn Host);

impl Reader for HostReader<'_> {
    fn read_file(&self, path: &str) -> Result<String, ReadError> {
        let content = self.0.read(Path::new(path)).map_err(read_error)?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
        self.0.list(Path::new(path)).map_err(read_error)
    }
}

/// Lets the parsers of configuration files read one text.
struct TextReader<'a>(&'a str);

impl Reader for TextReader<'_> {
    fn read_file(&self, _path: &str) -> Result<String, ReadError> {
        Ok(self.0.to_owned())
    }

    fn list_dir(&self, _path: &str) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes the value")]
fn read_error(error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::NotFound,
        io::ErrorKind::NotADirectory => ReadError::NotDirectory,
        io::ErrorKind::IsADirectory => ReadError::IsDirectory,
        io::ErrorKind::PermissionDenied => ReadError::PermissionDenied,
        _ => ReadError::Other(error.to_string()),
    }
}
