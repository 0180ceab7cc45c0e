//! Extension fields: what version 4 may carry between the header and the authenticator.

/// The shortest extension field, its own four bytes included. Source: RFC 7822 §3.
pub(super) const FIELD_LENGTH_MIN: usize = 16;

/// The shortest last extension field of a packet without an authenticator: anything shorter would be taken for
/// one. Source: RFC 7822 §3.
pub(super) const LAST_FIELD_LENGTH_MIN: usize = 28;

/// What an extension field is, 16 bits assigned by IANA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtensionKind(pub u16);

impl ExtensionKind {
    /// NTS unique identifier. Source: RFC 8915 §5.3.
    pub const UNIQUE_IDENTIFIER: Self = Self(0x0104);
    /// NTS cookie. Source: RFC 8915 §5.4.
    pub const NTS_COOKIE: Self = Self(0x0204);
    /// NTS cookie placeholder. Source: RFC 8915 §5.5.
    pub const NTS_COOKIE_PLACEHOLDER: Self = Self(0x0304);
    /// NTS authenticator and encrypted fields. Source: RFC 8915 §5.6.
    pub const NTS_AUTHENTICATOR: Self = Self(0x0404);
    /// Network correction, as chrony's `extfield 10A` asks for.
    pub const NETWORK_CORRECTION: Self = Self(0x010a);
    /// Root values and monotonic receive timestamps, chrony's experimental `extfield F323`.
    pub const EXPERIMENTAL_MONO_ROOT: Self = Self(0xf323);
    /// Network correction before it had an assigned number, chrony's `extfield F324`.
    pub const EXPERIMENTAL_NETWORK_CORRECTION: Self = Self(0xf324);
}

/// One extension field of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionField<'a> {
    /// What it is.
    pub kind: ExtensionKind,
    /// What it says, with the padding that its length includes.
    pub body: &'a [u8],
    /// Where it begins in the datagram, in bytes: everything before is what an NTS authenticator covers.
    pub start: usize,
}

/// Walks through the extension fields of a packet, in the order in which they stand.
///
/// Their lengths were checked when the packet was decoded, so that every byte belongs to a field.
#[derive(Debug, Clone)]
pub struct ExtensionFields<'a> {
    rest: &'a [u8],
    start: usize,
}

impl<'a> ExtensionFields<'a> {
    pub(super) const fn new(rest: &'a [u8], start: usize) -> Self {
        Self { rest, start }
    }
}

impl<'a> Iterator for ExtensionFields<'a> {
    type Item = ExtensionField<'a>;

    fn next(&mut self) -> Option<ExtensionField<'a>> {
        let (kind, body, rest) = split_field(self.rest)?;
        let start = self.start;
        self.start += self.rest.len() - rest.len();
        self.rest = rest;
        Some(ExtensionField { kind, body, start })
    }
}

/// Returns the first field of `bytes` and what follows it; `None` if no well-formed field is there.
pub(super) fn split_field(bytes: &[u8]) -> Option<(ExtensionKind, &[u8], &[u8])> {
    let [k0, k1, l0, l1, ..] = *bytes else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if length < FIELD_LENGTH_MIN || !length.is_multiple_of(4) {
        return None;
    }
    let (field, rest) = bytes.split_at_checked(length)?;
    Some((ExtensionKind(u16::from_be_bytes([k0, k1])), &field[4..], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: u16, length: u16) -> Vec<u8> {
        let mut bytes = vec![7; usize::from(length)];
        bytes[..2].copy_from_slice(&kind.to_be_bytes());
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    #[test]
    fn fields_are_walked_in_order() {
        let bytes = [field(0x104, 36), field(0x404, 40)].concat();
        let fields: Vec<_> = ExtensionFields::new(&bytes, 48).collect();
        assert_eq!(fields.len(), 2);
        assert_eq!(
            (fields[0].kind, fields[0].body.len(), fields[0].start),
            (ExtensionKind::UNIQUE_IDENTIFIER, 32, 48)
        );
        assert_eq!(
            (fields[1].kind, fields[1].body.len(), fields[1].start),
            (ExtensionKind::NTS_AUTHENTICATOR, 36, 84)
        );
    }

    #[test]
    fn short_odd_and_overlong_fields_are_refused() {
        for length in [0u16, 4, 12, 17, 18] {
            let mut bytes = field(1, 32);
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            assert_eq!(split_field(&bytes), None, "length {length}");
        }
        let mut bytes = field(1, 32);
        bytes[3] = 36;
        assert_eq!(split_field(&bytes), None);
        assert_eq!(split_field(&[0, 1, 0]), None);
    }
}
