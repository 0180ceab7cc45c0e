//! What two peers make of each other's packets, played with both of them.

use conf::config::SourceKind;
use units::{Leap, Mono, NtpShort, NtpTimestamp, ReferenceId, Stratum, UnixTime};
use wire::ntp::{Header, Version};

use crate::constraint::Constrained;
use crate::estimate::Prior;
use crate::io::{Now, Stamp, StampSource};
use crate::keyring::Keyring;
use crate::source::answer::{Arrival, Judgement};
use crate::source::exchange::Heading;
use crate::source::{Local, Source};
use crate::stage::{BEGIN_S, line};
use crate::timeline::Timeline;

/// One way takes so long, seconds.
const WAY_S: f64 = 0.001;

/// A packet leaves so much later than it says, seconds.
const LATE_S: f64 = 0.0001;

/// One of two peers, whose clock is ahead by a constant.
struct Side {
    source: Source,
    timeline: Timeline,
    ahead_s: f64,
    random: u64,
}

impl Side {
    fn new(address: &str, ahead_s: f64, interleaved: bool) -> Self {
        let config = line(SourceKind::Peer, address, |line| line.interleaved = interleaved);
        let prior = Prior {
            frequency: 0.0,
            frequency_error: 1e-5,
            precision_s: 1e-7,
        };
        Self {
            source: Source::new(config, prior, 0),
            timeline: Timeline::new(now(0.0, ahead_s), 0.0),
            ahead_s,
            random: 1,
        }
    }

    fn local(&self) -> Local {
        Local {
            precision_s: 1e-7,
            frequency: 0.0,
            skew: 1e-7,
            remaining_s: 0.0,
            era_start: 0,
            announced: Header {
                leap: Leap::Normal,
                stratum: Stratum(2),
                precision: -24,
                root_delay: NtpShort::from_seconds(0.001),
                root_dispersion: NtpShort::from_seconds(0.001),
                reference_id: ReferenceId(7),
                reference_time: now(-9.0, self.ahead_s).wall.to_ntp(),
                ..Header::default()
            },
            own_port: Some(123),
            constrained: Constrained::Not,
        }
    }

    /// Sends a packet at this second; the kernel tells when it really left.
    fn send(&mut self, at_s: f64) -> Header {
        let local = self.local();
        let random = &mut self.random;
        let mut next = || {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *random
        };
        let now_there = now(at_s, self.ahead_s);
        let _poll = self.source.begin_poll(now_there.mono, 0.0);
        let header = self.source.compose(
            now_there,
            false,
            &mut next,
            &Keyring::default(),
            &local,
            &self.timeline,
        );
        let sent = Stamp {
            at: now(at_s + LATE_S, self.ahead_s).wall,
            source: StampSource::Kernel,
        };
        assert!(
            self.source
                .transmitted(header.transmit_time, sent, &self.timeline)
        );
        header
    }

    /// A packet comes at this second.
    fn receive(&mut self, at_s: f64, header: &Header) -> Judgement {
        let now_there = now(at_s, self.ahead_s);
        let arrival = Arrival {
            header,
            is_authentic: true,
            received: Stamp {
                at: now_there.wall,
                source: StampSource::Kernel,
            },
            to: Some("192.0.2.99".parse().unwrap()),
        };
        let local = self.local();
        let judged = self
            .source
            .receive(&arrival, now_there.mono, &local, &self.timeline);
        judged.expect("a packet of a peer")
    }
}

fn now(at_s: f64, ahead_s: f64) -> Now {
    Now {
        mono: Mono::ZERO.plus_seconds(at_s),
        wall: UnixTime::from_seconds(BEGIN_S).plus_seconds(at_s + ahead_s),
        slept_ns: 0,
    }
}

/// Two peers, the second of which is ahead by a quarter of a second.
fn two(interleaved: bool) -> (Side, Side) {
    (
        Side::new("192.0.2.1", 0.0, interleaved),
        Side::new("192.0.2.2", 0.25, interleaved),
    )
}

