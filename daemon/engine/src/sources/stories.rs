//! What becomes of sources that are added, named, moved, switched and removed, played from the outside.

use conf::config::{Family, MaxChange, SourceKind};
use units::{Leap, NtpDuration, NtpTimestamp, Stratum};
use wire::candm::{AddressMask, Request};
use wire::ntp::{Header, Packet};

use crate::io::{ControlPeer, Input, LookupError, SocketUse};
use crate::source::poll::Burst;
use crate::sources::Origin;
use crate::sources::add::AddError;
use crate::sources::switch::Which;
use crate::stage::{Server, Stage, answering, config, honest, line, server, silence, well};

/// Only these addresses answer.
fn only(addresses: &'static [&'static str]) -> Server {
    Box::new(move |to, bytes, came| {
        let request = Packet::decode(bytes).unwrap().header;
        if addresses.contains(&to.ip().to_string().as_str()) {
            vec![honest(&request, came).encode().to_vec()]
        } else {
            Vec::new()
        }
    })
}

const THREE: [&str; 3] = ["192.0.2.1", "192.0.2.2", "2001:db8::3"];

/// When requests were sent, in order.
fn times(stage: &Stage) -> Vec<f64> {
    stage.requests.iter().map(|request| request.at_s).collect()
}

#[test]
fn requests_are_spaced() {
    let mut stage = Stage::new(config(THREE.map(server).to_vec()), well());
    stage.run_until(300.0);
    let times = times(&stage);
    assert!(
        times
            .iter()
            .zip([0.2, 0.4, 0.6])
            .all(|(at, expected)| (at - expected).abs() < 1e-6)
    );
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] > 0.18), "{times:?}");
}

#[test]
fn who_is_due_soon_is_asked_right_after_another() {
    let mut stage = Stage::new(config(THREE.map(server).to_vec()), well());
    stage.run_until(4000.0);
    let times = times(&stage);
    for round in times.chunks_exact(3) {
        assert!((round[2] - round[0] - 0.4).abs() < 1e-6, "{round:?}");
    }
    let rounds: Vec<f64> = times.iter().copied().step_by(3).collect();
    assert!(
        rounds.windows(2).all(|pair| pair[1] - pair[0] > 62.0),
        "{rounds:?}"
    );
}

#[test]
fn the_answer_of_who_is_followed_is_read_when_the_next_is_asked() {
    let mut stage = Stage::new(config(THREE.map(server).to_vec()), well());
    stage.run_until(1000.0);
    assert_eq!(
        stage.read_later,
        [],
        "stamps might be taken while the answer is read"
    );
    stage.read_after_s = 1e-5;
    stage.run_until(4000.0);
    let first = stage.read_later[0].0;
    let asked: Vec<_> = stage
        .requests
        .iter()
        .filter(|request| request.at_s >= first)
        .collect();
    let expected: Vec<_> = asked
        .chunks_exact(3)
        .flat_map(|round| round[..2].iter().map(|request| (request.at_s, request.socket)))
        .collect();
    assert_eq!(stage.read_later, expected);
    assert!(expected.len() > 20);
}

#[test]
fn answers_that_have_not_been_read_are_put_off_until_the_last_is_asked() {
    let many: Vec<_> = (1..=12).map(|n| server(&format!("192.0.2.{n}"))).collect();
    let mut stage = Stage::new(config(many), well());
    stage.read_after_s = 1e-5;
    stage.late_s = vec![2.5];
    stage.run_until(4000.0);
    let (first, _) = stage.read_later[0];
    let at: Vec<f64> = times(&stage)
        .into_iter()
        .filter(|at| *at >= first)
        .take(12)
        .collect();
    let counts: Vec<usize> = at
        .iter()
        .map(|at| stage.read_later.iter().filter(|(said, _)| said == at).count())
        .collect();
    // Those asked first are read after a second.
    assert_eq!(counts, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 0]);
}

#[test]
fn who_is_asked_many_times_a_second_leaves_room_for_the_others() {
    let every = |name, poll| {
        line(SourceKind::Server, name, |line| {
            (line.min_poll, line.max_poll) = (poll, poll);
        })
    };
    let lines = vec![
        every("192.0.2.1", -4),
        every("192.0.2.2", 3),
        every("192.0.2.3", 3),
        every("192.0.2.4", 6),
    ];
    let mut stage = Stage::new(config(lines), well());
    stage.read_after_s = 1e-5;
    stage.run_until(200.0);
    let asked = |last: &str| {
        let to = |request: &&crate::stage::Request| request.to.ip().to_string().ends_with(last);
        stage.requests.iter().filter(to).count()
    };
    assert!(asked(".1") > 3000, "{}", asked(".1"));
    for name in [".2", ".3"] {
        assert!((24..=29).contains(&asked(name)), "{name}: {}", asked(name));
    }
    assert!((3..=6).contains(&asked(".4")), "{}", asked(".4"));
    // Its answers would still be unread when it is asked again.
    let of_quick = |socket: &crate::io::SocketId| {
        let mut requests = stage.requests.iter();
        requests.any(|request| request.socket == *socket && request.to.ip().to_string().ends_with(".1"))
    };
    assert!(!stage.read_later.iter().any(|(_, socket)| of_quick(socket)));
}

