//! Leap seconds: who announces one, when it comes, and who makes it.
//!
//! A leap second changes UTC and not the oscillator. At that instant all phases, which are told against UTC, move
//! by one second; whether the system clock moves with them is the choice of the operator (`leapsecmode`): the
//! kernel makes it, we step, we slew, or nobody does anything until the sources show the offset.

use conf::config::LeapMode;
use units::{Leap, UnixTime};

const SECONDS_PER_DAY: i64 = 86_400;

/// After the leap second, announcements of it are not believed any more for so long, seconds: servers may be slow
/// to take them back.
const DEAF_AFTER_S: f64 = 12.0 * 3600.0;

/// A table of leap seconds, from a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeapTable {
    /// From each instant (Unix seconds, ascending) on, TAI − UTC in seconds.
    pub entries: Vec<(i64, i32)>,
    /// After this instant the table is not to be trusted, Unix seconds.
    pub expires: i64,
}

impl LeapTable {
    /// TAI − UTC at some time, seconds; `None` before the first entry and after the table's end.
    pub fn tai_offset_s(&self, at: UnixTime) -> Option<i32> {
        if at.seconds() >= self.expires {
            return None;
        }
        self.entries
            .iter()
            .rev()
            .find(|(from, _)| *from <= at.seconds())
            .map(|(_, offset_s)| *offset_s)
    }

    /// The leap second at the end of the UTC day of `at`; `None` when the table does not reach so far.
    pub fn leap(&self, at: UnixTime) -> Option<Leap> {
        let end = end_of_day(at);
        let before = self.tai_offset_s(at)?;
        let after = self
            .entries
            .iter()
            .rev()
            .find(|(from, _)| *from <= end)
            .map(|(_, offset_s)| *offset_s)?;
        Some(match after - before {
            1 => Leap::Insert,
            -1 => Leap::Delete,
            _ => Leap::Normal,
        })
    }
}

/// What is known of the next leap second.
#[derive(Debug, Clone)]
pub struct Leaps {
    mode: LeapMode,
    table: Option<LeapTable>,
    pending: Leap,
    /// When the last one was.
    last: Option<UnixTime>,
}

impl Leaps {
    /// Begins without an announcement.
    pub fn new(mode: LeapMode, table: Option<LeapTable>) -> Self {
        Self {
            mode,
            table,
            pending: Leap::Normal,
            last: None,
        }
    }

    /// How it is made.
    pub fn mode(&self) -> LeapMode {
        self.mode
    }

    /// The leap second at the end of this UTC day.
    pub fn pending(&self) -> Leap {
        self.pending
    }

    /// TAI − UTC, seconds, when the table knows.
    pub fn tai_offset_s(&self, now: UnixTime) -> Option<i32> {
        self.table.as_ref()?.tai_offset_s(now)
    }

    /// The table, if there is one.
    pub fn table(&self) -> Option<&LeapTable> {
        self.table.as_ref()
    }

    /// Goes on with another table.
    pub fn set_table(&mut self, table: LeapTable) {
        self.table = Some(table);
    }

    /// Takes in what the sources announce. A leap second in the table needs nobody to announce it; one that the
    /// sources announce needs no table, which may be older than it (chrony.conf(5), `leapsectz`). Returns whether the
    /// announcement is another.
    pub fn announce(&mut self, now: UnixTime, from_sources: Leap) -> bool {
        let deaf = self
            .last
            .is_some_and(|last| now.seconds_since(last).abs() < DEAF_AFTER_S);
        let announced = match self.table.as_ref().and_then(|table| table.leap(now)) {
            // The clock may read the last second of the day once more.
            _ if deaf => Leap::Normal,
            Some(leap @ (Leap::Insert | Leap::Delete)) => leap,
            _ if matches!(from_sources, Leap::Insert | Leap::Delete) && is_last_day_of_month(now) => {
                from_sources
            }
            _ => Leap::Normal,
        };
        let changed = announced != self.pending;
        self.pending = announced;
        changed
    }

    /// The end of the UTC day, when something is announced for it: the first second after an inserted one, or the
    /// second that is left out.
    pub fn due(&self, now: UnixTime) -> Option<UnixTime> {
        let end = end_of_day(now);
        match self.pending {
            Leap::Insert => Some(UnixTime::from_seconds(end)),
            Leap::Delete => Some(UnixTime::from_seconds(end - 1)),
            Leap::Normal | Leap::Unsynchronised => None,
        }
    }

