//! What one source does with the answers it gets, played from the outside.

use conf::config::{LogKind, SourceConfig, SourceKind};
use proptest::prelude::*;
use units::{Leap, Mode, NtpTimestamp, ReferenceId, Stratum};
use wire::ntp::auth::{Algorithm, Key};
use wire::ntp::{Header, Packet, PacketWriter, Version};

use crate::io::{Input, LogFile, SocketUse};
use crate::stage::{Server, Stage, answering, config, honest, line, silence, well};

const ADDRESS: &str = "192.0.2.1";

fn asking(change: impl FnOnce(&mut SourceConfig)) -> Vec<SourceConfig> {
    vec![line(SourceKind::Server, ADDRESS, change)]
}

fn play(change: impl FnOnce(&mut SourceConfig), server: Server, until_s: f64) -> Stage {
    let mut stage = Stage::new(config(asking(change)), server);
    stage.run_until(until_s);
    stage
}

#[test]
fn the_first_request_comes_at_once_and_tells_nothing() {
    let stage = play(|_| {}, well(), 1.0);
    let request = &stage.requests[0];
    assert!((request.at_s - 0.2).abs() < 1e-9);
    assert_eq!(request.bytes.len(), 48);
    let Header {
        mode,
        version,
        origin_time,
        receive_time,
        reference_time,
        ..
    } = request.header;
    assert_eq!((mode, version), (Mode::Client, Version::V4));
    assert!(origin_time.is_zero() && receive_time.is_zero() && reference_time.is_zero());
    assert!(stage.sockets.is_empty(), "the socket is closed by the answer");
}

#[test]
fn nobody_is_asked_more_often_than_the_interval_says() {
    let stage = play(|line| (line.min_poll, line.max_poll) = (4, 4), well(), 400.0);
    assert!(stage.gaps().iter().all(|gap| *gap == 16), "{:?}", stage.gaps());
    assert_eq!(stage.source().reach, 0xff);
}

#[test]
fn a_burst_at_the_start_ends_with_its_fourth_good_answer() {
    let stage = play(|line| line.iburst = true, well(), 100.0);
    assert_eq!(stage.gaps(), [2, 2, 2, 64]);
    let stage = play(|line| line.iburst = true, silence(), 200.0);
    assert_eq!(stage.gaps(), [2, 2, 2, 2, 2, 2, 2, 128]);
}

#[test]
fn who_aims_for_few_samples_gets_few() {
    let stage = play(|line| (line.iburst, line.poll_target) = (true, 1), well(), 5000.0);
    assert_eq!(stage.gaps()[..5], [2, 2, 2, 512, 1024]);
    let stage = play(|line| line.poll_target = 1, well(), 3000.0);
    assert_eq!(stage.gaps()[..4], [64, 128, 512, 1024]);
    let stage = play(
        |line| (line.iburst, line.poll_target) = (true, 60),
        well(),
        1000.0,
    );
    assert!(
        stage.gaps()[3..].iter().all(|gap| *gap == 64),
        "{:?}",
        stage.gaps()
    );
}

#[test]
fn who_does_not_answer_is_asked_less_and_less() {
    let stage = play(|_| {}, silence(), 2000.0);
    let gaps = stage.gaps();
    let log2 = |gap: &i64| (0..12).rfind(|n| 1_i64 << n <= *gap).unwrap();
    let levels: Vec<i64> = gaps.iter().map(log2).collect();
    assert_eq!(levels, [6, 6, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8], "{gaps:?}");
    assert_eq!((stage.source().reach, stage.source().counts.received), (0, 0));
}

#[test]
fn a_burst_of_every_poll_lasts_until_one_answer_is_good() {
    let mut count = 0;
    let third = answering(move |_, answer| {
        count += 1;
        if count % 3 == 0 { vec![answer] } else { Vec::new() }
    });
    let stage = play(
        |line| {
            (line.burst, line.min_poll, line.max_poll) = (true, 4, 6);
            line.poll_target = 1;
        },
        third,
        6000.0,
    );
    let gaps = stage.gaps();
    let last: Vec<i64> = gaps[gaps.len() - 6..].to_vec();
    assert!(
        last.windows(3)
            .any(|three| three[0] >= 64 && three[1..] == [2, 2]),
        "{gaps:?}"
    );
}

