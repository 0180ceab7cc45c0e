//! A stub resolver of our own, for a program that is one file: the C library's needs its shared parts at run time.
//!
//! It reads `/etc/hosts` and `/etc/resolv.conf` anew for each name, because a container's are replaced while it runs, and
//! asks the servers named there for A and then AAAA records: over UDP, and over TCP what did not fit (RFC 1035, RFC 7766).
//! Search domains and `ndots` count as in resolv.conf(5). IPv4 addresses come first.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{ADDRESSES_MAX, AddressFamily, Answer, LookupError};
use crate::interface::interface_index;
use crate::random::Random;

/// The most servers that are asked, as resolv.conf(5) has it.
const SERVERS_MAX: usize = 3;

/// The most search domains that are tried.
const DOMAINS_MAX: usize = 16;

/// The longest file that is read, bytes.
const FILE_LENGTH_MAX: u64 = 1024 * 1024;

/// The longest name, bytes, as it is sent (RFC 1035, 2.3.4).
const NAME_LENGTH_MAX: usize = 255;

/// How many aliases are followed.
const ALIASES_MAX: usize = 16;

/// The longest answer over UDP without extensions is 512 bytes; there are servers that send more.
const DATAGRAM_LENGTH_MAX: usize = 4096;

/// The type and class of the records that are asked for.
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_INTERNET: u16 = 1;

/// Where names are looked up.
#[derive(Debug, Clone)]
pub(super) struct Stub {
    hosts: PathBuf,
    configuration: PathBuf,
    port: u16,
}

/// What resolv.conf says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Configuration {
    servers: Vec<SocketAddr>,
    domains: Vec<String>,
    /// A name with so many dots is tried as it is first.
    dots: usize,
    timeout: Duration,
    attempts: u32,
    only_tcp: bool,
}

/// What a server says of a name.
enum Found {
    /// It has these addresses; none of the type asked for, perhaps.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
}

impl Stub {
    /// The host's.
    #[cfg(target_feature = "crt-static")]
    pub(super) fn of_host() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            configuration: "/etc/resolv.conf".into(),
            port: 53,
        }
    }

    /// Looks a name up; waits as long as the servers do, each for its timeout.
    pub(super) fn look_up(&self, name: &str, family: AddressFamily) -> Answer {
        if let Some(address) = literal(name) {
            return some(vec![address].into_iter(), family);
        }
        let hosts = of_hosts(&read(&self.hosts), name);
        if !hosts.is_empty() {
            return some(
                hosts.into_iter().map(|address| SocketAddr::new(address, 0)),
                family,
            );
        }
        let configuration = Configuration::parse(&read(&self.configuration), self.port);
        for candidate in configuration.candidates(name) {
            let Some(question) = encode_name(&candidate) else {
                continue;
            };
            let mut addresses = Vec::new();
            for kind in kinds(family) {
                match configuration.ask(&question, *kind) {
                    Ok(Found::Addresses(found)) => addresses.extend(found),
                    Ok(Found::NoName) => break,
                    // A server that does not know of IPv6 does not take the other addresses away.
                    Err(_) if !addresses.is_empty() => break,
                    Err(_) => return Err(LookupError::TryAgain),
                }
            }
            if !addresses.is_empty() {
                return some(
                    addresses.into_iter().map(|address| SocketAddr::new(address, 0)),
                    family,
                );
            }
        }
        Err(LookupError::NotFound)
    }
}

