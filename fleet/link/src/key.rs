//! Ed25519 keys of agents and controllers, and their fingerprints.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// A private key with its public half.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

/// A key could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("the key is not an Ed25519 private key in PKCS #8 form")]
pub struct KeyError;

impl SigningKey {
    /// Makes a new key from the system's random numbers.
    ///
    /// # Errors
    /// [`KeyError`] when the system has none to give.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(SigningKey {
            pair: Ed25519KeyPair::generate().map_err(|_| KeyError)?,
        })
    }

    /// Reads a key from the text that [`SigningKey::to_text`] wrote.
    ///
    /// # Errors
    /// [`KeyError`] when the text is something else.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let der = BASE64.decode(text.trim()).map_err(|_| KeyError)?;
        Ok(SigningKey {
            pair: Ed25519KeyPair::from_pkcs8(&der).map_err(|_| KeyError)?,
        })
    }

    /// Writes the private key as one line of base64 (PKCS #8) for a file that only its owner can read.
    ///
    /// # Errors
    /// [`KeyError`] when the key cannot be encoded.
    pub fn to_text(&self) -> Result<String, KeyError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyError)?;
        Ok(format!("{}\n", BASE64.encode(der.as_ref())))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        Signature(bytes)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().fingerprint())
    }
}

/// A public key; as text 44 characters of base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Says whether `signature` over `message` was made with this key's private half.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&signature::ED25519, &self.0)
            .verify(message, &signature.0)
            .is_ok()
    }

    /// The fingerprint that people compare.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// A signature; as text 88 characters of base64.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature([u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

macro_rules! base64_text {
    ($type:ty, $bytes:literal, $what:literal) => {
        impl From<$type> for String {
            fn from(value: $type) -> String {
                BASE64.encode(value.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let bytes = BASE64
                    .decode(text)
                    .map_err(|_| format!("a {} in base64 is needed", $what))?;
                let bytes: [u8; $bytes] = bytes
                    .try_into()
                    .map_err(|_| format!("a {} has {} bytes", $what, $bytes))?;
                Ok(Self(bytes))
            }
        }
    };
}

base64_text!(PublicKey, 32, "public key");
base64_text!(Signature, 64, "signature");

/// SHA-256 of a public key or certificate; as text `SHA256:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Takes the fingerprint of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Fingerprint(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHA256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a fingerprint is SHA256: and 64 hex digits".to_owned();
        let hex = text.strip_prefix("SHA256:").ok_or_else(wrong)?;
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (i, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Fingerprint(hash))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_verifies_its_own_signatures_only() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_text(&key.to_text().unwrap()).unwrap();
        assert_eq!(key.public(), again.public());
        let signature = again.sign(b"message");
        assert!(key.public().verifies(b"message", &signature));
        assert!(!key.public().verifies(b"massage", &signature));
        assert!(
            !SigningKey::generate()
                .unwrap()
                .public()
                .verifies(b"message", &signature)
        );
        assert!(SigningKey::from_text("nonsense").is_err());
    }

    #[test]
    fn a_fingerprint_is_read_back_from_its_text() {
        let fingerprint = Fingerprint::of(b"x");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        for bad in [
            "",
            "SHA256:",
            "SHA256:00",
            "MD5:00",
            &format!("SHA256:{}", "é".repeat(32)),
        ] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
