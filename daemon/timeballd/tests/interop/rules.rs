//! What the fields of packets have to be, by the letter: RFC 5905 for servers and peers, RFC 9769 for the interleaved
//! mode, RFC 8573 for the code of AES-CMAC; and draft-ietf-ntp-data-minimization for what clients tell.
//!
//! Packets are read here by their offsets, not by the program's own decoder, which is under test.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::capture::Datagram;

const HEADER_LENGTH: usize = 48;

/// How far a timestamp may be from when the packet was recorded, seconds: the machine may be busy.
const NEAR_S: f64 = 5.0;

/// Authenticates a packet: number of the key, and octets of its code.
pub(crate) type Mac = Option<(u32, usize)>;

/// An association as it was configured.
#[derive(Debug, Clone)]
pub(crate) struct Association {
    /// The server.
    pub(crate) server: IpAddr,
    pub(crate) mac: Mac,
    pub(crate) version: u8,
    /// The poll intervals that are allowed, log2 s.
    pub(crate) polls: RangeInclusive<i8>,
    pub(crate) interleaved: bool,
}

impl Association {
    /// Without a key, in version 4, in the basic mode, polled every two seconds.
    pub(crate) fn with(server: &str) -> Self {
        Self {
            server: server.parse().unwrap(),
            mac: None,
            version: 4,
            polls: 1..=1,
            interleaved: false,
        }
    }
}

/// The fields of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) leap: u8,
    pub(crate) version: u8,
    pub(crate) mode: u8,
    pub(crate) stratum: u8,
    pub(crate) poll: i8,
    pub(crate) precision: i8,
    pub(crate) root_delay: u32,
    pub(crate) root_dispersion: u32,
    pub(crate) reference_id: u32,
    pub(crate) reference: u64,
    pub(crate) origin: u64,
    pub(crate) receive: u64,
    pub(crate) transmit: u64,
    /// What follows the header: extension fields and a message authentication code.
    pub(crate) tail: &'a [u8],
}

impl<'a> Fields<'a> {
    /// RFC 5905 §7.3, figure 8.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let (header, tail) = bytes.split_at(HEADER_LENGTH);
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let time = |at: usize| u64::from_be_bytes(header[at..at + 8].try_into().unwrap());
        Self {
            leap: header[0] >> 6,
            version: header[0] >> 3 & 7,
            mode: header[0] & 7,
            stratum: header[1],
            poll: header[2].cast_signed(),
            precision: header[3].cast_signed(),
            root_delay: word(4),
            root_dispersion: word(8),
            reference_id: word(12),
            reference: time(16),
            origin: time(24),
            receive: time(32),
            transmit: time(40),
            tail,
        }
    }
}

/// A timestamp minus an instant, seconds, whatever the era.
#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
fn since(timestamp: u64, at_s: f64) -> f64 {
    const ERA_S: f64 = 4_294_967_296.0;
    let difference = (timestamp as f64 / ERA_S - at_s).rem_euclid(ERA_S);
    if difference > ERA_S / 2.0 {
        difference - ERA_S
    } else {
        difference
    }
}

/// Whether a timestamp is not after another, whatever the era.
fn in_order(first: u64, second: u64) -> bool {
    second.wrapping_sub(first).cast_signed() >= 0
}

/// A code, if there is to be one, directly after the header: no extension fields.
#[track_caller]
fn check_tail(fields: &Fields<'_>, mac: Mac) {
    match mac {
        None => assert_eq!(fields.tail, [0; 0], "nothing follows the header: {fields:?}"),
        Some((key, length)) => {
            assert_eq!(
                fields.tail.len(),
                4 + length,
                "number of the key and code: {fields:?}"
            );
            assert_eq!(
                fields.tail[..4],
                key.to_be_bytes(),
                "number of the key: {fields:?}"
            );
            assert_ne!(fields.tail[4..], vec![0; length], "code: {fields:?}");
        }
    }
}

