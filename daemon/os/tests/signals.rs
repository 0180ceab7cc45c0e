//! A signal ends waiting and is taken once. In a process of its own, since signals are the process's.

use std::io;
use std::process::{Command, id};

use os::{Clock, Waiter, signals};

#[test]
fn a_signal_ends_waiting_and_is_taken_once() {
    signals::install().unwrap();
    let mut waiter = Waiter::new().unwrap();
    let mut ready = Vec::new();
    let deadline = Clock::new().now().mono.plus_seconds(30.0);
    assert!(!signals::take_end());

    let status = Command::new("kill")
        .args(["-HUP", &id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    let error = waiter.wait(Some(deadline), &mut ready).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    // The test's other thread may have been the one interrupted: the request is there all the same.
    assert!(signals::take_end());
    assert!(!signals::take_end());
    assert!(Clock::new().now().mono < deadline);

    let soon = Clock::new().now().mono.plus_seconds(0.01);
    loop {
        match waiter.wait(Some(soon), &mut ready) {
            Ok(()) => break,
            // The alarm of before.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::Interrupted),
        }
    }
    assert!(ready.is_empty());
}
