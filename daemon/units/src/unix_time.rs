//! Readings of a wall clock.

use std::fmt;

use crate::rounding::{down_i64, f64_from_i64, low_u32, nearest_i64};
use crate::timestamp::NtpTimestamp;

/// NTP's epoch, 1900-01-01 00:00:00 UTC, in Unix seconds.
pub const NTP_EPOCH_UNIX_SECONDS: i64 = -2_208_988_800;

const NANOS_PER_SEC: i64 = 1_000_000_000;
const SECS_PER_DAY: i64 = 86_400;

/// 2^63: from here on a number of seconds leads out of the range or is as good as out of it.
const SECONDS_TOO_MANY: f64 = 9_223_372_036_854_775_808.0;

/// A reading of a wall clock: seconds and nanoseconds since 1970-01-01 00:00:00 UTC, without leap seconds.
///
/// Nanoseconds (0…999 999 999) always count forward, so that −0.25 s is −1 s + 750 000 000 ns. The order is
/// that of time. The seconds are 64 bits wide: any year anybody writes into a clock is representable.
/// Differences are positive when the receiver is later. Displays as RFC 3339 in whole seconds, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime {
    seconds: i64,
    nanos: u32,
}

impl UnixTime {
    /// 1970-01-01 00:00:00 UTC.
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };

    /// The earliest representable time.
    pub const MIN: Self = Self {
        seconds: i64::MIN,
        nanos: 0,
    };

    /// The latest representable time.
    pub const MAX: Self = Self {
        seconds: i64::MAX,
        nanos: 999_999_999,
    };

    /// Returns the time `seconds` after the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Returns the time `seconds` + `nanos` × 10^-9 s after the epoch; nanoseconds of any size and sign are
    /// carried into the seconds. Saturates.
    #[must_use]
    pub fn from_parts(seconds: i64, nanos: i64) -> Self {
        let carried = seconds.checked_add(nanos.div_euclid(NANOS_PER_SEC));
        match (carried, u32::try_from(nanos.rem_euclid(NANOS_PER_SEC))) {
            (Some(seconds), Ok(nanos)) => Self { seconds, nanos },
            _ if nanos < 0 => Self::MIN,
            _ => Self::MAX,
        }
    }

    /// Returns whole seconds since the epoch (rounded down) and nanoseconds, 0…999 999 999.
    #[must_use]
    pub fn to_parts(self) -> (i64, i64) {
        (self.seconds, i64::from(self.nanos))
    }

    /// Returns the whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Returns the nanoseconds after [`seconds`](Self::seconds), 0…999 999 999.
    #[must_use]
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// Returns the seconds from `earlier` to this; positive when this is later.
    ///
    /// The error is below 10^-9 s for differences up to 97 days, and relative 2^-53 beyond.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        let whole = self.seconds.saturating_sub(earlier.seconds);
        f64_from_i64(whole) + (f64::from(self.nanos) - f64::from(earlier.nanos)) * 1e-9
    }

    /// Returns the time `seconds` later (earlier if negative), to the nearest nanosecond.
    ///
    /// Saturates; not-a-number changes nothing.
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        if seconds.is_nan() {
            return self;
        }
        let whole = seconds.floor();
        let nanos = i64::from(self.nanos) + nearest_i64((seconds - whole) * 1e9);
        let sum = i128::from(self.seconds) + i128::from(down_i64(whole));
        match i64::try_from(sum) {
            Ok(seconds) if whole.abs() < SECONDS_TOO_MANY => Self::from_parts(seconds, nanos),
            _ if whole < 0.0 => Self::MIN,
            _ => Self::MAX,
        }
    }

    /// Returns this as NTP packets carry it, to the nearest 2^-32 s; the era is lost.
    #[must_use]
    pub fn to_ntp(self) -> NtpTimestamp {
        let seconds = low_u32(self.seconds.wrapping_sub(NTP_EPOCH_UNIX_SECONDS));
        NtpTimestamp::from_parts(seconds, fraction_from_nanos(self.nanos))
    }

    /// Returns the time that `timestamp` means in the era in which it is nearest to `near`.
    ///
    /// A time within 68 years of `near` survives the way through [`to_ntp`](Self::to_ntp) to the nanosecond.
    #[must_use]
    pub fn from_ntp(timestamp: NtpTimestamp, near: Self) -> Self {
        let near_units = since_ntp_epoch(near.seconds, near.to_ntp().fraction());
        let units = near_units + i128::from((timestamp - near.to_ntp()).0);
        Self::from_units(units)
    }

    /// Returns the time that `timestamp` means in the 2^32 s that begin at `window_start_unix_seconds`.
    #[must_use]
    pub fn from_ntp_in_window(timestamp: NtpTimestamp, window_start_unix_seconds: i64) -> Self {
        let start = Self::from_seconds(window_start_unix_seconds);
        let after_start = timestamp.0.wrapping_sub(start.to_ntp().0);
        Self::from_units(since_ntp_epoch(start.seconds, 0) + i128::from(after_start))
    }

    /// Returns the date and time of day as logs and reports print it: `2010-01-01 00:00:00`, UTC.
    #[must_use]
    pub fn date_time(self) -> String {
        let civil = Civil::of(self.seconds);
        format!("{} {}", civil.date(), civil.time())
    }

    /// `units`: 2^-32 s since NTP's first epoch, any era.
    /// Returns the beginning of a second of UTC, by year, month (1…12), day (1…31), hour, minute and second; the
    /// second 60 of a leap second is the one after it. `None` if there is no such date or time, or it is before year 1
    /// or after 9999.
    #[must_use]
    pub fn from_date_time(date: (i64, i64, i64), time: (i64, i64, i64)) -> Option<Self> {
        let ((year, month, day), (hour, minute, second)) = (date, time);
        let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..61).contains(&second);
        if !is_time || !(1..10_000).contains(&year) || !(1..13).contains(&month) {
            return None;
        }
        let days = Civil::days(year, month, day);
        let midnight = days * SECS_PER_DAY;
        // A day that its month does not have is another day.
        let civil = Civil::of(midnight);
        let is_date = (civil.year, civil.month, civil.day) == (year, month, day);
        is_date.then(|| Self::from_seconds(midnight + hour * 3_600 + minute * 60 + second))
    }

    fn from_units(units: i128) -> Self {
        let [.., f0, f1, f2, f3] = units.to_be_bytes();
        let seconds = (units >> 32) + i128::from(NTP_EPOCH_UNIX_SECONDS);
        match i64::try_from(seconds) {
            Ok(seconds) => {
                Self::from_parts(seconds, nanos_from_fraction(u32::from_be_bytes([f0, f1, f2, f3])))
            }
            Err(_) if seconds < 0 => Self::MIN,
            Err(_) => Self::MAX,
        }
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::of(self.seconds);
        write!(formatter, "{}T{}Z", civil.date(), civil.time())
    }
}

