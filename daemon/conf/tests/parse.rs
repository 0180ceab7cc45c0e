//! What a configuration means to the daemon.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use conf::chrony::{
    Argument, DIRECTIVES, Directive, Support, parse, parse_source_file, print, read_source_dirs,
};
use conf::config::*;
use conf::diagnostic::Severity;
use proptest::prelude::*;

mod files;

use files::{Files, MAIN, check};

/// Parses one file with nothing wrong.
fn config(text: &str) -> Config {
    let (config, diagnostics) = check(text);
    assert_eq!(diagnostics, [""; 0], "{text}");
    config
}

fn prefix(verdict: Verdict, all: bool, address: &str, length: u8) -> AccessRule {
    let address = address.parse::<IpAddr>().unwrap();
    let subnet = Subnet::Prefix { address, length };
    AccessRule { verdict, all, subnet }
}

#[test]
fn the_stock_configurations_are_taken_without_a_word() {
    let debian = config(
        "confdir /etc/chrony/conf.d\npool 2.debian.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\n\
         sourcedir /etc/chrony/sources.d\nkeyfile /etc/chrony/chrony.keys\n\
         driftfile /var/lib/chrony/chrony.drift\nntsdumpdir /var/lib/chrony\nlogdir /var/log/chrony\n\
         maxupdateskew 100.0\nrtcsync\nmakestep 1 3\nleapsectz right/UTC\n",
    );
    let rhel = config(
        "pool 2.rhel.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\ndriftfile /var/lib/chrony/drift\n\
         makestep 1.0 3\nrtcsync\nkeyfile /etc/chrony.keys\nntsdumpdir /var/lib/chrony\n\
         leapsectz right/UTC\nlogdir /var/log/chrony\n",
    );
    let pool = |name: &str| SourceConfig {
        iburst: true,
        ..SourceConfig::new(SourceKind::Pool, SourceName::Name(name.to_owned()))
    };
    assert_eq!(debian.sources, [pool("2.debian.pool.ntp.org")]);
    assert_eq!(debian.clock.max_update_skew_ppm, 100.0);
    assert_eq!(
        debian.source_dirs,
        [["/run/chrony-dhcp"], ["/etc/chrony/sources.d"]]
    );
    assert_eq!(rhel.sources, [pool("2.rhel.pool.ntp.org")]);
    let step = MakeStep::both(1.0, Some(3));
    for config in [debian, rhel] {
        assert_eq!(config.clock.make_step, Some(step));
        assert_eq!(config.leap.time_zone.as_deref(), Some("right/UTC"));
        assert!(config.rtc.kernel_sync);
    }
}

#[test]
fn every_option_of_a_source_is_taken() {
    let (all, said) = check(
        "SERVER 192.0.2.1 IBurst burst prefer noselect trust require xleave offline auto_offline copy ipv6 \
         minpoll -1 maxpoll 3 maxsources 2 key 7 port 1123 version 3 presend 9 minstratum 2 polltarget 12 \
         minsamples 4 maxsamples 5 filter 6 maxunreach 10 maxdelay 0.5 maxdelayratio 2 maxdelaydevratio 3 \
         maxdelayquant 0.9 mindelay 1e-3 asymmetry -0.25 offset 0.1 certset 3 ntsport 4",
    );
    assert_eq!(
        said,
        ["W 1:196 minsamples option in server directive is not supported at line 1 in file /main"]
    );
    let name = SourceName::Address("192.0.2.1".parse().unwrap());
    let expected = SourceConfig {
        iburst: true,
        burst: true,
        select: SelectOptions {
            prefer: true,
            noselect: true,
            trust: true,
            require: true,
        },
        interleaved: true,
        offline: true,
        auto_offline: true,
        copy: true,
        family: Some(Family::V6),
        min_poll: -1,
        max_poll: 3,
        max_sources: 2,
        key_id: Some(7),
        port: 1123,
        version: Some(3),
        presend_poll: 9,
        min_stratum: 2,
        poll_target: 12,
        min_samples: Some(4),
        max_samples: Some(5),
        filter_length: 6,
        max_unreach: 10,
        max_delay_s: 0.5,
        max_delay_ratio: 2.0,
        max_delay_dev_ratio: 3.0,
        max_delay_quantile: 0.9,
        min_delay_s: Some(1e-3),
        asymmetry: Some(-0.25),
        offset_s: 0.1,
        ..SourceConfig::new(SourceKind::Server, name)
    };
    assert_eq!(all.sources, [expected]);
}

