//! What is remembered about the real-time clock of the machine: the file of `rtcfile`, and that of hwclock(8).

/// How far a real-time clock is ahead, at one of its readings, and how fast it gains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RtcError {
    /// The reading of the real-time clock, Unix seconds.
    pub reference: i64,
    /// The real-time clock − true time at that reading, seconds.
    pub fast_s: f64,
    /// What it gains in each of its seconds, ppm.
    pub gain_ppm: f64,
}

/// What the readings of a real-time clock can be, and how far one can be off: some centuries, seconds.
const REFERENCE_MAX: u64 = 100_000_000_000;
const FAST_MAX_S: f64 = 1e10;

/// What gains more in each of its seconds is no clock, ppm.
const GAIN_MAX_PPM: f64 = 1e5;

/// The text is not that of an `rtcfile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnRtcFile;

/// Reads an `rtcfile`: a flag, and if that is 1 what is known about the clock; `None` when it is 0.
///
/// # Errors
/// The text is something else, or what it says is true of no clock.
pub fn parse(text: &str) -> Result<Option<RtcError>, NotAnRtcFile> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[flag, reference, fast_s, gain_ppm, ..] = words.as_slice() else {
        return Err(NotAnRtcFile);
    };
    let number = |word: &str, limit: f64| {
        let number = word.parse::<f64>().ok().filter(|number| number.abs() <= limit);
        number.ok_or(NotAnRtcFile)
    };
    let flag: i64 = flag.parse().map_err(|_| NotAnRtcFile)?;
    let reference: i64 = reference.parse().map_err(|_| NotAnRtcFile)?;
    if reference.unsigned_abs() > REFERENCE_MAX {
        return Err(NotAnRtcFile);
    }
    let error = RtcError {
        reference,
        fast_s: number(fast_s, FAST_MAX_S)?,
        gain_ppm: number(gain_ppm, GAIN_MAX_PPM)?,
    };
    Ok((flag == 1).then_some(error))
}

/// Returns the text of an `rtcfile`, with the digits that chronyd writes.
pub fn print(error: &RtcError) -> String {
    let RtcError {
        reference,
        fast_s,
        gain_ppm,
    } = error;
    format!("1 {reference} {fast_s:.6} {gain_ppm:.3}\n")
}

/// Whether the real-time clock keeps UTC and not local time, by the third line of hwclock's file (`/etc/adjtime`);
/// `None` if that does not say.
pub fn keeps_utc(adjtime: &str) -> Option<bool> {
    match adjtime.lines().nth(2)?.trim() {
        "UTC" => Some(true),
        "LOCAL" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: RtcError = RtcError {
        reference: 1_262_313_964,
        fast_s: -9.002_701,
        gain_ppm: 99.988,
    };

    #[test]
    fn what_is_written_is_read_and_is_what_chronyd_writes() {
        let text = print(&ERROR);
        assert_eq!(text, "1 1262313964 -9.002701 99.988\n");
        assert_eq!(parse(&text), Ok(Some(ERROR)));
        assert_eq!(parse("0 1262313964 -9.002701 99.988"), Ok(None));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "garbage",
            "1 2 3",
            "1 x 2.0 3.0",
            "1 2 nan 3",
            "1 2 3 inf",
            "x 1 2 3",
            "1 1262313964 -1e11 99.988",
            "1 1262313964 -9 1e6",
            "1 -9223372036854775808 -9 100",
        ] {
            assert_eq!(parse(text), Err(NotAnRtcFile), "{text}");
        }
    }

    #[test]
    fn the_third_line_of_hwclocks_file_counts() {
        assert_eq!(keeps_utc("0.0 0 0.0\n0\nUTC\n"), Some(true));
        assert_eq!(keeps_utc("0.0 0 0.0\n0\nLOCAL\n"), Some(false));
        for text in ["", "UTC\n", "0.0 0 0.0\n0\nutc?\n", "0.0 0 0.0\n0\n"] {
            assert_eq!(keeps_utc(text), None, "{text}");
        }
    }
}
