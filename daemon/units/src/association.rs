//! What a clock says of itself and of its relation to another, as NTP headers carry it.

use std::fmt;
use std::net::Ipv4Addr;

/// Whether the last minute of the day has an unusual length, or the clock is not to be believed at all.
/// Source: RFC 5905 §7.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Leap {
    /// 0: nothing is announced.
    Normal = 0,
    /// 1: the last minute of the day has 61 seconds.
    Insert = 1,
    /// 2: the last minute of the day has 59 seconds.
    Delete = 2,
    /// 3: the clock is not synchronised.
    #[default]
    Unsynchronised = 3,
}

impl Leap {
    /// Returns what the low two bits of `bits` mean.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Normal,
            1 => Self::Insert,
            2 => Self::Delete,
            _ => Self::Unsynchronised,
        }
    }

    /// Returns the two bits, 0…3.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Insert => 1,
            Self::Delete => 2,
            Self::Unsynchronised => 3,
        }
    }

    /// Reports whether the clock is synchronised; an announced leap second does not change that.
    #[must_use]
    pub const fn is_synchronised(self) -> bool {
        !matches!(self, Self::Unsynchronised)
    }
}

/// In what role a packet was sent. Source: RFC 5905 §7.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mode {
    /// 0: not defined; NTPv1 clients sent it.
    Reserved = 0,
    /// 1: a peer that would like to be one.
    SymmetricActive = 1,
    /// 2: a peer that was made one by a packet in mode 1.
    SymmetricPassive = 2,
    /// 3: a question.
    Client = 3,
    /// 4: an answer.
    Server = 4,
    /// 5: sent without a question.
    Broadcast = 5,
    /// 6: NTP control messages (`ntpq`).
    Control = 6,
    /// 7: private (`ntpdc`).
    Private = 7,
}

impl Mode {
    /// Returns what the low three bits of `bits` mean.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Reserved,
            1 => Self::SymmetricActive,
            2 => Self::SymmetricPassive,
            3 => Self::Client,
            4 => Self::Server,
            5 => Self::Broadcast,
            6 => Self::Control,
            _ => Self::Private,
        }
    }

    /// Returns the three bits, 0…7.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Reserved => 0,
            Self::SymmetricActive => 1,
            Self::SymmetricPassive => 2,
            Self::Client => 3,
            Self::Server => 4,
            Self::Broadcast => 5,
            Self::Control => 6,
            Self::Private => 7,
        }
    }
}

/// How many steps a clock is away from a reference: 1 has the reference itself, 15 is the last.
///
/// The inner byte is what travels. In packets 0 means 16, or that the packet is a kiss.
/// Source: RFC 5905 §7.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stratum(pub u8);

impl Stratum {
    /// The byte 0: a kiss, or a reference clock where nothing is sent.
    pub const ZERO: Self = Self(0);

    /// A clock with a reference of its own.
    pub const PRIMARY: Self = Self(1);

    /// The last stratum that is believed.
    pub const MAX: Self = Self(15);

    /// Not synchronised; this and anything above is not believed.
    pub const UNSYNCHRONISED: Self = Self(16);

    /// Reports whether a clock at this stratum may be believed, 1…15.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 >= 1 && self.0 <= 15
    }

    /// Returns the stratum of a clock that follows this one, at most [`UNSYNCHRONISED`](Self::UNSYNCHRONISED).
    #[must_use]
    pub const fn below(self) -> Self {
        if self.0 < 16 { Self(self.0 + 1) } else { Self(16) }
    }

    /// Returns the byte that travels: [`UNSYNCHRONISED`](Self::UNSYNCHRONISED) and above travel as 0.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        if self.0 < 16 { self.0 } else { 0 }
    }
}

impl fmt::Display for Stratum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a clock follows, in 32 bits.
///
/// An IPv4 source has its address, an IPv6 source the first four bytes of the MD5 digest of its address, a
/// reference clock up to four ASCII characters, left aligned and zero filled. Displays as eight upper-case
/// hexadecimal digits, as `chronyc` prints it. Source: RFC 5905 §7.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReferenceId(pub u32);

impl ReferenceId {
    /// The id of a clock that follows nothing.
    pub const UNSYNCHRONISED: Self = Self(0);

