//! Prefixes as ranges of keys, so that the index finds them.

/// The ranges `[from, to)` that hold exactly the keys that are `prefix` or start with `prefix` and a dot, in
/// the order of keys; every key for an empty prefix. Only keys that [`crate::limits::check_key`] accepts are
/// considered.
pub(super) fn ranges(prefix: &str) -> Vec<(String, String)> {
    if prefix.is_empty() {
        // Past the last letter.
        return vec![(String::new(), "\u{7f}".to_owned())];
    }
    // '/' follows '.', and no key contains the character that follows nothing. Between the two ranges lie
    // the keys that go on with '-'.
    vec![
        (prefix.to_owned(), format!("{prefix}\u{1}")),
        (format!("{prefix}."), format!("{prefix}/")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_the_prefix_and_what_is_below_it() {
        let keys = [
            "a", "a-b", "a.b", "a.b.c", "a/b", "a=", "a.", "aa", "ab", "b", "A", "a0", "a_", "Z/z",
        ];
        for prefix in ["", "a", "a.b", "b", "A", "c"] {
            let ranges = ranges(prefix);
            for key in keys {
                let found = ranges
                    .iter()
                    .any(|(from, to)| from.as_str() <= key && key < to.as_str());
                let wanted = prefix.is_empty() || key == prefix || key.starts_with(&format!("{prefix}."));
                assert_eq!(found, wanted, "{key} in {prefix:?}");
            }
        }
    }
}