#[test]
fn sources_that_are_switched_on_again_and_again_are_asked_soon() {
    let mut stage = Stage::new(config(THREE.map(server).to_vec()), well());
    stage.run_until(10.0);
    for _ in 0..300 {
        stage.act(|sources, tools| sources.offline(Which::All, tools));
        stage.act(|sources, tools| sources.online(Which::All, tools));
    }
    let before = stage.requests.len();
    stage.run_until(11.0);
    assert_eq!(stage.requests.len() - before, 3);
}

#[test]
fn an_answer_that_waited_while_the_clock_was_stepped_is_no_sample() {
    let mut stage = Stage::new(config(THREE.map(server).to_vec()), well());
    stage.read_after_s = 1e-5;
    stage.late_s = vec![0.5];
    stage.run_until(1000.0);
    let round = times(&stage).len();
    while times(&stage).len() < round + 3 {
        let soon_s = stage.now().mono.seconds_since(units::Mono::ZERO) + 0.05;
        stage.run_until(soon_s);
    }
    let counts = |stage: &mut Stage| -> Vec<usize> {
        stage.act(|sources, _| {
            sources
                .iter()
                .map(|(_, source)| source.estimator.count())
                .collect()
        })
    };
    let before = counts(&mut stage);
    stage.steps_s.push(0.3);
    let soon_s = stage.now().mono.seconds_since(units::Mono::ZERO) + 5.0;
    stage.run_until(soon_s);
    let after = counts(&mut stage);
    let new: Vec<usize> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(
        new.iter().sum::<usize>(),
        1,
        "{before:?} {after:?}: only that of the last, which did not wait"
    );
}

#[test]
fn answers_in_a_burst_are_read_at_once() {
    let lines =
        ["192.0.2.1", "192.0.2.2"].map(|name| line(SourceKind::Server, name, |line| line.iburst = true));
    let mut stage = Stage::new(config(lines.to_vec()), well());
    stage.read_after_s = 1e-5;
    stage.run_until(7.0);
    assert_eq!((stage.requests.len(), stage.read_later.len()), (8, 0));
}

#[test]
fn sources_of_other_intervals_are_asked_with_the_others_when_their_time_has_come() {
    let slow = line(SourceKind::Server, "192.0.2.9", |line| {
        (line.min_poll, line.max_poll) = (8, 8);
    });
    let quick = line(SourceKind::Server, "192.0.2.1", |line| {
        (line.min_poll, line.max_poll) = (6, 6);
    });
    let mut stage = Stage::new(config(vec![quick, slow]), well());
    stage.run_until(20_000.0);
    let at = |last: u8| -> Vec<f64> {
        let to =
            |request: &&crate::stage::Request| request.to.ip().to_string().ends_with(&format!(".{last}"));
        stage
            .requests
            .iter()
            .filter(to)
            .map(|request| request.at_s)
            .collect()
    };
    let (quick, slow) = (at(1), at(9));
    assert!((76..=79).contains(&slow.len()), "{}", slow.len());
    assert!((306..=313).contains(&quick.len()), "{}", quick.len());
    let together = |at: &&f64| quick.iter().any(|other| (*at - other).abs() < 0.21);
    assert_eq!(slow.iter().filter(together).count(), slow.len());
}

#[test]
fn waits_of_sources_that_are_asked_together_are_spread_like_those_of_one() {
    for count in 1..=3 {
        let every = |name: &&str| {
            line(SourceKind::Server, name, |line| {
                (line.min_poll, line.max_poll) = (6, 6);
            })
        };
        let mut stage = Stage::new(config(THREE.iter().take(count).map(every).collect()), well());
        stage.run_until(20_000.0);
        let to = stage.requests.last().map(|request| request.to);
        let of_one = stage.requests.iter().filter(|request| Some(request.to) == to);
        let at: Vec<f64> = of_one.map(|request| request.at_s).collect();
        // The first ones only bring the sources together.
        let waits: Vec<f64> = at.windows(2).skip(2).map(|pair| pair[1] - pair[0]).collect();
        let number = f64::from(u32::try_from(waits.len()).unwrap());
        let mean = waits.iter().sum::<f64>() / number;
        let (shortest, longest) = waits.iter().fold((f64::MAX, 0.0_f64), |(low, high), wait| {
            (low.min(*wait), high.max(*wait))
        });
        let about = format!("{count}: {shortest} {mean} {longest}");
        // 64 s and up to a fiftieth more.
        assert!((64.0 - 1e-6..64.1).contains(&shortest), "{about}");
        assert!((64.55..64.75).contains(&mean), "{about}");
        assert!((65.2..65.28 + 1e-6).contains(&longest), "{about}");
    }
}

