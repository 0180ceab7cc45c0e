//! NTP control messages: what `ntpq` is told, in the words of ntpd.
//!
//! `answer` takes one request and returns the datagrams of its answer. Only reading is answered: nothing can be
//! changed in this way, and some lists are only for whoever has a key (`ordered`). `system` has the variables of the daemon as a whole, `association` those of one source, `clock` those of a reference clock, `mru` who
//! asked lately. Offsets have the same sign here as everywhere in this crate, frequencies the opposite one: ntpd tells the
//! correction of an oscillator, not its error.

mod association;
mod clock;
mod events;
mod kernel;
mod mru;
mod ordered;
mod system;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

pub use ordered::LocalAddress;

use conf::config::RateLimit;
use units::Mono;
use wire::mode6::{
    ErrorCode, FRAGMENTS_MAX, HEADER_LENGTH, Header, NameError, Operation, Refusal, Request, Variable, names,
};
use wire::ntp::Version;

use crate::Engine;
use crate::io::{Now, Output, SocketId};
use crate::server::client_log::Service;
use crate::server::rate_limit::Ruling;
use crate::source::{Source, SourceId};

/// The largest number of associations: their numbers have 16 bits, and 0 is the system.
const ASSOCIATIONS_MAX: u32 = u16::MAX as u32;

/// How often one address is answered that is not this host's.
const LIMIT: RateLimit = RateLimit {
    interval: 0,
    burst: 8,
    leak: 4,
    kod: 0,
};

/// The largest number of datagrams in one answer to another host.
const DATAGRAMS_ELSEWHERE_MAX: usize = 4;

/// What is told about the machine and the program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// The kind of processor, such as `x86_64`.
    pub processor: String,
    /// The operating system and its release, such as `Linux/6.1.0`.
    pub system: String,
    /// The program and its version, such as `timeballd 0.3.0`.
    pub version: String,
    /// The addresses of the host when the daemon started.
    pub addresses: Vec<LocalAddress>,
}

/// What this protocol depends on beside the engine's parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Mode6 {
    /// What is told about machine and program.
    about: About,
    /// When the daemon started.
    started: Mono,
    /// How many requests there were.
    requests: u64,
    /// By which nonces are made; drawn with the first request.
    secret: Option<[u64; 2]>,
    /// What happened.
    events: events::Events,
    /// What is counted for whoever has the key.
    traffic: ordered::Traffic,
    /// What the kernel said when it was asked last, and who waits for that.
    kernel: kernel::Kernel,
}

impl Mode6 {
    /// Begins to count.
    pub(crate) fn new(about: About, started: Mono) -> Self {
        Self {
            about,
            started,
            requests: 0,
            secret: None,
            events: events::Events::default(),
            traffic: ordered::Traffic::default(),
            kernel: kernel::Kernel::default(),
        }
    }
}

/// What an answer is made of.
struct Answer {
    status: u16,
    data: Vec<u8>,
}

/// Who asks, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asker {
    socket: SocketId,
    from: SocketAddr,
    /// The local address that was asked.
    to: Option<IpAddr>,
    rights: Rights,
}

/// What somebody may ask, who may ask something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rights {
    /// For the list of clients.
    clients: bool,
    /// The largest number of datagrams that is sent for a request which anybody could have sent in their name.
    datagrams_max: usize,
}

impl Engine {
    /// Answers a request, if its sender may ask. Only ntpd's language has rules about that; with others nobody may.
    pub(crate) fn answer_query(
        &mut self,
        now: Now,
        socket: SocketId,
        from: SocketAddr,
        to: Option<IpAddr>,
        bytes: &[u8],
    ) {
        let version = bytes.first().map_or(0, |first| first >> 3 & 7);
        if bytes.len() < HEADER_LENGTH || Version::from_number(version).is_none() {
            self.packets.malformed += 1;
            return;
        }
        let Some(rights) = self.rights(now, from, to, version) else {
            return;
        };
        self.packets.processed += 1;
        self.mode6.requests += 1;
        let asker = Asker {
            socket,
            from,
            to,
            rights,
        };
        if kernel::is_asked_for(bytes) {
            self.ask_kernel(asker, bytes);
        } else {
            self.send_answers(now, asker, bytes);
        }
    }

