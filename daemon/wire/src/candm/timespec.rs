//! Points in time as the protocol carries them.

/// The seconds-high word by which a sender says that its time has only 32 bits.
const HIGH_WORD_OF_32_BIT_TIME: u32 = 0x7fff_ffff;

/// The largest nanoseconds part of a second.
const NANOSECONDS_MAX: u32 = 999_999_999;

/// Holds a time since 1970-01-01 00:00:00 UTC, in seconds and nanoseconds.
///
/// Seconds are signed; nanoseconds (0…999 999 999) always count forward, so −0.25 s is
/// −1 s + 750 000 000 ns. Source: chrony command protocol, Timespec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: u32,
}

impl Timespec {
    /// Returns the time `seconds` and `nanoseconds` after the epoch; nanoseconds beyond
    /// 999 999 999 are lowered to it, as receivers of the protocol do.
    pub const fn new(seconds: i64, nanoseconds: u32) -> Self {
        let nanoseconds = if nanoseconds > NANOSECONDS_MAX {
            NANOSECONDS_MAX
        } else {
            nanoseconds
        };
        Self { seconds, nanoseconds }
    }

    /// Returns the whole seconds since the epoch, rounded towards the past.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Returns the nanoseconds after [`seconds`](Self::seconds), 0…999 999 999.
    pub const fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    /// Reports whether this is the epoch itself, which the reports use for "never".
    pub const fn is_zero(self) -> bool {
        self.seconds == 0 && self.nanoseconds == 0
    }

    pub(super) fn from_words(high: u32, low: u32, nanoseconds: u32) -> Self {
        let high = if high == HIGH_WORD_OF_32_BIT_TIME { 0 } else { high };
        let seconds = (i64::from(high.cast_signed()) << 32) | i64::from(low);
        Self::new(seconds, nanoseconds)
    }

    pub(super) fn to_words(self) -> (u32, u32, u32) {
        let bytes = self.seconds.to_be_bytes();
        let [h0, h1, h2, h3, l0, l1, l2, l3] = bytes;
        (
            u32::from_be_bytes([h0, h1, h2, h3]),
            u32::from_be_bytes([l0, l1, l2, l3]),
            self.nanoseconds,
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_captured_time_decodes() {
        let time = Timespec::from_words(0, 0x6b00_1aaf, 0x0eb9_4887);
        assert_eq!(time, Timespec::new(1_795_168_943, 247_023_751));
    }

    #[test]
    fn times_before_1970_and_after_2106_survive() {
        for seconds in [-3_786_912_000, -1, 0, 1 << 32, 8_835_984_000] {
            let time = Timespec::new(seconds, 5);
            let (high, low, nanoseconds) = time.to_words();
            assert_eq!(Timespec::from_words(high, low, nanoseconds), time);
        }
    }

    #[test]
    fn a_32_bit_sender_and_excess_nanoseconds_are_understood() {
        let time = Timespec::from_words(0x7fff_ffff, 0x6b00_1aaf, u32::MAX);
        assert_eq!(time, Timespec::new(0x6b00_1aaf, 999_999_999));
    }

    proptest! {
        #[test]
        fn words_round_trip(seconds in -(1i64 << 61)..(1 << 61), nanoseconds in 0u32..1_000_000_000) {
            let time = Timespec::new(seconds, nanoseconds);
            let (high, low, nanoseconds) = time.to_words();
            prop_assert_eq!(Timespec::from_words(high, low, nanoseconds), time);
        }
    }
}
