//! How often servers are asked.

use sim::*;

fn asking(length_h: f64, line: &str, path: Path) -> Scenario {
    Scenario::of_hours(length_h)
        .server("time", Server::ideal())
        .path("time", path)
        .client(Client::asking(line).also("makestep 1 3"))
}

#[test]
fn a_good_clock_is_looked_at_every_17_minutes() {
    asking(8.0, "server time iburst", Path::lan())
        .expect(
            requests_per_hour_below(6.0)
                .between(hours(4.0), hours(8.0))
                .on_average(),
        )
        .expect(requests_per_hour_above(3.0).within(hours(4.0)))
        .expect(offset_rms_below(micros(120.0)).within(hours(4.0)).on_average())
        .check(100);
}

#[test]
fn a_bad_oscillator_on_a_good_path_is_looked_at_more_often() {
    asking(
        8.0,
        "server time iburst",
        Path::of(micros(50.0)).jitter(Jitter::Exponential(micros(5.0))),
    )
    .client(
        Client::asking("server time iburst")
            .also("makestep 1 3")
            .wander(1e-8),
    )
    .expect(requests_per_hour_above(12.0).within(hours(4.0)).on_average())
    .check(100);
}

#[test]
fn the_interval_stays_between_its_limits() {
    asking(3.0, "server time minpoll 5 maxpoll 5", Path::lan())
        .expect(requests_per_hour_below(114.0).within(hours(1.0)))
        .expect(requests_per_hour_above(100.0).within(hours(1.0)))
        .check(100);
}

#[test]
fn an_interval_that_has_grown_is_no_longer_than_the_longest() {
    asking(8.0, "server time minpoll 4 maxpoll 6", Path::lan())
        .expect(requests_per_hour_above(3600.0 / 64.0).within(hours(4.0)))
        .check(100);
}

#[test]
fn a_new_server_is_asked_at_the_shortest_interval_until_it_is_known() {
    // At 64 s, a little more in turn, seventeen requests fit into these.
    asking(0.5, "server time", Path::lan())
        .expect(measured_above("requests in 1050 s", 16.5, |record| {
            record.requests_per_hour(0.0, 1050.0) * 1050.0 / 3600.0
        }))
        .check(100);
}

#[test]
fn an_initial_burst_is_four_to_eight_requests_in_sixteen_seconds() {
    asking(0.5, "server time iburst minpoll 6", Path::lan())
        .expect(measured_below("requests in 20 s", 8.5, |record| {
            record.requests_per_hour(0.0, 20.0) / 180.0
        }))
        .expect(measured_above("requests in 20 s", 3.5, |record| {
            record.requests_per_hour(0.0, 20.0) / 180.0
        }))
        .check(20);
}

#[test]
fn a_server_that_never_answers_is_asked_ever_less() {
    asking(8.0, "server time iburst", Path::lan().drop(1.0))
        .expect(requests_per_hour_below(4.5).within(hours(4.0)))
        .check(100);
}

#[test]
fn a_server_that_asks_to_be_asked_less_is_asked_less() {
    Scenario::of_hours(4.0)
        .server("time", Server::ideal().always(Misbehaviour::Kiss(*b"RATE")))
        .path("time", Path::lan())
        .client(Client::asking("server time iburst minpoll 4 maxpoll 10"))
        .expect(requests_per_hour_below(10.0).within(hours(2.0)))
        .check(20);
}
