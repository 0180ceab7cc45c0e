//! Paths between hosts: how long packets take, and what else happens to them.

use crate::moment::Moment;
use crate::random::Random;

/// A time that differs from packet to packet, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// Always the same.
    Constant(f64),
    /// Exponential with this mean: a queue that is sometimes used.
    Exponential(f64),
    /// Gamma with this shape and mean: several queues.
    Gamma {
        /// How many queues, at least 1.
        shape: f64,
        /// Their time together, seconds.
        mean_s: f64,
    },
    /// Normal with this deviation around its triple, cut at 0: a busy path without any free moments.
    Normal(f64),
    /// Usually nothing, sometimes a long wait: a radio that repeats what was lost.
    Rare {
        /// How often.
        probability: f64,
        /// The mean of the exponential wait, seconds.
        mean_s: f64,
    },
}

impl Jitter {
    /// Draws one.
    pub fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Constant(wait_s) => wait_s,
            Self::Exponential(mean_s) => mean_s * random.exponential(),
            Self::Gamma { shape, mean_s } => mean_s / shape.max(1.0) * random.gamma(shape),
            Self::Normal(deviation_s) => (deviation_s * (3.0 + random.normal())).max(0.0),
            Self::Rare { probability, mean_s } => {
                if random.chance(probability) {
                    mean_s * random.exponential()
                } else {
                    0.0
                }
            }
        }
    }
}

/// A path between two hosts; both directions are alike unless said otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    there: Direction,
    back: Direction,
    loss: f64,
    duplicated: f64,
    replayed: Option<(f64, f64)>,
    outages: Vec<(f64, f64)>,
    routes: Vec<(f64, f64, f64)>,
}

/// One direction of a path.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Direction {
    base_s: f64,
    jitter: Jitter,
    loss: f64,
}

