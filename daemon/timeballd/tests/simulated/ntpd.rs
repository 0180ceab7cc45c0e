//! ntpd's place is taken: what its options do to the clock.

use std::fs;

use crate::{Clock, Outcome, RIGHT, ended, new_world, outcome, server, start_alone};

/// What becomes in a quarter of an hour of a clock that is off by so much, under some options.
fn after(options: &str, error_s: f64) -> Outcome {
    let folder = new_world(900);
    let server = server(1, 2, folder.path(), &[]);
    let file = folder.path().join("ntp.conf");
    fs::write(&file, "server 10.0.0.1 iburst\n").unwrap();
    let clock = Clock { error_s, ..RIGHT };
    let arguments = ["-n", options, "-u", "root:root", "-c", file.to_str().unwrap()];
    let client = start_alone(2, &clock, folder.path(), "", ("ntpd", &arguments), &[]);
    for (node, child) in [(2, client), (1, server)] {
        let (log, has_succeeded) = ended(node, child, folder.path());
        assert!(has_succeeded, "node {node} has failed: {log}");
    }
    outcome(folder.path())
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
