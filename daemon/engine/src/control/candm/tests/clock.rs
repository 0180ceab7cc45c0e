//! The clock as reports show it, and what is done to it.

use conf::config::{Control, Local, TimeSmoothing};
use units::{Leap, ReferenceId, Stratum};
use wire::candm::{
    Address, LocalReference, ManualMode, ManualTimestamp, SmoothTimeAction, Smoothing, Timespec, Tracking,
};

use super::*;
use crate::discipline::{Reference, Update, Verdict};

fn tracking(bench: &mut Bench) -> Tracking {
    match bench.ask(&Request::Tracking) {
        Got::Reply(Reply::Tracking(tracking)) => tracking,
        got => panic!("{got:?}"),
    }
}

fn near(value: f64, wanted: f64, error: f64) {
    assert!((value - wanted).abs() <= error, "{value} is not {wanted}");
}

/// A source says that the clock is so much behind, and that its oscillator loses 20 ppm.
fn update(bench: &mut Bench, offset_s: f64) -> Verdict {
    let update = Update {
        offset_s,
        offset_error_s: 1e-5,
        frequency: 20e-6,
        frequency_error: 1e-6,
        doubt: 0.0,
        interval_s: 64.0,
        counts: true,
        reference: Reference {
            id: ReferenceId(0xc000_0201),
            address: Some(ip("192.0.2.1")),
            stratum: Stratum(3),
            leap: Leap::Normal,
            time: bench.now().wall,
            root_delay_s: 0.020,
            root_dispersion_s: 0.003,
        },
    };
    let at = bench.now().mono;
    let engine = &mut bench.engine;
    engine.discipline.update(
        at,
        &update,
        &mut engine.timeline,
        &mut engine.timers,
        &mut engine.out,
    )
}

/// The clock is 0.5 s behind and its oscillator loses 20 ppm.
fn synchronise(bench: &mut Bench) {
    update(bench, 0.5);
    bench.outputs();
}

#[test]
fn a_clock_that_is_behind_has_a_positive_correction_and_a_negative_offset() {
    let mut bench = Bench::with_servers();
    synchronise(&mut bench);
    let tracking = tracking(&mut bench);
    assert_eq!(
        (tracking.reference_id.0, tracking.address),
        (0xc000_0201, Address::from(ip("192.0.2.1")))
    );
    assert_eq!((tracking.stratum, tracking.leap), (3, wire::candm::Leap::Normal));
    assert_eq!(tracking.reference_time, Timespec::new(START, 0));
    near(tracking.current_correction_s, 0.5, 1e-6);
    near(tracking.last_offset_s, -0.5, 1e-6);
    near(tracking.rms_offset_s, 0.5, 1e-6);
    near(tracking.frequency_ppm, -20.0, 1e-5);
    near(tracking.skew_ppm, 1.0, 1e-6);
    near(tracking.root_delay_s, 0.020, 1e-8);
    near(tracking.root_dispersion_s, 0.003, 1e-8);
    let bound_s = bench
        .engine
        .error_bound_s(bench.now().mono)
        .expect("it is synchronised");
    near(bound_s, 0.513, 1e-6);
    near(
        bench
            .engine
            .tracking(bench.now().mono)
            .error_bound_s()
            .expect("a bound"),
        bound_s,
        1e-12,
    );
}

#[test]
fn a_step_takes_what_is_left() {
    let mut bench = Bench::with_servers();
    synchronise(&mut bench);
    bench.done(&Request::MakeStep);
    let step = bench.outputs().into_iter().find_map(|output| match output {
        Output::Clock(ClockCommand::Step { by_s }) => Some(by_s),
        _ => None,
    });
    near(step.expect("a step"), 0.5, 1e-6);
    near(tracking(&mut bench).current_correction_s, 0.0, 1e-6);
}