#[test]
fn a_packet_goes_ahead_and_is_not_measured() {
    for (interleaved, expected) in [(false, vec![2, 64, 2]), (true, vec![2, 2, 64, 2, 2])] {
        let stage = play(
            |line| {
                (line.presend_poll, line.interleaved) = (6, interleaved);
                line.max_poll = 6;
            },
            well(),
            100.0,
        );
        assert_eq!(stage.gaps(), expected);
        assert_eq!(stage.source().counts.good, 2);
    }
}

#[test]
fn intervals_below_a_second_are_for_those_who_are_near() {
    let near = play(|line| (line.min_poll, line.max_poll) = (-3, -3), well(), 10.0);
    assert!(near.requests.len() > 70, "{}", near.requests.len());
    let far = play(
        |line| (line.min_poll, line.max_poll) = (-3, -3),
        answering(|_, answer| {
            let early = answer.transmit_time + units::NtpDuration::from_seconds(-0.02);
            vec![Header {
                transmit_time: early,
                ..answer
            }]
        }),
        10.0,
    );
    assert!(far.requests.len() < 12, "{}", far.requests.len());
}

#[test]
fn the_kiss_code_rate_puts_off_the_next_request() {
    let mut count = 0;
    let server = answering(move |_, answer| {
        count += 1;
        let kiss = Header {
            leap: Leap::Unsynchronised,
            stratum: Stratum::ZERO,
            reference_id: ReferenceId::from_ascii("RATE"),
            ..answer
        };
        vec![if count == 2 { kiss } else { answer }]
    });
    let stage = play(|line| (line.min_poll, line.max_poll) = (3, 3), server, 80.0);
    assert_eq!(stage.gaps()[..3], [8, 40, 8]);
    assert_eq!(stage.said("Received KoD RATE from 192.0.2.1"), 1);
}

#[test]
fn other_kiss_codes_are_said_once_and_do_not_stop_us() {
    let server = answering(|_, answer| {
        vec![Header {
            leap: Leap::Unsynchronised,
            stratum: Stratum::ZERO,
            reference_id: ReferenceId::from_ascii("DENY"),
            ..answer
        }]
    });
    let stage = play(|_| {}, server, 1000.0);
    assert!(stage.requests.len() > 10);
    assert_eq!(stage.said("Received KoD DENY"), 1);
    assert_eq!(stage.source().reach, 0);
}

#[test]
fn a_server_without_time_is_not_reachable() {
    let server = answering(|_, answer| {
        vec![Header {
            leap: Leap::Unsynchronised,
            ..answer
        }]
    });
    let stage = play(|_| {}, server, 1000.0);
    let source = stage.source();
    assert_eq!((source.reach, source.polls), (0, 8));
    assert_eq!(source.counts.valid, source.counts.sent);
    assert_eq!(source.estimator.count(), 0);
    let tests = source.last_answer.as_ref().unwrap().tests;
    assert_eq!(tests.bits(), 0b11_1101_0000);
}

#[test]
fn reachability_counts_polls_that_are_over() {
    let mut count = 0;
    let second = answering(move |_, answer| {
        count += 1;
        if count % 2 == 1 { vec![answer] } else { Vec::new() }
    });
    let mut stage = Stage::new(
        config(asking(|line| (line.min_poll, line.max_poll) = (4, 4))),
        second,
    );
    let mut seen = Vec::new();
    let mut now_s = 0.0;
    for poll in 1..=5 {
        while stage.requests.len() < poll {
            now_s += 1.0;
            stage.run_until(now_s);
        }
        stage.run_until(now_s + 0.1);
        seen.push(stage.source().reach);
    }
    assert_eq!(seen, [0b1, 0b1, 0b101, 0b101, 0b10101]);
}

#[test]
fn a_repeated_answer_counts_once() {
    let twice = answering(|_, answer| vec![answer, answer]);
    let stage = play(|_| {}, twice, 10.0);
    assert_eq!(
        (stage.source().counts.valid, stage.source().estimator.count()),
        (1, 1)
    );
}

