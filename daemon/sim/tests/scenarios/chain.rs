//! Engines that serve engines: what a server says of its own errors reaches those who ask it.

use sim::*;

/// The client asks an engine, which asks a perfect server.
fn chain(middle: Client, path_to_middle: Path) -> Scenario {
    Scenario::of_hours(2.0)
        .server("time", Server::ideal())
        .client_named("middle", middle)
        .client(
            Client::asking("server middle iburst minpoll 4 maxpoll 6")
                .also("makestep 1 3")
                .starting_at(60.0),
        )
        .path_between("middle", "time", Path::lan())
        .path_between(CLIENT, "middle", path_to_middle)
}

fn middle() -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 6")
        .also("makestep 1 3")
        .also("allow")
}

#[test]
fn time_comes_through_a_second_stratum() {
    chain(middle(), Path::lan())
        .expect(offset_below(micros(500.0)).within(minutes(10.0)))
        .expect(offset_rms_below(micros(50.0)).within(hours(1.0)).on_average())
        .expect(no_steps())
        .check(100);
}

#[test]
fn one_that_is_not_asked_to_serve_does_not() {
    let deaf = Client::asking("server time iburst minpoll 4 maxpoll 6");
    chain(deaf, Path::lan())
        .expect(never_says("Selected source"))
        .expect(offset_above(millis(40.0)))
        .check(50);
}

#[test]
fn a_server_that_is_not_synchronised_itself_is_not_believed() {
    let lost = Client::asking("server nowhere iburst")
        .also("allow")
        .tuned(|clock| clock.off_by(7.0));
    Scenario::of_hours(1.0)
        .server("nowhere", Server::ideal())
        .client_named("middle", lost)
        .client(Client::asking("server middle iburst minpoll 4 maxpoll 6").also("makestep 1 3"))
        .path_between(CLIENT, "middle", Path::lan())
        .expect(never_says("Selected source"))
        .expect(no_steps())
        .check(50);
}

#[test]
fn a_local_reference_is_followed_where_there_is_nothing_better() {
    let alone = Client::asking("local stratum 8")
        .also("allow")
        .clock(Oscillator::perfect().off_by(3.0));
    Scenario::of_hours(1.0)
        .client_named("middle", alone)
        .client(
            Client::asking("server middle iburst minpoll 4 maxpoll 6")
                .also("makestep 1 3")
                .starting_at(30.0),
        )
        .path_between(CLIENT, "middle", Path::lan())
        .expect(steps(1))
        .expect(offset_below(3.001).within(minutes(5.0)))
        .expect(measured_above("offset at the end", 2.999, |record| {
            record.offsets_s.last().copied().unwrap_or(0.0)
        }))
        .check(50);
}

#[test]
fn three_hosts_in_a_ring_follow_the_one_that_has_the_time() {
    let line =
        |other: &str| Client::asking(&format!("server {other} iburst minpoll 4 maxpoll 6")).also("allow");
    Scenario::of_hours(2.0)
        .server("time", Server::ideal())
        .client_named(
            "a",
            line("b")
                .also("server time iburst minpoll 4 maxpoll 6")
                .also("makestep 1 3"),
        )
        .client_named("b", line("a").also("makestep 1 3").starting_at(20.0))
        .client(line("b").also("makestep 1 3").starting_at(40.0))
        .path_between("a", "time", Path::lan())
        .path_between("a", "b", Path::lan())
        .path_between(CLIENT, "b", Path::lan())
        .expect(offset_below(millis(1.0)).within(minutes(30.0)))
        .check(50);
}
