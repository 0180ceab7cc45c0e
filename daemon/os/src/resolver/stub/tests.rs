//! The stub resolver against a small server: a zone, and what servers do wrong.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;

/// A name server on a port of its own, which notes what it is asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Begins to answer; threads end with the test program.
    fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let server = Self {
            port: udp.local_addr().unwrap().port(),
            asked: Arc::default(),
            connections: Arc::default(),
        };
        let asked = Arc::clone(&server.asked);
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let request = &buffer[..length];
                asked.lock().unwrap().push(question(request));
                for answer in answers_of(request, false) {
                    udp.send_to(&answer, from).unwrap();
                }
            }
        });
        let connections = Arc::clone(&server.connections);
        thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                connections.fetch_add(1, Ordering::Relaxed);
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut request).unwrap();
                for answer in answers_of(&request, true) {
                    let length = u16::try_from(answer.len()).unwrap();
                    stream.write_all(&length.to_be_bytes()).unwrap();
                    stream.write_all(&answer).unwrap();
                }
            }
        });
        server
    }

    /// A resolver that asks this server, with these lines in its files.
    fn stub(&self, folder: &tempfile::TempDir, configuration: &str, hosts: &str) -> Stub {
        let stub = Stub {
            hosts: folder.path().join("hosts"),
            configuration: folder.path().join("resolv.conf"),
            port: self.port,
        };
        fs::write(&stub.hosts, hosts).unwrap();
        fs::write(&stub.configuration, configuration).unwrap();
        stub
    }

    fn look_up(&self, configuration: &str, name: &str, family: AddressFamily) -> Answer {
        let folder = tempfile::tempdir().unwrap();
        self.stub(&folder, configuration, "").look_up(name, family)
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_INTERNET: u16 = 1;

/// The name and the type that a request asks for.
fn question(request: &[u8]) -> String {
    let mut rest = &request[12..];
    let mut name = String::new();
    while let Some((length, behind)) = rest.split_first().filter(|(length, _)| **length != 0) {
        let (part, behind) = behind.split_at(usize::from(*length));
        name.push_str(std::str::from_utf8(part).unwrap());
        name.push('.');
        rest = behind;
    }
    let kind = match rest {
        [0, 0, 1, 0, 1] => "A",
        [0, 0, 28, 0, 1] => "AAAA",
        other => panic!("{other:?}"),
    };
    format!("{kind} {}", name.to_ascii_lowercase())
}

/// A record whose owner is the name in the question, or one at a place of the message.
fn record(owner: u16, type_: u16, data: &[u8]) -> Vec<u8> {
    let mut record = (0xc000 | owner).to_be_bytes().to_vec();
    record.extend(type_.to_be_bytes());
    record.extend(CLASS_INTERNET.to_be_bytes());
    record.extend(60u32.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend(data);
    record
}

fn reply(request: &[u8], flags: u8, code: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let mut reply = request.to_vec();
    reply[2] = 0x80 | flags;
    reply[3] = 0x80 | code;
    reply[7] = u8::try_from(records.len()).unwrap();
    reply.extend(records.concat());
    reply
}

/// What the zone has to say.
fn answers_of(request: &[u8], is_tcp: bool) -> Vec<Vec<u8>> {
    let v4 = |last| record(12, TYPE_A, &[192, 0, 2, last]);
    let v6 = || {
        record(
            12,
            TYPE_AAAA,
            &"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets(),
        )
    };
    let end = u16::try_from(request.len()).unwrap();
    match question(request).as_str() {
        "A ntp.example.net." => vec![reply(request, 0, 0, &[v4(1), v4(2)])],
        "AAAA ntp.example.net." => vec![reply(request, 0, 0, &[v6()])],
        "A alias.example.net." => {
            // The name that it is an alias for stands in the record, 12 bytes behind the end of the question.
            let alias = record(12, TYPE_CNAME, b"\x01b\x07example\x03net\0");
            let other = record(12, TYPE_A, &[192, 0, 2, 99]);
            vec![reply(
                request,
                0,
                0,
                &[alias, record(end + 12, TYPE_A, &[192, 0, 2, 5]), other],
            )]
        }
        "A pool.default.svc.cluster.local." => vec![reply(request, 0, 0, &[v4(3)])],
        "A large.example.net." if !is_tcp => vec![reply(request, 0b10, 0, &[])],
        "A large.example.net." => {
            vec![reply(request, 0, 0, &(0..100).map(v4).collect::<Vec<_>>())]
        }
        "A guessed.example.net." => {
            let mut guess = reply(request, 0, 0, &[v4(66)]);
            guess[0] ^= 1;
            let mut other = reply(request, 0, 0, &[v4(66)]);
            other[13] ^= 1;
            vec![guess, other, vec![0; 3], reply(request, 0, 0, &[v4(4)])]
        }
        "A broken.example.net." => vec![reply(request, 0, 2, &[])],
        "A only4.example.net." => vec![reply(request, 0, 0, &[v4(6)])],
        "AAAA only4.example.net." => vec![reply(request, 0, 2, &[])],
        "A loop.example.net." => vec![reply(request, 0, 0, &[record(end, TYPE_A, &[192, 0, 2, 66])])],
        "A silent.example.net." => vec![],
        question if question.starts_with("AAAA") => vec![reply(request, 0, 0, &[])],
        _ => vec![reply(request, 0, 3, &[])],
    }
}

const HERE: &str = "nameserver 127.0.0.1\n";

fn addresses(list: &[&str]) -> Answer {
    Ok(list
        .iter()
        .map(|address| SocketAddr::new(address.parse().unwrap(), 0))
        .collect())
}

#[test]
fn both_families_are_asked_for_and_ipv4_comes_first() {
    let server = Server::start();
    let look_up = |family| server.look_up(HERE, "NTP.example.net", family);
    assert_eq!(
        look_up(AddressFamily::Any),
        addresses(&["192.0.2.1", "192.0.2.2", "2001:db8::7"])
    );
    assert_eq!(server.asked(), ["A ntp.example.net.", "AAAA ntp.example.net."]);
    assert_eq!(look_up(AddressFamily::Ipv6), addresses(&["2001:db8::7"]));
    assert_eq!(server.asked(), ["AAAA ntp.example.net."]);
    assert_eq!(
        look_up(AddressFamily::Ipv4),
        addresses(&["192.0.2.1", "192.0.2.2"])
    );
}

#[test]
fn aliases_are_followed_and_records_of_others_left() {
    let server = Server::start();
    assert_eq!(
        server.look_up(HERE, "alias.example.net", AddressFamily::Ipv4),
        addresses(&["192.0.2.5"])
    );
}

#[test]
fn what_does_not_fit_into_a_datagram_comes_over_tcp() {
    let server = Server::start();
    let found = server
        .look_up(HERE, "large.example.net", AddressFamily::Ipv4)
        .unwrap();
    assert_eq!(found.len(), ADDRESSES_MAX);
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    let only_tcp = format!("{HERE}options use-vc\n");
    assert_eq!(
        server.look_up(&only_tcp, "ntp.example.net", AddressFamily::Ipv6),
        addresses(&["2001:db8::7"])
    );
    assert_eq!(server.asked(), ["A large.example.net."]);
}

#[test]
fn an_answer_that_comes_too_slowly_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let drip = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&[0xff, 0xff]).unwrap();
        let mut count = 0;
        // Each byte is there in time; all of them would take more than an hour.
        while stream.write_all(&[0]).is_ok() {
            count += 1;
            thread::sleep(Duration::from_millis(60));
        }
        count
    });
    let query = Query::new(1, &Name::new("a.example").unwrap(), RecordType::A);
    let kind = over_tcp(server, &query, Duration::from_millis(300))
        .unwrap_err()
        .kind();
    assert!(
        [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock].contains(&kind),
        "{kind}"
    );
    assert!(drip.join().unwrap() < 1000);
}

