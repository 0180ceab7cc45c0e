//! The clocks of the machine, looked at from outside of the daemon.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use os::Clock;
use rustix::time::ClockId;
use units::Leap;

use crate::truth::{self, NANOS_PER_SEC, read_ns};

/// The kernel's word for a clock that nobody vouches for (`STA_UNSYNC`).
const UNSYNCHRONISED: i64 = 0x40;

/// Readings around one of the other clock that lie no further apart count, nanoseconds.
const APART_NS: i64 = 50_000;

/// What is taken for a step, nanoseconds: more than what two such readings may be wrong by.
const STEP_NS: i64 = 200_000;

/// What the kernel says of its clock, as another program asks it.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// By how much the clock runs faster than by itself, ppm.
    pub(crate) rate_ppm: f64,
    pub(crate) status: i64,
    pub(crate) max_error_s: f64,
}

impl Kernel {
    pub(crate) fn read() -> Self {
        let output = Command::new("adjtimex").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let number = |name: &str| {
            let rest = text
                .split_once(name)
                .unwrap_or_else(|| panic!("{name}: {text}"))
                .1;
            let word = rest.split_whitespace().next().unwrap();
            word.parse::<f64>().unwrap()
        };
        // A tick is a hundredth of a second, in microseconds: one of them more is 100 ppm.
        let rate_ppm = number("freq.adjust:") / 65_536.0 + (number("tick:") - 10_000.0) * 100.0;
        #[allow(clippy::cast_possible_truncation, reason = "sixteen bits")]
        let status = number("status:") as i64;
        Self {
            rate_ppm,
            status,
            max_error_s: number("maxerror:") / 1e6,
        }
    }

    pub(crate) fn is_synchronised(&self) -> bool {
        self.status & UNSYNCHRONISED == 0
    }
}

/// By how much the system clock is behind the true time, seconds.
pub(crate) fn offset_s() -> f64 {
    let readings = (0..20).map(|_| {
        let before = read_ns(ClockId::MonotonicRaw);
        let wall = read_ns(ClockId::Realtime);
        let after = read_ns(ClockId::MonotonicRaw);
        (after - before, truth::at_ns(before + (after - before) / 2) - wall)
    });
    let (_, behind_ns) = readings.min_by_key(|(apart, _)| *apart).unwrap();
    seconds(behind_ns)
}

/// By how much the real-time clock is behind the true time, seconds.
pub(crate) fn rtc_offset_s() -> f64 {
    let text = fs::read_to_string("/sys/class/rtc/rtc0/since_epoch").unwrap();
    let rtc_ns = text.trim().parse::<i64>().unwrap() * NANOS_PER_SEC;
    seconds(truth::at_ns(read_ns(ClockId::MonotonicRaw)) - rtc_ns)
}

/// Puts the clock ahead of the true time by this much, and takes back what a daemon may have left in the kernel.
pub(crate) fn put_off(ahead_s: f64) {
    let clock = Clock::new();
    clock.set_frequency(0.0).unwrap();
    clock.step(offset_s() + ahead_s).unwrap();
    clock.set_status(false, Leap::Normal, 16.0, 16.0).unwrap();
    let off = offset_s() + ahead_s;
    assert!(off.abs() < 0.01, "the clock cannot be put off: {off}");
}

#[allow(clippy::cast_precision_loss, reason = "what is shown is coarser by far")]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// Looks at the clock all the time. `CLOCK_MONOTONIC` is slewed with it and takes part in no step, so that the
/// difference of the two changes by steps alone.
pub(crate) struct Watch {
    end: Arc<AtomicBool>,
    looking: JoinHandle<Seen>,
}

/// What a [`Watch`] saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) readings: usize,
    /// Forward is positive.
    pub(crate) steps_s: Vec<f64>,
    /// How often the clock was earlier than before.
    pub(crate) backwards: usize,
}

impl Watch {
    pub(crate) fn begin() -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&end);
        let looking = thread::spawn(move || look(&ends));
        Self { end, looking }
    }

    pub(crate) fn end(self) -> Seen {
        self.end.store(true, Ordering::Relaxed);
        self.looking.join().unwrap()
    }
}

fn look(end: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let (mut last_wall, mut last_between) = (0, None);
    while !end.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(2));
        let before = read_ns(ClockId::Monotonic);
        let wall = read_ns(ClockId::Realtime);
        let after = read_ns(ClockId::Monotonic);
        seen.backwards += usize::from(wall < last_wall);
        last_wall = wall;
        if after - before > APART_NS {
            continue;
        }
        seen.readings += 1;
        let between = wall - before - (after - before) / 2;
        let moved = between - last_between.unwrap_or(between);
        if moved.abs() > STEP_NS {
            seen.steps_s.push(seconds(moved));
        }
        last_between = Some(between);
    }
    seen
}
