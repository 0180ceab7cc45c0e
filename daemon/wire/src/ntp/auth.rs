//! Message authentication codes by symmetric keys.

use std::fmt;

use aes::{Aes128, Aes256};
use cmac::{Cmac, KeyInit, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use super::header::Version;

/// The longest code, in bytes.
pub const CODE_LENGTH_MAX: usize = 64;

/// To how many bytes longer codes are cut in version 4. Source: RFC 7822 §3; observed with chronyd 4.3.
const CODE_LENGTH_MAX_V4: usize = 20;

/// The longest key, in bytes: what one line of a key file can hold.
pub const KEY_LENGTH_MAX: usize = 2048;

/// How a key makes a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// MD5 over key and packet. Source: RFC 5905 §7.3; broken, and what everybody has.
    Md5,
    /// SHA-1 over key and packet.
    Sha1,
    /// SHA-256 over key and packet.
    Sha256,
    /// SHA-384 over key and packet.
    Sha384,
    /// SHA-512 over key and packet.
    Sha512,
    /// CMAC with AES and a key of 16 bytes. Source: RFC 8573.
    Aes128Cmac,
    /// CMAC with AES and a key of 32 bytes, as chrony has it.
    Aes256Cmac,
}

impl Algorithm {
    /// Returns the algorithm that a key file calls `name`, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        const NAMES: [(&str, Algorithm); 7] = [
            ("MD5", Algorithm::Md5),
            ("SHA1", Algorithm::Sha1),
            ("SHA256", Algorithm::Sha256),
            ("SHA384", Algorithm::Sha384),
            ("SHA512", Algorithm::Sha512),
            ("AES128", Algorithm::Aes128Cmac),
            ("AES256", Algorithm::Aes256Cmac),
        ];
        let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|&(_, algorithm)| algorithm)
    }

    /// Returns the number by which chrony's command protocol calls it.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha1 => 2,
            Self::Sha256 => 3,
            Self::Sha384 => 4,
            Self::Sha512 => 5,
            Self::Aes128Cmac => 13,
            Self::Aes256Cmac => 14,
        }
    }

    /// Returns the only length in bytes that a key may have, where there is one.
    #[must_use]
    pub const fn key_length(self) -> Option<usize> {
        match self {
            Self::Aes128Cmac => Some(16),
            Self::Aes256Cmac => Some(32),
            Self::Md5 | Self::Sha1 | Self::Sha256 | Self::Sha384 | Self::Sha512 => None,
        }
    }

    /// Returns the length of a whole code in bytes.
    #[must_use]
    pub const fn code_length(self) -> usize {
        match self {
            Self::Md5 | Self::Aes128Cmac | Self::Aes256Cmac => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Returns the length in bytes of the code that travels in packets of `version`.
    #[must_use]
    pub const fn code_length_in(self, version: Version) -> usize {
        match version {
            Version::V4 if self.code_length() > CODE_LENGTH_MAX_V4 => CODE_LENGTH_MAX_V4,
            _ => self.code_length(),
        }
    }
}

/// A secret that two sides share, with the number by which they call it.
///
/// Shows its number and algorithm, never its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: u32,
    algorithm: Algorithm,
    bytes: Box<[u8]>,
}

/// Why bytes are not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The number 0 stands for "no key".
    #[error("key 0 cannot be used; number keys from 1")]
    ZeroId,
    /// Empty, or longer than [`KEY_LENGTH_MAX`].
    #[error("a key of {length} bytes cannot be used; give 1 to {KEY_LENGTH_MAX}")]
    Length {
        /// The length given, in bytes.
        length: usize,
    },
    /// Not as long as the algorithm needs it.
    #[error("a key of {length} bytes cannot be used; this cipher needs {needed}")]
    CipherLength {
        /// The length given, in bytes.
        length: usize,
        /// The length needed, in bytes.
        needed: usize,
    },
}

impl Key {
    /// Returns the key `id` made of `bytes`.
    ///
    /// # Errors
    /// The number is 0, or the length is not one the algorithm can use.
    pub fn new(id: u32, algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let length = bytes.len();
        if id == 0 {
            return Err(KeyError::ZeroId);
        }
        if bytes.is_empty() || length > KEY_LENGTH_MAX {
            return Err(KeyError::Length { length });
        }
        match algorithm.key_length() {
            Some(needed) if needed != length => Err(KeyError::CipherLength { length, needed }),
            _ => Ok(Self {
                id,
                algorithm,
                bytes: bytes.into(),
            }),
        }
    }

