//! What was asked and what was answered.

use std::fmt::Write as _;

/// Shorter times are chance, and longer ones instants, seconds.
const SIZED_S: std::ops::Range<f64> = 0.05..1e6;

/// Questions and answers, in order.
#[derive(Debug, Default)]
pub(crate) struct Transcript(String);

impl Transcript {
    /// Adds an answer: what was printed, and the exit status.
    pub(crate) fn add(&mut self, question: &str, (text, status): (String, Option<i32>)) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "> {question}\n{text}= {status:?}\n");
    }

    /// All of it as it is.
    pub(crate) fn exact(&self) -> String {
        self.0.clone()
    }

    /// All of it with numbers that are measured taken out: those with a unit or decimals, and times. Counts,
    /// strata, states and everything in words stay, and so do lines without numbers, blanks too.
    pub(crate) fn shape(&self) -> String {
        self.view(|word| shape_of(word).to_owned())
    }

    /// Likewise, but of times that are no chance the sign and the first digit stay, for situations that fix them, and
    /// whether they are slow or fast.
    pub(crate) fn sized(&self) -> String {
        let mut is_sized = false;
        self.view(|word| {
            let size = size_of(word);
            if ["fast", "slow"].contains(&word) && is_sized {
                return word.to_owned();
            }
            // Its number stands before it: `seconds slow`.
            is_sized = size.is_some() || (is_sized && word == "seconds");
            size.unwrap_or_else(|| shape_of(word).to_owned())
        })
    }

    fn view(&self, mut view: impl FnMut(&str) -> String) -> String {
        let lines = self.0.lines().map(|line| {
            if !line.contains(|letter: char| letter.is_ascii_digit()) {
                return format!("{line}\n");
            }
            let words: Vec<String> = line
                .split([' ', ',', '['])
                .filter(|word| !word.is_empty())
                .map(&mut view)
                .collect();
            words.join(" ") + "\n"
        });
        lines.collect()
    }
}

/// Sign, first digit and power of ten of a word that is a time and no chance, in seconds: one with a unit, or with the
/// decimals of nanoseconds.
fn size_of(word: &str) -> Option<String> {
    let bare = word.trim_matches([']', '(', ')']);
    let digits = bare.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_s = match bare.strip_prefix(digits)? {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "" if digits
            .split_once('.')
            .is_some_and(|(_, decimals)| decimals.len() == 9) =>
        {
            1.0
        }
        _ => return None,
    };
    let value_s = digits.parse::<f64>().ok()? * unit_s;
    let first_digit = format!("{value_s:+.0e}");
    SIZED_S.contains(&value_s.abs()).then_some(first_digit)
}

/// The word, or what stands for a measured number, whatever signs and brackets are around it.
fn shape_of(word: &str) -> &str {
    let bare = word.trim_matches([']', '+', '-', '/', '(', ')']);
    let digits = bare.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let is_number = digits.contains(|letter: char| letter.is_ascii_digit())
        && digits
            .chars()
            .all(|letter| letter.is_ascii_digit() || ".:+-".contains(letter) || letter.is_ascii_alphabetic());
    let unit = bare.strip_prefix(digits).unwrap_or_default();
    let has_unit = ["ns", "us", "ms", "s", "ppm"].contains(&unit);
    let is_measured = is_number
        && (has_unit || digits.contains(['.', ':']) && !is_address(digits))
        && !word.starts_with("ID#");
    match (is_measured, word) {
        (true, _) => "N",
        // Which of two near zeros is below the other is chance.
        (false, "fast" | "slow") => "fast|slow",
        (false, word) => word,
    }
}

fn is_address(word: &str) -> bool {
    word.parse::<std::net::IpAddr>().is_ok()
}

/// The lines in which two transcripts differ, each with the question that it answers.
pub(crate) fn difference(original: &str, ours: &str) -> String {
    let mut text = String::new();
    let mut question = "";
    let mut pairs = original.lines().zip(ours.lines());
    for (line, other) in &mut pairs {
        if line.starts_with("> ") {
            question = line;
        }
        if line != other {
            let _ = write!(text, "{question}\n- {line}\n+ {other}\n");
        }
    }
    if original.lines().count() != ours.lines().count() {
        let _ = write!(text, "one has more lines:\n- {original}\n+ {ours}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_time_stays_when_it_is_no_chance() {
        for (word, size) in [
            ("-0.203456789", Some("-2e-1")),
            ("+200ms", Some("+2e-1")),
            ("-600ms]", Some("-6e-1")),
            ("4000ms", Some("+4e0")),
            ("1.000000000", Some("+1e0")),
            ("-93ns", None),
            ("0.000000130", None),
            ("1795382662.346021768", None),
            ("2000.000", None),
            ("377", None),
            ("127.0.0.2", None),
        ] {
            assert_eq!(size_of(word).as_deref(), size, "{word}");
        }
        let mut transcript = Transcript::default();
        let text = "System time : 0.200000001 seconds slow\nFrequency : 1.000 ppm fast\nno  digits\n";
        transcript.add("x", (text.to_owned(), None));
        let sized =
            "> x\nSystem time : +2e-1 seconds slow\nFrequency : N ppm fast|slow\nno  digits\n= None\n";
        assert_eq!(transcript.sized(), sized);
    }

    #[test]
    fn measured_numbers_are_taken_out_and_nothing_else() {
        for (word, shape) in [
            ("0.000001869", "N"),
            ("-12ns", "N"),
            ("3299ns", "N"),
            ("13:05:34", "N"),
            ("127.0.0.2", "127.0.0.2"),
            ("2001:db8::1", "2001:db8::1"),
            ("7F000002", "7F000002"),
            ("(127.0.0.2)", "(127.0.0.2)"),
            ("ID#0000000001", "ID#0000000001"),
            ("377", "377"),
            ("^*", "^*"),
            ("200", "200"),
            ("-", "-"),
        ] {
            assert_eq!(shape_of(word), shape, "{word}");
        }
    }
}
