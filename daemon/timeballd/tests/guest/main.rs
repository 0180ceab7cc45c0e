//! What only a machine of its own can show: the daemon sets and steers the clock, and a real chronyd beside it does the same.
//!
//! Everything here moves the clock of the machine it runs on. `machine` builds it as one static program, starts an
//! emulated machine, and runs it there; on any other machine each test fails before it touches anything. What time it
//! is in that machine is said by [`truth`], which no daemon can steer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

mod clock;
mod container;
mod daemon;
mod truth;

use std::cell::Cell;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clock::{Kernel, Watch};
use container::{Container, Rights};
use daemon::{Daemon, Program};
use os::Clock;

/// How far off the clock is that a machine starts with, seconds: nearly forty years.
const YEARS_OFF_S: f64 = 39.0 * 365.25 * 86_400.0;

/// How well a clock is set that has just been stepped, seconds. An emulated machine stops now and then for milliseconds.
const SET_WITHIN_S: f64 = 0.05;

/// How well a clock is steered after a while, seconds.
const STEERED_WITHIN_S: f64 = 0.01;

/// How well the frequency is known after a while, ppm.
const FREQUENCY_WITHIN_PPM: f64 = 40.0;

/// Servers, in the language of chronyd.
const SERVERS: &str = "server 127.0.0.1 iburst minpoll 0 maxpoll 0\n\
                       server 127.0.0.2 iburst minpoll 0 maxpoll 0\n\
                       server 127.0.0.3 iburst minpoll 0 maxpoll 0\n\
                       port 0\ncmdport 0\nbindcmdaddress @DIR@/socket\npidfile @DIR@/pid\ndriftfile @DIR@/drift\n";

/// Servers that are asked every 17 minutes.
const SELDOM: &str = "server 127.0.0.1 iburst minpoll 10 maxpoll 10\n\
                      port 0\ncmdport 0\nbindcmdaddress /\npidfile /\nmakestep 0.1 -1\n";

/// A file as the seed has it, with servers of this machine.
const SEEDS_FILE: &str = "server 127.0.0.1\nserver 127.0.0.2\nserver 127.0.0.3";

/// The same for a container, which has a network of its own.
const SEEDS_CONFIG_MAP: &str = "server 10.99.0.1\nserver 10.99.0.2\nserver 10.99.0.3";

