//! What was asked and what was answered.

use std::fmt::Write as _;

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
    /// strata, states and everything in words stay.
    pub(crate) fn shape(&self) -> String {
        let lines = self.0.lines().map(|line| {
            let words: Vec<&str> = line
                .split([' ', ','])
                .filter(|word| !word.is_empty())
                .map(shape_of)
                .collect();
            words.join(" ") + "\n"
        });
        lines.collect()
    }
}

/// The word, or what stands for a measured number, whatever signs and brackets are around it.
fn shape_of(word: &str) -> &str {
    let bare = word.trim_matches(['[', ']', '+', '-', '/', '(', ')']);
    let digits = bare.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let is_number = digits.contains(|letter: char| letter.is_ascii_digit())
        && digits.chars().all(|letter| {
            letter.is_ascii_digit() || ".:+-[".contains(letter) || letter.is_ascii_alphabetic()
        });
    let unit = bare.strip_prefix(digits).unwrap_or_default();
    let has_unit = ["ns", "us", "ms", "s", "ns[", "ppm"].contains(&unit);
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
