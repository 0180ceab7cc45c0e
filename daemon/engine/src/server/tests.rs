//! Requests through the whole server.

use std::net::Ipv4Addr;

use conf::config::{AccessRule, RestrictFlags, Restrictions, Subnet, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;
use units::{Leap, NtpShort, ReferenceId, Stratum};
use wire::ntp::auth::{Algorithm, CODE_LENGTH_MAX, Key};
use wire::ntp::{Datagram, ExtensionKind, PacketWriter, Tail, Version};

use super::*;

const STATE: ServerState = ServerState {
    leap: Leap::Normal,
    stratum: Stratum(2),
    reference_id: ReferenceId(0x0102_0304),
    reference_time: NtpTimestamp(7 << 32),
    root_delay: NtpShort(3),
    root_dispersion: NtpShort(4),
    precision: -23,
    poll_min: reply::POLL_MIN,
};

const FROM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_000);

fn key(id: u32, algorithm: Algorithm) -> Key {
    let length = algorithm.key_length().unwrap_or(18);
    Key::new(id, algorithm, &vec![0x5a; length]).unwrap()
}

const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::Md5,
    Algorithm::Sha1,
    Algorithm::Sha256,
    Algorithm::Sha384,
    Algorithm::Sha512,
    Algorithm::Aes128Cmac,
    Algorithm::Aes256Cmac,
];

fn server() -> Server {
    let mut server = Server::new(Some(ClientLog::new(65_536, 1)));
    let everyone = AccessRule {
        verdict: Verdict::Allow,
        all: false,
        subnet: Subnet::Everyone,
    };
    server.access.set(&everyone).unwrap();
    server
}

/// The keys that both sides know: one for each algorithm, numbered from 1.
fn keys() -> Vec<Key> {
    let numbered = ALGORITHMS.into_iter().zip(1..);
    numbered.map(|(algorithm, id)| key(id, algorithm)).collect()
}

fn ask(server: &mut Server, bytes: &[u8], now_s: i64) -> Result<Vec<u8>, Silence> {
    let Ok(Datagram::Packet(packet)) = Datagram::decode(bytes) else {
        return Err(Silence::NotARequest);
    };
    let received = NtpTimestamp((0xeeac_0000 + now_s.cast_unsigned()) << 32);
    let question = Question {
        packet,
        from: FROM,
        at: Moments {
            received,
            sent: NtpTimestamp(received.0 + 500),
        },
        received_by: StampSource::Kernel,
        now: Mono(now_s * 1_000_000_000),
        random: 0xff,
        is_source: false,
    };
    let mut out = [0; 200];
    let keys = keys();
    let find_key = |id| keys.iter().find(|key| key.id() == id);
    let length = server.answer(&question, &STATE, find_key, &mut out)?;
    Ok(out[..length].to_vec())
}

fn request(version: Version, key: Option<&Key>) -> Vec<u8> {
    let header = Header {
        version,
        transmit_time: NtpTimestamp(12345),
        ..Header::default()
    };
    let mut buffer = [0; 200];
    let length = reply::write(&header, key, &mut buffer).unwrap();
    buffer[..length].to_vec()
}

#[test]
fn authenticated_requests_get_authenticated_answers() {
    let mut server = server();
    for version in [Version::V1, Version::V2, Version::V3, Version::V4] {
        for (algorithm, id) in ALGORITHMS.into_iter().zip(1..) {
            let key = key(id, algorithm);
            let request = request(version, Some(&key));
            let answer = ask(&mut server, &request, 1).unwrap();
            assert_eq!(answer.len(), request.len());
            let packet = Packet::decode(&answer).unwrap();
            let Tail::Mac { key_id, digest } = packet.tail else {
                panic!("{:?}", packet.tail)
            };
            assert_eq!(key_id, id);
            assert!(key.verify(packet.covered, version, digest));
            let mut forged = request.clone();
            forged[47] ^= 1;
            assert_eq!(ask(&mut server, &forged, 1), Err(Silence::Unauthenticated));
        }
    }
    assert_eq!(server.statistics.authenticated, 28);
    assert_eq!((server.statistics.ntp_hits, server.statistics.ntp_drops), (56, 0));
}

/// Seen with chronyd 4.3, key SHA256: a code is cut to 20 bytes in version 4, and in no other.
#[test]
fn codes_of_the_wrong_length_are_not_right() {
    let mut server = server();
    let key = key(3, Algorithm::Sha256);
    for (version, length, right) in [
        (Version::V3, 32, true),
        (Version::V3, 20, false),
        (Version::V4, 20, true),
        (Version::V4, 16, false),
    ] {
        let mut bytes = request(version, None);
        let mut code = [0; CODE_LENGTH_MAX];
        key.mac(&bytes, version, &mut code);
        bytes.extend_from_slice(&key.id().to_be_bytes());
        bytes.extend_from_slice(&code[..length]);
        let answer = ask(&mut server, &bytes, 1);
        assert_eq!(answer.is_ok(), right, "{version:?} {length} {answer:?}");
    }
}