fn since_ntp_epoch(unix_seconds: i64, fraction: u32) -> i128 {
    let seconds = i128::from(unix_seconds) - i128::from(NTP_EPOCH_UNIX_SECONDS);
    (seconds << 32) | i128::from(fraction)
}

/// Nearest, and never a whole second: 999 999 999 ns are 4 294 967 292 units.
fn fraction_from_nanos(nanos: u32) -> u32 {
    let units = ((u64::from(nanos) << 32) + 500_000_000) / 1_000_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// Nearest, 0…1 000 000 000.
fn nanos_from_fraction(fraction: u32) -> i64 {
    (i64::from(fraction) * NANOS_PER_SEC + (1 << 31)) >> 32
}

/// A date in the proleptic Gregorian calendar and a time of day.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
}

/// From 1 March of year 0 to 1970-01-01.
const DAYS_FROM_MARCH_OF_YEAR_0: i64 = 719_468;

impl Civil {
    /// The days from 1970-01-01 to a date, which is not checked.
    fn days(year: i64, month: i64, day: i64) -> i64 {
        let (year_from_march, month_from_march) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let leap_days = year_from_march / 4 - year_from_march / 100 + year_from_march / 400;
        let days_of_months = (153 * month_from_march + 2) / 5;
        365 * year_from_march + leap_days + days_of_months + day - 1 - DAYS_FROM_MARCH_OF_YEAR_0
    }

