//! When the clock is stepped and when it is not.

use sim::*;

fn off_by(offset_s: f64, rules: &[&str]) -> Scenario {
    let mut client = Client::asking("server time iburst minpoll 4 maxpoll 6")
        .tuned(|clock| clock.off_by(offset_s).either_sign());
    for rule in rules {
        client = client.also(rule);
    }
    Scenario::of_hours(1.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
}

#[test]
fn without_the_rule_nothing_is_stepped() {
    off_by(3.0, &[])
        .expect(no_steps())
        .expect(offset_below(millis(1.0)).within(minutes(5.0)))
        .check(100);
}

#[test]
fn below_the_threshold_nothing_is_stepped() {
    off_by(0.9, &["makestep 1 3"])
        .expect(no_steps())
        .expect(offset_below(millis(1.0)).within(minutes(5.0)))
        .check(100);
}

#[test]
fn above_the_threshold_the_first_update_steps() {
    off_by(1.1, &["makestep 1 3"])
        .expect(steps(1).between(0.0, 10.0))
        .expect(steps(1))
        .check(100);
}

#[test]
fn after_its_updates_the_rule_is_over() {
    let scenario = Scenario::of_hours(1.0)
        .server("time", Server::ideal().jumping(1800.0, 2.0))
        .path("time", Path::lan())
        .client(Client::asking("server time iburst minpoll 4 maxpoll 6").also("makestep 1 3"));
    scenario.expect(no_steps()).check(100);
}

#[test]
fn a_negative_limit_means_always() {
    let scenario = Scenario::of_hours(1.0)
        .server("time", Server::ideal().jumping(1800.0, 5.0))
        .path("time", Path::lan())
        .client(Client::asking("server time iburst minpoll 4 maxpoll 6").also("makestep 1 -1"));
    scenario
        .expect(steps(1))
        .expect(offset_above(4.9).within(2400.0))
        .expect(offset_below(5.02).within(2400.0))
        .check(100);
}

#[test]
fn an_offset_above_maxchange_ends_the_daemon() {
    let scenario = Scenario::of_hours(1.0)
        .server("time", Server::ideal().jumping(1800.0, 2000.0))
        .path("time", Path::lan())
        .client(Client::asking("server time iburst minpoll 4 maxpoll 6").also("maxchange 1000 1 0"));
    scenario
        .expect(exit_with(1))
        .expect(says("exceeds the allowed maximum"))
        .expect(no_steps())
        .check(100);
}

/// Three servers that are followed together, and all of them are set at the same time.
fn three_servers_jump(at_s: f64, by_s: f64, rule: &str) -> Scenario {
    let mut scenario = Scenario::of_hours(1.0);
    let mut client = Client::asking(rule);
    for name in ["one", "two", "three"] {
        scenario = scenario
            .server(name, Server::ideal().jumping(at_s, by_s))
            .path(name, Path::lan());
        client = client.also(&format!("server {name} iburst minpoll 6 maxpoll 6"));
    }
    scenario.client(client)
}

#[test]
fn only_updates_of_the_selected_source_use_makestep_up() {
    three_servers_jump(30.0, 100.0, "makestep 1 4")
        .expect(steps(1).between(30.0, 150.0))
        .expect(steps(1))
        .check(100);
}

#[test]
fn only_updates_of_the_selected_source_use_maxchange_up() {
    three_servers_jump(1800.0, 1000.0, "maxchange 10 1 2")
        .expect(says_times(2, "(ignored)"))
        .expect(never_says("(exiting)").between(1800.0, 1864.0))
        .expect(exit_with(1))
        .expect(no_steps())
        .check(100);
}

#[test]
fn an_observer_touches_nothing() {
    let client = Client::asking("server time iburst minpoll 4 maxpoll 6")
        .also("makestep 0.1 -1")
        .observing();
    Scenario::of_hours(1.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client.tuned(|_| Oscillator::perfect().gaining(ppm(10.0)).off_by(1.0)))
        .expect(no_steps())
        .expect(offset_below(1.037))
        .expect(offset_above(1.035))
        .expect(says("Selected source"))
        .check(20);
}

#[test]
fn a_kernel_that_refuses_does_not_end_the_daemon() {
    let client = Client::asking("server time iburst minpoll 4 maxpoll 6")
        .also("makestep 1 3")
        .act_at(0.5, Act::Refuse(true))
        .act_at(1800.0, Act::Refuse(false));
    Scenario::of_hours(1.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
        .expect(no_exit())
        .expect(says("Could not adjust the system clock"))
        .expect(offset_below(millis(1.0)).within(minutes(35.0)))
        .check(100);
}