#[test]
fn unknown_keys_and_crypto_naks_are_met_with_silence() {
    let mut server = server();
    let unknown = request(Version::V4, Some(&key(99, Algorithm::Md5)));
    assert_eq!(ask(&mut server, &unknown, 1), Err(Silence::Unauthenticated));
    let nak = [request(Version::V4, None), vec![0; 4]].concat();
    assert_eq!(ask(&mut server, &nak, 1), Err(Silence::Unauthenticated));
}

#[test]
fn extension_fields_are_not_answered() {
    let mut server = server();
    let mut buffer = [0; 300];
    let mut writer = PacketWriter::new(&mut buffer, &Header::default()).unwrap();
    writer.extension(ExtensionKind(0x1234), &[1; 100]).unwrap();
    let length = writer.finish().unwrap();
    assert_eq!(ask(&mut server, &buffer[..length], 1).unwrap().len(), 48);
}

#[test]
fn those_who_may_not_ask_leave_no_trace() {
    let mut server = Server::new(Some(ClientLog::new(65_536, 1)));
    assert_eq!(
        ask(&mut server, &request(Version::V4, None), 1),
        Err(Silence::Denied)
    );
    assert_eq!(server.statistics, Statistics::default());
    assert_eq!(
        server.log_mut().unwrap().page(0, 99, 0, false, Mono(0)).clients,
        []
    );
}

#[test]
fn answers_are_limited_and_kisses_sent() {
    let mut server = server();
    server.rate_limit = Some(RateLimit::NTP);
    assert_eq!(server.poll_min(), PollInterval(3));
    let request = request(Version::V4, None);
    for _ in 0..8 {
        ask(&mut server, &request, 5).unwrap();
    }
    assert_eq!(ask(&mut server, &request, 5), Err(Silence::RateLimited));
    assert!(ask(&mut server, &request, 13).is_ok());
    assert_eq!((server.statistics.ntp_hits, server.statistics.ntp_drops), (10, 1));
    let limit = RateLimit {
        kod: 1,
        ..RateLimit::NTP
    };
    server.rate_limit = Some(limit);
    let Ok(Datagram::Packet(packet)) = Datagram::decode(&request) else {
        panic!()
    };
    let question = Question {
        packet,
        from: FROM,
        at: Moments {
            received: NtpTimestamp(1),
            sent: NtpTimestamp(2),
        },
        received_by: StampSource::Daemon,
        now: Mono(13_000_000_000),
        random: 0x0f,
        is_source: false,
    };
    let mut out = [0; 48];
    assert_eq!(server.answer(&question, &STATE, |_| None, &mut out), Ok(48));
    let header = Header::decode(&out).unwrap();
    assert_eq!(header.kiss(), Some(KissCode::Rate));
}

#[test]
fn timestamps_are_counted_by_who_took_them() {
    let mut server = server();
    let mut origin = NtpTimestamp::ZERO;
    for now_s in 1..=4i64 {
        let header = Header {
            origin_time: origin,
            receive_time: NtpTimestamp(now_s.cast_unsigned() * 8),
            transmit_time: NtpTimestamp(3),
            ..Header::default()
        };
        let answer = ask(&mut server, &header.encode(), now_s).unwrap();
        let answer = Packet::decode(&answer).unwrap().header;
        server.sent(&answer, answer.transmit_time, StampSource::Hardware);
        origin = answer.receive_time;
    }
    let statistics = server.statistics;
    assert_eq!((statistics.interleaved, statistics.received_by.kernel), (2, 4));
    assert_eq!(
        (
            statistics.transmitted_by.daemon,
            statistics.transmitted_by.hardware
        ),
        (2, 2)
    );
    assert_eq!(server.interleave().map(Interleave::held), Some(3));
    server.clock_stepped();
    assert_eq!(server.interleave().map(Interleave::held), Some(0));
}

#[test]
fn without_a_log_everything_is_answered_in_the_basic_mode() {
    let mut server = Server {
        access: server().access,
        rate_limit: Some(RateLimit::NTP),
        ..Server::new(None)
    };
    for _ in 0..50 {
        ask(&mut server, &request(Version::V4, None), 1).unwrap();
    }
    assert_eq!(server.statistics.ntp_hits, 50);
    assert!(server.log().is_none() && server.interleave().is_none());
}

