//! Lines split into words, with their columns.

/// One word of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    /// The first character, counted from 1.
    pub(super) column: u32,
    /// The number of characters.
    pub(super) width: u32,
}

/// Splits a line at runs of white space, which is what C's `isspace` says in the C locale.
pub(super) fn words(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start: Option<(usize, u32)> = None;
    let mut column = 1u32;
    for (at, character) in line.char_indices() {
        match (is_space(character), start) {
            (true, Some((from, first))) => {
                words.extend(word(line, from, at, first, column));
                start = None;
            }
            (false, None) => start = Some((at, column)),
            _ => {}
        }
        column = column.saturating_add(1);
    }
    if let Some((from, first)) = start {
        words.extend(word(line, from, line.len(), first, column));
    }
    words
}

fn word(line: &str, from: usize, to: usize, first: u32, end: u32) -> Option<Word<'_>> {
    Some(Word {
        text: line.get(from..to)?,
        column: first,
        width: end - first,
    })
}

/// Reports whether chrony takes a character for white space.
pub(super) const fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

/// Reports whether a line is a comment, whose first visible character is one of `!;#%`.
pub(super) fn is_comment(first_word: &str) -> bool {
    first_word.starts_with(['!', ';', '#', '%'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let found = words(" é\tbc\r");
        assert_eq!(
            found,
            [
                Word {
                    text: "é",
                    column: 2,
                    width: 1
                },
                Word {
                    text: "bc",
                    column: 4,
                    width: 2
                }
            ]
        );
        assert_eq!(words(" \t"), []);
    }
}
