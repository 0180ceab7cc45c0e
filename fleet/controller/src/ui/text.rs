//! Text from hosts, made harmless to the eye. The templates make it harmless to the browser.

/// Longest text from a host that is shown, in characters.
const SHOWN_MAX: usize = 300;

/// Replaces what is invisible or turns the direction of writing, and cuts what is too long.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_MAX)
        .map(|c| if deceives(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_replaced_and_what_is_long_is_cut() {
        assert_eq!(shown("ntp1.lab"), "ntp1.lab");
        assert_eq!(shown("a\r\nb\u{202e}c\0"), "a\u{fffd}\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(shown(&"é".repeat(SHOWN_MAX)), "é".repeat(SHOWN_MAX));
        assert_eq!(shown(&"é".repeat(SHOWN_MAX + 1)), "é".repeat(SHOWN_MAX) + "…");
    }
}