    /// The id of a clock that serves its own time (chrony's `local` directive), 127.127.1.1.
    pub const LOCAL: Self = Self(0x7f7f_0101);

    /// The id of a clock whose served time is kept smooth (chrony's `smoothtime` directive) and is not its best
    /// now, 127.127.1.255.
    pub const SMOOTHED: Self = Self(0x7f7f_01ff);

    /// Returns the id of an IPv4 source.
    #[must_use]
    pub const fn from_ipv4(address: Ipv4Addr) -> Self {
        Self(address.to_bits())
    }

    /// Returns the id of an IPv6 source from the MD5 digest of the address's 16 bytes.
    #[must_use]
    pub const fn from_ipv6_md5(digest: [u8; 16]) -> Self {
        let [a, b, c, d, ..] = digest;
        Self(u32::from_be_bytes([a, b, c, d]))
    }

    /// Returns the id that spells `text`: its first four bytes, zero filled.
    #[must_use]
    pub fn from_ascii(text: &str) -> Self {
        let mut bytes = [0; 4];
        for (byte, &letter) in bytes.iter_mut().zip(text.as_bytes()) {
            *byte = letter;
        }
        Self(u32::from_be_bytes(bytes))
    }

    /// Returns the id as text, the form in which reference clocks are named: its bytes that are printable
    /// ASCII, in order. At most four characters, possibly none.
    #[must_use]
    pub fn ascii(self) -> String {
        self.0
            .to_be_bytes()
            .into_iter()
            .filter(|byte| (b' '..=b'~').contains(byte))
            .map(char::from)
            .collect()
    }

    /// Returns the id read as an IPv4 address, the form in which IPv4 sources are named.
    #[must_use]
    pub const fn ipv4(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0)
    }
}

impl fmt::Display for ReferenceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08X}", self.0)
    }
}

/// How often a clock asks: 2^n seconds, n from −128 to 127, in practice −7…24.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PollInterval(pub i8);

impl PollInterval {
    /// Returns the interval in seconds, exactly.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        2f64.powi(i32::from(self.0))
    }
}

impl fmt::Display for PollInterval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_round_trip_and_high_bits_are_not_looked_at() {
        for bits in 0..=u8::MAX {
            assert_eq!(Leap::from_bits(bits).bits(), bits & 3);
            assert_eq!(Mode::from_bits(bits).bits(), bits & 7);
        }
        assert!(Leap::Insert.is_synchronised() && !Leap::default().is_synchronised());
    }

    #[test]
    fn strata_end_at_sixteen() {
        assert_eq!(Stratum(15).below(), Stratum::UNSYNCHRONISED);
        assert_eq!(Stratum(200).below(), Stratum::UNSYNCHRONISED);
        assert_eq!((Stratum(15).to_byte(), Stratum(16).to_byte()), (15, 0));
        assert!(Stratum::PRIMARY.is_valid() && Stratum::MAX.is_valid());
        assert!(!Stratum::ZERO.is_valid() && !Stratum::UNSYNCHRONISED.is_valid());
    }

    #[test]
    fn ids_print_as_chronyc_prints_them() {
        assert_eq!(ReferenceId::from_ascii("PPS1").to_string(), "50505331");
        assert_eq!(ReferenceId::from_ascii("GPS").ascii(), "GPS");
        assert_eq!(ReferenceId::from_ascii("LONGER").ascii(), "LONG");
        assert_eq!(ReferenceId::LOCAL.to_string(), "7F7F0101");
        assert_eq!(
            ReferenceId::from_ipv4(Ipv4Addr::LOCALHOST),
            ReferenceId(0x7f00_0001)
        );
        assert_eq!(ReferenceId(0x7f00_0001).ipv4(), Ipv4Addr::LOCALHOST);
        let digest = [0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(ReferenceId::from_ipv6_md5(digest).to_string(), "DEADBEEF");
    }

    #[test]
    fn poll_intervals_are_powers_of_two() {
        assert!((PollInterval(10).as_seconds() - 1024.0).abs() < f64::EPSILON);
        assert!((PollInterval(-7).as_seconds() - 0.007_812_5).abs() < f64::EPSILON);
        assert!(PollInterval(127).as_seconds().is_finite());
    }
}