#[test]
fn a_clock_that_may_not_be_touched_cannot_be_stepped() {
    let mut bench = Bench::with(Config::default(), true);
    bench.refused(&Request::MakeStep, Status::Failed);
    assert_eq!(bench.log(), ["Could not step system clock"]);
}

#[test]
fn the_local_reference_comes_and_goes() {
    let mut bench = Bench::new(Config {
        local: Some(Local {
            stratum: 8,
            ..Local::default()
        }),
        ..Config::default()
    });
    let served = tracking(&mut bench);
    assert_eq!(
        (served.reference_id.0, served.stratum, served.address),
        (0x7f7f_0101, 8, Address::Unspecified)
    );
    assert_eq!(
        (served.leap, served.root_delay_s),
        (wire::candm::Leap::Normal, 0.0)
    );
    assert_eq!(served.reference_time, Timespec::new(START - 1, 0));
    bench.done(&Request::Local(LocalReference::default()));
    assert_eq!(tracking(&mut bench).stratum, 0);
    bench.done(&Request::Local(LocalReference {
        enabled: true,
        stratum: 3,
        distance_s: 1.0,
        ..Default::default()
    }));
    assert_eq!(tracking(&mut bench).stratum, 3);
    assert_eq!(
        bench.log(),
        ["Disabled local reference mode", "Enabled local reference mode"]
    );
    // What a client of 4.3 sent.
    let captured = hex("06010000003800006d0bc20d000000000000000000000001000000090480000000000001");
    let reply = bench.send(&UNIX, &captured).expect("a reply");
    assert_eq!((status_of(&reply), reply.len()), (0, 28));
    assert_eq!(tracking(&mut bench).stratum, 0, "an orphan waits for 300 s");
    bench.run(301.0);
    assert_eq!(tracking(&mut bench).stratum, 9);
}

#[test]
fn numbers_of_the_clock_are_changed_as_chronyd_says() {
    let mut bench = Bench::new(Config::default());
    let captured = hex("0601000000320000e9c1aaf5000000000000000000000003fccccccd");
    assert_eq!(bench.send(&UNIX, &captured).as_deref().map(status_of), Some(0));
    bench.done(&Request::ModifyMakeStep {
        limit: -1,
        threshold_s: 0.5,
    });
    bench.done(&Request::ModifyMaxUpdateSkew { skew_ppm: 5.0 });
    bench.done(&Request::ReselectDistance { distance_s: 0.1 });
    bench.done(&Request::DFreq { frequency_ppm: 10.0 });
    bench.done(&Request::DOffset { offset_s: 0.5 });
    assert_eq!(
        bench.log(),
        [
            "New makestep 0.100000 3",
            "New makestep 0.500000 -1",
            "New maxupdateskew 5.000000 ppm",
            "New reselect distance 0.100000",
            "Accumulated delta freq of 10.000ppm",
            "Accumulated delta offset of 0.500000 seconds",
        ]
    );
    let tracking = tracking(&mut bench);
    near(tracking.frequency_ppm, 10.0, 1e-5);
    near(tracking.current_correction_s, -0.5, 1e-6);
    // More than half a second is stepped from now on, whenever it comes.
    assert_eq!(update(&mut bench, 0.4), Verdict::Slewed);
    assert_eq!(update(&mut bench, 0.6), Verdict::Stepped);
}

#[test]
fn resetting_sources_unsynchronises() {
    let mut bench = Bench::with_servers();
    synchronise(&mut bench);
    bench.done(&Request::ResetSources);
    let tracking = tracking(&mut bench);
    assert_eq!(
        (tracking.stratum, tracking.leap),
        (0, wire::candm::Leap::NotSynchronised)
    );
    near(tracking.root_delay_s, 1.0, 1e-9);
    assert_eq!(bench.log().first().map(String::as_str), Some("Reset all sources"));
}

/// What was typed, as the clock is off by `ahead_s` when it is typed.
fn typed(bench: &mut Bench, ahead_s: f64) -> Got {
    let time = bench.now().wall.plus_seconds(-ahead_s);
    bench.ask(&Request::SetTime(Timespec::new(time.seconds(), time.nanos())))
}

