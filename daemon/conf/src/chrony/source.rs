//! One time source: a `server`, `pool` or `peer` line.

use std::fmt;
use std::str::FromStr;

use super::host_name::{HostName, HostNameError};
use super::numbers::integer;
use super::options::{
    EXTENSION_FIELDS, Outside, RawOption, RawOptionError, SourceOption, SourceOptions, Value, find,
};
use super::words::words;

/// Describes one time source, as a `server`, `pool` or `peer` directive does.
///
/// A value of this type always renders to exactly one line of less than 2047 bytes that parses
/// to the same value: its name is a [`HostName`], its options are in range. Displays as that line.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    kind: SourceKind,
    name: HostName,
    options: SourceOptions,
}

/// Says what kind of source it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// One server, asked in client mode.
    Server,
    /// A name with many servers, of which several are used.
    Pool,
    /// A symmetric peer.
    Peer,
}

/// Says why a line is no [`Source`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The line does not start with `server`, `pool` or `peer`.
    #[error("a time source is a server, pool or peer")]
    NotASource,
    /// The line ends where the name should be.
    #[error("the name of the time source is missing")]
    MissingName,
    /// The name cannot be that of a time source.
    #[error("{0}")]
    Name(#[from] HostNameError),
    /// The line ends where the value of an option should be.
    #[error("option {option} has no value")]
    MissingValue {
        /// The option.
        option: &'static str,
    },
    /// The value of an option cannot be read.
    #[error("option {option} cannot have the value {value}")]
    InvalidValue {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
    },
    /// The value of an option is not in its range.
    #[error("option {option} has a value out of the range {range}")]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// The range, as `min to max`.
        range: String,
    },
    /// An option has no effect on this kind of source.
    #[error("option {option} has no effect on a peer")]
    NoEffect {
        /// The option.
        option: &'static str,
    },
    /// A word is neither an option nor can it be one of a later release.
    #[error("unknown option {word}")]
    UnknownOption {
        /// The word.
        word: String,
        /// Why it cannot be kept; `None` if it can.
        reason: Option<RawOptionError>,
    },
    /// There are more words of unknown options than are kept.
    #[error("too many unknown options")]
    TooManyUnknownOptions,
    /// An extension field is given twice.
    #[error("an extension field is given twice")]
    RepeatedExtensionField,
}

impl SourceKind {
    /// Returns the directive.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Pool => "pool",
            Self::Peer => "peer",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Server, Self::Pool, Self::Peer]
            .into_iter()
            .find(|kind| kind.word().eq_ignore_ascii_case(word))
    }
}

impl Source {
    /// Returns the source if its options are in range and have an effect on its kind.
    pub fn new(kind: SourceKind, name: HostName, options: SourceOptions) -> Result<Self, SourceError> {
        if let Some((option, range)) = options.first_out_of_range() {
            return Err(SourceError::OutOfRange {
                option,
                range: range.to_string(),
            });
        }
        if kind == SourceKind::Peer
            && let Some(option) = options.first_without_effect_on_peers()
        {
            return Err(SourceError::NoEffect { option });
        }
        for (at, field) in options.extfield.iter().enumerate() {
            if !EXTENSION_FIELDS.contains(field) {
                return Err(SourceError::InvalidValue {
                    option: "extfield",
                    value: format!("{field:X}"),
                });
            }
            if options.extfield.get(..at).unwrap_or_default().contains(field) {
                return Err(SourceError::RepeatedExtensionField);
            }
        }
        if options.other.len() > SourceOptions::OTHER_MAX {
            return Err(SourceError::TooManyUnknownOptions);
        }
        Ok(Self { kind, name, options })
    }

    /// Returns what kind of source it is.
    pub const fn kind(&self) -> SourceKind {
        self.kind
    }

    /// Returns its name.
    pub const fn name(&self) -> &HostName {
        &self.name
    }

    /// Returns its options.
    pub const fn options(&self) -> &SourceOptions {
        &self.options
    }

    /// Returns the line that configures it, without a line end.
    ///
    /// Options come in a fixed order, so equal sources have equal lines.
    pub fn render(&self) -> String {
        let mut line = format!("{} {}", self.kind.word(), self.name);
        self.options.render(&mut line);
        line
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render())
    }
}