    /// The leap second is here. Returns by how much UTC moves against the oscillator, seconds.
    pub fn pass(&mut self, now: UnixTime) -> f64 {
        let by_s = match self.pending {
            Leap::Insert => -1.0,
            Leap::Delete => 1.0,
            Leap::Normal | Leap::Unsynchronised => 0.0,
        };
        self.pending = Leap::Normal;
        self.last = Some(now);
        by_s
    }
}

/// The first second of the next UTC day, Unix seconds.
fn end_of_day(at: UnixTime) -> i64 {
    (at.seconds().div_euclid(SECONDS_PER_DAY) + 1) * SECONDS_PER_DAY
}

/// Whether the UTC day is the last of its month, the only day that ends with a leap second (ITU-R TF.460-6).
fn is_last_day_of_month(at: UnixTime) -> bool {
    UnixTime::from_seconds(end_of_day(at)).date_time().get(8..10) == Some("01")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2016-12-31 12:00:00, the day of the last leap second so far.
    const NOON: i64 = 1_483_185_600;

    fn table() -> LeapTable {
        LeapTable {
            entries: vec![(1_435_708_800, 36), (1_483_228_800, 37)],
            expires: 1_900_000_000,
        }
    }

    #[test]
    fn the_table_knows_the_day() {
        let mut leaps = Leaps::new(LeapMode::Step, Some(table()));
        assert!(
            !leaps.announce(UnixTime::from_seconds(NOON - 86_400), Leap::Insert),
            "it is not the day"
        );
        assert!(leaps.announce(UnixTime::from_seconds(NOON), Leap::Normal));
        assert_eq!(
            leaps.due(UnixTime::from_seconds(NOON)),
            Some(UnixTime::from_seconds(1_483_228_800))
        );
        assert_eq!(leaps.tai_offset_s(UnixTime::from_seconds(NOON)), Some(36));
        assert_eq!(leaps.pass(UnixTime::from_seconds(1_483_228_800)), -1.0);
        assert_eq!(leaps.pending(), Leap::Normal);
    }

    #[test]
    fn the_table_and_the_sources_need_not_wait_for_each_other() {
        let old = LeapTable {
            entries: vec![(1_435_708_800, 36)],
            ..table()
        };
        let mut leaps = Leaps::new(LeapMode::Step, Some(old.clone()));
        assert!(leaps.announce(UnixTime::from_seconds(NOON), Leap::Insert));
        assert_eq!(leaps.pending(), Leap::Insert);

        let mut leaps = Leaps::new(LeapMode::Step, Some(old));
        assert!(!leaps.announce(UnixTime::from_seconds(NOON), Leap::Normal));
        leaps.set_table(table());
        assert!(leaps.announce(UnixTime::from_seconds(NOON), Leap::Normal));
        assert_eq!(leaps.pending(), Leap::Insert);
    }

    #[test]
    fn sources_are_believed_on_the_last_day_of_a_month_only() {
        let mut leaps = Leaps::new(LeapMode::System, None);
        assert!(!leaps.announce(UnixTime::from_seconds(NOON - 5 * 86_400), Leap::Insert));
        assert!(leaps.announce(UnixTime::from_seconds(NOON), Leap::Delete));
        assert_eq!(
            leaps.due(UnixTime::from_seconds(NOON)),
            Some(UnixTime::from_seconds(1_483_228_799))
        );
    }

    #[test]
    fn after_the_leap_second_late_announcements_are_not_believed() {
        let mut leaps = Leaps::new(LeapMode::System, None);
        leaps.announce(UnixTime::from_seconds(NOON), Leap::Insert);
        leaps.pass(UnixTime::from_seconds(1_483_228_800));
        assert!(!leaps.announce(UnixTime::from_seconds(1_483_228_799), Leap::Insert));
        assert_eq!(leaps.pending(), Leap::Normal);
    }

    #[test]
    fn an_old_table_says_nothing() {
        let table = LeapTable {
            expires: NOON,
            ..table()
        };
        assert_eq!(table.leap(UnixTime::from_seconds(NOON)), None);
        assert_eq!(table.tai_offset_s(UnixTime::from_seconds(NOON)), None);
    }
}