#[test]
fn search_domains_are_tried_as_a_cluster_needs_them() {
    let server = Server::start();
    let cluster = format!("{HERE}search default.svc.cluster.local cluster.local.\noptions ndots:5\n");
    let look_up = |name: &str| server.look_up(&cluster, name, AddressFamily::Ipv4);
    assert_eq!(look_up("pool"), addresses(&["192.0.2.3"]));
    assert_eq!(server.asked(), ["A pool.default.svc.cluster.local."]);
    assert!(look_up("ntp.example.net").is_ok());
    assert_eq!(
        server.asked(),
        [
            "A ntp.example.net.default.svc.cluster.local.",
            "A ntp.example.net.cluster.local.",
            "A ntp.example.net.",
        ]
    );
    assert!(look_up("ntp.example.net.").is_ok());
    assert_eq!(server.asked(), ["A ntp.example.net."]);
    assert_eq!(look_up("none"), Err(LookupError::NotFound));
    assert_eq!(server.asked().len(), 3);

    let usual = format!("{HERE}domain example.net\n");
    assert!(server.look_up(&usual, "ntp", AddressFamily::Ipv4).is_ok());
    assert_eq!(server.asked(), ["A ntp.example.net."]);
    assert!(server.look_up(&usual, "no.such", AddressFamily::Ipv4).is_err());
    assert_eq!(server.asked(), ["A no.such.", "A no.such.example.net."]);
}