/// Parses one line strictly: a value out of range is an error even where a daemon would take
/// another one instead. Words of unknown options are kept.
impl FromStr for Source {
    type Err = SourceError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words = words(line).into_iter().map(|word| word.text).collect::<Vec<_>>();
        let (source, issues) = read(&words);
        let mut errors = issues.into_iter().filter(|issue| issue.verdict != Verdict::Kept);
        match (errors.next(), source) {
            (Some(issue), _) => Err(issue.error),
            (None, Some(source)) => Ok(source),
            // Without a source there is an issue that says why.
            (None, None) => Err(SourceError::NotASource),
        }
    }
}

/// Something about a line that is not as it should be.
#[derive(Debug)]
pub(super) struct Issue {
    /// The word it is about, counted from 0; may be one beyond the last.
    pub(super) word: usize,
    pub(super) error: SourceError,
    pub(super) verdict: Verdict,
}

/// What becomes of a line with an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The daemon does not take the line.
    Refused,
    /// The daemon takes the line, with another value or without effect.
    Tolerated,
    /// A daemon of the releases known here does not take the line; a later one may.
    Kept,
}

/// Reads a line as a daemon does: with all its issues, and with the value that the daemon takes
/// instead of one out of range. There is a source unless an issue is [`Verdict::Refused`].
pub(super) fn read(words: &[&str]) -> (Option<Source>, Vec<Issue>) {
    let refused = |word, error| {
        (
            None,
            vec![Issue {
                word,
                error,
                verdict: Verdict::Refused,
            }],
        )
    };
    let Some(kind) = words.first().and_then(|word| SourceKind::from_word(word)) else {
        return refused(0, SourceError::NotASource);
    };
    let name = match words.get(1).map(|name| HostName::new(*name)) {
        None => return refused(1, SourceError::MissingName),
        Some(Err(error)) => return refused(1, error.into()),
        Some(Ok(name)) => name,
    };
    let mut line = Line {
        words,
        at: 2,
        kind,
        options: SourceOptions::default(),
        issues: Vec::new(),
    };
    while line.at < words.len() {
        line.read_option();
    }
    let Line {
        options, mut issues, ..
    } = line;
    if issues.iter().any(|issue| issue.verdict == Verdict::Refused) {
        return (None, issues);
    }
    match Source::new(kind, name, options) {
        Ok(source) => (Some(source), issues),
        Err(error) => {
            issues.push(Issue {
                word: 0,
                error,
                verdict: Verdict::Refused,
            });
            (None, issues)
        }
    }
}

/// A line whose options are being read.
struct Line<'a> {
    words: &'a [&'a str],
    at: usize,
    kind: SourceKind,
    options: SourceOptions,
    issues: Vec<Issue>,
}