/// Capabilities as the kernel prints them: only that to set the clock.
const ONLY_SYS_TIME: &str = "0000000002000000";

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn a_machine_that_starts_decades_off_is_right_at_once() {
    truth::begin();
    assert!(
        clock::offset_s().abs() > YEARS_OFF_S,
        "the clock is off by {} s only",
        clock::offset_s()
    );
    let watch = Watch::begin();
    let mut daemon = Daemon::start(&Program::OPENNTPD, &["-d", "-v", "-s"], SEEDS_FILE);
    daemon.until("the clock is right", |_| clock::offset_s().abs() < SET_WITHIN_S);
    let seen = watch.end();
    assert_eq!(seen.steps_s.len(), 1, "{seen:?}");
    assert!(seen.steps_s[0].abs() > YEARS_OFF_S, "{seen:?}");
    daemon.until("it says so", |daemon| {
        daemon.log().contains("set local clock to ")
    });
    daemon.end();
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn chronyd_steps_steers_and_leaves_the_clock() {
    steps_steers_and_leaves(&Program::CHRONYD);
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn timeballd_steps_steers_and_leaves_the_clock() {
    steps_steers_and_leaves(&Program::TIMEBALLD);
}

/// The life of a daemon on a clock that is decades off and too slow, and what it leaves in the kernel.
fn steps_steers_and_leaves(program: &Program) {
    truth::begin();
    clock::put_off(-YEARS_OFF_S);
    assert!(!Kernel::read().is_synchronised());
    let watch = Watch::begin();
    let mut daemon = Daemon::start(
        program,
        &["-d", "-F", "1", "-u", "nobody"],
        &format!("{SERVERS}makestep 1 3\nrtcsync\n"),
    );
    daemon.until("the clock is set", |_| clock::offset_s().abs() < SET_WITHIN_S);

    // It is nobody by now, and may do nothing but that.
    assert_eq!(daemon.status("Uid:"), "65534");
    assert_eq!(daemon.status("CapEff:"), ONLY_SYS_TIME);
    assert_eq!(daemon.status("Seccomp:"), "2");
    if program.is_ours() {
        assert_eq!(daemon.status("NoNewPrivs:"), "1");
        let log = daemon.log();
        assert!(!log.contains("Files are not restricted"), "{log}");
        assert!(!log.contains("cannot be restricted"), "{log}");
    }

    daemon.until("the kernel is told that its clock is right", |_| {
        Kernel::read().is_synchronised()
    });
    // It grows by 500 ppm until it is told again, and counts as lost at 16 s.
    let max_error_s = Kernel::read().max_error_s;
    assert!(max_error_s > 0.0 && max_error_s < 16.0, "{max_error_s}");
    daemon.until("the kernel sets the real-time clock", |_| {
        clock::rtc_offset_s().abs() < 2.0
    });
    // A slew may look like it for a moment.
    let steady = Cell::new(0);
    daemon.until("the frequency is found", |_| {
        let is_right = (Kernel::read().rate_ppm - truth::FASTER_PPM).abs() < FREQUENCY_WITHIN_PPM
            && clock::offset_s().abs() < STEERED_WITHIN_S;
        steady.set(if is_right { steady.get() + 1 } else { 0 });
        steady.get() > 50
    });
    let seen = watch.end();
    assert_eq!(seen.steps_s.len(), 1, "{seen:?}");
    assert!((seen.steps_s[0] - YEARS_OFF_S).abs() < 60.0, "{seen:?}");

    daemon.end();
    // The frequency stays, and nothing that would drive the clock away.
    let drift = daemon.written("drift");
    let drift: Vec<f64> = drift
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let left = Kernel::read();
    println!("{}: left {left:?}, drift {drift:?}", program.name);
    // The file says by how much the clock gains by itself, the kernel what is done about it.
    assert!((left.rate_ppm + drift[0]).abs() < 0.01, "{left:?} {drift:?}");
    assert!(
        (left.rate_ppm - truth::FASTER_PPM).abs() < FREQUENCY_WITHIN_PPM,
        "{left:?}"
    );
    assert!(left.is_synchronised(), "{left:?}");
    sleep(Duration::from_secs(2));
    let later = Kernel::read();
    assert!(
        (left.rate_ppm - later.rate_ppm).abs() < 1e-9,
        "{left:?} {later:?}"
    );
    assert_eq!(left.status, later.status);
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn chronyd_never_turns_back_a_clock_that_is_a_little_off() {
    never_turns_back(&Program::CHRONYD);
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn timeballd_never_turns_back_a_clock_that_is_a_little_off() {
    never_turns_back(&Program::TIMEBALLD);
}

/// A clock that is ahead by less than what is stepped for.
fn never_turns_back(program: &Program) {
    truth::begin();
    clock::put_off(0.2);
    let watch = Watch::begin();
    // Without `rtcsync` the kernel is not told.
    let mut daemon = Daemon::start(
        program,
        &["-d", "-u", "root"],
        &format!("{SERVERS}makestep 1 3\n"),
    );
    daemon.until("the clock is right", |_| {
        clock::offset_s().abs() < STEERED_WITHIN_S
    });
    let seen = watch.end();
    assert!(seen.steps_s.is_empty(), "{seen:?}");
    assert_eq!(seen.backwards, 0, "{seen:?}");
    assert!(seen.readings > 100, "{seen:?}");
    assert!(!Kernel::read().is_synchronised());
    daemon.end();
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn a_clock_that_somebody_sets_is_right_again_before_anybody_is_asked() {
    truth::begin();
    clock::put_off(100.0);
    let mut daemon = Daemon::start(&Program::TIMEBALLD, &["-d", "-u", "nobody"], SELDOM);
    let is_right = |_: &Daemon| clock::offset_s().abs() < SET_WITHIN_S;
    daemon.until("the clock is set", is_right);
    for ahead_s in [100.0, -50.0, 3600.0] {
        Clock::new().step(ahead_s).unwrap();
        assert!(clock::offset_s().abs() > 1.0);
        let begun = Instant::now();
        daemon.until("the clock is set back", is_right);
        println!("{ahead_s} s: taken back after {:?}", begun.elapsed());
    }
    daemon.end();
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn chronyd_ends_a_slew_when_it_ends() {
    ends_a_slew(&Program::CHRONYD);
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn timeballd_ends_a_slew_when_it_ends() {
    ends_a_slew(&Program::TIMEBALLD);
}

/// A daemon that has to end while it takes much away: a slew that nobody ends would drive the clock away.
fn ends_a_slew(program: &Program) {
    truth::begin();
    clock::put_off(5.0);
    let mut daemon = Daemon::start(program, &["-d", "-u", "root"], SERVERS);
    daemon.until("the clock is slowed down", |_| Kernel::read().rate_ppm < -5_000.0);
    daemon.end();
    let left = Kernel::read();
    assert!(left.rate_ppm.abs() < 1_000.0, "{left:?}: {}", daemon.log());
    assert!(clock::offset_s().abs() > 1.0, "{}", clock::offset_s());
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn chronyd_without_the_capability_ends_and_leaves_the_clock_alone() {
    ends_without_the_capability(&Program::CHRONYD);
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn timeballd_without_the_capability_ends_and_says_the_remedy() {
    let log = ends_without_the_capability(&Program::TIMEBALLD);
    assert!(
        log.contains("CAP_SYS_TIME is missing (be root; in a container `--cap-add SYS_TIME`"),
        "{log}"
    );
}

/// A daemon that may not set the clock; returns its log.
fn ends_without_the_capability(program: &Program) -> String {
    truth::begin();
    clock::put_off(-YEARS_OFF_S);
    let before = Kernel::read();
    let powerless = [
        "setpriv",
        "--bounding-set",
        "-sys_time",
        "--inh-caps",
        "-sys_time",
    ];
    let mut daemon = Daemon::start_through(
        &powerless,
        program,
        &["-d", "-u", "root"],
        &format!("{SERVERS}makestep 1 3\n"),
    );
    let (status, log) = daemon.wait();
    assert_eq!(status, Some(1), "{log}");
    assert!(clock::offset_s().abs() > YEARS_OFF_S / 2.0);
    assert_eq!(before.status, Kernel::read().status);
    log
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn without_the_capability_the_clock_is_observed_when_that_is_asked_for() {
    truth::begin();
    clock::put_off(-YEARS_OFF_S);
    let powerless = [
        "setpriv",
        "--bounding-set",
        "-sys_time",
        "--inh-caps",
        "-sys_time",
    ];
    let mut daemon = Daemon::start_through(&powerless, &Program::TIMEBALLD, &["-d", "-x"], SERVERS);
    daemon.until("it has a source", |daemon| {
        daemon.log().contains("Selected source 127.0.0.")
    });
    assert!(clock::offset_s().abs() > YEARS_OFF_S / 2.0);
    daemon.end();
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn a_container_with_one_capability_sets_the_clock() {
    let mut container = sets_the_clock("one", Rights::OnlySysTime);
    assert_eq!(container.status("CapEff:"), ONLY_SYS_TIME);
    assert_eq!(container.status("CapBnd:"), ONLY_SYS_TIME);
    assert_eq!(container.status("NoNewPrivs:"), "1");
    container.end();
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn a_container_with_the_profile_of_an_old_runtime_sets_the_clock() {
    sets_the_clock("old", Rights::OldProfile).end();
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn a_privileged_container_sets_the_clock() {
    let mut container = sets_the_clock("privileged", Rights::Privileged);
    assert_ne!(container.status("CapBnd:"), ONLY_SYS_TIME);
    container.end();
}

/// The image as the seed starts it, on a clock that is decades off.
fn sets_the_clock(name: &str, rights: Rights) -> Container {
    truth::begin();
    clock::put_off(-YEARS_OFF_S);
    let mut container = Container::start(name, rights, &["/ntpd", "-v", "-d", "-s"], SEEDS_CONFIG_MAP);
    container.until("the clock is right", |_| clock::offset_s().abs() < SET_WITHIN_S);
    container.until("it says so", |container| {
        container.log().contains("set local clock to ")
    });
    container
}

#[test]
#[ignore = "sets the clock: `./test slow` does it in an emulated machine"]
fn a_container_without_the_capability_ends_and_says_the_remedy() {
    truth::begin();
    clock::put_off(-YEARS_OFF_S);
    let mut container = Container::start(
        "none",
        Rights::None,
        &["/ntpd", "-v", "-d", "-s"],
        SEEDS_CONFIG_MAP,
    );
    let (status, log) = container.wait();
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("CAP_SYS_TIME is missing"), "{log}");
    assert!(clock::offset_s().abs() > YEARS_OFF_S / 2.0);
}
