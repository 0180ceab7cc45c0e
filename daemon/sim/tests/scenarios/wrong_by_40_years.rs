//! Clocks that lost their battery, and the end of the first NTP era.

use sim::*;
use units::UnixTime;

const YEAR_S: f64 = 31_557_600.0;
/// 2036-02-07 06:28:16 UTC: NTP timestamps begin again at 0.
const ERA_END: i64 = 2_085_978_496;

fn world(client: Client) -> Scenario {
    Scenario::of_hours(1.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(client)
}

fn asking(offset_s: f64) -> Client {
    Client::asking("server time iburst minpoll 4 maxpoll 6")
        .also("makestep 1 3")
        .clock(Oscillator::quartz().off_by(offset_s).either_sign())
}

#[test]
fn a_clock_40_years_off_is_set_by_one_step() {
    world(asking(40.0 * YEAR_S))
        .expect(steps(1))
        .expect(offset_below(millis(1.0)).within(15.0).for_most(0.97))
        .expect(offset_rms_below(micros(40.0)).within(minutes(20.0)).on_average())
        .expect(says("System clock was stepped"))
        .check(100);
}

#[test]
fn a_clock_at_1970_is_set_by_one_step_in_2040() {
    let now = UnixTime::from_seconds(2_208_988_800);
    let client = asking(0.0).clock(Oscillator::quartz().off_by(-2_208_988_000.0));
    world(client)
        .beginning(now)
        .expect(steps(1))
        .expect(offset_below(millis(1.0)).within(15.0).for_most(0.97))
        .expect(offset_rms_below(micros(40.0)).within(minutes(20.0)).on_average())
        .check(100);
}

#[test]
fn nobody_notices_when_the_era_ends() {
    world(asking(0.01))
        .beginning(UnixTime::from_seconds(ERA_END - 1800))
        .expect(no_steps())
        .expect(offset_below(micros(300.0)).within(minutes(5.0)))
        .check(100);
}

#[test]
fn a_clock_still_in_the_first_era_is_set_in_the_second() {
    world(asking(0.0).clock(Oscillator::quartz().off_by(-86_400.0)))
        .beginning(UnixTime::from_seconds(ERA_END + 3600))
        .expect(steps(1))
        .expect(offset_below(millis(1.0)).within(15.0).for_most(0.97))
        .check(100);
}
