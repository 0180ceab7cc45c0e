//! Lines of ntp.conf split into words, with their columns.

/// One word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The word, without quotes.
    pub(super) text: String,
    /// The first character, counted from 1.
    pub(super) column: u32,
    /// The number of characters, quotes included.
    pub(super) width: u32,
}

impl Word {
    /// Reports whether it has characters that only quotes can hold.
    pub(super) fn has_blanks(&self) -> bool {
        self.text
            .contains(|character: char| character.is_whitespace() || character.is_control())
    }
}

/// Characters that are words by themselves after some directives.
fn specials(directive: &str) -> &'static [char] {
    match directive {
        "trustedkey" => &['(', ')', ','],
        "setvar" => &['='],
        _ => &[],
    }
}

/// Splits a line at white space, up to a comment. A text in quotes is one word; a missing quote is taken to be at the
/// end of the line.
pub(super) fn words(line: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut current: Option<Word> = None;
    let mut quoted = false;
    let mut special: &[char] = &[];
    for (column, character) in (1..).zip(line.chars()) {
        let is_space = character.is_ascii_whitespace() || character == '\u{b}';
        if !quoted && (is_space || character == '#') {
            words.extend(current.take());
            if words.len() == 1 {
                special = specials(&words[0].text);
            }
            if character == '#' {
                return words;
            }
            continue;
        }
        if !quoted && special.contains(&character) {
            words.extend(current.take());
            words.push(Word {
                text: character.to_string(),
                column,
                width: 1,
            });
            continue;
        }
        let word = current.get_or_insert_with(|| Word {
            text: String::new(),
            column,
            width: 0,
        });
        word.width = column - word.column + 1;
        if character == '"' {
            quoted = !quoted;
        } else {
            word.text.push(character);
        }
    }
    words.extend(current);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[(&str, u32, u32)]) {
        let found = words(line);
        let found = found
            .iter()
            .map(|word| (word.text.as_str(), word.column, word.width));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{line}");
    }

    #[test]
    fn comments_begin_anywhere_but_in_quotes() {
        check("server a#b", &[("server", 1, 6), ("a", 8, 1)]);
        check(" # all", &[]);
        check(
            "keys \"/a #b\" é x",
            &[("keys", 1, 4), ("/a #b", 6, 7), ("é", 14, 1), ("x", 16, 1)],
        );
        check("keys \"/a b", &[("keys", 1, 4), ("/a b", 6, 5)]);
        check("keys \"\"", &[("keys", 1, 4), ("", 6, 2)]);
    }

    #[test]
    fn some_characters_are_words_after_some_directives() {
        check(
            "trustedkey 1 (2 ... 4)",
            &[
                ("trustedkey", 1, 10),
                ("1", 12, 1),
                ("(", 14, 1),
                ("2", 15, 1),
                ("...", 17, 3),
                ("4", 21, 1),
                (")", 22, 1),
            ],
        );
        check(
            "setvar a=b",
            &[("setvar", 1, 6), ("a", 8, 1), ("=", 9, 1), ("b", 10, 1)],
        );
        check("driftfile /a=b(c)", &[("driftfile", 1, 9), ("/a=b(c)", 11, 7)]);
    }
}