#[test]
fn the_maximum_poll_is_never_below_the_minimum() {
    let polls = |text: &str| {
        let source = &config(text).sources[0];
        (source.min_poll, source.max_poll)
    };
    assert_eq!(polls("server a"), (6, 10));
    assert_eq!(polls("server a maxpoll 4"), (6, 6));
    assert_eq!(polls("server a minpoll 12"), (12, 12));
    assert_eq!(polls("server a minpoll 7 minpoll 3 maxpoll 4"), (3, 4));
}

#[test]
fn values_out_of_range_become_what_chronyd_takes() {
    let (config, warnings) =
        check("server a minpoll -9 maxpoll 30\npeer b maxdelay 5000 iburst\nmaxdistance inf");
    assert_eq!((config.sources[0].min_poll, config.sources[0].max_poll), (6, 24));
    assert_eq!(config.sources[1].max_delay_s, 1000.0);
    assert!(!config.sources[1].iburst);
    assert!(config.selection.max_distance_s.is_finite());
    assert_eq!(warnings.len(), 5);
}

#[test]
fn options_of_sources_that_stand_for_none_do() {
    let taken = |option: &str| {
        let (config, diagnostics) = check(&format!("server a {option}\n"));
        (config.sources[0].clone(), diagnostics.len())
    };
    let none = || SourceConfig::new(SourceKind::Server, SourceName::Name("a".to_owned()));
    for option in [
        "maxdelayquant 0",
        "mindelay 0",
        "mindelay -0.0",
        "maxdelayquant 0.2 maxdelayquant 0",
    ] {
        assert_eq!(taken(option), (none(), 0), "{option}");
    }
    // As many warnings.
    for option in ["maxdelayquant -1", "mindelay -1", "asymmetry 1", "asymmetry -0.6"] {
        assert_eq!(taken(option), (none(), 1), "{option}");
    }
    let (at_bounds, warnings) = taken("maxdelayquant 0.01 mindelay 1e4 asymmetry -0.5 minstratum 16");
    assert_eq!(
        (at_bounds.max_delay_quantile, at_bounds.min_delay_s),
        (0.05, Some(1e3))
    );
    assert_eq!((at_bounds.asymmetry, at_bounds.min_stratum), (Some(-0.5), 15));
    assert_eq!(warnings, 3);
}

#[test]
fn access_rules_keep_their_order() {
    let rules = config(
        "allow\nallow 1.2.3.4\ndeny 1.2.3.0/27\nallow all 10\nallow 2001:db8::/32\nallow 1.2/4\ndeny all\nallow ntp.example",
    );
    let rule = |verdict, all, subnet| AccessRule { verdict, all, subnet };
    assert_eq!(
        rules.server.access,
        [
            rule(Verdict::Allow, false, Subnet::Everyone),
            prefix(Verdict::Allow, false, "1.2.3.4", 32),
            prefix(Verdict::Deny, false, "1.2.3.0", 27),
            prefix(Verdict::Allow, true, "10.0.0.0", 8),
            prefix(Verdict::Allow, false, "2001:db8::", 32),
            prefix(Verdict::Allow, false, "1.2.0.0", 4),
            rule(Verdict::Deny, true, Subnet::Everyone),
            rule(Verdict::Allow, false, Subnet::Name("ntp.example".to_owned())),
        ]
    );
    assert_eq!(rules.control.access, []);
    assert_eq!(
        config("cmddeny 1").control.access,
        [prefix(Verdict::Deny, false, "1.0.0.0", 8)]
    );
}

