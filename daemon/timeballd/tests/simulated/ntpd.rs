//! ntpd's place is taken: what its options do to the clock.

use std::fs;

use crate::{Clock, Outcome, RIGHT, ended, new_world, outcome, server, start_alone};

/// What becomes in a quarter of an hour of a clock that is off by so much, under some options.
fn after(options: &str, error_s: f64) -> Outcome {
    let (outcome, has_succeeded) = run(options, error_s);
    assert!(has_succeeded, "{}", outcome.log);
    outcome
}

/// Likewise, of a daemon that may fail; returns also whether it has succeeded.
fn run(options: &str, error_s: f64) -> (Outcome, bool) {
    let folder = new_world(900);
    let server = server(1, 2, folder.path(), &[]);
    let file = folder.path().join("ntp.conf");
    fs::write(&file, "server 10.0.0.1 iburst\n").unwrap();
    let clock = Clock { error_s, ..RIGHT };
    let arguments = ["-n", options, "-u", "root:root", "-c", file.to_str().unwrap()];
    let client = start_alone(2, &clock, folder.path(), "", ("ntpd", &arguments), &[]);
    let (_, has_succeeded) = ended(2, client, folder.path());
    let (log, server_has) = ended(1, server, folder.path());
    assert!(server_has, "the server has failed: {log}");
    (outcome(folder.path()), has_succeeded)
}

#[test]
fn asked_to_quit_it_sets_the_clock_and_ends() {
    for (options, error_s) in [("-q", 0.3), ("-gq", 0.3), ("-q", 0.02), ("-gq", -5000.0)] {
        let (outcome, has_succeeded) = run(options, error_s);
        let left_s = outcome.errors_s.last().unwrap();
        assert!(has_succeeded, "{options}: {}", outcome.log);
        assert_eq!(outcome.steps, 1, "{options}: {}", outcome.log);
        assert!(left_s.abs() < 1e-3, "{options}: {left_s} s: {}", outcome.log);
        assert!(
            outcome.errors_s.len() < 60,
            "{options}: {} s",
            outcome.errors_s.len()
        );
    }
    // More than ntpd believes unless it is told to: it says so, fails, and leaves the clock alone.
    let (outcome, has_succeeded) = run("-q", -5000.0);
    assert!(!has_succeeded, "{}", outcome.log);
    assert_eq!(outcome.steps, 0, "{}", outcome.log);
    let left_s = outcome.errors_s.last().unwrap();
    assert!((left_s + 5000.0).abs() < 1e-3, "{left_s}");
    // Positive: the clock is behind.
    let said = "Adjustment of 5000.000 seconds exceeds the allowed maximum of 1000.000 seconds (exiting)";
    assert!(outcome.log.contains(said), "{}", outcome.log);
}

#[test]
fn the_first_correction_is_a_step_if_that_is_asked_for() {
    // An offset of less than 0.128 s is slewed otherwise.
    let (slewed, stepped) = (after("-g", 0.05), after("-G", 0.05));
    assert_eq!((slewed.steps, stepped.steps), (0, 1), "{}", stepped.log);
    let [slewed_s, stepped_s] = [&slewed, &stepped].map(|outcome| outcome.settled_s(0.01));
    assert!(
        stepped_s < slewed_s && stepped_s < 15,
        "{stepped_s} s, {slewed_s} s"
    );
    // More than ntpd believes unless it is told to.
    let far = after("-gG", -5000.0);
    assert_eq!(far.steps, 1, "{}", far.log);
    assert!(far.settled_s(1e-3) < 300, "{}", far.settled_s(1e-3));
}
