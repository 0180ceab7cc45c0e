//! How long to wait before the next try: longer each time, and for no two agents the same.

use std::time::Duration;

use uuid::Uuid;

/// Base of the first wait.
const FIRST: Duration = Duration::from_secs(1);

/// Base of the longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// Waits of 1, 2, 4 … 60 seconds, each between half and one and a half of that.
#[derive(Debug)]
pub(super) struct Backoff {
    base: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base: FIRST }
    }
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let base = self.base;
        self.base = (base * 2).min(LONGEST);
        base.mul_f64(0.5 + random())
    }
}

/// A random number from 0 to 1.
fn random() -> f64 {
    let (bits, _, _, _) = Uuid::new_v4().as_fields();
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_differ() {
        let mut backoff = Backoff::default();
        let waits: Vec<f64> = (0..20).map(|_| backoff.next().as_secs_f64()).collect();
        assert!((0.5..=1.5).contains(&waits[0]));
        assert!((1.0..=3.0).contains(&waits[1]));
        assert!(waits[10..].iter().all(|wait| (30.0..=90.0).contains(wait)));
        assert!(waits[10..].windows(2).any(|pair| pair[0] != pair[1]));
    }
}
