//! A server that learns that it was wrong leads its clients there slowly (`smoothtime`).

use sim::*;
use units::Leap;

/// The client asks an engine that smooths what it serves, which asks a server.
fn chain(hours: f64, server: Server, middle: Client) -> Scenario {
    Scenario::of_hours(hours)
        .server("time", server)
        .client_named("middle", middle)
        .client(
            Client::asking("server middle iburst minpoll 4 maxpoll 4")
                .also("makestep 1 -1")
                .starting_at(300.0),
        )
        .path_between("middle", "time", Path::lan())
        .path_between(CLIENT, "middle", Path::lan())
}

fn middle(rule: &str) -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 4")
        .also("makestep 1 3")
        .also("allow")
        .also(rule)
}

#[test]
fn clients_follow_a_jump_without_noticing() {
    // 1 s with a frequency that changes by 1 ppm per second takes 2000 s.
    chain(
        1.0,
        Server::ideal().jumping(1000.0, 1.0),
        middle("smoothtime 2000 1"),
    )
    .expect(no_steps())
    .expect(offset_below(millis(1.0)).between(minutes(10.0), 990.0))
    .expect(offset_below(0.5).between(1000.0, 2000.0))
    .expect(frequency_below(1500e-6).within(1000.0))
    .expect(offset_above(0.99).within(3100.0))
    .check(100);
}

#[test]
fn a_leap_second_is_smeared() {
    let leap_s = 1800.0;
    let announcing = Server::ideal()
        .announcing(0.0, Leap::Insert)
        .announcing(leap_s, Leap::Normal);
    let middle = middle("smoothtime 2000 1 leaponly").also("leapsecmode slew");
    chain(1.2, announcing, middle)
        .hours_before_leap(0.5, Leap::Insert)
        .expect(no_steps())
        .expect(offset_below(millis(1.0)).between(minutes(10.0), leap_s - 2.0))
        .expect(frequency_below(3000e-6).within(minutes(10.0)))
        .expect(offset_above(0.8).between(leap_s + 5.0, leap_s + 500.0))
        .expect(offset_below(millis(5.0)).within(leap_s + 2300.0))
        .check(100);
}
