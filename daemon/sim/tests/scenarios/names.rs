//! Servers are known by name, and names are not always found.

use sim::*;

fn pool(client: Client) -> Scenario {
    let mut scenario = Scenario::of_hours(1.0)
        .pool("pool.example", &["a", "b", "c", "d", "e", "f"])
        .client(client.by_name().also("makestep 1 3"));
    for name in ["a", "b", "c", "d", "e", "f"] {
        scenario = scenario.server(name, Server::ideal()).path(name, Path::lan());
    }
    scenario
}

fn asked(record: &Record) -> f64 {
    let mut hosts: Vec<usize> = record.requests.iter().map(|request| request.1).collect();
    hosts.sort_unstable();
    hosts.dedup();
    f64::from(u32::try_from(hosts.len()).unwrap_or(u32::MAX))
}

#[test]
fn of_a_pool_four_servers_are_asked() {
    pool(Client::asking("pool pool.example iburst minpoll 4 maxpoll 6"))
        .expect(measured_exactly("servers asked", 4.0, asked))
        .expect(offset_below(micros(300.0)).within(minutes(5.0)))
        .check(100);
}

#[test]
fn of_a_pool_as_many_servers_are_asked_as_is_said() {
    pool(Client::asking(
        "pool pool.example iburst minpoll 4 maxpoll 6 maxsources 2",
    ))
    .expect(measured_exactly("servers asked", 2.0, asked))
    .check(50);
}

#[test]
fn a_name_that_is_found_only_later_is_looked_up_again() {
    pool(Client::asking("pool pool.example iburst minpoll 4 maxpoll 6"))
        .lookups_fail(0.0, 300.0)
        .expect(offset_below(millis(1.0)).within(minutes(20.0)))
        .check(100);
}

#[test]
fn one_name_is_one_server() {
    Scenario::of_hours(1.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(
            Client::asking("server time iburst minpoll 4 maxpoll 6")
                .also("makestep 1 3")
                .by_name(),
        )
        .expect(offset_below(millis(1.0)).within(15.0).for_most(0.97))
        .expect(offset_below(micros(300.0)).within(minutes(5.0)))
        .check(100);
}
