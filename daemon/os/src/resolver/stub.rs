//! A stub resolver of our own, for a program that is one file: the C library's needs its shared parts at run time.
//!
//! It reads `/etc/hosts` and `/etc/resolv.conf` anew for each name, because a container's are replaced while it runs, and
//! asks the servers named there for A and then AAAA records: over UDP, and over TCP what did not fit (RFC 1035, RFC 7766).
//! Search domains and `ndots` count as in resolv.conf(5). IPv4 addresses come first.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wire::dns::{self, AnswerError, Name, Query, RecordType};

use super::{ADDRESSES_MAX, AddressFamily, Answer, LookupError};
use crate::interface::interface_index;
use crate::random::Random;

/// The most servers that are asked, as resolv.conf(5) has it.
const SERVERS_MAX: usize = 3;

/// The most search domains that are tried.
const DOMAINS_MAX: usize = 16;

/// The longest file that is read, bytes.
const FILE_LENGTH_MAX: u64 = 1024 * 1024;

/// The longest answer over UDP without extensions is 512 bytes; there are servers that send more.
const DATAGRAM_LENGTH_MAX: usize = 4096;

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
            let Some(full_name) = Name::new(&candidate) else {
                continue;
            };
            let mut addresses = Vec::new();
            for record_type in record_types(family) {
                match configuration.ask(&full_name, *record_type) {
                    Ok(Some(found)) => addresses.extend(found),
                    Ok(None) => break,
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

    /// Asks the servers in turn, so often as is configured, until one answers; `None` if there is no such name.
    fn ask(&self, name: &Name, record_type: RecordType) -> io::Result<Option<Vec<IpAddr>>> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..self.attempts {
            for server in &self.servers {
                match self.ask_server(*server, name, record_type) {
                    Ok(dns::Answer::Addresses(addresses)) => return Ok(Some(addresses)),
                    Ok(dns::Answer::NoName) => return Ok(None),
                    // Over a connection nothing is too long.
                    Ok(dns::Answer::Truncated) => last = io::ErrorKind::InvalidData.into(),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    /// Asks one server.
    fn ask_server(
        &self,
        server: SocketAddr,
        name: &Name,
        record_type: RecordType,
    ) -> io::Result<dns::Answer> {
        let [low, high, ..] = Random::default().take()?.to_le_bytes();
        let query = Query::new(u16::from_le_bytes([low, high]), name, record_type);
        if !self.only_tcp {
            let answer = over_udp(server, &query, self.timeout)?;
            if answer != dns::Answer::Truncated {
                return Ok(answer);
            }
        }
        over_tcp(server, &query, self.timeout)
    }
}

/// Sends a question in a datagram and waits for the answer to it.
fn over_udp(server: SocketAddr, query: &Query, timeout: Duration) -> io::Result<dns::Answer> {
    let any: IpAddr = if server.is_ipv6() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    let end = Instant::now() + timeout;
    socket.send(query.message())?;
    let mut buffer = vec![0; DATAGRAM_LENGTH_MAX];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        match query.read(buffer.get(..length).unwrap_or_default()) {
            // What answers something else is somebody's guess.
            Err(AnswerError::NotOurs) => {}
            answer => return answer.map_err(invalid),
        }
    }
}

/// Sends a question over a connection and waits for the answer to it.
fn over_tcp(server: SocketAddr, query: &Query, timeout: Duration) -> io::Result<dns::Answer> {
    let end = Instant::now() + timeout;
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_write_timeout(Some(timeout))?;
    let length = u16::try_from(query.message().len()).map_err(invalid)?;
    stream.write_all(&[&length.to_be_bytes(), query.message()].concat())?;
    let mut length = [0; 2];
    read_until(end, &mut stream, &mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    read_until(end, &mut stream, &mut answer)?;
    query.read(&answer).map_err(invalid)
}

/// Fills a buffer, or fails at that time, however slowly bytes come.
fn read_until(end: Instant, stream: &mut TcpStream, mut rest: &mut [u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(rest)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => rest = rest.get_mut(length..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// The records that are asked for.
const fn record_types(family: AddressFamily) -> &'static [RecordType] {
    match family {
        AddressFamily::Any => &[RecordType::A, RecordType::Aaaa],
        AddressFamily::Ipv4 => &[RecordType::A],
        AddressFamily::Ipv6 => &[RecordType::Aaaa],
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

fn invalid(error: impl Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
