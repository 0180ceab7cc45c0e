//! What arrives on the NTP port.

use units::Mode;

use super::extension::{ExtensionFields, split_field};
use super::header::{HEADER_LENGTH, Header, Version};

/// The longest datagram that is looked at: a header and what chronyd 4.3 accepts behind it (observed).
pub const DATAGRAM_LENGTH_MAX: usize = HEADER_LENGTH + 1092;

/// The shortest authenticator with a digest: a key id and 16 bytes.
const MAC_LENGTH_MIN: usize = 20;

/// The longest authenticator before version 4: a key id and 64 bytes.
const MAC_LENGTH_MAX: usize = 68;

/// The longest authenticator in version 4: a key id and 20 bytes, to which longer digests are cut. What is
/// shorter than this is never an extension field. Source: RFC 7822 §3.
const MAC_LENGTH_MAX_V4: usize = 24;

/// The shortest message of modes 6 (RFC 9327 §2) and 7.
const CONTROL_LENGTH_MIN: usize = 8;

/// One datagram of the NTP port, told apart by its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// Modes 0 to 5: the time itself. Mode 0 is a client of version 1; in other versions nobody sends it.
    Packet(Packet<'a>),
    /// Mode 6: a control message (`ntpq`), another protocol; all its bytes.
    Control(&'a [u8]),
    /// Mode 7: a private message (`ntpdc`), another protocol; all its bytes.
    Private(&'a [u8]),
}

/// A packet of modes 0 to 5. All of it is there and every byte belongs to something; nothing is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it says first.
    pub header: Header,
    /// What it ends with.
    pub tail: Tail<'a>,
    /// Everything before the tail: what a message authentication code covers.
    pub covered: &'a [u8],
}

/// What a packet ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail<'a> {
    /// Nothing.
    None,
    /// Four zero bytes: the sender could not authenticate what it answers.
    CryptoNak,
    /// A message authentication code by a symmetric key.
    Mac {
        /// The number under which both sides know the key; not 0.
        key_id: u32,
        /// 16…64 bytes; in version 4 at most 20.
        digest: &'a [u8],
    },
}

/// Why a datagram is not a packet. Whose fault: the sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than what its mode begins with.
    #[error("{length} bytes are too short for an NTP packet")]
    Truncated {
        /// The datagram's length in bytes.
        length: usize,
    },
    /// Longer than any packet.
    #[error("{length} bytes are too long for an NTP packet (at most {DATAGRAM_LENGTH_MAX})")]
    Oversized {
        /// The datagram's length in bytes.
        length: usize,
    },
    /// Not a multiple of four bytes.
    #[error("{length} bytes are not a multiple of 4")]
    Unaligned {
        /// The datagram's length in bytes.
        length: usize,
    },
    /// A version that is not 1 to 4.
    #[error("NTP version {version} is not known")]
    Version {
        /// The version in the datagram.
        version: u8,
    },
    /// What follows the header is neither extension fields nor an authenticator.
    #[error("{length} bytes at {start} are neither an extension field nor an authenticator")]
    Tail {
        /// Where they begin in the datagram, in bytes.
        start: usize,
        /// How many they are.
        length: usize,
    },
}

impl<'a> Datagram<'a> {
    /// Decodes one datagram.
    ///
    /// # Errors
    /// What is not a well-formed packet, with the reason.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let length = bytes.len();
        let Some(&first) = bytes.first() else {
            return Err(DecodeError::Truncated { length });
        };
        match Mode::from_bits(first) {
            Mode::Control | Mode::Private if length < CONTROL_LENGTH_MIN => {
                Err(DecodeError::Truncated { length })
            }
            Mode::Control => Ok(Self::Control(bytes)),
            Mode::Private => Ok(Self::Private(bytes)),
            _ => Packet::decode(bytes).map(Self::Packet),
        }
    }
}

impl<'a> Packet<'a> {
    /// Decodes a packet, whatever its mode.
    ///
    /// # Errors
    /// What is not a well-formed packet, with the reason.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let length = bytes.len();
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_LENGTH>() else {
            return Err(DecodeError::Truncated { length });
        };
        if length > DATAGRAM_LENGTH_MAX {
            return Err(DecodeError::Oversized { length });
        }
        if !length.is_multiple_of(4) {
            return Err(DecodeError::Unaligned { length });
        }
        let version = (header[0] >> 3) & 7;
        let header = Header::decode(header).ok_or(DecodeError::Version { version })?;
        let tail_start = match header.version {
            Version::V4 => end_of_fields(bytes)?,
            Version::V1 | Version::V2 | Version::V3 => HEADER_LENGTH,
        };
        let (covered, tail) = bytes.split_at(tail_start);
        let tail = Tail::decode(tail, header.version).ok_or(DecodeError::Tail {
            start: tail_start,
            length: tail.len(),
        })?;
        Ok(Self {
            header,
            tail,
            covered,
        })
    }

    /// Returns the extension fields; none before version 4.
    #[must_use]
    pub fn extension_fields(&self) -> ExtensionFields<'a> {
        ExtensionFields::new(
            self.covered.get(HEADER_LENGTH..).unwrap_or_default(),
            HEADER_LENGTH,
        )
    }
}

