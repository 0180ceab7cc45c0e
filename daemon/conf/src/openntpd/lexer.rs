//! Text to tokens.

use std::str::Chars;

/// The longest word in quotes, in bytes (observed with OpenNTPD 6.2p3).
const QUOTED_LENGTH_MAX: usize = 8094;

/// The longest word without quotes, in bytes (observed with OpenNTPD 6.2p3).
const UNQUOTED_LENGTH_MAX: usize = 8095;

/// The words that mean something unless they are in quotes.
pub(super) const KEYWORDS: [&str; 15] = [
    "constraint",
    "constraints",
    "correction",
    "from",
    "listen",
    "on",
    "query",
    "refid",
    "rtable",
    "sensor",
    "server",
    "servers",
    "stratum",
    "trusted",
    "weight",
];

/// A piece of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) place: Place,
}

/// What a piece of a file is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// One of [`KEYWORDS`].
    Keyword(&'static str),
    /// Any other word, or one in quotes.
    Word(String),
    /// An integer.
    Number(i64),
    /// A character that begins nothing.
    Character(char),
    /// The end of a line that goes on in no other.
    EndOfLine,
    /// Something that is no token; the rest of its line is skipped.
    Wrong(LexicalError),
}

/// Why something is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LexicalError {
    TooLong,
    /// Quotes are opened and never closed.
    Unclosed,
    /// A word in quotes had bytes that are no UTF-8, and another file or host would be meant.
    NotUtf8,
    /// Digits that are no number of 64 bits.
    Number {
        digits: String,
        reason: &'static str,
    },
}

/// Where a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The line of its first character, from 1.
    pub(super) line: u32,
    /// The column of its first character, from 1.
    pub(super) column: u32,
    /// How many characters of its line it takes, at least 1.
    pub(super) width: u32,
    /// Where it begins in the text, in bytes.
    pub(super) start: usize,
    /// Where it ends in the text, in bytes.
    pub(super) end: usize,
}

/// Takes tokens from a text.
pub(super) struct Lexer<'a> {
    at: Position<'a>,
}

