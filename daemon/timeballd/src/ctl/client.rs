//! A conversation with a daemon.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use os::{AddressFamily, LookupError, Random, let_everybody_write, look_up};
use units::rounding::low_u32;
use wire::candm::{AskError, Channel, PATIENCE, Reply, Request, Silence, ask, patience_within};
use wire::condition::{ANSWER_LENGTH_MAX, Condition, REQUEST};

use super::CtlError;

/// How long the answer of a daemon is waited for that may not know the question, as chronyd does not.
const CONDITION_PATIENCE: Duration = Duration::from_millis(300);

/// A conversation.
pub(crate) struct Client {
    transport: Transport,
    /// Where the daemon is.
    place: String,
    /// Each request has a number that nobody can foresee.
    random: Random,
    begun: Instant,
    /// The longest that an answer is waited for.
    patience: Duration,
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
    /// Finds the first daemon that answers within `patience`. What is left of it is shared among those that were not
    /// asked yet, so that one that is silent does not take it all.
    ///
    /// # Errors
    /// Where nobody answered, when nobody did.
    pub(crate) fn connect(hosts: &[String], port: u16, patience: Duration) -> Result<Self, Vec<Silence>> {
        let begun = Instant::now();
        let mut silences = Vec::new();
        for (host, not_asked) in hosts.iter().zip((1..=hosts.len()).rev()) {
            let share =
                patience.saturating_sub(begun.elapsed()) / u32::try_from(not_asked).unwrap_or(u32::MAX);
            match Self::open(host, port, share) {
                Ok(client) => return Ok(client),
                Err(silence) => silences.push(silence),
            }
        }
        Err(silences)
    }

    /// Opens a conversation with the daemon at a socket in the file system.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn at(socket: &str, patience: Duration) -> io::Result<Self> {
        Ok(Self {
            transport: open_unix(Path::new(socket))?,
            place: socket.to_owned(),
            random: Random::default(),
            begun: Instant::now(),
            patience,
        })
    }

    /// Opens a conversation with the daemon at an address or a path, if it answers.
    fn open(host: &str, port: u16, patience: Duration) -> Result<Self, Silence> {
        let begun = Instant::now();
        let (transport, place) = if host.starts_with('/') {
            (open_unix(Path::new(host)), host.to_owned())
        } else {
            let remote = address(host, port, patience)?;
            (open_udp(remote), format!("{host} port {port}"))
        };
        let transport = match transport {
            Ok(transport) => transport,
            Err(error) => return Err(Silence::at(place, error)),
        };
        let mut client = Self {
            transport,
            place,
            random: Random::default(),
            begun,
            patience: patience.saturating_sub(begun.elapsed()),
        };
        match client.ask(&Request::NSources) {
            Err(AskError::NoAnswer(error)) => Err(Silence::at(client.place, error)),
            // Whatever it says, it is there.
            _ => Ok(client),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply, AskError> {
        let patience = patience_within(&PATIENCE, self.patience);
        ask(self, request, patience)
    }

    /// What a daemon tells of itself that chrony's protocol has no words for: timeballd, over its socket.
    pub(crate) fn condition(&mut self) -> Option<Condition> {
        let Transport::Unix { socket, .. } = &self.transport else {
            return None;
        };
        socket.set_write_timeout(Some(CONDITION_PATIENCE)).ok()?;
        socket.set_read_timeout(Some(CONDITION_PATIENCE)).ok()?;
        socket.send(REQUEST).ok()?;
        let mut buffer = [0; ANSWER_LENGTH_MAX];
        let length = socket.recv(&mut buffer).ok()?;
        Condition::decode(buffer.get(..length)?)
    }

    /// Waits no longer than this for an answer from now on.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Adds to what went wrong where it did.
    pub(super) fn located(&self, error: AskError) -> CtlError {
        match error {
            AskError::NoAnswer(error) => CtlError::Silent(vec![Silence::at(self.place.clone(), error)]),
            error => CtlError::Ask(error),
        }
    }
}

impl Channel for Client {
    fn send(&mut self, datagram: &[u8], limit: Duration) -> io::Result<()> {
        match &self.transport {
            Transport::Unix { socket, .. } => {
                socket.set_write_timeout(Some(limit))?;
                socket.send(datagram)
            }
            Transport::Udp(socket) => {
                socket.set_write_timeout(Some(limit))?;
                socket.send(datagram)
            }
        }
        .map(drop)
    }

    fn receive(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        match &self.transport {
            Transport::Unix { socket, .. } => {
                socket.set_read_timeout(Some(limit))?;
                socket.recv(buffer)
            }
            Transport::Udp(socket) => {
                socket.set_read_timeout(Some(limit))?;
                socket.recv(buffer)
            }
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn number(&mut self) -> io::Result<u32> {
        self.random.take().map(|number| low_u32(number.cast_signed()))
    }
}

/// The address of a daemon that is named by its address or its name.
fn address(host: &str, port: u16, patience: Duration) -> Result<SocketAddr, Silence> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let mut remote = look_up_within(host, patience).map_err(|reason| Silence::of_name(host, reason))?;
    remote.set_port(port);
    Ok(remote)
}

/// Looks a name up. The name service takes its time, so that it is asked in a thread, which ends when it answers.
fn look_up_within(name: &str, patience: Duration) -> Result<SocketAddr, LookupError> {
    let (answer, answered) = mpsc::channel();
    let owned = name.to_owned();
    let asked = thread::Builder::new().spawn(move || {
        // Nobody waits any more when the time is up.
        let _ = answer.send(look_up(&owned, AddressFamily::Any));
    });
    let found = match asked {
        Ok(_) => answered
            .recv_timeout(patience)
            .unwrap_or(Err(LookupError::TryAgain)),
        Err(_) => look_up(name, AddressFamily::Any),
    };
    found?.first().copied().ok_or(LookupError::NotFound)
}

/// Opens a way to a daemon's UDP port.
fn open_udp(remote: SocketAddr) -> io::Result<Transport> {
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
