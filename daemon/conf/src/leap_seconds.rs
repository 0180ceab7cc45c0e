//! Leap seconds: the list that NIST and IERS publish, and what a time zone file says.

/// The number of seconds from 1900, where NTP and the list count from, to 1970.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

/// TAI − UTC before the first leap second, from 1972-01-01 on.
const TAI_OFFSET_FIRST_S: i32 = 10;

/// The largest number of leap seconds; there have been 27 in 50 years.
const STEPS_MAX: usize = 1000;

/// The largest value of TAI − UTC that is believed, either sign.
const TAI_OFFSET_MAX_S: i32 = 1000;

/// Holds when TAI − UTC changed, and will.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeapSeconds {
    steps: Vec<LeapStep>,
    expires_unix_s: Option<i64>,
}

/// Says from when on TAI − UTC has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeapStep {
    /// The first second with it, counted from 1970 without leap seconds: the second after the one
    /// that was inserted or would have been the deleted one.
    pub from_unix_s: i64,
    /// TAI − UTC, seconds.
    pub tai_offset_s: i32,
}

/// Says why a text or file has no leap seconds that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeapSecondsError {
    /// A line of the list is no time and offset.
    #[error("line {0} is not understood; fetch the list again")]
    Line(usize),
    /// Times do not ascend, or offsets jump.
    #[error("leap seconds are not in order; fetch the list again")]
    Order,
    /// There is no leap second.
    #[error("there are no leap seconds in it; a time zone has them under right/")]
    Empty,
    /// There are more leap seconds than are believed.
    #[error("there are more than {STEPS_MAX} leap seconds")]
    TooMany,
    /// The list does not say until when it holds.
    #[error("it does not say until when it holds (#@); fetch the list again")]
    NoExpiry,
    /// The list's checksum is another than that of its content.
    #[error("its checksum (#h) is wrong; fetch the list again")]
    Checksum,
    /// The file is no time zone.
    #[error("it is no time zone file")]
    NotTimeZone,
    /// The file ends too early.
    #[error("the file ends too early")]
    Truncated,
}

impl LeapSeconds {
    /// Reads leap-seconds.list.
    ///
    /// Lines with `#@` (until when the list holds) and `#h` (its checksum, SHA-1) are understood
    /// besides those with times; a list without a checksum is taken, one with a wrong one is not.
    pub fn from_list(text: &str) -> Result<Self, LeapSecondsError> {
        let mut found = Self::default();
        let mut checksum = None;
        // The checksum is over the digits, and nothing else, of these lines in this order.
        let (mut updated, mut expires, mut data) = (String::new(), String::new(), String::new());
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix("#$") {
                updated = rest.trim().to_owned();
            } else if let Some(rest) = line.strip_prefix("#@") {
                expires = rest.trim().to_owned();
                let ntp_s = ntp_seconds(&expires).ok_or(LeapSecondsError::Line(number))?;
                found.expires_unix_s = Some(ntp_s - NTP_TO_UNIX_S);
            } else if let Some(rest) = line.strip_prefix("#h") {
                checksum = Some(words_of_checksum(rest).ok_or(LeapSecondsError::Line(number))?);
            } else if !line.is_empty() && !line.starts_with('#') {
                let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
                let (Some(time), Some(offset), None) = (words.next(), words.next(), words.next()) else {
                    return Err(LeapSecondsError::Line(number));
                };
                let (Some(ntp_s), Ok(tai_offset_s)) = (ntp_seconds(time), offset.parse::<u16>()) else {
                    return Err(LeapSecondsError::Line(number));
                };
                data.push_str(time);
                data.push_str(offset);
                found.push(LeapStep {
                    from_unix_s: ntp_s - NTP_TO_UNIX_S,
                    tai_offset_s: tai_offset_s.into(),
                })?;
            }
        }
        if found.steps.is_empty() {
            return Err(LeapSecondsError::Empty);
        }
        if found.expires_unix_s.is_none() {
            return Err(LeapSecondsError::NoExpiry);
        }
        let content = format!("{updated}{expires}{data}");
        match checksum {
            Some(words) if words != sha1_words(content.as_bytes()) => Err(LeapSecondsError::Checksum),
            _ => Ok(found),
        }
    }

    /// Reads a time zone file (RFC 8536), such as `/usr/share/zoneinfo/right/UTC`.
    pub fn from_time_zone(bytes: &[u8]) -> Result<Self, LeapSecondsError> {
        let (first, rest) = Header::read(bytes)?;
        if first.version == 0 {
            return first.leap_seconds(rest, 4);
        }
        // Later versions repeat everything with wider times behind the first part.
        let rest = rest
            .get(first.body_length(4)..)
            .ok_or(LeapSecondsError::Truncated)?;
        let (second, rest) = Header::read(rest)?;
        second.leap_seconds(rest, 8)
    }

    /// Returns the steps, in the order of time; there is at least one.
    pub fn steps(&self) -> &[LeapStep] {
        &self.steps
    }

    /// Returns from when on the steps may be incomplete, in seconds from 1970; `None` if that is not
    /// said.
    pub const fn expires_unix_s(&self) -> Option<i64> {
        self.expires_unix_s
    }

    /// Returns TAI − UTC at a time, in seconds; `None` before the first step.
    pub fn tai_offset_s(&self, unix_s: i64) -> Option<i32> {
        let later = self.steps.partition_point(|step| step.from_unix_s <= unix_s);
        Some(self.steps.get(later.checked_sub(1)?)?.tai_offset_s)
    }

    /// Returns by how much TAI − UTC changes at the start of this very second: 1 after an inserted
    /// leap second, −1 after a deleted one, else 0.
    pub fn change_at(&self, unix_s: i64) -> i32 {
        match (
            self.tai_offset_s(unix_s.saturating_sub(1)),
            self.tai_offset_s(unix_s),
        ) {
            (Some(before), Some(after)) => after - before,
            _ => 0,
        }
    }

    fn push(&mut self, step: LeapStep) -> Result<(), LeapSecondsError> {
        if self.steps.len() >= STEPS_MAX {
            return Err(LeapSecondsError::TooMany);
        }
        if step.tai_offset_s.abs() > TAI_OFFSET_MAX_S {
            return Err(LeapSecondsError::Order);
        }
        if let Some(last) = self.steps.last() {
            let jump = step.tai_offset_s - last.tai_offset_s;
            if step.from_unix_s <= last.from_unix_s || jump.abs() != 1 {
                return Err(LeapSecondsError::Order);
            }
        }
        self.steps.push(step);
        Ok(())
    }
}

