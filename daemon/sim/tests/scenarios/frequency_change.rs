//! The oscillator begins to run at another rate: a heater, an air conditioner, a moved virtual machine.

use engine::io::ClockCommand;
use sim::*;

fn asking(oscillator: Oscillator) -> Scenario {
    Scenario::of_hours(2.5)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(
            Client::asking("server time iburst minpoll 4 maxpoll 6")
                .also("makestep 1 3")
                .clock(oscillator),
        )
}

#[test]
fn two_ppm_more_are_noticed_before_they_cost_half_a_millisecond() {
    asking(Oscillator::quartz().frequency_jump(3600.0, ppm(2.0), 60.0))
        .expect(offset_below(micros(600.0)).within(3600.0))
        .expect(
            offset_below(micros(150.0))
                .within(3600.0 + minutes(15.0))
                .for_most(0.95),
        )
        .expect(offset_rms_below(micros(30.0)).within(hours(2.0)).on_average())
        .check(100);
}

#[test]
fn fifty_ppm_at_once_are_noticed_within_three_polls() {
    asking(Oscillator::quartz().frequency_jump(3600.0, -ppm(50.0), 1.0))
        .expect(offset_below(millis(13.0)).within(3600.0))
        .expect(offset_below(micros(300.0)).within(3600.0 + minutes(15.0)))
        .expect(no_steps())
        .check(100);
}

#[test]
fn a_room_that_warms_and_cools_is_followed() {
    asking(Oscillator::quartz().swinging(ppm(1.0), hours(2.0)))
        .expect(offset_rms_below(micros(60.0)).within(hours(1.0)).on_average())
        .check(100);
}

#[test]
fn with_long_polling_it_takes_longer_and_still_ends() {
    Scenario::of_hours(8.0)
        .server("time", Server::ideal())
        .path("time", Path::lan())
        .client(
            Client::asking("server time iburst")
                .also("makestep 1 3")
                .tuned(|clock| clock.frequency_jump(hours(4.0), ppm(2.0), 60.0)),
        )
        .expect(offset_below(millis(4.0)).within(hours(4.0)))
        .expect(offset_below(millis(0.6)).within(hours(6.0)))
        .check(100);
}

#[test]
fn a_jumpy_oscillator_is_held_within_a_millisecond() {
    let mut oscillator = Oscillator::quartz();
    for time in 1..=4 {
        let by = if time % 2 == 0 { -ppm(3.0) } else { ppm(3.0) };
        oscillator = oscillator.frequency_jump(f64::from(time) * 2000.0, by, 10.0);
    }
    asking(oscillator)
        .expect(offset_below(millis(1.0)).within(minutes(5.0)))
        .check(100);
}

#[test]
fn the_bound_of_the_error_is_one_again_with_the_first_sample_after_it() {
    asking(Oscillator::quartz().frequency_jump(3600.0, ppm(20.0), 1.0))
        .expect(measured_below(
            "error as a part of its bound",
            1.0,
            error_of_bound,
        ))
        .check(100);
}

/// The true error as a part of the bound that the kernel was told, at its worst.
fn error_of_bound(record: &Record) -> f64 {
    let told = record
        .commands
        .iter()
        .filter_map(|(at_s, command)| match command {
            ClockCommand::SetStatus {
                synchronised: true,
                max_error_s,
                ..
            } => Some((*at_s, *max_error_s)),
            _ => None,
        });
    told.filter_map(|(at_s, bound_s)| {
        let second = record
            .offsets_s
            .iter()
            .zip(0..)
            .find(|(_, second)| f64::from(*second) >= at_s);
        second.map(|(offset_s, _)| offset_s.abs() / bound_s)
    })
    .fold(0.0, f64::max)
}
