//! A signal ends waiting and is taken once. It runs in a main thread and without a harness, as the daemon does.

#![allow(clippy::unwrap_used, reason = "what a test cannot have is a failed test")]

use std::io;
use std::process::{Command, id};

use os::{Clock, Waiter, signals};

fn main() {
    signals::install().unwrap();
    let mut waiter = Waiter::new().unwrap();
    let mut ready = Vec::new();
    let now = || Clock::new().now().mono;
    assert!(!signals::take_end());

    // Before waiting.
    kill("INT");
    let deadline = now().plus_seconds(30.0);
    assert_eq!(
        waiter.wait(Some(deadline), &mut ready).unwrap_err().kind(),
        io::ErrorKind::Interrupted
    );
    assert!(signals::take_end());
    assert!(!signals::take_end());

    // A hang-up is something else.
    kill("HUP");
    assert_eq!(
        waiter.wait(Some(deadline), &mut ready).unwrap_err().kind(),
        io::ErrorKind::Interrupted
    );
    assert!(!signals::take_end() && signals::take_hangup());
    assert!(!signals::take_hangup());

    // While waiting.
    let mut late = Command::new("sh")
        .args(["-c", &format!("sleep 0.2; kill -TERM {}", id())])
        .spawn()
        .unwrap();
    while !signals::take_end() {
        // The alarm of before interrupts too.
        let ended = waiter.wait(Some(deadline), &mut ready);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
    late.wait().unwrap();
    assert!(now() < deadline);

    // Not any more.
    let soon = now().plus_seconds(0.01);
    while waiter.wait(Some(soon), &mut ready).is_err() {}
    assert!(ready.is_empty() && !signals::take_end() && now() >= soon);
}

/// Sends a signal to this process.
fn kill(signal: &str) {
    let command = format!("kill -{signal} {}", id());
    assert!(
        Command::new("sh")
            .args(["-c", &command])
            .status()
            .unwrap()
            .success()
    );
}
