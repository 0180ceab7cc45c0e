//! Reference ids: what a clock is synchronised to, in 32 bits.

use std::fmt;
use std::net::Ipv4Addr;

/// Identifies a time source in 32 bits.
///
/// An IPv4 source has its address, an IPv6 source the first four bytes of the MD5 digest of its
/// address, a reference clock up to four ASCII characters, left aligned and zero filled.
/// Displays as eight upper-case hexadecimal digits, as `chronyc` prints it.
/// Source: chrony command protocol, reference ID; RFC 5905 §7.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ReferenceId(pub u32);

impl ReferenceId {
    /// The id of a clock that is not synchronised.
    pub const UNSYNCHRONISED: Self = Self(0);

    /// The id of a clock that serves its own time (chrony's `local` directive), 127.127.1.1.
    pub const LOCAL: Self = Self(0x7f7f_0101);

    /// Returns the id as text, the form in which reference clocks are named: its bytes that are
    /// printable ASCII, in order. At most four characters, possibly none.
    pub fn text(self) -> String {
        self.0
            .to_be_bytes()
            .into_iter()
            .filter(|byte| (b' '..=b'~').contains(byte))
            .map(char::from)
            .collect()
    }

    /// Returns the id read as an IPv4 address, the form in which IPv4 sources are named.
    pub fn ipv4(self) -> Ipv4Addr {
        Ipv4Addr::from(self.0)
    }
}

impl fmt::Display for ReferenceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_as_chronyc_prints_them() {
        let clock = ReferenceId(0x5050_5331);
        assert_eq!(
            (clock.to_string().as_str(), clock.text().as_str()),
            ("50505331", "PPS1")
        );
        assert_eq!(ReferenceId(0x4750_5300).text(), "GPS");
        assert_eq!(ReferenceId::LOCAL.to_string(), "7F7F0101");
        assert_eq!(ReferenceId::LOCAL.text(), "");
        assert_eq!(ReferenceId(0x7f00_0001).ipv4(), Ipv4Addr::LOCALHOST);
    }
}
