//! What is answered: a plain function from a request and our state to a packet.

use units::{Leap, Mode, NtpShort, NtpTimestamp, PollInterval, ReferenceId, Stratum};
use wire::ntp::auth::{CODE_LENGTH_MAX, Key};
use wire::ntp::{BufferTooSmall, Header, KissCode, Packet, PacketWriter, Tail, Version};

use super::interleave::Interleave;
use crate::io::StampSource;

/// The shortest poll interval that is told to clients where there is no rate limit, log2 s (observed with
/// chronyd 4.3).
pub const POLL_MIN: PollInterval = PollInterval(-19);

/// What our clock says of itself, at the moment of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerState {
    /// Whether a leap second is announced, or our clock not synchronised.
    pub leap: Leap,
    /// Our stratum.
    pub stratum: Stratum,
    /// What we follow.
    pub reference_id: ReferenceId,
    /// When our clock was last corrected.
    pub reference_time: NtpTimestamp,
    /// The round trip to our primary reference.
    pub root_delay: NtpShort,
    /// How far our clock may be off the primary reference, delay apart, now.
    pub root_dispersion: NtpShort,
    /// The precision of our clock, log2 s.
    pub precision: i8,
    /// The shortest poll interval that clients are asked to keep: that of the rate limit, or [`POLL_MIN`].
    pub poll_min: PollInterval,
}

impl ServerState {
    /// Returns what a clock that is not synchronised says, as chronyd 4.3 says it: stratum 0, and one second for
    /// delay and dispersion.
    #[must_use]
    pub const fn unsynchronised(precision: i8, poll_min: PollInterval) -> Self {
        Self {
            leap: Leap::Unsynchronised,
            stratum: Stratum::ZERO,
            reference_id: ReferenceId::UNSYNCHRONISED,
            reference_time: NtpTimestamp::ZERO,
            root_delay: NtpShort(1 << 16),
            root_dispersion: NtpShort(1 << 16),
            precision,
            poll_min,
        }
    }
}

/// The two moments of an answer, on our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moments {
    /// When the request arrived.
    pub received: NtpTimestamp,
    /// When the answer is sent, as far as we can tell before.
    pub sent: NtpTimestamp,
}

/// A header for an answer, and what is to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The header.
    pub header: Header,
    /// Who took the transmit timestamp of an answer in the interleaved mode; `None` in the basic mode.
    pub interleaved: Option<StampSource>,
    /// Whether [`Interleave::sent`] wants to hear when the answer left, under the header's receive timestamp.
    pub kept: bool,
}

/// The port that servers and peers have; a client of version 1 is known by having another.
const NTP_PORT: u16 = 123;

/// Returns the mode in which a request that came from `from_port` is answered; `None` if the packet is not a
/// request.
///
/// Version 1 had no modes: its clients send 0, and so do its peers, from port 123, whom nobody answers any more
/// (observed with chronyd 4.3).
#[must_use]
pub const fn answer_mode(request: &Header, from_port: u16) -> Option<Mode> {
    match (request.version, request.mode) {
        (Version::V1, Mode::Reserved) if from_port != NTP_PORT => Some(Mode::Server),
        (_, Mode::Client) => Some(Mode::Server),
        (_, Mode::SymmetricActive) => Some(Mode::SymmetricPassive),
        _ => None,
    }
}

/// Returns the answer to `request`, in its version and in the mode that [`answer_mode`] gives.
///
/// The interleaved mode needs version 4 and [`Interleave`]. A request in it gives back our receive timestamp and
/// has receive and transmit timestamps that differ; when the pair is known, the answer has the transmit
/// timestamp of the answer before. Otherwise it is in the basic mode. Pairs are kept only for clients that look
/// as if they would ask for them. Source: RFC 9769 §2; observed with chronyd 4.3.
#[must_use]
pub fn answer(
    request: &Header,
    mode: Mode,
    at: Moments,
    state: &ServerState,
    interleave: Option<&mut Interleave>,
) -> Answer {
    let mut answer = Answer {
        header: Header {
            leap: state.leap,
            version: request.version,
            mode,
            stratum: Stratum(state.stratum.to_byte()),
            poll: request.poll.max(state.poll_min),
            precision: state.precision,
            root_delay: state.root_delay,
            root_dispersion: state.root_dispersion,
            reference_id: state.reference_id,
            reference_time: state.reference_time,
            origin_time: request.transmit_time,
            receive_time: at.received,
            transmit_time: at.sent,
        },
        interleaved: None,
        kept: false,
    };
    let could_interleave = request.version == Version::V4
        && !request.origin_time.is_zero()
        && request.receive_time != request.transmit_time;
    if let Some(interleave) = interleave.filter(|_| could_interleave) {
        if let Some((sent, source)) = interleave.take(request.origin_time) {
            answer.header.origin_time = request.receive_time;
            answer.header.transmit_time = sent;
            answer.interleaved = Some(source);
        }
        if let Some(received) = interleave.keep(at.received, at.sent) {
            answer.header.receive_time = received;
            answer.kept = true;
        }
    }
    answer
}

