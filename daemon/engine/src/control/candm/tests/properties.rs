//! Whatever anybody sends.

use conf::config::{Control, OpenCommand};
use proptest::prelude::*;

use super::*;

fn bench() -> Bench {
    let control = Control {
        manual: true,
        open_commands: OpenCommand::ALL.into(),
        ..Control::default()
    };
    let named = SourceConfig::new(SourceKind::Pool, SourceName::Name("pool.example.net".to_owned()));
    let sources = vec![
        server("192.0.2.1"),
        named,
        SourceConfig::new(SourceKind::Peer, SourceName::Address(ip("::1"))),
    ];
    Bench::new(Config {
        sources,
        control,
        ..Config::default()
    })
}

fn peer() -> impl Strategy<Value = ControlPeer> {
    prop_oneof![
        Just(UNIX),
        Just(udp("127.0.0.1:9")),
        Just(udp("[::1]:9")),
        Just(udp("192.0.2.5:9"))
    ]
}

/// Anything that gets as far as its command: random bodies, mostly of the right length.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4 => Just(None), 1 => (0..900_usize).prop_map(Some)];
    let command = prop_oneof![9 => proptest::sample::select(Command::ALL.to_vec()).prop_map(Command::code), 1 => any::<u16>()];
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 900),
        proptest::collection::vec(0..4_u8, 900)
    ];
    (command, length, body).prop_map(|(code, length, body)| {
        let full = Command::from_code(code).map_or(100, Command::request_length);
        let mut bytes = blank(code, 20);
        bytes.extend(body);
        bytes.truncate(length.unwrap_or(full));
        bytes
    })
}

fn check(bench: &mut Bench, peer: &ControlPeer, bytes: &[u8]) {
    let stranger = ip("192.0.2.5");
    let is_allowed = bench.engine.control.access.is_allowed(stranger);
    if let Some(reply) = bench.send(peer, bytes) {
        assert!(reply.len() <= bytes.len() && reply.len() >= 28);
        let is_stranger = matches!(peer, ControlPeer::Udp { from, .. } if from.ip() == stranger);
        assert!(!is_stranger || is_allowed, "nobody let them ask");
        assert_eq!(reply[4..6], bytes[4..6]);
        assert_eq!(reply[16..20], bytes[8..12]);
    }
    bench.outputs();
    bench.seconds += 0.3;
    bench.engine.handle_timeout(bench.now());
    bench.outputs();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_do_harm(peer in peer(), bytes in proptest::collection::vec(any::<u8>(), 0..900)) {
        check(&mut bench(), &peer, &bytes);
    }

    /// One after the other on one engine, so that each finds what the ones before have left.
    #[test]
    fn no_commands_do_harm(requests in proptest::collection::vec((peer(), request()), 1..30)) {
        let mut bench = bench();
        for (peer, bytes) in requests {
            check(&mut bench, &peer, &bytes);
        }
        // It still answers.
        prop_assert!(matches!(bench.ask(&Request::Tracking), Got::Reply(_)));
        let page = crate::control::metrics::text(&bench.engine, bench.now().mono);
        prop_assert!(page.lines().all(|line| line.starts_with('#') || line.split(' ').count() >= 2));
    }
}
