//! Times and durations for people.

use jiff::Timestamp;

/// A time of RFC 3339 without its fraction of a second; any other text as it is.
pub(crate) fn to_second(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => time.to_owned(),
    }
}

/// How long ago a time of RFC 3339 was, such as `3d4h`, `5h12m`, `42s`; empty without one. A time to come is
/// `0s`: the clocks of client and controller may differ.
pub(crate) fn ago(time: Option<&str>) -> String {
    let Some(then) = time.and_then(|time| time.parse::<Timestamp>().ok()) else {
        return String::new();
    };
    age(Timestamp::now().duration_since(then).as_secs())
}

/// A number of seconds in its two greatest units.
fn age(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let seconds = seconds.max(0);
    let two = |great: i64, great_unit: &str, small: i64, small_unit: &str| {
        let (first, second) = (seconds / great, seconds % great / small);
        if second == 0 {
            format!("{first}{great_unit}")
        } else {
            format!("{first}{great_unit}{second}{small_unit}")
        }
    };
    match seconds {
        DAY.. => two(DAY, "d", HOUR, "h"),
        HOUR.. => two(HOUR, "h", MINUTE, "m"),
        MINUTE.. => two(MINUTE, "m", 1, "s"),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units_at_most() {
        for (seconds, text) in [
            (-5, "0s"),
            (42, "42s"),
            (60, "1m"),
            (61, "1m1s"),
            (3_720, "1h2m"),
            (86_400, "1d"),
            (90_061, "1d1h"),
        ] {
            assert_eq!(age(seconds), text);
        }
        assert_eq!(
            to_second("2026-08-16T10:00:00.999999999Z"),
            "2026-08-16T10:00:00Z"
        );
        assert_eq!(to_second("soon"), "soon");
        assert_eq!(ago(None), "");
        assert_eq!(ago(Some("yesterday")), "");
    }
}
