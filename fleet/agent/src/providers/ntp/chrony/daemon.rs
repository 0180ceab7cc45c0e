//! The daemon, asked through chrony's command protocol.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use conf::chrony::{ChronyConf, CommandSocket};
use wire::candm::{Address, AskError, Reply, ReplyError, Request, SourceData, Status, patience_within};

use super::ChronyProvider;
use crate::host::{self, Control, ControlAddress};
use crate::providers::ntp::managed::{Backend, DaemonError};
use crate::settings::TimeService;

/// How long the daemon may take for one answer, as often as it is asked before it counts as unreachable.
const PATIENCE: [Duration; 3] = [Duration::from_secs(1); 3];

/// How long a conversation may take altogether. Thousands of prompt answers fit; with a daemon that takes its time for
/// each, nobody who waits for the whole waits longer.
const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Most sources that are asked for; daemons take thousands.
const SOURCES_MAX: u32 = 256;

/// An open conversation with the daemon.
pub(super) struct Daemon {
    control: Box<dyn Control>,
    address: ControlAddress,
    /// When the conversation ends at the latest, after boot.
    end: Duration,
}

/// Why the daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskFailure {
    /// It does not run, or the agent may not talk to it.
    #[error("{daemon} does not answer at {address}: {reason}; {remedy}")]
    Unreachable {
        daemon: &'static str,
        address: String,
        reason: String,
        remedy: String,
    },
    /// It refused, in its own words.
    #[error("{daemon} answered: {error}")]
    Refused { daemon: &'static str, error: ReplyError },
}

impl From<AskFailure> for DaemonError {
    fn from(error: AskFailure) -> Self {
        match error {
            AskFailure::Unreachable { .. } => DaemonError::Unreachable(error.to_string()),
            AskFailure::Refused { .. } => DaemonError::Refused(error.to_string()),
        }
    }
}

/// A source with its name, if it has one.
#[derive(Clone, Debug)]
pub(super) struct NamedSource {
    pub(super) data: SourceData,
    pub(super) name: Option<String>,
}

impl ChronyProvider {
    /// Opens a conversation in which everything is allowed.
    pub(super) fn daemon(&self, conf: &ChronyConf) -> Result<Daemon, AskFailure> {
        let Some(socket) = self.socket(conf) else {
            return Err(AskFailure::Unreachable {
                daemon: self.service.daemon,
                address: "its command socket".to_owned(),
                reason: "its configuration disables the socket (bindcmdaddress /)".to_owned(),
                remedy: "remove that line and restart it".to_owned(),
            });
        };
        self.open(ControlAddress::Socket(socket))
    }

    /// Opens a conversation for reports: through the socket as root or when the daemon is the agent's own, through UDP
    /// as somebody else or when there is no socket. Never through UDP because the socket does not answer: there it
    /// could be another daemon that does.
    pub(super) fn reporting_daemon(&self, conf: &ChronyConf) -> Result<Daemon, AskFailure> {
        let may_enter = self.common.host.is_root() || self.observer.is_some();
        if let Some(socket) = self.socket(conf).filter(|_| may_enter) {
            return self.open(ControlAddress::Socket(socket));
        }
        match self.udp(conf) {
            Some(udp) => self.open(ControlAddress::Udp(udp)),
            None => Err(AskFailure::Unreachable {
                daemon: self.service.daemon,
                address: "its UDP port".to_owned(),
                reason: "its configuration closes the port (cmdport 0)".to_owned(),
                remedy: "run the agent as root".to_owned(),
            }),
        }
    }

    fn open(&self, address: ControlAddress) -> Result<Daemon, AskFailure> {
        match self.common.host.open_control(&address) {
            Ok(control) => Ok(Daemon {
                control,
                address,
                end: self.common.host.since_boot() + CONVERSATION_TIMEOUT,
            }),
            Err(error) => Err(self.unreachable(&address, &error)),
        }
    }

    fn unreachable(&self, address: &ControlAddress, error: &io::Error) -> AskFailure {
        let remedy = if self.common.host.kind(&self.config()).is_err() {
            format!(
                "{} does not exist: is {} installed? ({})",
                self.config().display(),
                self.service.name,
                self.service.install
            )
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            "run the agent as root".to_owned()
        } else {
            self.is_it_running()
        };
        AskFailure::Unreachable {
            daemon: self.service.daemon,
            address: address.to_string(),
            reason: error.to_string(),
            remedy,
        }
    }

