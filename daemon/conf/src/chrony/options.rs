//! The options of a time source, as a table.

use std::fmt;
use std::fmt::Write as _;

/// Holds the options of a `server`, `pool` or `peer` directive, each under the directive's word
/// for it; what is not given is `None`, `false` or empty, and the daemon's default applies.
///
/// Ranges and defaults are those of chrony.conf(5), section "Time sources".
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceOptions {
    /// Starts with a burst of 4 to 8 requests.
    pub iburst: bool,
    /// Sends a burst of up to 4 requests on each poll until one is good.
    pub burst: bool,
    /// Authenticates with NTS (RFC 8915).
    pub nts: bool,
    /// Prefers the source over sources without this option.
    pub prefer: bool,
    /// Never selects the source.
    pub noselect: bool,
    /// Trusts the source to be right.
    pub trust: bool,
    /// Requires one of the sources with this option to be selectable.
    pub require: bool,
    /// Uses the interleaved mode.
    pub xleave: bool,
    /// Does not poll the source until told so.
    pub offline: bool,
    /// Stops polling the source when sending fails.
    pub auto_offline: bool,
    /// Takes over the reference id and stratum of the source.
    pub copy: bool,
    /// Uses only IPv4 addresses of the name; since chrony 4.6.
    pub ipv4: bool,
    /// Uses only IPv6 addresses of the name; since chrony 4.6.
    pub ipv6: bool,
    /// The minimum polling interval, log2 s, −7…24; default 6.
    pub minpoll: Option<i8>,
    /// The maximum polling interval, log2 s, −7…24; default 10.
    pub maxpoll: Option<i8>,
    /// The number of sources of a pool, 1…16; default 4.
    pub maxsources: Option<u8>,
    /// The symmetric key, 1…2^32−1.
    pub key: Option<u32>,
    /// The set of trusted certificates; default 0.
    pub certset: Option<u32>,
    /// The UDP port, 0…65535; default 123.
    pub port: Option<u16>,
    /// The TCP port of NTS key establishment, 0…65535; default 4460.
    pub ntsport: Option<u16>,
    /// The NTP version, 1…4; default automatic.
    pub version: Option<u8>,
    /// The polling interval from which an extra packet is sent first, log2 s, −7…100; default 100,
    /// which is never.
    pub presend: Option<i8>,
    /// The stratum the source has at least, 0…15; default 0.
    pub minstratum: Option<u8>,
    /// The number of samples that polling aims for, 1…2^31−1; default 8.
    pub polltarget: Option<u32>,
    /// The least number of samples kept, 0…2^31−1; default global.
    pub minsamples: Option<u32>,
    /// The largest number of samples kept, 0…2^31−1; default global.
    pub maxsamples: Option<u32>,
    /// The number of polls combined by the median filter, 0…2^31−1; default 0, which is off.
    pub filter: Option<u32>,
    /// How many polls an unreachable source may stay selected, 0…2^31−1; since chrony 4.8.
    pub maxunreach: Option<u32>,
    /// The largest acceptable delay, seconds, 0…1000; default 3.
    pub maxdelay: Option<f64>,
    /// The largest acceptable ratio of delay to minimum delay, 0…1e6; default 0, which is off.
    pub maxdelayratio: Option<f64>,
    /// The largest acceptable ratio of delay increase to deviation, 0…1e6; default 10.
    pub maxdelaydevratio: Option<f64>,
    /// The quantile of delay that is acceptable, 0.05…0.95; default off. Since chrony 4.3.
    pub maxdelayquant: Option<f64>,
    /// The minimum delay, seconds, 0…1000; default estimated.
    pub mindelay: Option<f64>,
    /// The asymmetry of the delay's jitter, −0.5…0.5; default estimated.
    pub asymmetry: Option<f64>,
    /// The correction added to measured offsets, seconds, −1e9…1e9; default 0.
    pub offset: Option<f64>,
    /// Extension fields sent, by type; each at most once.
    pub extfield: Vec<u16>,
    /// Options that chrony 4.8 does not have, word by word, at most [`SourceOptions::OTHER_MAX`].
    pub other: Vec<RawOption>,
}

/// Holds one word of an option that chrony 4.8 does not have, kept as it is.
///
/// 1…32 visible ASCII characters, the first of which does not start a comment, and not the word
/// of a known option.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawOption(String);

