//! Room for what is under way, shared among those who ask.
//!
//! Nobody may hold more than what is left for the others: who is alone gets half of the room, the next one half of
//! the rest, and so on. One caller, with however many requests, leaves room for another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Room of a fixed size.
#[derive(Debug)]
pub(crate) struct Shares {
    max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    /// By whom; nobody is in it with nothing.
    by: HashMap<String, usize>,
}

/// A place in the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Shares>,
    who: String,
}

/// There is no place for this caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{total} are under way, {theirs} of them yours; there is room for {max}, and nobody gets more than is left for \
     the others; try again when some have ended"
)]
pub struct NoRoom {
    /// How many places are taken.
    total: usize,
    /// How many of them by this caller.
    theirs: usize,
    /// How many there are.
    max: usize,
}

impl Shares {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Shares {
            max,
            held: Mutex::default(),
        })
    }

    /// Takes a place for a caller.
    ///
    /// # Errors
    /// [`NoRoom`] when there is none for this one.
    pub(crate) fn take(self: &Arc<Self>, who: &str) -> Result<Share, NoRoom> {
        let mut held = self.lock();
        let (total, theirs) = (held.total, held.by.get(who).copied().unwrap_or_default());
        if theirs >= self.max.saturating_sub(total) {
            let max = self.max;
            return Err(NoRoom { total, theirs, max });
        }
        held.total += 1;
        *held.by.entry(who.to_owned()).or_default() += 1;
        Ok(Share {
            of: Arc::clone(self),
            who: who.to_owned(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.of.lock();
        held.total = held.total.saturating_sub(1);
        if let Some(theirs) = held.by.get_mut(&self.who) {
            *theirs = theirs.saturating_sub(1);
            if *theirs == 0 {
                held.by.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(shares: &Arc<Shares>, who: &str) -> Vec<Share> {
        std::iter::from_fn(|| shares.take(who).ok()).collect()
    }

    #[test]
    fn nobody_gets_more_than_is_left_for_the_others() {
        let shares = Shares::new(256);
        let greedy = take_all(&shares, "greedy");
        assert_eq!(greedy.len(), 128);
        let second = take_all(&shares, "second");
        assert_eq!(second.len(), 64);
        let others: Vec<_> = (0..100).map(|n| take_all(&shares, &n.to_string())).collect();
        assert_eq!(shares.lock().total, 256, "in the end all of it is given out");
        assert_eq!(
            shares.take("late").unwrap_err().to_string(),
            "256 are under way, 0 of them yours; there is room for 256, and nobody gets more than is left for the \
             others; try again when some have ended"
        );
        drop((greedy, others));
        assert_eq!(take_all(&shares, "late").len(), 96);
        drop(second);
        assert!(shares.lock().by.is_empty() && shares.lock().total == 0);
    }
}
