//! The last minute of a day has 61 seconds, or 59.

use sim::*;
use units::Leap;

/// The leap second comes after so many hours, which is in the middle.
const HOURS: f64 = 1.0;
const LEAP_S: f64 = HOURS * 3600.0;

fn server(leap: Leap) -> Server {
    Server::ideal()
        .announcing(0.0, leap)
        .announcing(LEAP_S, Leap::Normal)
}

fn world(leap: Leap, client: Client) -> Scenario {
    Scenario::of_hours(2.0 * HOURS)
        .hours_before_leap(HOURS, leap)
        .server("time", server(leap))
        .path("time", Path::lan())
        .client(client)
}

fn asking(rule: &str) -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 6")
        .also("makestep 1 3")
        .also(rule)
}

#[test]
fn the_kernel_inserts_it() {
    world(Leap::Insert, asking("leapsecmode system"))
        .expect(offset_below(micros(300.0)).between(minutes(5.0), LEAP_S - 2.0))
        .expect(offset_below(micros(300.0)).within(LEAP_S + 2.0))
        .expect(no_steps())
        .check(100);
}

#[test]
fn the_kernel_deletes_it() {
    world(Leap::Delete, asking("leapsecmode system"))
        .expect(offset_below(micros(300.0)).between(minutes(5.0), LEAP_S - 3.0))
        .expect(offset_below(micros(300.0)).within(LEAP_S + 2.0))
        .expect(no_steps())
        .check(100);
}

#[test]
fn the_daemon_steps_it() {
    world(Leap::Insert, asking("leapsecmode step"))
        .expect(steps(1))
        .expect(offset_below(micros(300.0)).between(minutes(5.0), LEAP_S - 2.0))
        .expect(offset_below(micros(300.0)).within(LEAP_S + 2.0))
        .check(100);
}

#[test]
fn the_daemon_slews_it() {
    world(Leap::Insert, asking("leapsecmode slew"))
        .expect(no_steps())
        .expect(offset_below(1.01).within(minutes(5.0)))
        .expect(offset_below(millis(1.0)).within(LEAP_S + 60.0))
        .check(100);
}

#[test]
fn ignored_it_is_corrected_when_the_server_shows_it() {
    world(Leap::Insert, asking("leapsecmode ignore"))
        .expect(
            offset_below(millis(1.0))
                .within(LEAP_S + minutes(10.0))
                .for_most(0.95),
        )
        .expect(offset_below(millis(20.0)).within(LEAP_S + minutes(10.0)))
        .check(100);
}

#[test]
fn one_liar_of_three_announces_in_vain() {
    let client = asking("leapsecmode step")
        .also("server b iburst minpoll 4 maxpoll 6")
        .also("server liar iburst minpoll 4 maxpoll 6");
    Scenario::of_hours(2.0 * HOURS)
        .hours_before_leap(HOURS, Leap::Normal)
        .server("time", Server::ideal())
        .server("b", Server::ideal())
        .server("liar", Server::ideal().announcing(0.0, Leap::Insert))
        .path("time", Path::lan())
        .path("b", Path::lan())
        .path("liar", Path::lan())
        .client(client)
        .expect(no_steps())
        .expect(offset_below(micros(300.0)).within(minutes(5.0)))
        .check(100);
}

/// Asked so often that the clock is updated in the second that comes twice.
#[track_caller]
fn is_made_once(leap: Leap, rule: &str) {
    let client = Client::asking("server time iburst minpoll -1 maxpoll -1")
        .also("makestep 1 3")
        .also(rule);
    Scenario::of_hours(0.3)
        .hours_before_leap(0.15, leap)
        .server(
            "time",
            Server::ideal()
                .announcing(0.0, leap)
                .announcing(540.0, Leap::Normal),
        )
        .path("time", Path::lan())
        .client(client.leap_file(leap))
        .expect(offset_below(millis(1.0)).between(minutes(5.0), 537.0))
        .expect(offset_below(millis(1.0)).within(540.0 + 60.0))
        .check(4);
}

#[test]
fn in_whatever_way_it_is_made_once() {
    for rule in ["leapsecmode system", "leapsecmode step", "leapsecmode slew"] {
        is_made_once(Leap::Insert, rule);
        is_made_once(Leap::Delete, rule);
    }
}