#[test]
fn answers_to_nobody_and_without_timestamps_are_refused() {
    let changes: [fn(Header) -> Header; 5] = [
        |answer| Header {
            origin_time: NtpTimestamp(answer.origin_time.to_bits() ^ 1),
            ..answer
        },
        |answer| Header {
            origin_time: NtpTimestamp::ZERO,
            ..answer
        },
        |answer| Header {
            receive_time: NtpTimestamp::ZERO,
            ..answer
        },
        |answer| Header {
            transmit_time: NtpTimestamp::ZERO,
            ..answer
        },
        |answer| Header {
            mode: Mode::Client,
            ..answer
        },
    ];
    for change in changes {
        let stage = play(|_| {}, answering(move |_, answer| vec![change(answer)]), 3.0);
        let source = stage.source();
        assert_eq!(
            (source.counts.valid, source.reach, source.last_answer.is_some()),
            (0, 0, false)
        );
    }
}

#[test]
fn one_who_asked_nobody_else_can_answer_later() {
    // A forged answer comes first, the real one is still taken.
    let both = answering(|_, answer| {
        let forged = Header {
            origin_time: NtpTimestamp(7),
            ..answer
        };
        vec![forged, answer]
    });
    let stage = play(|_| {}, both, 3.0);
    assert_eq!(
        (stage.source().counts.received, stage.source().counts.good),
        (2, 1)
    );
}

#[test]
fn who_follows_us_or_is_us_gives_no_sample() {
    let follows = answering(|_, answer| {
        vec![Header {
            reference_id: crate::source::reference_id(crate::stage::ours()),
            ..answer
        }]
    });
    let stage = play(|_| {}, follows, 3.0);
    assert_eq!(stage.source().last_answer.as_ref().unwrap().tests.bits() & 1, 0);
    // At our own address it is we who answer, if we answer at all; on another port it is another daemon.
    let good = |answers: bool, port: u16| {
        let ours = crate::stage::ours().to_string();
        let mut config = config(vec![line(SourceKind::Server, &ours, |line| line.port = port)]);
        if answers {
            config.server.access.push(conf::config::AccessRule {
                verdict: conf::config::Verdict::Allow,
                all: false,
                subnet: conf::config::Subnet::Everyone,
            });
        }
        let mut stage = Stage::new(config, well());
        stage.run_until(3.0);
        assert_eq!(stage.source().counts.valid, 1);
        stage.source().counts.good
    };
    assert_eq!((good(true, 123), good(true, 11_123), good(false, 123)), (0, 1, 1));
}

#[test]
fn delays_beyond_the_limit_are_refused() {
    let stage = play(|line| line.max_delay_s = 0.001, well(), 200.0);
    let source = stage.source();
    assert_eq!((source.counts.good, source.reach & 1), (0, 1));
    assert_eq!(source.last_answer.as_ref().unwrap().tests.bits() & 0b1000, 0);
}

#[test]
fn the_configured_offset_and_stratum_are_added() {
    let stage = play(|line| (line.offset_s, line.min_stratum) = (0.5, 7), well(), 3.0);
    assert!((stage.source().last_offset_s - 0.5).abs() < 1e-5);
    assert_eq!(stage.source().stratum, Stratum(7));
}

#[test]
fn asymmetry_takes_back_what_the_delay_added() {
    let mut stage = Stage::new(
        config(asking(|line| {
            (line.min_poll, line.max_poll) = (2, 2);
            (line.min_delay_s, line.asymmetry) = (Some(2.0 * crate::stage::WAY_S), Some(0.5));
            line.max_delay_dev_ratio = 0.0;
        })),
        well(),
    );
    stage.late_s = vec![0.0, 0.0, 0.004];
    stage.run_until(60.0);
    let offsets: Vec<f64> = stage
        .source()
        .estimator
        .samples()
        .map(|sample| sample.phase_s)
        .collect();
    assert!(
        offsets.len() > 12 && offsets.iter().all(|offset| offset.abs() < 2e-6),
        "{offsets:?}"
    );
}

#[test]
fn delays_above_a_quantile_or_ratio_are_refused() {
    let count = |change: fn(&mut SourceConfig)| {
        let mut stage = Stage::new(
            config(asking(|line| {
                (line.min_poll, line.max_poll) = (2, 2);
                change(line);
            })),
            well(),
        );
        stage.late_s = vec![0.001, 0.0, 0.002, 0.003];
        stage.run_until(1000.0);
        f64::from(stage.source().counts.good) / f64::from(stage.source().counts.valid)
    };
    assert!((0.2..0.35).contains(&count(|line| line.max_delay_quantile = 0.25)));
    assert!((0.4..0.6).contains(&count(|line| line.max_delay_ratio = 1.6)));
    assert!(count(|_| {}) > 0.99);
}

