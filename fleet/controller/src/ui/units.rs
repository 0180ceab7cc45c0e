//! Quantities as a person reads them at three in the morning: one unit, two or three digits.

/// Writes an offset with its sign, `+3.4 µs`; positive when the clock is behind.
pub(crate) fn offset(offset_s: f64) -> String {
    let sign = if offset_s < 0.0 { '\u{2212}' } else { '+' };
    match magnitude(offset_s.abs(), f64::round) {
        zero if zero == ZERO => zero,
        magnitude => format!("{sign}{magnitude}"),
    }
}

/// Writes an error bound, `1.2 ms`. Rounded up, so that it never promises more than is known.
pub(crate) fn bound(bound_s: f64) -> String {
    magnitude(bound_s.abs(), round_up)
}

/// Writes seconds to the nanosecond with a sign, `+0.000003422 s`: the exact value behind [`offset`].
pub(crate) fn exact_signed(value_s: f64) -> String {
    format!("{value_s:+.9} s")
}

/// Writes seconds to the nanosecond, `0.001200000 s`: the exact value behind [`bound`].
pub(crate) fn exact(value_s: f64) -> String {
    format!("{value_s:.9} s")
}

/// Writes whole seconds in their two largest units: `4 s`, `12 min`, `3 h 20 min`, `5 d 2 h`.
pub(crate) fn age(age_s: u64) -> String {
    let (minutes, hours, days) = (age_s / 60, age_s / 3_600, age_s / 86_400);
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {small_unit}"),
    };
    match age_s {
        0..60 => format!("{age_s} s"),
        60..3_600 => format!("{minutes} min"),
        3_600..86_400 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// Writes a poll interval of `log2_s`: `64 s`, `1024 s`, then `34 min`.
pub(crate) fn poll(log2_s: i8) -> String {
    match u32::try_from(log2_s) {
        Ok(log2_s @ 0..=10) => format!("{} s", 1_u32 << log2_s),
        Ok(log2_s) => 1_u64.checked_shl(log2_s).map_or_else(|| "?".to_owned(), age),
        Err(_) => magnitude(f64::from(log2_s).exp2(), f64::round),
    }
}

/// How far a bound is along a scale of six decades, one microsecond to one second: 0 to 1.
pub(crate) fn along_scale(bound_s: f64) -> f64 {
    const LEAST_S: f64 = 1e-6;
    const DECADES: f64 = 6.0;
    if bound_s.is_finite() && bound_s > 0.0 {
        ((bound_s / LEAST_S).log10() / DECADES).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

const ZERO: &str = "0 s";

fn magnitude(value_s: f64, round: fn(f64) -> f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")];
    if !value_s.is_finite() {
        return "?".to_owned();
    }
    if value_s == 0.0 {
        return ZERO.to_owned();
    }
    for (scale_s, unit) in UNITS {
        let value = value_s / scale_s;
        let tenths = round(value * 10.0) / 10.0;
        if tenths < 10.0 {
            return format!("{tenths:.1} {unit}");
        }
        let whole = round(value);
        if whole < 1_000.0 && (unit != "s" || whole < 120.0) {
            return format!("{whole:.0} {unit}");
        }
    }
    let whole = round(value_s);
    let (minutes, hours, days) = (
        (whole / 60.0).floor(),
        (whole / 3_600.0).floor(),
        (whole / 86_400.0).floor(),
    );
    if hours < 1.0 {
        format!("{minutes:.0} min {:.0} s", whole % 60.0)
    } else if days < 1.0 {
        format!("{hours:.0} h {:.0} min", minutes % 60.0)
    } else if days < 36_525.0 {
        format!("{days:.0} d {:.0} h", hours % 24.0)
    } else {
        "> 100 years".to_owned()
    }
}

/// Rounds up, but for the noise of binary fractions.
fn round_up(value: f64) -> f64 {
    (value - 1e-6).ceil().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_a_sign_and_one_unit() {
        for (offset_s, text) in [
            (0.000_003_422, "+3.4 µs"),
            (-0.000_003_422, "−3.4 µs"),
            (0.012_6, "+13 ms"),
            (0.000_999_96, "+1.0 ms"),
            (9.96e-7, "+996 ns"),
            (3e-10, "+0.3 ns"),
            (0.0, "0 s"),
            (-0.0, "0 s"),
            (1.72, "+1.7 s"),
            (-3_725.0, "−1 h 2 min"),
            (150.2, "+2 min 30 s"),
            (31_536_000.0 * 54.0, "+19710 d 0 h"),
            (f64::MAX, "+> 100 years"),
            (f64::NAN, "+?"),
            (f64::INFINITY, "+?"),
        ] {
            assert_eq!(offset(offset_s), text, "{offset_s}");
        }
    }

    #[test]
    fn bounds_are_rounded_up() {
        for (bound_s, text) in [
            (0.001_2, "1.2 ms"),
            (0.001_21, "1.3 ms"),
            (0.012_1, "13 ms"),
            (0.000_999_1, "1.0 ms"),
            (0.25, "250 ms"),
            (0.0, "0 s"),
        ] {
            assert_eq!(bound(bound_s), text, "{bound_s}");
        }
    }

    #[test]
    fn ages_have_two_units_at_most() {
        for (age_s, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (12_000, "3 h 20 min"),
            (86_400 * 5 + 7_200, "5 d 2 h"),
        ] {
            assert_eq!(age(age_s), text);
        }
        assert_eq!(poll(6), "64 s");
        assert_eq!(poll(10), "1024 s");
        assert_eq!(poll(11), "34 min");
        assert_eq!(poll(-2), "250 ms");
        assert_eq!(poll(i8::MAX), "?");
    }

    #[test]
    fn the_scale_runs_from_a_microsecond_to_a_second() {
        assert_eq!(along_scale(1e-9), 0.0);
        assert!((along_scale(1e-3) - 0.5).abs() < 1e-9);
        assert_eq!(along_scale(60.0), 1.0);
        assert_eq!(along_scale(f64::NAN), 0.0);
    }
}
