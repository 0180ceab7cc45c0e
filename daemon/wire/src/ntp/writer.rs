//! Writing a packet into a buffer of the caller's.

use super::extension::{ExtensionKind, FIELD_LENGTH_MIN, LAST_FIELD_LENGTH_MIN};
use super::header::Header;

/// The buffer, or the 16 bits of an extension field's length, cannot hold what is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the packet does not fit into its buffer")]
pub struct BufferTooSmall;

/// Writes one packet: the header, then extension fields, then perhaps an authenticator.
///
/// Fields are padded with zeros as RFC 7822 wants them, so that what is written decodes to what was meant.
#[derive(Debug)]
pub struct PacketWriter<'a> {
    buffer: &'a mut [u8],
    length: usize,
    last_field: Option<usize>,
}

impl<'a> PacketWriter<'a> {
    /// Begins a packet with `header`.
    ///
    /// # Errors
    /// The buffer is shorter than 48 bytes.
    pub fn new(buffer: &'a mut [u8], header: &Header) -> Result<Self, BufferTooSmall> {
        let mut writer = Self {
            buffer,
            length: 0,
            last_field: None,
        };
        writer.put(&header.encode())?;
        Ok(writer)
    }

    /// Appends an extension field. It is padded to a multiple of 4 bytes, and to 16.
    ///
    /// # Errors
    /// The field does not fit.
    pub fn extension(&mut self, kind: ExtensionKind, body: &[u8]) -> Result<(), BufferTooSmall> {
        let length = (4 + body.len()).next_multiple_of(4).max(FIELD_LENGTH_MIN);
        let encoded = u16::try_from(length).map_err(|_| BufferTooSmall)?;
        let start = self.length;
        if self.buffer.len() - start < length {
            return Err(BufferTooSmall);
        }
        self.put(&kind.0.to_be_bytes())?;
        self.put(&encoded.to_be_bytes())?;
        self.put(body)?;
        self.zeros_to(start + length)?;
        self.last_field = Some(start);
        Ok(())
    }

    /// Returns what is written so far: what an authenticator has to cover.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Ends the packet with a message authentication code over [`written`](Self::written); returns its length.
    ///
    /// # Errors
    /// The authenticator does not fit.
    pub fn finish_with_mac(mut self, key_id: u32, digest: &[u8]) -> Result<usize, BufferTooSmall> {
        if self.buffer.len() - self.length < 4 + digest.len() {
            return Err(BufferTooSmall);
        }
        self.put(&key_id.to_be_bytes())?;
        self.put(digest)?;
        Ok(self.length)
    }

    /// Ends the packet with a crypto-NAK, four zero bytes; returns its length.
    ///
    /// # Errors
    /// The four bytes do not fit.
    pub fn finish_with_crypto_nak(mut self) -> Result<usize, BufferTooSmall> {
        self.put(&[0; 4])?;
        Ok(self.length)
    }

    /// Ends the packet without an authenticator; returns its length.
    ///
    /// A last extension field shorter than 28 bytes is padded to that, or it would be taken for an
    /// authenticator.
    ///
    /// # Errors
    /// The padding does not fit.
    pub fn finish(mut self) -> Result<usize, BufferTooSmall> {
        if let Some(start) = self.last_field
            && self.length - start < LAST_FIELD_LENGTH_MIN
        {
            self.zeros_to(start + LAST_FIELD_LENGTH_MIN)?;
            let length = u16::try_from(LAST_FIELD_LENGTH_MIN).unwrap_or(u16::MAX);
            self.buffer[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        Ok(self.length)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferTooSmall> {
        let end = self.length + bytes.len();
        self.buffer
            .get_mut(self.length..end)
            .ok_or(BufferTooSmall)?
            .copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    fn zeros_to(&mut self, end: usize) -> Result<(), BufferTooSmall> {
        self.buffer
            .get_mut(self.length..end)
            .ok_or(BufferTooSmall)?
            .fill(0);
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntp::{Packet, Tail};

    const KIND: ExtensionKind = ExtensionKind(0x1234);

    #[test]
    fn a_short_last_field_is_not_taken_for_an_authenticator() {
        let mut buffer = [0xff; 200];
        let mut writer = PacketWriter::new(&mut buffer, &Header::default()).unwrap();
        writer.extension(KIND, &[1, 2, 3]).unwrap();
        let length = writer.finish().unwrap();
        assert_eq!(length, 76);
        let packet = Packet::decode(&buffer[..length]).unwrap();
        let field = packet.extension_fields().next().unwrap();
        assert_eq!(field.body[..4], [1, 2, 3, 0]);
        assert_eq!((field.body.len(), packet.tail), (24, Tail::None));
    }

    #[test]
    fn authenticators_follow_fields() {
        let mut buffer = [0xff; 200];
        let mut writer = PacketWriter::new(&mut buffer, &Header::default()).unwrap();
        writer.extension(KIND, &[5; 12]).unwrap();
        assert_eq!(writer.written().len(), 64);
        let length = writer.finish_with_mac(7, &[9; 16]).unwrap();
        let packet = Packet::decode(&buffer[..length]).unwrap();
        assert_eq!(
            packet.tail,
            Tail::Mac {
                key_id: 7,
                digest: &[9; 16]
            }
        );
        let writer = PacketWriter::new(&mut buffer, &Header::default()).unwrap();
        assert_eq!(writer.finish_with_crypto_nak(), Ok(52));
    }

    #[test]
    fn a_buffer_that_is_too_small_says_so() {
        assert!(PacketWriter::new(&mut [0; 47], &Header::default()).is_err());
        let mut buffer = [0; 70];
        let mut writer = PacketWriter::new(&mut buffer, &Header::default()).unwrap();
        assert_eq!(writer.extension(KIND, &[0; 20]), Err(BufferTooSmall));
        assert_eq!(writer.extension(KIND, &[0; 70_000]), Err(BufferTooSmall));
        assert_eq!(writer.extension(KIND, &[]), Ok(()));
        assert_eq!(writer.finish(), Err(BufferTooSmall));
        let writer = PacketWriter::new(&mut buffer, &Header::default()).unwrap();
        assert_eq!(writer.finish_with_mac(1, &[0; 20]), Err(BufferTooSmall));
    }
}
