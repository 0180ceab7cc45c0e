//! How `chronyc` writes numbers: in few columns, each with its unit.

use units::UnixTime;
use wire::candm::Timespec;

const MINUTE_S: u32 = 60;
const HOUR_S: u32 = 3600;
const DAY_S: u32 = 86_400;

/// A length of time in four columns; `-` for none.
pub(crate) fn interval(seconds: Option<u32>) -> String {
    match seconds {
        None => "   -".to_owned(),
        Some(seconds @ ..1200) => format!("{seconds:4}"),
        Some(seconds @ ..36_000) => format!("{:3}m", seconds / MINUTE_S),
        Some(seconds @ ..345_600) => format!("{:3}h", seconds / HOUR_S),
        Some(seconds) if seconds / DAY_S <= 999 => format!("{:3}d", seconds / DAY_S),
        Some(seconds) => format!("{:3}y", seconds / DAY_S / 365),
    }
}

/// An amount of time in six columns, without its sign.
pub(crate) fn amount(seconds: f64) -> String {
    let (value, decimals, unit) = scaled(seconds.abs());
    let width = 6 - unit.len();
    format!("{value:width$.decimals$}{unit}")
}

/// An offset in seven columns, with its sign.
pub(crate) fn offset(seconds: f64) -> String {
    let (value, decimals, unit) = scaled(seconds.abs());
    let value = if seconds < 0.0 { -value } else { value };
    let width = 7 - unit.len();
    format!("{value:+width$.decimals$}{unit}")
}

/// A value in a unit in which it has four digits or five.
fn scaled(seconds: f64) -> (f64, usize, &'static str) {
    const SMALL: [(f64, &str); 3] = [(1e9, "ns"), (1e6, "us"), (1e3, "ms")];
    const LARGE: [(f64, &str); 4] = [(1.0, "s"), (60.0, "m"), (3600.0, "h"), (86_400.0, "d")];
    for (per_second, unit) in SMALL {
        if seconds * per_second < 9999.5 {
            return (seconds * per_second, 0, unit);
        }
    }
    if seconds < 999.5 {
        return (seconds, 1, "s");
    }
    for (unit_s, unit) in LARGE {
        if seconds / unit_s < 99_999.5 {
            return (seconds / unit_s, 0, unit);
        }
    }
    (seconds / 86_400.0 / 365.0, 0, "y")
}

/// A frequency in ten columns.
pub(crate) fn frequency(ppm: f64) -> String {
    if ppm.abs() < 99_999.5 {
        format!("{ppm:10.3}")
    } else {
        format!("{ppm:10.0}")
    }
}

/// A frequency in ten columns, with its sign.
pub(crate) fn signed_frequency(ppm: f64) -> String {
    if ppm.abs() < 99_999.5 {
        format!("{ppm:+10.3}")
    } else {
        format!("{ppm:+10.0}")
    }
}

/// A name in a column of this width; one that is longer ends in `>`.
pub(crate) fn name(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return format!("{name:width$}");
    }
    let kept: String = name.chars().take(width - 1).collect();
    format!("{kept}>")
}

/// A time as C's `asctime` writes it: `Fri Nov 20 10:02:23 2026`.
pub(crate) fn date(time: Timespec) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // Years of the common era have four digits and no sign up to 9999, which is more than the protocol's clocks show.
    let text = UnixTime::from_seconds(time.seconds()).date_time();
    let weekday = usize::try_from(time.seconds().div_euclid(86_400).rem_euclid(7)).unwrap_or_default();
    let mut parts = text.split([' ', '-']);
    let [Some(year), Some(month), Some(day), Some(clock)] =
        [parts.next(), parts.next(), parts.next(), parts.next()]
    else {
        return text;
    };
    let month = month
        .parse::<usize>()
        .ok()
        .and_then(|month| MONTHS.get(month.checked_sub(1)?));
    match (DAYS.get(weekday), month) {
        (Some(weekday), Some(month)) => format!("{weekday} {month} {day} {clock} {year}"),
        _ => text,
    }
}

/// A line of a report with a label before each value.
pub(crate) fn line(label: &str, value: impl std::fmt::Display) -> String {
    format!("{label:<16}: {value}\n")
}

/// The heading of a table, and the rule below it.
pub(crate) fn heading(text: &str) -> String {
    format!("{text}\n{}\n", "=".repeat(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_four_columns() {
        for (seconds, text) in [
            (None, "   -"),
            (Some(0), "   0"),
            (Some(1199), "1199"),
            (Some(1200), " 20m"),
            (Some(35_999), "599m"),
            (Some(36_000), " 10h"),
            (Some(345_600), "  4d"),
            (Some(999 * DAY_S), "999d"),
            (Some(1000 * DAY_S), "  2y"),
        ] {
            assert_eq!(interval(seconds), text);
        }
    }

    #[test]
    fn offsets_have_units() {
        for (seconds, unsigned, signed) in [
            (-497e-9, " 497ns", " -497ns"),
            (0.0, "   0ns", "   +0ns"),
            (1204e-9, "1204ns", "+1204ns"),
            (2.5e-5, "  25us", "  +25us"),
            (-0.012_345, "  12ms", "  -12ms"),
            (4.0, "4000ms", "+4000ms"),
            (12.3, " 12.3s", " +12.3s"),
            (-12_345.0, "12345s", "-12345s"),
            (1e6, "16667m", "+16667m"),
            (1e9, "11574d", "+11574d"),
        ] {
            assert_eq!(amount(seconds), unsigned);
            assert_eq!(offset(seconds), signed);
        }
    }

    #[test]
    fn frequencies_lose_their_decimals_when_they_are_large() {
        assert_eq!(frequency(2000.0), "  2000.000");
        assert_eq!(frequency(1e6), "   1000000");
        assert_eq!(signed_frequency(0.0), "    +0.000");
        assert_eq!(signed_frequency(-1e6), "  -1000000");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(name("short", 7), "short  ");
        assert_eq!(name("2001:db8::1234", 7), "2001:d>");
    }

    #[test]
    fn dates_are_those_of_c() {
        assert_eq!(date(Timespec::new(1_795_168_943, 0)), "Fri Nov 20 10:02:23 2026");
        assert_eq!(date(Timespec::new(0, 0)), "Thu Jan 01 00:00:00 1970");
    }
}