#[test]
fn directives_of_several_words_are_taken() {
    let (config, said) = check(
        "local stratum 8 orphan distance 0.5 activate 0.1 waitsynced 5\nmakestep 0.1 -1\nmaxchange 1000 1 -1\n\
         fallbackdrift 16 19\ninitstepslew 30 a b\nsmoothtime 400 0.001 leaponly\nratelimit interval 1 burst 16 kod 2\n\
         cmdratelimit\nbroadcast 60 192.0.2.255\nbroadcast 60 ::1 124\nbindaddress 192.0.2.1\nbindaddress 192.0.2.2\n\
         bindaddress ::1\nbindacqaddress ::2\nbindcmdaddress 0.0.0.0\nbindcmdaddress /run/x.sock\n\
         log tracking measurements\nlog rtc\ndriftfile /d interval 60\nleapsecmode slew\nleapseclist /l\n\
         authselectmode require\nopencommands tracking sources\nclientloglimit 1000\nacquisitionport 123\n\
         pidfile /\nuser ntp\nmanual\nlock_all\nsched_priority 5\ndscp 46\nclockprecision 1e-7\n\
         rtcfile /r\nrtcautotrim 3\nminstratum 1\nmaxstratum 20\ntimeball.metrics-address [::1]:9123\n",
    );
    assert!(said.is_empty(), "{said:?}");
    let local = Local {
        stratum: 8,
        distance_s: 0.5,
        activate_s: 0.1,
        orphan: true,
        wait_synced_s: 5.0,
        wait_unsynced_s: 300.0,
    };
    assert_eq!(config.local, Some(local));
    assert_eq!(config.clock.make_step, Some(MakeStep::both(0.1, None)));
    assert_eq!(
        config.clock.max_change,
        Some(MaxChange {
            offset_s: 1000.0,
            start: 1,
            ignore: None
        })
    );
    assert_eq!(
        config.clock.fallback_drift,
        Some(FallbackDrift { min: 16, max: 19 })
    );
    let initial = config.initial_step.unwrap();
    assert_eq!(
        (initial.threshold_s, initial.servers),
        (30.0, vec!["a".to_owned(), "b".to_owned()])
    );
    let smoothing = TimeSmoothing {
        max_frequency_ppm: 400.0,
        max_wander_ppm_per_s: 0.001,
        leap_only: true,
    };
    assert_eq!(config.server.smoothing, Some(smoothing));
    let limit = RateLimit {
        interval: 1,
        burst: 16,
        leak: 2,
        kod: 2,
    };
    assert_eq!(config.server.rate_limit, Some(limit));
    assert_eq!(config.control.rate_limit, Some(RateLimit::CONTROL));
    let ports = config
        .server
        .broadcasts
        .iter()
        .map(|broadcast| broadcast.port)
        .collect::<Vec<_>>();
    assert_eq!(ports, [123, 124]);
    assert_eq!(config.server.bind_ipv4, Some("192.0.2.2".parse().unwrap()));
    assert_eq!(config.server.bind_ipv6, Some("::1".parse().unwrap()));
    assert_eq!(
        (config.client.bind_ipv4, config.client.bind_ipv6),
        (None, Some("::2".parse().unwrap()))
    );
    assert!(config.control.bind_ipv4.is_unspecified() && config.control.bind_ipv6.is_loopback());
    assert_eq!(config.control.socket, PathSetting::Path("/run/x.sock".to_owned()));
    let kinds = BTreeSet::from([LogKind::Tracking, LogKind::Measurements, LogKind::Rtc]);
    assert_eq!(config.logs.kinds, kinds);
    assert_eq!(
        config.clock.drift_file,
        Some(DriftFile {
            path: "/d".to_owned(),
            interval_s: 60.0,
            format: DriftFormat::Chrony,
        })
    );
    assert_eq!(
        (config.leap.mode, config.leap.list_file.as_deref()),
        (LeapMode::Slew, Some("/l"))
    );
    assert_eq!(config.selection.auth_select_mode, AuthSelectMode::Require);
    assert_eq!(
        config.control.open_commands,
        [OpenCommand::Tracking, OpenCommand::Sources].into()
    );
    assert_eq!(config.server.client_log, ClientLog::On { limit_bytes: 1000 });
    assert_eq!((config.client.port, config.client.dscp), (Some(123), 46));
    assert_eq!(config.process.pid_file, PathSetting::Disabled);
    assert_eq!(config.process.user.as_deref(), Some("ntp"));
    assert!(config.control.manual && config.process.lock_memory && config.process.sched_priority == 5);
    assert_eq!(
        (config.selection.min_stratum, config.selection.max_stratum),
        (1, 15)
    );
    assert_eq!(config.rtc.auto_trim_s, Some(3.0));
    assert_eq!(config.metrics_address, Some("[::1]:9123".parse().unwrap()));
}

#[test]
fn what_the_table_says_is_the_default_changes_nothing() {
    for directive in DIRECTIVES
        .iter()
        .filter(|directive| !directive.default.is_empty())
    {
        let text = format!("{} {}", directive.name, directive.default);
        assert_eq!(check(&text).0, Config::default(), "{text}");
    }
}

#[test]
fn every_directive_that_is_supported_does_something() {
    for directive in DIRECTIVES {
        let (with, diagnostics) = match directive.argument {
            Argument::Integer { min, max } => check(&format!("{} {}", directive.name, (min + 1).min(max))),
            Argument::Number { max, .. } => check(&format!("{} {}", directive.name, max / 2.0)),
            Argument::Text if directive.arguments_min == 0 => check(directive.name),
            Argument::Text => check(&format!("{} word", directive.name)),
            Argument::Other => continue,
        };
        let is_silent = diagnostics.is_empty();
        let changed = with != Config::default();
        let Directive { name, support, .. } = directive;
        match support {
            Support::Full => assert!(changed && is_silent, "{name} {diagnostics:?}"),
            Support::Idle => assert!(is_silent, "{name} {diagnostics:?}"),
            Support::LeftOut => assert!(diagnostics[0].starts_with('W'), "{name}"),
            Support::Refused => assert!(diagnostics[0].starts_with('E'), "{name}"),
        }
    }
}

