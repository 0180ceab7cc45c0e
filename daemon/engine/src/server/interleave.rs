//! What the interleaved mode needs: when our answers really left.

use std::collections::VecDeque;

use units::{NtpTimestamp, rounding};

use crate::io::StampSource;

/// How far back a receive timestamp may lie behind the newest before the clock is taken for stepped, seconds.
const DISORDER_MAX_S: f64 = 1.0;

/// How often a receive timestamp is moved by 2^-32 s to be unlike those that are kept.
const MOVES_MAX: u8 = 16;

/// Holds pairs of timestamps of answers: when the request arrived, which names the pair, and when the answer
/// left, which was not known when it was written.
///
/// A client that gives back the receive timestamp of an answer gets the transmit timestamp of that answer with
/// the next one. Pairs are of all clients together; the oldest goes when there is no room.
/// Source: RFC 9769 §2; observed with chronyd 4.3.
#[derive(Debug, Clone)]
pub struct Interleave {
    /// In the order of receive timestamps.
    pairs: VecDeque<Pair>,
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    received: NtpTimestamp,
    sent: NtpTimestamp,
    source: StampSource,
    /// Given to a client already; a pair is given once.
    given: bool,
}

impl Interleave {
    /// Returns room for `most` pairs. The memory is taken as it is needed.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            pairs: VecDeque::new(),
            most,
        }
    }

    /// Keeps a pair for the answer to a request that arrived at `received` and is sent at `sent`.
    ///
    /// Returns the receive timestamp that names the pair and belongs into the answer: `received`, or a few
    /// 2^-32 s later if there was such a pair. `None`: no pair could be kept.
    pub fn keep(&mut self, received: NtpTimestamp, sent: NtpTimestamp) -> Option<NtpTimestamp> {
        if self.most == 0 {
            return None;
        }
        let newest = self.pairs.back().map(|pair| pair.received);
        if newest.is_some_and(|newest| (received - newest).as_seconds() < -DISORDER_MAX_S) {
            self.pairs.clear();
        }
        let mut received = received;
        for _ in 0..MOVES_MAX {
            match self.place(received) {
                Ok(_) => received = NtpTimestamp(received.0.wrapping_add(1)),
                Err(place) => {
                    let pair = Pair {
                        received,
                        sent,
                        source: StampSource::Daemon,
                        given: false,
                    };
                    self.pairs.insert(place, pair);
                    if self.pairs.len() > self.most {
                        self.pairs.pop_front();
                    }
                    return Some(received);
                }
            }
        }
        None
    }

    /// Learns when the answer named by `received` really left.
    pub fn sent(&mut self, received: NtpTimestamp, sent: NtpTimestamp, source: StampSource) {
        if let Ok(place) = self.place(received)
            && let Some(pair) = self.pairs.get_mut(place)
            && source >= pair.source
        {
            (pair.sent, pair.source) = (sent, source);
        }
    }

    /// Returns when the answer named by `received` left and who saw it leave. A second time there is nothing.
    pub fn take(&mut self, received: NtpTimestamp) -> Option<(NtpTimestamp, StampSource)> {
        let place = self.place(received).ok()?;
        let pair = self.pairs.get_mut(place)?;
        if pair.given {
            return None;
        }
        pair.given = true;
        Some((pair.sent, pair.source))
    }

    /// Forgets everything: after a step of the clock the timestamps are of another time.
    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    /// Returns how many pairs are kept.
    #[must_use]
    pub fn held(&self) -> usize {
        self.pairs.len()
    }

    /// Returns the seconds from the oldest pair to the newest; 0 if there are fewer than two.
    #[must_use]
    pub fn span_s(&self) -> u32 {
        match (self.pairs.front(), self.pairs.back()) {
            (Some(oldest), Some(newest)) => {
                let seconds = rounding::down_i64((newest.received - oldest.received).as_seconds());
                u32::try_from(seconds).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Returns where the pair named by `received` is, or where it would be.
    fn place(&self, received: NtpTimestamp) -> Result<usize, usize> {
        self.pairs
            .binary_search_by(|pair| (pair.received - received).cmp(&units::NtpDuration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(units: u64) -> NtpTimestamp {
        NtpTimestamp((0xeeac_0000 << 32) + units)
    }

    #[test]
    fn a_pair_is_given_once() {
        let mut pairs = Interleave::new(8);
        assert_eq!(pairs.keep(at(10), at(20)), Some(at(10)));
        pairs.sent(at(10), at(25), StampSource::Kernel);
        pairs.sent(at(10), at(21), StampSource::Daemon);
        assert_eq!(pairs.take(at(11)), None);
        assert_eq!(pairs.take(at(10)), Some((at(25), StampSource::Kernel)));
        assert_eq!(pairs.take(at(10)), None);
        assert_eq!(pairs.held(), 1);
    }

    #[test]
    fn names_are_unlike_each_other() {
        let mut pairs = Interleave::new(100);
        for _ in 0..16 {
            assert!(pairs.keep(at(5), at(9)).is_some());
        }
        assert_eq!(pairs.keep(at(5), at(9)), None);
        assert_eq!(pairs.held(), 16);
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let mut pairs = Interleave::new(4);
        for units in 0..10 {
            pairs.keep(at(units << 32), at(units << 32));
        }
        assert_eq!((pairs.held(), pairs.span_s()), (4, 3));
        assert_eq!(pairs.take(at(5 << 32)), None);
        assert!(pairs.take(at(6 << 32)).is_some());
        assert_eq!(Interleave::new(0).keep(at(1), at(2)), None);
    }

    #[test]
    fn a_clock_that_was_stepped_back_starts_anew() {
        let mut pairs = Interleave::new(10);
        pairs.keep(at(100 << 32), at(0));
        pairs.keep(at((100 << 32) - (1 << 30)), at(0));
        assert_eq!(pairs.held(), 2);
        pairs.keep(at(50 << 32), at(0));
        assert_eq!(pairs.held(), 1);
    }

    #[test]
    fn the_era_may_end() {
        let mut pairs = Interleave::new(10);
        let before = NtpTimestamp(u64::MAX - 5);
        pairs.keep(before, NtpTimestamp(u64::MAX));
        pairs.keep(NtpTimestamp(3), NtpTimestamp(9));
        assert!(pairs.take(before).is_some());
        assert!(pairs.take(NtpTimestamp(3)).is_some());
    }

    proptest! {
        #[test]
        fn what_was_kept_last_is_found(arrivals in vec(0u64..2000, 1..60)) {
            let mut pairs = Interleave::new(16);
            for (sent, arrival) in arrivals.iter().enumerate() {
                let sent = at(u64::try_from(sent).unwrap());
                if let Some(name) = pairs.keep(at(*arrival), sent) {
                    let newest = pairs.pairs.back().unwrap().received;
                    prop_assert!(pairs.held() <= 16);
                    if newest == name {
                        prop_assert_eq!(pairs.take(name), Some((sent, StampSource::Daemon)));
                    }
                }
            }
            let ordered = pairs.pairs.iter().zip(pairs.pairs.iter().skip(1));
            for (earlier, later) in ordered {
                prop_assert!((later.received - earlier.received) > units::NtpDuration::ZERO);
            }
        }
    }
}
