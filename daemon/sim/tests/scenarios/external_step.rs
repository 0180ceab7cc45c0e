//! Somebody else sets the clock while the daemon runs.

use sim::*;

fn stepped(by_s: f64, rule: &str) -> Scenario {
    Scenario::of_hours(2.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(
            Client::asking("server time iburst minpoll 4 maxpoll 6")
                .also(rule)
                .step_at(3600.5, by_s),
        )
}

#[test]
fn a_step_of_a_second_is_taken_back_at_once_where_steps_are_allowed() {
    stepped(1.0, "makestep 0.1 -1")
        .expect(steps(1))
        .expect(offset_below(micros(300.0)).within(3600.0 + 70.0))
        .check(100);
}

#[test]
fn a_step_of_30_ms_is_slewed_back_within_two_polls() {
    stepped(-millis(30.0), "makestep 1 3")
        .expect(no_steps())
        .expect(offset_below(micros(300.0)).within(3600.0 + 140.0))
        .check(100);
}

#[test]
fn a_step_of_half_a_second_is_slewed_back_where_steps_are_not_allowed() {
    stepped(0.5, "makestep 1 3")
        .expect(no_steps())
        .expect(offset_below(millis(1.0)).within(3600.0 + 150.0))
        .check(100);
}

#[test]
fn a_step_of_a_year_is_taken_back() {
    stepped(-31_536_000.0, "makestep 1 -1")
        .expect(steps(1))
        .expect(offset_below(micros(300.0)).within(3600.0 + 140.0))
        .check(100);
}

#[test]
fn who_is_told_of_a_step_takes_it_back_at_once_however_seldom_it_asks() {
    let client = Client::asking("server time iburst minpoll 10 maxpoll 10")
        .also("makestep 0.1 -1")
        .step_at(20_000.5, 1.0)
        .act_at(20_000.501, Act::Notice);
    Scenario::of_hours(6.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
        .expect(steps(1))
        .expect(offset_below(millis(1.0)).within(20_001.0))
        .check(100);
}

#[test]
fn the_frequency_is_not_disturbed_by_it() {
    stepped(1.0, "makestep 0.1 -1")
        .expect(frequency_rms_below(ppm(1.0)).between(3680.0, 7200.0))
        .check(100);
}

#[test]
fn who_steps_the_clock_again_and_again_is_noticed_sooner() {
    let client = Client::asking("server time")
        .also("makestep 1 -1")
        .also("logchange 1")
        .step_at(18_000.5, 100.0)
        .step_at(19_100.5, 100.0)
        .step_at(19_600.5, 100.0);
    Scenario::of_hours(6.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
        .expect(steps(3))
        .expect(says_times(3, "System clock wrong by -"))
        .expect(offset_below(millis(1.0)).between(19_100.0 + 150.0, 19_600.0))
        .expect(offset_below(millis(1.0)).within(19_600.0 + 150.0))
        .check(20);
}
