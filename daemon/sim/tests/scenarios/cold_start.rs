//! A daemon starts on a machine whose clock is wrong, and knows nothing.

use sim::*;

fn office(client: Client) -> Scenario {
    Scenario::of_hours(1.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
}

fn asking() -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 6").also("makestep 1 3")
}

#[test]
fn a_clock_20_ms_off_is_right_after_ten_seconds() {
    office(asking())
        .expect(offset_below(millis(1.0)).within(10.0).for_most(0.97))
        .expect(offset_below(millis(5.0)).within(10.0))
        .expect(offset_below(micros(300.0)).within(minutes(2.0)))
        .expect(offset_rms_below(micros(40.0)).within(minutes(20.0)).on_average())
        .expect(no_steps())
        .expect(says_times(1, "Selected source"))
        .check(100);
}

#[test]
fn a_clock_half_a_second_off_is_stepped_once_where_that_is_allowed() {
    let client = Client::asking("server time iburst minpoll 4 maxpoll 6")
        .also("makestep 0.1 3")
        .tuned(|clock| clock.off_by(0.5).gaining(ppm(50.0)));
    office(client)
        .expect(steps(1))
        .expect(offset_below(millis(1.0)).within(10.0).for_most(0.97))
        .expect(offset_below(micros(300.0)).within(minutes(3.0)))
        .check(100);
}

#[test]
fn a_clock_half_a_second_off_is_slewed_where_steps_are_not_allowed() {
    office(asking().tuned(|clock| clock.off_by(0.5).gaining(ppm(50.0))))
        .expect(no_steps())
        .expect(offset_below(millis(1.0)).within(minutes(3.0)))
        .expect(frequency_below(ppm(84_000.0)))
        .check(100);
}

#[test]
fn a_few_samples_that_agree_by_chance_do_not_make_the_bound_wrong() {
    let ways = [
        Path::of(100e-6).jitter(Jitter::Exponential(10e-6)),
        Path::lan(),
        Path::of(10e-3).jitter(Jitter::Exponential(1e-3)),
        Path::of(30e-3).jitter(Jitter::Exponential(5e-3)),
    ];
    for way in ways {
        for servers in [1, 3] {
            let mut client =
                Client::asking("log tracking").tuned(|clock| clock.off_by(1e-3).gaining(ppm(20.0)));
            let mut scenario = Scenario::of_hours(0.5);
            for name in ["one", "two", "three"].into_iter().take(servers) {
                client = client.also(&format!("server {name} iburst"));
                scenario = scenario.server(name, Server::ideal()).path(name, way.clone());
            }
            scenario
                .client(client)
                .expect(error_within_its_bound())
                .check(200);
        }
    }
}

#[test]
fn a_crystal_that_is_300_ppm_off_is_steered_all_the_same() {
    office(asking().tuned(|clock| clock.gaining(ppm(300.0))))
        .expect(offset_below(millis(1.0)).within(minutes(5.0)))
        .expect(offset_rms_below(micros(40.0)).within(minutes(30.0)).on_average())
        .check(100);
}

#[test]
fn a_clock_that_is_five_percent_off_is_right_after_a_few_minutes() {
    for gain in [-0.05, -0.005, 0.005, 0.05] {
        // Right when the clock is set for the first time, which is when its frequency becomes known.
        let client = Client::asking("server time")
            .tuned(|clock| clock.wander(1e-9).gaining(gain).off_by(-130.0 * gain));
        office(client)
            .expect(no_steps())
            .expect(offset_below(millis(1.0)).within(minutes(3.0)))
            .expect(frequency_below(ppm(500.0)).within(minutes(3.0)))
            .check(20);
    }
}

#[test]
fn over_the_internet_a_few_samples_are_enough_for_ten_milliseconds() {
    office(asking())
        .path("time", Path::wan())
        .expect(offset_below(millis(15.0)).within(15.0).for_most(0.95))
        .expect(offset_below(millis(10.0)).within(minutes(10.0)).for_most(0.95))
        .expect(no_steps())
        .check(100);
}

#[test]
fn a_drift_file_makes_the_first_minutes_better() {
    let known =
        |client: Client| client.tuned(|_| Oscillator::perfect().wander(1e-9).gaining(ppm(30.0)).off_by(0.01));
    office(known(asking()).drift_file(30.0, 0.1))
        .expect(offset_below(micros(300.0)).within(15.0).for_most(0.95))
        .expect(frequency_rms_below(ppm(5.0)).between(30.0, 300.0).on_average())
        .check(100);
}

#[test]
fn a_drift_file_that_is_wrong_by_100_ppm_is_forgotten_soon() {
    let client = asking()
        .tuned(|_| {
            Oscillator::perfect()
                .wander(1e-9)
                .gaining(ppm(-50.0))
                .off_by(0.01)
        })
        .drift_file(50.0, 0.01);
    office(client)
        .expect(offset_below(millis(1.0)).within(minutes(10.0)))
        .expect(offset_rms_below(micros(50.0)).within(minutes(30.0)).on_average())
        .check(100);
}

#[test]
fn a_server_that_answers_only_later_is_found() {
    Scenario::of_hours(1.5)
        .server("time", Server::ideal().between(0.0, 600.0, Misbehaviour::Silent))
        .path("time", Path::lan())
        .client(asking())
        .expect(says_times(0, "Selected source").between(0.0, 600.0))
        .expect(offset_below(millis(1.0)).within(minutes(20.0)))
        .expect(no_steps())
        .check(100);
}

#[test]
fn without_iburst_it_only_takes_longer() {
    let client = Client::asking("server time minpoll 4 maxpoll 6").also("makestep 1 3");
    office(client)
        .expect(offset_below(millis(1.0)).within(minutes(2.0)))
        .expect(offset_rms_below(micros(40.0)).within(minutes(20.0)).on_average())
        .check(100);
}

#[test]
fn a_server_that_is_itself_set_in_the_first_minutes_does_no_harm_for_long() {
    // Beside it all other samples are good ones, and the clock is right soon after them.
    for (set_at_s, by_s) in [
        (30.0, -millis(14.0)),
        (30.0, 0.5),
        (100.0, millis(14.0)),
        (160.0, -0.1),
    ] {
        Scenario::of_hours(1.0)
            .server(
                "time",
                Server::ideal().jumping(set_at_s, by_s).jumping(0.0, -by_s),
            )
            .path("time", Path::lan())
            .client(Client::asking("server time minpoll 6 maxpoll 6"))
            .expect(offset_below(millis(1.0)).within(minutes(9.0)))
            .check(25);
    }
}