#[test]
fn an_address_is_used_once() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1"), server("192.0.2.1")]), well());
    assert_eq!(stage.places(), ["192.0.2.1"]);
    assert_eq!(stage.said("Could not add source 192.0.2.1"), 1);
    let add = |stage: &mut Stage, line| stage.act(|sources, tools| sources.add(line, Origin::Command, tools));
    assert_eq!(add(&mut stage, server("192.0.2.1")), Err(AddError::AlreadyInUse));
    let wrong = line(SourceKind::Server, "192.0.2.2", |line| {
        line.family = Some(Family::V6);
    });
    assert_eq!(add(&mut stage, wrong), Err(AddError::InvalidAddress));
    assert_eq!(add(&mut stage, server("0.0.0.0")), Err(AddError::InvalidAddress));
    assert_eq!(add(&mut stage, server("two words")), Err(AddError::InvalidName));
    assert!(add(&mut stage, server("192.0.2.9")).is_ok());
    assert_eq!(stage.said("Added source 192.0.2.9"), 1);
}

#[test]
fn nothing_is_said_about_sources_of_the_configuration() {
    let lines = vec![server("192.0.2.1"), server("time.example.net")];
    let mut stage = Stage::new(config(lines), well());
    stage.run_until(1.0);
    assert_eq!((stage.said("Added"), stage.said("Selected")), (0, 0));
}

#[test]
fn a_name_without_an_address_is_tried_again_for_ever() {
    let mut stage = Stage::new(config(vec![server("time.example.net")]), well());
    assert_eq!(stage.source().place(), "ID#0000000001");
    let mut at_s = 0.0;
    for wait_s in [28.0, 56.0, 112.0, 224.0, 448.0, 896.0, 1792.0, 3584.0, 3584.0] {
        stage.resolve(&[]);
        stage.run_until(at_s + wait_s - 0.1);
        assert!(stage.lookups.is_empty());
        at_s += wait_s;
        stage.run_until(at_s);
        assert_eq!(stage.lookups.len(), 1);
    }
    let name = stage.resolve(&["192.0.2.7"]);
    assert_eq!(
        (name.as_str(), stage.source().label()),
        ("time.example.net", "192.0.2.7 (time.example.net)".into())
    );
    assert_eq!(
        stage
            .log
            .iter()
            .filter(|(_, severity, _)| *severity > crate::io::Severity::Debug)
            .count(),
        0
    );
}

#[test]
fn a_name_is_asked_for_again_soon_while_nobody_answers() {
    let temporary: &[f64] = &[8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 256.0];
    let lasting: [&[f64]; 2] = [
        &[28.0, 56.0, 112.0],
        &[256.0, 512.0, 1024.0, 2048.0, 4096.0, 4096.0],
    ];
    for (is_ntpd, lasting) in [false, true].into_iter().zip(lasting) {
        let mut config = config(vec![server("time.example.net")]);
        config.server.restrictions = is_ntpd.then(conf::config::Restrictions::default);
        let mut stage = Stage::new(config, well());
        let mut at_s = 0.0;
        // A name server that was silent once may be silent again.
        for (error, waits_s) in [
            (LookupError::TryAgain, temporary),
            (LookupError::NotFound, lasting),
            (LookupError::TryAgain, &temporary[..2]),
        ] {
            for wait_s in waits_s {
                let (_, lookup, _) = stage.lookups.pop_front().expect("the name is looked up");
                let answer = Err(error);
                stage.tell(Input::Resolved { lookup, answer });
                stage.run_until(at_s + wait_s - 0.1);
                assert!(stage.lookups.is_empty(), "{error:?} {wait_s}");
                at_s += wait_s;
                stage.run_until(at_s);
                assert_eq!(stage.lookups.len(), 1, "{error:?} {wait_s}");
            }
        }
    }
}

#[test]
fn a_name_takes_the_first_address_that_nobody_has_and_that_fits() {
    let lines = vec![
        server("192.0.2.1"),
        line(SourceKind::Server, "time.example.net", |line| {
            line.family = Some(Family::V4);
        }),
    ];
    let mut stage = Stage::new(config(lines), well());
    stage.resolve(&["2001:db8::1", "192.0.2.1", "0.0.0.0", "192.0.2.5", "192.0.2.6"]);
    assert_eq!(stage.places(), ["192.0.2.1", "192.0.2.5"]);
}

fn pool(name: &str, wanted: u8) -> conf::config::SourceConfig {
    line(SourceKind::Pool, name, |line| line.max_sources = wanted)
}

const SIX: [&str; 6] = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "192.0.2.4",
    "192.0.2.5",
    "192.0.2.6",
];

#[test]
fn a_pool_keeps_as_many_as_are_wanted_and_answer() {
    let mut stage = Stage::new(
        config(vec![pool("pool.example.net", 2)]),
        only(&["192.0.2.2", "192.0.2.3"]),
    );
    assert_eq!(stage.places().len(), 4);
    stage.resolve(&SIX);
    assert_eq!(
        stage.places(),
        ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]
    );
    stage.run_until(5.0);
    assert_eq!(stage.places(), ["192.0.2.2", "192.0.2.3"]);
    assert_eq!(stage.requests.len(), 3, "the fourth is not asked any more");
}

#[test]
fn a_pool_goes_on_looking_until_it_has_them() {
    let mut stage = Stage::new(config(vec![pool("pool.example.net", 2)]), well());
    stage.resolve(&SIX[..1]);
    stage.run_until(40.0);
    assert_eq!(
        stage.places(),
        ["192.0.2.1", "ID#0000000002", "ID#0000000003", "ID#0000000004"]
    );
    stage.resolve(&["192.0.2.1", "192.0.2.6"]);
    stage.run_until(80.0);
    assert_eq!(stage.places(), ["192.0.2.1", "192.0.2.6"]);
    assert!(stage.lookups.is_empty());
    stage.run_until(5000.0);
    assert!(stage.lookups.is_empty());
}