/// Says why a text is no [`RawOption`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RawOptionError {
    /// The word has no characters or more than 32.
    #[error("a word has 1 to 32 characters")]
    Length,
    /// The word has a blank, a control character, a character outside ASCII, or the start of a
    /// comment; carries the first such character.
    #[error("a word cannot have {0:?} there")]
    InvalidCharacter(char),
    /// The word names an option that has a field of its own.
    #[error("the option has a field of its own")]
    Known,
}

impl RawOption {
    /// The longest word, in bytes.
    pub const LENGTH_MAX: usize = 32;

    /// Returns the word if it can be that of an unknown option.
    pub fn new(word: impl Into<String>) -> Result<Self, RawOptionError> {
        let word = word.into();
        if word.is_empty() || word.len() > Self::LENGTH_MAX {
            return Err(RawOptionError::Length);
        }
        let starts_comment = |character: &char| "!;#%".contains(*character);
        let invalid = word.chars().find(|character| !character.is_ascii_graphic());
        if let Some(character) = invalid.or_else(|| word.chars().next().filter(starts_comment)) {
            return Err(RawOptionError::InvalidCharacter(character));
        }
        match find(&word) {
            Some(_) => Err(RawOptionError::Known),
            None => Ok(Self(word)),
        }
    }

    /// Returns the word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SourceOptions {
    /// The largest number of words of unknown options.
    pub const OTHER_MAX: usize = 16;

    /// Returns the oldest release of chrony that knows all of the options given, as far as that
    /// is newer than 4.2; older daemons skip or refuse the whole line.
    pub fn needs_release(&self) -> Option<(u8, u8)> {
        OPTIONS
            .iter()
            .filter(|option| option.is_given(self))
            .filter_map(|option| option.since)
            .max()
    }

    /// Returns the first option whose value is out of its range, with that range.
    pub(super) fn first_out_of_range(&self) -> Option<(&'static str, Range)> {
        OPTIONS.iter().find_map(|option| {
            let range = option.range()?;
            let fits = match &option.value {
                Value::Integer { get, .. } => get(self).is_none_or(|value| range.has_integer(value)),
                Value::Number { get, .. } => get(self).is_none_or(|value| range.has_number(value)),
                Value::Flag { .. } | Value::ExtensionField => true,
            };
            (!fits).then_some((option.word, range))
        })
    }

    /// Returns the first option given that has no effect on a peer.
    pub(super) fn first_without_effect_on_peers(&self) -> Option<&'static str> {
        let option = OPTIONS
            .iter()
            .find(|option| !option.for_peers && option.is_given(self));
        option.map(|option| option.word)
    }

    /// Appends each option given, in the order of the table.
    pub(super) fn render(&self, line: &mut String) {
        for option in OPTIONS {
            // Writing to a string cannot fail.
            let _ = match &option.value {
                Value::Flag { get, .. } => {
                    if get(self) {
                        write!(line, " {}", option.word)
                    } else {
                        Ok(())
                    }
                }
                Value::Integer { get, .. } => match get(self) {
                    Some(value) => write!(line, " {} {value}", option.word),
                    None => Ok(()),
                },
                // The debug form has an exponent when that is shorter, and is exact.
                Value::Number { get, .. } => match get(self) {
                    Some(value) => write!(line, " {} {value:?}", option.word),
                    None => Ok(()),
                },
                Value::ExtensionField => self
                    .extfield
                    .iter()
                    .try_for_each(|field| write!(line, " {} {field:X}", option.word)),
            };
        }
        for word in &self.other {
            line.push(' ');
            line.push_str(word.as_str());
        }
    }
}

/// One row of the table of options.
pub(super) struct SourceOption {
    /// The word, in lower case.
    pub(super) word: &'static str,
    /// The first release that knows it, if later than 4.2.
    pub(super) since: Option<(u8, u8)>,
    /// Whether it has an effect in `peer`.
    pub(super) for_peers: bool,
    pub(super) value: Value,
}

/// What follows an option's word, and where it is kept.
pub(super) enum Value {
    Flag {
        get: fn(&SourceOptions) -> bool,
        set: fn(&mut SourceOptions),
    },
    Integer {
        min: i64,
        max: i64,
        below: Outside,
        above: Outside,
        get: fn(&SourceOptions) -> Option<i64>,
        set: fn(&mut SourceOptions, i64),
    },
    Number {
        min: f64,
        max: f64,
        /// What the daemon makes of it; `None`: as if it was not given.
        taken: fn(f64) -> Option<f64>,
        get: fn(&SourceOptions) -> Option<f64>,
        set: fn(&mut SourceOptions, Option<f64>),
    },
    ExtensionField,
}