/// A place in a text.
#[derive(Debug, Clone)]
struct Position<'a> {
    rest: Chars<'a>,
    length: usize,
    line: u32,
    column: u32,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            at: Position {
                rest: text.chars(),
                length: text.len(),
                line: 1,
                column: 1,
            },
        }
    }

    /// Returns the tokens of the next line that has any, with those of lines that are joined to it, and where it ends;
    /// `None` at the end of the text.
    pub(super) fn next_line(&mut self) -> Option<(Vec<Token>, Place)> {
        let mut tokens = Vec::new();
        while let Some(token) = self.next() {
            match token.kind {
                TokenKind::EndOfLine if tokens.is_empty() => {}
                TokenKind::EndOfLine => return Some((tokens, token.place)),
                _ => tokens.push(token),
            }
        }
        let last = tokens.last()?.place;
        let end = Place {
            column: last.column.saturating_add(last.width),
            width: 1,
            ..last
        };
        Some((tokens, end))
    }

    /// Returns the next token; `None` at the end of the text.
    fn next(&mut self) -> Option<Token> {
        loop {
            match self.at.peek() {
                Some(' ' | '\t') => {
                    self.at.unquoted();
                }
                Some('#') => {
                    // A comment goes on where its line does.
                    while self.at.peek().is_some_and(|character| character != '\n') {
                        self.at.unquoted();
                    }
                }
                _ => break,
            }
        }
        self.at.skip_joints();
        let begin = self.at.clone();
        let first = self.at.unquoted()?;
        let kind = match first {
            '\n' => TokenKind::EndOfLine,
            '\'' | '"' => self.quoted(first),
            '-' | '0'..='9' => self.number(first),
            first if begins_word(first) => self.word(first),
            first => TokenKind::Character(first),
        };
        if matches!(kind, TokenKind::Wrong(_)) {
            while self.at.peek().is_some_and(|character| character != '\n') {
                self.at.unquoted();
            }
        }
        let width = if self.at.line == begin.line {
            self.at.column.saturating_sub(begin.column)
        } else {
            1
        };
        Some(Token {
            kind,
            place: Place {
                line: begin.line,
                column: begin.column,
                width: width.max(1),
                start: begin.offset(),
                end: self.at.offset(),
            },
        })
    }

    /// Reads a word in quotes; the first has been read.
    fn quoted(&mut self, quote: char) -> TokenKind {
        let mut word = String::new();
        let opened = self.at.clone();
        loop {
            let Some(character) = self.at.any() else {
                // The rest of the file is not lost in it.
                self.at = opened;
                return TokenKind::Wrong(LexicalError::Unclosed);
            };
            match character {
                '\n' => continue,
                '\\' => match self.at.raw() {
                    Some('\n') => {
                        self.at.any();
                        continue;
                    }
                    Some(next) if next == quote || next == ' ' || next == '\t' => {
                        self.at.any();
                        word.push(next);
                    }
                    _ => word.push('\\'),
                },
                character if character == quote => {
                    return if word.contains(char::REPLACEMENT_CHARACTER) {
                        TokenKind::Wrong(LexicalError::NotUtf8)
                    } else {
                        TokenKind::Word(word)
                    };
                }
                character => word.push(character),
            }
            if word.len() > QUOTED_LENGTH_MAX {
                return TokenKind::Wrong(LexicalError::TooLong);
            }
        }
    }

    /// Reads a number, or a word that begins with digits.
    fn number(&mut self, first: char) -> TokenKind {
        let after_first = self.at.clone();
        let mut digits = String::from(first);
        while let Some(digit) = self.at.peek().filter(char::is_ascii_digit) {
            self.at.unquoted();
            digits.push(digit);
            if digits.len() > UNQUOTED_LENGTH_MAX {
                return TokenKind::Wrong(LexicalError::TooLong);
            }
        }
        let ends = |character: char| character.is_ascii_whitespace() || ")/,}=\u{b}".contains(character);
        if digits != "-" && self.at.peek().is_none_or(ends) {
            return match digits.parse() {
                Ok(number) => TokenKind::Number(number),
                Err(_) => TokenKind::Wrong(LexicalError::Number {
                    reason: if first == '-' { "too small" } else { "too large" },
                    digits,
                }),
            };
        }
        self.at = after_first;
        match first {
            '-' => TokenKind::Character('-'),
            first => self.word(first),
        }
    }

    /// Reads a word; its first character has been read.
    fn word(&mut self, first: char) -> TokenKind {
        let mut word = String::from(first);
        while let Some(character) = self.at.peek().filter(|character| is_in_word(*character)) {
            self.at.unquoted();
            word.push(character);
            if word.len() > UNQUOTED_LENGTH_MAX {
                return TokenKind::Wrong(LexicalError::TooLong);
            }
        }
        match KEYWORDS.into_iter().find(|keyword| *keyword == word) {
            Some(keyword) => TokenKind::Keyword(keyword),
            None => TokenKind::Word(word),
        }
    }
}

/// Reports whether a word can begin with this without quotes.
fn begins_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || ":_*".contains(character)
}

/// Reports whether a word can have this without quotes.
fn is_in_word(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || (character.is_ascii_punctuation() && !"(){}<>!=/#,".contains(character))
}