/// Returns the answer that says `code` instead of the time.
#[must_use]
pub fn kiss(request: &Header, mode: Mode, code: KissCode, at: Moments, state: &ServerState) -> Header {
    let nothing = ServerState::unsynchronised(state.precision, state.poll_min);
    Header {
        reference_id: code.reference_id(),
        ..answer(request, mode, at, &nothing, None).header
    }
}

/// How a request proves who sent it, and how its answer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// Not at all.
    None,
    /// With this key, rightly.
    Key(&'a Key),
    /// Wrongly: a key that is not known, a code that is not right, or a crypto-NAK.
    Failed,
}

/// Checks the authenticator of a request with the key that `find_key` has under its number. What is in its
/// extension fields is not looked at.
#[must_use]
pub fn prove<'k>(request: &Packet<'_>, find_key: impl FnOnce(u32) -> Option<&'k Key>) -> Proof<'k> {
    match request.tail {
        Tail::None => Proof::None,
        Tail::CryptoNak => Proof::Failed,
        Tail::Mac { key_id, digest } => match find_key(key_id) {
            Some(key) if key.verify(request.covered, request.header.version, digest) => Proof::Key(key),
            _ => Proof::Failed,
        },
    }
}

/// Writes an answer, authenticated with `key` if the request was; returns its length.
///
/// It is never longer than the request: extension fields are not answered, and the authenticator has the length
/// of the request's.
///
/// # Errors
/// The buffer is too small; 116 bytes hold any answer.
pub fn write(header: &Header, key: Option<&Key>, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let writer = PacketWriter::new(out, header)?;
    let Some(key) = key else {
        return writer.finish();
    };
    let mut code = [0; CODE_LENGTH_MAX];
    let length = key.mac(writer.written(), header.version, &mut code);
    writer.finish_with_mac(key.id(), &code[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: ServerState = ServerState {
        leap: Leap::Normal,
        stratum: Stratum(3),
        reference_id: ReferenceId::LOCAL,
        reference_time: NtpTimestamp(0xeeac_0989_b071_dba9),
        root_delay: NtpShort::ZERO,
        root_dispersion: NtpShort::ZERO,
        precision: -25,
        poll_min: POLL_MIN,
    };

    fn moments(number: u64) -> Moments {
        let received = NtpTimestamp((0xeeac_0000 + number) << 32);
        Moments {
            received,
            sent: NtpTimestamp(received.0 + 1000),
        }
    }

    fn request(origin: NtpTimestamp, receive: u64, transmit: u64) -> Header {
        Header {
            poll: PollInterval(6),
            origin_time: origin,
            receive_time: NtpTimestamp(receive),
            transmit_time: NtpTimestamp(transmit),
            ..Header::default()
        }
    }

    #[test]
    fn the_basic_answer_is_chronyds() {
        let request = request(NtpTimestamp::ZERO, 0, 0x1122_3344_5566_7788);
        let at = Moments {
            received: NtpTimestamp(0xeeac_098d_92b6_42b7),
            sent: NtpTimestamp(0xeeac_098d_92b9_6e6a),
        };
        let answer = answer(&request, Mode::Server, at, &STATE, None);
        let mut buffer = [0; 48];
        assert_eq!(write(&answer.header, None, &mut buffer), Ok(48));
        let captured = [
            0x24, 0x03, 0x06, 0xe7, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0x7f, 0x01, 0x01, //
            0xee, 0xac, 0x09, 0x89, 0xb0, 0x71, 0xdb, 0xa9, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
            0x88, //
            0xee, 0xac, 0x09, 0x8d, 0x92, 0xb6, 0x42, 0xb7, 0xee, 0xac, 0x09, 0x8d, 0x92, 0xb9, 0x6e, 0x6a,
        ];
        assert_eq!(buffer, captured);
    }

    /// Which versions and modes chronyd 4.3 answers, and how.
    #[test]
    fn requests_are_what_chronyd_takes_for_requests() {
        for version in [Version::V1, Version::V2, Version::V3, Version::V4] {
            for mode in (0..8).map(Mode::from_bits) {
                let header = Header {
                    version,
                    mode,
                    ..Header::default()
                };
                let expected = match mode {
                    Mode::Client => [Some(Mode::Server); 2],
                    Mode::SymmetricActive => [Some(Mode::SymmetricPassive); 2],
                    Mode::Reserved if version == Version::V1 => [Some(Mode::Server), None],
                    _ => [None; 2],
                };
                assert_eq!([50_000, 123].map(|port| answer_mode(&header, port)), expected);
                let answer = answer(&header, Mode::Server, moments(0), &STATE, None);
                assert_eq!(answer.header.version, version);
            }
        }
    }

    #[test]
    fn poll_intervals_are_given_back_above_the_least() {
        let polls = |asked: i8, least: PollInterval| {
            let request = Header {
                poll: PollInterval(asked),
                ..Header::default()
            };
            let state = ServerState {
                poll_min: least,
                ..STATE
            };
            answer(&request, Mode::Server, moments(0), &state, None)
                .header
                .poll
                .0
        };
        assert_eq!(
            [-128, -7, 0, 127].map(|asked| polls(asked, POLL_MIN)),
            [-19, -7, 0, 127]
        );
        assert_eq!([-9, 0, 9].map(|asked| polls(asked, PollInterval(3))), [3, 3, 9]);
    }

    /// The four exchanges were seen with chronyd 4.3, in modes 3 and 1.
    #[test]
    fn the_interleaved_mode_begins_with_the_third_answer() {
        for mode in [Mode::Client, Mode::SymmetricActive] {
            let mut interleave = Interleave::new(16);
            let mut origin = NtpTimestamp::ZERO;
            for number in 0..4 {
                let receive = if number == 0 { 0 } else { number * 16 + 1 };
                let request = Header {
                    mode,
                    ..request(origin, receive, number * 16 + 2)
                };
                let answer = answer(
                    &request,
                    Mode::Server,
                    moments(number),
                    &STATE,
                    Some(&mut interleave),
                );
                let header = answer.header;
                assert_eq!(answer.kept, number > 0);
                if number < 2 {
                    assert_eq!(answer.interleaved, None);
                    assert_eq!(header.origin_time, request.transmit_time);
                    assert_eq!(header.transmit_time, moments(number).sent);
                } else {
                    assert_eq!(answer.interleaved, Some(StampSource::Kernel));
                    assert_eq!(header.origin_time, request.receive_time);
                    assert_eq!(header.transmit_time.0, moments(number - 1).sent.0 + 7);
                }
                let left = NtpTimestamp(moments(number).sent.0 + 7);
                interleave.sent(header.receive_time, left, StampSource::Kernel);
                origin = header.receive_time;
            }
        }
    }

    #[test]
    fn what_is_not_a_request_for_the_interleaved_mode_gets_the_basic_one() {
        let mut interleave = Interleave::new(16);
        let first = request(NtpTimestamp(5), 6, 7);
        let known = answer(&first, Mode::Server, moments(1), &STATE, Some(&mut interleave))
            .header
            .receive_time;
        for bad in [
            request(known, 7, 7),
            request(NtpTimestamp(known.0 ^ 1), 6, 7),
            Header {
                version: Version::V3,
                ..request(known, 6, 7)
            },
        ] {
            let answer = answer(&bad, Mode::Server, moments(2), &STATE, Some(&mut interleave));
            assert_eq!(answer.interleaved, None);
            assert_eq!(answer.header.origin_time, bad.transmit_time);
        }
        let good = request(known, 6, 0);
        assert!(
            answer(&good, Mode::Server, moments(3), &STATE, Some(&mut interleave))
                .interleaved
                .is_some()
        );
        assert!(
            answer(&good, Mode::Server, moments(4), &STATE, Some(&mut interleave))
                .interleaved
                .is_none()
        );
    }

    #[test]
    fn a_kiss_tells_nothing_but_itself() {
        let request = request(NtpTimestamp::ZERO, 0, 99);
        let kiss = kiss(&request, Mode::Server, KissCode::Rate, moments(1), &STATE);
        assert_eq!(kiss.kiss(), Some(KissCode::Rate));
        assert_eq!(
            (kiss.leap, kiss.origin_time),
            (Leap::Unsynchronised, NtpTimestamp(99))
        );
    }

    #[test]
    fn an_unsynchronised_clock_says_what_chronyd_says() {
        let state = ServerState::unsynchronised(-25, POLL_MIN);
        let request = request(NtpTimestamp::ZERO, 0, 0x1122_3344_5566_7788);
        let header = answer(&request, Mode::Server, moments(0), &state, None).header;
        let start = [
            0xe4, 0, 6, 0xe7, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(header.encode()[..24], start);
        assert_eq!(header.kiss(), None);
    }
}
