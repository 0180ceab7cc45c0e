//! Words that were probably meant.

/// The largest number of letters that are wrong in a word that is still taken for another.
const DISTANCE_MAX: usize = 2;

/// Returns the word that is nearest to what was written, if it is near enough to have been meant.
pub(crate) fn near<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|word| (distance(written, word), *word));
    let (nearest, word) = distances.min_by_key(|(distance, _)| *distance)?;
    (nearest <= DISTANCE_MAX && nearest < word.len()).then_some(word)
}

/// Counts the letters to be put in, taken out or changed to make one word of another.
fn distance(one: &str, other: &str) -> usize {
    /// Longer words are not compared.
    const LENGTH_MAX: usize = 64;
    let other = other.chars().collect::<Vec<_>>();
    if one.chars().count() > LENGTH_MAX {
        return LENGTH_MAX;
    }
    // The distances of what has been read of `one` to each beginning of `other`.
    let mut row = (0..=other.len()).collect::<Vec<_>>();
    for (read, character) in (1..).zip(one.chars()) {
        let mut diagonal = std::mem::replace(&mut row[0], read);
        for (at, expected) in other.iter().enumerate() {
            let changed = diagonal + usize::from(*expected != character);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letters_may_be_wrong() {
        let known = ["nopeer", "noquery", "kod"];
        assert_eq!(near("nopee", &known), Some("nopeer"));
        assert_eq!(near("noqeury", &known), Some("noquery"));
        assert_eq!(near("ignore", &known), None);
        assert_eq!(near("", &known), None);
        assert_eq!(near(&"x".repeat(1000), &known), None);
    }
}
