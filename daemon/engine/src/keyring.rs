//! The symmetric keys of the key file, by their numbers.

use std::collections::BTreeMap;

use wire::ntp::auth::{CODE_LENGTH_MAX, Key};
use wire::ntp::{Header, Packet, PacketWriter, Tail};

/// The longest packet that is written here: a header, a key number, and the longest code.
const PACKET_LENGTH_MAX: usize = wire::ntp::HEADER_LENGTH + 4 + CODE_LENGTH_MAX;

/// All symmetric keys.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    keys: BTreeMap<u32, Key>,
    is_read: bool,
}

impl Keyring {
    /// Returns a ring of these keys; of several with one number the first counts.
    pub fn new(keys: Vec<Key>) -> Self {
        Self {
            keys: keys.into_iter().rev().map(|key| (key.id(), key)).collect(),
            is_read: true,
        }
    }

    /// Whether the key file has been read, or there is none.
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// The key with this number.
    pub fn get(&self, id: u32) -> Option<&Key> {
        self.keys.get(&id)
    }

    /// Writes a packet without extension fields: plain without `key_id`, else authenticated by that key; `None`
    /// if the key is not there.
    pub fn seal(&self, header: &Header, key_id: Option<u32>) -> Option<Vec<u8>> {
        let Some(id) = key_id else {
            return Some(header.encode().to_vec());
        };
        let key = self.get(id)?;
        let mut bytes = vec![0; PACKET_LENGTH_MAX];
        let writer = PacketWriter::new(&mut bytes, header).ok()?;
        let mut code = [0; CODE_LENGTH_MAX];
        let length = key.mac(writer.written(), header.version, &mut code);
        let length = writer.finish_with_mac(id, code.get(..length)?).ok()?;
        bytes.truncate(length);
        Some(bytes)
    }

    /// Whether a packet is authentic: made with the key that is asked for, or with none when none is.
    pub fn accepts(&self, packet: &Packet<'_>, key_id: Option<u32>) -> bool {
        match (key_id, packet.tail) {
            (None, Tail::None) => true,
            (Some(wanted), Tail::Mac { key_id, digest }) => {
                wanted == key_id
                    && self
                        .get(wanted)
                        .is_some_and(|key| key.verify(packet.covered, packet.header.version, digest))
            }
            (None | Some(_), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ntp::Version;
    use wire::ntp::auth::Algorithm;

    fn ring() -> Keyring {
        Keyring::new(vec![
            Key::new(1, Algorithm::Md5, b"one").unwrap(),
            Key::new(2, Algorithm::Sha512, b"two").unwrap(),
        ])
    }

    #[test]
    fn what_a_key_seals_only_that_key_opens() {
        for version in [Version::V3, Version::V4] {
            let header = Header {
                version,
                ..Header::default()
            };
            let bytes = ring().seal(&header, Some(2)).unwrap();
            let packet = Packet::decode(&bytes).unwrap();
            assert!(ring().accepts(&packet, Some(2)));
            assert!(!ring().accepts(&packet, Some(1)) && !ring().accepts(&packet, None));
            assert!(!Keyring::default().accepts(&packet, Some(2)));
            let mut forged = bytes.clone();
            forged[1] ^= 1;
            assert!(!ring().accepts(&Packet::decode(&forged).unwrap(), Some(2)));
        }
    }

    #[test]
    fn a_plain_packet_is_authentic_for_those_who_ask_for_nothing() {
        let bytes = ring().seal(&Header::default(), None).unwrap();
        let packet = Packet::decode(&bytes).unwrap();
        assert!(ring().accepts(&packet, None) && !ring().accepts(&packet, Some(1)));
        assert_eq!(bytes.len(), 48);
    }

    #[test]
    fn a_missing_key_seals_nothing() {
        assert_eq!(ring().seal(&Header::default(), Some(3)), None);
    }
}