#[test]
fn typed_times_set_offset_and_frequency() {
    let mut bench = Bench::new(Config {
        control: Control {
            manual: true,
            ..Control::default()
        },
        ..Config::default()
    });
    let Got::Reply(Reply::ManualTimestamp(first)) = typed(&mut bench, 0.46) else {
        panic!("it is refused")
    };
    near(first.offset_s, 0.46, 1e-6);
    assert_eq!((first.frequency_change_ppm, first.frequency_ppm), (0.0, 0.0));
    // It is not even a second ago.
    bench.seconds += 0.5;
    assert_eq!(typed(&mut bench, 0.46), Got::Refusal(Status::Failed));
    // An hour later the offset is gone, and an oscillator that gains 100 ppm has made a new one.
    bench.run(3600.0);
    near(bench.engine.timeline.correction_s(bench.now().mono), -0.46, 1e-5);
    let Got::Reply(Reply::ManualTimestamp(second)) = typed(&mut bench, 0.36) else {
        panic!("it is refused")
    };
    let ManualTimestamp {
        offset_s,
        frequency_change_ppm,
        frequency_ppm,
    } = second;
    near(offset_s, 0.36, 1e-5);
    near(frequency_change_ppm, 100.0, 0.02);
    near(frequency_ppm, 100.0, 0.02);
    assert_eq!(tracking(&mut bench).stratum, 0, "a typed time is no reference");
    let Got::Reply(Reply::ManualList(list)) = bench.ask(&Request::ManualList) else {
        panic!("no list")
    };
    assert_eq!(list.len(), 2);
    near(list[0].original_offset_s, 0.46, 1e-6);
    near(list[0].slewed_offset_s, 0.0, 1e-6);
    near(list[1].residual_s, 0.0, 1e-6);
    bench.refused(&Request::ManualDelete(2), Status::BadSample);
    bench.refused(&Request::ManualDelete(-1), Status::BadSample);
    bench.done(&Request::ManualDelete(0));
    bench.done(&Request::Manual(ManualMode::Reset));
    assert_eq!(
        bench.ask(&Request::ManualList),
        Got::Reply(Reply::ManualList(Vec::new()))
    );
}

#[test]
fn times_are_typed_only_when_that_is_allowed() {
    let mut bench = Bench::new(Config::default());
    assert_eq!(typed(&mut bench, 0.0), Got::Refusal(Status::NotEnabled));
    bench.done(&Request::Manual(ManualMode::Enable));
    assert!(matches!(typed(&mut bench, 0.0), Got::Reply(_)));
    bench.done(&Request::Manual(ManualMode::Disable));
    bench.seconds = 10.0;
    assert_eq!(typed(&mut bench, 0.0), Got::Refusal(Status::NotEnabled));
    bench.done(&Request::Manual(ManualMode::Enable));
    assert_eq!(
        bench.ask(&Request::SetTime(Timespec::new(i64::MAX / 4, 0))),
        Got::Refusal(Status::Failed)
    );
}

#[test]
fn typed_times_are_stepped_by_the_rule() {
    let mut config = Config::default();
    config.control.manual = true;
    config.clock.make_step = Some(conf::config::MakeStep::both(0.1, Some(1)));
    let mut bench = Bench::new(config);
    assert!(matches!(typed(&mut bench, 1.25), Got::Reply(_)));
    assert_eq!(
        bench.log(),
        [
            "Making a slew of 1.250000",
            "System clock wrong by -1.250000 seconds",
            "System clock was stepped by -1.250000 seconds",
        ]
    );
    near(bench.stepped_s, -1.25, 1e-6);
    // The rule was good for one update.
    bench.run(3600.0);
    assert!(matches!(typed(&mut bench, 0.5), Got::Reply(_)));
    near(bench.stepped_s, -1.25, 1e-6);
}

