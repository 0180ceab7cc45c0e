//! Sources as reports show them, and what is done to them.

use conf::config::{Family, RefClock, RefClockDriver};
use wire::candm::{
    Activity, AddSource, Address, AddressMask, AuthMode, NewSourceKind, ReferenceId, SelectOptions,
    SelectOptionsChange, SelectState, SourceData, SourceFlags, SourceMode, SourceState,
};

use super::*;
use crate::estimate::Sample;

fn activity(online: i32, offline: i32, burst_online: i32, burst_offline: i32) -> Got {
    Got::Reply(Reply::Activity(Activity {
        online,
        offline,
        burst_online,
        burst_offline,
        unresolved: 0,
    }))
}

fn data(bench: &mut Bench, index: u32) -> SourceData {
    match bench.ask(&Request::SourceData(index)) {
        Got::Reply(Reply::SourceData(data)) => data,
        got => panic!("{got:?}"),
    }
}

fn mask(address: &str, mask: &str) -> AddressMask {
    AddressMask {
        address: ip(address).into(),
        mask: ip(mask).into(),
    }
}

#[test]
fn sources_that_never_answered_are_listed_as_such() {
    let mut bench = Bench::with_servers();
    assert_eq!(bench.ask(&Request::NSources), Got::Reply(Reply::NSources(2)));
    let expected = SourceData {
        address: ip("192.0.2.1").into(),
        poll_log2_s: 6,
        stratum: 0,
        state: SourceState::Unselectable,
        mode: SourceMode::Client,
        flags: 0,
        reachability: 0,
        since_sample_s: None,
        measured_offset_s: 0.0,
        adjusted_offset_s: 0.0,
        offset_error_s: 0.0,
    };
    assert_eq!(data(&mut bench, 0), expected);
    assert_eq!(data(&mut bench, 1).address, ip("2001:db8::1").into());
    for request in [
        Request::SourceData(2),
        Request::SourceStats(2),
        Request::SelectData(2),
    ] {
        bench.refused(&request, Status::NoSuchSource);
    }
    match bench.ask(&Request::SourceStats(0)) {
        Got::Reply(Reply::SourceStats(stats)) => {
            assert_eq!((stats.samples, stats.runs, stats.span_s), (0, 0, 0));
            assert_eq!(
                (stats.reference_id.0, stats.standard_deviation_s, stats.skew_ppm),
                (0xc000_0201, 4.0, 2000.0)
            );
        }
        got => panic!("{got:?}"),
    }
    match bench.ask(&Request::SelectData(0)) {
        Got::Reply(Reply::SelectData(data)) => {
            assert_eq!(
                (data.state, data.leap.character(), data.score),
                (SelectState::MissingSamples, '?', 1.0)
            );
            assert_eq!(
                (data.last_sample_ago_s, data.offset_low_s, data.offset_high_s),
                (Some(0), 0.0, 0.0)
            );
        }
        got => panic!("{got:?}"),
    }
}

#[test]
fn a_source_that_is_ahead_of_us_shows_that_we_are_behind() {
    let mut bench = Bench::with_servers();
    let id = bench.engine.source_at(0).expect("a source");
    let at = bench.engine.timeline.oscillator(bench.now().mono);
    let source = bench.engine.sources.get_mut(&id).expect("a source");
    source.last_offset_s = 0.25;
    source.estimator.add(Sample {
        at,
        phase_s: 0.25,
        delay_s: 0.010,
        dispersion_s: 1e-6,
        root_delay_s: 0.002,
        root_dispersion_s: 0.001,
    });
    bench.seconds = 3.9;
    let data = data(&mut bench, 0);
    assert_eq!(data.since_sample_s, Some(3));
    let near = |value: f64, wanted: f64| assert!((value - wanted).abs() < 1e-6, "{value} is not {wanted}");
    near(data.measured_offset_s, -0.25);
    near(data.adjusted_offset_s, -0.25);
    near(data.offset_error_s, 0.007_001);
    match bench.ask(&Request::SourceStats(0)) {
        Got::Reply(Reply::SourceStats(stats)) => {
            assert_eq!((stats.samples, stats.runs, stats.span_s), (1, 1, 0));
            near(stats.offset_s, -0.25);
        }
        got => panic!("{got:?}"),
    }
}

