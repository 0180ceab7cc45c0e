//! Requests and answers take different times. The error that makes is never more than half of the round trip.

use sim::*;

fn asking(path: Path) -> Scenario {
    Scenario::of_hours(2.0)
        .server("time", Server::ideal())
        .path("time", path)
        .client(Client::asking("server time iburst minpoll 4 maxpoll 6").also("makestep 1 3"))
}

#[test]
fn a_constant_asymmetry_costs_half_of_itself_and_no_more() {
    asking(Path::lan().slower_answers(millis(10.0)))
        .expect(offset_below(millis(5.6)).within(minutes(2.0)))
        .expect(offset_above(millis(4.4)).within(minutes(10.0)))
        .check(100);
}

#[test]
fn a_detour_of_answers_is_no_news_of_the_clock() {
    asking(Path::lan().reroute(3600.0, 0.0, millis(5.0)))
        .expect(offset_below(micros(300.0)).between(minutes(5.0), 3600.0))
        .expect(offset_below(millis(2.9)).within(3600.0))
        .expect(offset_below(millis(0.6)).within(3600.0).for_most(0.97))
        .expect(no_steps())
        .check(100);
}

#[test]
fn a_longer_way_in_both_directions_costs_nothing() {
    asking(Path::lan().reroute(3600.0, millis(10.0), millis(10.0)))
        .expect(offset_below(millis(0.4)).within(minutes(10.0)))
        .expect(no_steps())
        .check(100);
}

#[test]
fn a_detour_that_ends_is_forgotten() {
    let detour =
        Path::lan()
            .reroute(2400.0, millis(5.0), millis(5.0))
            .reroute(4800.0, -millis(5.0), -millis(5.0));
    asking(detour)
        .expect(offset_below(millis(0.4)).within(minutes(10.0)))
        .expect(no_steps())
        .check(100);
}

#[test]
fn a_full_uplink_is_seen_through() {
    asking(Path::of(millis(5.0)).jitter_of_requests(Jitter::Exponential(millis(10.0))))
        .expect(offset_rms_below(micros(200.0)).within(minutes(30.0)).on_average())
        .check(100);
}

#[test]
fn answers_that_queue_much_more_than_requests_are_seen_through() {
    let path = Path::of(millis(10.0))
        .jitter_of_requests(Jitter::Exponential(millis(1.0)))
        .jitter_of_answers(Jitter::Exponential(millis(5.0)));
    asking(path)
        .expect(offset_rms_below(micros(700.0)).within(minutes(30.0)).on_average())
        .check(100);
}

#[test]
fn a_radio_that_repeats_lost_packets_is_seen_through() {
    let radio = Jitter::Rare {
        probability: 0.3,
        mean_s: millis(30.0),
    };
    asking(Path::of(millis(2.0)).jitter(radio))
        .expect(offset_rms_below(micros(300.0)).within(minutes(30.0)).on_average())
        .expect(offset_below(millis(3.0)).within(minutes(30.0)))
        .check(100);
}

#[test]
fn jitter_of_many_queues_is_averaged() {
    asking(Path::of(millis(1.0)).jitter(Jitter::Gamma {
        shape: 4.0,
        mean_s: millis(2.0),
    }))
    .expect(offset_rms_below(micros(350.0)).within(minutes(30.0)).on_average())
    .check(100);
}

#[test]
fn jitter_that_never_lets_a_packet_through_at_once_is_averaged() {
    asking(Path::of(millis(1.0)).jitter(Jitter::Normal(millis(1.0))))
        .expect(offset_rms_below(micros(300.0)).within(minutes(30.0)).on_average())
        .check(100);
}
