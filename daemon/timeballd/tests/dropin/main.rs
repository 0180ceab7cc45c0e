//! What `chronyc` prints when it speaks to timeballd, beside what it prints when it speaks to chronyd.
//!
//! Every test runs the same body twice, once with each daemon, and compares what came out. Both are Debian's
//! `chronyc` and `chronyd` on the one side (others with `CHRONYC` and `CHRONYD` in the environment), and the program
//! of this crate on the other; neither touches the clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

mod access;
mod changes;
mod commands;
mod daemon;
mod ends;
mod reports;
mod transcript;

use daemon::{Daemon, Program};
use transcript::Transcript;

/// Runs a body with both daemons; what they answered has to be the same.
#[track_caller]
fn same(config: &str, body: fn(&Daemon, &mut Transcript)) {
    compare(config, body, Transcript::exact);
}

/// Likewise, but measured numbers may differ: see [`Transcript::shape`].
#[track_caller]
fn alike(config: &str, body: fn(&Daemon, &mut Transcript)) {
    compare(config, body, Transcript::shape);
}

#[track_caller]
fn compare(config: &str, body: fn(&Daemon, &mut Transcript), view: fn(&Transcript) -> String) {
    let [original, ours] = [Program::Chronyd, Program::Timeballd].map(|program| {
        let daemon = Daemon::start(program, config);
        let mut transcript = Transcript::default();
        body(&daemon, &mut transcript);
        (view(&transcript), daemon.end())
    });
    let difference = transcript::difference(&original.0, &ours.0);
    assert!(
        difference.is_empty(),
        "chronyd (-) and timeballd (+) differ:\n{difference}\nthe log of timeballd:\n{}",
        ours.1
    );
}