/// What the daemon makes of an integer out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// It takes the nearest value in range.
    Clamped,
    /// It takes its default.
    Default,
    /// It does not start.
    Refused,
}

/// The values an option takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    min: f64,
    max: f64,
}

impl Range {
    fn has_integer(self, value: i64) -> bool {
        // Integers of options have at most 33 bits with their sign.
        i32::try_from(value)
            .map(f64::from)
            .or_else(|_| u32::try_from(value).map(f64::from))
            .is_ok_and(|value| self.has_number(value))
    }

    fn has_number(self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} to {}", self.min, self.max)
    }
}

impl SourceOption {
    pub(super) fn range(&self) -> Option<Range> {
        match self.value {
            Value::Flag { .. } | Value::ExtensionField => None,
            // Bounds of options are exact in a double.
            Value::Integer { min, max, .. } => Some(Range {
                min: exact(min),
                max: exact(max),
            }),
            Value::Number { min, max, .. } => Some(Range { min, max }),
        }
    }

    /// Whether it does not take this number as it is. 0 stands for none where that is out of the range.
    pub(super) fn is_out_of_range(&self, value: f64) -> bool {
        let Value::Number { min, max, taken, .. } = self.value else {
            return false;
        };
        let is_none = value == 0.0 && taken(value).is_none();
        !(min..=max).contains(&value) && !is_none
    }

    fn is_given(&self, options: &SourceOptions) -> bool {
        match self.value {
            Value::Flag { get, .. } => get(options),
            Value::Integer { get, .. } => get(options).is_some(),
            Value::Number { get, .. } => get(options).is_some(),
            Value::ExtensionField => !options.extfield.is_empty(),
        }
    }
}

fn exact(bound: i64) -> f64 {
    i32::try_from(bound)
        .map(f64::from)
        .or_else(|_| u32::try_from(bound).map(f64::from))
        .unwrap_or(f64::NAN)
}

/// Returns the option with this word; letter case does not matter.
pub(super) fn find(word: &str) -> Option<&'static SourceOption> {
    OPTIONS
        .iter()
        .find(|option| option.word.eq_ignore_ascii_case(word))
}

/// The extension fields that chrony knows: monotonic root, and network correction twice.
pub(super) const EXTENSION_FIELDS: [u16; 3] = [0xf323, 0x10a, 0xf324];

const I32_MAX: i64 = i32::MAX as i64;

macro_rules! flag {
    ($field:ident, $word:literal, $since:expr, $for_peers:literal) => {
        SourceOption {
            word: $word,
            since: $since,
            for_peers: $for_peers,
            value: Value::Flag {
                get: |options| options.$field,
                set: |options| options.$field = true,
            },
        }
    };
}

macro_rules! integer {
    ($field:ident, $type:ty, $min:expr, $max:expr, $below:ident, $above:ident, $since:expr, $for_peers:literal) => {
        SourceOption {
            word: stringify!($field),
            since: $since,
            for_peers: $for_peers,
            value: Value::Integer {
                min: $min,
                max: $max,
                below: Outside::$below,
                above: Outside::$above,
                get: |options| options.$field.map(i64::from),
                set: |options, value| options.$field = <$type>::try_from(value).ok(),
            },
        }
    };
}

macro_rules! number {
    ($field:ident, $min:expr, $max:expr, $taken:ident, $since:expr) => {
        SourceOption {
            word: stringify!($field),
            since: $since,
            for_peers: true,
            value: Value::Number {
                min: $min,
                max: $max,
                taken: |value| $taken(value, $min, $max),
                get: |options| options.$field,
                set: |options, value| options.$field = value,
            },
        }
    };
}

/// The nearest number in range.
fn nearest(value: f64, min: f64, max: f64) -> Option<f64> {
    (!value.is_nan()).then(|| value.clamp(min, max))
}

/// The same of a number above 0; any other stands for none.
fn nearest_above_0(value: f64, min: f64, max: f64) -> Option<f64> {
    nearest(value, min, max).filter(|_| value > 0.0)
}

