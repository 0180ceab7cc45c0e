//! chrony and timeballd: asks the daemon through chrony's command protocol, and manages a file of servers beside
//! the host's own configuration. What differs between the daemons is a table, [`service`].
//!
//! Every change follows one path: survey what is there, decide, plan, write the plan down, carry it out,
//! verify with the daemon, record. A step that fails undoes the plan.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Outcome, Servers};
use wire::candm::Request;

use super::keepers::{self, Keeper};
use super::{AdoptReport, NtpProvider};
use crate::host::Host;
use crate::journal::Plan;
use crate::providers::Ledger;
use crate::settings::{Observer, TimeService};

mod adopt;
mod apply;
mod change;
mod daemon;
mod lines;
mod recover;
pub(super) mod service;
mod status;
mod survey;
mod version;

#[cfg(test)]
mod tests;

use daemon::DaemonError;
use service::Service;
use version::KnownVersion;

/// The provider for a daemon that is configured and asked as chronyd is.
pub(crate) struct ChronyProvider {
    host: Arc<dyn Host>,
    service: &'static Service,
    settings: TimeService,
    /// Where the daemon only observes, and belongs to the agent's user.
    observer: Option<Observer>,
    /// The agent's record of what it wrote.
    record: PathBuf,
    /// Since when, since boot, no source has been usable; absent while one is.
    unusable_since: Mutex<Option<Duration>>,
    version: Mutex<Option<KnownVersion>>,
}

impl ChronyProvider {
    pub(crate) fn new(
        host: Arc<dyn Host>,
        service: &'static Service,
        settings: TimeService,
        state: &Path,
    ) -> Self {
        ChronyProvider {
            host,
            service,
            settings,
            observer: None,
            record: state.join(service.record),
            unusable_since: Mutex::new(None),
            version: Mutex::new(None),
        }
    }

    /// The provider for a timeballd that only observes.
    pub(crate) fn observing(host: Arc<dyn Host>, observer: &Observer, state: &Path) -> Self {
        let settings = TimeService {
            config: Some(observer.config()),
            socket: Some(observer.socket()),
            ..TimeService::default()
        };
        ChronyProvider {
            observer: Some(observer.clone()),
            ..ChronyProvider::new(host, &service::OBSERVER, settings, state)
        }
    }

    /// The service it is for.
    pub(super) fn service(&self) -> &'static Service {
        self.service
    }

    /// Whether the daemon only observes.
    pub(super) fn observes(&self) -> bool {
        self.observer.is_some()
    }

    /// Whether the plan is one of this provider's.
    pub(super) fn made(&self, plan: &Plan) -> bool {
        plan.record.path == self.record
    }

    /// Whether the host shows signs of the service.
    pub(super) fn is_there(&self) -> bool {
        self.host.kind(&self.config()).is_ok() || self.has_socket()
    }

    /// Whether the service has its socket, or at least the socket's directory, which others than root cannot enter;
    /// systemd removes it with the service.
    pub(super) fn has_socket(&self) -> bool {
        let socket = self.settings.socket.clone();
        let socket = socket.unwrap_or_else(|| PathBuf::from(self.service.socket));
        let absent = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        !self.host.kind(&socket).is_err_and(absent)
    }

    /// The daemon's socket as its configuration says at this moment, unless it has none.
    pub(super) fn socket_now(&self) -> Option<PathBuf> {
        self.socket(&self.conf_now())
    }

    /// Whether systemd starts it with the host, in the way of all these services' units.
    pub(super) fn is_enabled(&self) -> bool {
        let link = format!(
            "/etc/systemd/system/multi-user.target.wants/{}.service",
            self.service.unit
        );
        self.host.kind(Path::new(&link)).is_ok()
    }

    /// Whether the agent has a record of a file that it wrote for it.
    pub(super) fn has_record(&self) -> bool {
        self.host.kind(&self.record).is_ok()
    }

    /// Whether a process of the daemon's name runs, be it in a container.
    pub(super) fn has_process(&self) -> bool {
        let is_it = |name: &String| {
            let comm = self.host.read(&Path::new("/proc").join(name).join("comm"));
            comm.is_ok_and(|comm| comm.trim_ascii() == self.service.daemon.as_bytes())
        };
        self.host
            .list(Path::new("/proc"))
            .is_ok_and(|names| names.iter().any(is_it))
    }

    /// Whether a process of the daemon may set the host's clock, whether it answers or not: the one of its pid file, or,
    /// where the service has its socket, any of its name.
    pub(super) fn has_keeper(&self) -> bool {
        let conf = self.conf_now();
        let pid_file = conf.pid_file.as_deref().unwrap_or(self.service.pid_file);
        let text = self.host.read(Path::new(pid_file)).unwrap_or_default();
        let process = String::from_utf8_lossy(&text).trim().parse().ok();
        let is_its_own = |keeper: &Keeper| keeper.program == self.service.daemon;
        let by_number = process.and_then(|process| keepers::keeper(&*self.host, process));
        by_number.as_ref().is_some_and(is_its_own)
            || (self.has_socket() && keepers::keepers(&*self.host).iter().any(is_its_own))
    }

    /// Whether the service answers, whatever it says. To others than root it answers through UDP, where it may be
    /// another daemon that does.
    pub(super) fn answers(&self) -> bool {
        let conf = self.conf_now();
        let daemon = match self.tells_apart() {
            true => self.daemon(&conf),
            false => self.reporting_daemon(&conf),
        };
        let answer = daemon.and_then(|mut daemon| daemon.ask(self, &Request::NSources));
        !matches!(answer, Err(DaemonError::Unreachable { .. }))
    }

    /// Whether an answer is known to be this service's own: only root reaches the daemons' sockets.
    pub(super) fn tells_apart(&self) -> bool {
        self.host.is_root()
    }

    fn config(&self) -> PathBuf {
        let usual = PathBuf::from(self.service.config);
        self.settings.config.clone().unwrap_or(usual)
    }

    fn restart_command(&self) -> Vec<String> {
        let usual = || {
            ["systemctl", "restart", self.service.unit]
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
