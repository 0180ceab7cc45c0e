//! Worlds put together by chance: whatever happens, the daemon goes on, and when it is over the time is right.

use sim::*;

/// Everything bad is over by then.
const CALM_S: f64 = 5400.0;
const LENGTH_S: f64 = 9000.0;

/// A world of this number: servers, each on its own path, and some mishaps.
fn world(servers: u64, number: u64) -> Scenario {
    let mut random = Random::stream(100 * servers + number, "any world");
    let mut scenario = Scenario::of_hours(LENGTH_S / 3600.0);
    let mut client = Client::asking("makestep 1 -1").tuned(|_| {
        let mut oscillator = Oscillator::perfect()
            .wander(10_f64.powf(random.between(-11.0, -8.0)))
            .gaining(ppm(100.0 * random.normal()))
            .off_by(10_f64.powf(random.between(-4.0, 9.0)) * random.sign());
        if random.chance(0.3) {
            let at_s = random.between(0.0, CALM_S);
            oscillator =
                oscillator.frequency_jump(at_s, ppm(5.0 * random.normal()), random.between(1.0, 100.0));
        }
        oscillator
    });
    for server in 0..servers {
        let name = format!("s{server}");
        client = client.also(&format!("server {name} iburst minpoll 4 maxpoll 6"));
        let mut path = Path::of(10_f64.powf(random.between(-5.0, -2.0)));
        let size_s = 10_f64.powf(random.between(-5.5, -2.5));
        path = match random.bits() % 4 {
            0 => path.jitter(Jitter::Exponential(size_s)),
            1 => path.jitter(Jitter::Gamma {
                shape: random.between(1.0, 6.0),
                mean_s: size_s,
            }),
            2 => path.jitter(Jitter::Normal(size_s / 3.0)),
            _ => path.jitter(Jitter::Rare {
                probability: 0.2,
                mean_s: 5.0 * size_s,
            }),
        };
        if random.chance(0.3) {
            path = path.drop(random.between(0.0, 0.3));
        }
        if random.chance(0.2) {
            path = path.duplicate(0.5).replay(0.5, random.between(0.1, 100.0));
        }
        if random.chance(0.3) {
            let from_s = random.between(0.0, CALM_S);
            path = path.outage(from_s, random.between(from_s, CALM_S));
        }
        scenario = scenario.server(&name, Server::ideal()).path(&name, path);
    }
    if random.chance(0.3) {
        client = client.step_at(
            random.between(10.0, CALM_S),
            10_f64.powf(random.between(-3.0, 8.0)) * random.sign(),
        );
    }
    if random.chance(0.2) {
        let from_s = random.between(10.0, CALM_S - 1000.0);
        client = client.asleep(from_s, from_s + random.between(1.0, 900.0), random.normal());
    }
    if random.chance(0.2) {
        client = client.busy(Jitter::Exponential(0.01));
    }
    scenario.client(client)
}

/// Runs sixty worlds with so many servers.
#[track_caller]
fn the_time_is_right_in_the_end(servers: u64) {
    for number in 1..=60 {
        world(servers, number)
            .expect(no_exit())
            .expect(offset_below(millis(3.0)).within(LENGTH_S - 1200.0))
            .expect(measured_below("requests", 4000.0, |record| {
                f64::from(u32::try_from(record.requests.len()).unwrap_or(u32::MAX))
            }))
            .check_one(100 * servers + number);
    }
}

#[test]
fn with_one_server_the_time_is_right_in_the_end() {
    the_time_is_right_in_the_end(1);
}

#[test]
fn with_two_servers_the_time_is_right_in_the_end() {
    the_time_is_right_in_the_end(2);
}

#[test]
fn with_three_servers_the_time_is_right_in_the_end() {
    the_time_is_right_in_the_end(3);
}

#[test]
fn with_four_servers_the_time_is_right_in_the_end() {
    the_time_is_right_in_the_end(4);
}