/// A number in range; any other stands for none.
fn within(value: f64, min: f64, max: f64) -> Option<f64> {
    (min..=max).contains(&value).then_some(value)
}

/// Every option of chrony 4.8, in the order in which they are written.
pub(super) const OPTIONS: &[SourceOption] = &[
    flag!(iburst, "iburst", None, false),
    flag!(burst, "burst", None, false),
    flag!(nts, "nts", None, false),
    flag!(prefer, "prefer", None, true),
    flag!(noselect, "noselect", None, true),
    flag!(trust, "trust", None, true),
    flag!(require, "require", None, true),
    flag!(xleave, "xleave", None, true),
    flag!(offline, "offline", None, true),
    flag!(auto_offline, "auto_offline", None, true),
    flag!(copy, "copy", None, false),
    flag!(ipv4, "ipv4", Some((4, 6)), true),
    flag!(ipv6, "ipv6", Some((4, 6)), true),
    integer!(minpoll, i8, -7, 24, Default, Clamped, None, true),
    integer!(maxpoll, i8, -7, 24, Default, Clamped, None, true),
    integer!(maxsources, u8, 1, 16, Clamped, Clamped, None, true),
    integer!(key, u32, 1, 0xffff_ffff, Refused, Refused, None, true),
    integer!(certset, u32, 0, 0xffff_ffff, Default, Default, None, true),
    integer!(port, u16, 0, 65_535, Default, Default, None, true),
    integer!(ntsport, u16, 0, 65_535, Default, Default, None, true),
    integer!(version, u8, 1, 4, Default, Default, None, true),
    integer!(presend, i8, -7, 100, Default, Default, None, false),
    integer!(minstratum, u8, 0, 15, Default, Clamped, None, true),
    integer!(polltarget, u32, 1, I32_MAX, Default, Default, None, true),
    integer!(minsamples, u32, 0, I32_MAX, Default, Default, None, true),
    integer!(maxsamples, u32, 0, I32_MAX, Default, Default, None, true),
    integer!(filter, u32, 0, I32_MAX, Default, Default, None, true),
    integer!(maxunreach, u32, 0, I32_MAX, Default, Default, Some((4, 8)), true),
    number!(maxdelay, 0.0, 1000.0, nearest, None),
    number!(maxdelayratio, 0.0, 1e6, nearest, None),
    number!(maxdelaydevratio, 0.0, 1e6, nearest, None),
    number!(maxdelayquant, 0.05, 0.95, nearest_above_0, Some((4, 3))),
    number!(mindelay, 0.0, 1000.0, nearest_above_0, None),
    number!(asymmetry, -0.5, 0.5, within, None),
    number!(offset, -1e9, 1e9, nearest, None),
    SourceOption {
        word: "extfield",
        since: None,
        for_peers: true,
        value: Value::ExtensionField,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_options_stay_one_unknown_word() {
        assert_eq!(RawOption::new("foo").unwrap().as_str(), "foo");
        assert_eq!(RawOption::new("IBurst"), Err(RawOptionError::Known));
        assert_eq!(RawOption::new(""), Err(RawOptionError::Length));
        assert_eq!(RawOption::new("a".repeat(33)), Err(RawOptionError::Length));
        for word in ["a b", "a\n", "#a", "é"] {
            assert!(
                matches!(RawOption::new(word), Err(RawOptionError::InvalidCharacter(_))),
                "{word:?}"
            );
        }
    }

    #[test]
    fn options_name_the_release_they_need() {
        assert_eq!(
            SourceOptions {
                iburst: true,
                ..Default::default()
            }
            .needs_release(),
            None
        );
        let options = SourceOptions {
            ipv4: true,
            maxdelayquant: Some(0.5),
            ..Default::default()
        };
        assert_eq!(options.needs_release(), Some((4, 6)));
    }

    #[test]
    fn ranges_are_exact() {
        for option in OPTIONS {
            if let Some(range) = option.range() {
                assert!(range.min < range.max, "{}", option.word);
            }
        }
        let options = SourceOptions {
            key: Some(0),
            ..Default::default()
        };
        assert_eq!(
            options.first_out_of_range().unwrap().1.to_string(),
            "1 to 4294967295"
        );
        let options = SourceOptions {
            maxdelay: Some(f64::NAN),
            ..Default::default()
        };
        assert_eq!(options.first_out_of_range().unwrap().0, "maxdelay");
    }
}