#[test]
fn source_files_give_sources_and_skip_the_rest() {
    let text = "server a iburst\nserver b nts\nbad\n# x\nserver c minpoll x\npool d\nserver last";
    let (sources, diagnostics) = parse_source_file("/s/x.sources", text);
    let names = sources
        .iter()
        .map(|source| source.name.to_string())
        .collect::<Vec<_>>();
    assert_eq!(names, ["a", "d"]);
    assert_eq!(diagnostics.len(), 4);
    assert!(
        diagnostics
            .iter()
            .all(|diagnostic| diagnostic.severity == Severity::Warning)
    );
    let files = Files::new([
        ("/a/x.sources", "server one\n"),
        ("/b/x.sources", "server hidden\n"),
        ("/b/a.sources", "server zero\n"),
    ]);
    let directories = ["/a".to_owned(), "/b".to_owned()];
    let (sources, _) = read_source_dirs(&[directories.to_vec(), vec!["/none".to_owned()]], &files);
    let names = sources
        .iter()
        .map(|source| source.name.to_string())
        .collect::<Vec<_>>();
    assert_eq!(names, ["zero", "one"]);
}

#[test]
fn sources_are_equal_to_a_reload_if_all_their_settings_are() {
    let key = |text: &str| config(text).sources[0].key();
    assert_eq!(key("server a minpoll 6  IBURST"), key("SERVER a iburst"));
    for other in [
        "pool a iburst",
        "server b iburst",
        "server a",
        "server a iburst port 124",
        "server a iburst ipv4",
    ] {
        assert_ne!(key("server a iburst"), key(other), "{other}");
    }
}

/// Lines that mostly have a meaning.
fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(
        DIRECTIVES
            .iter()
            .map(|directive| directive.name)
            .collect::<Vec<_>>(),
    );
    let word = prop_oneof![
        "[0-9]{1,6}",
        "-?[0-9]{1,3}\\.[0-9]",
        Just("a".to_owned()),
        Just("/x".to_owned()),
        Just("192.0.2.1/24".to_owned()),
        Just("iburst".to_owned()),
        Just("minpoll".to_owned()),
        Just("stratum".to_owned()),
        Just("interval".to_owned()),
        Just("tracking".to_owned()),
        Just("nan".to_owned()),
    ];
    (name, prop::collection::vec(word, 0..5))
        .prop_map(|(name, words)| format!(" {name}\t{}", words.join("  ")))
}

proptest! {
    #[test]
    fn any_bytes_are_parsed(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        let files = Files::new([(MAIN, &*text)]);
        parse(MAIN, &files);
        print(MAIN, &files);
        parse_source_file("/s", &text);
    }

    #[test]
    fn what_is_printed_means_and_prints_the_same(lines in prop::collection::vec(line(), 0..12)) {
        let text = lines.join("\n");
        let (first, diagnostics) = parse(MAIN, &Files::new([(MAIN, &*text)]));
        let (printed, said) = print(MAIN, &Files::new([(MAIN, &*text)]));
        for diagnostic in &diagnostics {
            prop_assert!(!diagnostic.to_string().is_empty());
        }
        if said.iter().all(|diagnostic| diagnostic.severity == Severity::Warning) {
            let files = Files::new([(MAIN, &*printed)]);
            let (second, again) = parse(MAIN, &files);
            prop_assert_eq!(format!("{first:?}"), format!("{second:?}"));
            prop_assert_eq!(diagnostics.len(), again.len());
            prop_assert_eq!(print(MAIN, &files).0, printed);
        }
    }
}

#[test]
fn reference_clocks_are_read() {
    let text = "refclock SHM 3:perm=0644 poll 2 dpoll 5 refid GPS offset -0.5 delay 0.1 stratum 2 tai prefer filter 0\n\
         refclock SHM 0\nleapsectz right/UTC\n";
    let config = config(text);
    let expected = RefClock {
        poll: 2,
        driver_poll: 2,
        offset_s: -0.5,
        delay_s: 0.1,
        stratum: 2,
        is_tai: true,
        filter_length: 1,
        select: SelectOptions {
            prefer: true,
            ..SelectOptions::default()
        },
        ..RefClock::new(
            RefClockDriver::SharedMemory {
                unit: 3,
                permissions: 0o644,
            },
            *b"GPS\0",
        )
    };
    assert_eq!(config.ref_clocks[0], expected);
    assert_eq!(config.ref_clocks[1].reference_id, *b"SHM1");
}
