//! What holds of every packet and of any bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use units::{Leap, Mode, NtpShort, NtpTimestamp, PollInterval, ReferenceId, Stratum};

use super::*;

fn headers() -> impl Strategy<Value = Header> {
    (
        (0u8..4, 1u8..=4, 0u8..6),
        any::<(u8, i8, i8)>(),
        any::<(u32, u32, u32)>(),
        any::<(u64, u64, u64, u64)>(),
    )
        .prop_map(|((leap, version, mode), bytes, words, times)| Header {
            leap: Leap::from_bits(leap),
            version: Version::from_number(version).unwrap(),
            mode: Mode::from_bits(mode),
            stratum: Stratum(bytes.0),
            poll: PollInterval(bytes.1),
            precision: bytes.2,
            root_delay: NtpShort(words.0),
            root_dispersion: NtpShort(words.1),
            reference_id: ReferenceId(words.2),
            reference_time: NtpTimestamp(times.0),
            origin_time: NtpTimestamp(times.1),
            receive_time: NtpTimestamp(times.2),
            transmit_time: NtpTimestamp(times.3),
        })
}

proptest! {
    #[test]
    fn headers_round_trip(header in headers()) {
        prop_assert_eq!(Header::decode(&header.encode()), Some(header));
    }

    #[test]
    fn packets_round_trip(
        header in headers(),
        fields in vec((any::<u16>(), vec(any::<u8>(), 0..80)), 0..5),
        mac in proptest::option::of((1u32.., 4usize..=5)),
    ) {
        let header = Header { version: Version::V4, ..header };
        let mut buffer = [0xff; 1000];
        let mut writer = PacketWriter::new(&mut buffer, &header).unwrap();
        for (kind, body) in &fields {
            writer.extension(ExtensionKind(*kind), body).unwrap();
        }
        let digest = [0x5a; 20];
        let length = match mac {
            Some((key_id, words)) => writer.finish_with_mac(key_id, &digest[..words * 4]).unwrap(),
            None => writer.finish().unwrap(),
        };
        let packet = Packet::decode(&buffer[..length]).unwrap();
        prop_assert_eq!(packet.header, header);
        let found: Vec<_> = packet.extension_fields().collect();
        prop_assert_eq!(found.len(), fields.len());
        for (found, (kind, body)) in found.iter().zip(&fields) {
            prop_assert_eq!(found.kind, ExtensionKind(*kind));
            prop_assert!(found.body.starts_with(body));
            prop_assert!(found.body[body.len()..].iter().all(|&padding| padding == 0));
        }
        match (mac, packet.tail) {
            (None, Tail::None) => {}
            (Some((key_id, words)), tail) => {
                prop_assert_eq!(tail, Tail::Mac { key_id, digest: &digest[..words * 4] });
            }
            (None, tail) => prop_assert!(false, "{tail:?}"),
        }
    }

    #[test]
    fn any_bytes_decode_or_are_refused(mut bytes in vec(any::<u8>(), 0..1300), likely: bool) {
        if likely && bytes.len() >= 52 {
            bytes[0] = 0x23;
            bytes[48] = 0;
            bytes[50] = 0;
        }
        if let Ok(Datagram::Packet(packet)) = Datagram::decode(&bytes) {
            let fields: usize = packet.extension_fields().map(|field| 4 + field.body.len()).sum();
            prop_assert_eq!(HEADER_LENGTH + fields + packet.tail.length(), bytes.len());
            prop_assert_eq!(&packet.header.encode()[..], &bytes[..HEADER_LENGTH]);
        }
    }
}
