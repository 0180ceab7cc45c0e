//! What the clock is made to do, played from the outside on a clock that goes as it is told to.

use std::cell::Cell;
use std::rc::Rc;

use conf::config::{Config, LeapMode, MakeStep, MaxChange};
use units::{Leap, NtpDuration, NtpTimestamp, UnixTime};
use wire::ntp::Header;

use crate::stage::{BEGIN_S, Server, Stage, answering, config, line};

/// A server whose time is ahead of true time by so much, seconds.
fn ahead_by(by_s: &Rc<Cell<f64>>) -> Server {
    let by_s = Rc::clone(by_s);
    answering(move |_, answer| {
        let ahead = |time: NtpTimestamp| time + NtpDuration::from_seconds(by_s.get());
        vec![Header {
            receive_time: ahead(answer.receive_time),
            transmit_time: ahead(answer.transmit_time),
            reference_time: ahead(answer.reference_time),
            ..answer
        }]
    })
}

/// One server that is asked every 16 seconds, after a burst.
fn one_server() -> Config {
    config(vec![line(
        conf::config::SourceKind::Server,
        "192.0.2.1",
        |source| {
            source.iburst = true;
            (source.min_poll, source.max_poll) = (4, 4);
        },
    )])
}

fn max_change(offset_s: f64, start: u32, ignore: Option<u32>) -> Option<MaxChange> {
    Some(MaxChange {
        offset_s,
        start,
        ignore,
    })
}

/// A daemon that steers its clock, and by how much its server is ahead, which can be changed.
fn steering(config: Config, ahead_s: f64) -> (Stage, Rc<Cell<f64>>) {
    let by_s = Rc::new(Cell::new(ahead_s));
    let mut stage = Stage::with(config, ahead_by(&by_s), |options| options.observe = false);
    stage.gain = Some(0.0);
    (stage, by_s)
}

#[test]
fn no_slew_goes_on_when_an_offset_ends_the_daemon() {
    let mut config = one_server();
    config.clock.max_change = max_change(10.0, 1, Some(0));
    config.clock.drift_file = Some(conf::config::DriftFile {
        path: "drift".into(),
        interval_s: 3600.0,
        format: conf::config::DriftFormat::default(),
    });
    let (mut stage, ahead_s) = steering(config, 5.0);
    stage.run_until(20.0);
    assert!(stage.rate_ppm > 1000.0, "{} ppm", stage.rate_ppm);
    ahead_s.set(300.0);
    stage.run_until(60.0);
    assert_eq!(stage.ended, Some(1));
    let frequency_ppm = stage.engine.discipline.frequency() * 1e6;
    assert!(
        (stage.rate_ppm - frequency_ppm).abs() < 1e-9,
        "{} ppm",
        stage.rate_ppm
    );
    assert_eq!(stage.drifts_ppm, [-frequency_ppm]);
}

/// Plays until an update.
fn run_until_update(stage: &mut Stage) {
    let before = stage.engine.discipline.updates();
    for tenth in 0_i32.. {
        if stage.engine.discipline.updates() > before {
            return;
        }
        let now_s = stage.now().mono.seconds_since(units::Mono::ZERO);
        assert!(tenth < 1000, "no update comes");
        stage.run_until(now_s + 0.1);
    }
}

/// Takes true time to be so much later.
fn add_offset(stage: &mut Stage, by_s: f64) {
    let (now, engine) = (stage.now().mono, &mut stage.engine);
    engine
        .discipline
        .add_offset_s(now, by_s, &engine.timeline, &mut engine.timers, &mut engine.out);
    stage.carry_out();
}

/// How long ago the last update was, as others are told, on the clock of the server, seconds.
fn reference_age_s(stage: &Stage, ahead_s: f64) -> f64 {
    let now = stage.now();
    let told = stage.engine.served(now.mono).reference_time;
    now.wall.seconds_since(told) - stage.error_s() + ahead_s
}

