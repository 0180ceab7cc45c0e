//! NTP packets: whatever decodes is written again as it was, and authenticators are what they say.

use units::Mode;
use wire::ntp::auth::{Algorithm, CODE_LENGTH_MAX, Key};
use wire::ntp::{
    BufferTooSmall, DATAGRAM_LENGTH_MAX, Datagram, ExtensionKind, Header, Packet, PacketWriter, Tail, Version,
};

use crate::Target;
use crate::bytes::Bytes;

pub(crate) const TARGET: Target = Target {
    name: "ntp",
    check,
    seeds,
    words: || {
        vec![
            vec![0, 0, 0, 1],
            vec![1, 4, 0, 28],
            vec![2, 4, 0, 16],
            b"RATE".to_vec(),
            b"DENY".to_vec(),
        ]
    },
};

const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::Md5,
    Algorithm::Sha1,
    Algorithm::Sha256,
    Algorithm::Sha384,
    Algorithm::Sha512,
    Algorithm::Aes128Cmac,
    Algorithm::Aes256Cmac,
];

/// One byte for the key, the others are the datagram.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let chosen = bytes.u8();
    let bytes = bytes.rest();
    match Datagram::decode(bytes) {
        Ok(Datagram::Packet(packet)) => {
            check_written(&packet, bytes);
            check_authenticator(&packet, &key(chosen));
            let _ = packet.header.kiss();
        }
        Ok(Datagram::Control(all) | Datagram::Private(all)) => assert_eq!(all, bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check_written(packet: &Packet<'_>, bytes: &[u8]) {
    let mut buffer = [0xa5; DATAGRAM_LENGTH_MAX];
    let length = write(packet, &mut buffer).expect("what fitted a datagram fits again");
    let again = buffer
        .get(..length)
        .expect("the length is that of the buffer's part");
    assert_eq!(again, bytes);
    assert_eq!(Packet::decode(again).as_ref(), Ok(packet));
}

fn write(packet: &Packet<'_>, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let mut writer = PacketWriter::new(buffer, &packet.header)?;
    for field in packet.extension_fields() {
        writer.extension(field.kind, field.body)?;
    }
    assert_eq!(
        writer.written(),
        packet.covered,
        "fields and header are what is authenticated"
    );
    match packet.tail {
        Tail::None => writer.finish(),
        Tail::CryptoNak => writer.finish_with_crypto_nak(),
        Tail::Mac { key_id, digest } => writer.finish_with_mac(key_id, digest),
    }
}

fn check_authenticator(packet: &Packet<'_>, key: &Key) {
    let version = packet.header.version;
    let mut code = [0; CODE_LENGTH_MAX];
    let length = key.mac(packet.covered, version, &mut code);
    let code = code
        .get_mut(..length)
        .expect("no code is longer than the longest");
    assert!(key.verify(packet.covered, version, code));
    if let Tail::Mac { digest, .. } = packet.tail {
        assert_eq!(key.verify(packet.covered, version, digest), digest == code);
    }
    if let Some(last) = code.last_mut() {
        *last ^= 1;
    }
    assert!(!key.verify(packet.covered, version, code));
}

fn key(chosen: u8) -> Key {
    let algorithm = ALGORITHMS[usize::from(chosen) % ALGORITHMS.len()];
    let secret = [chosen; 32];
    let length = algorithm.key_length().unwrap_or(20);
    Key::new(1, algorithm, &secret[..length]).expect("the key has the right length")
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (chosen, version) in [
        (0, Version::V4),
        (1, Version::V3),
        (2, Version::V4),
        (4, Version::V3),
        (5, Version::V1),
    ] {
        for mode in [Mode::Client, Mode::Server, Mode::SymmetricActive] {
            for fields in 0..3_usize {
                let header = Header {
                    version,
                    mode,
                    ..Header::default()
                };
                seeds.push(seed(chosen, &header, fields));
            }
        }
    }
    seeds.push(vec![0, 0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    seeds
}

/// A datagram with as many extension fields as the version can have, without authenticator if there is none.
fn seed(chosen: u8, header: &Header, fields: usize) -> Vec<u8> {
    let mut buffer = [0; DATAGRAM_LENGTH_MAX];
    let mut writer = PacketWriter::new(&mut buffer, header).expect("a header fits");
    if header.version == Version::V4 {
        for number in 0..fields {
            writer
                .extension(ExtensionKind::UNIQUE_IDENTIFIER, &[7; 32][..16 * number])
                .expect("two fields fit");
        }
    }
    let length = if fields == 0 {
        writer.finish().expect("it fits")
    } else {
        let mut code = [0; CODE_LENGTH_MAX];
        let length = key(chosen).mac(writer.written(), header.version, &mut code);
        writer.finish_with_mac(1, &code[..length]).expect("it fits")
    };
    [&[chosen], &buffer[..length]].concat()
}
