//! Arguments taken apart as the C library does it.

use std::collections::VecDeque;

use super::ArgumentError;

/// Takes arguments apart: letters after one dash, which may be written together, words after two, and the rest.
#[derive(Debug)]
pub(super) struct Letters {
    rest: VecDeque<String>,
    /// Letters that were written together with the one before.
    together: String,
    /// Whether `--` was read, after which nothing is an option.
    is_over: bool,
}

/// One part of the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A letter after a dash.
    Letter(char),
    /// A word after two dashes, with what follows an equals sign.
    Word(String, Option<String>),
    /// Something else.
    Plain(String),
}

impl Letters {
    pub(super) fn new(arguments: impl IntoIterator<Item = String>) -> Self {
        Self {
            rest: arguments.into_iter().collect(),
            together: String::new(),
            is_over: false,
        }
    }

    /// Returns the value of the letter that was read last: what is written together with it, or the next argument.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn value(&mut self, letter: char) -> Result<String, ArgumentError> {
        if !self.together.is_empty() {
            return Ok(std::mem::take(&mut self.together));
        }
        self.rest.pop_front().ok_or(ArgumentError::Missing(letter))
    }
}

impl Iterator for Letters {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let mut together = self.together.chars();
        if let Some(letter) = together.next() {
            self.together = together.collect();
            return Some(Part::Letter(letter));
        }
        let argument = self.rest.pop_front()?;
        if self.is_over {
            return Some(Part::Plain(argument));
        }
        match argument.strip_prefix('-') {
            None | Some("") => Some(Part::Plain(argument)),
            Some("-") => {
                self.is_over = true;
                self.next()
            }
            Some(letters) => match letters.strip_prefix('-') {
                Some(word) => Some(match word.split_once('=') {
                    Some((word, value)) => Part::Word(word.to_owned(), Some(value.to_owned())),
                    None => Part::Word(word.to_owned(), None),
                }),
                None => {
                    letters.clone_into(&mut self.together);
                    self.next()
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_words_and_the_rest_are_told_apart() {
        let arguments = ["-ab", "--long=a=b", "x", "-", "--word", "--", "-c"].map(str::to_owned);
        let plain = |text: &str| Part::Plain(text.to_owned());
        assert_eq!(
            Letters::new(arguments).collect::<Vec<_>>(),
            [
                Part::Letter('a'),
                Part::Letter('b'),
                Part::Word("long".to_owned(), Some("a=b".to_owned())),
                plain("x"),
                plain("-"),
                Part::Word("word".to_owned(), None),
                plain("-c"),
            ]
        );
    }

    #[test]
    fn a_value_is_together_with_its_letter_or_the_next_argument() {
        let mut letters = Letters::new(["-fa", "-f", "-b", "-f"].map(str::to_owned));
        for expected in [
            Ok("a".to_owned()),
            Ok("-b".to_owned()),
            Err(ArgumentError::Missing('f')),
        ] {
            assert_eq!(letters.next(), Some(Part::Letter('f')));
            assert_eq!(letters.value('f'), expected);
        }
        assert_eq!(letters.next(), None);
    }
}
