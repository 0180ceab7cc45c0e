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
fn one_wrong_answer_of_the_only_server_is_forgotten_with_the_next_right_one() {
    // A minute after the last right one it is suspected, and the next answer comes seconds later. After four minutes it may
    // be believed, until the next one comes.
    let wrong_at_s = 21_600.0;
    for (poll, by_s, right_from_s) in [
        (6, millis(10.0), minutes(10.0)),
        (6, 0.1, minutes(10.0)),
        (8, 0.1, wrong_at_s + minutes(10.0)),
        // The clock follows it for minutes, and takes as many to come back.
        (8, 10.0, wrong_at_s + minutes(15.0)),
    ] {
        Scenario::of_hours(8.0)
            .server("time", Server::ideal().answering_wrong_once(wrong_at_s, by_s))
            .path(
                "time",
                Path::of(micros(200.0)).jitter(Jitter::Exponential(micros(10.0))),
            )
            .client(
                Client::asking(&format!("server time iburst minpoll {poll} maxpoll {poll}"))
                    .also("makestep 1 3"),
            )
            .expect(offset_below(millis(1.0)).within(right_from_s))
            .check(25);
    }
}
