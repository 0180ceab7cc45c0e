//! When a source is asked next.

use conf::config::SourceConfig;
use units::PollInterval;

use crate::estimate::Estimator;

/// How much the interval may grow with each sample, log2.
const GROWTH: f64 = 0.2;

/// So many samples are taken at the shortest interval before it grows: fewer do not tell a frequency from noise, and what
/// is not known of it at the beginning is missed at long intervals, which make up for it slowly.
const SAMPLES_BEFORE_GROWTH: f64 = 13.0;

/// These are for this target of samples; with a smaller one the interval grows faster, …
const TARGET_USUAL: f64 = 8.0;
/// … up to so many times.
const GROWTH_TIMES_MAX: f64 = 6.0;

/// While a source does not answer the interval grows by this with each request, log2.
const GROWTH_UNANSWERED: f64 = 0.25;

/// An answer without time (not synchronised) makes the interval grow by this, log2 …
const GROWTH_UNSYNCHRONISED: f64 = 0.1;
/// … and one whose time cannot be used by this.
const GROWTH_UNUSABLE: f64 = 0.02;

/// The shortest interval between requests to a source that is not near, seconds.
const INTERVAL_FAR_MIN_S: f64 = 1.0;

/// How many requests the burst of one poll has at most (`burst`), log2.
const POLL_BURST_REQUESTS_LOG2: i8 = 2;

/// The interval shrinks when the wander until the next sample is so many times the noise of a sample.
const WANDER_TOO_MUCH: f64 = 4.0;

