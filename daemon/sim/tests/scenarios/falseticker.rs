//! Some of the servers are wrong.

#![allow(clippy::expect_used, reason = "what a test cannot build is a failed test")]

use sim::*;

/// A LAN with these servers, all asked alike.
fn servers(all: &[(&str, Server)]) -> Scenario {
    let mut client = None;
    let mut scenario = Scenario::of_hours(1.2);
    for (name, server) in all {
        let line = format!("server {name} iburst minpoll 4 maxpoll 6");
        client = Some(match client {
            None => Client::asking(&line).also("makestep 1 3"),
            Some(client) => Client::also(client, &line),
        });
        scenario = scenario.server(name, server.clone()).path(name, Path::lan());
    }
    scenario.client(client.expect("a server"))
}

#[test]
fn one_of_three_wrong_by_a_second_is_not_followed() {
    servers(&[
        ("a", Server::ideal()),
        ("liar", Server::wrong_by(1.0)),
        ("b", Server::ideal()),
    ])
    .expect(offset_below(millis(1.0)).within(15.0).for_most(0.97))
    .expect(offset_below(millis(10.0)).within(15.0))
    .expect(offset_below(micros(200.0)).within(minutes(10.0)))
    .expect(says("Detected falseticker"))
    .expect(no_steps())
    .check(100);
}

#[test]
fn one_of_four_wrong_by_five_milliseconds_is_not_followed() {
    servers(&[
        ("liar", Server::wrong_by(-millis(5.0))),
        ("a", Server::ideal()),
        ("b", Server::ideal()),
        ("c", Server::ideal()),
    ])
    .expect(offset_below(micros(200.0)).within(minutes(10.0)))
    .expect(offset_rms_below(micros(30.0)).within(minutes(20.0)).on_average())
    .check(100);
}

#[test]
fn two_against_two_pull_nobody() {
    servers(&[
        ("a", Server::ideal()),
        ("b", Server::ideal()),
        ("liar", Server::wrong_by(10.0)),
        ("fellow", Server::wrong_by(-10.0)),
    ])
    .expect(offset_below(0.5).within(minutes(1.0)))
    .check(100);
}

#[test]
fn without_a_majority_the_clock_is_left_alone() {
    servers(&[("a", Server::ideal()), ("liar", Server::wrong_by(10.0))])
        .expect(says("no majority"))
        .expect(no_steps())
        .expect(offset_below(0.5))
        .check(100);
}

#[test]
fn servers_that_tell_no_time_for_a_while_still_outvote_a_wrong_one() {
    for silence in [
        Misbehaviour::Unsynchronised,
        Misbehaviour::Kiss(*b"RATE"),
        Misbehaviour::Kiss(*b"DENY"),
    ] {
        let quiet = || Server::ideal().between(1500.0, 1800.0, silence);
        servers(&[
            ("a", quiet()),
            ("b", quiet()),
            ("c", quiet()),
            ("liar", Server::wrong_by(30.0)),
        ])
        .expect(offset_below(millis(1.0)).within(minutes(1.0)))
        .expect(never_says("no selectable sources"))
        .expect(no_steps())
        .check(100);
    }
}

#[test]
fn a_server_that_drifts_away_is_dropped_before_it_harms() {
    servers(&[
        ("a", Server::ideal()),
        ("b", Server::ideal()),
        ("drifting", Server::drifting(ppm(5.0))),
    ])
    .expect(offset_below(millis(1.0)).within(minutes(1.0)))
    .expect(offset_below(micros(300.0)).within(minutes(50.0)))
    .check(100);
}

#[test]
fn a_server_that_jumps_is_dropped_and_taken_back() {
    servers(&[
        ("a", Server::ideal()),
        ("b", Server::ideal()),
        (
            "jumping",
            Server::ideal().jumping(1500.0, 2.0).jumping(2700.0, -2.0),
        ),
    ])
    .expect(offset_below(millis(1.0)).within(minutes(5.0)))
    .expect(says("Detected falseticker"))
    .expect(no_steps())
    .check(100);
}

#[test]
fn three_good_servers_are_better_than_one() {
    servers(&[
        ("a", Server::ideal()),
        ("b", Server::ideal()),
        ("c", Server::ideal()),
    ])
    .expect(offset_rms_below(micros(15.0)).within(minutes(40.0)).on_average())
    .check(100);
}

#[test]
fn a_server_far_away_does_not_spoil_those_nearby() {
    servers(&[
        ("a", Server::ideal()),
        ("b", Server::ideal()),
        ("c", Server::ideal()),
    ])
    .server("far", Server::ideal())
    .path("far", Path::wan())
    .path("c", Path::wan().slower_answers(millis(30.0)))
    .expect(offset_rms_below(micros(40.0)).within(minutes(40.0)).on_average())
    .check(100);
}

#[test]
fn good_servers_are_no_falsetickers_at_the_start() {
    for path in [Path::lan(), Path::wan()] {
        let mut scenario = Scenario::of_hours(0.2);
        let mut client = Client::asking("makestep 1 3");
        for name in ["a", "b", "c"] {
            client = client.also(&format!("server {name} iburst"));
            scenario = scenario.server(name, Server::ideal()).path(name, path.clone());
        }
        scenario
            .client(client)
            .expect(never_says("Detected falseticker"))
            .check(200);
    }
}
