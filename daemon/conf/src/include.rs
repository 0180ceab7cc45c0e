//! Files that name other files: reading through the caller, wildcards, and directories of files.

use std::collections::BTreeMap;

/// What some editors put before the first line of a file.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The deepest nesting of files, the first one included (chrony.conf, `include`; observed with
/// chronyd 4.3).
pub const INCLUDE_DEPTH_MAX: usize = 10;

/// The largest file that is taken, in bytes. A reader may stop after one byte more.
pub const FILE_LENGTH_MAX: usize = 1 << 20;

/// The largest number of files that one configuration takes, however they are nested.
pub const FILES_MAX: usize = 512;

/// The largest number of bytes that all files of one configuration have together.
pub const TOTAL_LENGTH_MAX: usize = 8 << 20;

/// The largest number of names that are taken from one directory or matched by one pattern.
pub const NAMES_MAX: usize = 4096;

/// What to do about a word that has U+FFFD, which a [`Reader`] puts for what is not UTF-8.
pub(crate) const NOT_UTF8_HELP: &str = "names and paths are taken in UTF-8 only";

/// Reads files and directories for a parser.
///
/// Paths are as written in the configuration; relative ones are for the reader to resolve.
pub trait Reader {
    /// Returns the text of the file at `path`. Bytes that are not UTF-8 are to be replaced by
    /// U+FFFD. What is beyond [`FILE_LENGTH_MAX`] bytes may be left out if at least one byte
    /// more than that is returned.
    fn read_file(&self, path: &str) -> Result<String, ReadError>;

    /// Returns the names of what is in the directory at `path`, without `.` and `..`.
    fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError>;
}

/// Says why a file or directory cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing is at the path.
    #[error("No such file or directory")]
    NotFound,
    /// A directory is where a file is expected; chronyd takes it for an empty file.
    #[error("Is a directory")]
    IsDirectory,
    /// A file is where a directory is expected.
    #[error("Not a directory")]
    NotDirectory,
    /// The reader may not read it.
    #[error("Permission denied")]
    PermissionDenied,
    /// Anything else; carries the reason.
    #[error("{0}")]
    Other(String),
}