    /// Answers a request of somebody who may ask.
    fn send_answers(&mut self, now: Now, asker: Asker, bytes: &[u8]) {
        let Asker {
            socket,
            from,
            to,
            rights,
        } = asker;
        let answers = answer(self, now, from, rights, bytes);
        if !answers.is_empty() {
            self.count_answered(to);
        }
        for bytes in answers {
            self.packets.answers += 1;
            self.out.push(Output::Datagram {
                socket,
                to: from,
                from: to,
                bytes,
            });
        }
    }

    /// What the sender of a request may ask; `None`: nothing, and that is counted.
    fn rights(&mut self, now: Now, from: SocketAddr, to: Option<IpAddr>, version: u8) -> Option<Rights> {
        let is_source = self.is_source_of_rule(from.ip());
        let Some(restrictions) = &self.server.restrictions else {
            self.packets.denied += 1;
            return None;
        };
        let flags = restrictions.flags(from.ip(), from.port(), is_source);
        let is_nobody = |address: IpAddr| match address {
            IpAddr::V4(address) => {
                address.is_multicast() || address.is_broadcast() || address.is_unspecified()
            }
            IpAddr::V6(address) => address.is_multicast() || address.is_unspecified(),
        };
        let is_senseless = from.port() == 0 || is_nobody(from.ip()) || to.is_some_and(is_nobody);
        let is_of_this_version = version == Version::V4.number();
        if flags.ignore || flags.noquery || is_senseless || (flags.version && !is_of_this_version) {
            self.packets.denied += 1;
            return None;
        }
        let is_here = from.ip().is_loopback();
        let [random, ..] = (self.entropy)().to_le_bytes();
        let limit = (!is_here || flags.limited).then_some(LIMIT);
        let ruling = self
            .server
            .note_request(from.ip(), Service::Command, now.mono, limit.as_ref(), random);
        if ruling != Ruling::Answer {
            self.packets.limited += 1;
            return None;
        }
        Some(Rights {
            clients: !flags.nomrulist,
            datagrams_max: if is_here {
                FRAGMENTS_MAX
            } else {
                DATAGRAMS_ELSEWHERE_MAX
            },
        })
    }
}

/// Answers one request; nothing for what is not answered.
fn answer(engine: &mut Engine, now: Now, from: SocketAddr, rights: Rights, bytes: &[u8]) -> Vec<Vec<u8>> {
    let entropy = &mut engine.entropy;
    engine.mode6.secret.get_or_insert_with(|| [entropy(), entropy()]);
    let leap = engine.served(now.mono).leap;
    let mut key = None;
    let (header, outcome) = match Request::decode(bytes) {
        Ok((request, tail)) if request.header.operation == Operation::READ_ORDERED_LIST => {
            key = engine.proven(tail).cloned();
            let outcome = match key {
                Some(_) => engine.ordered_list(now, &request),
                None => Err(ErrorCode::Permission),
            };
            (request.header, outcome)
        }
        Ok((request, _)) => match engine.carry_out(now, from, rights, &request) {
            Some(outcome) => (request.header, outcome),
            None => return Vec::new(),
        },
        Err(Refusal::Error(header, code)) => (header, Err(code)),
        Err(Refusal::Silent) => return Vec::new(),
    };
    // Some lists are sent to those who proved that it comes to them, or who they are.
    let datagrams_max = match header.operation {
        Operation::READ_MRU | Operation::READ_ORDERED_LIST => FRAGMENTS_MAX,
        _ => rights.datagrams_max,
    };
    let mut datagrams = match outcome {
        Ok(answer) => header
            .answer(leap, answer.status, &answer.data)
            .take(datagrams_max)
            .collect(),
        Err(code) => vec![header.error(leap, code)],
    };
    if let Some(key) = key {
        for datagram in &mut datagrams {
            ordered::sign(datagram, &key);
        }
    }
    datagrams
}