impl Position<'_> {
    fn offset(&self) -> usize {
        self.length - self.rest.as_str().len()
    }

    /// Returns the next character as it is written.
    fn raw(&self) -> Option<char> {
        self.rest.clone().next()
    }

    /// Takes the next character as it is written.
    fn any(&mut self) -> Option<char> {
        let character = self.rest.next()?;
        if character == '\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else {
            self.column = self.column.saturating_add(1);
        }
        Some(character)
    }

    /// Skips what joins lines: backslashes, each with the end of a line.
    fn skip_joints(&mut self) {
        while self.rest.as_str().starts_with("\\\n") {
            self.any();
            self.any();
        }
    }

    /// Takes the next character outside quotes, where a backslash before anything but the end of a line says nothing.
    fn unquoted(&mut self) -> Option<char> {
        self.skip_joints();
        match self.any()? {
            '\\' => self.any(),
            character => Some(character),
        }
    }

    /// Returns the next character outside quotes.
    fn peek(&self) -> Option<char> {
        self.clone().unquoted()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| lexer.next())
            .map(|token| token.kind)
            .collect()
    }

    fn word(text: &str) -> TokenKind {
        TokenKind::Word(text.to_owned())
    }

    #[test]
    fn words_keywords_and_numbers_are_told_apart() {
        assert_eq!(
            kinds("server a weight 3\n"),
            [
                TokenKind::Keyword("server"),
                word("a"),
                TokenKind::Keyword("weight"),
                TokenKind::Number(3),
                TokenKind::EndOfLine
            ]
        );
        assert_eq!(
            kinds("\"server\" 'on' Server"),
            [word("server"), word("on"), word("Server")]
        );
        assert_eq!(
            kinds("1.2.3.4 10 -5 5a"),
            [
                word("1.2.3.4"),
                TokenKind::Number(10),
                TokenKind::Number(-5),
                word("5a")
            ]
        );
        assert_eq!(kinds("-"), [TokenKind::Character('-')]);
        assert_eq!(kinds("5#c"), [word("5")]);
        assert_eq!(
            kinds("99999999999999999999 a\nb"),
            [
                TokenKind::Wrong(LexicalError::Number {
                    digits: "99999999999999999999".to_owned(),
                    reason: "too large"
                }),
                TokenKind::EndOfLine,
                word("b")
            ]
        );
    }

    #[test]
    fn backslashes_join_lines_and_say_nothing_else() {
        assert_eq!(kinds("a \\\n b\\\nc"), [word("a"), word("bc")]);
        assert_eq!(kinds("ser\\ver a\\"), [TokenKind::Keyword("server"), word("a")]);
        assert_eq!(kinds("# a \\\nb\nc"), [TokenKind::EndOfLine, word("c")]);
    }

    #[test]
    fn quotes_keep_what_is_in_them() {
        assert_eq!(kinds("\"https://a/b\""), [word("https://a/b")]);
        assert_eq!(kinds("'it\\'s\\ \\x'"), [word("it's \\x")]);
        assert_eq!(kinds("\"a\nb\\\nc\""), [word("abc")]);
        assert_eq!(
            kinds("\"a b\nc"),
            [
                TokenKind::Wrong(LexicalError::Unclosed),
                TokenKind::EndOfLine,
                word("c")
            ]
        );
    }

    #[test]
    fn characters_that_begin_nothing_stand_alone() {
        assert_eq!(
            kinds("https://a"),
            [
                word("https:"),
                TokenKind::Character('/'),
                TokenKind::Character('/'),
                word("a")
            ]
        );
        assert_eq!(
            kinds("é\r"),
            [TokenKind::Character('é'), TokenKind::Character('\r')]
        );
    }

    #[test]
    fn a_word_that_is_not_utf8_is_wrong() {
        assert_eq!(
            kinds("server '/\u{fffd}' weight 3\nserver"),
            [
                TokenKind::Keyword("server"),
                TokenKind::Wrong(LexicalError::NotUtf8),
                TokenKind::EndOfLine,
                TokenKind::Keyword("server"),
            ]
        );
        assert_eq!(kinds("'é' # \u{fffd}"), [word("é")]);
    }

    #[test]
    fn a_word_has_a_bound() {
        for (quote, length_max) in [("\"", QUOTED_LENGTH_MAX), ("", UNQUOTED_LENGTH_MAX)] {
            let of = |length| format!("{quote}{}{quote}", "a".repeat(length));
            assert_eq!(kinds(&of(length_max)), [word(&"a".repeat(length_max))]);
            assert_eq!(
                kinds(&of(length_max + 1)),
                [TokenKind::Wrong(LexicalError::TooLong)]
            );
        }
    }

    #[test]
    fn places_are_those_of_the_first_character() {
        let mut lexer = Lexer::new("a \\\n  'b' c");
        let places = std::iter::from_fn(|| lexer.next())
            .map(|token| (token.place.line, token.place.column, token.place.width));
        assert_eq!(places.collect::<Vec<_>>(), [(1, 1, 1), (2, 3, 3), (2, 7, 1)]);
    }

    proptest! {
        #[test]
        fn every_text_ends(text in "[a-z0-9 \\\\\"'\n#/:*-]{0,80}|(.|\n){0,80}") {
            let mut lexer = Lexer::new(&text);
            let mut end = 0;
            while let Some(token) = lexer.next() {
                prop_assert!(token.place.start >= end && token.place.end > token.place.start);
                prop_assert!(text.get(token.place.start..token.place.end).is_some());
                end = token.place.end;
            }
        }
    }
}
