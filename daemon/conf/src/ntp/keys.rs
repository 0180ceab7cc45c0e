//! Symmetric keys: the file of `keys`.

use std::sync::Arc;

use super::lexer::words;
use crate::chrony::{Key, KeyAlgorithm};
use crate::diagnostic::{Diagnostic, Placed, Severity, Span};

/// The longest secret that is text, in characters; a longer one is hexadecimal digits.
const TEXT_LENGTH_MAX: usize = 20;

/// The largest number of a key.
const ID_MAX: u32 = 65_534;

/// What ntpd calls algorithms, in small letters and without hyphens.
const NAMES: [(&str, KeyAlgorithm); 10] = [
    ("m", KeyAlgorithm::Md5),
    ("md5", KeyAlgorithm::Md5),
    ("sha1", KeyAlgorithm::Sha1),
    ("sha256", KeyAlgorithm::Sha256),
    ("sha384", KeyAlgorithm::Sha384),
    ("sha512", KeyAlgorithm::Sha512),
    ("aes", KeyAlgorithm::Aes128),
    ("aes128", KeyAlgorithm::Aes128),
    ("aes128cmac", KeyAlgorithm::Aes128),
    ("aes256cmac", KeyAlgorithm::Aes256),
];

/// Reads the content of a key file of ntpd; `path` is named in diagnostics.
///
/// Each line is `ID TYPE SECRET`. A secret of more than 20 characters is hexadecimal digits; one that begins with
/// `HEX:` or `ASCII:`, as chronyd writes it, is what it says. A line that cannot be read is passed over with a
/// warning; of several keys with one number the last counts. Diagnostics show no secrets.
pub fn parse_keys(path: &str, content: impl AsRef<[u8]>) -> (Vec<Key>, Vec<Diagnostic>) {
    let file: Arc<str> = path.into();
    let mut keys: Vec<Key> = Vec::new();
    let mut diagnostics = Vec::new();
    for (number, line) in (1..).zip(content.as_ref().split(|byte| *byte == b'\n')) {
        // One character for each byte, whatever they mean.
        let text: String = line.iter().copied().map(char::from).collect();
        let words = words(&text);
        let texts = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>();
        let problem = match texts[..] {
            [] => continue,
            [id, kind, secret, ..] => match key(id, kind, secret) {
                Ok(key) => {
                    let found = keys.iter().position(|other| other.id == key.id);
                    let message = format!("Detected duplicate key {}", key.id);
                    match found.and_then(|at| keys.get_mut(at)) {
                        Some(other) => {
                            *other = key;
                            message
                        }
                        None => {
                            keys.push(key);
                            continue;
                        }
                    }
                }
                Err(message) => message,
            },
            _ => "Could not parse key".to_owned(),
        };
        // Whatever stands on the line may be a secret.
        diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            span: Span {
                file: Arc::clone(&file),
                line: number,
                column: 1,
                width: 3,
            },
            line_text: "***".to_owned(),
            message: problem,
            help: Some("a line is ID TYPE SECRET".to_owned()),
            placed: Placed::Before,
            unshown: 0,
        });
    }
    (keys, diagnostics)
}

/// Reads a key, or says what is wrong with it.
fn key(id: &str, kind: &str, secret: &str) -> Result<Key, String> {
    let id = id.parse::<u32>().ok().filter(|id| (1..=ID_MAX).contains(id));
    let id = id.ok_or("Could not parse key")?;
    let kind = kind.to_ascii_lowercase().replace('-', "");
    let Some((_, algorithm)) = NAMES.iter().find(|(name, _)| *name == kind) else {
        return Err(format!("Invalid type in key {id}"));
    };
    let secret = decode(secret).ok_or(format!("Could not decode key {id}"))?;
    if let Some(length) = algorithm.secret_length().filter(|length| secret.len() != *length) {
        let name = algorithm.word();
        return Err(format!(
            "Invalid length of {name} key {id} (expected {} bits)",
            length * 8
        ));
    }
    Ok(Key {
        id,
        algorithm: *algorithm,
        secret,
    })
}

fn decode(secret: &str) -> Option<Vec<u8>> {
    let digits = match (secret.strip_prefix("HEX:"), secret.strip_prefix("ASCII:")) {
        (Some(digits), _) => Some(digits),
        (None, Some(text)) => return bytes(text),
        (None, None) => (secret.chars().count() > TEXT_LENGTH_MAX).then_some(secret),
    };
    let Some(digits) = digits else {
        return bytes(secret);
    };
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let nibble = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let secret = pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect::<Option<Vec<_>>>()?;
    (!secret.is_empty()).then_some(secret)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let bytes = text.chars().map(|character| u8::try_from(character).ok());
    let bytes = bytes.collect::<Option<Vec<_>>>()?;
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_text_or_digits() {
        let text = "# keys\n1 MD5 secret # of old\n2 SHA-1 0123456789abcdef0123456789ABCDEF01234567\n\n\
                    3 AES128CMAC 00112233445566778899aabbccddeeff\n4 M ASCII:HEX\n5 sha256 HEX:00\n";
        let (keys, diagnostics) = parse_keys("/k", text);
        assert_eq!(diagnostics, []);
        let brief = keys
            .iter()
            .map(|key| (key.id, key.algorithm, key.secret.len()))
            .collect::<Vec<_>>();
        assert_eq!(
            brief,
            [
                (1, KeyAlgorithm::Md5, 6),
                (2, KeyAlgorithm::Sha1, 20),
                (3, KeyAlgorithm::Aes128, 16),
                (4, KeyAlgorithm::Md5, 3),
                (5, KeyAlgorithm::Sha256, 1),
            ]
        );
        assert_eq!(keys[3].secret, b"HEX");
        assert_eq!(keys[1].secret[19], 0x67);
    }

    #[test]
    fn what_cannot_be_read_is_said_without_secrets() {
        let text = "1 MD5\n0 MD5 secret\n65535 MD5 secret\n2 TIGER secret\n3 AES secret\n4 MD5 secretsecretsecretsecret\n\
                    5 MD5 one\n5 MD5 two\n";
        let (keys, diagnostics) = parse_keys("/k", text);
        let said = diagnostics
            .iter()
            .map(Diagnostic::as_original)
            .collect::<Vec<_>>();
        assert_eq!(
            said,
            [
                "/k:1: Could not parse key",
                "/k:2: Could not parse key",
                "/k:3: Could not parse key",
                "/k:4: Invalid type in key 2",
                "/k:5: Invalid length of AES128 key 3 (expected 128 bits)",
                "/k:6: Could not decode key 4",
                "/k:8: Detected duplicate key 5",
            ]
        );
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].secret, b"two");
        assert!(
            diagnostics
                .iter()
                .all(|found| !found.to_string().contains("secret"))
        );
    }

    proptest! {
        #[test]
        fn anything_is_read(content in any::<Vec<u8>>()) {
            for diagnostic in parse_keys("/k", &content).1 {
                prop_assert!(!diagnostic.to_string().is_empty());
            }
        }
    }
}