#[test]
fn a_median_filter_gives_one_sample_of_its_polls() {
    let stage = play(
        |line| {
            (line.min_poll, line.max_poll) = (4, 4);
            line.filter_length = 5;
        },
        well(),
        16.0 * 10.6,
    );
    assert_eq!(stage.source().counts.good, 11);
    assert_eq!(stage.source().estimator.count(), 2);
}

#[test]
fn an_answer_that_is_refused_ends_its_poll_for_the_median_filter_too() {
    let mut stage = Stage::new(
        config(asking(|line| {
            (line.min_poll, line.max_poll) = (4, 4);
            (line.filter_length, line.max_delay_s) = (2, 0.0025);
        })),
        well(),
    );
    stage.late_s = vec![0.0, 0.001];
    stage.run_until(20.0);
    assert_eq!((stage.source().counts.valid, stage.source().counts.good), (2, 1));
    assert_eq!(
        stage.source().estimator.count(),
        1,
        "it does not wait for the third poll"
    );
}

fn keys() -> Vec<Key> {
    vec![
        Key::new(1, Algorithm::Md5, b"md5").unwrap(),
        Key::new(2, Algorithm::Sha256, b"sha").unwrap(),
    ]
}

/// A server that has these keys and answers with the key of the request.
fn keyed(has: Vec<Key>) -> Server {
    Box::new(move |_, bytes, came| {
        let request = Packet::decode(bytes).unwrap();
        let wire::ntp::Tail::Mac { key_id, digest } = request.tail else {
            return Vec::new();
        };
        let version = request.header.version;
        let Some(key) = has.iter().find(|key| key.id() == key_id) else {
            return Vec::new();
        };
        assert!(key.verify(request.covered, version, digest));
        let header = honest(&request.header, came);
        let mut buffer = [0; 200];
        let writer = PacketWriter::new(&mut buffer, &header).unwrap();
        let mut code = [0; wire::ntp::auth::CODE_LENGTH_MAX];
        let length = key.mac(writer.written(), version, &mut code);
        let length = writer.finish_with_mac(key_id, &code[..length]).unwrap();
        vec![buffer[..length].to_vec()]
    })
}

#[test]
fn answers_are_authentic_by_the_key_that_asked() {
    for (key_id, version) in [(1, Version::V4), (2, Version::V3)] {
        let mut stage = Stage::new(config(asking(|line| line.key_id = Some(key_id))), keyed(keys()));
        stage.tell(Input::Keys(keys()));
        stage.run_until(10.0);
        assert_eq!(stage.requests[0].header.version, version);
        assert_eq!(stage.source().counts.good, 1);
    }
}

#[test]
fn an_answer_without_a_code_is_not_authentic() {
    let mut stage = Stage::new(config(asking(|line| line.key_id = Some(1))), well());
    stage.tell(Input::Keys(keys()));
    stage.run_until(10.0);
    assert_eq!(
        (stage.source().counts.received, stage.source().counts.valid),
        (1, 0)
    );
}

#[test]
fn without_its_key_a_source_is_not_asked() {
    let mut stage = Stage::new(config(asking(|line| line.key_id = Some(9))), well());
    stage.tell(Input::Keys(keys()));
    stage.run_until(500.0);
    assert_eq!(stage.said("Key 9 is missing"), 1);
    assert!(stage.requests.is_empty());
    stage.tell(Input::Keys(vec![Key::new(9, Algorithm::Md5, b"new").unwrap()]));
    stage.run_until(1200.0);
    assert!(!stage.requests.is_empty());
}

/// A server as RFC 9769 has it, that begins to keep timestamps when a client shows that it wants them.
fn interleaving() -> Server {
    let mut kept: Option<(NtpTimestamp, NtpTimestamp)> = None;
    answering(move |request, answer| {
        let known = kept
            .take()
            .filter(|(received, _)| *received == request.origin_time);
        if !request.origin_time.is_zero() {
            // It left later than the answer could tell.
            let left = answer.transmit_time + units::NtpDuration::from_seconds(1e-4);
            kept = Some((answer.receive_time, left));
        }
        let interleaved = known.map(|(_, left)| Header {
            origin_time: request.receive_time,
            transmit_time: left,
            ..answer
        });
        vec![interleaved.unwrap_or(answer)]
    })
}