impl<'a> Tail<'a> {
    fn decode(bytes: &'a [u8], version: Version) -> Option<Self> {
        let Some((key_id, digest)) = bytes.split_first_chunk::<4>() else {
            return bytes.is_empty().then_some(Self::None);
        };
        let key_id = u32::from_be_bytes(*key_id);
        let longest = match version {
            Version::V4 => MAC_LENGTH_MAX_V4,
            Version::V1 | Version::V2 | Version::V3 => MAC_LENGTH_MAX,
        };
        match bytes.len() {
            4 if key_id == 0 => Some(Self::CryptoNak),
            length if (MAC_LENGTH_MIN..=longest).contains(&length) && key_id != 0 => {
                Some(Self::Mac { key_id, digest })
            }
            _ => None,
        }
    }

    /// Returns how many bytes this takes.
    #[must_use]
    pub const fn length(&self) -> usize {
        match self {
            Self::None => 0,
            Self::CryptoNak => 4,
            Self::Mac { digest, .. } => 4 + digest.len(),
        }
    }
}

/// Returns where the extension fields of a packet of version 4 end.
fn end_of_fields(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut rest = &bytes[HEADER_LENGTH..];
    while rest.len() > MAC_LENGTH_MAX_V4 {
        let start = bytes.len() - rest.len();
        let length = rest.len();
        (_, _, rest) = split_field(rest).ok_or(DecodeError::Tail { start, length })?;
    }
    Ok(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntp::extension::ExtensionKind;

    fn datagram(version: u8, behind: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LENGTH];
        bytes[0] = (version << 3) | 3;
        bytes.extend_from_slice(behind);
        bytes
    }

    fn field(length: u16) -> Vec<u8> {
        let mut bytes = vec![0; usize::from(length)];
        bytes[..2].copy_from_slice(&[0x12, 0x34]);
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    fn mac(digest_length: usize) -> Vec<u8> {
        let mut bytes = vec![0xaa; 4 + digest_length];
        bytes[..4].copy_from_slice(&[0, 0, 0, 9]);
        bytes
    }

    /// As chronyd 4.3 takes them: every length below is one that it answers, or does not.
    #[test]
    fn what_follows_the_header_is_told_apart_as_chronyd_does() {
        let check = |version: u8, behind: &[u8], fields: usize, digest: Option<usize>| {
            let bytes = datagram(version, behind);
            let packet = Packet::decode(&bytes).unwrap();
            assert_eq!(packet.extension_fields().count(), fields, "{behind:?}");
            let found = match packet.tail {
                Tail::Mac { key_id: 9, digest } => Some(digest.len()),
                Tail::Mac { .. } | Tail::CryptoNak => panic!("{:?}", packet.tail),
                Tail::None => None,
            };
            assert_eq!(found, digest);
            assert_eq!(packet.covered.len() + packet.tail.length(), bytes.len());
        };
        for version in 1..=4 {
            check(version, &[], 0, None);
            check(version, &mac(16), 0, Some(16));
            check(version, &mac(20), 0, Some(20));
        }
        check(3, &mac(64), 0, Some(64));
        check(4, &field(28), 1, None);
        check(4, &field(1092), 1, None);
        check(4, &[field(16), mac(16)].concat(), 1, Some(16));
        check(4, &[field(28), field(36), mac(20)].concat(), 2, Some(20));
    }

    #[test]
    fn what_chronyd_does_not_answer_is_refused() {
        for (version, behind) in [
            (4, vec![0; 8]),
            (4, field(12)),
            (4, vec![0, 0, 0, 1]),
            (4, mac(32)),
            (4, mac(12)),
            (4, [field(28), mac(32)].concat()),
            (3, mac(12)),
            (3, mac(68)),
            (3, vec![0; 20]),
        ] {
            assert!(
                matches!(
                    Packet::decode(&datagram(version, &behind)),
                    Err(DecodeError::Tail { .. })
                ),
                "{version} {behind:?}"
            );
        }
    }

    #[test]
    fn lengths_have_bounds() {
        for length in 0..HEADER_LENGTH {
            assert_eq!(
                Packet::decode(&datagram(4, &[])[..length]),
                Err(DecodeError::Truncated { length })
            );
        }
        assert_eq!(
            Packet::decode(&datagram(4, &[0; 3])),
            Err(DecodeError::Unaligned { length: 51 })
        );
        assert_eq!(
            Packet::decode(&datagram(4, &field(1096))),
            Err(DecodeError::Oversized { length: 1144 })
        );
        assert_eq!(
            Packet::decode(&datagram(5, &[])),
            Err(DecodeError::Version { version: 5 })
        );
        assert_eq!(Datagram::decode(&[]), Err(DecodeError::Truncated { length: 0 }));
    }

    #[test]
    fn a_crypto_nak_is_four_zeros() {
        for version in 3..=4 {
            let bytes = datagram(version, &[0; 4]);
            assert_eq!(Packet::decode(&bytes).unwrap().tail, Tail::CryptoNak);
        }
    }

    #[test]
    fn control_and_private_messages_are_recognised() {
        let control = [0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Datagram::decode(&control), Ok(Datagram::Control(&control)));
        let private = [0x17, 0, 3, 42, 0, 0, 0, 0];
        assert_eq!(Datagram::decode(&private), Ok(Datagram::Private(&private)));
        assert_eq!(
            Datagram::decode(&control[..4]),
            Err(DecodeError::Truncated { length: 4 })
        );
    }

    #[test]
    fn fields_know_where_they_stand() {
        let bytes = datagram(4, &[field(28), field(40)].concat());
        let packet = Packet::decode(&bytes).unwrap();
        let starts: Vec<_> = packet
            .extension_fields()
            .map(|field| (field.kind, field.start))
            .collect();
        let kind = ExtensionKind(0x1234);
        assert_eq!(starts, [(kind, 48), (kind, 76)]);
    }
}
