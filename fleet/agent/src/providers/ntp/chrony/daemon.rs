//! chronyd, asked through its command protocol.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use conf::chrony::{ChronyConf, CommandSocket};
use model::{Failure, FailureKind};
use uuid::Uuid;
use wire::candm::{Address, REPLY_LENGTH_MAX, Reply, ReplyError, Request, SourceData, Status};

use super::ChronyProvider;
use crate::host::{Control, ControlAddress};
use crate::settings::Chrony;

/// How long chronyd may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a request is sent before chronyd counts as unreachable.
const ATTEMPTS: usize = 3;

/// Most sources that are asked for; chronyd itself takes thousands.
const SOURCES_MAX: u32 = 256;

/// An open conversation with chronyd.
pub(super) struct Daemon {
    control: Box<dyn Control>,
    address: ControlAddress,
}

/// Why chronyd did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum DaemonError {
    /// It does not run, or the agent may not talk to it.
    #[error("chronyd does not answer at {address}: {reason}; {remedy}")]
    Unreachable {
        address: String,
        reason: String,
        remedy: String,
    },
    /// It refused, in its own words.
    #[error("chronyd answered: {0}")]
    Refused(ReplyError),
}

impl DaemonError {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            DaemonError::Unreachable { .. } => FailureKind::DaemonUnreachable,
            DaemonError::Refused(_) => FailureKind::DaemonRefused,
        }
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        Failure::new(error.kind(), error.to_string())
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
    pub(super) fn daemon(&self, conf: &ChronyConf) -> Result<Daemon, DaemonError> {
        let Some(socket) = self.socket(conf) else {
            return Err(DaemonError::Unreachable {
                address: "its command socket".to_owned(),
                reason: "its configuration disables the socket (bindcmdaddress /)".to_owned(),
                remedy: "remove that line and restart chronyd".to_owned(),
            });
        };
        self.open(ControlAddress::Socket(socket))
    }

    /// Opens a conversation for reports: through the socket as root, else or when that fails through UDP.
    pub(super) fn reporting_daemon(&self, conf: &ChronyConf) -> Result<Daemon, DaemonError> {
        let socket = self.socket(conf).filter(|_| self.host.is_root());
        let first = socket.map(|path| self.open(ControlAddress::Socket(path)));
        match (first, self.udp(conf)) {
            (Some(Ok(daemon)), _) => Ok(daemon),
            (Some(Err(error)), Some(udp)) => {
                let mut daemon = self.open(ControlAddress::Udp(udp)).map_err(|_| error)?;
                // Opening a UDP socket says nothing about who is there.
                daemon.ask(self, &Request::NSources)?;
                Ok(daemon)
            }
            (Some(Err(error)), None) => Err(error),
            (None, Some(udp)) => self.open(ControlAddress::Udp(udp)),
            (None, None) => Err(DaemonError::Unreachable {
                address: "its UDP port".to_owned(),
                reason: "its configuration closes the port (cmdport 0)".to_owned(),
                remedy: "run the agent as root".to_owned(),
            }),
        }
    }

    fn open(&self, address: ControlAddress) -> Result<Daemon, DaemonError> {
        match self.host.open_control(&address) {
            Ok(control) => Ok(Daemon { control, address }),
            Err(error) => Err(self.unreachable(&address, &error)),
        }
    }

    fn unreachable(&self, address: &ControlAddress, error: &io::Error) -> DaemonError {
        let remedy = if self.host.kind(&self.config()).is_err() {
            format!(
                "{} does not exist: is chrony installed? (`{}`)",
                self.config().display(),
                self.family.install()
            )
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            "run the agent as root".to_owned()
        } else {
            format!("is it running? (`systemctl status {}`)", self.family.unit())
        };
        DaemonError::Unreachable {
            address: address.to_string(),
            reason: error.to_string(),
            remedy,
        }
    }

    /// chronyd's socket in the file system, unless it has none.
    pub(super) fn socket(&self, conf: &ChronyConf) -> Option<PathBuf> {
        if let Some(path) = &self.settings.socket {
            return Some(path.clone());
        }
        match &conf.command_socket {
            CommandSocket::Default => Some(PathBuf::from(Chrony::SOCKET)),
            CommandSocket::Path(path) => Some(PathBuf::from(path)),
            CommandSocket::Disabled => None,
        }
    }

    /// Where chronyd answers on UDP, unless it does not.
    fn udp(&self, conf: &ChronyConf) -> Option<SocketAddr> {
        if let Some(address) = self.settings.udp {
            return Some(address);
        }
        let port = conf.command_port.unwrap_or(Chrony::UDP.port());
        let address = match conf.command_addresses.first() {
            Some(address) if !address.is_unspecified() => *address,
            Some(_) | None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        (port != 0).then_some(SocketAddr::new(address, port))
    }
}