fn letters(stage: &Stage) -> Vec<String> {
    let lines = stage
        .lines
        .iter()
        .filter(|(file, _)| *file == LogFile::Measurements);
    lines
        .map(|(_, line)| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {}", words[7], words[words.len() - 3])
        })
        .collect()
}

#[test]
fn interleaved_answers_measure_the_exchange_before_once() {
    let mut config = config(asking(|line| {
        (line.interleaved, line.min_poll, line.max_poll) = (true, 6, 6);
    }));
    config.logs.kinds.insert(LogKind::RawMeasurements);
    let mut stage = Stage::new(config, interleaving());
    stage.run_until(350.0);
    assert_eq!(
        letters(&stage),
        ["1111 4B", "1111 4B", "0111 4I", "1111 4I", "1111 4I", "1111 4I"]
    );
    let source = stage.source();
    assert!(source.last_answer.as_ref().unwrap().interleaved);
    // The interleaved timestamp shows the 0.1 ms that the answer waited inside the server.
    let last = source.estimator.last().unwrap();
    assert!(
        (last.delay_s - (2.0 * crate::stage::WAY_S - 1.01e-4)).abs() < 2e-6,
        "{}",
        last.delay_s
    );
}

#[test]
fn a_server_without_interleaving_is_asked_all_the_same() {
    let mut config = config(asking(|line| line.interleaved = true));
    config.logs.kinds.insert(LogKind::RawMeasurements);
    let mut stage = Stage::new(config, well());
    stage.run_until(200.0);
    assert_eq!(letters(&stage), ["1111 4B"; 4]);
}

#[test]
fn timestamps_of_the_interleaved_mode_are_forgotten_when_nobody_answers() {
    let mut count = 0;
    let server = answering(move |_, answer| {
        count += 1;
        if count == 1 { vec![answer] } else { Vec::new() }
    });
    let stage = play(|line| line.interleaved = true, server, 600.0);
    let basic: Vec<bool> = stage
        .requests
        .iter()
        .map(|request| request.header.origin_time.is_zero())
        .collect();
    assert_eq!(basic[..6], [true, false, false, false, false, true]);
}

#[test]
fn a_line_of_the_measurements_log_has_the_columns_of_chrony() {
    let mut config = config(asking(|_| {}));
    config.logs.kinds.insert(LogKind::Measurements);
    config.logs.kinds.insert(LogKind::Statistics);
    let mut stage = Stage::new(config, well());
    stage.run_until(200.0);
    let (_, line) = &stage.lines[0];
    let before = "2010-01-01 00:00:00 192.0.2.1       N  2 111 111 1111   6  6 0.00  5.000e-07  1.999e-03  ";
    let after = "  1.001e-02  2.014e-03 C0000201 4B D K";
    assert!(line.starts_with(before) && line.ends_with(after), "{line}");
    let dispersion = &line[before.len()..line.len() - after.len()];
    assert!(dispersion.len() == 9 && dispersion.ends_with("e-07"), "{line}");
    let statistics: Vec<&String> = stage
        .lines
        .iter()
        .filter(|(file, _)| *file == LogFile::Statistics)
        .map(|(_, line)| line)
        .collect();
    assert_eq!(statistics.len(), 2, "they begin with the third sample");
    assert!(
        statistics[0].starts_with("2010-01-01 00:02:"),
        "{}",
        statistics[0]
    );
    assert!(statistics[0].ends_with("   3   0   1  0.00"), "{}", statistics[0]);
    assert_eq!(statistics[0].split_whitespace().count(), 13);
}