#[test]
fn sources_go_offline_and_online_by_their_addresses() {
    let mut bench = Bench::with_servers();
    assert_eq!(bench.ask(&Request::Activity), activity(2, 0, 0, 0));
    bench.done(&Request::Offline(mask("192.0.2.0", "255.255.255.0")));
    assert_eq!(bench.ask(&Request::Activity), activity(1, 1, 0, 0));
    bench.refused(
        &Request::Offline(mask("198.51.100.0", "255.255.255.0")),
        Status::NoSuchSource,
    );
    bench.done(&Request::Offline(AddressMask::ALL));
    assert_eq!(bench.ask(&Request::Activity), activity(0, 2, 0, 0));
    bench.done(&Request::Online(AddressMask::one(ip("2001:db8::1").into())));
    assert_eq!(bench.ask(&Request::Activity), activity(1, 1, 0, 0));
    let log = bench.log();
    assert!(
        log.iter().any(|line| line == "Source 192.0.2.1 offline"),
        "{log:?}"
    );
    assert!(
        log.iter().any(|line| line == "Source 2001:db8::1 online"),
        "{log:?}"
    );
}

#[test]
fn a_burst_of_an_offline_source_returns_to_offline() {
    let mut bench = Bench::with_servers();
    bench.done(&Request::Offline(AddressMask::one(ip("192.0.2.1").into())));
    let captured = "060100000003000090b807a3
        0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000100000002";
    let reply = bench.send(&UNIX, &hex(captured)).expect("a reply");
    assert_eq!(status_of(&reply), 0);
    assert_eq!(bench.ask(&Request::Activity), activity(0, 0, 1, 1));
    // It is asked although it is offline, and after two requests it is offline again.
    bench.outputs();
    bench.run(60.0);
    let to_first =
        |output: &Output| matches!(output, Output::Datagram { to, .. } if to.ip() == ip("192.0.2.1"));
    assert_eq!(
        bench.outputs().iter().filter(|output| to_first(output)).count(),
        2
    );
    assert_eq!(bench.ask(&Request::Activity), activity(1, 1, 0, 0));
}

#[test]
fn sources_are_added_once_and_deleted_once() {
    let mut bench = Bench::with_servers();
    let name = |text: &str| wire::candm::SourceName::new(text).expect("a name");
    let add = |text| Request::AddSource(Box::new(AddSource::new(NewSourceKind::Server, name(text))));
    bench.done(&add("192.0.2.9"));
    bench.refused(&add("192.0.2.9"), Status::SourceAlreadyKnown);
    let mut other_family = AddSource::new(NewSourceKind::Server, name("192.0.2.10"));
    other_family.flags = other_family.flags.with(SourceFlags::IPV6);
    bench.refused(
        &Request::AddSource(Box::new(other_family)),
        Status::InvalidAddressFamily,
    );
    assert_eq!(bench.ask(&Request::NSources), Got::Reply(Reply::NSources(3)));
    let new = Address::from(ip("192.0.2.9"));
    match bench.ask(&Request::NtpSourceName(new)) {
        Got::Reply(Reply::NtpSourceName(name)) => assert_eq!(name.as_str(), "192.0.2.9"),
        got => panic!("{got:?}"),
    }
    bench.done(&Request::DelSource(new));
    bench.refused(&Request::DelSource(new), Status::NoSuchSource);
    bench.refused(&Request::NtpSourceName(new), Status::NoSuchSource);
    bench.refused(&Request::DelSource(Address::Unspecified), Status::NoSuchSource);
}

#[test]
fn an_address_of_the_family_that_is_left_out_is_not_added() {
    let mut bench = Bench::new(Config {
        family: Some(Family::V6),
        ..Config::default()
    });
    let name = |text: &str| wire::candm::SourceName::new(text).expect("a name");
    let add = |text| Request::AddSource(Box::new(AddSource::new(NewSourceKind::Server, name(text))));
    bench.refused(&add("192.0.2.9"), Status::InvalidAddressFamily);
    bench.done(&add("2001:db8::9"));
    assert_eq!(bench.ask(&Request::NSources), Got::Reply(Reply::NSources(1)));
}