    fn is_it_running(&self) -> String {
        match &self.observer {
            Some(observer) => format!(
                "`timeball up` starts it and logs what it says; try `{} -x -d -f {}`",
                observer.program.display(),
                observer.config().display()
            ),
            None => self.common.is_it_running(),
        }
    }

    fn refused(&self, error: ReplyError) -> AskFailure {
        AskFailure::Refused {
            daemon: self.service.daemon,
            error,
        }
    }

    /// An answer that belongs to another question.
    pub(super) fn unexpected(&self) -> AskFailure {
        self.refused(ReplyError::InvalidField("answer"))
    }

    /// The daemon's socket in the file system, unless it has none.
    pub(super) fn socket(&self, conf: &ChronyConf) -> Option<PathBuf> {
        if let Some(path) = &self.common.settings.socket {
            return Some(path.clone());
        }
        match &conf.command_socket {
            CommandSocket::Default => Some(PathBuf::from(self.service.socket)),
            CommandSocket::Path(path) => Some(PathBuf::from(path)),
            CommandSocket::Disabled => None,
        }
    }

    /// Where the daemon answers on UDP, unless it does not.
    fn udp(&self, conf: &ChronyConf) -> Option<SocketAddr> {
        if let Some(address) = self.common.settings.udp {
            return Some(address);
        }
        let port = conf.command_port.unwrap_or(TimeService::UDP.port());
        let address = match conf.command_addresses.first() {
            Some(address) if !address.is_unspecified() => *address,
            Some(_) | None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        (port != 0).then_some(SocketAddr::new(address, port))
    }
}

impl Daemon {
    /// Asks the daemon, at most three times with a second of patience each, and not past the conversation's end.
    pub(super) fn ask(&mut self, provider: &ChronyProvider, request: &Request) -> Result<Reply, AskFailure> {
        let left = || self.end.saturating_sub(provider.common.host.since_boot());
        let patience = patience_within(&PATIENCE, left());
        let answer = host::ask(&*provider.common.host, &mut *self.control, request, patience);
        answer.map_err(|error| match error {
            AskError::NoAnswer(_) if left().is_zero() => {
                let why = format!("it had not told all after {} s", CONVERSATION_TIMEOUT.as_secs());
                provider.unreachable(&self.address, &io::Error::new(io::ErrorKind::TimedOut, why))
            }
            AskError::NoAnswer(error) => provider.unreachable(&self.address, &error),
            AskError::Refused(error) => provider.refused(error),
            AskError::Unexpected => provider.unexpected(),
        })
    }

    /// All sources with their names, and whether there were more than are asked for.
    pub(super) fn sources(
        &mut self,
        provider: &ChronyProvider,
    ) -> Result<(Vec<NamedSource>, bool), AskFailure> {
        let Reply::NSources(count) = self.ask(provider, &Request::NSources)? else {
            return Err(provider.unexpected());
        };
        let mut sources = Vec::new();
        for index in 0..count.min(SOURCES_MAX) {
            match self.ask(provider, &Request::SourceData(index)) {
                Ok(Reply::SourceData(data)) => {
                    let name = self.name_of(provider, &data)?;
                    sources.push(NamedSource { data, name });
                }
                Ok(_) => return Err(provider.unexpected()),
                // Sources can go while they are counted.
                Err(AskFailure::Refused {
                    error: ReplyError::Status(Status::NoSuchSource),
                    ..
                }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok((sources, count > SOURCES_MAX))
    }

    fn name_of(
        &mut self,
        provider: &ChronyProvider,
        data: &SourceData,
    ) -> Result<Option<String>, AskFailure> {
        if let Some(id) = data.reference_id() {
            return Ok(Some(id.text()).filter(|name| !name.is_empty()));
        }
        if data.address == Address::Unspecified {
            return Ok(None);
        }
        match self.ask(provider, &Request::NtpSourceName(data.address)) {
            Ok(Reply::NtpSourceName(name)) => Ok(Some(name.to_string())),
            Ok(_) => Err(provider.unexpected()),
            // chrony before 4.0 does not know the request; a source can go; a strange name is no name.
            Err(AskFailure::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of all sources, each once.
    pub(super) fn names(&mut self, provider: &ChronyProvider) -> Result<Vec<String>, AskFailure> {
        let (sources, _) = self.sources(provider)?;
        let mut names: Vec<String> = sources.into_iter().filter_map(|source| source.name).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}
