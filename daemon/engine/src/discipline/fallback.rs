//! Long-term averages of the frequency, for when the sources are lost (`fallbackdrift`).
//!
//! The frequency of the last update may be that of a passing state, such as a host under load. The longer nothing
//! comes from the sources, the longer the time over which the frequency was averaged that is used instead.

use conf::config::FallbackDrift;
use units::Mono;

/// Averages the frequency over 2^min, … 2^max seconds, and says when to use which.
#[derive(Debug, Clone)]
pub struct FallbackFrequencies {
    averages: Vec<Average>,
    updated_at: Option<Mono>,
    /// The average that is used next.
    next: usize,
}

/// An average over some time, with weights that fall off exponentially into the past.
#[derive(Debug, Clone, Copy)]
struct Average {
    over_s: f64,
    seen_s: f64,
    frequency: f64,
}

impl FallbackFrequencies {
    /// Begins without averages; without a rule there are none.
    pub fn new(rule: Option<FallbackDrift>) -> Self {
        Self {
            averages: rule
                .into_iter()
                .flat_map(|rule| rule.min..=rule.max)
                .map(|log2_s| Average {
                    over_s: 2_f64.powi(i32::from(log2_s)),
                    seen_s: 0.0,
                    frequency: 0.0,
                })
                .collect(),
            updated_at: None,
            next: 0,
        }
    }

    /// The clock was updated and has this frequency now. Returns when to [`fall back`](Self::fall_back) if nothing
    /// else comes.
    pub fn updated(&mut self, now: Mono, frequency: f64) -> Option<Mono> {
        let since_s = self
            .updated_at
            .map_or(0.0, |last| now.seconds_since(last).max(0.0));
        for average in &mut self.averages {
            average.add(since_s, frequency);
        }
        self.updated_at = Some(now);
        self.next = 0;
        self.due()
    }

    /// It is time. Returns the frequency to use from now on, if it was averaged for long enough, and when the next
    /// one is due.
    pub fn fall_back(&mut self) -> (Option<f64>, Option<Mono>) {
        let average = self.averages.get(self.next);
        let frequency = average
            .filter(|average| average.seen_s >= average.over_s)
            .map(|average| average.frequency);
        self.next += 1;
        (frequency, self.due())
    }

    fn due(&self) -> Option<Mono> {
        let average = self.averages.get(self.next)?;
        Some(self.updated_at?.plus_seconds(average.over_s))
    }
}

impl Average {
    /// The frequency was this for so many seconds.
    fn add(&mut self, seconds: f64, frequency: f64) {
        self.seen_s += seconds;
        if self.seen_s <= 0.0 {
            self.frequency = frequency;
            return;
        }
        // Until all of its time has passed it is the plain mean.
        let weight = (seconds / self.seen_s).max(1.0 - (-seconds / self.over_s).exp());
        self.frequency += weight * (frequency - self.frequency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Mono {
        Mono::ZERO.plus_seconds(seconds)
    }

    #[test]
    fn the_longer_nothing_comes_the_longer_the_average() {
        let mut fallback = FallbackFrequencies::new(Some(FallbackDrift { min: 6, max: 8 }));
        // 10 ppm for a long time, and 50 ppm in the last minute.
        for second in 0..=2000 {
            let frequency = if second > 1940 { 50e-6 } else { 10e-6 };
            fallback.updated(at(f64::from(second)), frequency);
        }
        assert_eq!(fallback.due(), Some(at(2064.0)));
        let mut used = Vec::new();
        loop {
            let (frequency, next) = fallback.fall_back();
            used.push(frequency.expect("it was averaged for long enough"));
            match next {
                Some(next) if used.len() == 1 => assert_eq!(next, at(2128.0)),
                Some(next) => assert_eq!(next, at(2256.0)),
                None => break,
            }
        }
        assert_eq!(used.len(), 3);
        assert!(used.is_sorted_by(|a, b| a > b), "{used:?}");
        assert!(
            (30e-6..50e-6).contains(&used[0]) && (10e-6..20e-6).contains(&used[2]),
            "{used:?}"
        );
    }

    #[test]
    fn an_average_of_too_short_a_time_is_not_used() {
        let mut fallback = FallbackFrequencies::new(Some(FallbackDrift { min: 4, max: 6 }));
        fallback.updated(at(0.0), 1e-6);
        fallback.updated(at(40.0), 3e-6);
        assert!(fallback.fall_back().0.is_some_and(|frequency| frequency > 2.7e-6));
        assert!(fallback.fall_back().0.is_some());
        assert_eq!(fallback.fall_back(), (None, None));
    }

    #[test]
    fn without_the_rule_nothing_is_due() {
        let mut fallback = FallbackFrequencies::new(None);
        assert_eq!(fallback.updated(at(0.0), 1e-6), None);
        assert_eq!(fallback.fall_back(), (None, None));
    }
}