impl Daemon {
    /// Asks chronyd, at most three times with a second of patience each.
    pub(super) fn ask(&mut self, provider: &ChronyProvider, request: &Request) -> Result<Reply, DaemonError> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..ATTEMPTS {
            let (sequence, _, _, _) = Uuid::new_v4().as_fields();
            if let Err(error) = self.control.send(&request.encode(sequence)) {
                return Err(provider.unreachable(&self.address, &error));
            }
            match self.answer(provider, request, sequence) {
                Ok(answer) => return answer.map_err(DaemonError::Refused),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => last = error,
                Err(error) => return Err(provider.unreachable(&self.address, &error)),
            }
        }
        Err(provider.unreachable(&self.address, &last))
    }

    fn answer(
        &mut self,
        provider: &ChronyProvider,
        request: &Request,
        sequence: u32,
    ) -> io::Result<Result<Reply, ReplyError>> {
        let mut buffer = [0; REPLY_LENGTH_MAX];
        let deadline = provider.host.since_boot() + ANSWER_TIMEOUT;
        loop {
            let left = deadline.saturating_sub(provider.host.since_boot());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let length = self.control.receive(&mut buffer, left)?;
            let datagram = buffer.get(..length).unwrap_or_default();
            match Reply::decode(datagram, request.command(), sequence) {
                Err(ReplyError::NotForUs | ReplyError::Truncated { .. }) => {}
                answer => return Ok(answer),
            }
        }
    }

    /// All sources with their names, and whether there were more than are asked for.
    pub(super) fn sources(
        &mut self,
        provider: &ChronyProvider,
    ) -> Result<(Vec<NamedSource>, bool), DaemonError> {
        let Reply::NSources(count) = self.ask(provider, &Request::NSources)? else {
            return Err(unexpected());
        };
        let mut sources = Vec::new();
        for index in 0..count.min(SOURCES_MAX) {
            match self.ask(provider, &Request::SourceData(index)) {
                Ok(Reply::SourceData(data)) => {
                    let name = self.name_of(provider, &data)?;
                    sources.push(NamedSource { data, name });
                }
                Ok(_) => return Err(unexpected()),
                // Sources can go while they are counted.
                Err(DaemonError::Refused(ReplyError::Status(Status::NoSuchSource))) => break,
                Err(error) => return Err(error),
            }
        }
        Ok((sources, count > SOURCES_MAX))
    }

    fn name_of(
        &mut self,
        provider: &ChronyProvider,
        data: &SourceData,
    ) -> Result<Option<String>, DaemonError> {
        if let Some(id) = data.reference_id() {
            return Ok(Some(id.text()).filter(|name| !name.is_empty()));
        }
        if data.address == Address::Unspecified {
            return Ok(None);
        }
        match self.ask(provider, &Request::NtpSourceName(data.address)) {
            Ok(Reply::NtpSourceName(name)) => Ok(Some(name.to_string())),
            Ok(_) => Err(unexpected()),
            // chrony before 4.0 does not know the request; a source can go; a strange name is no name.
            Err(DaemonError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of all sources, each once.
    pub(super) fn names(&mut self, provider: &ChronyProvider) -> Result<Vec<String>, DaemonError> {
        let (sources, _) = self.sources(provider)?;
        let mut names: Vec<String> = sources.into_iter().filter_map(|source| source.name).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

fn unexpected() -> DaemonError {
    DaemonError::Refused(ReplyError::InvalidField("answer"))
}