/// What becomes of a request of this version and with this key, and of one of a source, where one rule has these flags.
fn under(
    flags: RestrictFlags,
    version: Version,
    key: Option<&Key>,
    is_source: bool,
    random: u8,
) -> Result<(), Silence> {
    let mut server = server();
    let mut restrictions = Restrictions::default();
    let all = Subnet::Prefix {
        address: Ipv4Addr::UNSPECIFIED.into(),
        length: 0,
    };
    *restrictions.entry(&all, false) = flags;
    restrictions.of_sources = Some(RestrictFlags {
        nomodify: true,
        ..RestrictFlags::default()
    });
    server.restrictions = Some(restrictions);
    let bytes = request(version, key);
    let Ok(Datagram::Packet(packet)) = Datagram::decode(&bytes) else {
        return Err(Silence::NotARequest);
    };
    let at = NtpTimestamp(0xeeac_0000 << 32);
    let question = Question {
        packet,
        from: FROM,
        at: Moments {
            received: at,
            sent: NtpTimestamp(at.0 + 500),
        },
        received_by: StampSource::Kernel,
        now: Mono(1_000_000_000),
        random,
        is_source,
    };
    let keys = keys();
    let find_key = |id| keys.iter().find(|key| key.id() == id);
    server
        .answer(&question, &STATE, find_key, &mut [0; 200])
        .map(|_| ())
}

#[test]
fn each_flag_keeps_from_what_it_says() {
    let sha1 = key(2, Algorithm::Sha1);
    let (v3, v4) = (Version::V3, Version::V4);
    let (yes, denied, forged) = (Ok(()), Err(Silence::Denied), Err(Silence::Unauthenticated));
    // The flag, and what becomes of a request in version 4, in version 3, with a key, and of one of a source.
    let rows: [(&str, [Result<(), Silence>; 4]); 10] = [
        ("", [yes, yes, yes, yes]),
        ("ignore", [denied, denied, denied, yes]),
        ("noserve", [denied, denied, denied, denied]),
        ("notrust", [forged, forged, yes, yes]),
        ("version", [yes, denied, yes, yes]),
        ("noquery", [yes, yes, yes, yes]),
        ("nomodify", [yes, yes, yes, yes]),
        ("nomrulist", [yes, yes, yes, yes]),
        ("limited", [yes, yes, yes, yes]),
        ("kod", [yes, yes, yes, yes]),
    ];
    for (word, expected) in rows {
        let flags = RestrictFlags {
            ignore: word == "ignore",
            noserve: word == "noserve",
            notrust: word == "notrust",
            version: word == "version",
            limited: word == "limited",
            kod: word == "kod",
            noquery: word == "noquery",
            nomodify: word == "nomodify",
            nomrulist: word == "nomrulist",
            flake: false,
        };
        let found = [
            under(flags, v4, None, false, 0xff),
            under(flags, v3, None, false, 0xff),
            under(flags, v4, Some(&sha1), false, 0xff),
            under(flags, v4, None, true, 0xff),
        ];
        assert_eq!(found, expected, "{word}");
    }
    let flake = RestrictFlags {
        flake: true,
        ..RestrictFlags::default()
    };
    let dropped = (0..=u8::MAX).filter(|random| under(flake, v4, None, false, *random).is_err());
    assert_eq!(dropped.count(), 26);
}

#[test]
fn only_the_limited_are_limited_and_only_some_get_kisses() {
    for (limited, kod, expected) in [(false, true, 100), (true, false, 20), (true, true, 20)] {
        let mut server = server();
        server.rate_limit = Some(RateLimit {
            interval: 0,
            burst: 20,
            leak: 4,
            kod: 2,
        });
        let mut restrictions = Restrictions::default();
        let all = Subnet::Prefix {
            address: Ipv4Addr::UNSPECIFIED.into(),
            length: 0,
        };
        let flags = restrictions.entry(&all, false);
        (flags.limited, flags.kod) = (limited, kod);
        server.restrictions = Some(restrictions);
        let answers = (0..100).filter(|_| ask(&mut server, &request(Version::V4, None), 1).is_ok());
        assert_eq!(answers.count(), expected, "{limited} {kod}");
    }
}