#[test]
fn who_does_not_answer_is_replaced_by_another_of_the_name() {
    let mut stage = Stage::new(config(vec![server("time.example.net")]), only(&["192.0.2.2"]));
    stage.resolve(&["192.0.2.1", "192.0.2.2"]);
    stage.run_until(1700.0);
    assert!(stage.lookups.is_empty(), "not in the first half hour");
    stage.run_until(3000.0);
    stage.resolve(&["192.0.2.1", "192.0.2.2"]);
    assert_eq!(
        stage.said("Source 192.0.2.1 replaced with 192.0.2.2 (time.example.net)"),
        1
    );
    stage.run_until(3300.0);
    let source = stage.source();
    assert!(source.reach != 0 && source.estimator.count() > 2);
    stage.run_until(20_000.0);
    assert_eq!(stage.said("replaced"), 1);
}

#[test]
fn a_replacement_is_asked_without_a_burst() {
    let named = line(SourceKind::Server, "time.example.net", |line| line.iburst = true);
    let mut stage = Stage::new(config(vec![named]), only(&["192.0.2.2"]));
    stage.resolve(&["192.0.2.1", "192.0.2.2"]);
    stage.run_until(10.0);
    assert!(stage.requests.len() > 3, "the first one is");
    while stage.lookups.is_empty() {
        let now_s = stage.requests.last().unwrap().at_s;
        stage.run_until(now_s + 1100.0);
    }
    let before = stage.requests.len();
    stage.resolve(&["192.0.2.1", "192.0.2.2"]);
    let now_s = stage.requests.last().unwrap().at_s;
    stage.run_until(now_s + 1500.0);
    let gaps = stage.gaps();
    assert_eq!(gaps[before..before + 3], [64, 64, 64], "{gaps:?}");
}

#[test]
fn an_answer_without_another_address_replaces_nothing() {
    let mut stage = Stage::new(config(vec![server("time.example.net")]), silence());
    stage.resolve(&["192.0.2.1"]);
    stage.run_until(3000.0);
    stage.resolve(&["192.0.2.1"]);
    assert_eq!(
        (stage.places(), stage.said("replaced")),
        (vec!["192.0.2.1".to_owned()], 0)
    );
}

#[test]
fn falsetickers_with_a_name_are_replaced() {
    let wrong: Server = Box::new(|to, bytes, came| {
        let request = Packet::decode(bytes).unwrap().header;
        let lie = NtpDuration::from_seconds(if to.ip().to_string() == "192.0.2.9" {
            10.0
        } else {
            0.0
        });
        let answer = honest(&request, came);
        let answer = Header {
            receive_time: answer.receive_time + lie,
            transmit_time: answer.transmit_time + lie,
            ..answer
        };
        vec![answer.encode().to_vec()]
    });
    let lines = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "time.example.net"].map(server);
    let mut stage = Stage::new(config(lines.to_vec()), wrong);
    stage.resolve(&["192.0.2.9"]);
    stage.run_until(2500.0);
    // Once among those that could be selected, and once beside the one that was.
    assert_eq!(stage.said("Detected falseticker 192.0.2.9"), 2);
    stage.resolve(&["192.0.2.8"]);
    assert_eq!(
        stage.said("Source 192.0.2.9 replaced with 192.0.2.8 (time.example.net)"),
        1
    );
}

#[test]
fn who_is_silent_is_replaced_before_who_may_be_wrong() {
    // One against one: nobody knows which of them is wrong.
    let at_odds: Server = Box::new(|to, bytes, came| {
        let request = Packet::decode(bytes).unwrap().header;
        let ahead_s = match to.ip().to_string().as_str() {
            "192.0.2.1" => 0.0,
            "192.0.2.9" => 10.0,
            _ => return Vec::new(),
        };
        let answer = honest(&request, came.plus_seconds(ahead_s));
        vec![answer.encode().to_vec()]
    });
    let lines = ["192.0.2.9", "a.example.net", "b.example.net"].map(server);
    let mut stage = Stage::new(config(lines.to_vec()), at_odds);
    stage.resolve(&["192.0.2.1"]);
    stage.resolve(&["192.0.2.7"]);
    stage.run_until(3000.0);
    assert_eq!(stage.said("no majority"), 1);
    assert_eq!(stage.resolve(&["192.0.2.8"]), "b.example.net");
}

