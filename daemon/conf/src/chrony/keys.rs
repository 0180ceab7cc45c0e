//! Symmetric keys: the file of `keyfile`.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::numbers::integer;
use super::words::{Word, is_comment, words};
use crate::diagnostic::{Diagnostic, Placed, Severity, Span};

/// The longest line, without its end, in bytes (observed with chrony's development version).
const LINE_LENGTH_MAX: usize = 2047;

/// The least length of a secret that is not easily guessed, in bytes (80 bits; chrony.conf(5)).
const SECRET_LENGTH_SAFE: usize = 10;

/// What a diagnostic shows in place of a secret.
const MASK: &str = "***";

/// Holds a symmetric key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its number, 1…2^32−1.
    pub id: u32,
    /// What is done with it.
    pub algorithm: KeyAlgorithm,
    /// The secret, at least 1 byte; of a cipher exactly as long as the cipher's.
    pub secret: Vec<u8>,
}

/// Shows everything but the secret.
impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            algorithm,
            secret,
        } = self;
        write!(formatter, "Key {id} {algorithm:?} of {} bytes", secret.len())
    }
}

impl Key {
    /// Reports whether the secret is so short that it could be guessed.
    pub fn is_short(&self) -> bool {
        self.secret.len() < SECRET_LENGTH_SAFE
    }
}

/// Says how a key makes the code that authenticates a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyAlgorithm {
    /// The digest of secret and packet.
    Md5,
    /// The digest of secret and packet.
    Sha1,
    /// The digest of secret and packet.
    Sha256,
    /// The digest of secret and packet.
    Sha384,
    /// The digest of secret and packet.
    Sha512,
    /// CMAC (RFC 8573).
    Aes128,
    /// CMAC.
    Aes256,
}

impl KeyAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 7] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Aes128,
        Self::Aes256,
    ];

    /// Returns its word in a key file; letter case matters.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
            Self::Aes128 => "AES128",
            Self::Aes256 => "AES256",
        }
    }

    /// Returns the length of its secrets, in bytes, if it takes one length only.
    pub const fn secret_length(self) -> Option<usize> {
        match self {
            Self::Aes128 => Some(16),
            Self::Aes256 => Some(32),
            Self::Md5 | Self::Sha1 | Self::Sha256 | Self::Sha384 | Self::Sha512 => None,
        }
    }
}

/// Algorithms that chrony knows and timeballd does not.
const UNSUPPORTED: [&str; 6] = [
    "SHA3-224",
    "SHA3-256",
    "SHA3-384",
    "SHA3-512",
    "TIGER",
    "WHIRLPOOL",
];

/// Reads the content of a key file; `path` is named in diagnostics.
///
/// Each line is `ID [TYPE] SECRET`. A secret that is text is the bytes that stand there, in whatever encoding. A line that cannot be read is passed over with a warning, as
/// chronyd does; of several keys with one number the one is kept that chronyd uses, which is any of
/// them, by their places in the file. Diagnostics show no secrets.
pub fn parse_keys(path: &str, content: impl AsRef<[u8]>) -> (Vec<Key>, Vec<Diagnostic>) {
    let file: Arc<str> = path.into();
    let mut keys: Vec<Key> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut diagnostics = Vec::new();
    for (number, line) in (1..).zip(content.as_ref().split(|byte| *byte == b'\n')) {
        // One character for each byte, whatever they mean: `decode` makes them bytes again.
        let text: String = line.iter().copied().map(char::from).collect();
        let words = words(&text);
        if words.first().is_none_or(|word| is_comment(word.text)) {
            continue;
        }
        let found = match key(line.len(), &words) {
            Ok(key) => {
                let id = key.id;
                keys.push(key);
                if seen.insert(id) {
                    continue;
                }
                Problem {
                    word: 0,
                    message: format!("Detected duplicate key {id}"),
                    placed: Placed::Nowhere,
                }
            }
            Err(problem) => problem,
        };
        diagnostics.push(found.into_diagnostic(&file, number, &words));
    }
    (without_duplicates(keys), diagnostics)
}

/// Keeps of several keys with one number the one that chronyd uses: that which a search by halving
/// meets first among all keys in the order of their numbers, keys with one number in that of the
/// file. Observed with chronyd 4.3 and its development version on twelve files.
fn without_duplicates(mut keys: Vec<Key>) -> Vec<Key> {
    let ids = keys.iter().map(|key| key.id).collect::<Vec<_>>();
    let mut order = (0..ids.len()).collect::<Vec<_>>();
    order.sort_by_key(|place| ids.get(*place));
    let kept = ids.iter().filter_map(|id| met_first(&order, &ids, *id));
    let kept = kept.collect::<BTreeSet<_>>();
    let mut places = 0..;
    keys.retain(|_| places.next().is_some_and(|place| kept.contains(&place)));
    keys
}

