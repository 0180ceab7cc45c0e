//! Which way packets took: a path whose shortest delay is another one from some sample on.
//!
//! Delays are compared with the shortest one of the route, so that a longer route is not taken for a queue that
//! never empties. A route may be longer in one direction only; then all offsets move by half of the difference at
//! once, and as an oscillator never does that, what moved is not believed to be the clock.

use super::bank::{Entry, Likeliest, Member};
use super::{Estimator, number};

/// So many samples show the shortest delay of a route; what is older is forgotten, half of it at a time.
const MEMORY: usize = 256;

/// The newest samples that may be the beginning of another route: so many at least …
const NEW_MIN: usize = 6;
/// … and so many at most.
const NEW_MAX: usize = 12;

/// So many samples of the old route are needed to compare with.
const OLD_MIN: usize = 8;

/// A route is longer when that the newest delays are all so long by chance is less likely than this, logarithm.
const BELIEVED: f64 = -13.0;

/// By so many usual excess delays another route is longer at least.
const LONGER: f64 = 3.0;

/// The newest delays, without the longest one, spread over so many usual excess delays at most, or it is a queue.
const SPREAD: f64 = 2.0;

/// By so many usual excess delays another route is shorter at least.
const SHORTER: f64 = 6.0;

/// A route that is longer in one direction only moves phases by half of the difference; with noise, up to this part.
const BIAS_MAX: f64 = 0.6;

/// By so many standard deviations phases have to move for it to be seen.
const SHOWN: f64 = 2.5;

/// So many samples a route that was just found has to be like the one before.
const PROBATION: usize = 24;

/// By so many usual excess delays a sample is unlike those before.
const UNLIKE: f64 = 10.0;

/// So many routes are remembered.
const ROUTES_MAX: usize = 4;

/// What is known of one route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Route {
    /// Tells it from the others.
    pub id: u32,
    /// The shortest delay, lately and before that, seconds, and of how many samples.
    shortest: [(f64, usize); 2],
    /// How much longer it is than the first one, seconds.
    pub longer_s: f64,
    /// How much more the phase appears to be on it than it is, seconds.
    pub bias_s: f64,
}

impl Route {
    pub(super) fn first(delay_s: f64) -> Self {
        Self {
            id: 0,
            shortest: [(delay_s, 0), (f64::INFINITY, 0)],
            longer_s: 0.0,
            bias_s: 0.0,
        }
    }

    /// The shortest round trip seen, seconds.
    pub(super) fn minimum_s(&self) -> f64 {
        self.shortest[0].0.min(self.shortest[1].0)
    }

    /// Of how many samples that is the shortest.
    pub(super) fn samples(&self) -> usize {
        self.shortest[0].1 + self.shortest[1].1
    }

    pub(super) fn add(&mut self, delay_s: f64) {
        if self.shortest[0].1 >= MEMORY / 2 {
            self.shortest[1] = self.shortest[0];
            self.shortest[0] = (delay_s, 0);
        }
        let (minimum_s, count) = &mut self.shortest[0];
        *minimum_s = minimum_s.min(delay_s);
        *count += 1;
    }
}

/// What came of a new sample.
struct Taken {
    /// Its route.
    route: Route,
    /// What was taken for a route and is a queue on this one.
    queue: Option<u32>,
}

/// The routes that were taken, the newest one last.
#[derive(Debug, Clone, Default)]
pub(super) struct Routes {
    known: Vec<Route>,
    next_id: u32,
}

impl Routes {
    /// Gives a new sample with this delay its route; `usual_s` is the usual excess delay.
    fn take(&mut self, delay_s: f64, usual_s: f64) -> Taken {
        let mut queue = None;
        if let Some(last) = self.known.last().copied() {
            let shorter = self
                .known
                .iter()
                .rposition(|route| route.minimum_s() < delay_s.min(last.minimum_s()));
            let is_shorter = last.samples() >= OLD_MIN && delay_s < last.minimum_s() - SHORTER * usual_s;
            // The waits on a route that was just found are those on the old one, or it is none.
            let is_unlike = last.samples() <= PROBATION && delay_s > last.minimum_s() + UNLIKE * usual_s;
            match (self.like(delay_s, usual_s), shorter) {
                // Something in between is a queue on the shorter one, and so was what seemed to be longer.
                (None, Some(shorter)) if (is_shorter || is_unlike) && shorter + 1 < self.known.len() => {
                    queue = self.known.pop().map(|route| route.id);
                    let route = self.known.remove(shorter);
                    self.known.push(route);
                }
                _ if is_shorter => self.change(delay_s, usual_s, -last.bias_s),
                _ => queue = self.back_from_queue(delay_s),
            }
        }
        Taken {
            route: self.add(delay_s),
            queue,
        }
    }

    /// What was taken for a longer route is none, if this delay would leave less than half of what it was longer by: goes back to
    /// the one before and returns which it was. Its samples waited in a queue, and the phase was not moved by the path.
    fn back_from_queue(&mut self, delay_s: f64) -> Option<u32> {
        let (last, others) = self.known.split_last()?;
        let before = others.iter().rposition(|route| route.longer_s < last.longer_s)?;
        let longer_s = last.minimum_s().min(delay_s) - others[before].minimum_s();
        if longer_s >= (last.longer_s - others[before].longer_s) / 2.0 {
            return None;
        }
        let queue = self.known.pop().map(|route| route.id);
        let route = self.known.remove(before);
        self.known.push(route);
        queue
    }

