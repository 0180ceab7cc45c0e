//! The real-time clock: measured, set, and asked for the time when nobody else is there.

use sim::*;
use wire::candm::Request;

/// Half a second ahead, and gains 20 ppm; interrupts wait a little for the processor, and now and then long.
fn battery_clock() -> BatteryClock {
    BatteryClock::ahead_by(-3.4, ppm(20.0)).late(Jitter::Exponential(micros(30.0)))
}

fn client() -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 6")
        .also("makestep 1 3")
        .also("driftfile /var/lib/chrony/drift")
        .also("rtcfile /var/lib/chrony/rtc")
        .clock(Oscillator::perfect().gaining(ppm(-35.0)).wander(1e-9).off_by(0.3))
        .rtc(battery_clock())
}

fn world(hours: f64, client: Client) -> Scenario {
    Scenario::of_hours(hours)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
}

/// Something of the last file that was written; far from everything if there is none.
fn of_file(what: fn(&RtcFile) -> f64) -> impl Fn(&Record) -> f64 {
    move |record| record.rtc_files.last().map_or(f64::INFINITY, what)
}

/// How wrong the file is about the clock, seconds.
fn error_s(file: &RtcFile) -> f64 {
    (file.ahead_s.0 - file.ahead_s.1).abs()
}

#[test]
fn its_error_and_its_rate_are_remembered() {
    world(2.0, client().act_at(hours(2.0) - 1.0, Act::Terminate))
        .expect(measured_below(
            "error of the rate, ppm",
            0.5,
            of_file(|file| (file.error.gain_ppm - 20.0).abs()),
        ))
        .expect(measured_below(
            "error of the file, s",
            micros(400.0),
            of_file(error_s),
        ))
        .check(40);
}

#[test]
fn after_a_night_it_knows_the_time_before_any_server_is_reached() {
    // Its system clock starts wrong by hours, and its network does not come back.
    let client = client()
        .act_at(hours(2.0), Act::Terminate)
        .step_at(hours(10.0) - 1.0, -30_000.0)
        .act_at(hours(10.0), Act::RestartFromRtc);
    world(10.5, client)
        .path("time", Path::lan().outage(hours(2.0), hours(11.0)))
        .expect(says_times(1, "System clock off from RTC by "))
        .expect(offset_below(1.0).between(hours(10.0) + 1.0, hours(10.0) + 10.0))
        .expect(offset_below(millis(5.0)).within(hours(10.0) + 15.0))
        .check(40);
}

#[test]
fn without_a_file_the_time_is_that_of_the_clock() {
    let client = client().act_at(1.5, Act::RestartFromRtc);
    world(0.5, client)
        .path("time", Path::lan().outage(0.0, hours(1.0)))
        .expect(says_times(1, "No valid rtcfile coefficients"))
        .expect(offset_below(4.0).within(10.0))
        .expect(offset_above(2.8).within(10.0))
        .check(10);
}

#[test]
fn a_clock_that_does_not_interrupt_keeps_nobody_waiting() {
    let client = client()
        .rtc(battery_clock().silent())
        .act_at(1.5, Act::RestartFromRtc);
    world(0.5, client)
        .expect(says_times(1, "RTC does not interrupt at its seconds : not read"))
        .expect(offset_below(millis(1.0)).within(minutes(5.0)))
        .check(5);
}

#[test]
fn it_is_set_when_it_is_too_far_off() {
    world(1.0, client().also("rtcautotrim 2"))
        .expect(says_times(1, "RTC wrong by -3."))
        .expect(measured_below(
            "error of the clock, s",
            0.6,
            of_file(|file| file.ahead_s.1.abs()),
        ))
        .expect(measured_below(
            "error of the file, s",
            millis(2.0),
            of_file(error_s),
        ))
        .check(20);
}

#[test]
fn nothing_is_set_that_is_not_wrong_or_not_known_to_be() {
    world(1.0, client().also("rtcautotrim 5"))
        .expect(never_says("RTC wrong by"))
        .check(5);
    world(1.0, client().also("rtcautotrim 2"))
        .path("time", Path::lan().outage(0.0, hours(2.0)))
        .expect(never_says("RTC wrong by"))
        .check(5);
}

#[test]
fn an_operator_sets_it() {
    world(1.0, client().chronyc(minutes(30.0), Request::TrimRtc))
        .expect(says_times(1, "RTC wrong by -3."))
        .expect(measured_below(
            "error of the clock, s",
            0.6,
            of_file(|file| file.ahead_s.1.abs()),
        ))
        .check(5);
}

#[test]
fn whoever_else_sets_it_is_noticed() {
    let client = client()
        .act_at(minutes(60.0), Act::SetRtc(7.25))
        .act_at(hours(2.0) - 1.0, Act::Terminate);
    world(2.0, client)
        .expect(measured_below(
            "error of the file, s",
            micros(400.0),
            of_file(error_s),
        ))
        .check(10);
}