/// A packet from one to the other.
fn pass(from: &mut Side, to: &mut Side, at_s: f64) -> Judgement {
    let header = from.send(at_s);
    assert_eq!((header.version, header.mode.bits()), (Version::V4, 1));
    to.receive(at_s + LATE_S + WAY_S, &header)
}

fn assert_measured(judgement: &Judgement, offset_s: f64, delay_s: f64) {
    assert!(judgement.tests.good(), "{judgement:?}");
    let measured = judgement.measurement.unwrap();
    assert!((measured.offset_s - offset_s).abs() < 1e-4, "{measured:?}");
    assert!((measured.delay_s - delay_s).abs() < 2e-5, "{measured:?}");
}

#[test]
fn both_measure_each_other() {
    let (mut a, mut b) = two(false);
    assert!(!pass(&mut a, &mut b, 0.2).tests.valid());
    // It is told when a packet leaves a little too early.
    assert_measured(&pass(&mut b, &mut a, 10.0), 0.25, 2.0 * WAY_S + LATE_S);
    assert_measured(&pass(&mut a, &mut b, 64.0), -0.25, 2.0 * WAY_S + LATE_S);
    assert_measured(&pass(&mut b, &mut a, 74.0), 0.25, 2.0 * WAY_S + LATE_S);
    assert_eq!((a.source.reach, b.source.reach), (0b11, 0b1));
}

#[test]
fn interleaved_packets_tell_when_the_one_before_left() {
    let (mut a, mut b) = two(true);
    pass(&mut a, &mut b, 0.2);
    pass(&mut b, &mut a, 10.0);
    for round in 1..6 {
        let at_s = 64.0 * f64::from(round);
        for (judgement, offset_s) in [
            (pass(&mut a, &mut b, at_s), -0.25),
            (pass(&mut b, &mut a, at_s + 10.0), 0.25),
        ] {
            assert_eq!(
                judgement.interleaved,
                round > 1 || offset_s < 0.0 || judgement.interleaved
            );
            if judgement.tests.good() && judgement.interleaved {
                assert_measured(&judgement, offset_s, 2.0 * WAY_S);
            }
        }
    }
    let last = a.source.last_answer.as_ref().unwrap();
    assert!(last.interleaved && last.tests.good());
}

#[test]
fn interleaved_packets_that_were_not_asked_for_are_refused_and_basic_ones_follow() {
    let (mut a, _) = two(true);
    let (_, mut b) = two(false);
    let (mut refused, mut believed) = (0, 0);
    for round in 0..24 {
        let at_s = 64.0 * f64::from(round);
        let to_b = a.send(at_s);
        // It tells when the packet before left, a minute ago.
        let leaves = now(at_s, a.ahead_s).wall.to_ntp();
        let is_interleaved = to_b.transmit_time.0.abs_diff(leaves.0) > 1 << 32;
        let judgement = b.receive(at_s + LATE_S + WAY_S, &to_b);
        assert!(!judgement.interleaved);
        if is_interleaved {
            assert!(!judgement.tests.valid(), "{judgement:?}");
            refused += 1;
        } else if judgement.tests.good() {
            assert_measured(&judgement, -0.25, 2.0 * WAY_S + LATE_S);
            believed += 1;
        }
        pass(&mut b, &mut a, at_s + 10.0);
    }
    assert!(refused > 0 && believed >= 8, "{refused} {believed}");
}

#[test]
fn one_who_asks_more_often_is_measured_and_measures() {
    let (mut a, mut b) = two(false);
    pass(&mut a, &mut b, 0.2);
    let mut measured = (0, 0);
    for round in 0..10 {
        let at_s = 64.0 * f64::from(round);
        measured.0 += u32::from(pass(&mut b, &mut a, at_s + 5.0).tests.good());
        for nth in 1..4 {
            measured.1 += u32::from(
                pass(&mut a, &mut b, at_s + 5.0 + 16.0 * f64::from(nth))
                    .tests
                    .good(),
            );
        }
    }
    assert_eq!(measured, (10, 10), "one for every packet of the slower one");
    assert_ne!(a.source.reach, 0);
}