impl Line<'_> {
    fn read_option(&mut self) {
        let Some(word) = self.words.get(self.at) else {
            return;
        };
        let Some(option) = find(word) else {
            self.keep_unknown(word);
            self.at += 1;
            return;
        };
        let has_effect = option.for_peers || self.kind != SourceKind::Peer;
        if !has_effect {
            self.issue(SourceError::NoEffect { option: option.word }, Verdict::Tolerated);
        }
        self.at += 1;
        if let Value::Flag { set, .. } = option.value {
            if has_effect {
                set(&mut self.options);
            }
            return;
        }
        let Some(value) = self.words.get(self.at) else {
            self.issue(
                SourceError::MissingValue { option: option.word },
                Verdict::Refused,
            );
            return;
        };
        let options_before = (!has_effect).then(|| self.options.clone());
        let is_valid = self.read_value(option, value);
        if let Some(options) = options_before {
            self.options = options;
        }
        if !is_valid {
            let error = SourceError::InvalidValue {
                option: option.word,
                value: (*value).to_owned(),
            };
            self.issue(error, Verdict::Refused);
        }
        self.at += 1;
    }

    /// Takes the value of an option; reports whether it could be read at all.
    fn read_value(&mut self, option: &SourceOption, text: &str) -> bool {
        match option.value {
            Value::Flag { .. } => true,
            Value::Integer {
                min,
                max,
                below,
                above,
                set,
                ..
            } => {
                let Some(value) = integer(text) else { return false };
                if (min..=max).contains(&value) {
                    set(&mut self.options, value);
                    return true;
                }
                let (outside, bound) = if value < min { (below, min) } else { (above, max) };
                self.out_of_range(option, outside);
                if outside == Outside::Clamped {
                    set(&mut self.options, bound);
                }
                true
            }
            Value::Number { taken, set, .. } => {
                let Ok(value) = text.parse::<f64>() else {
                    return false;
                };
                if option.is_out_of_range(value) {
                    self.out_of_range(option, Outside::Clamped);
                }
                set(&mut self.options, taken(value));
                true
            }
            Value::ExtensionField => {
                let field = u16::from_str_radix(text, 16)
                    .ok()
                    .filter(|field| EXTENSION_FIELDS.contains(field));
                let Some(field) = field else { return false };
                if !self.options.extfield.contains(&field) {
                    self.options.extfield.push(field);
                }
                true
            }
        }
    }

    fn out_of_range(&mut self, option: &SourceOption, outside: Outside) {
        let range = option.range().map(|range| range.to_string()).unwrap_or_default();
        let verdict = match outside {
            Outside::Refused => Verdict::Refused,
            Outside::Clamped | Outside::Default => Verdict::Tolerated,
        };
        self.issue(
            SourceError::OutOfRange {
                option: option.word,
                range,
            },
            verdict,
        );
    }

    fn keep_unknown(&mut self, word: &str) {
        let reason = match RawOption::new(word) {
            Ok(_) if self.options.other.len() >= SourceOptions::OTHER_MAX => {
                self.issue(SourceError::TooManyUnknownOptions, Verdict::Refused);
                return;
            }
            Ok(raw) => {
                self.options.other.push(raw);
                None
            }
            Err(error) => Some(error),
        };
        let verdict = if reason.is_some() {
            Verdict::Refused
        } else {
            Verdict::Kept
        };
        self.issue(
            SourceError::UnknownOption {
                word: word.to_owned(),
                reason,
            },
            verdict,
        );
    }

    fn issue(&mut self, error: SourceError, verdict: Verdict) {
        self.issues.push(Issue {
            word: self.at,
            error,
            verdict,
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    use super::*;

    #[test]
    fn lines_parse_and_render_in_a_fixed_order() {
        for (line, rendered) in [
            ("server a", "server a"),
            ("  POOL\tb  IBURST ", "pool b iburst"),
            (
                "server 192.0.2.1 maxpoll 4 minpoll +4 prefer",
                "server 192.0.2.1 prefer minpoll 4 maxpoll 4",
            ),
            (
                "peer ::1 key 7 offset 1e-3 maxdelay 0.5",
                "peer ::1 key 7 maxdelay 0.5 offset 0.001",
            ),
            (
                "server a extfield f323 extfield 10A",
                "server a extfield F323 extfield 10A",
            ),
            ("server a later 3 nts", "server a nts later 3"),
            ("server a offset 1e-9", "server a offset 1e-9"),
            ("server a minpoll 3 minpoll 4", "server a minpoll 4"),
        ] {
            let source = line.parse::<Source>().unwrap();
            assert_eq!(source.render(), rendered);
            assert_eq!(rendered.parse::<Source>().as_ref(), Ok(&source));
        }
    }

    #[test]
    fn lines_that_are_no_source_say_why() {
        for (line, message) in [
            ("", "a time source is a server, pool or peer"),
            ("servers a", "a time source is a server, pool or peer"),
            ("server", "the name of the time source is missing"),
            ("server #a", "the name of a time source cannot have '#'"),
            ("server a minpoll", "option minpoll has no value"),
            ("server a minpoll x", "option minpoll cannot have the value x"),
            ("server a minpoll 3.5", "option minpoll cannot have the value 3.5"),
            (
                "server a minpoll 25",
                "option minpoll has a value out of the range -7 to 24",
            ),
            (
                "server a key 0",
                "option key has a value out of the range 1 to 4294967295",
            ),
            (
                "server a port 65536",
                "option port has a value out of the range 0 to 65535",
            ),
            (
                "server a maxdelay nan",
                "option maxdelay has a value out of the range 0 to 1000",
            ),
            (
                "server a maxdelay inf",
                "option maxdelay has a value out of the range 0 to 1000",
            ),
            ("server a extfield 1", "option extfield cannot have the value 1"),
            ("server a minpoll 3 # why", "unknown option #"),
            ("peer a iburst", "option iburst has no effect on a peer"),
        ] {
            assert_eq!(
                line.parse::<Source>().unwrap_err().to_string(),
                message,
                "{line:?}"
            );
        }
    }

    #[test]
    fn values_out_of_range_become_what_the_daemon_takes() {
        let read = |line: &str| {
            let words = line.split(' ').collect::<Vec<_>>();
            let (source, issues) = read(&words);
            (source.unwrap().render(), issues.len())
        };
        assert_eq!(
            read("server a minpoll 30 maxpoll -9"),
            ("server a minpoll 24".to_owned(), 2)
        );
        assert_eq!(
            read("pool a maxsources 99"),
            ("pool a maxsources 16".to_owned(), 1)
        );
        assert_eq!(
            read("server a maxdelay 5000"),
            ("server a maxdelay 1000.0".to_owned(), 1)
        );
        assert_eq!(
            read("server a port 99999999999999999999"),
            ("server a".to_owned(), 1)
        );
    }

    fn source() -> impl Strategy<Value = Source> {
        let flags = subsequence(
            vec![
                "iburst", "burst", "nts", "prefer", "noselect", "trust", "require", "xleave", "offline",
            ],
            0..9,
        );
        let polls = (
            option::of(-7i8..=24),
            option::of(-7i8..=24),
            option::of(-7i8..=100),
        );
        let ports = (
            option::of(any::<u16>()),
            option::of(any::<u16>()),
            option::of(1u32..),
        );
        let small = (option::of(1u8..=4), option::of(1u8..=16), option::of(0u8..=15));
        let counts = prop::array::uniform4(option::of(1u32..=i32::MAX.unsigned_abs()));
        let numbers = (
            option::of(0.0..=1000.0),
            option::of(-0.5..=0.5),
            option::of(-1e9..=1e9),
            option::of(-1e-9..1e-9),
        );
        let fields = subsequence(EXTENSION_FIELDS.to_vec(), 0..=3);
        let other = prop::collection::vec("[a-z0-9][!-~]{0,31}", 0..=SourceOptions::OTHER_MAX);
        let kind = select(vec![SourceKind::Server, SourceKind::Pool, SourceKind::Peer]);
        let name = "[a-z0-9_:][a-zA-Z0-9._:%-]{0,252}";
        (
            (kind, name),
            flags,
            (polls, ports, small),
            (counts, numbers),
            (fields, other),
        )
            .prop_map(
                |((kind, name), flags, (polls, ports, small), (counts, numbers), (extfield, other))| {
                    let mut options = SourceOptions {
                        minpoll: polls.0,
                        maxpoll: polls.1,
                        presend: polls.2.filter(|_| kind != SourceKind::Peer),
                        port: ports.0,
                        ntsport: ports.1,
                        key: ports.2,
                        version: small.0,
                        maxsources: small.1,
                        minstratum: small.2,
                        polltarget: counts[0],
                        minsamples: counts[1],
                        maxsamples: counts[2],
                        filter: counts[3],
                        maxdelay: numbers.0,
                        asymmetry: numbers.1,
                        offset: numbers.2.or(numbers.3),
                        extfield,
                        other: other
                            .into_iter()
                            .filter_map(|word| RawOption::new(word).ok())
                            .collect(),
                        ..SourceOptions::default()
                    };
                    for flag in flags {
                        if kind == SourceKind::Peer && !find(flag).unwrap().for_peers {
                            continue;
                        }
                        if let Some(Value::Flag { set, .. }) = find(flag).map(|option| &option.value) {
                            set(&mut options);
                        }
                    }
                    Source::new(kind, HostName::new(name).unwrap(), options).unwrap()
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_rendered_parses_to_the_same(source in source()) {
            let line = source.render();
            prop_assert!(line.len() < 2047 && !line.contains('\n'));
            prop_assert_eq!(line.parse::<Source>(), Ok(source));
        }

        #[test]
        fn any_line_parses_or_says_why(line in "(server|pool|peer) [ -~\\n\u{80}-\u{ff}]{0,120}") {
            if let Ok(source) = line.parse::<Source>() {
                prop_assert_eq!(source.render().lines().count(), 1);
                prop_assert_eq!(source.render().parse::<Source>(), Ok(source));
            }
        }

        #[test]
        fn any_text_is_safe(line in any::<String>()) {
            let _ = line.parse::<Source>();
        }
    }
}
