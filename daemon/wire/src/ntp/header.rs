//! The 48 bytes that every NTP packet begins with.

use units::{Leap, Mode, NtpShort, NtpTimestamp, PollInterval, ReferenceId, Stratum};

/// The length of a header in bytes, in all versions.
pub const HEADER_LENGTH: usize = 48;

/// A version of the protocol that packets are exchanged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// RFC 1059. A client's mode may be 0.
    V1,
    /// RFC 1119.
    V2,
    /// RFC 1305.
    V3,
    /// RFC 5905; the only one with extension fields.
    #[default]
    V4,
}

impl Version {
    /// Returns the version with this number, 1…4.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            _ => None,
        }
    }

    /// Returns the number that travels, 1…4.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }
}

/// What every NTP packet says first.
///
/// The fields stand in the order in which they travel. Which of them mean something depends on mode and
/// version; this type carries them as they came. Timestamps do not know their era. Source: RFC 5905 §7.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether a leap second is announced, or the sender's clock not synchronised.
    pub leap: Leap,
    /// The version in which the sender speaks.
    pub version: Version,
    /// The sender's role.
    pub mode: Mode,
    /// The byte as it travels: 0 is a kiss, or not synchronised.
    pub stratum: Stratum,
    /// How often the sender asks; in answers the interval that is asked for.
    pub poll: PollInterval,
    /// The precision of the sender's clock, log2 s.
    pub precision: i8,
    /// The round trip to the sender's primary reference.
    pub root_delay: NtpShort,
    /// How far the sender's clock may be off its primary reference, delay apart.
    pub root_dispersion: NtpShort,
    /// What the sender follows; with stratum 0 a [`KissCode`](super::KissCode).
    pub reference_id: ReferenceId,
    /// When the sender's clock was last set or corrected.
    pub reference_time: NtpTimestamp,
    /// What the receiver sent, given back: the proof that this is an answer.
    pub origin_time: NtpTimestamp,
    /// When the sender received what it answers, on its own clock.
    pub receive_time: NtpTimestamp,
    /// When the sender sent this, or (interleaved) what it sent before.
    pub transmit_time: NtpTimestamp,
}

impl Default for Header {
    /// Returns a question in version 4 that tells nothing about its sender.
    fn default() -> Self {
        Self {
            leap: Leap::Normal,
            version: Version::V4,
            mode: Mode::Client,
            stratum: Stratum::ZERO,
            poll: PollInterval(0),
            precision: 0,
            root_delay: NtpShort::ZERO,
            root_dispersion: NtpShort::ZERO,
            reference_id: ReferenceId::UNSYNCHRONISED,
            reference_time: NtpTimestamp::ZERO,
            origin_time: NtpTimestamp::ZERO,
            receive_time: NtpTimestamp::ZERO,
            transmit_time: NtpTimestamp::ZERO,
        }
    }
}

impl Header {
    /// Returns the header in `bytes`, or `None` if its version is not one of ours.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_LENGTH]) -> Option<Self> {
        let [first, stratum, poll, precision, ..] = *bytes;
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_be_bytes(word)
        };
        let time = |at: usize| NtpTimestamp::from_parts(word(at), word(at + 4));
        Some(Self {
            leap: Leap::from_bits(first >> 6),
            version: Version::from_number((first >> 3) & 7)?,
            mode: Mode::from_bits(first),
            stratum: Stratum(stratum),
            poll: PollInterval(poll.cast_signed()),
            precision: precision.cast_signed(),
            root_delay: NtpShort(word(4)),
            root_dispersion: NtpShort(word(8)),
            reference_id: ReferenceId(word(12)),
            reference_time: time(16),
            origin_time: time(24),
            receive_time: time(32),
            transmit_time: time(40),
        })
    }

    /// Returns the bytes as they travel.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[0] = (self.leap.bits() << 6) | (self.version.number() << 3) | self.mode.bits();
        bytes[1] = self.stratum.0;
        bytes[2] = self.poll.0.cast_unsigned();
        bytes[3] = self.precision.cast_unsigned();
        bytes[4..8].copy_from_slice(&self.root_delay.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.root_dispersion.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.reference_id.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.reference_time.to_bits().to_be_bytes());
        bytes[24..32].copy_from_slice(&self.origin_time.to_bits().to_be_bytes());
        bytes[32..40].copy_from_slice(&self.receive_time.to_bits().to_be_bytes());
        bytes[40..48].copy_from_slice(&self.transmit_time.to_bits().to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of chronyd 4.3 with `local stratum 3`.
    const ANSWER: [u8; HEADER_LENGTH] = [
        0x24, 0x03, 0x06, 0xe7, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0x7f, 0x01, 0x01, //
        0xee, 0xac, 0x09, 0x89, 0xb0, 0x71, 0xdb, 0xa9, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
        0x88, //
        0xee, 0xac, 0x09, 0x8d, 0x92, 0xb6, 0x42, 0xb7, 0xee, 0xac, 0x09, 0x8d, 0x92, 0xb9, 0x6e, 0x6a,
    ];

    #[test]
    fn an_answer_of_chronyd_decodes() {
        let header = Header::decode(&ANSWER).unwrap();
        assert_eq!(
            header,
            Header {
                leap: Leap::Normal,
                version: Version::V4,
                mode: Mode::Server,
                stratum: Stratum(3),
                poll: PollInterval(6),
                precision: -25,
                root_delay: NtpShort::ZERO,
                root_dispersion: NtpShort::ZERO,
                reference_id: ReferenceId::LOCAL,
                reference_time: NtpTimestamp(0xeeac_0989_b071_dba9),
                origin_time: NtpTimestamp(0x1122_3344_5566_7788),
                receive_time: NtpTimestamp(0xeeac_098d_92b6_42b7),
                transmit_time: NtpTimestamp(0xeeac_098d_92b9_6e6a),
            }
        );
        assert_eq!(header.encode(), ANSWER);
    }

    #[test]
    fn versions_are_one_to_four() {
        for number in 0..=7u8 {
            let mut bytes = ANSWER;
            bytes[0] = (bytes[0] & 0o307) | (number << 3);
            let version = Header::decode(&bytes).map(|header| header.version.number());
            assert_eq!(version, (1..=4).contains(&number).then_some(number));
        }
    }
}
