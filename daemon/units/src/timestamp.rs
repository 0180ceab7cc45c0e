//! The timestamp that travels in NTP packets.

use std::ops::{Add, Sub};

use crate::NtpDuration;

/// A point in time as NTP packets carry it: 32 bits of seconds, 32 bits of fraction, no era.
///
/// The unit of the last bit is 2^-32 s (0.23 ns). The seconds go round every 2^32 s (136 years; 1900, 2036,
/// 2172 …), so that a timestamp alone does not say which instant it means: there is no order, and a difference
/// is the *shorter* way round. [`UnixTime::from_ntp`](crate::UnixTime::from_ntp) finds the era.
///
/// `a - b` is positive when `a` is later than `b`. The value 0 stands for "no time" in packets
/// ([`ZERO`](Self::ZERO)). Source: RFC 5905 §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NtpTimestamp(pub u64);

impl NtpTimestamp {
    /// What packets carry where there is no time.
    pub const ZERO: Self = Self(0);

    /// Returns the timestamp with these 64 bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the 64 bits: seconds in the high half.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns the timestamp with `seconds` since the era's begin and `fraction` × 2^-32 s.
    #[must_use]
    pub const fn from_parts(seconds: u32, fraction: u32) -> Self {
        let [s0, s1, s2, s3] = seconds.to_be_bytes();
        let [f0, f1, f2, f3] = fraction.to_be_bytes();
        Self(u64::from_be_bytes([s0, s1, s2, s3, f0, f1, f2, f3]))
    }

    /// Returns the seconds since the begin of the (unknown) era.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        let [s0, s1, s2, s3, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([s0, s1, s2, s3])
    }

    /// Returns the part of a second after [`seconds`](Self::seconds), in 2^-32 s.
    #[must_use]
    pub const fn fraction(self) -> u32 {
        let [.., f0, f1, f2, f3] = self.0.to_be_bytes();
        u32::from_be_bytes([f0, f1, f2, f3])
    }

    /// Reports whether this stands for "no time".
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Sub for NtpTimestamp {
    type Output = NtpDuration;

    /// Returns the shorter way from `earlier` to this, −68…68 years; positive when this is later.
    fn sub(self, earlier: Self) -> NtpDuration {
        NtpDuration(self.0.wrapping_sub(earlier.0).cast_signed())
    }
}

impl Add<NtpDuration> for NtpTimestamp {
    type Output = Self;

    /// Returns the timestamp `duration` later, in the next era if need be.
    fn add(self, duration: NtpDuration) -> Self {
        Self(self.0.wrapping_add_signed(duration.0))
    }
}

impl Sub<NtpDuration> for NtpTimestamp {
    type Output = Self;

    /// Returns the timestamp `duration` earlier, in the previous era if need be.
    fn sub(self, duration: NtpDuration) -> Self {
        Self(self.0.wrapping_sub(duration.0.cast_unsigned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_halves() {
        let timestamp = NtpTimestamp::from_parts(0xe6db_c2b4, 0x8000_0001);
        assert_eq!(timestamp.to_bits(), 0xe6db_c2b4_8000_0001);
        assert_eq!(
            (timestamp.seconds(), timestamp.fraction()),
            (0xe6db_c2b4, 0x8000_0001)
        );
        assert_eq!(NtpTimestamp::from_bits(timestamp.to_bits()), timestamp);
        assert!(NtpTimestamp::ZERO.is_zero() && !timestamp.is_zero());
    }

    #[test]
    fn differences_cross_the_end_of_an_era() {
        let before = NtpTimestamp::from_parts(u32::MAX, 0x8000_0000);
        let after = NtpTimestamp::from_parts(1, 0);
        assert!(((after - before).as_seconds() - 1.5).abs() < 1e-12);
        assert!(((before - after).as_seconds() + 1.5).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn a_difference_leads_back(a: u64, b: u64) {
            let (a, b) = (NtpTimestamp(a), NtpTimestamp(b));
            prop_assert_eq!(b + (a - b), a);
            prop_assert_eq!(a - (a - b), b);
        }
    }
}
