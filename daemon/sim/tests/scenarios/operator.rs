//! An operator gives orders with chronyc.

use sim::*;
use wire::candm::{AddressMask, Request};

fn office(client: Client) -> Scenario {
    Scenario::of_hours(2.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client.also("makestep 1 3"))
}

fn asking() -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 6")
}

#[test]
fn offline_nobody_is_asked_and_online_again() {
    office(
        asking()
            .chronyc(hours(0.5), Request::Offline(AddressMask::ALL))
            .chronyc(hours(1.5), Request::Online(AddressMask::ALL)),
    )
    .expect(requests_per_hour_below(0.1).between(hours(0.5), hours(1.5)))
    .expect(requests_per_hour_above(40.0).within(hours(1.5)))
    .expect(offset_below(millis(1.0)).within(minutes(5.0)))
    .check(100);
}

#[test]
fn makestep_steps_whatever_is_left() {
    let slow = asking()
        .also("maxslewrate 100")
        .tuned(|clock| clock.off_by(0.5))
        .chronyc(300.0, Request::MakeStep);
    office(slow)
        .expect(offset_above(0.4).between(200.0, 299.0))
        .expect(steps(1))
        .expect(offset_below(millis(1.0)).within(310.0))
        .check(100);
}

#[test]
fn a_burst_is_made_when_asked_for() {
    let burst = Request::Burst {
        sources: AddressMask::ALL,
        good_samples: 4,
        total_samples: 4,
    };
    office(Client::asking("server time minpoll 8 maxpoll 8").chronyc(3600.5, burst))
        .expect(requests_per_hour_above(4.0 * 180.0 - 1.0).between(3600.0, 3620.0))
        .check(50);
}
