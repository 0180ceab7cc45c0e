//! The authentication of a source.

use crate::candm::cursor::{BadField, Cursor, Writer};

/// Reports the authentication of an NTP source (chrony command protocol, AUTH_DATA reply).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthData {
    /// How the source is authenticated.
    pub mode: AuthMode,
    /// The type of the key; for NTS the AEAD algorithm (RFC 8915 §5.1.5).
    pub key_type: u16,
    /// The number of the key.
    pub key_id: u32,
    /// The length of the key, bits.
    pub key_length_bits: u16,
    /// Attempts of NTS key establishment since the last success.
    pub nke_attempts: u16,
    /// The age of the last successful NTS key establishment, seconds; `None` if there was none.
    pub last_nke_ago_s: Option<u32>,
    /// NTS cookies held.
    pub cookies: u16,
    /// The length of an NTS cookie, bytes.
    pub cookie_length_bytes: u16,
    /// Whether the source answered the last request with an NTS NAK.
    pub nak: bool,
}

impl AuthData {
    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        writer.u16(self.mode.code());
        writer.u16(self.key_type);
        writer.u32(self.key_id);
        writer.u16(self.key_length_bits);
        writer.u16(self.nke_attempts);
        writer.age(self.last_nke_ago_s);
        writer.u16(self.cookies);
        writer.u16(self.cookie_length_bytes);
        writer.u16(u16::from(self.nak));
        writer.u16(0);
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            mode: AuthMode::read(cursor)?,
            key_type: cursor.u16("key type")?,
            key_id: cursor.u32("key id")?,
            key_length_bits: cursor.u16("key length")?,
            nke_attempts: cursor.u16("NTS-KE attempts")?,
            last_nke_ago_s: cursor.age("age of last NTS-KE")?,
            cookies: cursor.u16("cookies")?,
            cookie_length_bytes: cursor.u16("cookie length")?,
            nak: cursor.u16("NAK")? != 0,
        })
    }
}

/// Says how a source is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthMode {
    /// Not at all.
    None,
    /// With a symmetric key.
    SymmetricKey,
    /// With NTS (RFC 8915).
    Nts,
}

impl AuthMode {
    const fn code(self) -> u16 {
        match self {
            Self::None => 0,
            Self::SymmetricKey => 1,
            Self::Nts => 2,
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let field = "authentication mode";
        match cursor.u16(field)? {
            0 => Ok(Self::None),
            1 => Ok(Self::SymmetricKey),
            2 => Ok(Self::Nts),
            _ => Err(BadField(field)),
        }
    }
}