#[test]
fn a_refresh_keeps_what_still_has_the_name_and_moves_the_rest() {
    let lines = vec![
        server("a.example.net"),
        server("b.example.net"),
        server("192.0.2.77"),
    ];
    let mut stage = Stage::new(config(lines), well());
    stage.resolve(&["192.0.2.1"]);
    stage.resolve(&["192.0.2.2"]);
    stage.run_until(100.0);
    stage.act(|sources, tools| sources.refresh(tools));
    assert_eq!(stage.lookups.len(), 2);
    stage.resolve(&["192.0.2.9", "192.0.2.1"]);
    stage.resolve(&["192.0.2.9"]);
    assert_eq!(stage.places(), ["192.0.2.1", "192.0.2.9", "192.0.2.77"]);
    assert_eq!(
        stage.said("Source 192.0.2.2 replaced with 192.0.2.9 (b.example.net)"),
        1
    );
    stage.act(|sources, tools| sources.refresh(tools));
    stage.resolve(&[]);
    assert_eq!(
        stage.places().first().unwrap(),
        "192.0.2.1",
        "a name server that is down moves nobody"
    );
}

#[test]
fn working_sources_are_refreshed_in_turn() {
    let mut config = config(vec![server("a.example.net"), server("b.example.net")]);
    config.client.refresh_s = 600;
    let mut stage = Stage::new(config, well());
    stage.resolve(&["192.0.2.1"]);
    stage.resolve(&["192.0.2.2"]);
    let mut names = Vec::new();
    for until_s in [700.0, 1400.0, 2100.0, 2800.0] {
        stage.run_until(until_s);
        assert_eq!(stage.lookups.len(), 1);
        names.push(stage.resolve(&["192.0.2.1", "192.0.2.2"]));
    }
    assert_ne!(names[0], names[1]);
    assert_eq!(names[..2], names[2..]);
}

#[test]
fn files_are_compared_with_what_is_there() {
    let mut config = config(vec![server("192.0.2.1")]);
    config.source_dirs = vec![vec!["/etc/sources.d".to_owned()]];
    let mut stage = Stage::new(config, well());
    assert_eq!(stage.asked_for_files, 1);
    stage.act(|sources, tools| sources.reload(tools));
    assert_eq!(stage.asked_for_files, 1, "not before they have been read");
    let files = |stage: &mut Stage, lines| stage.tell(Input::SourceFiles(lines));
    let kept = server("192.0.2.5");
    files(
        &mut stage,
        vec![kept.clone(), server("192.0.2.1"), pool("pool.example.net", 4)],
    );
    assert_eq!(stage.said("Added source 192.0.2.5"), 1);
    assert_eq!(stage.said("Added pool pool.example.net"), 1);
    assert_eq!(stage.said("Could not add source 192.0.2.1 : Already in use"), 1);
    stage.run_until(200.0);
    let id = stage.id_at("192.0.2.5");
    let changed = line(SourceKind::Server, "192.0.2.6", |line| line.iburst = true);
    files(&mut stage, vec![changed, kept.clone(), server("192.0.2.1")]);
    assert_eq!(stage.id_at("192.0.2.5"), id);
    assert!(stage.engine.sources.get(&id).unwrap().estimator.count() > 2);
    assert_eq!(stage.said("Removed pool pool.example.net"), 1);
    assert_eq!(stage.said("Could not add source"), 1, "once for every change");
    files(&mut stage, vec![kept, server("192.0.2.6")]);
    assert_eq!(
        (
            stage.said("Removed source 192.0.2.6"),
            stage.said("Added source 192.0.2.6")
        ),
        (1, 2)
    );
    files(&mut stage, Vec::new());
    assert_eq!(stage.places(), ["192.0.2.1"]);
    stage.act(|sources, tools| sources.reload(tools));
    assert_eq!(stage.asked_for_files, 2);
}

#[test]
fn a_name_in_a_file_is_called_by_a_number() {
    let mut stage = Stage::new(config(Vec::new()), well());
    stage.tell(Input::SourceFiles(vec![server("time.example.net")]));
    assert_eq!(stage.said("Added source ID#0000000001 (time.example.net)"), 1);
    stage.resolve(&["192.0.2.4"]);
    stage.tell(Input::SourceFiles(Vec::new()));
    assert_eq!(stage.said("Removed source 192.0.2.4 (time.example.net)"), 1);
    assert!(stage.engine.sources.is_empty() && stage.engine.poll_timeout().is_none());
}

#[test]
fn sources_are_switched_off_and_on() {
    let lines = vec![
        line(SourceKind::Server, "192.0.2.1", |line| {
            (line.offline, line.iburst) = (true, true);
        }),
        server("192.0.2.2"),
        server("time.example.net"),
    ];
    let mut stage = Stage::new(config(lines), well());
    stage.resolve(&[]);
    stage.run_until(100.0);
    assert!(
        stage
            .requests
            .iter()
            .all(|request| request.to.ip().to_string() == "192.0.2.2")
    );
    let before = stage.requests.len();
    stage.act(|sources, tools| sources.offline(Which::All, tools));
    assert_eq!(stage.said("Source 192.0.2.2 offline"), 1);
    stage.run_until(1000.0);
    assert_eq!(stage.requests.len(), before);
    stage.lookups.clear();
    let masked = Which::Masked {
        mask: "255.255.255.255".parse().unwrap(),
        address: "192.0.2.1".parse().unwrap(),
    };
    assert_eq!(stage.act(|sources, tools| sources.online(masked, tools)), 1);
    assert_eq!(stage.said("Source 192.0.2.1 online"), 1);
    stage.run_until(1010.0);
    assert_eq!(stage.requests.len(), before + 4, "the first burst is made now");
    let nobody = Which::Masked {
        mask: "255.255.255.255".parse().unwrap(),
        address: "198.51.100.1".parse().unwrap(),
    };
    assert_eq!(stage.act(|sources, tools| sources.online(nobody, tools)), 0);
}