#[test]
fn guesses_are_passed_over() {
    let server = Server::start();
    assert_eq!(
        server.look_up(HERE, "guessed.example.net", AddressFamily::Ipv4),
        addresses(&["192.0.2.4"])
    );
}

#[test]
fn a_server_that_fails_is_worth_another_try_and_the_next_one_is_asked() {
    let server = Server::start();
    let look_up = |configuration: &str, name| server.look_up(configuration, name, AddressFamily::Ipv4);
    assert_eq!(look_up(HERE, "broken.example.net"), Err(LookupError::TryAgain));
    assert_eq!(server.asked().len(), 2, "twice, as `attempts` is");
    assert_eq!(look_up(HERE, "loop.example.net"), Err(LookupError::TryAgain));
    let nobody = "nameserver 127.0.0.2\nnameserver 127.0.0.1\noptions attempts:1 timeout:1\n";
    assert_eq!(look_up(nobody, "only4.example.net"), addresses(&["192.0.2.6"]));
    let silent = format!("{HERE}options attempts:1 timeout:1\n");
    assert_eq!(look_up(&silent, "silent.example.net"), Err(LookupError::TryAgain));
    // A search that could not be made does not go on to a name that was not meant.
    assert_eq!(
        look_up(&format!("{silent}search example.net\n"), "silent"),
        Err(LookupError::TryAgain)
    );
}

#[test]
fn a_server_that_does_not_know_ipv6_takes_nothing_away() {
    let server = Server::start();
    assert_eq!(
        server.look_up(HERE, "only4.example.net", AddressFamily::Any),
        addresses(&["192.0.2.6"])
    );
}

#[test]
fn the_hosts_file_comes_first_and_literals_need_nobody() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let hosts = "# a\n10.0.0.1 Ntp.Example.Net ntp # one\n2001:db8::1\tntp\nx ntp\n";
    let stub = server.stub(&folder, HERE, hosts);
    let look_up = |name: &str, family| stub.look_up(name, family);
    assert_eq!(
        look_up("ntp", AddressFamily::Any),
        addresses(&["10.0.0.1", "2001:db8::1"])
    );
    assert_eq!(
        look_up("ntp.example.net.", AddressFamily::Any),
        addresses(&["10.0.0.1"])
    );
    assert_eq!(
        look_up("ntp.example.net", AddressFamily::Ipv6),
        Err(LookupError::NotFound)
    );
    assert_eq!(
        look_up("localhost", AddressFamily::Any),
        addresses(&["127.0.0.1", "::1"])
    );
    assert_eq!(
        look_up("192.0.2.9", AddressFamily::Any),
        addresses(&["192.0.2.9"])
    );
    assert_eq!(
        look_up("192.0.2.9", AddressFamily::Ipv6),
        Err(LookupError::NotFound)
    );
    assert_eq!(
        look_up("fe80::1%lo", AddressFamily::Any),
        Ok(vec!["[fe80::1%1]:0".parse().unwrap()])
    );
    for name in ["", "a..b", "a b", &"x".repeat(64), &"abc.".repeat(70)] {
        assert_eq!(
            look_up(name, AddressFamily::Any),
            Err(LookupError::NotFound),
            "{name}"
        );
    }
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn without_files_this_host_is_asked() {
    let configuration =
        Configuration::parse("options ndots:99 timeout:0 attempts:77 rotate\nnameserver\n", 53);
    assert_eq!(configuration.servers, ["127.0.0.1:53".parse().unwrap()]);
    assert_eq!(
        (configuration.dots, configuration.timeout, configuration.attempts),
        (15, Duration::from_secs(1), 5)
    );
    assert_eq!(read(&"/nonexistent".into()), "");
    let many = Configuration::parse(&"nameserver 192.0.2.1\n".repeat(9), 53);
    assert_eq!(many.servers.len(), SERVERS_MAX);
}
