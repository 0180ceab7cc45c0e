//! A real-time clock: it runs whatever happens to its host, tells whole seconds, and interrupts when they begin.

use units::rounding::{down_i64, f64_from_i64};

use crate::moment::Moment;
use crate::network::Jitter;
use crate::random::Random;

/// The real-time clock of a host. Its readings are seconds since the world began.
#[derive(Debug, Clone, PartialEq)]
pub struct BatteryClock {
    /// What it gains each second, seconds.
    gain: f64,
    /// When it was last set …
    set_at: Moment,
    /// … and what it read then.
    set_to_s: f64,
    /// How long after the beginning of its seconds the interrupts are handled.
    late: Jitter,
    random: Random,
    /// The second whose beginning is told next, and when that is.
    next: Option<(i64, Moment)>,
    /// It has no interrupts.
    is_silent: bool,
}

impl BatteryClock {
    /// One that is ahead by so many seconds when the world begins, and gains this part.
    pub fn ahead_by(seconds: f64, gain: f64) -> Self {
        Self {
            gain,
            set_at: Moment::BEGIN,
            set_to_s: seconds,
            late: Jitter::Constant(0.0),
            random: Random::stream(0, "real-time clock"),
            next: None,
            is_silent: false,
        }
    }

    /// Its interrupts are handled so late.
    #[must_use]
    pub fn late(mut self, late: Jitter) -> Self {
        self.late = late;
        self
    }

    /// It never interrupts.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.is_silent = true;
        self
    }

    /// Its chances are those of this world.
    pub(crate) fn seeded(mut self, seed: u64, host: &str) -> Self {
        self.random = Random::stream(seed, &format!("{host} real-time clock"));
        self
    }

    /// What it reads, with the part of the second that it does not tell.
    pub(crate) fn reading_s(&self, now: Moment) -> f64 {
        self.set_to_s + (now - self.set_at) * (1.0 + self.gain)
    }

    /// The second that it tells.
    pub(crate) fn second(&self, now: Moment) -> i64 {
        down_i64(self.reading_s(now).floor())
    }

    pub(crate) fn set(&mut self, now: Moment, to_s: f64) {
        (self.set_at, self.set_to_s) = (now, to_s);
        if self.next.is_some() {
            self.plan(now);
        }
    }

    pub(crate) fn interrupt(&mut self, now: Moment, is_on: bool) {
        self.next = None;
        if is_on && !self.is_silent {
            self.plan(now);
        }
    }

    pub(crate) fn tick_at(&self) -> Option<Moment> {
        self.next.map(|(_, at)| at)
    }

    /// The second that has begun, if its interrupt is due; none of the past, in which the host slept.
    pub(crate) fn take_tick(&mut self, now: Moment) -> Option<i64> {
        let (second, _) = self.next.filter(|(_, at)| *at <= now)?;
        self.plan(now);
        (second == self.second(now)).then_some(second)
    }

    fn plan(&mut self, now: Moment) {
        let second = self.second(now) + 1;
        let left_s = (f64_from_i64(second) - self.reading_s(now)) / (1.0 + self.gain);
        let late_s = self.late.draw(&mut self.random);
        // A nanosecond more, so that the second has begun whatever was rounded.
        self.next = Some((second, now.plus_seconds(left_s + late_s + 1e-9)));
    }
}
