//! What servers and strangers send.

use units::{Leap, Mode, NtpShort, NtpTimestamp, PollInterval, ReferenceId, Stratum, UnixTime};
use wire::ntp::auth::CODE_LENGTH_MAX;
use wire::ntp::{DATAGRAM_LENGTH_MAX, Header, KissCode, Packet, PacketWriter, Tail};

use super::settings::keys;
use crate::bytes::Bytes;

/// How a server answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// So far its clock is ahead of the truth, seconds.
    pub(crate) wrong_s: f64,
    /// What else is wrong.
    pub(crate) oddity: u8,
    /// A number that goes with it.
    pub(crate) number: u8,
    /// The answer to an interleaved request is the time at which the last one was sent.
    pub(crate) interleaved: Option<NtpTimestamp>,
    /// The code is made with a wrong key, or is left out.
    pub(crate) is_forged: bool,
}

impl Manner {
    /// As it should be.
    pub(crate) const HONEST: Self = Self {
        wrong_s: 0.0,
        oddity: u8::MAX,
        number: 0,
        interleaved: None,
        is_forged: false,
    };

    pub(crate) fn read(bytes: &mut Bytes<'_>) -> Self {
        let oddity = bytes.u8();
        let has_oddity = oddity & 0x80 != 0;
        Self {
            wrong_s: bytes.seconds(),
            oddity: if has_oddity { oddity & 0x1f } else { u8::MAX },
            number: if has_oddity { bytes.u8() } else { 0 },
            interleaved: None,
            is_forged: oddity & 0x20 != 0,
        }
    }
}

/// The answer to a request that comes at this true time.
pub(crate) fn answer(request: &[u8], came: UnixTime, manner: &Manner) -> Option<Vec<u8>> {
    let request = Packet::decode(request).ok()?;
    let received = came.plus_seconds(manner.wrong_s);
    let mut header = Header {
        leap: Leap::Normal,
        version: request.header.version,
        mode: match request.header.mode {
            Mode::SymmetricActive => Mode::SymmetricActive,
            _ => Mode::Server,
        },
        stratum: Stratum(2),
        poll: PollInterval(request.header.poll.0),
        precision: -24,
        root_delay: NtpShort::from_seconds(0.01),
        root_dispersion: NtpShort::from_seconds(0.002),
        reference_id: ReferenceId(0x0a00_0001),
        reference_time: received.plus_seconds(-10.0).to_ntp(),
        origin_time: request.header.transmit_time,
        receive_time: received.to_ntp(),
        transmit_time: received.plus_seconds(1e-5).to_ntp(),
    };
    if let Some(sent) = manner.interleaved {
        header.origin_time = request.header.receive_time;
        header.transmit_time = sent;
    }
    make_odd(&mut header, manner, received);
    let key_id = match request.tail {
        Tail::Mac { key_id, .. } => Some(key_id),
        Tail::None | Tail::CryptoNak => None,
    };
    Some(sealed(&header, key_id, manner.is_forged))
}

fn make_odd(header: &mut Header, manner: &Manner, now: UnixTime) {
    let number = manner.number;
    match manner.oddity {
        0 => header.leap = Leap::from_bits(number),
        1 => header.stratum = Stratum(number),
        2 => header.poll = PollInterval(number.cast_signed()),
        3 => header.precision = number.cast_signed(),
        4 => header.root_delay = NtpShort(u32::from(number) << 12),
        5 => header.root_dispersion = NtpShort(u32::from(number) << 12),
        6 => header.root_delay = NtpShort(u32::MAX - u32::from(number)),
        7 => header.reference_id = ReferenceId(u32::from_be_bytes([192, 0, 2, number])),
        8 => header.reference_time = now.plus_seconds(f64::from(number)).to_ntp(),
        9 => header.origin_time = NtpTimestamp::ZERO,
        10 => header.receive_time = NtpTimestamp::ZERO,
        11 => header.transmit_time = NtpTimestamp::ZERO,
        12 => header.transmit_time = now.plus_seconds(-f64::from(number) / 8.0).to_ntp(),
        13 => header.transmit_time = now.plus_seconds(f64::from(number) / 8.0).to_ntp(),
        14 => header.mode = Mode::from_bits(number),
        15 | 16 => {
            let code = [KissCode::Rate, KissCode::Deny, KissCode::Restrict][usize::from(number) % 3];
            header.stratum = Stratum::ZERO;
            header.leap = Leap::Unsynchronised;
            header.reference_id = code.reference_id();
            header.poll = PollInterval((number >> 2).cast_signed());
        }
        17 => header.reference_id = ReferenceId::from_ascii("XFUN"),
        18 => header.mode = Mode::SymmetricPassive,
        19 => header.origin_time = NtpTimestamp(header.origin_time.to_bits() ^ u64::from(number)),
        20 => header.stratum = Stratum(1),
        21 => header.root_dispersion = NtpShort(0),
        _ => {}
    }
}

/// A packet with its code, if it has a key.
pub(crate) fn sealed(header: &Header, key_id: Option<u32>, is_forged: bool) -> Vec<u8> {
    let mut buffer = [0; DATAGRAM_LENGTH_MAX];
    let writer = PacketWriter::new(&mut buffer, header).expect("a header fits");
    let key = key_id.and_then(|id| keys().into_iter().find(|key| key.id() == id));
    let length = match key {
        Some(key) => {
            let mut code = [0; CODE_LENGTH_MAX];
            let length = key.mac(writer.written(), header.version, &mut code);
            code[0] ^= u8::from(is_forged);
            writer.finish_with_mac(key.id(), &code[..length])
        }
        None => writer.finish(),
    };
    buffer[..length.expect("a code fits")].to_vec()
}
