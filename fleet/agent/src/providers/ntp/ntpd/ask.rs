//! ntpd, asked by control messages.

use std::io;
use std::time::Duration;

use uuid::Uuid;
use wire::mode6::{
    Answer, Assembly, AssemblyError, DATA_LENGTH_MAX, Fragment, HEADER_LENGTH, Operation, Request,
};

use super::Ntpd;
use crate::host::{Control, ControlAddress};
use crate::providers::ntp::managed::DaemonError;

/// How long the daemon may take for one answer, as often as it is asked before it counts as unreachable.
const PATIENCE: [Duration; 3] = [Duration::from_secs(1); 3];

/// How long a conversation may take altogether.
const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Most associations that are asked about.
const ASSOCIATIONS_MAX: usize = 256;

/// The variables of an association that are asked for. Without names NTPsec 1.2 tells all, some with bytes in them that
/// happened to be in its memory.
const VARIABLES: &[u8] = b"srcadr,srchost,hmode,stratum,hpoll,reach,delay,offset,jitter,dispersion,rec,refid";

/// One source of the daemon.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) id: u16,
    /// Its status word.
    pub(super) status: u16,
    /// Its variables, as text.
    pub(super) variables: Vec<u8>,
}

/// What the daemon says of itself.
#[derive(Debug)]
pub(super) struct System {
    pub(super) status: u16,
    pub(super) variables: Vec<u8>,
}

/// An open conversation.
struct Conversation<'a> {
    provider: &'a Ntpd,
    control: Box<dyn Control>,
    /// When it ends at the latest, after boot.
    end: Duration,
}

impl Ntpd {
    /// Asks what the daemon says of itself.
    pub(super) fn system(&self) -> Result<System, DaemonError> {
        let answer = self.open()?.ask(Operation::READ_VARIABLES, 0, b"")?;
        Ok(System {
            status: answer.status,
            variables: answer.data,
        })
    }

    /// The daemon's version as it tells it, such as `ntpd ntpsec-1.2.2`.
    pub(super) fn version(&self) -> Result<String, DaemonError> {
        Ok(super::status::version(&self.system()?))
    }

    /// All sources.
    pub(super) fn associations(&self) -> Result<Vec<Association>, DaemonError> {
        let mut conversation = self.open()?;
        let list = conversation.ask(Operation::READ_STATUS, 0, b"")?.data;
        let (pairs, _) = list.as_chunks::<4>();
        let mut found = Vec::new();
        for &[i0, i1, s0, s1] in pairs.iter().take(ASSOCIATIONS_MAX) {
            let (id, status) = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([s0, s1]));
            // A daemon that lacks one of the variables refuses all; then it is to tell what it has.
            for names in [VARIABLES, b""] {
                match conversation.ask(Operation::READ_VARIABLES, id, names) {
                    Ok(answer) => {
                        found.push(Association {
                            id,
                            status,
                            variables: answer.data,
                        });
                        break;
                    }
                    // A source of a pool can go while they are counted.
                    Err(DaemonError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    fn open(&self) -> Result<Conversation<'_>, DaemonError> {
        let address = ControlAddress::Udp(self.address());
        let control = self.common.host.open_control(&address);
        Ok(Conversation {
            provider: self,
            control: control.map_err(|error| self.unreachable(&error))?,
            end: self.common.host.since_boot() + CONVERSATION_TIMEOUT,
        })
    }
}

impl Conversation<'_> {
    fn ask(&mut self, operation: Operation, association: u16, names: &[u8]) -> Result<Answer, DaemonError> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for patience in PATIENCE {
            match self.attempt(operation, association, names, patience) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => return Err(DaemonError::Refused(format!("ntpd: {error}"))),
                Err(error) => last = error,
            }
        }
        Err(self.provider.unreachable(&last))
    }

    fn attempt(
        &mut self,
        operation: Operation,
        association: u16,
        names: &[u8],
        patience: Duration,
    ) -> io::Result<Result<Answer, AssemblyError>> {
        let host = &*self.provider.common.host;
        let end = (host.since_boot() + patience).min(self.end);
        let (number, _, _, _) = Uuid::new_v4().as_fields();
        let [_, _, high, low] = number.to_be_bytes();
        let request = Request::new(operation, u16::from_be_bytes([high, low]), association, names);
        let left = || match end.saturating_sub(host.since_boot()) {
            Duration::ZERO => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
            left => Ok(left),
        };
        self.control.send(&request.encode(), left()?)?;
        let mut assembly = Assembly::new(request.header);
        // Room for an authentication code, too.
        let mut buffer = [0; HEADER_LENGTH + DATA_LENGTH_MAX + 64];
        loop {
            let length = self.control.receive(&mut buffer, left()?)?;
            let Ok(fragment) = Fragment::decode(&buffer[..length]) else {
                continue;
            };
            match assembly.push(&fragment) {
                Ok(Some(answer)) => return Ok(Ok(answer)),
                Ok(None) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}