/// The wait for the sample that confirms or clears a suspicion, as a share of the shortest interval.
const CONFIRMATION_SHARE: f64 = 1.0 / 16.0;

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
    /// The burst belongs to one poll (`burst`), so that its sample counts for the interval.
    is_burst_of_poll: bool,
    confirming: bool,
    is_near: bool,
    /// Burst and score before the last request.
    before_request: Option<(Option<Burst>, f64)>,
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
            is_burst_of_poll: false,
            confirming: false,
            is_near: false,
            before_request: None,
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
        self.is_burst_of_poll = false;
    }

    /// Starts the burst of one poll: as many requests until one is good as fit into the shortest interval on
    /// average.
    pub fn start_poll_burst(&mut self) {
        let log2 = (self.interval().0 - self.min).clamp(0, POLL_BURST_REQUESTS_LOG2);
        if self.burst.is_none() && log2 > 0 {
            self.burst = Some(Burst {
                good: 1,
                total: 1 << log2,
            });
            self.is_burst_of_poll = true;
        }
    }

    /// Ends the burst under way.
    pub fn end_burst(&mut self) {
        self.burst = None;
    }

    /// Starts a burst (`chronyc burst`).
    pub fn start_burst(&mut self, burst: Burst) {
        self.burst = (burst.good > 0 && burst.total > 0).then_some(burst);
        self.is_burst_of_poll = false;
    }

    /// The burst under way.
    pub fn burst(&self) -> Option<Burst> {
        self.burst
    }

    /// How long to wait after a request that was just sent, seconds.
    pub fn wait_s(&self) -> f64 {
        let interval_s = self.interval_s();
        match self.burst {
            Some(_) => BURST_INTERVAL_S.min(interval_s / 4.0),
            None if self.confirming => {
                let shortest_s = PollInterval(self.min).as_seconds();
                interval_s
                    .min(shortest_s * CONFIRMATION_SHARE)
                    .max(self.interval_min_s())
            }
            None => interval_s,
        }
    }

    /// How long it is until the next sample, not counting one that only confirms a suspicion, seconds.
    pub fn steady_wait_s(&self) -> f64 {
        if self.burst.is_some() {
            self.wait_s()
        } else {
            self.interval_s()
        }
    }

    /// Whether the source answers quickly enough for intervals below a second.
    pub fn set_near(&mut self, is_near: bool) {
        self.is_near = is_near;
    }

    /// A request is sent; `unanswered`: the one before was not answered, and the source is not reachable.
    pub fn sent(&mut self, unanswered: bool) {
        self.before_request = Some((self.burst, self.score));
        if unanswered {
            self.adjust(GROWTH_UNANSWERED);
        }
        if let Some(burst) = &mut self.burst {
            burst.total = burst.total.saturating_sub(1);
            if burst.total == 0 {
                self.burst = None;
            }
        }
    }

    /// The last request could not be sent.
    pub fn not_sent(&mut self) {
        if let Some((burst, score)) = self.before_request.take() {
            (self.burst, self.score) = (burst, score);
        }
    }

    /// An answer came, but the source is not synchronised.
    pub fn unsynchronised(&mut self) {
        self.adjust(GROWTH_UNSYNCHRONISED);
    }

    /// An answer came whose time cannot be used.
    pub fn unusable(&mut self) {
        self.adjust(GROWTH_UNUSABLE);
    }

    /// A good answer came, which a burst was waiting for; says whether it was one of a burst that does not count
    /// for the interval. The last one does.
    pub fn answered_well(&mut self) -> bool {
        let Some(burst) = &mut self.burst else {
            return false;
        };
        burst.good = burst.good.saturating_sub(1);
        if burst.good == 0 {
            self.burst = None;
            return false;
        }
        !self.is_burst_of_poll
    }

    /// A good sample was taken in, and not during a burst.
    pub fn sampled(&mut self, estimator: &Estimator) {
        // A suspicion is settled by one sample soon, and if that does not clear it by samples at the shortest
        // interval.
        let suspicious = estimator.is_suspicious();
        let is_confirmed = suspicious && self.confirming;
        // Whose newest sample waits for the next one is not to wait long.
        self.confirming = suspicious && (self.interval().0 > self.min || estimator.is_waiting());
        if is_confirmed {
            self.score = f64::from(self.min);
        }
        if suspicious {
            return;
        }
        let (Some(state), Some(last)) = (estimator.state(), estimator.last()) else {
            return;
        };
        // A few samples say little of the wander. Who aims for as few is content with their number.
        let count = number(estimator.count());
        if count < TARGET_USUAL && count >= self.target {
            self.adjust(count / self.target - 1.0);
            return;
        }
        let next = last.at.plus_seconds(self.interval().as_seconds());
        let (Some(then), Some(noise_s)) = (estimator.state_at(next), estimator.noise_s()) else {
            return;
        };
        // With a larger target of samples less wander is tolerated, so that the memory holds more of them.
        let wander = then.phase_variance.max(state.phase_variance) / (noise_s * noise_s) * self.target / 8.0;
        let is_young = count < self.samples_before_growth(estimator) && self.interval().0 <= self.min;
        if wander < 1.0 && !is_young {
            // As many samples as are aimed for are taken at each interval.
            self.adjust(GROWTH * (TARGET_USUAL / self.target).min(GROWTH_TIMES_MAX));
        } else if wander > WANDER_TOO_MUCH {
            self.adjust(-(0.5 * (wander / WANDER_TOO_MUCH).log2()).clamp(0.25, 3.0));
        }
    }

    /// How many samples are wanted before the interval grows.
    fn samples_before_growth(&self, estimator: &Estimator) -> f64 {
        (SAMPLES_BEFORE_GROWTH * self.target / TARGET_USUAL).min(number(estimator.samples_max()))
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

    /// The interval as it is kept, log2 s: what reports show.
    pub fn used_interval(&self) -> PollInterval {
        let interval = self.interval();
        if self.is_near {
            interval
        } else {
            interval.max(PollInterval(0))
        }
    }

    /// The interval as it is kept, seconds.
    fn interval_s(&self) -> f64 {
        self.interval().as_seconds().max(self.interval_min_s())
    }

    /// The shortest interval that this source may be asked at, seconds.
    fn interval_min_s(&self) -> f64 {
        if self.is_near { 0.0 } else { INTERVAL_FAR_MIN_S }
    }

    fn adjust(&mut self, by: f64) {
        self.score = (self.score + by).clamp(f64::from(self.min), f64::from(self.max));
    }
}

/// How many samples, as a number to calculate with.
fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// The whole part of a score, which is small.
fn whole(score: f64) -> i8 {
    i8::try_from(units::rounding::down_i64(score)).unwrap_or(i8::MAX)
}
