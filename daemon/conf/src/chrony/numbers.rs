//! Numbers as chronyd reads them: from the start of a word, as far as they go.

/// Reads a decimal integer at the start of a word; returns it with what is left of the word.
///
/// What does not fit 64 bits is taken for the nearest that does.
pub(super) fn integer_prefix(text: &str) -> Option<(i64, &str)> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    if length == 0 {
        return None;
    }
    let (number, rest) = text.split_at(text.len() - digits.len() + length);
    let saturated = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some((number.parse().unwrap_or(saturated), rest))
}

/// Reads a word that is a decimal integer.
pub(super) fn integer(text: &str) -> Option<i64> {
    integer_prefix(text)
        .filter(|(_, rest)| rest.is_empty())
        .map(|(value, _)| value)
}

/// Reads a decimal number at the start of a word, as C's `strtod` does; returns it with what is left
/// of the word.
///
/// Numbers in hexadecimal, which C takes too, are not numbers here: their start alone would be 0.
pub(super) fn number_prefix(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign_length = text.len() - unsigned.len();
    for name in ["infinity", "inf", "nan"] {
        let start = unsigned.get(..name.len()).unwrap_or_default();
        if start.eq_ignore_ascii_case(name) {
            let (number, rest) = text.split_at(sign_length + name.len());
            return Some((number.parse().ok()?, rest));
        }
    }
    if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        return None;
    }
    let digits = |from: usize| {
        let rest = unsigned.as_bytes().get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let at = |index: usize| unsigned.as_bytes().get(index).copied();
    let whole = digits(0);
    let mut length = whole;
    let mut fraction = 0;
    if at(whole) == Some(b'.') {
        fraction = digits(whole + 1);
        length += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(at(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(at(length + 1), Some(b'+' | b'-')));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    let (number, rest) = text.split_at(sign_length + length);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_go_as_far_as_their_digits() {
        assert_eq!(integer_prefix("12"), Some((12, "")));
        assert_eq!(integer_prefix("-3.5"), Some((-3, ".5")));
        assert_eq!(integer_prefix("+3x"), Some((3, "x")));
        assert_eq!(integer_prefix("-99999999999999999999"), Some((i64::MIN, "")));
        assert_eq!(integer_prefix("-"), None);
        assert_eq!(integer_prefix("x1"), None);
        assert_eq!(integer("3x"), None);
        assert_eq!(integer("007"), Some(7));
    }

    #[test]
    fn numbers_go_as_far_as_those_of_c() {
        for (text, value, rest) in [
            ("5", 5.0, ""),
            ("-5.", -5.0, ""),
            (".5", 0.5, ""),
            ("+1e-3", 1e-3, ""),
            ("1e3x", 1e3, "x"),
            ("1e", 1.0, "e"),
            ("1e+", 1.0, "e+"),
            ("1.5.5", 1.5, ".5"),
            ("inf", f64::INFINITY, ""),
            ("-Infinity", f64::NEG_INFINITY, ""),
            ("1e400", f64::INFINITY, ""),
            ("infi", f64::INFINITY, "i"),
        ] {
            assert_eq!(number_prefix(text), Some((value, rest)), "{text}");
        }
        assert!(number_prefix("NaN").unwrap().0.is_nan());
        for text in ["", ".", "-", "e5", "x", "0x10", "+0X1p3", ".e1"] {
            assert_eq!(number_prefix(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = (integer_prefix(&text), number_prefix(&text));
        }

        #[test]
        fn what_rust_writes_is_read(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            for text in [format!("{value:?}"), format!("{value:e}")] {
                prop_assert_eq!(number_prefix(&text), Some((value, "")));
            }
        }
    }
}