#[test]
fn a_burst_of_an_offline_source_is_all_it_does() {
    let off = line(SourceKind::Server, "192.0.2.1", |line| line.offline = true);
    let mut stage = Stage::new(config(vec![off]), well());
    let burst = Burst { good: 2, total: 5 };
    assert_eq!(
        stage.act(|sources, tools| sources.burst(Which::All, burst, tools)),
        1
    );
    stage.run_until(1000.0);
    assert_eq!((stage.requests.len(), stage.source().online), (2, false));
}

#[test]
fn a_source_that_cannot_be_sent_to_goes_offline_if_it_was_told_to() {
    for auto_offline in [true, false] {
        let dead = line(SourceKind::Server, "192.0.2.1", |line| {
            line.auto_offline = auto_offline;
        });
        let mut stage = Stage::new(config(vec![dead]), silence());
        stage.run_until(1.0);
        let socket = stage.requests[0].socket;
        stage.tell(Input::SendFailed { socket });
        assert_eq!(stage.source().online, !auto_offline);
        stage.run_until(1000.0);
        assert_eq!(stage.requests.len() == 1, auto_offline);
        stage.act(|sources, tools| sources.on_or_offline(tools));
        assert!(stage.source().online);
        // Nobody answers there: that is no reason to give it up.
        stage.run_until(2000.0);
        let socket = stage.requests.last().unwrap().socket;
        let reason = "Connection refused";
        stage.tell(Input::Undelivered { socket, reason });
        assert!(stage.source().online);
    }
}

#[test]
fn who_is_switched_off_or_forgotten_is_not_reached_until_it_answers_again() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), well());
    stage.run_until(300.0);
    assert_ne!(stage.source().reach, 0);
    let offline = Request::Offline(AddressMask::ALL).encode(1);
    stage.tell(Input::Control {
        peer: ControlPeer::Unix(1),
        bytes: &offline,
    });
    assert_eq!(stage.source().reach, 0);
    assert_eq!(stage.said("Can't synchronise: no selectable sources"), 1);
    stage.act(|sources, tools| sources.online(Which::All, tools));
    stage.run_until(400.0);
    assert!([0b1, 0b11].contains(&stage.source().reach));
    let now = stage.now().mono;
    stage.engine.reset_sources(now);
    assert_eq!(stage.source().reach, 0);
}

#[test]
fn sources_to_which_there_is_no_way_are_not_asked_until_there_is() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), well());
    stage.run_until(1010.0);
    let before = stage.requests.len();
    stage.has_route = false;
    for _ in 0..2 {
        stage.act(|sources, tools| sources.on_or_offline(tools));
        stage.run_until(2000.0);
        assert!(!stage.source().online && stage.requests.len() == before);
    }
    assert_eq!(stage.said("Source 192.0.2.1 offline"), 1);
    stage.has_route = true;
    for _ in 0..2 {
        stage.act(|sources, tools| sources.on_or_offline(tools));
        assert!(stage.source().online);
    }
    assert_eq!(stage.said("Source 192.0.2.1 online"), 1);
    // To look is not to ask.
    stage.run_until(2001.0);
    assert_eq!(stage.requests.len(), before + 1);
}

#[test]
fn a_burst_of_an_offline_source_ends_without_a_network_too() {
    let off = line(SourceKind::Server, "192.0.2.1", |line| line.offline = true);
    let mut stage = Stage::new(config(vec![off]), silence());
    let burst = Burst { good: 2, total: 5 };
    stage.act(|sources, tools| sources.burst(Which::All, burst, tools));
    for second in 1..200 {
        stage.run_until(f64::from(second));
        if let Some(socket) = stage.requests.last().map(|request| request.socket)
            && stage.sockets.contains_key(&socket)
        {
            stage.tell(Input::SendFailed { socket });
        }
    }
    assert_eq!(stage.requests.len(), 5);
    assert!(stage.source().polling.burst().is_none());
}

#[test]
fn an_offset_that_is_being_corrected_is_said_and_limited_once() {
    let mut config = config(vec![server("192.0.2.1")]);
    config.clock.max_change = Some(MaxChange {
        offset_s: 1.0,
        start: 1,
        ignore: Some(2),
    });
    let mut stage = Stage::new(
        config,
        answering(|_, answer| {
            let ahead = |time: NtpTimestamp| time + NtpDuration::from_seconds(5.0);
            vec![Header {
                receive_time: ahead(answer.receive_time),
                transmit_time: ahead(answer.transmit_time),
                ..answer
            }]
        }),
    );
    stage.run_until(3000.0);
    assert_eq!(stage.ended, None);
    assert_eq!(stage.said("System clock wrong by"), 1);
    assert_eq!(stage.said("exceeds the allowed maximum"), 0);
}

