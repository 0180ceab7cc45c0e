//! Noticing that the oscillator, or the path, is not what it was.
//!
//! After each sample the likeliest filter is run over the newest samples once more for each place where
//! something may have changed and for several sizes of the change. If the samples are so much likelier with one
//! of them that chance is no explanation (a test of the likelihood ratio), the change is written into the window:
//! from then on every filter forgets at that place what is no longer true, and keeps what still is.

use units::Mono;

use super::bank::{FORGETTING, Member};
use super::noise::PathDelay;
use super::state::Change;
use super::track::Track;
use super::{Entry, Estimator, SUSPICION};

/// So many newest samples are looked at.
const LOOK_BACK: usize = 12;

/// There is no change to be seen among fewer samples.
const SAMPLES_MIN: usize = 5;

/// The likelihood ratio, as logarithm, from which on a change is believed: one in 8,000 would be chance.
const BELIEVED: f64 = 9.0;

/// Standard deviations of a change of frequency that are tried.
const FREQUENCY_CHANGES: [f64; 5] = [1e-7, 3.2e-7, 1e-6, 3.2e-6, 3.2e-5];

/// The standard deviation of a change of phase that is tried, in standard deviations of a sample.
const PHASE_CHANGE: f64 = 10.0;

/// A change that would explain the samples.
struct Candidate {
    index: usize,
    change: Change,
    gain: f64,
}

impl Estimator {
    /// Looks whether the newest samples say that something has changed, and if so takes it into account.
    pub(super) fn look_for_change(&mut self) {
        self.suspicion = 0.0;
        let Some(best) = self.likeliest_change() else {
            return;
        };
        self.suspicion = best.gain;
        // One sample alone may be a bad sample.
        if best.gain > BELIEVED && best.index + 2 <= self.window.len() {
            if let Some(entry) = self.window.get_mut(best.index) {
                entry.change = Some(best.change);
            }
            self.opinion = self.bank.evaluate(&self.window, &self.prior);
        }
    }

    /// The change that explains the newest samples best.
    fn likeliest_change(&self) -> Option<Candidate> {
        let count = self.window.len();
        if count < SAMPLES_MIN {
            return None;
        }
        let path = self.bank.path();
        let member = self.bank.likeliest()?;
        let (mut track, first) = member.start(&self.window, path, &self.prior)?;
        // What was known before each of the newest samples, when the one before it was, and how it was foretold.
        let mut newest = Vec::with_capacity(LOOK_BACK);
        let mut previous: Option<Mono> = None;
        for (index, entry) in self.window.iter().enumerate().skip(first) {
            let known = track;
            let innovation = member.step(&mut track, entry, path);
            if index + LOOK_BACK >= count {
                newest.push((index, entry, known, previous, innovation));
            }
            previous = Some(entry.sample.at);
        }
        let mut best: Option<Candidate> = None;
        let (mut unchanged, mut room) = (0.0, 0.0);
        let mut weight = 1.0;
        for (index, entry, known, previous, innovation) in newest.into_iter().rev() {
            unchanged += weight * innovation.log_likelihood();
            // A change makes variances no smaller: it can explain the misses away and no more.
            room += weight * innovation.surprise() / 2.0;
            weight *= FORGETTING;
            let Some(before) = previous.filter(|_| room > SUSPICION && index > 2 && entry.change.is_none())
            else {
                continue;
            };
            let since_s = entry.sample.at.seconds_since(before) / 2.0;
            let expected = known
                .predicted(entry.sample.at, member.wander_power)
                .expected(path.excess_s(entry));
            let miss_s = entry.phase_s() - expected.0;
            // What a wait on the way can explain is no news of the clock.
            let news_s = (miss_s.abs() - entry.wait_s()).max(0.0);
            for change in candidates(member, since_s, news_s) {
                let gain = self.log_likelihood(member, path, known, index, change) - unchanged;
                if best.as_ref().is_none_or(|best| gain >= best.gain) {
                    best = Some(Candidate { index, change, gain });
                }
            }
        }
        best
    }

    /// How likely the samples from `index` on are, from the state before them, if `change` came before the first.
    fn log_likelihood(
        &self,
        member: &Member,
        path: &PathDelay,
        mut track: Track,
        index: usize,
        change: Change,
    ) -> f64 {
        let mut sum = 0.0;
        for (position, entry) in self.window.iter().enumerate().skip(index) {
            let entry = if position == index {
                Entry {
                    change: Some(change),
                    ..*entry
                }
            } else {
                *entry
            };
            sum = FORGETTING * sum + member.step(&mut track, &entry, path).log_likelihood();
        }
        sum
    }
}

/// The changes that are tried before one sample, which is off by `news_s` more than its way explains.
fn candidates(member: &Member, since_s: f64, news_s: f64) -> impl Iterator<Item = Change> + use<> {
    let usual = PHASE_CHANGE * PHASE_CHANGE * member.noise_variance;
    // A server that was set moves by any amount; what is tried has to be as large.
    let phases = [usual, news_s * news_s]
        .into_iter()
        .filter(move |&variance| news_s > 0.0 && variance >= usual)
        .map(|variance| Change::Phase { variance });
    FREQUENCY_CHANGES
        .into_iter()
        .map(move |deviation| Change::Frequency {
            variance: deviation * deviation,
            since_s,
        })
        .chain(phases)
}
