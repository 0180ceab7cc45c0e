//! The network is gone for a while, or loses much.

use sim::*;

fn asking(path: Path) -> Scenario {
    Scenario::of_hours(4.0)
        .server("time", Server::ideal())
        .path("time", path)
        .client(Client::asking("server time iburst minpoll 4 maxpoll 6").also("makestep 1 3"))
}

#[test]
fn two_hours_alone_on_a_lan_cost_less_than_two_milliseconds() {
    asking(Path::lan().outage(hours(1.5), hours(3.5)))
        .expect(offset_below(millis(2.0)).within(minutes(2.0)))
        .expect(offset_below(micros(200.0)).within(hours(3.7)).for_most(0.95))
        .expect(no_steps())
        .check(100);
}

#[test]
fn two_hours_alone_after_bad_measurements_cost_less_than_twenty_milliseconds() {
    asking(Path::wan().outage(hours(1.5), hours(3.5)))
        .expect(offset_below(millis(20.0)).between(hours(1.5), hours(3.5)))
        .expect(offset_below(millis(10.0)).within(hours(3.7)))
        .expect(no_steps())
        .check(100);
}

#[test]
fn a_server_that_is_gone_is_not_hammered() {
    asking(Path::lan().outage(hours(1.0), hours(4.0)))
        .expect(requests_per_hour_below(60.0).between(hours(2.0), hours(4.0)))
        .check(100);
}

#[test]
fn a_server_that_is_gone_is_told_to_the_operator() {
    asking(Path::lan().outage(hours(1.0), hours(4.0)))
        .expect(says("no selectable sources").between(hours(1.0), hours(2.0)))
        .check(100);
}

#[test]
fn a_third_of_all_packets_lost_costs_little() {
    asking(Path::lan().drop(0.18))
        .expect(offset_rms_below(micros(40.0)).within(hours(1.0)).on_average())
        .expect(offset_below(micros(300.0)).within(hours(1.0)))
        .check(100);
}

#[test]
fn a_path_that_loses_nine_of_ten_still_gives_the_time() {
    asking(Path::lan().drop_answers(0.9))
        .expect(offset_below(millis(5.0)).within(hours(2.0)).for_most(0.95))
        .check(100);
}

#[test]
fn packets_that_come_twice_or_out_of_order_change_nothing() {
    asking(Path::lan().duplicate(0.5))
        .expect(offset_rms_below(micros(30.0)).within(hours(1.0)).on_average())
        .check(100);
}
