//! The sources are lost while the frequency is not what it usually is (`fallbackdrift`).

use sim::*;

/// A clock whose frequency swings by 20 ppm within each half hour, and whose server is gone for the last 6 of its 8
/// hours.
fn lost(rule: &str) -> Scenario {
    Scenario::of_hours(8.0)
        .server("time", Server::ideal())
        .path("time", Path::lan().outage(2.12 * 3600.0, 1e6))
        .client(
            Client::asking("server time iburst minpoll 4 maxpoll 4")
                .also("makestep 1 3")
                .also(rule)
                .clock(Oscillator::perfect().swinging(20e-6, 1800.0)),
        )
}

#[test]
fn the_average_keeps_better_time_than_the_last_frequency() {
    lost("fallbackdrift 0 0")
        .expect(offset_above(0.1).on_average())
        .check(20);
    lost("fallbackdrift 9 12")
        .expect(offset_below(0.06))
        .expect(no_steps())
        .check(100);
}

#[test]
fn until_it_is_due_nothing_changes() {
    let scenario = Scenario::of_hours(2.0)
        .server("time", Server::ideal())
        .path("time", Path::lan().outage(3600.0, 4500.0))
        .client(
            Client::asking("server time iburst minpoll 4 maxpoll 6")
                .also("makestep 1 3")
                .also("fallbackdrift 10 13"),
        );
    scenario
        .expect(offset_below(millis(1.0)).within(minutes(5.0)))
        .expect(frequency_below(5e-6).within(minutes(20.0)))
        .check(100);
}
