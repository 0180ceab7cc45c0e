//! A laptop sleeps. Its battery clock knows for how long, to a second or so.

use sim::*;

fn laptop(client: Client) -> Scenario {
    Scenario::of_hours(3.2)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
}

fn asking(rule: &str) -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 6").also(rule)
}

#[test]
fn an_hour_of_sleep_is_over_in_a_few_minutes() {
    laptop(asking("makestep 1 3").asleep(3600.3, 7200.7, 0.4))
        .expect(offset_below(millis(1.0)).within(7200.0 + minutes(5.0)))
        .expect(offset_rms_below(micros(50.0)).within(hours(3.0)).on_average())
        .check(100);
}

#[test]
fn a_clock_that_wakes_up_a_minute_wrong_is_stepped_where_that_is_allowed() {
    laptop(asking("makestep 1 -1").asleep(3600.3, 7200.7, -60.0))
        .expect(steps(1))
        .expect(offset_below(millis(1.0)).within(7200.0 + minutes(5.0)))
        .check(100);
}

#[test]
fn short_naps_do_no_lasting_harm() {
    let mut client = asking("makestep 1 3");
    for nap in 1..10 {
        let from_s = 1000.0 * f64::from(nap);
        client = client.asleep(from_s, from_s + 20.0, 0.01);
    }
    laptop(client)
        .expect(offset_below(millis(1.0)).within(9020.0 + minutes(3.0)))
        .expect(no_steps())
        .check(100);
}

#[test]
fn a_virtual_machine_that_wakes_up_on_another_host_has_another_frequency() {
    let names = ["one", "two", "three", "four"];
    let mut client = Client::asking("makestep 1 3").also("log tracking");
    let mut scenario = Scenario::of_hours(2.2);
    for name in names {
        client = client.also(&format!("server {name} iburst minpoll 4 maxpoll 6"));
        scenario = scenario.server(name, Server::ideal()).path(name, Path::lan());
    }
    scenario
        .client(
            client
                .tuned(|clock| clock.frequency_jump(5000.0, ppm(70.0), 1.0))
                .asleep(3600.3, 7200.7, 0.4),
        )
        .expect(never_says("falseticker").within(7200.0))
        .expect(never_says("no majority"))
        .expect(offset_below(millis(1.0)).within(7200.0 + minutes(5.0)))
        .check(50);
}

#[test]
fn a_laptop_that_asked_seldom_is_right_soon_after_its_sleep() {
    let client = Client::asking("server time iburst")
        .also("makestep 0.1 -1")
        .asleep(20_000.3, 23_600.7, 0.4)
        .act_at(23_600.701, Act::Notice);
    Scenario::of_hours(7.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
        .expect(steps(1))
        .expect(says_times(1, "no selectable sources").between(23_600.0, 23_602.0))
        .expect(offset_below(millis(5.0)).within(23_600.0 + 10.0))
        .expect(offset_below(millis(1.0)).within(23_600.0 + minutes(2.0)))
        .check(100);
}