/// Reads a time of the list, which has not more digits than it will need for 100,000 years.
fn ntp_seconds(text: &str) -> Option<i64> {
    let is_time = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_time)
}

/// Reads the checksum: five words, of which zeros at the start may be missing.
fn words_of_checksum(text: &str) -> Option<[u32; 5]> {
    let words = text.split_whitespace().map(|word| u32::from_str_radix(word, 16));
    let words = words.collect::<Result<Vec<_>, _>>().ok()?;
    words.try_into().ok()
}

fn sha1_words(bytes: &[u8]) -> [u32; 5] {
    use sha1::Digest as _;
    let digest: [u8; 20] = sha1::Sha1::digest(bytes).into();
    let mut words = [0; 5];
    for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// The header of one part of a time zone file (RFC 8536 §3.1).
struct Header {
    version: u8,
    is_ut: usize,
    is_standard: usize,
    leaps: usize,
    transitions: usize,
    types: usize,
    characters: usize,
}

impl Header {
    const LENGTH: usize = 44;

    /// Reads the header; returns what is behind it too.
    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), LeapSecondsError> {
        let (header, rest) = bytes
            .split_at_checked(Self::LENGTH)
            .ok_or(LeapSecondsError::NotTimeZone)?;
        let Some((version, rest_of_header)) = header.strip_prefix(b"TZif").and_then(<[u8]>::split_first)
        else {
            return Err(LeapSecondsError::NotTimeZone);
        };
        let counts = rest_of_header.get(15..).unwrap_or_default().as_chunks::<4>().0;
        let mut counts = counts.iter().map(|bytes| {
            // More does not fit a file anyway.
            usize::try_from(u32::from_be_bytes(*bytes)).unwrap_or(usize::MAX)
        });
        let mut next = || counts.next().unwrap_or_default();
        let header = Self {
            version: *version,
            is_ut: next(),
            is_standard: next(),
            leaps: next(),
            transitions: next(),
            types: next(),
            characters: next(),
        };
        Ok((header, rest))
    }

    /// Returns the number of bytes before the leap seconds, for times of so many bytes.
    const fn length_before_leaps(&self, time_length: usize) -> usize {
        self.transitions
            .saturating_mul(time_length + 1)
            .saturating_add(self.types.saturating_mul(6))
            .saturating_add(self.characters)
    }

    const fn body_length(&self, time_length: usize) -> usize {
        self.length_before_leaps(time_length)
            .saturating_add(self.leaps.saturating_mul(time_length + 4))
            .saturating_add(self.is_standard)
            .saturating_add(self.is_ut)
    }

    /// Reads the leap seconds of the part of which this is the header.
    fn leap_seconds(&self, body: &[u8], time_length: usize) -> Result<LeapSeconds, LeapSecondsError> {
        if self.leaps > STEPS_MAX {
            return Err(LeapSecondsError::TooMany);
        }
        let length = time_length + 4;
        let records = body
            .get(self.length_before_leaps(time_length)..)
            .and_then(|rest| rest.get(..self.leaps.saturating_mul(length)))
            .ok_or(LeapSecondsError::Truncated)?;
        let mut found = LeapSeconds::default();
        let mut correction_before = None;
        for record in records.chunks_exact(length) {
            let (time, correction) = record.split_at(time_length);
            let occurs = signed(time);
            let correction = i32::try_from(signed(correction)).map_err(|_| LeapSecondsError::Order)?;
            // Times count the leap seconds before them.
            let before = match correction_before {
                Some(before) => before,
                // A file may leave out the first ones; then only a step of 1 is likely.
                None => correction.saturating_sub(1),
            };
            let from_unix_s = occurs.saturating_sub(before.into());
            if correction_before == Some(correction) {
                // The last record may say until when the others hold (version 4).
                found.expires_unix_s = Some(from_unix_s);
                break;
            }
            found.push(LeapStep {
                from_unix_s,
                tai_offset_s: TAI_OFFSET_FIRST_S.saturating_add(correction),
            })?;
            correction_before = Some(correction);
        }
        if found.steps.is_empty() {
            return Err(LeapSecondsError::Empty);
        }
        // The zone begins when UTC in its present form did; the first leap second was the first change.
        if let Some(first) = found
            .steps
            .first()
            .filter(|first| first.tai_offset_s == TAI_OFFSET_FIRST_S + 1)
        {
            let start = UTC_START_UNIX_S.min(first.from_unix_s.saturating_sub(1));
            found.steps.insert(
                0,
                LeapStep {
                    from_unix_s: start,
                    tai_offset_s: TAI_OFFSET_FIRST_S,
                },
            );
        }
        Ok(found)
    }
}

