//! When a source is asked next.

use conf::config::SourceConfig;
use units::PollInterval;

use crate::estimate::Estimator;

/// How much the interval may grow with each sample, log2.
const GROWTH: f64 = 0.15;

/// While a source does not answer the interval grows by this with each request, log2.
const GROWTH_UNANSWERED: f64 = 0.25;

/// The interval shrinks when the wander until the next sample is so many times the noise of a sample.
const WANDER_TOO_MUCH: f64 = 4.0;

/// The wait for the sample that confirms or clears a suspicion, as a share of the shortest interval.
const CONFIRMATION_SHARE: f64 = 0.25;

/// The interval between the requests of an initial burst, seconds.
const BURST_INTERVAL_S: f64 = 2.0;

/// How many requests an initial burst has at most …
const BURST_REQUESTS: u8 = 8;
/// … and how many good samples end it.
const BURST_SAMPLES: u8 = 4;

/// The polling of one source.
#[derive(Debug, Clone)]
pub struct Polling {
    min: i8,
    max: i8,
    target: f64,
    score: f64,
    burst: Option<Burst>,
    confirming: bool,
}

/// A burst of requests under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Good samples that are still wanted.
    pub good: u8,
    /// Requests that may still be sent.
    pub total: u8,
}

impl Polling {
    /// Begins at the shortest interval allowed.
    pub fn new(config: &SourceConfig) -> Self {
        Self {
            min: config.min_poll,
            max: config.max_poll.max(config.min_poll),
            target: f64::from(config.poll_target.max(1)),
            score: f64::from(config.min_poll),
            burst: None,
            confirming: false,
        }
    }

    /// The interval, log2 s.
    pub fn interval(&self) -> PollInterval {
        PollInterval(whole(self.score).clamp(self.min, self.max))
    }

    /// Starts the burst of a source that comes online.
    pub fn start_initial_burst(&mut self) {
        self.burst = Some(Burst {
            good: BURST_SAMPLES,
            total: BURST_REQUESTS,
        });
    }

    /// Starts a burst (`chronyc burst`).
    pub fn start_burst(&mut self, burst: Burst) {
        self.burst = (burst.good > 0 && burst.total > 0).then_some(burst);
    }

    /// The burst under way.
    pub fn burst(&self) -> Option<Burst> {
        self.burst
    }

    /// How long to wait after a request that was just sent, seconds.
    pub fn wait_s(&self) -> f64 {
        let interval_s = self.interval().as_seconds();
        match self.burst {
            Some(_) => BURST_INTERVAL_S.min(interval_s / 4.0),
            None if self.confirming => interval_s * CONFIRMATION_SHARE,
            None => interval_s,
        }
    }

    /// How long it is until the next sample, not counting one that only confirms a suspicion, seconds.
    pub fn steady_wait_s(&self) -> f64 {
        if self.burst.is_some() {
            self.wait_s()
        } else {
            self.interval().as_seconds()
        }
    }

    /// A request was sent.
    pub fn sent(&mut self, reachable: bool) {
        if let Some(burst) = &mut self.burst {
            burst.total = burst.total.saturating_sub(1);
            if burst.total == 0 {
                self.burst = None;
            }
        } else if !reachable {
            self.adjust(GROWTH_UNANSWERED);
        }
    }

    /// A good sample has come and was taken in.
    pub fn sampled(&mut self, estimator: &Estimator) {
        if let Some(burst) = &mut self.burst {
            burst.good = burst.good.saturating_sub(1);
            if burst.good == 0 {
                self.burst = None;
            }
            return;
        }
        // A suspicion is settled by one sample soon, and then by samples at the shortest interval.
        let suspicious = estimator.is_suspicious();
        self.confirming = suspicious && self.score > f64::from(self.min);
        if suspicious {
            self.score = f64::from(self.min);
            return;
        }
        let (Some(state), Some(last)) = (estimator.state(), estimator.last()) else {
            return;
        };
        let next = last.at.plus_seconds(self.interval().as_seconds());
        let (Some(then), Some(noise_s)) = (estimator.state_at(next), estimator.noise_s()) else {
            return;
        };
        // With a larger target of samples less wander is tolerated, so that the memory holds more of them.
        let wander = then.phase_variance.max(state.phase_variance) / (noise_s * noise_s) * self.target / 8.0;
        if wander < 1.0 {
            self.adjust(GROWTH);
        } else if wander > WANDER_TOO_MUCH {
            self.adjust(-(0.5 * (wander / WANDER_TOO_MUCH).log2()).clamp(0.25, 3.0));
        }
    }

    /// Sets the limits (`chronyc minpoll`, `maxpoll`); out-of-order limits follow the one that was set.
    pub fn set_limits(&mut self, min: i8, max: i8) {
        self.min = min;
        self.max = max.max(min);
        self.adjust(0.0);
    }

    /// The limits, log2 s.
    pub fn limits(&self) -> (i8, i8) {
        (self.min, self.max)
    }

    /// Sets the number of samples that polling aims for (`chronyc polltarget`).
    pub fn set_target(&mut self, target: u32) {
        self.target = f64::from(target.max(1));
    }

    /// Starts over at the shortest interval.
    pub fn restart(&mut self) {
        self.score = f64::from(self.min);
    }

    /// The interval with its fraction, log2 s; the measurements log prints it.
    pub fn score(&self) -> f64 {
        self.score
    }

    fn adjust(&mut self, by: f64) {
        self.score = (self.score + by).clamp(f64::from(self.min), f64::from(self.max));
    }
}

/// The whole part of a score, which is small.
fn whole(score: f64) -> i8 {
    i8::try_from(units::rounding::down_i64(score)).unwrap_or(i8::MAX)
}
