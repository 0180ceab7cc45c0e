//! The frequency of the oscillator, across restarts.

use sim::*;

fn client() -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 6")
        .also("makestep 1 3")
        .also("driftfile /var/lib/chrony/drift")
        .clock(
            Oscillator::perfect()
                .gaining(ppm(25.0))
                .wander(1e-10)
                .off_by(0.01),
        )
}

fn world(client: Client) -> Scenario {
    Scenario::of_hours(4.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
}

#[test]
fn the_drift_file_has_the_oscillators_error_and_comes_every_hour() {
    world(client())
        .expect(measured_above("drift files", 2.5, |record| {
            f64::from(u32::try_from(record.drifts.len()).unwrap_or(0))
        }))
        .expect(measured_below("drift files", 4.5, |record| {
            f64::from(u32::try_from(record.drifts.len()).unwrap_or(0))
        }))
        .expect(measured_below("error of the drift, ppm", 0.1, |record| {
            record
                .drifts
                .last()
                .map_or(f64::INFINITY, |drift| (drift.1 - 25.0).abs())
        }))
        .check(100);
}

#[test]
fn a_restarted_daemon_begins_where_the_last_one_ended() {
    world(
        client()
            .act_at(hours(2.5), Act::Terminate)
            .act_at(hours(2.5) + 10.0, Act::Restart),
    )
    .expect(offset_below(micros(400.0)).within(minutes(5.0)))
    .expect(frequency_rms_below(ppm(2.0)).within(hours(2.5)).on_average())
    .check(100);
}
