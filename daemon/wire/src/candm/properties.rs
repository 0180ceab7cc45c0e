//! Properties of the codec: decoding never panics, and what was decoded survives encoding.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Any value that a protocol float can have.
fn float() -> impl Strategy<Value = f64> {
    any::<u32>().prop_map(decode_float)
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        Just(Address::Unspecified),
        any::<u32>().prop_map(|bits| Address::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| Address::V6(Ipv6Addr::from_bits(bits))),
        any::<u32>().prop_map(Address::Id),
    ]
}

/// Datagrams that are valid requests but for some bytes: every command, with its addresses' family
/// words made plausible, so that most of them decode.
fn request_like() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<Index>(), any::<u8>()), 0..8);
    let body = (address(), address(), any::<[u8; 32]>(), "[!-~]{1,255}");
    (select(Command::ALL), any::<u32>(), body, edits).prop_map(|(command, sequence, body, edits)| {
        let (first, second, rest, name) = body;
        let mut datagram = match command {
            Command::AddSource => {
                let source = AddSource::new(NewSourceKind::Pool, SourceName::new(name).unwrap());
                Request::AddSource(Box::new(source)).encode(sequence)
            }
            Command::Manual => Request::Manual(ManualMode::Reset).encode(sequence),
            Command::SmoothTime => Request::SmoothTime(SmoothTimeAction::Activate).encode(sequence),
            Command::Online | Command::Offline | Command::Burst => {
                let sources = AddressMask {
                    mask: first,
                    address: second,
                };
                let request = Request::Burst {
                    sources,
                    good_samples: 1,
                    total_samples: 2,
                };
                request.encode(sequence)
            }
            _ => {
                let mut datagram = Request::DelSource(first).encode(sequence);
                datagram.extend(rest);
                datagram
            }
        };
        datagram.resize(command.request_length().max(datagram.len()), 0);
        datagram.splice(4..6, command.code().to_be_bytes());
        for (at, byte) in edits {
            let at = 20 + at.index(datagram.len() - 20);
            *datagram.get_mut(at).unwrap() = byte;
        }
        datagram
    })
}

prop_compose! {
    fn tracking()(
        reference_id: u32, address in address(), stratum: u16, seconds in -(1i64 << 40)..(1 << 40),
        nanoseconds in 0u32..1_000_000_000, values in prop::collection::vec(float(), 9),
        leap in select(vec![Leap::Normal, Leap::InsertSecond, Leap::DeleteSecond, Leap::NotSynchronised]),
    ) -> Tracking {
        Tracking {
            reference_id: ReferenceId(reference_id),
            address,
            stratum,
            leap,
            reference_time: Timespec::new(seconds, nanoseconds),
            current_correction_s: values[0],
            last_offset_s: values[1],
            rms_offset_s: values[2],
            frequency_ppm: values[3],
            residual_frequency_ppm: values[4],
            skew_ppm: values[5],
            root_delay_s: values[6],
            root_dispersion_s: values[7],
            last_update_interval_s: values[8],
        }
    }
}

/// Datagrams that are valid replies but for some bytes of their bodies.
fn reply_like() -> impl Strategy<Value = (Command, Vec<u8>)> {
    let edits = prop::collection::vec((any::<Index>(), any::<u8>()), 0..8);
    (select(Command::ALL), 0..4usize, any::<bool>(), edits).prop_map(|(command, generation, text, edits)| {
        let types = match command {
            Command::ServerStats => [
                ReplyType::ServerStats,
                ReplyType::ServerStats1,
                ReplyType::ServerStats2,
                ReplyType::ServerStats3,
            ],
            Command::NtpData => [
                ReplyType::NtpData,
                ReplyType::NtpData1,
                ReplyType::NtpData,
                ReplyType::NtpData1,
            ],
            _ => [command.current_reply_type(); 4],
        };
        let reply_type = types[generation];
        let mut datagram = vec![6, 2, 0, 0];
        datagram.extend(command.code().to_be_bytes());
        datagram.extend(reply_type.code().to_be_bytes());
        datagram.resize(reply_type.length(), 0);
        if text && reply_type == ReplyType::NtpSourceName {
            datagram.splice(28..32, *b"host");
        }
        for (at, byte) in edits {
            if let Some(body) = datagram.get_mut(28..).filter(|body| !body.is_empty()) {
                let at = at.index(body.len());
                *body.get_mut(at).unwrap() = byte;
            }
        }
        (command, datagram)
    })
}

proptest! {
    #[test]
    fn arbitrary_requests_never_panic(datagram in prop::collection::vec(any::<u8>(), 0..900)) {
        let _ = Request::decode(&datagram);
    }

    #[test]
    fn arbitrary_replies_never_panic(
        datagram in prop::collection::vec(any::<u8>(), 0..600), command in select(Command::ALL),
    ) {
        let _ = Reply::decode(&datagram, command, 0);
    }

    #[test]
    fn plausible_requests_survive(datagram in request_like()) {
        if let Ok((header, request)) = Request::decode(&datagram) {
            let encoded = request.encode(header.sequence);
            prop_assert_eq!(encoded.len(), request.command().request_length());
            prop_assert_eq!(Request::decode(&encoded), Ok((header, request)));
        }
    }

    #[test]
    fn plausible_replies_survive((command, datagram) in reply_like()) {
        match Reply::decode(&datagram, command, 0) {
            Ok(reply) => {
                let header = Header { command: command.code(), attempt: 0, sequence: 0 };
                let encoded = reply.encode(&header);
                prop_assert_eq!(encoded.len(), datagram.len());
                prop_assert_eq!(Reply::decode(&encoded, command, 0), Ok(reply));
            }
            Err(error) => prop_assert!(matches!(error, ReplyError::InvalidField(_)), "{error:?}"),
        }
    }

    #[test]
    fn tracking_survives(tracking in tracking(), sequence: u32) {
        let header = Header { command: Command::Tracking.code(), attempt: 0, sequence };
        let encoded = Reply::Tracking(tracking).encode(&header);
        let decoded = Reply::decode(&encoded, Command::Tracking, sequence);
        prop_assert_eq!(decoded, Ok(Reply::Tracking(tracking)));
    }

    #[test]
    fn no_reply_is_longer_than_its_request(command in select(Command::ALL), length in 0usize..600) {
        if let Some(reply_type) = command.reply_type(length) {
            prop_assert!(reply_type.length() <= length);
        }
    }
}