#[test]
fn operators_let_in_and_shut_out_by_the_same_rules() {
    let mut server = server();
    let mut restrictions = Restrictions::default();
    let net = |address: [u8; 4], length| Subnet::Prefix {
        address: Ipv4Addr::from(address).into(),
        length,
    };
    *restrictions.entry(&net([0, 0, 0, 0], 0), false) = RestrictFlags {
        ignore: true,
        noquery: true,
        ..RestrictFlags::default()
    };
    restrictions.entry(&net([10, 0, 0, 0], 8), false).noserve = true;
    server.restrictions = Some(restrictions);
    let allowed = |server: &Server| {
        let hosts = [[10, 1, 1, 1], [192, 0, 2, 1]];
        hosts.map(|host| server.is_allowed(Ipv4Addr::from(host).into()))
    };
    let rule = |verdict, all, subnet| AccessRule { verdict, all, subnet };
    assert_eq!(allowed(&server), [false, false]);
    assert!(server.allows_any(false) && !server.allows_any(true));
    assert!(!server.ignores_host(Ipv4Addr::new(192, 0, 2, 1).into(), 123));
    server
        .set_access(&rule(Verdict::Allow, false, Subnet::Everyone))
        .unwrap();
    assert_eq!(allowed(&server), [false, true]);
    server
        .set_access(&rule(Verdict::Allow, true, Subnet::Everyone))
        .unwrap();
    assert_eq!(allowed(&server), [true, true]);
    server
        .set_access(&rule(Verdict::Deny, false, net([192, 0, 2, 1], 32)))
        .unwrap();
    assert_eq!(allowed(&server), [true, false]);
    let kept = server
        .restrictions
        .as_ref()
        .unwrap()
        .flags(Ipv4Addr::new(8, 8, 8, 8).into(), 1, false);
    assert!(kept.noquery, "what is said of reports stays");
}

#[test]
fn operators_change_who_is_served_and_nothing_else() {
    let net = |address: [u8; 4], length| Subnet::Prefix {
        address: Ipv4Addr::from(address).into(),
        length,
    };
    let everybody = net([0, 0, 0, 0], 0);
    let flags = |words: &str| {
        let has = |word: &str| words.split(' ').any(|said| said == word);
        RestrictFlags {
            ignore: has("ignore"),
            noserve: has("noserve"),
            limited: has("limited"),
            noquery: has("noquery"),
            nomodify: has("nomodify"),
            ..RestrictFlags::default()
        }
    };
    // What holds for everybody and for their port 123, what an operator says of whom, and what holds then for 192.0.2.11
    // from another port and from port 123.
    for (of_all, of_port, verdict, length, other, port_123) in [
        (
            "ignore",
            None,
            Verdict::Deny,
            24,
            "noserve noquery nomodify",
            "noserve noquery nomodify",
        ),
        (
            "ignore",
            None,
            Verdict::Allow,
            32,
            "noquery nomodify",
            "noquery nomodify",
        ),
        (
            "ignore",
            None,
            Verdict::Allow,
            0,
            "noquery nomodify",
            "noquery nomodify",
        ),
        (
            "limited noquery",
            None,
            Verdict::Allow,
            32,
            "limited noquery",
            "limited noquery",
        ),
        (
            "limited noquery",
            None,
            Verdict::Deny,
            24,
            "limited noserve noquery",
            "limited noserve noquery",
        ),
        (
            "limited noquery",
            Some("nomodify"),
            Verdict::Deny,
            24,
            "limited noserve noquery",
            "noserve nomodify",
        ),
        (
            "limited noquery",
            Some("ignore"),
            Verdict::Allow,
            0,
            "limited noquery",
            "noquery nomodify",
        ),
    ] {
        let mut server = server();
        let mut restrictions = Restrictions::default();
        *restrictions.entry(&everybody, false) = flags(of_all);
        if let Some(words) = of_port {
            *restrictions.entry(&everybody, true) = flags(words);
        }
        server.restrictions = Some(restrictions);
        let subnet = match length {
            0 => everybody.clone(),
            24 => net([192, 0, 2, 0], 24),
            _ => net([192, 0, 2, 11], 32),
        };
        let before = server.allows_any(false);
        let rule = AccessRule {
            verdict,
            all: false,
            subnet,
        };
        server.set_access(&rule).unwrap();
        let found = server.restrictions.as_ref().unwrap();
        let of = |port| found.flags(Ipv4Addr::new(192, 0, 2, 11).into(), port, false);
        assert_eq!(
            (of(1000), of(123)),
            (flags(other), flags(port_123)),
            "{of_all}, {of_port:?}, {rule:?}"
        );
        let opens = verdict == Verdict::Allow;
        assert_eq!(server.allows_any(false), before || opens);
        assert!(!server.ignores_host(Ipv4Addr::new(192, 0, 2, 11).into(), 123));
    }
}

proptest! {
    #[test]
    fn no_answer_is_longer_than_its_request(mut bytes in vec(any::<u8>(), 48..400), likely: bool) {
        let mut server = server();
        if likely {
            bytes[0] = (bytes[0] & 0o300) | 0o43;
            bytes.truncate(bytes.len() / 4 * 4);
            if let Some(field) = bytes.get_mut(48..52) {
                field[2..].copy_from_slice(&[0, 28]);
            }
        }
        for now_s in 1..4 {
            if let Ok(answer) = ask(&mut server, &bytes, now_s) {
                prop_assert!(answer.len() <= bytes.len());
                prop_assert!(Packet::decode(&answer).is_ok());
            }
        }
    }
}
