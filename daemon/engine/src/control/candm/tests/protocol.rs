//! Who is answered, with what status, and never with more bytes than they sent.

use conf::config::{AccessRule, Control, OpenCommand, RateLimit, Subnet, Verdict};
use wire::candm::{Address, ClientAccessQuery};

use super::*;
use crate::io::LookupError;

#[test]
fn datagrams_are_accepted_in_chronyds_order() {
    let mut bench = Bench::with_servers();
    let udp = udp("127.0.0.1:40000");
    let with = |mut bytes: Vec<u8>, at: usize, byte: u8| {
        bytes[at] = byte;
        bytes
    };
    let tracking = |length| blank(33, length);
    let table = [
        ("complete", tracking(104), Some(0)),
        ("a byte short", tracking(103), Some(19)),
        ("only a reply's header", tracking(28), Some(19)),
        ("shorter than any reply", tracking(27), None),
        ("the longest", tracking(860), Some(0)),
        ("too long", tracking(861), None),
        ("version 5", with(tracking(104), 0, 5), Some(18)),
        ("version 7", with(tracking(104), 0, 7), Some(18)),
        ("version 4", with(tracking(104), 0, 4), None),
        ("a reply", with(tracking(104), 1, 2), None),
        ("res1", with(tracking(104), 2, 1), None),
        ("res2", with(tracking(104), 3, 1), None),
        ("command 0", blank(0, 104), Some(3)),
        ("a retired command", blank(10, 104), Some(3)),
        ("an unknown command", blank(75, 104), Some(3)),
        ("another", blank(200, 104), Some(3)),
        ("not open", blank(54, 196), Some(2)),
        ("not open, of a client of 4.3", blank(54, 72), Some(2)),
        ("a length that no client has", blank(54, 73), Some(19)),
        ("no such source", with(blank(15, 76), 23, 99), Some(4)),
        (
            "source −1",
            hex(&format!(
                "06010000000f0000000000000000000000000000ffffffff{}",
                "00".repeat(52)
            )),
            Some(4),
        ),
        ("a change", blank(43, 28), Some(2)),
        (
            "a change with an unreadable body",
            with(blank(1, 60), 37, 9),
            Some(2),
        ),
        ("a source without a name", blank(64, 372), Some(2)),
    ];
    for (what, bytes, status) in table {
        let reply = bench.send(&udp, &bytes);
        assert_eq!(reply.as_deref().map(status_of), status, "{what}");
    }
    // The same from the command socket, where everybody may everything.
    assert_eq!(
        bench
            .send(&UNIX, &with(blank(1, 60), 37, 9))
            .as_deref()
            .map(status_of),
        Some(3)
    );
    assert_eq!(
        bench.send(&UNIX, &blank(64, 372)).as_deref().map(status_of),
        Some(3)
    );
}

#[test]
fn over_udp_only_what_is_open_is_carried_out() {
    let peers = [(UNIX, true), (udp("127.0.0.1:1"), false), (udp("[::1]:1"), false)];
    for command in every_command() {
        for (peer, is_full) in &peers {
            let mut bench = Bench::with_servers();
            let reply = bench.send(peer, &blank(command.code(), command.request_length()));
            let status = status_of(&reply.expect("a reply"));
            let is_open = [14, 15, 33, 34, 35, 41, 44, 51, 65].contains(&command.code());
            assert_eq!(
                status == 2,
                !is_full && !is_open,
                "{command:?} from {peer:?}: {status}"
            );
        }
    }
}