impl Engine {
    /// Does what is asked for; `None` is silence.
    fn carry_out(
        &self,
        now: Now,
        from: SocketAddr,
        rights: Rights,
        request: &Request<'_>,
    ) -> Option<Result<Answer, ErrorCode>> {
        match request.header.operation {
            Operation::READ_MRU if !rights.clients => Some(Err(ErrorCode::Permission)),
            Operation::REQUEST_NONCE => Some(Ok(self.nonce_answer(now, from))),
            Operation::READ_MRU => self.mru_answer(now, from, request.data),
            _ => Some(self.tell(now, request)),
        }
    }

    /// Tells what is asked for and would be told to anybody.
    fn tell(&self, now: Now, request: &Request<'_>) -> Result<Answer, ErrorCode> {
        let header = &request.header;
        match header.operation {
            Operation::UNSPECIFIED => Ok(Answer {
                status: self.status_of(now, header)?,
                data: Vec::new(),
            }),
            Operation::READ_STATUS if header.association == 0 => Ok(Answer {
                status: self.system_status(now.mono).word(),
                data: self
                    .associations()
                    .into_iter()
                    .flat_map(|id| [number(id), self.association_status(id).word()])
                    .flat_map(u16::to_be_bytes)
                    .collect(),
            }),
            Operation::READ_STATUS => self.variables(now, header, &[]),
            Operation::READ_VARIABLES => {
                let asked = names(request.data).map_err(refused)?;
                self.variables(now, header, &asked)
            }
            Operation::READ_CLOCK => {
                let id = self.associated(header.association)?;
                self.clock_answer(id, &names(request.data).map_err(refused)?)
            }
            Operation::CONFIGURE => Err(ErrorCode::Permission),
            _ => Err(ErrorCode::BadOperation),
        }
    }

    /// The status word of the system or association that is meant.
    fn status_of(&self, now: Now, header: &Header) -> Result<u16, ErrorCode> {
        match header.association {
            0 => Ok(self.system_status(now.mono).word()),
            association => Ok(self.association_status(self.associated(association)?).word()),
        }
    }

    /// The variables of the system or association that is meant: those asked for, or the usual ones.
    fn variables(&self, now: Now, header: &Header, asked: &[&str]) -> Result<Answer, ErrorCode> {
        let variables = match header.association {
            0 => self.system_variables(now, asked),
            association => self.association_variables(self.associated(association)?, now),
        };
        Ok(Answer {
            status: self.status_of(now, header)?,
            data: Variable::write(&variables, asked).map_err(refused)?,
        })
    }

    /// What ntpd has as associations, in the order of their numbers: sources, of a pool those that have an address, and the pools
    /// themselves.
    fn associations(&self) -> Vec<SourceId> {
        let is_given =
            |(id, source): &(&SourceId, &Source)| source.address.is_some() || !self.sources.is_of_pool(**id);
        let sources = self.sources.iter().filter(is_given).map(|(id, _)| *id);
        let pools = self.sources.pools().map(|(id, _)| id);
        let mut all: Vec<SourceId> = sources.chain(pools).collect();
        all.sort_unstable();
        all
    }

    /// The source or pool that an association's number means.
    fn associated(&self, association: u16) -> Result<SourceId, ErrorCode> {
        self.associations()
            .into_iter()
            .find(|&id| number(id) == association)
            .ok_or(ErrorCode::UnknownAssociation)
    }
}

/// The number of a source as an association. Numbers of sources are not used twice, so that these are used again only
/// after 65535 sources.
fn number(id: SourceId) -> u16 {
    u16::try_from(id.0 % ASSOCIATIONS_MAX + 1).unwrap_or(u16::MAX)
}

/// Why names are not answered, in the protocol's words.
fn refused(error: NameError) -> ErrorCode {
    match error {
        NameError::Unknown => ErrorCode::UnknownVariable,
        NameError::TooLong => ErrorCode::BadValue,
    }
}
