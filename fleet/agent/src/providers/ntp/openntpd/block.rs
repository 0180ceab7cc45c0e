//! The managed block of a configuration that has no files in files.

use super::MANAGED_HEADER;

/// What its last line is.
const END: &str = "# End of what timeball manages.";

/// What its first line is.
fn begin() -> String {
    format!("# {MANAGED_HEADER}")
}

/// Where the lines of the block are, its first and its last line included: from the last beginning before the first end.
/// A beginning without an end is a comment like any other.
fn lines_of_block(lines: &[&str]) -> Option<(usize, usize)> {
    let begin = begin();
    let mut first = None;
    for (at, line) in lines.iter().enumerate() {
        let line = line.trim_end();
        if line == begin {
            first = Some(at);
        } else if line == END
            && let Some(first) = first
        {
            return Some((first, at));
        }
    }
    None
}

/// What is wrong with the marks of the block, for the operator: with one of them lost nobody knows which lines are managed.
pub(super) fn fault(path: &str, file: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(file);
    let begin = begin();
    // The line of a beginning whose end has not come yet.
    let mut open = None;
    for (line, text) in (1..).zip(split(&text)) {
        let text = text.trim_end();
        if text == begin {
            if open.is_some() {
                break;
            }
            open = Some(line);
        } else if text == END && open.take().is_none() {
            return Some(format!(
                "{path}:{line} ends managed servers, and the line `{begin}` before them is lost: put it back, or take the \
                 servers out together with line {line}"
            ));
        }
    }
    let line: usize = open?;
    Some(format!(
        "{path}:{line} begins managed servers, and the line `{END}` behind them is lost: put it back, or take the servers \
         out together with line {line}"
    ))
}

fn split(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// The lines inside of the block; absent when there is none.
pub(super) fn part(file: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(file);
    let lines = split(&text);
    let (first, last) = lines_of_block(&lines)?;
    Some(lines[first + 1..last].concat().into_bytes())
}

/// The file with other lines in the block, which is put at its end when there is none, or without it.
pub(super) fn with_part(file: Option<&[u8]>, part: Option<&[u8]>) -> Vec<u8> {
    let file = file.unwrap_or_default();
    let block = part.map(|part| {
        let begin = begin();
        [begin.as_bytes(), b"\n", part, END.as_bytes(), b"\n"].concat()
    });
    // Lines are found in the bytes as they are: what is no text stays as it is.
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    let texts: Vec<&str> = lines
        .iter()
        .map(|line| std::str::from_utf8(line).unwrap_or_default())
        .collect();
    let (before, after) = match lines_of_block(&texts) {
        Some((first, last)) => (lines[..first].concat(), lines[last + 1..].concat()),
        None => (file.to_vec(), Vec::new()),
    };
    let mut next = before;
    if let Some(block) = block {
        if !next.is_empty() && !next.ends_with(b"\n") {
            next.push(b'\n');
        }
        next.extend(block);
    }
    next.extend(after);
    next
}

/// The text with empty lines in the place of the block, so that every other line keeps its number.
pub(super) fn blanked(text: &str) -> String {
    let lines = split(text);
    let block = lines_of_block(&lines);
    let kept = lines.iter().enumerate().map(|(at, line)| match block {
        Some((first, last)) if (first..=last).contains(&at) => "\n",
        _ => line,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_comes_changes_and_goes() {
        let own = "servers pool.example\nlisten on *\n";
        let with = with_part(Some(own.as_bytes()), Some(b"server a\n"));
        let text = String::from_utf8(with.clone()).unwrap();
        assert_eq!(text, format!("{own}{}\nserver a\n{END}\n", begin()));
        assert_eq!(part(&with).unwrap(), b"server a\n");
        assert_eq!(blanked(&text), format!("{own}\n\n\n"));
        // What others wrote behind it stays behind it.
        let more = format!("{text}sensor *\n");
        let other = with_part(Some(more.as_bytes()), Some(b"server b\n"));
        assert_eq!(
            String::from_utf8(other.clone()).unwrap(),
            format!("{own}{}\nserver b\n{END}\nsensor *\n", begin())
        );
        assert_eq!(
            with_part(Some(&other), None),
            format!("{own}sensor *\n").into_bytes()
        );
    }

    #[test]
    fn a_last_line_gets_its_end_and_a_lost_end_loses_no_line() {
        let with = with_part(Some(b"server x"), Some(b"server a\n"));
        assert!(with.starts_with(b"server x\n# "));
        let begin = begin();
        let torn = format!("{begin}\nserver old\nserver mine\n");
        assert_eq!(part(torn.as_bytes()), None);
        let next = with_part(Some(torn.as_bytes()), Some(b"server a\n"));
        assert_eq!(
            String::from_utf8(next.clone()).unwrap(),
            format!("{torn}{begin}\nserver a\n{END}\n")
        );
        assert_eq!(part(&next).unwrap(), b"server a\n");
        assert_eq!(with_part(Some(&next), None), torn.into_bytes());
    }

    #[test]
    fn a_lost_mark_is_a_fault() {
        let begin = begin();
        let of = |text: &str| fault("/f", text.as_bytes());
        let whole = format!("server x\n{begin}\nserver a\n{END}\n");
        assert_eq!(of(""), None);
        assert_eq!(of("server x\n"), None);
        assert_eq!(of(&whole), None);
        let without_end = format!("server x\n{begin}\nserver a\n");
        let told = of(&without_end).unwrap();
        assert!(told.starts_with("/f:2 begins") && told.contains(END), "{told}");
        let told = of(&format!("server a\n{END}\n")).unwrap();
        assert!(told.starts_with("/f:2 ends") && told.contains(&begin), "{told}");
        // A block behind a torn one does not make that one whole.
        let told = of(&format!("{without_end}{begin}\nserver b\n{END}\n")).unwrap();
        assert!(told.starts_with("/f:2 begins"), "{told}");
    }

    proptest! {
        /// Whatever a file is, nothing outside of the block is lost, and what was put in is read.
        #[test]
        fn nothing_outside_of_the_block_changes(file in proptest::collection::vec(any::<u8>(), 0..200)) {
            let with = with_part(Some(&file), Some(b"server a\n"));
            prop_assert!(with.starts_with(&file));
            prop_assert_eq!(part(&with).unwrap(), b"server a\n");
            let mut without = with_part(Some(&with), None);
            if without.len() > file.len() {
                prop_assert_eq!(without.pop(), Some(b'\n'));
            }
            prop_assert_eq!(without, file);
        }
    }
}
