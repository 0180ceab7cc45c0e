//! The daemon does not get the processor when it wants it, or the kernel takes no timestamps.

use sim::*;

fn world(client: Client) -> Scenario {
    Scenario::of_hours(2.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
}

fn asking() -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 6").also("makestep 1 3")
}

#[test]
fn waits_for_the_processor_cost_nothing_with_kernel_timestamps() {
    world(asking().busy(Jitter::Exponential(millis(5.0))))
        .expect(offset_rms_below(micros(60.0)).within(hours(1.0)).on_average())
        .check(100);
}

#[test]
fn without_kernel_timestamps_they_are_jitter_of_answers() {
    world(asking().daemon_stamps(Jitter::Exponential(millis(1.0))))
        .expect(offset_rms_below(micros(300.0)).within(hours(1.0)).on_average())
        .check(100);
}