/// Reports whether a component of a pattern has wildcards: `*`, `?` or `[`, without a backslash before it.
fn has_wildcards(component: &str) -> bool {
    let mut characters = component.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// Returns a component without wildcards as it is meant: each backslash stands for the character after it.
fn without_backslashes(component: &str) -> String {
    let mut characters = component.chars();
    let mut literal = String::with_capacity(component.len());
    while let Some(character) = characters.next() {
        match character {
            '\\' => literal.extend(characters.next()),
            _ => literal.push(character),
        }
    }
    literal
}

/// Returns the paths that match a pattern, in byte order.
///
/// `*` matches any characters, `?` one, `[a-z]` one of a set, `[!a-z]` one not of a set; none of
/// them matches a slash, nor a dot at the start of a name. A backslash takes the character after it as
/// it is. Without any of these the pattern is the only match, whether it exists or not.
///
/// # Errors
/// Why a directory cannot be searched that is named or that a component before the last matches. What is no directory
/// matches nothing, and neither does what a matching name leads to and is not there (as with glob(3) and `GLOB_ERR`).
pub fn expand(pattern: &str, reader: &dyn Reader) -> Result<Vec<String>, ReadError> {
    if !pattern.contains(['*', '?', '[', '\\']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let absolute = pattern.starts_with('/');
    let mut found = vec![if absolute { "/".to_owned() } else { String::new() }];
    let (mut exists_so_far, mut is_matched) = (true, false);
    let mut components = pattern
        .split('/')
        .filter(|component| !component.is_empty())
        .peekable();
    while let Some(component) = components.next() {
        // Of the last component the directory is searched for backslashes too, of those before it not.
        let is_last = components.peek().is_none();
        // A backslash before a slash says nothing.
        let trailing = component.len() - component.trim_end_matches('\\').len();
        let component = match component.strip_suffix('\\') {
            Some(shorter) if !is_last && trailing % 2 == 1 => shorter,
            _ => component,
        };
        if has_wildcards(component) || (is_last && component.contains('\\')) {
            let mut matching = Vec::new();
            for directory in &found {
                let names = match reader.list_dir(if directory.is_empty() { "." } else { directory }) {
                    Err(ReadError::NotDirectory) => Vec::new(),
                    Err(ReadError::NotFound) if is_matched => Vec::new(),
                    names => names?,
                };
                let names = names.iter().filter(|name| matches(component, name));
                let left = NAMES_MAX - matching.len();
                matching.extend(names.map(|name| join(directory, name)).take(left));
            }
            found = matching;
            (exists_so_far, is_matched) = (true, true);
        } else {
            let name = without_backslashes(component);
            found = found.iter().map(|directory| join(directory, &name)).collect();
            exists_so_far = false;
        }
    }
    if !exists_so_far {
        found.retain(|path| exists(path, reader));
    }
    found.sort_unstable();
    Ok(found)
}

/// Returns the files with a suffix in several directories, as chrony's `confdir` and `sourcedir`
/// order them: by name; of several with one name only that in the directory named first.
///
/// Hidden files are left out, and so are directories that cannot be read.
pub fn search(directories: &[&str], suffix: &str, reader: &dyn Reader) -> Vec<String> {
    let mut found = BTreeMap::new();
    for directory in directories {
        let mut names = reader.list_dir(directory).unwrap_or_default();
        names.retain(|name| name.ends_with(suffix) && !name.starts_with('.') && !name.contains('/'));
        names.truncate(NAMES_MAX);
        for name in names {
            found.entry(name).or_insert(directory);
        }
    }
    found
        .into_iter()
        .map(|(name, directory)| join(directory, &name))
        .collect()
}

/// Reports whether a name matches one component of a pattern.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern = pattern.chars().collect::<Vec<_>>();
    let name = name.chars().collect::<Vec<_>>();
    // On a mismatch the last star takes one character more; earlier stars never have to.
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(character) = name.get(at_name) {
        let step = match pattern.get(at_pattern) {
            Some('*') => {
                retry = Some((at_pattern, at_name));
                at_pattern += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => match set(pattern.get(at_pattern + 1..).unwrap_or_default()) {
                Some(set) => set.contains(*character).then_some(set.length + 1),
                None => (*character == '[').then_some(1),
            },
            // At the end it matches nothing.
            Some('\\') => (pattern.get(at_pattern + 1) == Some(character)).then_some(2),
            Some(literal) => (literal == character).then_some(1),
            None => None,
        };
        match (step, retry) {
            (Some(step), _) => {
                at_pattern += step;
                at_name += 1;
            }
            (None, Some((star, taken))) => {
                retry = Some((star, taken + 1));
                at_pattern = star + 1;
                at_name = taken + 1;
            }
            (None, None) => return false,
        }
    }
    pattern
        .get(at_pattern..)
        .unwrap_or_default()
        .iter()
        .all(|rest| *rest == '*')
}

/// A set of characters such as `[a-z]`.
struct Set<'a> {
    items: &'a [char],
    negated: bool,
    /// The number of characters after the opening bracket, the closing one included.
    length: usize,
}

/// Reads a set from the characters after its opening bracket; `None` if it is never closed.
fn set(rest: &[char]) -> Option<Set<'_>> {
    let negated = matches!(rest.first(), Some('!' | '^'));
    let start = usize::from(negated);
    // A closing bracket in first place is one of the characters.
    let end = rest
        .iter()
        .enumerate()
        .skip(start + 1)
        .find(|(_, character)| **character == ']')?
        .0;
    Some(Set {
        items: rest.get(start..end)?,
        negated,
        length: end + 1,
    })
}

impl Set<'_> {
    fn contains(&self, character: char) -> bool {
        let mut items = self.items;
        let mut found = false;
        while let [first, rest @ ..] = items {
            if let ['-', last, rest @ ..] = rest {
                found |= (*first..=*last).contains(&character);
                items = rest;
            } else {
                found |= *first == character;
                items = rest;
            }
        }
        found != self.negated
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() || directory.ends_with('/') {
        format!("{directory}{name}")
    } else {
        format!("{directory}/{name}")
    }
}