impl Path {
    /// A path on which every packet takes this long one way, seconds.
    pub fn of(base_s: f64) -> Self {
        let direction = Direction {
            base_s,
            jitter: Jitter::Constant(0.0),
            loss: 0.0,
        };
        Self {
            there: direction,
            back: direction,
            loss: 0.0,
            duplicated: 0.0,
            replayed: None,
            outages: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// An office: 200 µs and 100 µs of exponential jitter.
    pub fn lan() -> Self {
        Self::of(200e-6).jitter(Jitter::Exponential(100e-6))
    }

    /// The internet on a bad day: 20 ms and 10 ms of exponential jitter.
    pub fn wan() -> Self {
        Self::of(20e-3).jitter(Jitter::Exponential(10e-3))
    }

    /// Packets wait in addition, in both directions.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.there.jitter = jitter;
        self.back.jitter = jitter;
        self
    }

    /// Packets of the second host wait in addition; those of the first do not.
    #[must_use]
    pub fn jitter_of_answers(mut self, jitter: Jitter) -> Self {
        self.back.jitter = jitter;
        self
    }

    /// Packets of the first host wait in addition; those of the second do not.
    #[must_use]
    pub fn jitter_of_requests(mut self, jitter: Jitter) -> Self {
        self.there.jitter = jitter;
        self
    }

    /// Packets of the second host take so much longer, seconds.
    #[must_use]
    pub fn slower_answers(mut self, by_s: f64) -> Self {
        self.back.base_s += by_s;
        self
    }

    /// This part of the packets is lost.
    #[must_use]
    pub fn drop(mut self, part: f64) -> Self {
        self.loss = part;
        self
    }

    /// This part of the second host's packets is lost.
    #[must_use]
    pub fn drop_answers(mut self, part: f64) -> Self {
        self.back.loss = part;
        self
    }

    /// This part of the packets arrives twice.
    #[must_use]
    pub fn duplicate(mut self, part: f64) -> Self {
        self.duplicated = part;
        self
    }

    /// This part of the packets is recorded by somebody and sent again so much later, seconds.
    #[must_use]
    pub fn replay(mut self, part: f64, later_s: f64) -> Self {
        self.replayed = Some((part, later_s));
        self
    }

    /// Nothing comes through between these times, seconds.
    #[must_use]
    pub fn outage(mut self, from_s: f64, to_s: f64) -> Self {
        self.outages.push((from_s, to_s));
        self
    }

    /// From a time on packets take another route, which is so much longer there and back, seconds.
    #[must_use]
    pub fn reroute(mut self, at_s: f64, there_by_s: f64, back_by_s: f64) -> Self {
        self.routes.push((at_s, there_by_s, back_by_s));
        self
    }

    /// When a packet sent now arrives: not at all, once, or more than once. `answer` tells the direction.
    pub fn arrivals(&self, sent: Moment, answer: bool, random: &mut Random) -> Vec<Moment> {
        let direction = if answer { &self.back } else { &self.there };
        let now_s = sent.seconds();
        let out = self
            .outages
            .iter()
            .any(|(from_s, to_s)| (*from_s..*to_s).contains(&now_s));
        // The same numbers are drawn whatever happens, so that a loss more does not change the other packets.
        let lost = random.chance(self.loss) | random.chance(direction.loss);
        let (doubled, recorded) = (random.uniform(), random.uniform());
        let mut take = || {
            let routes = self.routes.iter().filter(|route| now_s >= route.0);
            let detour_s: f64 = routes.map(|route| if answer { route.2 } else { route.1 }).sum();
            sent.plus_seconds(direction.base_s + detour_s + direction.jitter.draw(random))
        };
        let first = take();
        if out || lost {
            return Vec::new();
        }
        let mut arrivals = vec![first];
        if doubled < self.duplicated {
            arrivals.push(take());
        }
        if let Some((part, later_s)) = self.replayed
            && recorded < part
        {
            arrivals.push(first.plus_seconds(later_s));
        }
        arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(path: &Path, answer: bool) -> Vec<f64> {
        let mut random = Random::stream(1, "path");
        let sent = Moment::at(50.0);
        (0..10_000)
            .flat_map(|_| path.arrivals(sent, answer, &mut random))
            .map(|arrival| arrival - sent)
            .collect()
    }

    fn mean(delays: &[f64]) -> f64 {
        delays.iter().sum::<f64>() / 1e4
    }

    #[test]
    fn delays_have_their_mean_in_each_direction() {
        let path = Path::of(0.010)
            .jitter(Jitter::Exponential(0.005))
            .slower_answers(0.002);
        assert!((mean(&delays(&path, false)) - 0.015).abs() < 2e-4);
        assert!((mean(&delays(&path, true)) - 0.017).abs() < 2e-4);
        let busy = Path::of(0.0).jitter(Jitter::Normal(0.001));
        assert!((mean(&delays(&busy, true)) - 0.003).abs() < 1e-4);
        let queues = Path::of(0.0).jitter(Jitter::Gamma {
            shape: 4.0,
            mean_s: 0.001,
        });
        assert!((mean(&delays(&queues, true)) - 0.001).abs() < 5e-5);
    }

    #[test]
    fn packets_are_lost_doubled_and_repeated_in_their_parts() {
        assert!((2_800..3_200).contains(&(10_000 - delays(&Path::lan().drop(0.3), false).len())));
        assert_eq!(delays(&Path::lan().drop_answers(1.0), true), []);
        assert_eq!(delays(&Path::lan().drop_answers(1.0), false).len(), 10_000);
        assert!((11_800..12_200).contains(&delays(&Path::lan().duplicate(0.2), true).len()));
        let repeated = delays(&Path::of(0.0).replay(1.0, 20.0), true);
        assert_eq!(repeated[..2], [0.0, 20.0]);
    }

    #[test]
    fn an_outage_and_a_new_route_have_their_time() {
        assert_eq!(delays(&Path::lan().outage(40.0, 60.0), false), []);
        assert_eq!(delays(&Path::lan().outage(0.0, 50.0), false).len(), 10_000);
        let moved = Path::of(0.001).reroute(50.0, 0.004, 0.0);
        assert_eq!(delays(&moved, false)[0], 0.005);
        assert_eq!(delays(&moved, true)[0], 0.001);
        assert_eq!(
            delays(&Path::of(0.001).reroute(50.1, 0.004, 0.0), false)[0],
            0.001
        );
    }
}