#[test]
fn a_stranger_does_not_get_between_two_who_hear_each_other() {
    let (mut a, mut b) = two(false);
    pass(&mut a, &mut b, 0.2);
    pass(&mut b, &mut a, 10.0);
    let before = a.source.symmetric;
    let forged = Header {
        origin_time: NtpTimestamp(0x1234_5678),
        receive_time: NtpTimestamp(0x2345_6789),
        transmit_time: NtpTimestamp(0x3456_789a),
        ..b.source
            .last_answer
            .as_ref()
            .map_or(a.local().announced, |answer| answer.header)
    };
    let forged = Header {
        mode: units::Mode::SymmetricActive,
        ..forged
    };
    assert!(!a.receive(20.0, &forged).tests.valid());
    assert_eq!(a.source.symmetric, before);
    assert_measured(&pass(&mut a, &mut b, 64.0), -0.25, 2.0 * WAY_S + LATE_S);
    assert_measured(&pass(&mut b, &mut a, 74.0), 0.25, 2.0 * WAY_S + LATE_S);
}

#[test]
fn a_replayed_packet_measures_nothing() {
    let (mut a, mut b) = two(false);
    pass(&mut a, &mut b, 0.2);
    let answer = b.send(10.0);
    assert!(a.receive(10.0 + LATE_S + WAY_S, &answer).tests.good());
    let replay = a.receive(15.0, &answer);
    assert!(!replay.tests.fresh && !replay.tests.valid());
    a.send(64.0);
    assert!(!a.receive(65.0, &answer).tests.valid());
}

#[test]
fn a_peer_that_began_anew_is_heard_again() {
    let (mut a, mut b) = two(false);
    pass(&mut a, &mut b, 0.2);
    pass(&mut b, &mut a, 10.0);
    let (_, mut b) = two(false);
    let mut good = 0;
    for round in 1..6 {
        let at_s = 64.0 * f64::from(round);
        good += u32::from(pass(&mut b, &mut a, at_s).tests.good());
        pass(&mut a, &mut b, at_s + 10.0);
    }
    assert!(good >= 3, "{good}");
}

#[test]
fn the_offset_is_told_as_of_the_packet_that_came_however_long_the_two_were_apart() {
    // The oscillator is slow by 100 ppm, and its rate is known and made up for by nobody but the calculation.
    let side = Side::new("192.0.2.1", 0.0, false);
    let sent = crate::source::moment::Moment::of(
        Stamp {
            at: now(0.0, 0.0).wall,
            source: StampSource::Kernel,
        },
        &side.timeline,
    );
    let received_s = 72.0;
    let received = crate::source::moment::Moment::of(
        Stamp {
            at: now(received_s, 0.0).wall,
            source: StampSource::Kernel,
        },
        &side.timeline,
    );
    let rate = 1e-4;
    let remote = |at_s: f64| now(at_s * (1.0 + rate), 0.0).wall.to_ntp();
    let stamps = crate::source::exchange::Timestamps {
        sent,
        remote_received: remote(WAY_S),
        remote_sent: remote(received_s - WAY_S),
        received,
    };
    let local = side.local();
    let correction_s = side.timeline.correction_s(now(received_s, 0.0).mono);
    let heading = Heading {
        at: received.at,
        phase_s: correction_s,
        frequency: 0.0,
    };
    let measured = stamps.measure(0, rate, 0.0, heading, local.precision_s);
    assert!(
        (measured.offset_s - rate * received_s).abs() < 1e-6,
        "{measured:?}"
    );
    assert!((measured.delay_s - 2.0 * WAY_S).abs() < 1e-6, "{measured:?}");
}
