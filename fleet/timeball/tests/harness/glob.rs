//! Expected text with `{*}` where anything on the same line may stand.

/// What stands for any text within a line.
const ANY: &str = "{*}";

/// Says whether `text` is as `pattern` says.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<&str>, Vec<&str>) = (pattern.split('\n').collect(), text.split('\n').collect());
    pattern.len() == text.len()
        && pattern
            .iter()
            .zip(&text)
            .all(|(pattern, line)| line_matches(pattern, line))
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split(ANY);
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn only_the_marked_places_are_free() {
    assert!(matches("a\nb {*} c\n", "a\nb xyz c\n"));
    assert!(matches("{*}", "anything"));
    assert!(!matches("a{*}c", "a\nc"));
    assert!(!matches("a", "ab"));
    assert!(!matches("a{*}b{*}c", "a-c"));
}
