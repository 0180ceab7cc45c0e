//! Noticing that the oscillator, or the path, is not what it was.
//!
//! After each sample the likeliest filter is run over the newest samples once more for each place where
//! something may have changed and for several sizes of the change. If the samples are so much likelier with one
//! of them that chance is no explanation (a test of the likelihood ratio), the change is written into the window:
//! from then on every filter forgets at that place what is no longer true, and keeps what still is.

use super::bank::{FORGETTING, Likeliest, Member};
use super::state::Change;
use super::track::{Innovation, Innovations, Step, Track, Tracks};
use super::{Estimator, SUSPICION};

/// So many newest samples are looked at.
const LOOK_BACK: usize = 12;

/// There is no change to be seen among fewer samples.
const SAMPLES_MIN: usize = 5;

/// The likelihood ratio, as logarithm, from which on a change is believed: one in 8,000 would be chance.
const BELIEVED: f64 = 9.0;

/// Before there were so many samples the frequency is hardly known, and what could change is the phase.
const SAMPLES_OF_FREQUENCY: usize = 3;

/// Standard deviations of a change of frequency that are tried.
const FREQUENCY_CHANGES: [f64; 5] = [1e-7, 3.2e-7, 1e-6, 3.2e-6, 3.2e-5];

/// The standard deviation of a change of phase that is tried, in standard deviations of a sample.
const PHASE_CHANGE: f64 = 10.0;

/// So many changes are tried at one place: those of frequency, two of phase, and none, as an even number of filters is
/// no more work than an odd one.
const CHANGES: usize = (FREQUENCY_CHANGES.len() + 2).next_multiple_of(2);

/// One of the newest samples, as a filter saw it.
struct Seen<const UNEQUAL: bool> {
    index: usize,
    step: Step,
    variance: f64,
    /// What was known after the sample before it.
    known: Track<UNEQUAL>,
    innovation: Innovation,
}

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
        self.changed = None;
        let Some(best) = self.likeliest_change() else {
            return;
        };
        self.suspicion = best.gain;
        // One sample alone may be a bad sample.
        if best.gain > BELIEVED && best.index + 2 <= self.window.len() {
            if let Some(entry) = self.window.get_mut(best.index) {
                entry.change = Some(best.change);
                self.changed = Some(entry.sample.at);
            }
            self.evaluate();
        }
    }

    /// The change that explains the newest samples best.
    fn likeliest_change(&self) -> Option<Candidate> {
        if self.window.len() < SAMPLES_MIN {
            return None;
        }
        match self.bank.likeliest(&self.window, &self.prior)? {
            Likeliest::Alike(member) => self.likeliest_for(&member),
            Likeliest::Unequal(member) => self.likeliest_for(&member),
        }
    }

    /// The change that explains the newest samples best to one filter.
    fn likeliest_for<const UNEQUAL: bool>(&self, member: &Member<UNEQUAL>) -> Option<Candidate> {
        let mut track = member.start;
        let look_from = self.window.len().saturating_sub(LOOK_BACK);
        let mut newest = Vec::with_capacity(LOOK_BACK);
        for (index, step) in self.bank.steps(&self.window).enumerate().skip(member.first) {
            let known = track;
            let variance = member.variance(&step);
            let innovation = track.take_in(&step, member.wander_power, variance);
            if index >= look_from {
                newest.push(Seen {
                    index,
                    step,
                    variance,
                    known,
                    innovation,
                });
            }
        }
        let mut best: Option<Candidate> = None;
        let (mut unchanged, mut room) = (0.0, 0.0);
        let mut weight = 1.0;
        for (place, seen) in newest.iter().enumerate().rev() {
            let index = seen.index;
            unchanged += weight * seen.innovation.log_likelihood();
            // A change makes variances no smaller: it can explain the misses away and no more.
            room += weight * seen.innovation.surprise / 2.0;
            weight *= FORGETTING;
            let Some(entry) = self
                .window
                .get(index)
                .filter(|entry| room > SUSPICION && index > 0 && entry.change.is_none())
            else {
                continue;
            };
            let mut expecting = seen.known;
            expecting.advance(&seen.step, member.wander_power);
            let miss_s = seen.step.phase_s - expecting.expected(seen.step.excess_s).0;
            // What a wait on the way can explain is no news of the clock. Among the first samples it is not known yet how
            // long a packet takes that waits nowhere, and all of their way may have been a wait.
            let is_early = index < SAMPLES_OF_FREQUENCY;
            let wait_s = match self.window.get(index.saturating_sub(1)) {
                Some(before) if is_early => (before.sample.delay_s + entry.sample.delay_s) / 2.0,
                _ => entry.wait_s(),
            };
            let news_s = (miss_s.abs() - wait_s).max(0.0);
            let mut changes = candidates(member.noise_variance, seen.step.interval_s / 2.0, news_s);
            if is_early {
                changes[..FREQUENCY_CHANGES.len()].fill(None);
            }
            let gains = log_likelihoods(&newest[place..], member.wander_power, expecting, &changes);
            for (change, log_likelihood) in changes.into_iter().zip(gains) {
                let gain = log_likelihood - unchanged;
                if let Some(change) = change
                    && best.as_ref().is_none_or(|best| gain >= best.gain)
                {
                    best = Some(Candidate { index, change, gain });
                }
            }
        }
        best
    }
}

/// How likely samples are, if one of these changes came before the first of them; `expecting` is what is known at that
/// sample's time without it.
fn log_likelihoods<const UNEQUAL: bool>(
    samples: &[Seen<UNEQUAL>],
    wander_power: f64,
    expecting: Track<UNEQUAL>,
    changes: &[Option<Change>; CHANGES],
) -> [f64; CHANGES] {
    let mut tracks = Tracks::<CHANGES, UNEQUAL>::from_fn(|index| {
        let mut track = expecting;
        if let Some(change) = changes[index] {
            track.disturb(change);
        }
        track
    });
    let mut sums = [0.0; CHANGES];
    for (number, Seen { step, variance, .. }) in samples.iter().enumerate() {
        if number > 0 {
            tracks.advance(step, wander_power);
        }
        let mut is_sound = true;
        let mut innovations = Innovations::new();
        for index in 0..CHANGES {
            let mut track = tracks.get(index);
            innovations.set(index, &track.update(step, *variance));
            is_sound &= track.is_sound();
            tracks.set(index, &track);
        }
        innovations.add_to(&mut sums, FORGETTING);
        if !is_sound {
            tracks.make_sound();
        }
    }
    sums
}

/// The changes that are tried before one sample, which is off by `news_s` more than its way explains; `since_s` is how
/// long before it they are thought to have happened.
fn candidates(noise_variance: f64, since_s: f64, news_s: f64) -> [Option<Change>; CHANGES] {
    let mut changes = [None; CHANGES];
    for (change, deviation) in changes.iter_mut().zip(FREQUENCY_CHANGES) {
        *change = Some(Change::Frequency {
            variance: deviation * deviation,
            since_s,
        });
    }
    let usual = PHASE_CHANGE * PHASE_CHANGE * noise_variance;
    // A server that was set moves by any amount; what is tried has to be as large.
    for (change, variance) in changes[FREQUENCY_CHANGES.len()..]
        .iter_mut()
        .zip([usual, news_s * news_s])
    {
        *change = (news_s > 0.0 && variance >= usual).then_some(Change::Phase { variance });
    }
    changes
}
