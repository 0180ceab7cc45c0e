//! Kiss codes: what a server says instead of the time.

use units::ReferenceId;

use super::header::Header;

/// Why a server does not give the time: the reference id of an answer with stratum 0.
/// Source: RFC 5905 §7.4; RFC 8915 §5.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KissCode {
    /// `DENY`: the server will not answer this client.
    Deny,
    /// `RSTR`: the server will not answer this client, by its policy.
    Restrict,
    /// `RATE`: the client asks too often.
    Rate,
    /// `NTSN`: the server could not authenticate what the client sent with NTS.
    NtsNak,
    /// Any other.
    Other(ReferenceId),
}

impl KissCode {
    /// Returns the code that `id` spells.
    #[must_use]
    pub const fn from_reference_id(id: ReferenceId) -> Self {
        match &id.0.to_be_bytes() {
            b"DENY" => Self::Deny,
            b"RSTR" => Self::Restrict,
            b"RATE" => Self::Rate,
            b"NTSN" => Self::NtsNak,
            _ => Self::Other(id),
        }
    }

    /// Returns the code as it travels.
    #[must_use]
    pub const fn reference_id(self) -> ReferenceId {
        match self {
            Self::Deny => ReferenceId(u32::from_be_bytes(*b"DENY")),
            Self::Restrict => ReferenceId(u32::from_be_bytes(*b"RSTR")),
            Self::Rate => ReferenceId(u32::from_be_bytes(*b"RATE")),
            Self::NtsNak => ReferenceId(u32::from_be_bytes(*b"NTSN")),
            Self::Other(id) => id,
        }
    }
}

impl Header {
    /// Returns the kiss code of a packet that has one: stratum 0, and a reference id that is not 0.
    ///
    /// A server that is not synchronised also sends stratum 0, with reference id 0 (chronyd) or with a kiss
    /// code such as `INIT` (ntpd).
    #[must_use]
    pub fn kiss(&self) -> Option<KissCode> {
        let is_kiss = self.stratum.0 == 0 && self.reference_id != ReferenceId::UNSYNCHRONISED;
        is_kiss.then(|| KissCode::from_reference_id(self.reference_id))
    }
}

#[cfg(test)]
mod tests {
    use units::Stratum;

    use super::*;

    #[test]
    fn codes_are_their_letters() {
        for code in [
            KissCode::Deny,
            KissCode::Restrict,
            KissCode::Rate,
            KissCode::NtsNak,
            KissCode::Other(ReferenceId::from_ascii("INIT")),
        ] {
            assert_eq!(KissCode::from_reference_id(code.reference_id()), code);
        }
        assert_eq!(KissCode::Rate.reference_id().ascii(), "RATE");
    }

    #[test]
    fn only_stratum_zero_kisses() {
        let mut header = Header {
            reference_id: KissCode::Rate.reference_id(),
            ..Header::default()
        };
        assert_eq!(header.kiss(), Some(KissCode::Rate));
        header.stratum = Stratum(1);
        assert_eq!(header.kiss(), None);
        assert_eq!(Header::default().kiss(), None);
    }
}
