//! Servers that do not keep to the protocol, and others who meddle with it.

use sim::*;

fn asking(server: Server) -> Scenario {
    Scenario::of_hours(1.0)
        .server("time", server)
        .path("time", Path::lan())
        .client(Client::asking("server time iburst minpoll 4 maxpoll 6").also("makestep 1 3"))
}

/// The clock is left alone.
#[track_caller]
fn is_not_believed(misbehaviour: Misbehaviour) {
    asking(Server::wrong_by(5.0).always(misbehaviour))
        .expect(no_steps())
        .expect(never_says("Selected source"))
        .expect(offset_below(millis(60.0)))
        .check(100);
}

#[test]
fn one_that_is_not_synchronised_is_not_believed() {
    is_not_believed(Misbehaviour::Unsynchronised);
}

#[test]
fn one_without_timestamps_is_not_believed() {
    is_not_believed(Misbehaviour::ZeroTimestamps);
}

#[test]
fn answers_to_questions_nobody_asked_are_not_believed() {
    is_not_believed(Misbehaviour::WrongOrigin);
    is_not_believed(Misbehaviour::ZeroOrigin);
}

#[test]
fn broadcasts_and_questions_are_no_answers() {
    is_not_believed(Misbehaviour::Broadcast);
    is_not_believed(Misbehaviour::AsksBack);
}

#[test]
fn one_far_from_any_reference_is_not_believed() {
    is_not_believed(Misbehaviour::FarAway);
}

#[test]
fn cut_packets_are_not_believed() {
    is_not_believed(Misbehaviour::Cut(0));
    is_not_believed(Misbehaviour::Cut(47));
}

#[test]
fn one_that_answered_before_it_was_asked_is_not_believed() {
    is_not_believed(Misbehaviour::BackwardsInTime);
}

#[test]
fn a_kiss_is_no_time() {
    is_not_believed(Misbehaviour::Kiss(*b"DENY"));
    is_not_believed(Misbehaviour::Kiss(*b"RSTR"));
    is_not_believed(Misbehaviour::Kiss(*b"RATE"));
}

#[test]
fn a_slow_server_that_says_so_does_no_harm() {
    asking(Server::ideal().always(Misbehaviour::Slow(millis(50.0))))
        .expect(offset_below(millis(1.0)).within(minutes(3.0)))
        .expect(offset_rms_below(micros(50.0)).within(minutes(30.0)).on_average())
        .check(100);
}

#[test]
fn old_answers_sent_again_do_no_harm() {
    let replayed = Path::lan().replay(1.0, 40.0);
    asking(Server::ideal())
        .path("time", replayed)
        .expect(offset_below(micros(300.0)).within(minutes(5.0)))
        .expect(offset_rms_below(micros(40.0)).within(minutes(20.0)).on_average())
        .check(100);
}

#[test]
fn one_that_stops_being_synchronised_is_left_and_taken_again() {
    asking(Server::ideal().between(1200.0, 2400.0, Misbehaviour::Unsynchronised))
        .expect(offset_below(micros(500.0)).within(minutes(5.0)))
        .expect(no_steps())
        .check(100);
}

#[test]
fn stratum_16_is_not_followed() {
    asking(Server::wrong_by(5.0).stratum(16))
        .expect(no_steps())
        .expect(offset_below(millis(60.0)))
        .check(100);
}

#[test]
fn one_wrong_answer_of_the_only_server_does_not_move_the_clock() {
    for (poll, by_s) in [(6, millis(10.0)), (6, 0.1), (8, 0.1), (8, 10.0)] {
        Scenario::of_hours(8.0)
            .server("time", Server::ideal().answering_wrong_once(21_600.0, by_s))
            .path(
                "time",
                Path::of(micros(200.0)).jitter(Jitter::Exponential(micros(10.0))),
            )
            .client(
                Client::asking(&format!("server time iburst minpoll {poll} maxpoll {poll}"))
                    .also("makestep 1 3"),
            )
            .expect(offset_below(millis(1.0)).within(minutes(10.0)))
            .check(25);
    }
}

#[test]
fn an_only_server_that_answers_wrong_now_and_then_does_not_move_the_clock() {
    let wrong_s = [10.0, -10.0, 0.1, 3600.0, millis(10.0), -1.0, 10.0, 10.0];
    let times_s = (0_i32..).map(|number| 10_800.0 + 1900.0 * f64::from(number));
    for line in ["server time iburst", "server time iburst minpoll 8 maxpoll 8"] {
        let server = times_s.clone().zip(wrong_s);
        let server = server.fold(Server::ideal(), |server, (at_s, by_s)| {
            server.answering_wrong_once(at_s, by_s)
        });
        Scenario::of_hours(8.0)
            .server("time", server)
            .path(
                "time",
                Path::of(micros(200.0)).jitter(Jitter::Exponential(micros(10.0))),
            )
            .client(Client::asking(line).also("makestep 1 3"))
            .expect(offset_below(millis(2.0)).within(minutes(10.0)))
            .check(25);
    }
}

#[test]
fn an_only_server_that_was_set_is_followed_in_one_step() {
    for (line, followed_s) in [
        ("server time iburst", 800.0),
        ("server time minpoll 8 maxpoll 8", 700.0),
    ] {
        for by_s in [millis(10.0), 1.0] {
            Scenario::of_hours(8.0)
                .server("time", Server::ideal().jumping(hours(6.0), by_s))
                .path(
                    "time",
                    Path::of(micros(200.0)).jitter(Jitter::Exponential(micros(10.0))),
                )
                .client(Client::asking(line).also("makestep 0.0005 -1"))
                .expect(steps(1).between(hours(6.0), hours(8.0)))
                .expect(offset_above(by_s - millis(1.0)).between(hours(6.0) + followed_s, hours(8.0)))
                .expect(offset_below(by_s + millis(1.0)).within(minutes(10.0)))
                .check(25);
        }
    }
}
