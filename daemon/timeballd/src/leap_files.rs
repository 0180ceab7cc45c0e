//! Leap seconds from a file: the list that standards bodies publish, or the system's time zones.

use std::fs;
use std::path::Path;

use conf::config::Leap;
use engine::discipline::leap::LeapTable;
use units::NTP_EPOCH_UNIX_SECONDS;

/// Where the system has its time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// TAI − UTC before the first leap second, from 1972-01-01 on, seconds.
const FIRST_OFFSET_S: i32 = 10;

/// 1972-01-01, Unix seconds: from here on UTC is what it is.
const FIRST_S: i64 = 63_072_000;

/// The header of a time zone file (RFC 8536 §3.1).
const HEADER_LENGTH: usize = 44;

/// Reads the table that the configuration names, the list before the time zone.
///
/// # Errors
/// What is wrong, as a line for the log; `Ok(None)` when none is named.
pub(crate) fn read(config: &Leap) -> Result<Option<LeapTable>, String> {
    if let Some(path) = &config.list_file {
        let text = fs::read_to_string(path).ok().and_then(|text| from_list(&text));
        return text
            .map(Some)
            .ok_or_else(|| format!("Could not read leap seconds from {path}"));
    }
    let Some(zone) = &config.time_zone else {
        return Ok(None);
    };
    let bytes = fs::read(Path::new(ZONES).join(zone)).ok();
    let table = bytes.as_deref().and_then(from_zone);
    table
        .map(Some)
        .ok_or_else(|| format!("Timezone {zone} failed leap second check, ignoring"))
}

/// Reads a list as NIST and IERS publish it: NTP seconds and TAI − UTC on each line, the end of its validity in the
/// comment `#@`.
fn from_list(text: &str) -> Option<LeapTable> {
    let mut table = LeapTable {
        entries: Vec::new(),
        expires: i64::MIN,
    };
    for line in text.lines() {
        let unix = |word: &str| word.parse::<i64>().ok()?.checked_add(NTP_EPOCH_UNIX_SECONDS);
        if let Some(expires) = line.strip_prefix("#@") {
            table.expires = unix(expires.trim())?;
        } else if !line.starts_with('#') && !line.trim().is_empty() {
            let mut words = line.split_whitespace();
            let from = unix(words.next()?)?;
            table.entries.push((from, words.next()?.parse().ok()?));
        }
    }
    (ascends(&table) && table.expires > i64::MIN).then_some(table)
}

/// Reads the leap seconds of a time zone file of the kind `right/UTC` (RFC 8536), which has no end of validity.
fn from_zone(bytes: &[u8]) -> Option<LeapTable> {
    // The first part is for readers of 32 bits; version 2 and later have all of it once more for those of 64 bits.
    let (first, length) = Part::read(bytes, 4)?;
    let rest = bytes.get(length..)?;
    let version = *bytes.get(4)?;
    let part = if version >= b'2' {
        Part::read(rest, 8)?.0
    } else {
        first
    };
    let mut table = LeapTable {
        entries: vec![(FIRST_S, FIRST_OFFSET_S)],
        expires: i64::MAX,
    };
    let mut before = 0;
    for (at, correction) in part.leaps() {
        // The file counts the leap seconds of before.
        table
            .entries
            .push((at - i64::from(before), FIRST_OFFSET_S + correction));
        before = correction;
    }
    (table.entries.len() > 1 && ascends(&table)).then_some(table)
}

/// The leap seconds in one of the two parts of a time zone file.
struct Part<'a> {
    records: &'a [u8],
    time_length: usize,
}