impl Configuration {
    /// Reads resolv.conf; what is not understood is passed over, as everybody does.
    fn parse(text: &str, port: u16) -> Self {
        let mut parsed = Self {
            servers: Vec::new(),
            domains: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            only_tcp: false,
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    if let Some(mut server) = words.next().and_then(literal)
                        && parsed.servers.len() < SERVERS_MAX
                    {
                        server.set_port(port);
                        parsed.servers.push(server);
                    }
                }
                Some("search") => {
                    parsed.domains = words.take(DOMAINS_MAX).map(str::to_owned).collect();
                }
                Some("domain") => parsed.domains = words.take(1).map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| parsed.option(option)),
                _ => {}
            }
        }
        if parsed.servers.is_empty() {
            parsed.servers.push((Ipv4Addr::LOCALHOST, port).into());
        }
        parsed
    }

    /// Takes one word of an `options` line, with the limits of resolv.conf(5).
    fn option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = value.parse::<u32>().ok();
        match (name, number) {
            ("ndots", Some(dots)) => self.dots = usize::try_from(dots.min(15)).unwrap_or(15),
            ("timeout", Some(seconds)) => self.timeout = Duration::from_secs(u64::from(seconds.clamp(1, 30))),
            ("attempts", Some(attempts)) => self.attempts = attempts.clamp(1, 5),
            ("use-vc", _) => self.only_tcp = true,
            _ => {}
        }
    }

    /// The full names that a name may stand for, in the order in which they are tried.
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.domains.iter().map(|domain| {
            let domain = domain.trim_end_matches('.');
            format!("{name}{}{domain}", if domain.is_empty() { "" } else { "." })
        });
        let is_first = name.bytes().filter(|&byte| byte == b'.').count() >= self.dots;
        let mut all: Vec<String> = searched.collect();
        all.insert(if is_first { 0 } else { all.len() }, name.to_owned());
        all
    }

    /// Asks the servers in turn, so often as is configured, until one answers.
    fn ask(&self, name: &[u8], kind: u16) -> io::Result<Found> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..self.attempts {
            for server in &self.servers {
                match self.ask_server(*server, name, kind) {
                    Ok(found) => return Ok(found),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    /// Asks one server.
    fn ask_server(&self, server: SocketAddr, name: &[u8], kind: u16) -> io::Result<Found> {
        let [low, high, ..] = Random::default().take()?.to_le_bytes();
        let mut request = vec![low, high, 0b1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        request.extend(name);
        request.extend(kind.to_be_bytes());
        request.extend(CLASS_INTERNET.to_be_bytes());
        if !self.only_tcp
            && let Some(found) = read_answer(&over_udp(server, &request, self.timeout)?, &request, kind)?
        {
            return Ok(found);
        }
        let answer = over_tcp(server, &request, self.timeout)?;
        read_answer(&answer, &request, kind)?.ok_or_else(invalid)
    }
}

/// Sends a request in a datagram and waits for the answer to it.
fn over_udp(server: SocketAddr, request: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv6() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    let end = Instant::now() + timeout;
    socket.send(request)?;
    let mut buffer = vec![0; DATAGRAM_LENGTH_MAX];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        let answer = buffer.get(..length).unwrap_or_default();
        // What answers something else is somebody's guess.
        if answers(answer, request) {
            return Ok(answer.to_vec());
        }
    }
}

/// Sends a request over a connection and waits for the answer to it.
fn over_tcp(server: SocketAddr, request: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let length = u16::try_from(request.len()).map_err(|_| invalid())?;
    stream.write_all(&[&length.to_be_bytes(), request].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    if answers(&answer, request) {
        Ok(answer)
    } else {
        Err(invalid())
    }
}

/// Whether a message answers a request: it has its number and its question.
fn answers(message: &[u8], request: &[u8]) -> bool {
    let is_answer = message.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let same_question = message
        .get(12..request.len())
        .zip(request.get(12..))
        .is_some_and(|(echoed, asked)| echoed.eq_ignore_ascii_case(asked));
    is_answer && message.get(..2) == request.get(..2) && message.get(4..6) == Some(&[0, 1]) && same_question
}

/// Reads the answer to a request; `None` when it is cut short.
fn read_answer(message: &[u8], request: &[u8], kind: u16) -> io::Result<Option<Found>> {
    let mut reader = Reader { message, at: 2 };
    let [flags, code] = reader.number()?.to_be_bytes();
    if flags & 0b10 != 0 {
        return Ok(None);
    }
    match code & 0x0f {
        0 => {}
        3 => return Ok(Some(Found::NoName)),
        // The server failed, or does not answer us.
        _ => return Err(invalid()),
    }
    reader.at = 6;
    let count = reader.number()?;
    reader.at = 12;
    let mut wanted = reader.name()?;
    reader.at = request.len();
    let mut aliases = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..count {
        let owner = reader.name()?;
        let (type_, class) = (reader.number()?, reader.number()?);
        reader.skip(4)?;
        let length = usize::from(reader.number()?);
        let data = reader.at;
        reader.skip(length)?;
        if class != CLASS_INTERNET {
            continue;
        }
        let bytes = message.get(data..data + length).unwrap_or_default();
        if type_ == TYPE_CNAME {
            let alias = Reader { message, at: data }.name()?;
            aliases.push((owner, alias));
        } else if type_ == kind
            && let Some(address) = address(bytes)
        {
            addresses.push((owner, address));
        }
    }
    for _ in 0..ALIASES_MAX {
        let Some((_, alias)) = aliases.iter().find(|(owner, _)| *owner == wanted) else {
            break;
        };
        wanted.clone_from(alias);
    }
    let of_name = addresses.into_iter().filter(|(owner, _)| *owner == wanted);
    Ok(Some(Found::Addresses(
        of_name.map(|(_, address)| address).collect(),
    )))
}

/// Reads through a message.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next 16 bits.
    fn number(&mut self) -> io::Result<u16> {
        let bytes = self.message.get(self.at..self.at + 2).ok_or_else(invalid)?;
        self.at += 2;
        Ok(bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u16::from(byte)))
    }

    /// Passes over so many bytes.
    fn skip(&mut self, length: usize) -> io::Result<()> {
        self.at += length;
        if self.at <= self.message.len() {
            Ok(())
        } else {
            Err(invalid())
        }
    }

    /// The next name, in small letters, with a dot after each of its parts. Parts may stand earlier in the message, and
    /// only there, so that no name has no end.
    fn name(&mut self) -> io::Result<Vec<u8>> {
        let mut name = Vec::new();
        let mut at = self.at;
        let mut earliest = self.at;
        let mut is_elsewhere = false;
        loop {
            let length = *self.message.get(at).ok_or_else(invalid)?;
            at += 1;
            match length {
                0 => break,
                1..=0x3f => {
                    let end = at + usize::from(length);
                    let part = self.message.get(at..end).ok_or_else(invalid)?;
                    name.extend(part.to_ascii_lowercase());
                    name.push(b'.');
                    if name.len() > NAME_LENGTH_MAX {
                        return Err(invalid());
                    }
                    at = end;
                }
                0xc0.. => {
                    let low = *self.message.get(at).ok_or_else(invalid)?;
                    if !is_elsewhere {
                        self.at = at + 1;
                        is_elsewhere = true;
                    }
                    at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if at >= earliest {
                        return Err(invalid());
                    }
                    earliest = at;
                }
                _ => return Err(invalid()),
            }
        }
        if !is_elsewhere {
            self.at = at;
        }
        Ok(name)
    }
}

/// The address in a record's data, by its length.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// A name as it is sent; `None` if there can be no such name.
fn encode_name(name: &str) -> Option<Vec<u8>> {
    let mut encoded = Vec::new();
    for part in name.split('.') {
        let is_sendable = part.bytes().all(|byte| byte.is_ascii_graphic());
        let length = u8::try_from(part.len())
            .ok()
            .filter(|length| (1..64).contains(length));
        encoded.push(length.filter(|_| is_sendable)?);
        encoded.extend(part.as_bytes());
    }
    encoded.push(0);
    (encoded.len() <= NAME_LENGTH_MAX).then_some(encoded)
}

/// The records that are asked for.
fn kinds(family: AddressFamily) -> &'static [u16] {
    match family {
        AddressFamily::Any => &[TYPE_A, TYPE_AAAA],
        AddressFamily::Ipv4 => &[TYPE_A],
        AddressFamily::Ipv6 => &[TYPE_AAAA],
    }
}

