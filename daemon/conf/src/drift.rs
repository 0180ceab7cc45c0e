//! The drift file: how much faster than it should the oscillator runs, remembered from one start to the next.

use crate::config::DriftFormat;

/// The error bound of a frequency that was remembered without one, ppm.
const SKEW_PPM: f64 = 1.0;

/// Reads the frequency and its error bound, ppm; a positive frequency means that the clock gains.
///
/// Two numbers are these two; what comes behind them is not looked at. One number alone is the correction that ntpd and
/// OpenNTPD keep, which has the other sign, and which chronyd does not take. `None` when there is no number, or it is no
/// frequency.
pub fn parse(text: &str, format: DriftFormat) -> Option<(f64, f64)> {
    let mut words = text.split_whitespace();
    let frequency_ppm = words.next()?.parse::<f64>().ok()?;
    let (frequency_ppm, skew_ppm) = match words.next() {
        Some(skew) => (frequency_ppm, skew.parse::<f64>().ok()?),
        None if format == DriftFormat::Chrony => return None,
        None => (-frequency_ppm, SKEW_PPM),
    };
    let is_drift = frequency_ppm.is_finite() && skew_ppm.is_finite() && skew_ppm >= 0.0;
    is_drift.then_some((frequency_ppm, skew_ppm))
}

/// Reports whether a file with this text is something else than a drift file, such as a configuration: what it begins with is
/// meant for people. One that is empty, or that a crash has damaged, is none of that, and may be written anew.
pub fn is_something_else(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    let Some(word) = text.split_whitespace().next() else {
        return false;
    };
    let is_of_people = |first: char| {
        let is_of_number = first.is_ascii_digit() || matches!(first, '+' | '-' | '.');
        (first.is_ascii_graphic() || first.is_alphabetic()) && !is_of_number
    };
    word.parse::<f64>().is_err() && word.starts_with(is_of_people)
}

/// Returns the text of a drift file, with the digits that the original writes.
pub fn print(frequency_ppm: f64, skew_ppm: f64, format: DriftFormat) -> String {
    match format {
        DriftFormat::Chrony => format!("{frequency_ppm:20.6} {skew_ppm:20.6}\n"),
        DriftFormat::Ntpd => format!("{:.6}\n", -frequency_ppm),
        DriftFormat::OpenNtpd => format!("{:.3}\n", -frequency_ppm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = print(-10.053_497, 0.052_646, DriftFormat::Chrony);
        assert_eq!(text, "          -10.053497             0.052646\n");
        for format in [DriftFormat::Chrony, DriftFormat::Ntpd] {
            assert_eq!(parse(&text, format), Some((-10.053_497, 0.052_646)));
            assert_eq!(parse("1 2 of old", format), Some((1.0, 2.0)));
        }
        let text = print(-10.053_497, 0.052_646, DriftFormat::Ntpd);
        assert_eq!(text, "10.053497\n");
        assert_eq!(print(-10.053_497, 1.0, DriftFormat::OpenNtpd), "10.053\n");
        assert_eq!(parse(&text, DriftFormat::Ntpd), Some((-10.053_497, SKEW_PPM)));
        assert_eq!(parse(&text, DriftFormat::Chrony), None);
    }

    #[test]
    fn what_people_have_written_is_something_else() {
        for text in [
            "server a\n",
            "# nothing yet\n",
            "\n  ! old\n",
            "\u{feff}servers b\n",
            "name=\"x\"\n",
            "_a=\"x\"\n",
        ] {
            assert!(is_something_else(text), "{text:?}");
        }
        for text in [
            "",
            " \n",
            "12.345\n",
            "-0.5",
            "nan\n",
            "1 2 of old",
            "1.0 x",
            "12.3\0",
            "\0\0\0\0",
            "\u{fffd}\u{fffd}",
        ] {
            assert!(!is_something_else(text), "{text:?}");
        }
    }

    #[test]
    fn nonsense_is_no_drift() {
        for text in ["", "x", "1.0 x", "nan 1", "1 -1", "inf 1", "x 1 2", "nan"] {
            for format in [DriftFormat::Chrony, DriftFormat::Ntpd] {
                assert_eq!(parse(text, format), None, "{text}");
            }
        }
    }
}