#[test]
fn a_removed_source_leaves_nothing_behind() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), silence());
    stage.run_until(1.0);
    let id = stage.id_at("192.0.2.1");
    stage.act(|sources, tools| sources.remove(id, tools));
    assert!(stage.sockets.is_empty() && stage.engine.poll_timeout().is_none());
    assert!(
        stage
            .act(|sources, tools| sources.add(server("192.0.2.1"), Origin::Command, tools))
            .is_ok()
    );
}

#[test]
fn past_measurements_are_written_and_taken_in_again() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), well());
    stage.run_until(500.0);
    stage.act(|sources, tools| sources.dump(tools));
    let (place, text) = stage.dumps[0].clone();
    assert_eq!((place.as_str(), text.lines().count()), ("192.0.2.1", 4 + 8));
    assert!(
        text.starts_with("SRC0\n192.0.2.1\n0 377 8 2 0\n8 0\n1262304000.2"),
        "{text}"
    );

    let mut second = Stage::new(config(vec![server("192.0.2.1")]), silence());
    second.run_until(600.0);
    second.tell(Input::Dump {
        source: &place,
        text: &text,
    });
    assert_eq!(second.said("Loaded dump file for 192.0.2.1"), 1);
    assert_eq!(
        (second.source().estimator.count(), second.source().reach),
        (8, 0xff)
    );
    let (old, new) = (
        stage.source().estimator.last().unwrap(),
        second.source().estimator.last().unwrap(),
    );
    assert!((old.phase_s - new.phase_s).abs() < 1e-6 && (old.delay_s - new.delay_s).abs() < 1e-8);

    let lines: Vec<&str> = text.lines().collect();
    let bad = [
        String::new(),
        text.replace("SRC0", "SRC1"),
        text.replace("192.0.2.1", "192.0.2.2"),
        text.replace("\n0 377", "\n1 377"),
        text.replace("\n8 0", "\n9 0"),
        text.replace("\n8 0", "\n7 0"),
        text.replace("\n8 0", "\n0 0"),
        text.replace(" 8 2 0", " 9 2 0"),
        text.replace(" 8 2 0", " 8 17 0"),
        text.replace("e-", "x-"),
        text.replacen("1262304", "1962304", 1),
        [&lines[..4], &lines[5..], &lines[4..5]].concat().join("\n"),
        format!("{text}more\n"),
        text.replacen("e-03 ", "e+30 ", 1),
    ];
    for text in bad {
        let mut third = Stage::new(config(vec![server("192.0.2.1")]), silence());
        third.run_until(600.0);
        third.tell(Input::Dump {
            source: &place,
            text: &text,
        });
        assert_eq!(third.said("Could not load dump file for 192.0.2.1"), 1, "{text}");
        assert_eq!(third.source().estimator.count(), 0);
    }
}

/// Answers right but for one time: then 10 s are too much.
fn wrong_once(number: i32) -> Server {
    let mut answers = 0;
    answering(move |_, answer| {
        answers += 1;
        let ahead_s = if answers == number { 10.0 } else { 0.0 };
        let ahead = |time: NtpTimestamp| time + NtpDuration::from_seconds(ahead_s);
        vec![Header {
            receive_time: ahead(answer.receive_time),
            transmit_time: ahead(answer.transmit_time),
            ..answer
        }]
    })
}

#[test]
fn a_wild_measurement_is_settled_soon_even_at_the_shortest_interval() {
    let line = line(SourceKind::Server, "192.0.2.1", |line| {
        (line.min_poll, line.max_poll) = (6, 6);
    });
    let mut stage = Stage::new(config(vec![line]), wrong_once(12));
    stage.run_until(1500.0);
    let times_s: Vec<f64> = stage.requests.iter().map(|request| request.at_s).collect();
    for (number, pair) in times_s
        .windows(2)
        .enumerate()
        .map(|(index, pair)| (index + 1, pair))
    {
        let wait_s = pair[1] - pair[0];
        let usual_s = if number == 12 { 3.0..6.0 } else { 60.0..68.0 };
        assert!(usual_s.contains(&wait_s), "{wait_s} s after request {number}");
    }
    assert!(
        times_s.len() > 20
            && stage
                .source()
                .estimator
                .state()
                .is_some_and(|state| state.phase_s.abs() < 0.01)
    );
}

#[test]
fn a_wild_measurement_is_not_written() {
    let mut stage = Stage::new(config(vec![server("192.0.2.1")]), wrong_once(12));
    stage.run_until(1500.0);
    stage.act(|sources, tools| sources.dump(tools));
    let (_, text) = &stage.dumps[0];
    let count = stage.source().estimator.count();
    assert!(count > 13, "{count}");
    assert_eq!(text.lines().count(), 4 + count - 1);
    assert!(text.contains(&format!("\n{} 0\n", count - 1)), "{text}");
}

#[test]
fn what_was_written_of_a_name_waits_for_its_address() {
    let mut stage = Stage::new(config(vec![server("time.example.net")]), silence());
    let text = "SRC0\ntime.example.net\n0 1 1 2 0\n1 0\n1262300000.000000000 1e-4 1e-4 1e-3 1e-6 1e-2 1e-3\n";
    stage.tell(Input::Dump {
        source: "192.0.2.3",
        text,
    });
    assert_eq!(stage.said("dump file"), 0);
    stage.resolve(&["192.0.2.3"]);
    assert_eq!(stage.said("Loaded dump file for 192.0.2.3"), 1);
    assert_eq!(stage.source().estimator.count(), 1);
}

