//! What is remembered about the real-time clock: read again it is the same, the time that it makes of a reading is one,
//! and whatever it says, the engine keeps its rules.

use conf::rtc::{self, NotAnRtcFile};
use engine::rtc::time_of;
use units::UnixTime;
use units::rounding::f64_from_i64;

use crate::bytes::Bytes;
use crate::engine::{Host, Learned, Manner, TRACKING_RTC};
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "rtc",
    check,
    seeds,
    words: || {
        words_of(&[
            "1 1262313964 -9.002701 99.988\n",
            "0 ",
            "1 ",
            " nan",
            " inf",
            " -1e308",
            " 1e308",
            "9223372036854775807",
            "-9223372036854775808",
            "0.0 0 0.0\n0\nUTC\n",
            "LOCAL",
        ])
    },
};

/// A reading of the real-time clock.
const SECOND: i64 = 1_770_000_000;

/// A byte says how far the clock's seconds are from where they should be, the others are the file.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let ahead_s = f64::from(bytes.u8()) / 64.0 - 2.0;
    let text = String::from_utf8_lossy(bytes.rest());
    let _ = rtc::keeps_utc(&text);
    let known = match rtc::parse(&text) {
        Ok(Some(known)) => known,
        Ok(None) | Err(NotAnRtcFile) => return,
    };
    let written = rtc::print(&known);
    let again = rtc::parse(&written).expect("what was written can be read");
    let again = again.expect("it is known");
    assert_eq!(rtc::print(&again), written);
    assert_eq!(again.reference, known.reference);

    let time = time_of(SECOND, Some(&known));
    let since_s = f64_from_i64(SECOND.saturating_sub(known.reference));
    let fast_s = known.fast_s + known.gain_ppm * 1e-6 * since_s;
    if fast_s.abs() < 1e9 {
        let by_s = time.seconds_since(UnixTime::from_seconds(SECOND));
        assert!((0.5 - by_s - fast_s).abs() < 1e-3, "{known:?} {by_s}");
    }

    let learned = Learned {
        drift: None,
        rtc: Some(known),
    };
    live(&mut Host::new(&TRACKING_RTC, 0, learned), ahead_s);
}

/// The host goes on for a while, first with the real-time clock alone and then with a server that answers.
fn live(host: &mut Host, ahead_s: f64) {
    for _ in 0..20 {
        host.pass(1.0);
        host.tick(ahead_s);
        host.look_at_reports();
    }
    for _ in 0..20 {
        let asked = host.asked.len();
        host.wake();
        if host.asked.len() != asked {
            host.answer(0, [0.001, 0.002], Manner::HONEST, false);
        }
        host.tick(ahead_s);
        host.look_at_reports();
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = words_of(&[
        "@0.0 0 0.0\n0\nUTC\n",
        "@0.0 0 0.0\n0\nLOCAL\n",
        "@0 1262313964 -9.002701 99.988\n",
    ]);
    for text in [
        "1 1262313964 -9.002701 99.988\n",
        "1 1769999000 0.123456 -20.5\n",
        "1 0 1e9 1e300\n",
        "1 -9223372036854775808 0 1\n",
    ] {
        for ahead in [0, 100, 128, 200] {
            seeds.push([&[ahead], text.as_bytes()].concat());
        }
    }
    seeds
}
