//! Waiting with a deadline: the lab never sleeps for a guessed time.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Asks `probe` again and again until it answers `Ok`, and returns that answer.
///
/// Panics after `deadline` with `what` was awaited and the last reason `probe` gave.
pub fn eventually<T>(deadline: Duration, what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    match within(deadline, &mut probe) {
        Ok(answer) => answer,
        Err(reason) => panic!("{what}: not within {deadline:?}: {reason}"),
    }
}

/// As [`eventually`], but returns the last reason instead of panicking.
pub fn within<T>(deadline: Duration, mut probe: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        match probe() {
            Ok(answer) => return Ok(answer),
            Err(reason) if start.elapsed() >= deadline => return Err(reason),
            Err(_) => {
                sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(200));
            }
        }
    }
}