#[test]
fn a_line_of_the_selection_log_has_the_columns_of_chrony() {
    let mut config = config(vec![
        line(SourceKind::Server, ADDRESS, |line| line.select.prefer = true),
        line(SourceKind::Server, "192.0.2.2", |line| {
            line.select.noselect = true;
        }),
    ]);
    config.logs.kinds.insert(LogKind::Selection);
    let mut stage = Stage::new(config, well());
    stage.run_until(150.0);
    let lines: Vec<&str> = stage.lines.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(
        lines[..2],
        [
            "2010-01-01 00:00:00 192.0.2.1       M --P--    1  1.00  1.000e-03 -8.063e-03  8.062e-03",
            "2010-01-01 00:00:00 192.0.2.2       N -N---    0  1.00  0.000e+00  0.000e+00  0.000e+00",
        ]
    );
    let followed = "2010-01-01 00:02:09 192.0.2.1       * --P--    7  1.00  1.000e-03 ";
    assert!(lines.iter().any(|line| line.starts_with(followed)), "{lines:#?}");
    assert_eq!(lines.len(), 2 * 6, "one for each source after each answer");
}

#[test]
fn our_own_port_is_shared_when_it_is_asked_from() {
    let mut config = config(asking(|_| {}));
    config.client.port = Some(123);
    let mut stage = Stage::new(config, well());
    stage.run_until(100.0);
    let server = SocketUse::Server {
        ipv6: false,
        port: 123,
    };
    assert_eq!(stage.sockets.values().collect::<Vec<_>>(), [&server]);
    assert_eq!((stage.requests.len(), stage.source().counts.good), (2, 2));
}

#[test]
fn a_fixed_port_is_given_to_every_socket() {
    let mut config = config(asking(|_| {}));
    config.client.port = Some(1234);
    let mut stage = Stage::new(config, silence());
    stage.run_until(1.0);
    assert!(matches!(
        stage.sockets.values().next(),
        Some(SocketUse::Client { local_port: 1234, .. })
    ));
}

proptest! {
    /// A stranger who does not see our requests changes nothing, whatever they send.
    #[test]
    fn strangers_change_nothing(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..20)) {
        let mut stage = Stage::new(config(asking(|_| {})), silence());
        stage.run_until(1.0);
        let (socket, from) = (stage.requests[0].socket, stage.requests[0].to);
        for mut bytes in packets {
            stage.receive(socket, from, &bytes);
            if bytes.len() >= 48 {
                // As an answer that is well-formed.
                bytes[0] = 0x24;
                bytes.truncate(48);
                stage.receive(socket, from, &bytes);
            }
        }
        let source = stage.source();
        prop_assert_eq!((source.reach, source.counts.valid, source.estimator.count()), (0, 0, 0));
        prop_assert!(source.pending.as_ref().is_some_and(|pending| !pending.answered));
        prop_assert!(source.past.is_none() && source.last_answer.is_none());
    }

    /// Whatever the timestamps of an answer are, nothing breaks.
    #[test]
    fn no_answer_breaks_anything(receive: u64, transmit: u64, precision: u8, root: u32, stratum: u8, poll: u8) {
        let server = answering(move |_, answer| vec![Header {
            receive_time: NtpTimestamp(receive),
            transmit_time: NtpTimestamp(transmit),
            precision: precision.cast_signed(),
            root_delay: units::NtpShort(root),
            stratum: Stratum(stratum),
            poll: units::PollInterval(poll.cast_signed()),
            ..answer
        }]);
        let mut config = config(asking(|line| (line.interleaved, line.filter_length) = (true, 2)));
        config.logs.kinds.insert(LogKind::RawMeasurements);
        let mut stage = Stage::new(config, server);
        stage.run_until(300.0);
        prop_assert!(stage.requests.len() >= 4);
    }
}

#[test]
fn polls_of_an_unreachable_source_are_counted_from_when_it_became_so() {
    let mut count = 0;
    let first = answering(move |_, answer| {
        count += 1;
        if count == 1 { vec![answer] } else { Vec::new() }
    });
    let mut stage = Stage::new(
        config(asking(|line| (line.min_poll, line.max_poll) = (4, 4))),
        first,
    );
    let mut seen = Vec::new();
    for requests in 1..=12 {
        while stage.requests.len() < requests {
            let next = stage.engine.poll_timeout().unwrap();
            stage.run_until(next.seconds_since(units::Mono::ZERO));
        }
        seen.push((
            stage.source().reach.count_ones(),
            stage.source().unreachable_polls,
        ));
    }
    // The ninth unanswered request is sent when the eighth was missed.
    assert_eq!(seen[8..], [(1, 0), (0, 1), (0, 2), (0, 3)]);
}
