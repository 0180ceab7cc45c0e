//! The drift file: how much faster than it should the oscillator runs, remembered from one start to the next.

/// Reads the frequency and its error bound, ppm; a positive frequency means that the clock gains. What comes behind
/// the two numbers is not looked at. `None` when they are not there, or are no frequency.
pub fn parse(text: &str) -> Option<(f64, f64)> {
    let mut numbers = text.split_whitespace().map_while(|word| word.parse::<f64>().ok());
    let (frequency_ppm, skew_ppm) = (numbers.next()?, numbers.next()?);
    let is_drift = frequency_ppm.is_finite() && skew_ppm.is_finite() && skew_ppm >= 0.0;
    is_drift.then_some((frequency_ppm, skew_ppm))
}

/// Returns the text of a drift file, with the digits that chronyd writes.
pub fn print(frequency_ppm: f64, skew_ppm: f64) -> String {
    format!("{frequency_ppm:20.6} {skew_ppm:20.6}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = print(-10.053_497, 0.052_646);
        assert_eq!(text, "          -10.053497             0.052646\n");
        assert_eq!(parse(&text), Some((-10.053_497, 0.052_646)));
        assert_eq!(parse("1 2 of old"), Some((1.0, 2.0)));
    }

    #[test]
    fn nonsense_is_no_drift() {
        for text in ["", "1.0", "1.0 x", "nan 1", "1 -1", "inf 1", "x 1 2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
