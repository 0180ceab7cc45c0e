//! chrony and timeballd: asks the daemon through chrony's command protocol, and manages a file of servers beside
//! the host's own configuration. What differs between the daemons is a table, [`service`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Failure, Server};
use wire::candm::Request;

use super::keepers::{Keeper, Processes};
use super::managed::{
    Adoption, Backend, Candidate, Common, DaemonError, Entry, Identity, Managed, ManagedFile, Other, Report,
};
use crate::settings::{Observer, TimeService};

mod daemon;
mod lines;
pub(super) mod service;
mod status;
mod survey;
mod version;

#[cfg(test)]
mod tests;

use daemon::AskFailure;
use service::Service;
use survey::Files;
use version::KnownVersion;

/// The provider for a daemon that is configured and asked as chronyd is.
pub(super) struct ChronyProvider {
    common: Common,
    service: &'static Service,
    /// Where the daemon only observes, and belongs to the agent's user.
    observer: Option<Observer>,
    /// Since when, since boot, no source has been usable; absent while one is.
    unusable_since: Mutex<Option<Duration>>,
    version: Mutex<Option<KnownVersion>>,
}

impl ChronyProvider {
    pub(super) fn new(
        processes: &Arc<Processes>,
        service: &'static Service,
        settings: TimeService,
        state: &Path,
    ) -> Self {
        ChronyProvider {
            common: Common::new(
                processes,
                Identity {
                    name: service.name,
                    daemon: service.daemon,
                    units: service.units,
                    install: service.install,
                },
                settings,
                state,
                service.record,
            ),
            service,
            observer: None,
            unusable_since: Mutex::new(None),
            version: Mutex::new(None),
        }
    }

    /// The provider for a timeballd that only observes.
    pub(super) fn observing(processes: &Arc<Processes>, observer: &Observer, state: &Path) -> Self {
        let settings = TimeService {
            config: Some(observer.config()),
            socket: Some(observer.socket()),
            ..TimeService::default()
        };
        ChronyProvider {
            observer: Some(observer.clone()),
            ..ChronyProvider::new(processes, &service::OBSERVER, settings, state)
        }
    }

    /// The process that the daemon's pid file names.
    fn process_of_file(&self) -> Option<u32> {
        let files = self.scan();
        let pid_file = files.conf.pid_file.as_deref().unwrap_or(self.service.pid_file);
        let text = self.common.host.read(Path::new(pid_file)).ok()?;
        String::from_utf8_lossy(&text).trim().parse().ok()
    }

    /// The provider that manages such a daemon.
    pub(super) fn managed(self) -> Managed<Self> {
        Managed::new(self)
    }
}

impl Backend for ChronyProvider {
    type Conf = Files;

    fn common(&self) -> &Common {
        &self.common
    }

    fn config(&self) -> PathBuf {
        let usual = PathBuf::from(self.service.config);
        self.common.settings.config.clone().unwrap_or(usual)
    }

    fn conf(&self) -> Files {
        self.scan()
    }

    fn mistakes(&self, files: &Files) -> Vec<String> {
        Self::mistakes_in(files)
    }

    fn candidates(&self, files: &Files, recorded: Option<&Path>) -> Vec<Candidate> {
        Self::places(&files.conf, recorded)
    }

    fn target(&self, files: &Files) -> Result<Candidate, Failure> {
        self.place(&files.conf)
    }

    fn others(&self, files: &Files, managed: &[ManagedFile], _is_managed: bool) -> Vec<Other> {
        Self::other_sources(&files.conf, managed)
    }

    /// Debian's own pool beside the managed servers is in every report, and seldom what an operator is after.
    fn tells_others(&self) -> bool {
        false
    }

    fn directories(&self, files: &Files) -> Vec<PathBuf> {
        self.directories_of(&files.conf)
    }

    fn write(&self, servers: &[Server]) -> Result<String, Failure> {
        lines::write(servers)
    }

    fn read(&self, text: &str) -> Vec<Entry> {
        let sources = lines::read(text);
        sources
            .iter()
            .map(|source| Entry {
                name: source.name().to_string(),
                text: source.to_string(),
                server: lines::server_of(source),
            })
            .collect()
    }

    fn called(&self, name: &str) -> String {
        (self.service.called)(name)
    }

    fn names(&self, files: &Files) -> Result<Vec<String>, DaemonError> {
        Ok(self.daemon(&files.conf)?.names(self)?)
    }

    fn reload(&self, files: &Files) -> Result<(), DaemonError> {
        let mut daemon = self.daemon(&files.conf)?;
        daemon.ask(self, &Request::ReloadSources)?;
        Ok(())
    }

    /// chronyd has such a check from 4.1 on.
    fn check(&self, content: &[u8]) -> Result<(), Failure> {
        let program = self.program();
        self.common.check_copy(content, |copy| {
            vec![program.clone(), "-p".to_owned(), "-f".to_owned(), copy]
        })
    }

    fn report(&self, files: &Files) -> Result<Report, DaemonError> {
        Ok(self.status_of(&files.conf)?)
    }

    fn adoption(&self, files: &Files) -> Result<Adoption, String> {
        Ok(self.source_dir(&files.conf))
    }

    fn is_there(&self) -> bool {
        self.common.host.kind(&self.config()).is_ok() || self.has_socket()
    }

    /// To others than root it answers through UDP, where it may be another daemon that does.
    fn answers(&self) -> bool {
        let files = self.scan();
        let daemon = match self.tells_apart() {
            true => self.daemon(&files.conf),
            false => self.reporting_daemon(&files.conf),
        };
        let answer = daemon.and_then(|mut daemon| daemon.ask(self, &Request::NSources));
        !matches!(answer, Err(AskFailure::Unreachable { .. }))
    }

    /// Only root reaches the daemons' sockets.
    fn tells_apart(&self) -> bool {
        self.common.host.is_root()
    }

    /// That of its pid file, or else those of its name.
    fn processes(&self) -> Vec<u32> {
        if let Some(process) = self.process_of_file() {
            return vec![process];
        }
        let running = self.common.processes.running();
        let own = running
            .iter()
            .filter(|process| process.program == self.service.daemon);
        own.map(|process| process.process).collect()
    }

    /// The process of its pid file, or, where the service has its socket, any of its name.
    fn has_keeper(&self) -> bool {
        let process = self.process_of_file();
        let keepers = self.common.processes.keepers();
        let is_its_own = |keeper: &&Keeper| keeper.program == self.service.daemon;
        let mut its_own = keepers.iter().filter(is_its_own);
        its_own.any(|keeper| self.has_socket() || Some(keeper.process) == process)
    }

    fn socket_now(&self) -> Option<PathBuf> {
        self.socket(&self.scan().conf)
    }

    /// Or at least the socket's directory, which others than root cannot enter; systemd removes it with the service.
    fn has_socket(&self) -> bool {
        let socket = self.common.settings.socket.clone();
        let socket = socket.unwrap_or_else(|| PathBuf::from(self.service.socket));
        let absent = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        !self.common.host.kind(&socket).is_err_and(absent)
    }

    fn is_at_usual_socket(&self) -> bool {
        self.socket_now().as_deref() == Some(Path::new(self.service.socket))
    }

    fn observes(&self) -> bool {
        self.observer.is_some()
    }
}
