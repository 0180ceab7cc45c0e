//! Peers: hosts that ask each other.

use sim::*;

/// A host with a server and a peer without one, which polls once in 2^`poll` s.
fn two_peers(poll: i8, path: Path) -> Scenario {
    Scenario::of_hours(1.5)
        .server("time", Server::ideal())
        .client_named(
            "neighbour",
            Client::asking("server time iburst minpoll 4 maxpoll 6")
                .also("peer client xleave minpoll 5 maxpoll 5")
                .also("makestep 1 3"),
        )
        .client(
            Client::asking(&format!("peer neighbour xleave minpoll {poll} maxpoll {poll}"))
                .also("makestep 1 3")
                .starting_at(7.0),
        )
        .path_between("neighbour", "time", Path::lan())
        .path_between(CLIENT, "neighbour", path)
}

#[test]
fn a_peer_is_followed_whoever_asks_more_often() {
    for poll in [4, 5, 6] {
        two_peers(poll, Path::lan())
            .expect(offset_below(millis(1.0)).within(minutes(20.0)))
            .expect(offset_rms_below(micros(100.0)).within(hours(1.0)).on_average())
            .check(100);
    }
}

#[test]
fn peers_that_ask_equally_often_do_not_talk_past_each_other() {
    // Packets on the way for half a second would cross often if both kept to their own intervals.
    two_peers(5, Path::of(millis(500.0)))
        .expect(says("Selected source"))
        .expect(offset_below(millis(10.0)).within(minutes(20.0)))
        .check(100);
}

#[test]
fn a_peer_sets_a_clock_of_unknown_frequency_as_soon_as_a_server_does() {
    // Packets of peers are a minute apart: a wrong frequency shows in the round trip, not in the offset.
    Scenario::of_hours(1.0)
        .server("time", Server::ideal())
        .client_named(
            "neighbour",
            Client::asking("server time iburst minpoll 4 maxpoll 6")
                .also("peer client minpoll 6 maxpoll 6")
                .also("makestep 1 3"),
        )
        .client(
            Client::asking("peer neighbour minpoll 6 maxpoll 6")
                .also("makestep 1 3")
                .clock(Oscillator::quartz().gaining(1e-4).off_by(0.1))
                .starting_at(7.0),
        )
        .path_between("neighbour", "time", Path::lan())
        .path_between(CLIENT, "neighbour", Path::lan())
        .expect(offset_below(millis(1.0)).within(minutes(6.0)))
        .check(100);
}