#[test]
fn the_time_of_an_update_is_that_of_the_server_whatever_is_done_to_the_clock() {
    let step_first = |config: &mut Config| config.clock.make_step = Some(MakeStep::both(1.0, Some(3)));
    let slew = |_: &mut Config| {};
    for (rule, refuses_steps) in [
        (&step_first as &dyn Fn(&mut Config), false),
        (&step_first, true),
        (&slew, false),
    ] {
        let mut config = one_server();
        rule(&mut config);
        let (mut stage, ahead_s) = steering(config, 5.0);
        stage.refuses_steps = refuses_steps;
        let age_s = |stage: &Stage| reference_age_s(stage, ahead_s.get());
        run_until_update(&mut stage);
        assert!((-0.01..0.11).contains(&age_s(&stage)), "{}", age_s(&stage));
        stage.refuses_steps = false;
        let before_s = age_s(&stage);
        let is_same = |stage: &Stage| (age_s(stage) - before_s).abs() < 0.01;
        // Somebody else steps the clock, the operator says how wrong it is, and steps it.
        stage.move_clock(-0.25);
        assert!(is_same(&stage), "{}", age_s(&stage));
        add_offset(&mut stage, 7.0);
        assert!(is_same(&stage), "{}", age_s(&stage));
        let (now, engine) = (stage.now().mono, &mut stage.engine);
        engine
            .discipline
            .step_now(now, &mut engine.timeline, &mut engine.timers, &mut engine.out);
        stage.carry_out();
        assert!(is_same(&stage), "{}", age_s(&stage));
    }
}

#[test]
fn the_time_of_an_update_before_a_leap_second_stays_what_it_was() {
    let mut config = one_server();
    config.leap.mode = LeapMode::Step;
    let (mut stage, _) = steering(config, 0.0);
    stage.run_until(40.0);
    let time = |stage: &Stage| {
        stage
            .engine
            .discipline
            .reference()
            .map(|reference| reference.time)
    };
    let before = time(&stage);
    insert_leap_second(&mut stage);
    assert_eq!(stage.steps_s, [-1.0]);
    assert!(before.is_some() && time(&stage) == before);
}

/// A leap second was announced for the end of some month, and comes now.
fn insert_leap_second(stage: &mut Stage) {
    let on_the_last_day = UnixTime::from_seconds(1_483_185_600);
    assert!(BEGIN_S < on_the_last_day.seconds());
    stage.engine.leaps.announce(on_the_last_day, Leap::Insert);
    let now = stage.now().mono;
    stage.engine.pass_leap(now);
    stage.carry_out();
}

#[test]
fn a_leap_second_that_is_slewed_is_no_change() {
    for ignore in [Some(0), None] {
        let mut config = one_server();
        config.clock.max_change = max_change(0.5, 1, ignore);
        config.clock.max_slew_rate_ppm = 1000.0;
        config.leap.mode = LeapMode::Slew;
        let (mut stage, ahead_s) = steering(config, 0.0);
        stage.run_until(100.0);
        insert_leap_second(&mut stage);
        ahead_s.set(-1.0);
        stage.run_until(3000.0);
        assert_eq!((stage.ended, stage.said("exceeds")), (None, 0));
        assert!((stage.error_s() + 1.0).abs() < 1e-4, "{}", stage.error_s());
    }
}

#[test]
fn a_clock_that_is_only_observed_may_drift_as_far_as_it_will() {
    let mut config = one_server();
    config.clock.max_change = max_change(1.0, 1, Some(0));
    let by_s = Rc::new(Cell::new(0.0));
    let mut stage = Stage::with(config, ahead_by(&by_s), |_| {});
    stage.gain = Some(100e-6);
    stage.run_until(30_000.0);
    assert!(stage.error_s() > 2.9, "{}", stage.error_s());
    assert_eq!((stage.ended, stage.said("exceeds")), (None, 0));
}

#[test]
fn a_wrong_first_answer_is_corrected_by_right_ones() {
    for (first_s, ignore) in [(50.0, Some(0)), (50.0, None), (-50.0, Some(0))] {
        let mut config = one_server();
        config.clock.max_change = max_change(10.0, 1, ignore);
        let (mut stage, ahead_s) = steering(config, first_s);
        run_until_update(&mut stage);
        ahead_s.set(0.0);
        stage.run_until(3000.0);
        assert_eq!((stage.ended, stage.said("exceeds")), (None, 0), "{:?}", stage.log);
        assert!(stage.error_s().abs() < 1e-4, "{}", stage.error_s());
    }
}

