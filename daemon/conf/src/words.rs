//! Words that were probably meant.

/// The largest number of letters that are wrong in a word that is still taken for another.
const DISTANCE_MAX: usize = 2;

/// Returns the word that is nearest to what was written, if it is near enough to have been meant.
pub(crate) fn near<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|word| (distance(written, word), *word));
    let (nearest, word) = distances.min_by_key(|(distance, _)| *distance)?;
    (nearest <= DISTANCE_MAX && nearest < word.len()).then_some(word)
}

/// Returns the one word that is nearest to what was written, if no other is as near and it is near enough for as short a
/// word as was written. Letter case does not matter.
pub(crate) fn only_near<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// From so many letters on two may be wrong, else one.
    const LENGTH_OF_TWO: usize = 6;
    let written = written.to_ascii_lowercase();
    let length = written.chars().count();
    let distance_max = if length < LENGTH_OF_TWO { 1 } else { DISTANCE_MAX };
    let mut nearest = None;
    for word in known.filter(|word| word.len().abs_diff(length) <= distance_max) {
        let distance = distance(&written, word);
        nearest = match nearest {
            _ if distance > distance_max => nearest,
            Some((least, _)) if distance > least => nearest,
            Some((least, _)) if distance == least => Some((least, None)),
            _ => Some((distance, Some(word))),
        };
    }
    nearest?.1
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

    #[test]
    fn one_word_is_meant_or_none() {
        let known = ["rtcfile", "rtcsync", "pool", "port", "minsamples", "log"];
        let meant = |written| only_near(written, known.into_iter());
        assert_eq!(meant("RtcFlie"), Some("rtcfile"));
        assert_eq!(meant("minsampels"), Some("minsamples"));
        assert_eq!(meant("pol"), Some("pool"));
        assert_eq!(meant("pools"), Some("pool"));
        for written in [
            "poot",
            "plo",
            "foo",
            "",
            "rtcabcd",
            "maxsample",
            &"minsamples".repeat(200),
        ] {
            assert_eq!(meant(written), None, "{written}");
        }
    }
}
