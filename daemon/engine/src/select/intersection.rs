//! On what time most sources agree.
//!
//! Marzullo's algorithm in the form of RFC 5905 §11.2.1: each source says that the truth lies in an interval; a
//! sweep over their ends finds where most of them overlap. RFC 5905 also counts midpoints; we do not, as a
//! midpoint says nothing about the truth when delays are asymmetric.

/// Where a source says the truth is: true time − system clock, seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) low_s: f64,
    pub(super) high_s: f64,
}

impl Interval {
    /// Returns the interval of a source with this offset that is wrong by at most `distance_s`. Neither may be
    /// NaN.
    pub(super) fn around(offset_s: f64, distance_s: f64) -> Self {
        // −0 would sort before 0; the sum of the two is 0.
        Self {
            low_s: offset_s - distance_s + 0.0,
            high_s: offset_s + distance_s + 0.0,
        }
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        self.low_s <= other.low_s && other.high_s <= self.high_s
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.low_s <= other.high_s && other.low_s <= self.high_s
    }
}

/// The result of a vote.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Agreement {
    /// From the first to the last point on which the largest number of sources agree.
    ///
    /// When different groups of the same size agree on different points, this spans them all, and only sources
    /// that belong to every such group contain it. If the group is a majority there is always one: two
    /// majorities share a source, and one that reaches from the first point to the last covers all between.
    pub(super) interval: Interval,
    /// How many agree.
    pub(super) agreeing: usize,
    /// How many voted.
    pub(super) voters: usize,
}

impl Agreement {
    /// Finds it; `None` without voters.
    pub(super) fn among(intervals: impl Iterator<Item = Interval>) -> Option<Self> {
        let mut ends = Vec::new();
        for interval in intervals {
            // Intervals that only touch overlap: where both are, beginnings sort before ends.
            ends.push((interval.low_s, false));
            ends.push((interval.high_s, true));
        }
        ends.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));

        let mut depth = 0_usize;
        let mut found: Option<Self> = None;
        for &(at_s, is_end) in &ends {
            if is_end {
                if let Some(found) = &mut found
                    && found.agreeing == depth
                {
                    found.interval.high_s = at_s;
                }
                depth = depth.saturating_sub(1);
            } else {
                depth += 1;
                if found.is_none_or(|found| depth > found.agreeing) {
                    let interval = Interval {
                        low_s: at_s,
                        high_s: at_s,
                    };
                    found = Some(Self {
                        interval,
                        agreeing: depth,
                        voters: ends.len() / 2,
                    });
                }
            }
        }
        found
    }

    /// Whether more than half of the voters agree.
    pub(super) fn is_majority(&self) -> bool {
        self.agreeing > self.voters / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(intervals: &[(f64, f64)], expected: Option<(f64, f64, usize)>, majority: bool) {
        let found = Agreement::among(
            intervals
                .iter()
                .map(|&(low_s, high_s)| Interval { low_s, high_s }),
        );
        let seen = found.map(|found| (found.interval.low_s, found.interval.high_s, found.agreeing));
        assert_eq!(seen, expected, "{intervals:?}");
        assert_eq!(
            found.is_some_and(|found| found.is_majority()),
            majority,
            "{intervals:?}"
        );
    }

    #[test]
    fn most_sources_agree_where_most_intervals_overlap() {
        check(&[], None, false);
        check(&[(1.0, 2.0)], Some((1.0, 2.0, 1)), true);
        check(&[(1.0, 1.0)], Some((1.0, 1.0, 1)), true);
        check(&[(0.0, 2.0), (1.0, 3.0), (8.0, 9.0)], Some((1.0, 2.0, 2)), true);
        // two that only touch agree
        check(&[(0.0, 1.0), (1.0, 2.0)], Some((1.0, 1.0, 2)), true);
        // nobody agrees with anybody
        check(&[(0.0, 1.0), (2.0, 3.0)], Some((0.0, 3.0, 1)), false);
        // two of four are no majority
        check(
            &[(0.0, 2.0), (1.0, 3.0), (8.0, 9.0), (11.0, 12.0)],
            Some((1.0, 2.0, 2)),
            false,
        );
        // two groups of two share the middle one: the span of both
        check(&[(-0.6, 0.6), (0.4, 1.6), (1.4, 2.6)], Some((0.4, 1.6, 2)), true);
        check(
            &[(f64::NEG_INFINITY, f64::INFINITY), (1.0, 2.0)],
            Some((1.0, 2.0, 2)),
            true,
        );
    }

    #[test]
    fn zero_has_no_sign() {
        let intervals = [
            Interval::around(-1.0, 1.0),
            Interval::around(0.0, 0.0),
            Interval::around(-0.0, 0.0),
        ];
        assert_eq!(
            Agreement::among(intervals.into_iter()).map(|found| found.agreeing),
            Some(3)
        );
    }

    proptest! {
        #[test]
        fn whoever_agrees_contains_the_point_where_most_do(
            sources in prop::collection::vec((-10.0..10.0_f64, 0.0..5.0_f64), 1..12),
        ) {
            let intervals: Vec<_> = sources.iter().map(|&(at, reach)| Interval::around(at, reach)).collect();
            let found = Agreement::among(intervals.iter().copied()).unwrap();
            let covering = |at_s| {
                let point = Interval { low_s: at_s, high_s: at_s };
                intervals.iter().filter(|interval| interval.contains(&point)).count()
            };
            prop_assert_eq!(covering(found.interval.low_s), found.agreeing);
            prop_assert_eq!(covering(found.interval.high_s), found.agreeing);
            for interval in &intervals {
                prop_assert!(covering(interval.low_s) <= found.agreeing);
            }
            let members = intervals.iter().filter(|interval| interval.contains(&found.interval)).count();
            prop_assert!(members <= found.agreeing);
            prop_assert!(!found.is_majority() || members >= 1);
        }
    }
}
