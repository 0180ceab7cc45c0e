//! Leap seconds, from the published list and from time zone files: they ascend, one at a time, and are the same when
//! they are written as a list and read again.

use std::fmt::Write as _;

use conf::leap_seconds::LeapSeconds;

use crate::bytes::Bytes;
use crate::{Target, words_of};

pub(crate) const TARGET: Target = Target {
    name: "leap",
    check,
    seeds,
    words: || {
        words_of(&[
            "#@",
            "#$",
            "#h ",
            "3960057600",
            "2272060800",
            "2287785600",
            "\t10\n",
            "\t11",
            "TZif2",
            "TZif",
        ])
    },
};

/// From 1900, where the list counts from, to 1970, seconds.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

/// What the list has room for: 12 digits.
const LISTED: std::ops::Range<i64> = 0..1_000_000_000_000;

/// One byte says of what kind the file is, the others are the file.
fn check(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let found = if bytes.bool() {
        LeapSeconds::from_time_zone(bytes.rest())
    } else {
        LeapSeconds::from_list(&String::from_utf8_lossy(bytes.rest()))
    };
    let leaps = match found {
        Ok(leaps) => leaps,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(!leaps.steps().is_empty());
    for pair in leaps.steps().windows(2) {
        assert!(pair[0].from_unix_s < pair[1].from_unix_s);
        let change = pair[1].tai_offset_s - pair[0].tai_offset_s;
        assert_eq!(change.abs(), 1);
        assert_eq!(
            leaps.tai_offset_s(pair[1].from_unix_s),
            Some(pair[1].tai_offset_s)
        );
        let between_s = pair[1].from_unix_s.saturating_sub(pair[0].from_unix_s);
        if between_s > 1 {
            assert_eq!(leaps.change_at(pair[1].from_unix_s), change);
            assert_eq!(leaps.change_at(pair[1].from_unix_s - 1), 0);
        }
    }
    check_written(&leaps);
}

fn check_written(leaps: &LeapSeconds) {
    let expires = leaps.expires_unix_s().unwrap_or(0);
    let mut list = format!("#@ {}\n", expires.saturating_add(NTP_TO_UNIX_S));
    let mut fits = LISTED.contains(&expires.saturating_add(NTP_TO_UNIX_S));
    for step in leaps.steps() {
        let ntp_s = step.from_unix_s.saturating_add(NTP_TO_UNIX_S);
        fits &= LISTED.contains(&ntp_s) && step.tai_offset_s >= 0;
        let _infallible = writeln!(list, "{ntp_s} {}", step.tai_offset_s);
    }
    if fits {
        let again = LeapSeconds::from_list(&list).expect("it is a list");
        assert_eq!(again.steps(), leaps.steps());
        assert_eq!(again.expires_unix_s(), Some(expires));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let list =
        "#$\t 3676924800\n#@\t3960057600\n2272060800\t10\t# 1 Jan 1972\n2287785600\t11\n2303683200 12\n";
    let wrong = "#h\t1 2 3 4 5\n#@ 3960057600\n2272060800\t10\n";
    let mut seeds = vec![
        [b"\0", list.as_bytes()].concat(),
        [b"\0", wrong.as_bytes()].concat(),
    ];
    for version in [0, b'2'] {
        seeds.push(zone(version));
    }
    seeds
}

/// A time zone file with two leap seconds.
fn zone(version: u8) -> Vec<u8> {
    let part = |wide: bool| {
        let mut bytes = b"TZif".to_vec();
        bytes.push(version);
        bytes.extend([0; 15]);
        // is UT, is standard, leap seconds, transitions, types, characters
        for count in [0_u32, 0, 2, 0, 1, 4] {
            bytes.extend(count.to_be_bytes());
        }
        bytes.extend([0; 6]);
        bytes.extend(b"UTC\0");
        for (at, offset) in [(78_796_800_i32, 1_i32), (94_694_401, 2)] {
            if wide {
                bytes.extend(i64::from(at).to_be_bytes());
            } else {
                bytes.extend(at.to_be_bytes());
            }
            bytes.extend(offset.to_be_bytes());
        }
        bytes
    };
    let mut bytes = vec![1];
    bytes.extend(part(false));
    if version != 0 {
        bytes.extend(part(true));
        bytes.extend(b"\nUTC0\n");
    }
    bytes
}
