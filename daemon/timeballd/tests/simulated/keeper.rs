//! The clock has another keeper at first.

use std::fs;

use crate::{Clock, ended, new_world, outcome, server, start_alone};

#[test]
fn the_clock_is_taken_over_a_minute_after_its_keeper_has_ended() {
    let folder = new_world(400);
    let server = server(1, 2, folder.path(), &[]);
    let file = folder.path().join("conf.2");
    let drift = folder.path().join("drift");
    let text = format!(
        "pidfile /\nbindcmdaddress /\ncmdport 0\nuser root\nserver 10.0.0.1 iburst\ntimeball.conflict observe\ndriftfile {}\n",
        drift.display()
    );
    fs::write(&file, text).unwrap();
    let clock = Clock {
        error_s: 0.05,
        frequency_ppm: 20.0,
        rtc_ahead_s: None,
    };
    // A keeper that does not say which process it is, so that it is there for as long as its file.
    let prepare = "mkdir /run/chrony; touch \"$SIMULATED_KEEPER\"";
    let arguments = ["-d", "-U", "-f", file.to_str().unwrap()];
    let environment = [
        ("SIMULATED_KEEPER", "/run/chrony/chronyd.pid"),
        ("SIMULATED_KEEPER_ENDS", "100"),
    ];
    let command = ("timeballd", &arguments[..]);
    let client = start_alone(2, &clock, folder.path(), prepare, command, &environment);
    for (node, child) in [(2, client), (1, server)] {
        let (log, has_succeeded) = ended(node, child, folder.path());
        assert!(has_succeeded, "node {node} has failed: {log}");
    }
    let outcome = outcome(folder.path());
    let log = &outcome.log;
    assert!(
        log.contains("because it has another keeper : chronyd runs on this host"),
        "{log}"
    );
    assert!(log.contains("The clock has no other keeper any more"), "{log}");
    // Until it is steered its error grows by 20 us each second.
    let is_steered = |pair: &[f64]| (pair[1] - pair[0] - 20e-6).abs() > 1e-6;
    let begun_s = outcome.errors_s.windows(2).position(is_steered).unwrap();
    assert!((100..=165).contains(&begun_s), "steered after {begun_s} s: {log}");
    assert!(outcome.settled_s(1e-3) < 350, "{}", outcome.settled_s(1e-3));
}
