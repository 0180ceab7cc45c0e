//! Servers that are no engines: perfect ones, and ones that lie.

use units::{Leap, Mode, NtpShort, NtpTimestamp, ReferenceId, Stratum, UnixTime};
use wire::ntp::{Header, Packet};

use crate::moment::Moment;

/// How a server answers. Times are seconds since the world began.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    offset_s: f64,
    gain: f64,
    jumps: Vec<(f64, f64)>,
    wrong_answers: Vec<(f64, f64)>,
    stratum: u8,
    leap: Vec<(f64, Leap)>,
    reference_id: ReferenceId,
    root_delay_s: f64,
    root_dispersion_s: f64,
    misbehaviours: Vec<(f64, f64, Misbehaviour)>,
}

/// What a server can do wrong beside its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Misbehaviour {
    /// It does not answer.
    Silent,
    /// It is not synchronised: stratum 16 on the wire (0) and leap 3.
    Unsynchronised,
    /// Its receive and transmit timestamps are zero.
    ZeroTimestamps,
    /// It sends this kiss code.
    Kiss([u8; 4]),
    /// It does not bring back what the request carried.
    WrongOrigin,
    /// It brings back zero, as an answer to nobody's request.
    ZeroOrigin,
    /// It sends as mode 5, broadcast.
    Broadcast,
    /// It sends as mode 3, as if it asked us.
    AsksBack,
    /// Its root distance is absurd.
    FarAway,
    /// It sends so many bytes instead of 48.
    Cut(usize),
    /// It says that it sent before it received.
    BackwardsInTime,
    /// It waits so long between its two timestamps, seconds, and tells the truth about it.
    Slow(f64),
}

/// An answer on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// So long after the request came, seconds.
    pub after_s: f64,
    /// The datagram.
    pub bytes: Vec<u8>,
}

impl Server {
    /// A primary server with perfect time.
    pub fn ideal() -> Self {
        Self {
            offset_s: 0.0,
            gain: 0.0,
            jumps: Vec::new(),
            wrong_answers: Vec::new(),
            stratum: 1,
            leap: Vec::new(),
            reference_id: ReferenceId::from_ascii("GPS"),
            root_delay_s: 0.0,
            root_dispersion_s: 0.0,
            misbehaviours: Vec::new(),
        }
    }

    /// One whose time is ahead by so many seconds, for ever.
    pub fn wrong_by(seconds: f64) -> Self {
        Self {
            offset_s: seconds,
            ..Self::ideal()
        }
    }

    /// One whose time is right at first and gains by this part.
    pub fn drifting(part: f64) -> Self {
        Self {
            gain: part,
            ..Self::ideal()
        }
    }

    /// From a time on its clock is ahead by so many seconds more.
    #[must_use]
    pub fn jumping(mut self, at_s: f64, by_s: f64) -> Self {
        self.jumps.push((at_s, by_s));
        self
    }

    /// Its first answer from a time on, and no other, is ahead by so many seconds more.
    #[must_use]
    pub fn answering_wrong_once(mut self, at_s: f64, by_s: f64) -> Self {
        self.wrong_answers.push((at_s, by_s));
        self
    }

    /// It is this far from the primary ones.
    #[must_use]
    pub fn stratum(mut self, stratum: u8) -> Self {
        self.stratum = stratum;
        self.reference_id = ReferenceId(0x0a63_6363);
        self
    }

    /// It says so of its own error, seconds.
    #[must_use]
    pub fn distance(mut self, root_delay_s: f64, root_dispersion_s: f64) -> Self {
        self.root_delay_s = root_delay_s;
        self.root_dispersion_s = root_dispersion_s;
        self
    }

    /// From a time on it announces this leap second.
    #[must_use]
    pub fn announcing(mut self, from_s: f64, leap: Leap) -> Self {
        self.leap.push((from_s, leap));
        self
    }

    /// Misbehaves always.
    #[must_use]
    pub fn always(self, misbehaviour: Misbehaviour) -> Self {
        self.between(0.0, f64::INFINITY, misbehaviour)
    }

    /// Misbehaves between these times.
    #[must_use]
    pub fn between(mut self, from_s: f64, to_s: f64, misbehaviour: Misbehaviour) -> Self {
        self.misbehaviours.push((from_s, to_s, misbehaviour));
        self
    }

    /// Server's clock − true time, seconds.
    pub fn offset_s(&self, at: Moment) -> f64 {
        let jumped: f64 = self
            .jumps
            .iter()
            .filter(|jump| at.seconds() >= jump.0)
            .map(|jump| jump.1)
            .sum();
        self.offset_s + self.gain * at.seconds() + jumped
    }

