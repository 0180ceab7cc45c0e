//! The clock is measured once and set before anything else (`initstepslew`).

use sim::*;

fn off_by(offset_s: f64, directive: &str) -> Scenario {
    let client = Client::asking(directive)
        .also("server time minpoll 4 maxpoll 6")
        .tuned(|clock| clock.off_by(offset_s).either_sign());
    Scenario::of_hours(0.5)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
}

#[test]
fn a_large_offset_is_stepped_within_seconds() {
    off_by(300.0, "initstepslew 10 time")
        .expect(steps(1).between(0.0, 10.0))
        .expect(steps(1))
        .expect(says_times(1, "System's initial offset : "))
        .expect(offset_below(millis(2.0)).within(10.0))
        .check(100);
}

#[test]
fn a_small_offset_is_slewed_at_once() {
    off_by(0.8, "initstepslew 10 time")
        .expect(no_steps())
        .expect(says_times(1, "of true (slew)"))
        .expect(offset_below(millis(2.0)).within(30.0))
        .check(100);
}

#[test]
fn two_that_disagree_are_not_believed() {
    let client = Client::asking("initstepslew 1 time liar").also("server time iburst minpoll 4 maxpoll 6");
    Scenario::of_hours(0.3)
        .server("time", Server::ideal())
        .server("liar", Server::wrong_by(50.0))
        .path("time", Path::lan())
        .path("liar", Path::lan())
        .client(client)
        .expect(no_steps())
        .expect(says_times(1, "No suitable source for initstepslew").between(100.0, 300.0))
        .expect(offset_below(millis(1.0)).within(minutes(6.0)))
        .check(100);
}

#[test]
fn without_answers_the_others_are_asked_after_seconds() {
    let client = Client::asking("initstepslew 1 gone").also("server time iburst minpoll 4 maxpoll 6");
    Scenario::of_hours(0.2)
        .server("time", Server::ideal())
        .server("gone", Server::ideal())
        .path("time", Path::lan())
        .path("gone", Path::lan().outage(0.0, 1e6))
        .client(client)
        .expect(says_times(1, "No suitable source for initstepslew").between(0.0, 15.0))
        .expect(offset_below(millis(2.0)).within(40.0))
        .check(100);
}