#[test]
fn names_are_listed_by_their_numbers_until_they_have_an_address() {
    let named = SourceConfig::new(SourceKind::Server, SourceName::Name("ntp.example.net".to_owned()));
    let sources = vec![server("192.0.2.1"), named];
    let mut bench = Bench::new(Config {
        sources,
        ..Config::default()
    });
    let first = Address::Id(1);
    assert_eq!(data(&mut bench, 1).address, first);
    match bench.ask(&Request::NtpSourceName(first)) {
        Got::Reply(Reply::NtpSourceName(name)) => assert_eq!(name.as_str(), "ntp.example.net"),
        got => panic!("{got:?}"),
    }
    let expected = Activity {
        online: 1,
        unresolved: 1,
        ..Activity::default()
    };
    assert_eq!(
        bench.ask(&Request::Activity),
        Got::Reply(Reply::Activity(expected))
    );
    match bench.ask(&Request::NtpData(first)) {
        Got::Reply(Reply::NtpData(data)) => {
            assert_eq!(
                (data.remote_address, data.remote_port, data.sent),
                (first, 123, 0)
            );
        }
        got => panic!("{got:?}"),
    }
    bench.refused(&Request::NtpData(Address::Id(9)), Status::NoSuchSource);
    bench.done(&Request::ModifyMinPoll {
        address: first,
        poll_log2_s: 4,
    });
    bench.done(&Request::DelSource(first));
    assert_eq!(bench.ask(&Request::NSources), Got::Reply(Reply::NSources(1)));
}

#[test]
fn settings_are_changed_as_chronyd_says() {
    let mut bench = Bench::with_servers();
    let address = Address::from(ip("192.0.2.1"));
    let table = [
        (
            Request::ModifyMinPoll {
                address,
                poll_log2_s: 11,
            },
            vec!["new minpoll 11", "new maxpoll 11"],
        ),
        (
            Request::ModifyMaxPoll {
                address,
                poll_log2_s: 3,
            },
            vec!["new maxpoll 3", "new minpoll 3"],
        ),
        (
            Request::ModifyMaxPoll {
                address,
                poll_log2_s: 25,
            },
            vec![],
        ),
        (
            Request::ModifyMinPoll {
                address,
                poll_log2_s: -8,
            },
            vec![],
        ),
        (
            Request::ModifyMaxDelay {
                address,
                delay_s: 0.1,
            },
            vec!["new maxdelay 0.100000"],
        ),
        (
            Request::ModifyMaxDelayRatio { address, ratio: 3.0 },
            vec!["new maxdelayratio 3.000000"],
        ),
        (
            Request::ModifyMaxDelayDevRatio { address, ratio: 5.0 },
            vec!["new maxdelaydevratio 5.000000"],
        ),
        (
            Request::ModifyMinStratum { address, stratum: 2 },
            vec!["new minstratum 2"],
        ),
        (
            Request::ModifyPollTarget { address, samples: 12 },
            vec!["new polltarget 12"],
        ),
        (
            Request::ModifyOffset {
                address,
                reference_id: ReferenceId(0),
                offset_s: -0.5,
            },
            vec!["new offset -0.500000"],
        ),
    ];
    for (request, lines) in table {
        bench.done(&request);
        let lines: Vec<_> = lines
            .iter()
            .map(|line| format!("Source 192.0.2.1 {line}"))
            .collect();
        assert_eq!(bench.log(), lines, "{request:?}");
    }
    let config = &bench.engine.sources.values().next().expect("a source").config;
    assert_eq!(
        (
            config.min_poll,
            config.max_poll,
            config.min_stratum,
            config.poll_target
        ),
        (3, 3, 2, 12)
    );
    let stranger = Address::from(ip("192.0.2.99"));
    bench.refused(
        &Request::ModifyMinPoll {
            address: stranger,
            poll_log2_s: 4,
        },
        Status::NoSuchSource,
    );
}

#[test]
fn options_change_by_two_different_sets_of_bits() {
    let mut bench = Bench::with_servers();
    // `selectopts 192.0.2.1 +trust -prefer`
    bench
        .engine
        .sources
        .values_mut()
        .for_each(|source| source.config.select.prefer = true);
    let change = SelectOptionsChange {
        address: ip("192.0.2.1").into(),
        reference_id: ReferenceId(0),
        mask: SelectOptions::TRUST.with(SelectOptions::PREFER),
        options: SourceFlags::TRUST,
    };
    bench.done(&Request::ModifySelectOptions(change));
    for (index, options) in [(0, SelectOptions::TRUST), (1, SelectOptions::PREFER)] {
        match bench.ask(&Request::SelectData(index)) {
            Got::Reply(Reply::SelectData(data)) => {
                assert_eq!(
                    (data.configured_options, data.effective_options),
                    (options, options)
                );
            }
            got => panic!("{got:?}"),
        }
    }
    let refclock = SelectOptionsChange {
        address: Address::Unspecified,
        ..change
    };
    bench.refused(&Request::ModifySelectOptions(refclock), Status::NoSuchSource);
}