#[test]
fn peers_are_asked_from_the_ntp_port_and_told_about_us() {
    let peer = line(SourceKind::Peer, "192.0.2.1", |line| line.iburst = true);
    let mut stage = Stage::new(config(vec![peer]), silence());
    stage.run_until(80.0);
    assert_eq!(
        stage.sockets.values().collect::<Vec<_>>(),
        [&SocketUse::Server {
            ipv6: false,
            port: 123
        }]
    );
    let gap_s = stage.requests[1].at_s - stage.requests[0].at_s;
    assert!(
        (70.4..71.9).contains(&gap_s),
        "one that is silent is waited for: {gap_s}"
    );
    let header = stage.requests[0].header;
    assert_eq!(
        (header.mode.bits(), header.leap, header.stratum),
        (1, Leap::Unsynchronised, Stratum::ZERO)
    );
    assert!(!header.transmit_time.is_zero() && header.origin_time.is_zero());
    let id = stage.id_at("192.0.2.1");
    stage.act(|sources, tools| sources.remove(id, tools));
    assert!(stage.sockets.is_empty());
}

/// A peer that sends by itself, so many seconds after our first packet; each of its packets answers our last one.
fn peer_sends(stage: &mut Stage, at_s: f64) {
    stage.run_until(at_s);
    let request = stage.requests.last().unwrap().clone();
    let here = NtpDuration::from_seconds(request.at_s - at_s);
    let answer = Header {
        origin_time: request.header.transmit_time,
        receive_time: request.header.transmit_time,
        transmit_time: request.header.transmit_time - here,
        poll: units::PollInterval(6),
        ..Header::default()
    };
    let answer = Header {
        version: wire::ntp::Version::V4,
        mode: units::Mode::SymmetricActive,
        stratum: Stratum(1),
        ..answer
    };
    stage.receive(request.socket, request.to, &answer.encode());
}

#[test]
fn the_peer_whose_turn_it_is_answers_at_once() {
    let peer = line(SourceKind::Peer, "192.0.2.1", |line| {
        (line.min_poll, line.max_poll) = (6, 6);
    });
    let mut stage = Stage::new(config(vec![peer]), silence());
    peer_sends(&mut stage, 64.3);
    stage.run_until(64.31);
    assert_eq!((stage.source().counts.valid, stage.requests.len()), (1, 2));
    peer_sends(&mut stage, 64.4);
    assert_eq!((stage.source().counts.valid, stage.requests.len()), (2, 2));
    stage.run_until(128.2);
    assert_eq!(stage.requests.len(), 2);
    stage.run_until(130.0);
    assert_eq!(stage.requests.len(), 3, "nobody waits for one that has answered");
}

#[test]
fn a_stranger_on_the_ntp_port_is_nobodys_answer() {
    let peer = line(SourceKind::Peer, "192.0.2.1", |_| {});
    let mut stage = Stage::new(config(vec![peer]), answering(|_, _| Vec::new()));
    stage.run_until(1.0);
    let request = stage.requests[0].clone();
    let forged = Header {
        transmit_time: NtpTimestamp(5),
        receive_time: NtpTimestamp(6),
        ..request.header
    };
    for from in ["198.51.100.1:123", "192.0.2.1:124"] {
        stage.receive(request.socket, from.parse().unwrap(), &forged.encode());
        assert_eq!(stage.source().counts.received, 0);
    }
}

#[test]
fn a_source_that_is_offline_is_followed_until_its_burst_ends() {
    let burst = Burst { good: 4, total: 4 };
    for (answers, silent_at_end) in [(4, false), (3, true)] {
        let offline = line(SourceKind::Server, "192.0.2.1", |line| line.offline = true);
        let mut left = answers;
        let server = answering(move |_, answer| {
            left -= 1;
            if left >= 0 { vec![answer] } else { vec![] }
        });
        let mut stage = Stage::new(config(vec![offline]), server);
        stage.run_until(10.0);
        stage.act(|sources, tools| sources.burst(Which::All, burst, tools));
        stage.run_until(16.0);
        assert_eq!(stage.said("Selected source"), 1);
        assert_eq!(stage.source().reach, 0o7);
        stage.run_until(30.0);
        assert_eq!(stage.requests.len(), 4);
        assert_eq!(stage.source().reach, 0, "silent at the end: {silent_at_end}");
        let updates = stage.engine.discipline.updates();
        assert_eq!(
            updates,
            if silent_at_end { 1 } else { 2 },
            "the last answer counts"
        );
        assert_eq!(stage.said("Can't synchronise"), 1, "{:?}", stage.log);
    }
}

#[test]
fn a_source_that_goes_offline_in_a_burst_is_followed_until_that_ends() {
    let line = line(SourceKind::Server, "192.0.2.1", |line| line.iburst = true);
    let mut stage = Stage::new(config(vec![line]), well());
    stage.run_until(2.5);
    stage.act(|sources, tools| sources.offline(Which::All, tools));
    stage.run_until(5000.0);
    assert_eq!((stage.requests.len(), stage.source().reach), (4, 0));
}
