//! The key file: symmetric keys by number.

use std::fs;
use std::os::unix::fs::MetadataExt;

use wire::ntp::auth::{Algorithm, Key, KeyError};

use crate::log::Log;

/// What others shall not have of a file with secrets.
const READ_BY_OTHERS: u32 = 0o004;

/// What a key file says.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The keys, each number once.
    keys: Vec<Key>,
    /// What is wrong with the others, one line each.
    warnings: Vec<String>,
}

impl Keys {
    /// Reads a key file and logs what is wrong with it.
    pub(crate) fn load(path: Option<&str>, log: &mut Log) -> Vec<Key> {
        let Some(path) = path else { return Vec::new() };
        let Ok(text) = fs::read_to_string(path) else {
            log.warn(&format!("Could not open keyfile {path}"));
            return Vec::new();
        };
        if fs::metadata(path).is_ok_and(|file| file.mode() & READ_BY_OTHERS != 0) {
            log.warn(&format!("World-readable permissions on {path}"));
        }
        let Self { keys, warnings } = Self::parse(&text, path);
        for warning in &warnings {
            log.warn(warning);
        }
        log.info(&format!("Loaded {} symmetric keys", keys.len()));
        keys
    }

    /// Reads the text of a key file: `ID [TYPE] KEY` on each line, the type MD5 when there is none, the key as
    /// `ASCII:…`, `HEX:…` or bare text. Lines that begin with one of `!;#%` are comments.
    fn parse(text: &str, path: &str) -> Self {
        let mut read = Self::default();
        let mut duplicates = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(['!', ';', '#', '%']) {
                continue;
            }
            match key(line) {
                Ok(key) if read.keys.iter().any(|other| other.id() == key.id()) => {
                    duplicates.push(format!("Detected duplicate key {}", key.id()));
                }
                Ok(key) => read.keys.push(key),
                Err(Some(warning)) => read.warnings.push(warning),
                Err(None) => {
                    read.warnings
                        .push(format!("Could not parse key at line {number} in file {path}"));
                }
            }
        }
        read.warnings.append(&mut duplicates);
        read
    }
}

/// Reads one line, or says what is wrong with the key; `None` when the line is none of a key.
fn key(line: &str) -> Result<Key, Option<String>> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (id, name, secret) = match words.as_slice() {
        [id, secret] => (id, "MD5", secret),
        [id, name, secret] => (id, *name, secret),
        _ => return Err(None),
    };
    let id: u32 = id.parse().map_err(|_| None)?;
    let algorithm = Algorithm::from_name(name).ok_or_else(|| format!("Invalid type in key {id}"))?;
    let bytes = bytes(secret).ok_or_else(|| format!("Could not decode key {id}"))?;
    Key::new(id, algorithm, &bytes).map_err(|error| {
        Some(match error {
            KeyError::CipherLength { needed, .. } => {
                format!("Invalid length of {name} key {id} (expected {} bits)", needed * 8)
            }
            KeyError::ZeroId | KeyError::Length { .. } => format!("Could not decode key {id}"),
        })
    })
}

/// The bytes that a key's text stands for.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if let Some(text) = text.strip_prefix("ASCII:") {
        return Some(text.as_bytes().to_vec());
    }
    let Some(digits) = text.strip_prefix("HEX:") else {
        return Some(text.as_bytes().to_vec());
    };
    if !digits.is_ascii() || digits.len() % 2 == 1 {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_many_forms() {
        let text = "# comment\n1 secretsecret\n2 SHA1 ASCII:secretsecret\n\n 3 sha256 HEX:000102030405060708090a0B\n\
                    4 AES128 HEX:000102030405060708090a0B0c0d0e0f\n";
        let read = Keys::parse(text, "keys");
        let keys: Vec<(u32, Algorithm, usize)> = read
            .keys
            .iter()
            .map(|key| (key.id(), key.algorithm(), key.bits()))
            .collect();
        assert_eq!(
            keys,
            [
                (1, Algorithm::Md5, 96),
                (2, Algorithm::Sha1, 96),
                (3, Algorithm::Sha256, 96),
                (4, Algorithm::Aes128Cmac, 128),
            ]
        );
        assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let text = "1\nx MD5 key\n2 NONE key\n3 HEX:0\n4 HEX:é0\n5 AES128 short\n6 short\n7 longenough1\n7 longenough2\n";
        let read = Keys::parse(text, "keys");
        assert_eq!(
            read.warnings,
            [
                "Could not parse key at line 1 in file keys",
                "Could not parse key at line 2 in file keys",
                "Invalid type in key 2",
                "Could not decode key 3",
                "Could not decode key 4",
                "Invalid length of AES128 key 5 (expected 128 bits)",
                "Detected duplicate key 7",
            ]
        );
        assert_eq!(read.keys.len(), 2);
    }
}