#[test]
fn strangers_get_nothing_unless_a_rule_lets_them_ask() {
    let rule = AccessRule {
        verdict: Verdict::Allow,
        all: false,
        subnet: Subnet::prefix(ip("192.0.2.0"), 24).expect("a subnet"),
    };
    let control = Control {
        access: vec![rule],
        ..Control::default()
    };
    let mut bench = Bench::new(Config {
        control,
        ..Config::default()
    });
    for from in [
        "127.0.0.2:1",
        "198.51.100.1:1",
        "[2001:db8::1]:1",
        "[::ffff:198.51.100.1]:1",
    ] {
        assert_eq!(
            bench.ask_as(&udp(from), &Request::Activity),
            Got::Nothing,
            "{from}"
        );
    }
    for from in ["127.0.0.1:1", "[::1]:1", "192.0.2.77:1", "[::ffff:192.0.2.77]:1"] {
        assert!(
            matches!(bench.ask_as(&udp(from), &Request::Activity), Got::Reply(_)),
            "{from}"
        );
    }
    // Those who were turned away are not counted.
    assert_eq!(bench.engine.server.statistics.command_hits, 4);
}

#[test]
fn strangers_are_limited_and_neighbours_are_not() {
    let everyone = AccessRule {
        verdict: Verdict::Allow,
        all: false,
        subnet: Subnet::Everyone,
    };
    let control = Control {
        access: vec![everyone],
        rate_limit: Some(RateLimit::CONTROL),
        ..Control::default()
    };
    let mut bench = Bench::new(Config {
        control,
        ..Config::default()
    });
    let mut answered = |from| {
        let answers = (0..40).map(|_| bench.ask_as(&udp(from), &Request::Activity));
        answers.filter(|got| *got != Got::Nothing).count()
    };
    assert_eq!(answered("127.0.0.1:1"), 40);
    assert_eq!(
        answered("192.0.2.1:1"),
        8,
        "the burst of the default limit; the random bits leak nothing"
    );
    let statistics = &bench.engine.server.statistics;
    assert_eq!((statistics.command_hits, statistics.command_drops), (80, 32));
}