/// 1972-01-01, from when on UTC has leap seconds.
const UTC_START_UNIX_S: i64 = 63_072_000;

/// Reads a signed integer of 4 or 8 bytes, most significant first.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let start = if negative { -1 } else { 0 };
    bytes
        .iter()
        .fold(start, |value, byte| value << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first lines of a list.
    const LIST: &str = "\
#	comment
#$	3929093563
#@	3991593600
2272060800	10	# 1 Jan 1972
2287785600	11	# 1 Jul 1972
2303683200      12      # 1 Jan 1973
";

    fn with_checksum(text: &str) -> String {
        let digits = [
            "3929093563",
            "3991593600",
            "2272060800",
            "10",
            "2287785600",
            "11",
            "2303683200",
            "12",
        ];
        let digits = digits.concat();
        let words = sha1_words(digits.as_bytes()).map(|word| format!("{word:x}"));
        format!("{text}#h {}\n", words.join(" "))
    }

    #[test]
    fn the_list_is_read() {
        let leaps = LeapSeconds::from_list(&with_checksum(LIST)).unwrap();
        assert_eq!(leaps.expires_unix_s(), Some(3_991_593_600 - NTP_TO_UNIX_S));
        assert_eq!(leaps.steps().len(), 3);
        // 1972-07-01 and 1973-01-01.
        let (first, second) = (78_796_800, 94_694_400);
        assert_eq!(leaps.tai_offset_s(first - 1), Some(10));
        assert_eq!(leaps.tai_offset_s(first), Some(11));
        assert_eq!(leaps.tai_offset_s(second), Some(12));
        assert_eq!(leaps.tai_offset_s(i64::MAX), Some(12));
        assert_eq!(leaps.tai_offset_s(0), None);
        assert_eq!((leaps.change_at(first), leaps.change_at(first + 1)), (1, 0));
        assert_eq!(leaps.change_at(63_072_000), 0);
    }

    #[test]
    fn a_list_that_cannot_be_used_says_why() {
        let good = with_checksum(LIST);
        assert!(LeapSeconds::from_list(LIST).is_ok());
        for (text, error) in [
            (String::new(), LeapSecondsError::Empty),
            (
                good.replace("3929093563", "3929093564"),
                LeapSecondsError::Checksum,
            ),
            (
                good.replace("3991593600", "3991593601"),
                LeapSecondsError::Checksum,
            ),
            (
                good.replace("2303683200", "2303683201"),
                LeapSecondsError::Checksum,
            ),
            (LIST.replace("#@	3991593600\n", ""), LeapSecondsError::NoExpiry),
            (LIST.replace("2303683200", "2287785600"), LeapSecondsError::Order),
            (LIST.replace("      12 ", " 14"), LeapSecondsError::Order),
            (LIST.replace("	11	", "	x	"), LeapSecondsError::Line(5)),
            (LIST.replace("	11	", "	11 12	"), LeapSecondsError::Line(5)),
            (
                LIST.replace("2272060800", "+227206080"),
                LeapSecondsError::Line(4),
            ),
            (format!("{LIST}#h 1 2 3\n"), LeapSecondsError::Line(7)),
        ] {
            assert_eq!(LeapSeconds::from_list(&text), Err(error), "{text}");
        }
    }

    /// A part of a time zone file with leap seconds and otherwise the least there can be.
    fn part(version: u8, leaps: &[(i64, i32)], is_wide: bool) -> Vec<u8> {
        let mut bytes = [b"TZif", &[version][..], &[0; 15]].concat();
        for count in [1, 1, u32::try_from(leaps.len()).unwrap(), 2, 1, 4] {
            bytes.extend(u32::to_be_bytes(count));
        }
        bytes.extend(vec![7; 2 * if is_wide { 9 } else { 5 }]);
        bytes.extend([7; 6 + 4]);
        for (time, correction) in leaps {
            if is_wide {
                bytes.extend(time.to_be_bytes());
            } else {
                bytes.extend(i32::try_from(*time).unwrap().to_be_bytes());
            }
            bytes.extend(correction.to_be_bytes());
        }
        bytes.extend([7; 2]);
        bytes
    }

    const RIGHT: &[(i64, i32)] = &[(78_796_800, 1), (94_694_401, 2)];

    #[test]
    fn time_zones_of_every_version_are_read() {
        let old = part(0, RIGHT, false);
        let new = [part(b'2', &[], false), part(b'2', RIGHT, true)].concat();
        let leaps = LeapSeconds::from_time_zone(&old).unwrap();
        assert_eq!(LeapSeconds::from_time_zone(&new).as_ref(), Ok(&leaps));
        let from_list = LeapSeconds::from_list(LIST).unwrap();
        assert_eq!(leaps.steps(), from_list.steps());
        assert_eq!(leaps.expires_unix_s(), None);
        let expiring = [RIGHT, &[(99_999_999, 2)]].concat();
        let newest = [part(b'4', &[], false), part(b'4', &expiring, true)].concat();
        let leaps = LeapSeconds::from_time_zone(&newest).unwrap();
        assert_eq!(leaps.expires_unix_s(), Some(99_999_997));
        assert_eq!(leaps.steps(), from_list.steps());
    }

    #[test]
    fn a_file_that_cannot_be_used_says_why() {
        let new = [part(b'2', &[], false), part(b'2', RIGHT, true)].concat();
        let without = [part(b'2', &[], false), part(b'2', &[], true)].concat();
        for (bytes, error) in [
            (&b"TZif"[..], LeapSecondsError::NotTimeZone),
            (&[0; 100], LeapSecondsError::NotTimeZone),
            (&new[..60], LeapSecondsError::Truncated),
            (&new[..new.len() - 10], LeapSecondsError::Truncated),
            (&without, LeapSecondsError::Empty),
            (&part(0, &[(5, 1), (4, 2)], false), LeapSecondsError::Order),
            (&part(0, &[(5, i32::MAX)], false), LeapSecondsError::Order),
        ] {
            assert_eq!(LeapSeconds::from_time_zone(bytes), Err(error));
        }
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "the files of the system are what is tested"
    )]
    fn the_files_of_the_system_agree() {
        let list = std::fs::read_to_string("/usr/share/zoneinfo/leap-seconds.list").unwrap();
        let zone = std::fs::read("/usr/share/zoneinfo/right/UTC").unwrap();
        let list = LeapSeconds::from_list(&list).unwrap();
        let zone = LeapSeconds::from_time_zone(&zone).unwrap();
        assert_eq!(list.steps(), zone.steps());
        // 2017-01-01.
        assert_eq!(zone.tai_offset_s(1_483_228_800), Some(37));
        assert_eq!(zone.change_at(1_483_228_800), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(mut bytes in prop::collection::vec(any::<u8>(), 0..300), version in "[\\x002-4]") {
            let _ = LeapSeconds::from_list(&String::from_utf8_lossy(&bytes));
            let _ = LeapSeconds::from_time_zone(&bytes);
            let mut magic = b"TZif".to_vec();
            magic.extend(version.bytes());
            magic.append(&mut bytes);
            let _ = LeapSeconds::from_time_zone(&magic);
        }

        #[test]
        fn any_leap_seconds_are_read(leaps in prop::collection::vec(any::<(i64, i32)>(), 0..5)) {
            let _ = LeapSeconds::from_time_zone(&[part(b'2', &[], false), part(b'2', &leaps, true)].concat());
        }
    }
}
