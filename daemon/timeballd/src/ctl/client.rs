//! A conversation with a daemon.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use os::{AddressFamily, Random, let_everybody_write, look_up};
use units::rounding::low_u32;
use wire::candm::{REPLY_LENGTH_MAX, Reply, ReplyError, Request};

use super::Report;

/// How long the first answer is waited for; it doubles with each attempt.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// How often a request is sent.
const ATTEMPTS: u32 = 3;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    /// Nobody answers; the words are chronyc's.
    #[error("506 Cannot talk to daemon")]
    NoAnswer,
    /// The daemon refuses, in its own words.
    #[error("{0}")]
    Refused(ReplyError),
    /// The answer is one to another question.
    #[error("508 Bad reply from daemon")]
    Unexpected,
    /// What was waited for has not come; how it was last.
    #[error("not synchronised yet")]
    NotYet(Box<Report>),
}

/// A conversation.
pub(crate) struct Client {
    transport: Transport,
    /// Each request has a number that nobody can foresee.
    random: Random,
}

#[derive(Debug)]
enum Transport {
    Unix { socket: UnixDatagram, _place: OwnPath },
    Udp(UdpSocket),
}

/// The place of our own socket, given up with it.
#[derive(Debug)]
struct OwnPath(PathBuf);

impl Drop for OwnPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Client {
    /// Finds the first daemon that answers.
    ///
    /// # Errors
    /// `NoAnswer` when none does.
    pub(crate) fn connect(hosts: &[String], port: u16) -> Result<Self, CtlError> {
        for host in hosts {
            let Ok(transport) = open(host, port) else { continue };
            let mut client = Self {
                transport,
                random: Random::default(),
            };
            match client.ask(&Request::NSources) {
                Err(CtlError::NoAnswer) => {}
                // Whatever it says, it is there.
                _ => return Ok(client),
            }
        }
        Err(CtlError::NoAnswer)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply, CtlError> {
        let mut wait = FIRST_WAIT;
        for _ in 0..ATTEMPTS {
            let sequence = low_u32(self.random.take().map_err(|_| CtlError::NoAnswer)?.cast_signed());
            match self.exchange(request, sequence, wait) {
                Ok(reply) => return reply.map_err(CtlError::Refused),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Err(CtlError::NoAnswer),
            }
            wait *= 2;
        }
        Err(CtlError::NoAnswer)
    }

    /// Sends a request once, and takes the answer to it that comes in time.
    fn exchange(
        &mut self,
        request: &Request,
        sequence: u32,
        wait: Duration,
    ) -> io::Result<Result<Reply, ReplyError>> {
        self.send(&request.encode(sequence))?;
        let end = Instant::now() + wait;
        let mut buffer = [0; REPLY_LENGTH_MAX];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            let length = self.receive(&mut buffer, left)?;
            match Reply::decode(
                buffer.get(..length).unwrap_or_default(),
                request.command(),
                sequence,
            ) {
                Err(error) if error.is_not_for_us() => {}
                answer => return Ok(answer),
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.transport {
            Transport::Unix { socket, .. } => socket.send(bytes),
            Transport::Udp(socket) => socket.send(bytes),
        }
    }

    fn receive(&self, buffer: &mut [u8], wait: Duration) -> io::Result<usize> {
        match &self.transport {
            Transport::Unix { socket, .. } => {
                socket.set_read_timeout(Some(wait))?;
                socket.recv(buffer)
            }
            Transport::Udp(socket) => {
                socket.set_read_timeout(Some(wait))?;
                socket.recv(buffer)
            }
        }
    }
}

/// Opens a way to a daemon: a path begins with a slash, everything else is an address or a name.
fn open(host: &str, port: u16) -> io::Result<Transport> {
    if host.starts_with('/') {
        return open_unix(Path::new(host));
    }
    let addresses = look_up(host, AddressFamily::Any).map_err(io::Error::other)?;
    let mut remote = addresses.first().copied().ok_or(ErrorKind::NotFound)?;
    remote.set_port(port);
    let local: IpAddr = if remote.is_ipv6() {
        [0u16; 8].into()
    } else {
        [0u8; 4].into()
    };
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(remote)?;
    Ok(Transport::Udp(socket))
}

/// Opens a way to a daemon's socket, from a socket beside it: there the daemon can answer.
fn open_unix(path: &Path) -> io::Result<Transport> {
    let own = path.with_file_name(format!("timeballd-ctl.{}.sock", std::process::id()));
    let _ = fs::remove_file(&own);
    let socket = UnixDatagram::bind(&own)?;
    let own = OwnPath(own);
    // The daemon has dropped its privileges and must be able to answer.
    let_everybody_write(&own.0)?;
    socket.connect(path)?;
    Ok(Transport::Unix { socket, _place: own })
}