    /// Takes a delay in on the route that is taken now.
    fn add(&mut self, delay_s: f64) -> Route {
        let mut route = self.known.pop().unwrap_or_else(|| Route::first(delay_s));
        route.add(delay_s);
        self.known.push(route);
        route
    }

    /// The known route with such a shortest delay.
    fn like(&self, delay_s: f64, usual_s: f64) -> Option<usize> {
        self.known
            .iter()
            .position(|route| (route.minimum_s() - delay_s).abs() < LONGER * usual_s)
    }

    /// Another route is taken, one that is known or a new one.
    fn change(&mut self, delay_s: f64, usual_s: f64, bias_s: f64) {
        let last = self
            .known
            .last()
            .copied()
            .unwrap_or_else(|| Route::first(delay_s));
        let route = match self.like(delay_s, usual_s) {
            Some(index) => self.known.remove(index),
            None => {
                self.next_id += 1;
                Route {
                    id: self.next_id,
                    shortest: [(delay_s, 0), (f64::INFINITY, 0)],
                    longer_s: last.longer_s + delay_s - last.minimum_s(),
                    bias_s: last.bias_s + bias_s,
                }
            }
        };
        if self.known.len() >= ROUTES_MAX {
            self.known.remove(0);
        }
        self.known.push(route);
    }
}

impl Estimator {
    /// Gives the newest sample its route.
    pub(super) fn take_route(&mut self, delay_s: f64) -> Route {
        let usual_s = self.bank.path().usual_s();
        let taken = self.routes.take(delay_s, usual_s);
        if let Some(queue) = taken.queue {
            for entry in &mut self.window {
                if entry.route.id == queue {
                    entry.route = taken.route;
                }
            }
        }
        self.refresh(taken.route);
        taken.route
    }

    /// Looks whether the newest samples came on a longer route, and if so compares their delays with one another.
    pub(super) fn look_for_route(&mut self) {
        let Some((count, longer_s)) = self.longer_route() else {
            return;
        };
        let bias_s = self.bias(count, longer_s);
        let from = self.window.len() - count;
        let delays_s: Vec<f64> = self
            .window
            .range(from..)
            .map(|entry| entry.sample.delay_s)
            .collect();
        let shortest_s = delays_s.iter().copied().fold(f64::INFINITY, f64::min);
        self.routes.change(shortest_s, self.bank.path().usual_s(), bias_s);
        let mut route = None;
        for delay_s in delays_s {
            route = Some(self.routes.add(delay_s));
        }
        let Some(route) = route else { return };
        for entry in self.window.range_mut(from..) {
            entry.route = route;
        }
        self.refresh(route);
        self.evaluate();
    }

    /// How many of the newest samples came on a longer route, and how much longer it is, seconds.
    fn longer_route(&self) -> Option<(usize, f64)> {
        let route = self.window.back()?.route;
        let usual_s = self.bank.path().usual_s();
        let waits_s = || {
            let newest_first = self.window.iter().rev();
            newest_first
                .filter(|entry| entry.route.id == route.id)
                .map(Entry::wait_s)
        };
        let mut shortest_s = f64::INFINITY;
        let (mut longest_s, mut second_s) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for (count, wait_s) in (1..=NEW_MAX).zip(waits_s()) {
            shortest_s = shortest_s.min(wait_s);
            second_s = second_s.max(wait_s.min(longest_s));
            longest_s = longest_s.max(wait_s);
            if shortest_s <= LONGER * usual_s {
                return None;
            }
            let old = waits_s().skip(count);
            if count < NEW_MIN || second_s - shortest_s >= SPREAD * usual_s || old.clone().count() < OLD_MIN {
                continue;
            }
            let like = old.clone().filter(|&wait_s| wait_s >= shortest_s).count();
            let chance = (number(like) + 0.5) / number(old.count() + 1);
            if number(count) * chance.ln() < BELIEVED {
                return Some((count, shortest_s));
            }
        }
        None
    }

    /// What the phase of so many of the newest samples, on a route that is so much longer, appears to be more than
    /// it is, seconds.
    fn bias(&self, count: usize, longer_s: f64) -> f64 {
        match self.bank.likeliest(&self.window, &self.prior) {
            Some(Likeliest::Alike(member)) => self.bias_for(&member, count, longer_s),
            Some(Likeliest::Unequal(member)) => self.bias_for(&member, count, longer_s),
            None => 0.0,
        }
    }

    /// The same in the eyes of one filter.
    fn bias_for<const UNEQUAL: bool>(&self, member: &Member<UNEQUAL>, count: usize, longer_s: f64) -> f64 {
        let from = self.window.len() - count;
        let mut track = member.start;
        let (mut sum_s, mut expected_variance) = (0.0, 0.0);
        for (index, step) in self.bank.steps(&self.window).enumerate().skip(member.first) {
            if index < from {
                track.take_in(&step, member.wander_power, member.variance(&step));
            } else {
                track.advance(&step.after(None), member.wander_power);
                let expected = track.expected(step.excess_s - longer_s);
                sum_s += step.phase_s - expected.0;
                expected_variance = expected.1;
            }
        }
        let mean_s = sum_s / number(count);
        let deviation_s = (expected_variance + member.noise_variance / number(count)).sqrt();
        let is_of_the_path = mean_s.abs() < BIAS_MAX * longer_s && mean_s.abs() > SHOWN * deviation_s;
        if is_of_the_path { mean_s } else { 0.0 }
    }

    /// Brings what is known of a route to its samples.
    fn refresh(&mut self, route: Route) {
        for entry in &mut self.window {
            if entry.route.id == route.id {
                entry.route = route;
            }
        }
    }
}