#[test]
fn a_step_that_was_believed_and_refused_is_no_change() {
    let mut config = one_server();
    config.clock.max_change = max_change(10.0, 1, Some(0));
    config.clock.make_step = Some(MakeStep::both(1.0, Some(3)));
    let (mut stage, _) = steering(config, 50.0);
    stage.refuses_steps = true;
    stage.run_until(1000.0);
    assert_eq!((stage.ended, stage.said("exceeds")), (None, 0));
    assert!((stage.error_s() - 50.0).abs() < 1e-4, "{}", stage.error_s());
}

#[test]
fn that_somebody_moved_the_clock_far_is_no_reason_to_believe_it() {
    // Nor is a correction that is under way.
    for first_s in [0.0, 50.0] {
        let mut config = one_server();
        config.clock.max_change = max_change(10.0, 1, Some(2));
        config.clock.max_slew_rate_ppm = 1000.0;
        let (mut stage, _) = steering(config, first_s);
        stage.run_until(100.0);
        stage.move_clock(-30.0);
        stage.run_until(1000.0);
        assert_eq!((stage.said("(ignored)"), stage.ended), (2, Some(1)));
    }
}

#[test]
fn who_moves_the_clock_back_ends_the_refusal() {
    let mut config = one_server();
    config.clock.max_change = max_change(10.0, 1, None);
    let (mut stage, ahead_s) = steering(config, 0.0);
    stage.run_until(100.0);
    stage.move_clock(-30.0);
    stage.run_until(200.0);
    let refused = stage.said("exceeds");
    assert!(refused > 3, "{refused}");
    stage.move_clock(30.0);
    stage.run_until(300.0);
    // A server that goes wrong later is refused as before.
    assert_eq!(stage.said("exceeds"), refused);
    ahead_s.set(20.0);
    stage.run_until(400.0);
    assert!(stage.said("exceeds") > refused);
}

#[test]
fn small_jumps_leave_the_steps_at_the_start_as_many_as_they_were() {
    let mut config = one_server();
    config.clock.make_step = Some(MakeStep::both(1.0, Some(3)));
    let (mut stage, ahead_s) = steering(config, 0.0);
    run_until_update(&mut stage);
    for _ in 0..3 {
        stage.move_clock(1e-4);
        stage.move_clock(-1e-4);
    }
    ahead_s.set(30.0);
    stage.run_until(60.0);
    assert_eq!(stage.steps_s.len(), 1, "{:?}", stage.steps_s);
}

#[test]
fn a_jump_is_said_as_far_as_it_is_new_even_where_it_is_not_believed() {
    let mut config = one_server();
    config.clock.max_change = max_change(10.0, 1, None);
    config.clock.max_slew_rate_ppm = 1000.0;
    let (mut stage, _) = steering(config, 50.0);
    stage.run_until(100.0);
    assert_eq!(stage.said("System clock wrong by"), 1);
    // The clock is far behind, which is known; these are not worth a word.
    for _ in 0..3 {
        stage.move_clock(-1e-4);
    }
    assert_eq!(stage.said("System clock wrong by"), 1);
    stage.move_clock(-9.0);
    assert_eq!(stage.said("System clock wrong by 9.000000 seconds"), 1);
    stage.move_clock(-30.0);
    assert_eq!(stage.said("System clock wrong by 30.000000 seconds"), 1);
    assert_eq!(stage.said("System clock wrong by"), 3);
}

#[test]
fn the_sign_of_a_jump_is_that_of_an_offset() {
    let (mut stage, ahead_s) = steering(one_server(), 0.0);
    stage.run_until(100.0);
    stage.move_clock(-2.0);
    assert_eq!(stage.said("System clock wrong by 2.000000 seconds"), 1);
    stage.run_until(300.0);
    ahead_s.set(2.0);
    stage.run_until(400.0);
    assert_eq!(stage.said("System clock wrong by"), 2);
    assert_eq!(stage.said("System clock wrong by -"), 0, "{:?}", stage.log);
}

#[test]
fn nobody_wakes_up_for_the_slew_of_a_clock_that_is_only_observed() {
    let by_s = Rc::new(Cell::new(0.0));
    let mut stage = Stage::with(one_server(), ahead_by(&by_s), |_| {});
    stage.run_until(100.0);
    stage.move_clock(0.5);
    add_offset(&mut stage, 3.0);
    assert_eq!(stage.engine.timers.get(crate::timer::Timer::SlewEnd), None);
}