/// Checks everything that was asked of one server and what was answered: that requests tell nothing (draft-ietf-ntp-
/// data-minimization-04 §4), and that in the interleaved mode they continue what was answered (RFC 9769 §2). Returns
/// how many requests were interleaved.
#[track_caller]
pub(crate) fn check_requests(datagrams: &[Datagram], association: &Association) -> usize {
    let Association {
        server,
        mac,
        version,
        polls,
        interleaved,
    } = association;
    let mut ports = BTreeSet::new();
    let mut cookies = BTreeSet::new();
    let mut answered: BTreeSet<u64> = BTreeSet::new();
    let (mut requests, mut continued) = (0, 0);
    for datagram in datagrams {
        let fields = Fields::of(&datagram.bytes);
        if datagram.from.ip() == *server {
            answered.insert(fields.receive);
        }
        if datagram.to.ip() != *server {
            continue;
        }
        requests += 1;
        assert_eq!(datagram.to.port(), 123);
        assert_ne!(
            datagram.from.port(),
            123,
            "a client has a port of its own (RFC 9109)"
        );
        ports.insert(datagram.from.port());
        assert_eq!(
            (fields.leap, fields.version, fields.mode),
            (0, *version, 3),
            "{fields:?}"
        );
        assert!(polls.contains(&fields.poll), "poll interval: {fields:?}");
        assert_eq!(
            (
                fields.stratum,
                fields.precision,
                fields.root_delay,
                fields.root_dispersion
            ),
            (0, 0x20, 0, 0),
            "{fields:?}"
        );
        assert_eq!((fields.reference_id, fields.reference), (0, 0), "{fields:?}");
        check_tail(&fields, *mac);
        if *interleaved && fields.origin != 0 {
            assert!(
                answered.contains(&fields.origin),
                "what is continued was answered before: {fields:?}"
            );
            assert!(
                fields.receive != 0 && fields.receive != fields.transmit,
                "an interleaved request has two cookies: {fields:?}"
            );
            continued += 1;
        } else {
            assert_eq!((fields.origin, fields.receive), (0, 0), "{fields:?}");
        }
        for cookie in [fields.transmit, fields.receive] {
            assert!(
                cookie == 0 && cookie == fields.receive || cookies.insert(cookie),
                "a cookie is new each time: {fields:?}"
            );
            // By chance once in a hundred million.
            assert!(
                since(cookie, datagram.at_s).abs() > 10.0,
                "a cookie is no time: {fields:?}"
            );
        }
    }
    assert!(requests >= 4, "only {requests} requests to {server}");
    assert!(
        ports.len() > requests / 2,
        "each request has a new port (RFC 9109): {ports:?}"
    );
    continued
}

/// What is known of a server of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served {
    pub(crate) stratum: u8,
    pub(crate) reference_id: u32,
}

/// A request that may be answered: when it was seen, and what it was.
type Asked<'a> = (f64, SocketAddr, Fields<'a>);

/// Checks every answer of one of our addresses: RFC 5905 §9.2 (`fast_xmit`), RFC 9769 §2. Returns how many answers
/// were interleaved.
#[track_caller]
pub(crate) fn check_answers(datagrams: &[Datagram], ours: &str, mac: Mac, served: Served) -> usize {
    let ours: IpAddr = ours.parse().unwrap();
    let mut waiting: Vec<Asked<'_>> = Vec::new();
    // By their receive timestamp: when answers left.
    let mut left: Vec<(u64, f64)> = Vec::new();
    let (mut answers, mut interleaved) = (0, 0);
    for datagram in datagrams {
        let fields = Fields::of(&datagram.bytes);
        if datagram.to.ip() == ours {
            waiting.push((datagram.at_s, datagram.from, fields));
        }
        if datagram.from.ip() != ours {
            continue;
        }
        answers += 1;
        let place = waiting.iter().position(|(_, from, request)| {
            *from == datagram.to && [request.transmit, request.receive].contains(&fields.origin)
        });
        let place = place.unwrap_or_else(|| panic!("the origin is of no request that waits: {fields:?}"));
        // A request is answered once.
        let (asked_s, _, request) = waiting.remove(place);
        check_state(&fields, &request, served);
        check_tail(&fields, mac);
        assert_eq!(
            fields.tail.len(),
            request.tail.len(),
            "an answer is as long as its request"
        );
        assert!(
            since(fields.receive, asked_s).abs() < NEAR_S,
            "received at {asked_s}: {fields:?}"
        );
        if fields.origin == request.transmit {
            assert!(in_order(fields.receive, fields.transmit), "{fields:?}");
            assert!(since(fields.transmit, datagram.at_s).abs() < NEAR_S, "{fields:?}");
        } else {
            interleaved += 1;
            let before = left.iter().find(|(receive, _)| *receive == request.origin);
            let (receive, left_s) =
                before.unwrap_or_else(|| panic!("it continues no answer: {request:?} {fields:?}"));
            assert!(in_order(*receive, fields.transmit), "{fields:?}");
            assert!(in_order(fields.transmit, fields.receive), "{fields:?}");
            assert!(
                since(fields.transmit, *left_s).abs() < NEAR_S,
                "the answer before left at {left_s}: {fields:?}"
            );
        }
        left.push((fields.receive, datagram.at_s));
    }
    assert!(answers >= 3, "only {answers} answers from {ours}");
    interleaved
}

