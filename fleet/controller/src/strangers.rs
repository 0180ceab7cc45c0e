//! Strangers: connections that have not yet proved whose they are. Anybody can open them, so that there is a
//! bound, and when it is reached the source that holds the most gives way: one address cannot keep all others
//! out, and a herd of hosts behind one address may have all the room that nobody else asks for.
//!
//! Agents that have proved their key are bounded elsewhere. Connections of the API count to their end, because a
//! token is no address: those on which a good one was shown give way last.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::source::Source;

/// How many there may be at once on the port of agents.
pub(crate) const STRANGERS_MAX: usize = 512;

/// After so long a stranger has had its time: a host proves itself in less.
const PATIENCE: Duration = Duration::from_secs(2);

/// The strangers that are connected.
pub(crate) struct Strangers {
    max: usize,
    connected: Vec<Stranger>,
}

struct Stranger {
    source: Source,
    since: Instant,
    /// Whether it has shown whose it is, though it still counts.
    proof: Proof,
    /// Tells it to give way; closed as soon as it is no stranger any more, or gone.
    give_way: oneshot::Sender<()>,
}

/// Whether a connection has shown whose it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proof(Arc<AtomicBool>);

impl Proof {
    pub(crate) fn is_given(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn give(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Strangers {
    pub(crate) fn new(max: usize) -> Self {
        Strangers {
            max,
            connected: Vec::new(),
        }
    }

    /// Lets a stranger in, and has another give way if there is no room; nothing when this one has to go. What
    /// is given is held as long as it is a stranger, and comes when it has to give way.
    pub(crate) fn admit(
        &mut self,
        source: Source,
        now: Instant,
        proof: Proof,
    ) -> Option<oneshot::Receiver<()>> {
        self.connected.retain(|stranger| !stranger.give_way.is_closed());
        if self.connected.len() >= self.max {
            let place = self.greediest(source, now)?;
            // It may prove itself in this moment, and need not go then.
            let _ = self.connected.swap_remove(place).give_way.send(());
        }
        let (give_way, told) = oneshot::channel();
        self.connected.push(Stranger {
            source,
            since: now,
            proof,
            give_way,
        });
        Some(told)
    }

    /// Who is to give way for a newcomer from `source`; nothing when that is the newcomer. Of the sources that
    /// hold the most, counting the newcomer, it is the connection that has had its time; else the newest, so
    /// that those in the middle of their proof come to its end. One with a proof goes only where there is no other.
    fn greediest(&self, source: Source, now: Instant) -> Option<usize> {
        let mut held = HashMap::from([(source, 1_usize)]);
        for stranger in &self.connected {
            *held.entry(stranger.source).or_default() += 1;
        }
        let most = held.values().copied().max().unwrap_or_default();
        let among = |source: &Source| held.get(source) == Some(&most);
        let theirs = || {
            let all = self.connected.iter().enumerate();
            all.filter(|(_, stranger)| among(&stranger.source))
        };
        let unproved = || theirs().filter(|(_, stranger)| !stranger.proof.is_given());
        let oldest = unproved().min_by_key(|(_, stranger)| stranger.since);
        let newest = |(_, stranger): &(usize, &Stranger)| stranger.since;
        match oldest {
            Some((place, stranger)) if now.duration_since(stranger.since) >= PATIENCE => Some(place),
            _ if among(&source) => None,
            _ => unproved()
                .max_by_key(newest)
                .or_else(|| theirs().max_by_key(newest))
                .map(|(place, _)| place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    impl Strangers {
        fn admit_unproved(&mut self, source: Source, now: Instant) -> Option<oneshot::Receiver<()>> {
            self.admit(source, now, Proof::default())
        }
    }

    /// Whether it was told to give way.
    fn was_told(told: &mut oneshot::Receiver<()>) -> bool {
        told.try_recv().is_ok()
    }

    #[test]
    fn one_address_cannot_keep_the_others_out() {
        let (greedy, now) = (source("192.0.2.1"), Instant::now());
        let mut strangers = Strangers::new(STRANGERS_MAX);
        let mut held: Vec<_> = (0..STRANGERS_MAX)
            .map(|n| {
                strangers
                    .admit_unproved(greedy, now + Duration::from_millis(n as u64))
                    .unwrap()
            })
            .collect();
        let later = now + Duration::from_secs(1);
        // It has all the room; more of it is not let in.
        assert!(strangers.admit_unproved(greedy, later).is_none());
        // Others are, each in the place of its newest.
        let mut others: Vec<_> = (0..100)
            .map(|n| {
                strangers
                    .admit_unproved(source(&format!("198.51.100.{n}")), later)
                    .unwrap()
            })
            .collect();
        assert!(!others.iter_mut().any(was_told));
        let told: Vec<usize> = (0..STRANGERS_MAX).filter(|&n| was_told(&mut held[n])).collect();
        assert_eq!(told, (STRANGERS_MAX - 100..STRANGERS_MAX).collect::<Vec<_>>());
        assert_eq!(strangers.connected.len(), STRANGERS_MAX);
    }

    #[test]
    fn who_only_waits_gives_way_to_a_neighbour_in_time() {
        let (herd, now) = (source("2001:db8::1"), Instant::now());
        let mut strangers = Strangers::new(STRANGERS_MAX);
        let mut held: Vec<_> = (0..STRANGERS_MAX)
            .map(|_| strangers.admit_unproved(herd, now).unwrap())
            .collect();
        let neighbour = source("2001:db8::2");
        assert!(strangers.admit_unproved(neighbour, now + PATIENCE / 2).is_none());
        assert!(strangers.admit_unproved(neighbour, now + PATIENCE).is_some());
        assert_eq!(held.iter_mut().filter_map(|told| told.try_recv().ok()).count(), 1);
    }

    #[test]
    fn who_has_proved_itself_or_is_gone_takes_no_room() {
        let (herd, now) = (source("192.0.2.1"), Instant::now());
        let mut strangers = Strangers::new(STRANGERS_MAX);
        for _ in 0..STRANGERS_MAX * 2 {
            let told = strangers.admit_unproved(herd, now);
            assert!(told.is_some());
        }
        assert_eq!(strangers.connected.len(), 1);
    }

    #[test]
    fn where_everybody_holds_one_the_newcomer_waits_for_its_turn() {
        let now = Instant::now();
        let mut strangers = Strangers::new(STRANGERS_MAX);
        let held: Vec<_> = (0..STRANGERS_MAX)
            .map(|n| {
                strangers
                    .admit_unproved(source(&format!("10.0.{}.{}", n / 256, n % 256)), now)
                    .unwrap()
            })
            .collect();
        assert!(strangers.admit_unproved(source("192.0.2.1"), now).is_none());
        drop(held);
        assert!(strangers.admit_unproved(source("192.0.2.1"), now).is_some());
    }

    #[test]
    fn who_has_shown_a_token_gives_way_last() {
        let (herd, other, now) = (source("192.0.2.1"), source("192.0.2.2"), Instant::now());
        let mut strangers = Strangers::new(4);
        let mut held: Vec<_> = (0..4)
            .map(|n| {
                let proof = Proof::default();
                if n != 2 {
                    proof.give();
                }
                strangers.admit(herd, now, proof).unwrap()
            })
            .collect();
        let mut told = || held.iter_mut().map(was_told).collect::<Vec<_>>();
        let later = now + PATIENCE;
        let _neighbour = strangers.admit_unproved(herd, later).unwrap();
        assert_eq!(told(), [false, false, true, false]);
        // Those with a proof do not make room for more of their own address, but for others.
        let only = Proof::default();
        only.give();
        strangers.connected[3].proof.give();
        assert!(strangers.admit(herd, later + PATIENCE, only).is_none());
        assert!(strangers.admit_unproved(other, later).is_some());
        assert_eq!(strangers.connected.len(), 4);
    }
}