impl<'a> Part<'a> {
    /// Finds them, and how long the part is; its times are so many bytes long.
    fn read(bytes: &'a [u8], time_length: usize) -> Option<(Self, usize)> {
        if !bytes.starts_with(b"TZif") {
            return None;
        }
        let count = |at: usize| {
            let field = bytes.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(field))
                .ok()
                .filter(|&count| count < 1 << 16)
        };
        let [utc, standard, leaps, times, kinds, characters] = [
            count(20)?,
            count(24)?,
            count(28)?,
            count(32)?,
            count(36)?,
            count(40)?,
        ];
        let start = HEADER_LENGTH + times * (time_length + 1) + kinds * 6 + characters;
        let end = start + leaps * (time_length + 4);
        let records = bytes.get(start..end)?;
        Some((Self { records, time_length }, end + standard + utc))
    }

    /// Each: when it is, and how many there are with it.
    fn leaps(&self) -> impl Iterator<Item = (i64, i32)> {
        self.records.chunks_exact(self.time_length + 4).map(|record| {
            let (time, correction) = record.split_at(self.time_length);
            let mut wide = [if time.first().is_some_and(|byte| byte & 0x80 != 0) {
                0xff
            } else {
                0
            }; 8];
            wide[8 - time.len()..].copy_from_slice(time);
            let mut total = [0; 4];
            total.copy_from_slice(correction);
            (i64::from_be_bytes(wide), i32::from_be_bytes(total))
        })
    }
}

/// Whether the table is in order, and each entry one second from the one before.
fn ascends(table: &LeapTable) -> bool {
    let pairs = || table.entries.iter().zip(table.entries.iter().skip(1));
    !table.entries.is_empty() && pairs().all(|(one, next)| one.0 < next.0 && (next.1 - one.1).abs() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leap seconds of 1972 and 1973 as in `right/UTC`, in both parts.
    fn zone() -> Vec<u8> {
        let part = |time_length: usize| {
            let mut bytes = b"TZif2".to_vec();
            bytes.extend([0; 15]);
            for count in [1u32, 1, 2, 0, 1, 4] {
                bytes.extend(count.to_be_bytes());
            }
            bytes.extend([0; 6]);
            bytes.extend(b"UTC\0");
            for (at, correction) in [(78_796_800i64, 1i32), (94_694_401, 2)] {
                bytes.extend(&at.to_be_bytes()[8 - time_length..]);
                bytes.extend(correction.to_be_bytes());
            }
            bytes.extend([0; 2]);
            bytes
        };
        [part(4), part(8), b"\nUTC0\n".to_vec()].concat()
    }

    #[test]
    fn a_zone_counts_its_own_leap_seconds() {
        let table = from_zone(&zone()).unwrap();
        assert_eq!(table.entries, [(FIRST_S, 10), (78_796_800, 11), (94_694_400, 12)]);
        let mut old = zone();
        old[4] = 0;
        assert_eq!(from_zone(&old), Some(table));
    }

    #[test]
    fn a_broken_zone_is_none() {
        let whole = zone();
        let end = whole.len() - b"\nUTC0\n".len() - 2;
        for length in 0..end {
            assert_eq!(from_zone(&whole[..length]), None, "{length}");
        }
        let mut many = whole;
        many[28] = 0xff;
        assert_eq!(from_zone(&many), None);
    }

    #[test]
    fn a_list_says_until_when_it_holds() {
        let text =
            "#\tcomment\n#$\t 3929093563\n#@\t3960057600\n2272060800\t10\t# 1 Jan 1972\n2287785600 11\n";
        let table = from_list(text).unwrap();
        assert_eq!(table.entries, [(FIRST_S, 10), (78_796_800, 11)]);
        assert_eq!(table.expires, 1_751_068_800);
    }

    #[test]
    fn a_broken_list_is_none() {
        for text in [
            "",
            "2272060800 10\n",
            "#@ x\n2272060800 10\n",
            "#@ 3960057600\n2272060800\n",
            "#@ 3960057600\n2287785600 11\n2272060800 10\n",
            "#@ 3960057600\n2272060800 10\n2287785600 13\n",
        ] {
            assert_eq!(from_list(text), None, "{text}");
        }
    }

    #[test]
    fn without_a_name_there_is_no_table_and_a_wrong_one_is_said() {
        assert_eq!(read(&Leap::default()), Ok(None));
        let zone = Leap {
            time_zone: Some("no/such".to_owned()),
            ..Leap::default()
        };
        assert!(read(&zone).is_err());
        let list = Leap {
            list_file: Some("/no/such".to_owned()),
            ..Leap::default()
        };
        assert!(read(&list).is_err());
    }
}