#[test]
fn reference_clocks_are_named_by_their_identifier() {
    let driver = RefClockDriver::SharedMemory {
        unit: 0,
        permissions: 0o600,
    };
    let mut bench = Bench::new(Config {
        ref_clocks: vec![RefClock::new(driver, *b"SHM0")],
        ..Config::default()
    });
    let select = |reference_id| {
        Request::ModifySelectOptions(SelectOptionsChange {
            address: Address::Unspecified,
            reference_id,
            mask: SelectOptions::NOSELECT,
            options: SourceFlags::NOSELECT,
        })
    };
    let offset = |reference_id| Request::ModifyOffset {
        address: Address::Unspecified,
        reference_id,
        offset_s: 0.25,
    };
    let (there, other) = (ReferenceId(0x5348_4d30), ReferenceId(0x5348_4d31));
    bench.refused(&select(other), Status::NoSuchSource);
    bench.refused(&offset(other), Status::NoSuchSource);
    bench.done(&select(there));
    bench.done(&offset(there));
    let source = bench.engine.sources.values_mut().next().unwrap();
    assert!(source.config.select.noselect);
    assert_eq!(source.config.offset_s, 0.25);
}

#[test]
fn authentication_is_told_even_of_a_missing_key() {
    let with_key = SourceConfig {
        key_id: Some(3),
        ..server("192.0.2.1")
    };
    let mut bench = Bench::new(Config {
        sources: vec![with_key, server("192.0.2.2")],
        ..Config::default()
    });
    let mut auth = |address: &str| match bench.ask(&Request::AuthData(ip(address).into())) {
        Got::Reply(Reply::AuthData(data)) => (data.mode, data.key_id, data.key_type, data.key_length_bits),
        got => panic!("{got:?}"),
    };
    assert_eq!(auth("192.0.2.1"), (AuthMode::SymmetricKey, 3, 0, 0));
    assert_eq!(auth("192.0.2.2"), (AuthMode::None, 0, 0, 0));
}

#[test]
fn sources_without_a_route_are_not_asked_any_more() {
    let mut bench = Bench::with_servers();
    bench.done(&Request::Offline(AddressMask::ALL));
    bench.outputs();
    bench.done(&Request::OnOffline);
    let mut looked = 0;
    for output in bench.outputs() {
        if let Output::FindRoute { source, remote } = output {
            let exists = remote.is_ipv4();
            bench
                .engine
                .handle_input(bench.now(), Input::Route { source, exists });
            looked += 1;
        }
    }
    assert_eq!(looked, 2);
    assert_eq!(bench.ask(&Request::Activity), activity(1, 1, 0, 0));
}

/// As with chronyd, a burst that was to be the first one is still to come when the network does.
#[test]
fn requests_that_cannot_be_sent_do_not_count() {
    let mut source = server("192.0.2.1");
    source.iburst = true;
    let mut bench = Bench::new(Config {
        sources: vec![source],
        ..Config::default()
    });
    let mut attempts = 0;
    for second in 1..60 {
        bench.run(f64::from(second));
        for output in bench.outputs() {
            if let Output::Datagram { socket, .. } = output {
                attempts += 1;
                bench
                    .engine
                    .handle_input(bench.now(), Input::SendFailed { socket });
            }
        }
    }
    assert!((20..60).contains(&attempts), "{attempts} attempts");
    assert_eq!(bench.ask(&Request::Activity), activity(0, 0, 1, 0));
    let request = Request::NtpData(ip("192.0.2.1").into());
    match bench.ask(&request) {
        Got::Reply(Reply::NtpData(data)) => assert_eq!(data.sent, 0),
        got => panic!("{got:?}"),
    }
}

#[test]
fn packets_are_told_in_both_generations() {
    let mut bench = Bench::with_servers();
    let request = Request::NtpData(ip("192.0.2.1").into()).encode(9);
    let mut old = request.clone();
    old.truncate(152);
    let (new, old) = (
        bench.send(&UNIX, &request).expect("a reply"),
        bench.send(&UNIX, &old).expect("a reply"),
    );
    assert_eq!((new.len(), new[7], old.len(), old[7]), (172, 26, 152, 16));
    assert_eq!(new[28..140], old[28..140]);
    assert!(new[156..].iter().chain(&old[140..]).all(|byte| *byte == 0xff));
}