    /// Counts in years that begin on 1 March, so that the leap day is the last of its year, and in cycles of
    /// 400 years, which all have the same number of days.
    fn of(unix_seconds: i64) -> Self {
        const DAYS_PER_CYCLE: i64 = 146_097;
        let second_of_day = unix_seconds.rem_euclid(SECS_PER_DAY);
        let days = unix_seconds.div_euclid(SECS_PER_DAY) + DAYS_FROM_MARCH_OF_YEAR_0;
        let (cycle, day_of_cycle) = (days.div_euclid(DAYS_PER_CYCLE), days.rem_euclid(DAYS_PER_CYCLE));
        let leap_days = day_of_cycle / 1_460 - day_of_cycle / 36_524 + day_of_cycle / 146_096;
        let year_of_cycle = (day_of_cycle - leap_days) / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        // Five months from March on have 153 days, and so have the next five.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let (month, next_year) = if month_from_march < 10 {
            (month_from_march + 3, 0)
        } else {
            (month_from_march - 9, 1)
        };
        Self {
            year: cycle * 400 + year_of_cycle + next_year,
            month,
            day,
            second_of_day,
        }
    }

    fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn time(&self) -> String {
        let (minutes, second) = (self.second_of_day / 60, self.second_of_day % 60);
        format!("{:02}:{:02}:{:02}", minutes / 60, minutes % 60, second)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1850-01-01 and 2250-01-01.
    const RANGE: std::ops::Range<i64> = -3_786_825_600..8_835_955_200;

    proptest! {
        #[test]
        fn a_date_and_a_time_are_the_second_that_prints_so(seconds in -62_135_596_800..253_402_300_800_i64) {
            let civil = Civil::of(seconds);
            let time = (civil.second_of_day / 3600, civil.second_of_day / 60 % 60, civil.second_of_day % 60);
            let date = (civil.year, civil.month, civil.day);
            prop_assert_eq!(UnixTime::from_date_time(date, time), Some(UnixTime::from_seconds(seconds)));
        }
    }

    #[test]
    fn there_are_dates_and_times_that_do_not_exist() {
        let at = |date, time| UnixTime::from_date_time(date, time).map(UnixTime::seconds);
        assert_eq!(at((2016, 12, 31), (23, 59, 60)), Some(1_483_228_800));
        assert_eq!(at((2024, 2, 29), (0, 0, 0)), Some(1_709_164_800));
        for (date, time) in [
            ((2023, 2, 29), (0, 0, 0)),
            ((2023, 4, 31), (0, 0, 0)),
            ((2023, 0, 1), (0, 0, 0)),
            ((2023, 13, 1), (0, 0, 0)),
            ((2023, 1, 0), (0, 0, 0)),
            ((0, 1, 1), (0, 0, 0)),
            ((10_000, 1, 1), (0, 0, 0)),
            ((2023, 1, 1), (24, 0, 0)),
            ((2023, 1, 1), (0, 60, 0)),
            ((2023, 1, 1), (0, 0, 61)),
            ((2023, 1, 1), (-1, 0, 0)),
        ] {
            assert_eq!(at(date, time), None, "{date:?} {time:?}");
        }
    }

    #[test]
    fn well_known_times_print() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_262_304_000, "2010-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (NTP_EPOCH_UNIX_SECONDS, "1900-01-01T00:00:00Z"),
            (-3_786_825_600, "1850-01-01T00:00:00Z"),
            (8_835_955_200, "2250-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(UnixTime::from_seconds(seconds).to_string(), text);
        }
        assert_eq!(
            UnixTime::from_parts(1_262_304_000, 999_999_999).date_time(),
            "2010-01-01 00:00:00"
        );
    }

    #[test]
    fn every_day_of_four_centuries_follows_its_predecessor() {
        let days_in = |year: i64, month: i64| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1850, 1, 1);
        for seconds in RANGE.step_by(86_400) {
            let civil = Civil::of(seconds);
            assert_eq!((civil.year, civil.month, civil.day), (year, month, day));
            day += 1;
            if day > days_in(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (2250, 1, 1));
    }

    #[test]
    fn even_the_ends_print() {
        assert!(UnixTime::MAX.to_string().ends_with('Z'));
        assert!(UnixTime::MIN.to_string().starts_with('-'));
    }

    #[test]
    fn nanoseconds_carry() {
        assert_eq!(UnixTime::from_parts(5, -1), UnixTime::from_parts(4, 999_999_999));
        assert_eq!(UnixTime::from_parts(5, 2_000_000_001), UnixTime::from_parts(7, 1));
        assert_eq!(UnixTime::from_parts(i64::MAX, NANOS_PER_SEC), UnixTime::MAX);
        assert_eq!(UnixTime::from_parts(i64::MIN, -1), UnixTime::MIN);
        assert_eq!(
            UnixTime::from_parts(-1, 750_000_000).to_parts(),
            (-1, 750_000_000)
        );
    }

    #[test]
    fn adding_is_exact_to_the_nanosecond_and_saturates() {
        let time = UnixTime::from_parts(1_262_304_000, 999_999_999);
        assert_eq!(time.plus_seconds(1e-9), UnixTime::from_seconds(1_262_304_001));
        assert_eq!(
            time.plus_seconds(-1e-9),
            UnixTime::from_parts(1_262_304_000, 999_999_998)
        );
        assert_eq!(time.plus_seconds(-1e-20), time);
        assert_eq!(time.plus_seconds(f64::NAN), time);
        assert_eq!(time.plus_seconds(f64::INFINITY), UnixTime::MAX);
        assert_eq!(time.plus_seconds(-1e300), UnixTime::MIN);
        assert_eq!(UnixTime::MAX.plus_seconds(0.5), UnixTime::MAX);
    }

    #[test]
    fn the_era_is_found_on_both_sides_of_2036() {
        let before = UnixTime::from_seconds(2_085_978_495);
        assert_eq!(before.to_ntp(), NtpTimestamp::from_parts(u32::MAX, 0));
        assert_eq!(
            UnixTime::from_ntp(NtpTimestamp::from_parts(3, 1 << 31), before),
            UnixTime::from_parts(2_085_978_499, 500_000_000)
        );
        assert_eq!(
            UnixTime::from_ntp(before.to_ntp(), UnixTime::from_seconds(2_085_978_500)),
            before
        );
    }

    #[test]
    fn the_window_has_its_start_and_not_its_end() {
        let start = 1_000_000_000;
        let first = UnixTime::from_seconds(start);
        assert_eq!(UnixTime::from_ntp_in_window(first.to_ntp(), start), first);
        let last = NtpTimestamp(first.to_ntp().0.wrapping_sub(4));
        assert_eq!(
            UnixTime::from_ntp_in_window(last, start),
            UnixTime::from_parts(start + (1 << 32) - 1, 999_999_999)
        );
    }

    proptest! {
        #[test]
        fn packets_carry_the_nanosecond(seconds in RANGE, nanos in 0i64..1_000_000_000, away in -2_147_483_647i64..2_147_483_647) {
            let time = UnixTime::from_parts(seconds, nanos);
            let near = UnixTime::from_seconds(seconds + away);
            prop_assert_eq!(UnixTime::from_ntp(time.to_ntp(), near), time);
        }

        #[test]
        fn the_window_finds_what_is_in_it(start in RANGE, after in 0i64..1 << 32, nanos in 0i64..1_000_000_000) {
            let time = UnixTime::from_parts(start + after, nanos);
            prop_assert_eq!(UnixTime::from_ntp_in_window(time.to_ntp(), start), time);
        }

        #[test]
        fn what_is_added_is_what_passed(seconds in RANGE, nanos in 0i64..1_000_000_000, added in -1e6..1e6) {
            let time = UnixTime::from_parts(seconds, nanos);
            prop_assert!((time.plus_seconds(added).seconds_since(time) - added).abs() < 1e-9);
        }

        #[test]
        fn nothing_panics(seconds: i64, nanos: i64, timestamp: u64, added: f64, other: i64) {
            let time = UnixTime::from_parts(seconds, nanos).plus_seconds(added);
            let _ = (time.to_string(), time.to_ntp(), time.seconds_since(UnixTime::from_seconds(other)));
            let timestamp = NtpTimestamp(timestamp);
            let _ = (UnixTime::from_ntp(timestamp, time), UnixTime::from_ntp_in_window(timestamp, other));
        }
    }
}