#[test]
fn clients_of_every_generation_get_their_own_server_stats() {
    let mut bench = Bench::new(Config::default());
    let captured = hex("06010000003600002f68a482
         000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         000000000000000000000000");
    assert_eq!(captured.len(), 72);
    let reply = bench.send(&UNIX, &captured).expect("a reply");
    let expected = hex(
        "060200000036001800000000000000002f68a48200000000000000000000000000000000000000010000000000000000
         000000000000000000000000000000000000000000000000",
    );
    assert_eq!(reply, expected);
    for (length, reply_type) in [(48, 14), (60, 22), (72, 24), (196, 25), (416, 25)] {
        let reply = bench.send(&UNIX, &blank(54, length)).expect("a reply");
        assert_eq!(u16::from_be_bytes([reply[6], reply[7]]), reply_type);
    }
    let reply = bench.send(&UNIX, &blank(54, 196)).expect("a reply");
    assert_eq!(
        (reply.len(), &reply[44..52]),
        (196, &[0, 0, 0, 0, 0, 0, 0, 7][..])
    );
    assert_eq!(&reply[164..196], &[0xff; 32]);
}

#[test]
fn an_unsynchronised_clock_says_so_byte_for_byte() {
    let mut bench = Bench::new(Config::default());
    let reply = bench
        .send(&udp("127.0.0.1:323"), &blank(33, 104))
        .expect("a reply");
    let expected = hex(
        "060200000021000500000000000000001e9c7c6c00000000000000000000000000000000000000000000000000000000
         00000000000000030000000000000000000000000000000000000000000000000000000000000000000000000480000004800000
         00000000",
    );
    assert_eq!(reply, expected);
}

#[test]
fn access_rules_are_those_of_the_directives() {
    let mut bench = Bench::new(Config::default());
    let subnet = |address: &str, bits| wire::candm::Subnet {
        address: ip(address).into(),
        bits,
    };
    let everyone = wire::candm::Subnet {
        address: Address::Unspecified,
        bits: 0,
    };
    // The script of 110-chronyc.
    for request in [
        Request::DenyAll(everyone),
        Request::CmdAllowAll(everyone),
        Request::Allow(subnet("1.2.3.4", 32)),
        Request::Allow(subnet("1.2.3.0", 28)),
        Request::Deny(subnet("1.2.3.0", 27)),
        Request::Allow(subnet("1.2.4.5", 32)),
        Request::DenyAll(subnet("1.2.4.0", 27)),
        Request::CmdDeny(subnet("5.6.7.8", 32)),
        Request::CmdAllowAll(subnet("5.6.7.0", 28)),
    ] {
        bench.done(&request);
    }
    let checks = [
        (Request::AccessCheck(ip("1.2.3.4").into()), Reply::AccessAllowed),
        (Request::AccessCheck(ip("1.2.3.5").into()), Reply::AccessDenied),
        (Request::AccessCheck(ip("1.2.4.5").into()), Reply::AccessDenied),
        (
            Request::CmdAccessCheck(ip("5.6.7.8").into()),
            Reply::AccessAllowed,
        ),
    ];
    for (request, reply) in checks {
        assert_eq!(bench.ask(&request), Got::Reply(reply), "{request:?}");
    }
    bench.refused(&Request::Allow(subnet("1.2.3.4", 33)), Status::BadSubnet);
    bench.refused(&Request::CmdDeny(subnet("::", 129)), Status::BadSubnet);
    assert_eq!(
        bench.log().first().map(String::as_str),
        Some("Denied all NTP access from any address")
    );
}

#[test]
fn what_is_not_there_is_said_not_to_be() {
    let mut bench = Bench::new(Config::default());
    bench.refused(&Request::RtcReport, Status::NoRtc);
    bench.refused(&Request::TrimRtc, Status::NoRtc);
    bench.refused(&Request::WriteRtc, Status::NoRtc);
    bench.refused(&Request::Smoothing, Status::NotEnabled);
    bench.refused(
        &Request::SmoothTime(wire::candm::SmoothTimeAction::Reset),
        Status::NotEnabled,
    );
}

#[test]
fn a_shutdown_is_answered_first() {
    let mut bench = Bench::new(Config::default());
    bench.engine.handle_input(
        bench.now(),
        Input::Control {
            peer: UNIX,
            bytes: &Request::Shutdown.encode(5),
        },
    );
    let outputs = bench.outputs();
    let place = |wanted: fn(&Output) -> bool| outputs.iter().position(wanted).expect("an output");
    let reply = place(|output| matches!(output, Output::ControlReply { .. }));
    assert!(reply < place(|output| matches!(output, Output::Exit { status: 0 })));
    assert_eq!(
        bench.ask_as(&udp("127.0.0.1:1"), &Request::Shutdown),
        Got::Refusal(Status::Unauthorised)
    );
    assert!(
        !bench
            .outputs()
            .iter()
            .any(|output| matches!(output, Output::Exit { .. }))
    );
}

#[test]
fn files_are_the_programs_business() {
    let mut bench = Bench::new(Config::default());
    for (request, wanted) in [
        (Request::Rekey, Output::ReadKeys),
        (Request::CycleLogs, Output::CycleLogs),
    ] {
        bench.done(&request);
        assert_eq!(bench.outputs(), [wanted]);
    }
    // Files of sources are read again once they have been read.
    bench.done(&Request::ReloadSources);
    assert_eq!(bench.outputs(), []);
    bench
        .engine
        .handle_input(bench.now(), Input::SourceFiles(Vec::new()));
    bench.done(&Request::ReloadSources);
    assert_eq!(bench.outputs(), [Output::ReadSourceFiles]);
    // Without a directory for them there are no dumps.
    bench.done(&Request::Dump);
    assert_eq!(bench.outputs(), []);
    bench.engine.config.dump_dir = Some("/var/lib/timeballd".to_owned());
    bench.done(&Request::AddSource(Box::new(wire::candm::AddSource::new(
        wire::candm::NewSourceKind::Server,
        wire::candm::SourceName::new("192.0.2.1").expect("a name"),
    ))));
    bench.outputs();
    // Nor is there one of a source of which nothing is known.
    bench.done(&Request::Dump);
    assert_eq!(bench.outputs(), []);
    let known = Input::Dump {
        source: "192.0.2.1",
        text: "SRC0\n192.0.2.1\n0 377 8 2 0\n1 0\n1795168700.000000000 1e-4 1e-4 7e-4 3e-6 7e-4 3e-6\n",
    };
    bench.engine.handle_input(bench.now(), known);
    bench.outputs();
    bench.done(&Request::Dump);
    let dumps = bench.outputs();
    assert!(
        matches!(&dumps[..], [Output::WriteDump { source, .. }] if source == "192.0.2.1"),
        "{dumps:?}"
    );
}

#[test]
fn clients_are_listed_by_pages_and_counted_anew() {
    let open = [OpenCommand::Clients].into();
    let control = Control {
        open_commands: open,
        ..Control::default()
    };
    let mut bench = Bench::new(Config {
        control,
        ..Config::default()
    });
    let query = ClientAccessQuery {
        first_index: 0,
        clients: 100,
        hits_min: 0,
        reset: true,
    };
    let request = Request::ClientAccesses(query);
    let list = |bench: &mut Bench| match bench.ask_as(&udp("127.0.0.1:1"), &request) {
        Got::Reply(Reply::ClientAccesses(list)) => list,
        got => panic!("{got:?}"),
    };
    let first = list(&mut bench);
    assert_eq!((first.indices, first.clients.len()), (16, 1));
    assert_eq!(
        (first.clients[0].address, first.clients[0].cmd_hits),
        (ip("127.0.0.1").into(), 1)
    );
    assert_eq!(
        list(&mut bench).clients[0].cmd_hits,
        1,
        "the first listing reset the count"
    );
}

#[test]
fn without_a_client_log_there_are_no_clients() {
    let mut config = Config::default();
    config.server.client_log = conf::config::ClientLog::Off;
    let mut bench = Bench::new(config);
    let query = ClientAccessQuery {
        first_index: 0,
        clients: 8,
        hits_min: 0,
        reset: false,
    };
    bench.refused(&Request::ClientAccesses(query), Status::Inactive);
}

#[test]
fn rules_about_names_count_when_the_names_have_addresses() {
    let rule = |name: &str| AccessRule {
        verdict: Verdict::Allow,
        all: false,
        subnet: Subnet::Name(name.to_owned()),
    };
    let mut config = Config::default();
    config.control.access = vec![rule("friend.example.net"), rule("nobody.example.net")];
    config.server.access = vec![rule("client.example.net")];
    let options = Options {
        observe: true,
        ..Bench::options()
    };
    let mut bench = Bench {
        engine: Engine::new(config, options, now(0.0), Box::new(|| 1)),
        seconds: 0.0,
        stepped_s: 0.0,
        waiting: Vec::new(),
    };
    let asked: Vec<_> = bench
        .outputs()
        .into_iter()
        .filter_map(|output| match output {
            Output::Resolve { lookup, name } => Some((lookup, name)),
            _ => None,
        })
        .collect();
    assert_eq!(asked.len(), 3);
    let friend = udp("192.0.2.5:9");
    assert_eq!(bench.ask_as(&friend, &Request::Activity), Got::Nothing);
    for (lookup, name) in asked {
        let answer = match name.as_str() {
            "friend.example.net" => Ok(vec![ip("192.0.2.5"), ip("192.0.2.6")]),
            "client.example.net" => Ok(vec![ip("2001:db8::5")]),
            _ => Err(LookupError::NotFound),
        };
        bench
            .engine
            .handle_input(bench.now(), Input::Resolved { lookup, answer });
    }
    assert!(matches!(bench.ask_as(&friend, &Request::Activity), Got::Reply(_)));
    assert_eq!(
        bench.ask_as(&udp("192.0.2.6:9"), &Request::Activity),
        Got::Nothing
    );
    let client = Request::AccessCheck(ip("2001:db8::5").into());
    assert_eq!(bench.ask(&client), Got::Reply(Reply::AccessAllowed));
    assert_eq!(
        bench.log(),
        [
            "Could not look up nobody.example.net: the rule about it has no effect until its name has an address"
        ]
    );
    // It is tried again, quietly, and counts when the name has an address.
    let nobody = udp("192.0.2.7:9");
    for failures in 1..4 {
        bench.seconds = 28.0 * 2_f64.powi(failures);
        bench.engine.handle_timeout(bench.now());
        let asked = bench.outputs().into_iter().find_map(|output| match output {
            Output::Resolve { lookup, name } if name == "nobody.example.net" => Some(lookup),
            _ => None,
        });
        let answer = if failures == 3 {
            Ok(vec![ip("192.0.2.7")])
        } else {
            Err(LookupError::NotFound)
        };
        assert_eq!(bench.ask_as(&nobody, &Request::Activity), Got::Nothing);
        let lookup = asked.expect("the name is looked up again");
        bench
            .engine
            .handle_input(bench.now(), Input::Resolved { lookup, answer });
    }
    assert!(matches!(bench.ask_as(&nobody, &Request::Activity), Got::Reply(_)));
    assert_eq!(bench.log(), [""; 0]);
}

#[test]
fn a_rule_follows_its_name() {
    let mut config = Config::default();
    let mut restrictions = conf::config::Restrictions::default();
    let everybody = Subnet::prefix(ip("0.0.0.0"), 0).unwrap();
    restrictions.entry(&everybody, false).ignore = true;
    let named = Subnet::Name("friend.example.net".to_owned());
    restrictions.entry(&named, false).noquery = true;
    let host = Subnet::prefix(ip("192.0.2.6"), 32).unwrap();
    restrictions.entry(&host, false).nomodify = true;
    config.server.restrictions = Some(restrictions);
    let mut bench = Bench {
        engine: Engine::new(config, Bench::options(), now(0.0), Box::new(|| 1)),
        seconds: 0.0,
        stepped_s: 0.0,
        waiting: Vec::new(),
    };
    let mut answer = |seconds, addresses: &[&str]| {
        bench.seconds = seconds;
        bench.engine.handle_timeout(bench.now());
        let lookup = bench.outputs().into_iter().find_map(|output| match output {
            Output::Resolve { lookup, .. } => Some(lookup),
            _ => None,
        });
        let lookup = lookup.expect("the name is looked up");
        let answer = match addresses {
            [] => Err(LookupError::TryAgain),
            addresses => Ok(addresses.iter().map(|address| ip(address)).collect()),
        };
        bench
            .engine
            .handle_input(bench.now(), Input::Resolved { lookup, answer });
        ["192.0.2.5", "192.0.2.6", "192.0.2.7"].map(|address| {
            let restrictions = bench.engine.server.restrictions.as_ref().unwrap();
            let flags = restrictions.flags(ip(address), 1000, false);
            (flags.ignore, flags.noquery, flags.nomodify)
        })
    };
    let (stranger, friend) = ((true, false, false), (false, true, false));
    let (host, both) = ((false, false, true), (false, true, true));
    assert_eq!(answer(0.0, &["192.0.2.5", "192.0.2.6"]), [friend, both, stranger]);
    // What it has no longer is a stranger's again, and what the file says stays.
    assert_eq!(answer(3601.0, &["192.0.2.7"]), [stranger, host, friend]);
    assert_eq!(answer(7202.0, &[]), [stranger, host, friend]);
    assert_eq!(
        answer(10_803.0, &["192.0.2.7", "192.0.2.6"]),
        [stranger, both, friend]
    );
}