/// Where the number `id` is met first by halving: `order` has places in `ids` in the order of numbers.
fn met_first(order: &[usize], ids: &[u32], id: u32) -> Option<usize> {
    let mut rest = order;
    loop {
        let (lower, [place, upper @ ..]) = rest.split_at_checked(rest.len() / 2)? else {
            return None;
        };
        rest = match ids.get(*place)?.cmp(&id) {
            Ordering::Equal => return Some(*place),
            Ordering::Greater => lower,
            Ordering::Less => upper,
        };
    }
}

/// What is wrong with a line.
struct Problem {
    /// The word, counted from 0.
    word: usize,
    message: String,
    /// How chronyd says the line.
    placed: Placed,
}

impl Problem {
    fn into_diagnostic(self, file: &Arc<str>, line: u32, words: &[Word<'_>]) -> Diagnostic {
        // Everything after the number, and after a type that is known, may be a secret.
        let is_type = |word: &str| {
            UNSUPPORTED.contains(&word) || KeyAlgorithm::ALL.iter().any(|known| known.word() == word)
        };
        let mut line_text = String::new();
        let mut column = 1;
        for (at, word) in words.iter().enumerate() {
            let is_shown = match at {
                0 => word.text.bytes().all(|byte| byte.is_ascii_digit()),
                1 => words.len() > 2 && is_type(word.text),
                _ => false,
            };
            if at > 0 {
                line_text.push(' ');
            }
            if at == self.word {
                column = line_text.chars().count() + 1;
            }
            line_text.push_str(if is_shown { word.text } else { MASK });
        }
        Diagnostic {
            severity: Severity::Warning,
            span: Span {
                file: Arc::clone(file),
                line,
                column: u32::try_from(column).unwrap_or(1),
                width: 1,
            },
            line_text,
            message: self.message,
            help: None,
            placed: self.placed,
            unshown: 0,
        }
    }
}

fn key(line_length: usize, words: &[Word<'_>]) -> Result<Key, Problem> {
    let unparsable = |word| Problem {
        word,
        message: "Could not parse key".to_owned(),
        placed: Placed::After,
    };
    let texts = words.iter().map(|word| word.text).collect::<Vec<_>>();
    let (id, name, secret) = match texts[..] {
        [id, secret] => (id, KeyAlgorithm::Md5.word(), secret),
        [id, name, secret] => (id, name, secret),
        _ => return Err(unparsable(0)),
    };
    let id = integer(id)
        .and_then(|id| u32::try_from(id).ok())
        .filter(|id| *id > 0);
    let Some(id) = id.filter(|_| line_length <= LINE_LENGTH_MAX) else {
        return Err(unparsable(0));
    };
    let unplaced = |word, message| Problem {
        word,
        message,
        placed: Placed::Nowhere,
    };
    let Some(algorithm) = KeyAlgorithm::ALL.into_iter().find(|known| known.word() == name) else {
        let message = if UNSUPPORTED.contains(&name) {
            format!("Unsupported hash function in key {id}")
        } else {
            format!("Invalid type in key {id}")
        };
        return Err(unplaced(1, message));
    };
    let at_secret = texts.len() - 1;
    let Some(secret) = decode(secret) else {
        return Err(unplaced(at_secret, format!("Could not decode key {id}")));
    };
    if let Some(length) = algorithm.secret_length().filter(|length| *length != secret.len()) {
        let message = format!(
            "Invalid length of {} key {id} (expected {} bits)",
            algorithm.word(),
            8 * length
        );
        return Err(unplaced(at_secret, message));
    }
    Ok(Key {
        id,
        algorithm,
        secret,
    })
}

/// Returns the bytes of a secret, which is text, or `ASCII:` and text, or `HEX:` and digits. The text has a character
/// for each byte.
fn decode(secret: &str) -> Option<Vec<u8>> {
    let bytes = match secret.strip_prefix("HEX:") {
        Some(digits) => hexadecimal(digits)?,
        None => secret
            .strip_prefix("ASCII:")
            .unwrap_or(secret)
            .chars()
            .map(|character| u8::try_from(character).ok())
            .collect::<Option<_>>()?,
    };
    (!bytes.is_empty()).then_some(bytes)
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_read() {
        let text = "# comment\n\n1 tulip\n 2  MD5 HEX:00fF \n3 SHA1 ASCII:HEX:\n4294967295 SHA512 hex:00\n\
                    5 AES128 HEX:00112233445566778899AABBCCDDEEFF\n6 SHA256 last";
        let (keys, diagnostics) = parse_keys("/keys", text);
        assert_eq!(diagnostics, []);
        let found = keys
            .iter()
            .map(|key| (key.id, key.algorithm, key.secret.as_slice()))
            .collect::<Vec<_>>();
        let cipher = (0..16u8).map(|byte| byte * 0x11).collect::<Vec<_>>();
        assert_eq!(
            found,
            [
                (1, KeyAlgorithm::Md5, &b"tulip"[..]),
                (2, KeyAlgorithm::Md5, &[0, 0xff]),
                (3, KeyAlgorithm::Sha1, b"HEX:"),
                (u32::MAX, KeyAlgorithm::Sha512, b"hex:00"),
                (5, KeyAlgorithm::Aes128, &cipher),
                (6, KeyAlgorithm::Sha256, b"last"),
            ]
        );
        assert!(keys[0].is_short() && !keys[4].is_short());
    }

    #[test]
    fn bytes_are_taken_as_they_are() {
        let content = b"# Schl\xfcssel\n1 MD5 abcdefghijklmnop\n2 SHA1 pass\xa0w\xf6rd\x85\n3 geh\xc3\xa4im\n4 HEX:\xe9\xe9\n";
        let (keys, diagnostics) = parse_keys("/keys", content);
        let secrets = keys.iter().map(|key| key.secret.as_slice()).collect::<Vec<_>>();
        let expected: [&[u8]; 3] = [
            b"abcdefghijklmnop",
            b"pass\xa0w\xf6rd\x85",
            "geh\u{e4}im".as_bytes(),
        ];
        assert_eq!(secrets, expected);
        let said = diagnostics
            .iter()
            .map(Diagnostic::as_original)
            .collect::<Vec<_>>();
        assert_eq!(said, ["Could not decode key 4"]);
    }

    #[test]
    fn lines_that_cannot_be_read_have_the_text_of_chronyd() {
        for (line, expected) in [
            ("x SHA1 secret", "Could not parse key at line 1 in file /keys"),
            ("0 SHA1 secret", "Could not parse key at line 1 in file /keys"),
            ("4294967296 secret", "Could not parse key at line 1 in file /keys"),
            ("1", "Could not parse key at line 1 in file /keys"),
            ("1 SHA1 se cret", "Could not parse key at line 1 in file /keys"),
            ("1 sha1 secret", "Invalid type in key 1"),
            ("1 TIGER secret", "Unsupported hash function in key 1"),
            ("1 SHA1 HEX:0", "Could not decode key 1"),
            ("1 SHA1 HEX:0g", "Could not decode key 1"),
            ("1 SHA1 HEX:+1", "Could not decode key 1"),
            ("1 HEX:", "Could not decode key 1"),
            ("1 SHA1 ASCII:", "Could not decode key 1"),
            (
                "1 AES128 secret",
                "Invalid length of AES128 key 1 (expected 128 bits)",
            ),
            (
                "1 AES256 secret",
                "Invalid length of AES256 key 1 (expected 256 bits)",
            ),
        ] {
            let (keys, diagnostics) = parse_keys("/keys", line);
            assert_eq!((keys.len(), diagnostics.len()), (0, 1), "{line}");
            assert_eq!(diagnostics[0].as_original(), expected, "{line}");
            let shown = diagnostics[0].to_string();
            assert!(!shown.contains("cret") && !shown.contains("HEX"), "{shown}");
        }
        let long = format!("1 {}", "x".repeat(LINE_LENGTH_MAX));
        assert_eq!(parse_keys("/keys", &long).0, []);
    }

    /// Files by the numbers of their keys, and the line that counts of those that are there more than once, as
    /// chronyd 4.3 and its development version have it.
    #[test]
    fn of_several_keys_with_one_number_that_of_chronyd_counts() {
        let files: [(&[u32], u32, u8); 12] = [
            (&[1, 1], 1, 2),
            (&[1, 1, 1], 1, 2),
            (&[1, 1, 2], 1, 2),
            (&[1, 2, 2], 2, 2),
            (&[2, 2, 1], 2, 1),
            (&[1, 2, 1], 1, 3),
            (&[1, 1, 1, 1], 1, 3),
            (&[1, 2, 3, 3], 3, 3),
            (&[2, 2, 3, 4], 2, 2),
            (&[1, 3, 3, 4, 5], 3, 3),
            (&[5, 3, 3, 1, 4, 3], 3, 6),
            (&[1, 1, 1, 2, 3, 4, 5], 1, 2),
        ];
        for (ids, id, line) in files {
            let lines = ids
                .iter()
                .zip(1_u8..)
                .map(|(id, line)| format!("{id} HEX:{line:02x}\n"));
            let (keys, diagnostics) = parse_keys("/keys", lines.collect::<String>());
            let found = keys.iter().filter(|key| key.id == id).collect::<Vec<_>>();
            assert_eq!(found.len(), 1, "{ids:?}");
            assert_eq!(found[0].secret, [line], "{ids:?}");
            let distinct = ids.iter().collect::<BTreeSet<_>>().len();
            assert_eq!(keys.len(), distinct, "{ids:?}");
            assert_eq!(diagnostics.len(), ids.len() - distinct, "{ids:?}");
        }
        let (keys, diagnostics) = parse_keys("/keys", "1 first\n2 other\n1 second\n");
        assert_eq!(diagnostics[0].as_original(), "Detected duplicate key 1");
        assert_eq!(diagnostics[0].span.line, 3);
        assert!(!format!("{keys:?}").contains("second"));
    }

    proptest! {
        #[test]
        fn anything_is_read(content in any::<Vec<u8>>()) {
            for diagnostic in parse_keys("/keys", &content).1 {
                prop_assert!(!diagnostic.to_string().is_empty());
            }
        }
    }
}