#[test]
fn a_clock_that_is_never_stepped_back_is_slewed_back() {
    let mut config = Config::default();
    config.control.manual = true;
    config.clock.make_step = Some(conf::config::MakeStep {
        forward_s: 0.1,
        back_s: f64::INFINITY,
        limit: None,
    });
    let mut bench = Bench::new(config);
    assert!(matches!(typed(&mut bench, 1.25), Got::Reply(_)));
    near(bench.stepped_s, 0.0, 1e-9);
    bench.run(3600.0);
    assert!(matches!(typed(&mut bench, -2.0), Got::Reply(_)));
    assert!(bench.stepped_s > 0.5, "{}", bench.stepped_s);
}

#[test]
fn a_clock_that_may_not_be_touched_has_news_once() {
    let mut config = Config::default();
    config.clock.make_step = Some(conf::config::MakeStep::both(0.1, Some(2)));
    let mut bench = Bench::with(config, true);
    for expected_s in [-0.5, 0.0, 0.0] {
        assert_eq!(update(&mut bench, 0.5), Verdict::Slewed);
        let tracking = tracking(&mut bench);
        near(tracking.current_correction_s, 0.5, 1e-6);
        near(tracking.last_offset_s, expected_s, 1e-6);
    }
    // As often as the rule would have let it step.
    let refusals = bench
        .log()
        .into_iter()
        .filter(|line| line == "Could not step system clock");
    assert_eq!(refusals.count(), 2);
}

fn smoothing(bench: &mut Bench) -> Smoothing {
    match bench.ask(&Request::Smoothing) {
        Got::Reply(Reply::Smoothing(smoothing)) => smoothing,
        got => panic!("{got:?}"),
    }
}

#[test]
fn served_time_is_smoothed_begun_and_reset_on_request() {
    let mut config = Config::default();
    config.server.smoothing = Some(TimeSmoothing {
        max_frequency_ppm: 2000.0,
        max_wander_ppm_per_s: 1e-6,
        leap_only: false,
    });
    let mut bench = Bench::new(config);
    synchronise(&mut bench);
    let before = smoothing(&mut bench);
    assert!(
        !before.active && before.offset_s == 0.0,
        "the skew is too large: {before:?}"
    );
    assert_eq!(
        bench.ask(&Request::SmoothTime(SmoothTimeAction::Activate)),
        Got::Reply(Reply::Done)
    );
    let told = bench.engine.served_to_clients(bench.now().mono);
    assert_eq!(told.reference_id, ReferenceId(0xc000_0201));
    // True time turns out to be 0.25 s later: what is served stays behind for a while, and says so.
    bench.seconds = 10.0;
    let served_before_s = bench.engine.served_after_s(bench.now().mono);
    let remaining_s = bench
        .engine
        .discipline
        .remaining_s(bench.now().mono, &bench.engine.timeline);
    update(&mut bench, remaining_s + 0.25);
    let now = smoothing(&mut bench);
    assert!(now.active && !now.leap_only);
    near(now.offset_s, -0.25, 1e-6);
    near(now.wander_ppm_per_s, 1e-6, 1e-12);
    near(now.remaining_s, 1e6, 1e3);
    near(
        bench.engine.served_after_s(bench.now().mono),
        served_before_s,
        1e-9,
    );
    let told = bench.engine.served_to_clients(bench.now().mono);
    assert_eq!(told.reference_id, ReferenceId::SMOOTHED);
    bench.seconds = 15.0;
    near(smoothing(&mut bench).last_update_ago_s, 5.0, 0.5);
    assert_eq!(
        bench.ask(&Request::SmoothTime(SmoothTimeAction::Reset)),
        Got::Reply(Reply::Done)
    );
    let after = smoothing(&mut bench);
    assert!(after.active && after.offset_s == 0.0 && after.remaining_s == 0.0);
}
