//! Key files: every key has a number of its own and can be used, and what is said never shows a secret.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use conf::chrony::{Key, KeyAlgorithm, parse_keys};
use wire::ntp::auth;

use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "keys",
    check,
    seeds,
    words: || {
        words_of(&[
            "MD5",
            "SHA1",
            "SHA256",
            "SHA384",
            "SHA512",
            "AES128",
            "AES256",
            "ASCII:",
            "HEX:",
            "4294967295",
            "0x10",
            "# ",
            "000102030405060708090a0b0c0d0e0f",
        ])
    },
};

/// Longer secrets are not written again: their line would be too long.
const SECRET_LENGTH_MAX: usize = 900;

fn check(bytes: &[u8]) {
    let (keys, problems) = parse_keys("keys", bytes);
    let numbers: BTreeSet<u32> = keys.iter().map(|key| key.id).collect();
    assert_eq!(numbers.len(), keys.len());
    for key in &keys {
        auth::Key::new(key.id, algorithm(key.algorithm), &key.secret).expect("it can be used");
        let _ = key.is_short();
    }
    for problem in &problems {
        assert!(!problem.to_string().is_empty());
        assert!(!problem.as_original().is_empty());
    }
    let keys: Vec<Key> = keys
        .into_iter()
        .filter(|key| key.secret.len() <= SECRET_LENGTH_MAX)
        .collect();
    let written: String = keys.iter().map(line).collect();
    assert_eq!(parse_keys("again", &written), (keys, Vec::new()));
}

fn line(key: &Key) -> String {
    let mut line = format!("{} {} HEX:", key.id, key.algorithm.word());
    for byte in &key.secret {
        let _infallible = write!(line, "{byte:02X}");
    }
    line.push('\n');
    line
}

const fn algorithm(named: KeyAlgorithm) -> auth::Algorithm {
    match named {
        KeyAlgorithm::Md5 => auth::Algorithm::Md5,
        KeyAlgorithm::Sha1 => auth::Algorithm::Sha1,
        KeyAlgorithm::Sha256 => auth::Algorithm::Sha256,
        KeyAlgorithm::Sha384 => auth::Algorithm::Sha384,
        KeyAlgorithm::Sha512 => auth::Algorithm::Sha512,
        KeyAlgorithm::Aes128 => auth::Algorithm::Aes128Cmac,
        KeyAlgorithm::Aes256 => auth::Algorithm::Aes256Cmac,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    words_of(&[
        "# comment\n1 secretsecret\n2 SHA1 ASCII:secretsecret\n\n 3 SHA256 HEX:000102030405060708090a0B\n",
        "4 AES128 HEX:000102030405060708090a0B0c0d0e0f\n5 AES256 0123456789abcdef0123456789abcdef\n",
        "1\nx MD5 key\n2 NONE key\n3 HEX:0\n4 HEX:\u{e9}0\n5 AES128 short\n6 short\n7 longenough1\n7 longenough2\n",
        "0x10 SHA512 HEX:00\n4294967295 SHA384 a\n0 MD5 a\n-1 MD5 a\n",
    ])
}