    /// Answers a request that comes at this moment, which is `truth` in Unix time.
    pub fn answer(&mut self, at: Moment, truth: UnixTime, request: &[u8]) -> Option<Answer> {
        let request = Packet::decode(request).ok()?.header;
        if request.mode != Mode::Client {
            return None;
        }
        let is_due = |wrong: &mut (f64, f64)| at.seconds() >= wrong.0;
        let wrong_s: f64 = self
            .wrong_answers
            .extract_if(.., is_due)
            .map(|wrong| wrong.1)
            .sum();
        let now = truth.plus_seconds(self.offset_s(at) + wrong_s);
        let mut header = Header {
            leap: self
                .leap
                .iter()
                .rfind(|(from_s, _)| at.seconds() >= *from_s)
                .map_or(Leap::Normal, |last| last.1),
            version: request.version,
            mode: Mode::Server,
            stratum: Stratum(self.stratum),
            poll: request.poll,
            precision: -25,
            root_delay: NtpShort::from_seconds(self.root_delay_s),
            root_dispersion: NtpShort::from_seconds(self.root_dispersion_s),
            reference_id: self.reference_id,
            reference_time: now.plus_seconds(-8.0).to_ntp(),
            origin_time: request.transmit_time,
            receive_time: now.to_ntp(),
            transmit_time: now.to_ntp(),
        };
        let mut after_s = 0.0;
        let mut length = 48;
        let active = self
            .misbehaviours
            .iter()
            .filter(|(from_s, to_s, _)| (*from_s..*to_s).contains(&at.seconds()));
        for (_, _, misbehaviour) in active {
            match *misbehaviour {
                Misbehaviour::Silent => return None,
                Misbehaviour::Unsynchronised => {
                    header.leap = Leap::Unsynchronised;
                    header.stratum = Stratum::ZERO;
                    header.reference_id = ReferenceId::UNSYNCHRONISED;
                }
                Misbehaviour::ZeroTimestamps => {
                    header.receive_time = NtpTimestamp::ZERO;
                    header.transmit_time = NtpTimestamp::ZERO;
                }
                Misbehaviour::Kiss(code) => {
                    header.leap = Leap::Unsynchronised;
                    header.stratum = Stratum::ZERO;
                    header.reference_id = ReferenceId(u32::from_be_bytes(code));
                }
                Misbehaviour::WrongOrigin => {
                    header.origin_time = NtpTimestamp::from_bits(!request.transmit_time.to_bits());
                }
                Misbehaviour::ZeroOrigin => header.origin_time = NtpTimestamp::ZERO,
                Misbehaviour::Broadcast => header.mode = Mode::Broadcast,
                Misbehaviour::AsksBack => header.mode = Mode::Client,
                Misbehaviour::FarAway => header.root_dispersion = NtpShort::from_seconds(20.0),
                Misbehaviour::Cut(bytes) => length = bytes,
                Misbehaviour::BackwardsInTime => header.transmit_time = now.plus_seconds(-1.0).to_ntp(),
                Misbehaviour::Slow(wait_s) => {
                    after_s = wait_s;
                    header.transmit_time = now.plus_seconds(wait_s).to_ntp();
                }
            }
        }
        let mut bytes = header.encode().to_vec();
        bytes.truncate(length);
        Some(Answer { after_s, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: UnixTime = UnixTime::from_seconds(1_800_000_000);

    fn answer(server: &Server, at_s: f64) -> Option<Header> {
        let request = Header {
            mode: Mode::Client,
            transmit_time: NtpTimestamp::from_bits(77),
            ..Header::default()
        };
        let at = Moment::at(at_s);
        let answer = server
            .clone()
            .answer(at, BEGIN.plus_seconds(at_s), &request.encode())?;
        Packet::decode(&answer.bytes).ok().map(|packet| packet.header)
    }

    #[test]
    fn an_ideal_server_tells_the_time() {
        let header = answer(&Server::ideal(), 10.0).expect("an answer");
        assert_eq!(header.origin_time, NtpTimestamp::from_bits(77));
        assert_eq!(header.transmit_time, BEGIN.plus_seconds(10.0).to_ntp());
        assert_eq!(
            (header.mode, header.stratum, header.leap),
            (Mode::Server, Stratum::PRIMARY, Leap::Normal)
        );
    }

    #[test]
    fn lies_begin_and_end_in_their_time() {
        let server = Server::wrong_by(1.0)
            .jumping(50.0, 2.0)
            .between(60.0, 70.0, Misbehaviour::Silent);
        assert_eq!(server.offset_s(Moment::at(49.0)), 1.0);
        assert_eq!(server.offset_s(Moment::at(50.0)), 3.0);
        assert!(answer(&server, 59.0).is_some());
        assert!(answer(&server, 60.0).is_none());
        assert!(answer(&server, 70.0).is_some());
    }

    #[test]
    fn one_wrong_answer_is_one() {
        let mut server = Server::ideal().answering_wrong_once(50.0, 2.0);
        let mut ahead_s = |at_s: f64| {
            let request = Header {
                mode: Mode::Client,
                ..Header::default()
            };
            let now = BEGIN.plus_seconds(at_s);
            let answer = server.answer(Moment::at(at_s), now, &request.encode());
            let header = Packet::decode(&answer.expect("an answer").bytes).map(|packet| packet.header);
            header.is_ok_and(|header| header.transmit_time == now.plus_seconds(2.0).to_ntp())
        };
        assert_eq!(
            [49.0, 51.0, 52.0, 90.0].map(&mut ahead_s),
            [false, true, false, false]
        );
    }

    #[test]
    fn an_announcement_begins_at_its_time() {
        let server = Server::ideal()
            .announcing(100.0, Leap::Insert)
            .announcing(200.0, Leap::Normal);
        let leap = |at_s| answer(&server, at_s).map(|header| header.leap);
        assert_eq!(leap(99.0), Some(Leap::Normal));
        assert_eq!(leap(100.0), Some(Leap::Insert));
        assert_eq!(leap(200.0), Some(Leap::Normal));
    }
}