/// What an answer says of the server itself.
#[track_caller]
fn check_state(fields: &Fields<'_>, request: &Fields<'_>, served: Served) {
    assert_eq!(fields.leap, 0, "no leap second is near: {fields:?}");
    assert_eq!(
        fields.version, request.version,
        "in the client's version: {fields:?}"
    );
    assert_eq!((request.mode, fields.mode), (3, 4), "{fields:?}");
    assert_eq!(
        (fields.stratum, fields.reference_id),
        (served.stratum, served.reference_id),
        "{fields:?}"
    );
    assert_eq!(
        fields.poll, request.poll,
        "the client's poll interval: {fields:?}"
    );
    assert!((-30..=-6).contains(&fields.precision), "{fields:?}");
    // A server of its own clock is its own root.
    assert_eq!(fields.root_delay, 0, "{fields:?}");
    assert!(fields.root_dispersion < 1 << 16, "less than a second: {fields:?}");
    assert_ne!(fields.reference, 0, "{fields:?}");
    assert!(
        in_order(fields.reference, fields.receive),
        "the clock was set before it was asked: {fields:?}"
    );
    assert!(fields.receive != 0 && fields.transmit != 0, "{fields:?}");
}

/// Checks what we sent to a peer (RFC 5905 §9.2 `peer_xmit`; RFC 9769 §3). Returns how many packets were interleaved.
#[track_caller]
pub(crate) fn check_packets_to_peer(datagrams: &[Datagram], ours: &str, mode: u8, mac: Mac) -> usize {
    let ours: IpAddr = ours.parse().unwrap();
    // Of what the peer sent: its receive and transmit timestamps, and when it arrived.
    let mut heard: Vec<(u64, u64, f64)> = Vec::new();
    let mut sent_s: Vec<f64> = Vec::new();
    let mut interleaved = 0;
    for datagram in datagrams {
        let fields = Fields::of(&datagram.bytes);
        if datagram.to.ip() == ours {
            heard.push((fields.receive, fields.transmit, datagram.at_s));
        }
        if datagram.from.ip() != ours {
            continue;
        }
        assert_eq!(
            (datagram.from.port(), datagram.to.port()),
            (123, 123),
            "peers are servers"
        );
        assert_eq!((fields.version, fields.mode), (4, mode), "{fields:?}");
        assert!((-30..=-6).contains(&fields.precision), "{fields:?}");
        check_tail(&fields, mac);
        if fields.leap == 3 {
            assert_eq!(fields.stratum, 0, "16 is sent as 0: {fields:?}");
        } else {
            assert!((1..=15).contains(&fields.stratum), "{fields:?}");
            assert_ne!(fields.reference_id, 0, "{fields:?}");
            assert!(
                since(fields.reference, datagram.at_s) < 1.0,
                "not in the future: {fields:?}"
            );
        }
        if fields.origin == 0 {
            assert_eq!(fields.receive, 0, "nothing was heard yet: {fields:?}");
        } else {
            let known = heard
                .iter()
                .rev()
                .find(|(receive, transmit, _)| *transmit == fields.origin || *receive == fields.origin);
            let (_, transmit, arrived_s) =
                known.unwrap_or_else(|| panic!("the origin is of no packet of the peer: {fields:?}"));
            assert!(since(fields.receive, *arrived_s).abs() < NEAR_S, "{fields:?}");
            if *transmit == fields.origin {
                assert!(in_order(fields.receive, fields.transmit), "{fields:?}");
                assert!(since(fields.transmit, datagram.at_s).abs() < NEAR_S, "{fields:?}");
            } else {
                interleaved += 1;
                let before_s = sent_s.last().unwrap();
                assert!(
                    since(fields.transmit, *before_s).abs() < NEAR_S,
                    "the packet before left at {before_s}: {fields:?}"
                );
            }
        }
        sent_s.push(datagram.at_s);
    }
    assert!(sent_s.len() >= 4, "only {} packets from {ours}", sent_s.len());
    interleaved
}
