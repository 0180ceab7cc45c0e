//! Text from strangers made fit for a terminal: escaped, measured in columns, cut.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Makes one line of a stranger's text: runs of white space become one space, and every character that could
/// move the cursor, hide text or turn its direction is written as `\u{…}`.
pub(crate) fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if is_hostile(c) {
                line.extend(c.escape_unicode());
            } else {
                line.push(c);
            }
        }
    }
    line
}

/// Makes a stranger's text fit for a terminal and keeps its lines.
pub(crate) fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_hostile(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Writes what a terminal would act on as JSON escapes. In JSON text such characters can stand in strings
/// only, so that the meaning stays.
pub(crate) fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) && !c.is_ascii_whitespace() {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Control characters, and the format characters that are invisible or reorder what follows.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// How many terminal columns a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// Cuts a text to so many columns, with `…` in place of what is missing.
pub(crate) fn cut(text: &str, columns_max: usize) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 1; // the ellipsis
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns_max {
            break;
        }
        shown.push(c);
    }
    shown.push('…');
    shown
}

/// The known word that is meant when `word` is not known: at most a third of its letters differ.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= word.chars().count().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, removed or replaced (Levenshtein). Bounded: long words are no typing
/// mistakes.
fn distance(a: &str, b: &str) -> usize {
    const CHARS_MAX: usize = 80;
    let b: Vec<char> = b.chars().take(CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(CHARS_MAX).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cb, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = *above;
            left = replaced.min(left + 1).min(*above + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_write_to_the_terminal() {
        assert_eq!(line("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(line("a\n\t b\u{9b}c"), "a b\\u{9b}c");
        assert_eq!(line("gnp\u{202e}.exe"), "gnp\\u{202e}.exe");
        assert_eq!(line("größe 時計"), "größe 時計");
        assert_eq!(lines("a\nb\x07"), "a\nb\\u{7}");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let body = "{\"a\":\"x\u{9b}y\u{e0001}\"}";
        let shown = json(body);
        assert!(shown.is_ascii());
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(body));
    }

    #[test]
    fn a_cut_text_keeps_within_its_columns() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("時計時計", 5), "時計…");
        assert_eq!(cut("時計時計", 4), "時…");
        assert_eq!(columns(&cut("時計時計", 4)), 3);
    }

    #[test]
    fn a_typing_mistake_finds_its_word() {
        let known = ["job_timeout", "listen", "roles"];
        assert_eq!(nearest("job_timout", known), Some("job_timeout"));
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