    /// Returns the number by which both sides call it, never 0.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Returns how it makes codes.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns its length in bits, as `chronyc authdata` shows it.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.bytes.len() * 8
    }

    /// Writes the code of `data` into `out` and returns its length in bytes, which depends on the algorithm and
    /// on the version of the packet that it is for.
    pub fn mac(&self, data: &[u8], version: Version, out: &mut [u8; CODE_LENGTH_MAX]) -> usize {
        match self.algorithm {
            Algorithm::Md5 => fill(
                out,
                &Md5::new().chain_update(&self.bytes).chain_update(data).finalize(),
            ),
            Algorithm::Sha1 => fill(
                out,
                &Sha1::new()
                    .chain_update(&self.bytes)
                    .chain_update(data)
                    .finalize(),
            ),
            Algorithm::Sha256 => {
                fill(
                    out,
                    &Sha256::new()
                        .chain_update(&self.bytes)
                        .chain_update(data)
                        .finalize(),
                );
            }
            Algorithm::Sha384 => {
                fill(
                    out,
                    &Sha384::new()
                        .chain_update(&self.bytes)
                        .chain_update(data)
                        .finalize(),
                );
            }
            Algorithm::Sha512 => {
                fill(
                    out,
                    &Sha512::new()
                        .chain_update(&self.bytes)
                        .chain_update(data)
                        .finalize(),
                );
            }
            // The lengths were checked when the key was made.
            Algorithm::Aes128Cmac => {
                if let Ok(cmac) = Cmac::<Aes128>::new_from_slice(&self.bytes) {
                    fill(out, &cmac.chain_update(data).finalize().into_bytes());
                }
            }
            Algorithm::Aes256Cmac => {
                if let Ok(cmac) = Cmac::<Aes256>::new_from_slice(&self.bytes) {
                    fill(out, &cmac.chain_update(data).finalize().into_bytes());
                }
            }
        }
        self.algorithm.code_length_in(version)
    }

    /// Reports whether `code` is what this key makes of `data` in a packet of `version`.
    ///
    /// The code must have the length that belongs there; how long the comparison takes does not depend on how
    /// much of it is right.
    #[must_use]
    pub fn verify(&self, data: &[u8], version: Version, code: &[u8]) -> bool {
        let mut expected = [0; CODE_LENGTH_MAX];
        let length = self.mac(data, version, &mut expected);
        expected[..length].ct_eq(code).into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn fill(out: &mut [u8; CODE_LENGTH_MAX], digest: &[u8]) {
    for (out, byte) in out.iter_mut().zip(digest) {
        *out = *byte;
    }
}

/// Returns the MD5 digest of some bytes: no authentication, but what names an IPv6 address in a reference
/// identifier (RFC 5905 §7.3).
#[must_use]
pub fn md5(data: &[u8]) -> [u8; 16] {
    Md5::digest(data).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn code(algorithm: Algorithm, key: &[u8], data: &[u8], version: Version) -> Vec<u8> {
        let key = Key::new(1, algorithm, key).unwrap();
        let mut out = [0; CODE_LENGTH_MAX];
        let length = key.mac(data, version, &mut out);
        out[..length].to_vec()
    }

    /// RFC 1321 §A.5, FIPS 180 examples: the digest of "abc", here key "a" and data "bc".
    #[test]
    fn digests_are_over_key_and_data() {
        for (algorithm, expected) in [
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                Algorithm::Sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Algorithm::Sha384,
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                Algorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd\
                 454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ] {
            assert_eq!(code(algorithm, b"a", b"bc", Version::V3), hex(expected));
            let cut = hex(expected).len().min(20);
            assert_eq!(code(algorithm, b"a", b"bc", Version::V4), hex(expected)[..cut]);
        }
    }

    /// RFC 4493 §4, the algorithm that RFC 8573 takes; and NIST SP 800-38B D.3 for the long key.
    #[test]
    fn cmac_makes_the_published_codes() {
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        let message = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411");
        let check = |length: usize, expected: &str| {
            let found = code(Algorithm::Aes128Cmac, &key, &message[..length], Version::V4);
            assert_eq!(found, hex(expected));
        };
        check(0, "bb1d6929e95937287fa37d129b756746");
        check(16, "070a16b46b4d4144f79bdd9dd04a287c");
        check(40, "dfa66747de9ae63030ca32611497c827");
        let key = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        assert_eq!(
            code(Algorithm::Aes256Cmac, &key, &message[..16], Version::V4),
            hex("28a7023f452e8f82bd4bf28d8c37c35c")
        );
    }

    #[test]
    fn only_the_whole_code_of_the_right_length_is_right() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Aes128Cmac] {
            let key = Key::new(3, algorithm, &[7; 16]).unwrap();
            for version in [Version::V3, Version::V4] {
                let mut right = [0; CODE_LENGTH_MAX];
                let length = key.mac(b"packet", version, &mut right);
                assert!(key.verify(b"packet", version, &right[..length]));
                assert!(!key.verify(b"packeT", version, &right[..length]));
                assert!(!key.verify(b"packet", version, &right[..length - 4]));
                assert!(!key.verify(b"packet", version, &[]));
                for at in 0..length {
                    let mut wrong = right;
                    wrong[at] ^= 1;
                    assert!(!key.verify(b"packet", version, &wrong[..length]));
                }
            }
        }
    }

    #[test]
    fn unusable_keys_are_refused_with_a_reason() {
        assert_eq!(Key::new(0, Algorithm::Md5, b"x"), Err(KeyError::ZeroId));
        assert_eq!(
            Key::new(1, Algorithm::Md5, b""),
            Err(KeyError::Length { length: 0 })
        );
        assert_eq!(
            Key::new(1, Algorithm::Aes256Cmac, &[0; 16]),
            Err(KeyError::CipherLength {
                length: 16,
                needed: 32
            })
        );
        assert!(Key::new(1, Algorithm::Sha1, &[0; KEY_LENGTH_MAX + 1]).is_err());
    }

    #[test]
    fn names_are_those_of_key_files_and_secrets_are_not_shown() {
        assert_eq!(Algorithm::from_name("sha512"), Some(Algorithm::Sha512));
        assert_eq!(Algorithm::from_name("AES128"), Some(Algorithm::Aes128Cmac));
        assert_eq!(Algorithm::from_name("ROT13"), None);
        let key = Key::new(9, Algorithm::Md5, b"secret").unwrap();
        assert_eq!(format!("{key:?}"), "Key { id: 9, algorithm: Md5, .. }");
        assert_eq!(key.bits(), 48);
    }
}