fn exists(path: &str, reader: &dyn Reader) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
    let directory = if directory.is_empty() { "/" } else { directory };
    reader
        .list_dir(directory)
        .is_ok_and(|names| names.iter().any(|found| found == name))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// Files by path; directories are those the paths imply.
    #[derive(Default)]
    pub(crate) struct Files(pub(crate) BTreeMap<String, String>);

    impl Files {
        pub(crate) fn new(files: &[(&str, &str)]) -> Self {
            Self(
                files
                    .iter()
                    .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                    .collect(),
            )
        }
    }

    impl Reader for Files {
        fn read_file(&self, path: &str) -> Result<String, ReadError> {
            if self.list_dir(path).is_ok() {
                return Err(ReadError::IsDirectory);
            }
            self.0.get(path).cloned().ok_or(ReadError::NotFound)
        }

        fn list_dir(&self, path: &str) -> Result<Vec<String>, ReadError> {
            if self.0.contains_key(path) {
                return Err(ReadError::NotDirectory);
            }
            let prefix = format!("{}/", path.trim_end_matches('/'));
            let below = self.0.keys().filter_map(|file| file.strip_prefix(&prefix));
            let names = below
                .filter_map(|rest| rest.split('/').next())
                .collect::<BTreeSet<_>>();
            if names.is_empty() {
                return Err(ReadError::NotFound);
            }
            // Any order will do; the reverse one shows that callers sort.
            Ok(names.into_iter().rev().map(str::to_owned).collect())
        }
    }

    #[test]
    fn patterns_match_as_the_shell_does() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            (".*", ".a", true),
            ("*", "a", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("?", "é", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\-b", "a-b", true),
            ("a\\\\b", "a\\b", true),
            ("a\\", "a\\", false),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn expansion_walks_directories_in_order() {
        let files = Files::new(&[
            ("/g/a/x.conf", ""),
            ("/g/b/a.conf", ""),
            ("/g/b/x.conf", ""),
            ("/g/b/.h.conf", ""),
        ]);
        let expanded = |pattern| expand(pattern, &files).unwrap();
        assert_eq!(
            expanded("/g/*/[a-x].con?"),
            ["/g/a/x.conf", "/g/b/a.conf", "/g/b/x.conf"]
        );
        assert_eq!(expanded("/g/*/x.conf"), ["/g/a/x.conf", "/g/b/x.conf"]);
        assert_eq!(expanded("/g/*/a.conf"), ["/g/b/a.conf"]);
        assert_eq!(expanded("/g/a/*.none"), [""; 0]);
        assert_eq!(expanded("/g/a/x.conf/*"), [""; 0]);
        assert_eq!(expanded("/g/*/none/*.conf"), [""; 0]);
        assert_eq!(expanded("/*/b/a.*"), ["/g/b/a.conf"]);
        assert_eq!(expanded("/none/plain"), ["/none/plain"]);
        assert_eq!(expanded("/g/a/\\x\\.conf"), ["/g/a/x.conf"]);
        assert_eq!(expanded("/g/\\a/x.conf"), ["/g/a/x.conf"]);
        assert_eq!(expanded("/g\\/\\b/*.conf"), ["/g/b/a.conf", "/g/b/x.conf"]);
        assert_eq!(expanded("/g/a/\\none"), [""; 0]);
        assert_eq!(expanded("/g/a/x.conf\\"), [""; 0]);
        assert_eq!(expanded("/g/\\*/x.conf"), [""; 0]);
        assert_eq!(expand("/none/\\x", &files), Err(ReadError::NotFound));
        assert_eq!(expand("/g/\\none/*", &files), Err(ReadError::NotFound));
        assert_eq!(expand("/none/*", &files), Err(ReadError::NotFound));
    }

    #[test]
    fn the_directory_named_first_wins() {
        let files = Files::new(&[
            ("/a/x.conf", ""),
            ("/b/x.conf", ""),
            ("/b/a.conf", ""),
            ("/b/.h.conf", ""),
            ("/b/z.conf~", ""),
        ]);
        assert_eq!(
            search(&["/a", "/none", "/b/"], ".conf", &files),
            ["/b/a.conf", "/a/x.conf"]
        );
    }

    proptest! {
        #[test]
        fn matching_never_panics(pattern in "[*?\\[\\]!^a-c\\\\-]{0,12}", name in "[a-c.\\[\\]-]{0,12}") {
            matches(&pattern, &name);
        }

        #[test]
        fn a_name_matches_itself(name in "[a-z.-]{1,20}") {
            prop_assert!(matches(&name, &name));
        }
    }
}