/// An address that is written as such; of a link-local one the interface stands behind a percent sign.
fn literal(text: &str) -> Option<SocketAddr> {
    if let Some((address, interface)) = text.split_once('%') {
        let address: Ipv6Addr = address.parse().ok()?;
        let scope = interface.parse().ok().or_else(|| interface_index(interface))?;
        return Some(SocketAddrV6::new(address, 0, 0, scope).into());
    }
    let address: IpAddr = text.parse().ok()?;
    Some(SocketAddr::new(address, 0))
}

/// The addresses of a name in the text of `/etc/hosts`. `localhost` is this host whatever it says.
fn of_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let mut addresses = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace();
        if let Some(Ok(address)) = words.next().map(str::parse)
            && words.any(|word| word.eq_ignore_ascii_case(name))
        {
            addresses.push(address);
        }
    }
    if addresses.is_empty() && name.eq_ignore_ascii_case("localhost") {
        addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    addresses
}

/// Those of a family, each once; that there are none is an answer too.
fn some(addresses: impl Iterator<Item = SocketAddr>, family: AddressFamily) -> Answer {
    let mut wanted: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        let is_wanted = match family {
            AddressFamily::Any => true,
            AddressFamily::Ipv4 => address.is_ipv4(),
            AddressFamily::Ipv6 => address.is_ipv6(),
        };
        if is_wanted && wanted.len() < ADDRESSES_MAX && !wanted.contains(&address) {
            wanted.push(address);
        }
    }
    if wanted.is_empty() {
        Err(LookupError::NotFound)
    } else {
        Ok(wanted)
    }
}

/// Reads a file; one that cannot be read is empty.
fn read(path: &PathBuf) -> String {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_LENGTH_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests;
