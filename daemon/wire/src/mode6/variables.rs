//! Variables as text: `name=value` pairs, as ntpd writes and `ntpq` reads them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use units::NtpTimestamp;

/// The longest name in a request, in bytes, with the value that some clients send along.
const NAME_LENGTH_MAX: usize = 127;

/// The length that a line stays below, in characters.
const LINE_LENGTH: usize = 72;

/// A value, by how it is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text in double quotes. What would end it early is written as `.`.
    Text(String),
    /// A word without quotes: reference ids, lists of flags.
    Word(String),
    /// An address without port.
    Address(IpAddr),
    /// An address with port, in double quotes.
    Endpoint(SocketAddr),
    /// A number.
    Unsigned(u64),
    /// A number with sign.
    Signed(i64),
    /// A number in hexadecimal digits after `0x`.
    Hex(u32),
    /// Seconds and fraction in the era, in hexadecimal digits.
    Timestamp(NtpTimestamp),
    /// A number with 3 digits behind the point; units are those of the variable.
    Fixed3(f64),
    /// A number with 6 digits behind the point; units are those of the variable.
    Fixed6(f64),
    /// The last eight values, newest first, milliseconds.
    Filter([f64; 8]),
}

impl Value {
    /// Whether the text is one that a reader takes for the end of the value.
    fn is_plain(character: char) -> bool {
        character.is_ascii_graphic() && !matches!(character, '"' | ',' | '=') || character == ' '
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not a number and without end are no values to any reader.
        let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
        match self {
            Self::Text(text) => {
                let printable = |character: char| match character {
                    ',' | '=' => character,
                    _ if Self::is_plain(character) => character,
                    _ => '.',
                };
                write!(
                    formatter,
                    "\"{}\"",
                    text.chars().map(printable).collect::<String>()
                )
            }
            Self::Word(word) => {
                let plain = |character: char| if Self::is_plain(character) { character } else { '.' };
                formatter.write_str(&word.chars().map(plain).collect::<String>())
            }
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Endpoint(endpoint) => write!(formatter, "\"{endpoint}\""),
            Self::Unsigned(number) => write!(formatter, "{number}"),
            Self::Signed(number) => write!(formatter, "{number}"),
            Self::Hex(number) => write!(formatter, "{number:#x}"),
            Self::Timestamp(time) => {
                let bits = time.to_bits();
                write!(formatter, "{:#010x}.{:08x}", bits >> 32, bits & 0xffff_ffff)
            }
            Self::Fixed3(number) => write!(formatter, "{:.3}", finite(*number)),
            Self::Fixed6(number) => write!(formatter, "{:.6}", finite(*number)),
            Self::Filter(values) => values
                .iter()
                .try_for_each(|&value| write!(formatter, " {:.2}", finite(value))),
        }
    }
}

/// One variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Whether it is told to those who ask for no names.
    pub listed: bool,
}

impl Variable {
    /// Returns a variable that is told to everybody who may ask.
    #[must_use]
    pub fn new(name: &str, value: Value) -> Self {
        Self {
            name: name.to_owned(),
            value,
            listed: true,
        }
    }

    /// Returns a variable that is told to those who ask for it by name.
    #[must_use]
    pub fn unlisted(name: &str, value: Value) -> Self {
        Self {
            listed: false,
            ..Self::new(name, value)
        }
    }

    /// Writes those of `variables` that are asked for, in their own order: with `asked` empty the listed ones.
    ///
    /// # Errors
    /// [`NameError::Unknown`] if a name has no variable; then nothing is answered.
    pub fn write(variables: &[Self], asked: &[&str]) -> Result<Vec<u8>, NameError> {
        let known = |name: &str| variables.iter().any(|variable| variable.name == name);
        if !asked.iter().all(|name| known(name)) {
            return Err(NameError::Unknown);
        }
        let mut text = String::new();
        let mut line_length = 0;
        for variable in variables {
            let wanted = match asked {
                [] => variable.listed,
                asked => asked.contains(&&*variable.name),
            };
            if !wanted {
                continue;
            }
            let item = format!("{}={}", variable.name, variable.value);
            if !text.is_empty() {
                text.push(',');
                line_length += 1;
                if item.len() + line_length + 1 >= LINE_LENGTH {
                    text.push_str("\r\n");
                    line_length = 0;
                } else {
                    text.push(' ');
                    line_length += 1;
                }
            }
            line_length += item.len();
            text.push_str(&item);
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        Ok(text.into_bytes())
    }
}

/// Why names in a request are not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no variable with this name.
    #[error("there is no such variable")]
    Unknown,
    /// A name is longer than any.
    #[error("the name is too long")]
    TooLong,
}

/// Returns the names that a request asks for, each once, in the order in which they come; values that are sent along
/// are passed over.
///
/// # Errors
/// [`NameError`] for what cannot be a name.
pub fn names(data: &[u8]) -> Result<Vec<&str>, NameError> {
    let mut names: Vec<&str> = Vec::new();
    for item in data.split(|&byte| byte == b',') {
        if item.len() > NAME_LENGTH_MAX {
            return Err(NameError::TooLong);
        }
        let item = std::str::from_utf8(item).map_err(|_| NameError::Unknown)?;
        let name = item.split('=').next().unwrap_or(item);
        let name = name.trim_matches(|character: char| character.is_ascii_whitespace() || character == '\0');
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The variables in an answer, one after another: name, and value without quotes. A name alone has an empty value.
#[derive(Debug, Clone)]
pub struct Variables<'a> {
    rest: &'a str,
}

impl<'a> Variables<'a> {
    /// Begins to read; what is no text is left out from the first such byte on.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        let rest = match std::str::from_utf8(data) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&data[..error.valid_up_to()]).unwrap_or_default(),
        };
        Self { rest }
    }

    /// Returns the value of the variable with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.clone()
            .find(|&(found, _)| found == name)
            .map(|(_, value)| value)
    }
}

impl<'a> Iterator for Variables<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let mut quoted = false;
            let end = self.rest.find(|character| {
                quoted ^= character == '"';
                character == ',' && !quoted
            });
            let (item, rest) = match end {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, ""),
            };
            self.rest = rest;
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let trim = |text: &'a str| {
                text.trim_matches(|character: char| character.is_ascii_whitespace() || character == '\0')
            };
            let name = trim(name);
            if !name.is_empty() {
                return Some((name, trim(value).trim_matches('"')));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_readers_expect_them() {
        for (value, text) in [
            (
                Value::Text("timeballd \"1\"\n, =".to_owned()),
                "\"timeballd .1.., =\"",
            ),
            (Value::Word("A,B=\u{e9}".to_owned()), "A.B.."),
            (
                Value::Endpoint("[2001:db8::1]:123".parse().unwrap()),
                "\"[2001:db8::1]:123\"",
            ),
            (Value::Address("192.0.2.1".parse().unwrap()), "192.0.2.1"),
            (Value::Hex(0x7f), "0x7f"),
            (
                Value::Timestamp(NtpTimestamp::from_parts(0xeaa9_8b76, 0x38)),
                "0xeaa98b76.00000038",
            ),
            (Value::Timestamp(NtpTimestamp::ZERO), "0x00000000.00000000"),
            (Value::Fixed3(f64::NAN), "0.000"),
            (Value::Fixed6(-0.000_225), "-0.000225"),
            (
                Value::Filter([0.04, 0.0, -1.5, 0.0, 0.0, 0.0, 0.0, f64::INFINITY]),
                " 0.04 0.00 -1.50 0.00 0.00 0.00 0.00 0.00",
            ),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }

    #[test]
    fn names_are_taken_tolerantly() {
        assert_eq!(names(b"stratum,offset").unwrap(), ["stratum", "offset"]);
        assert_eq!(
            names(b" stratum = 3 ,, offset\r\n,stratum\0").unwrap(),
            ["stratum", "offset"]
        );
        assert!(names(b"").unwrap().is_empty() && names(b",, ,").unwrap().is_empty());
        assert_eq!(names(&[b'a'; 128]), Err(NameError::TooLong));
        assert_eq!(names(b"\xff"), Err(NameError::Unknown));
    }

    #[test]
    fn unknown_names_are_refused_as_a_whole() {
        let variables = [
            Variable::new("leap", Value::Unsigned(0)),
            Variable::unlisted("peeradr", Value::Word("x".to_owned())),
        ];
        assert_eq!(Variable::write(&variables, &[]).unwrap(), b"leap=0\r\n");
        assert_eq!(
            Variable::write(&variables, &["peeradr"]).unwrap(),
            b"peeradr=x\r\n"
        );
        assert_eq!(
            Variable::write(&variables, &["leap", "no"]),
            Err(NameError::Unknown)
        );
        assert_eq!(Variable::write(&[], &[]).unwrap(), b"");
    }

    #[test]
    fn commas_in_quotes_do_not_end_a_value() {
        let text = b"version=\"ntpd 4.2.8, of today\", filtdelay= 0.04 0.05,\r\nflag, leap=0\r\n\0";
        let read: Vec<_> = Variables::new(text).collect();
        assert_eq!(
            read,
            [
                ("version", "ntpd 4.2.8, of today"),
                ("filtdelay", "0.04 0.05"),
                ("flag", ""),
                ("leap", "0")
            ]
        );
        assert_eq!(Variables::new(text).get("leap"), Some("0"));
        assert_eq!(
            Variables::new(b"a=1, b=\xff2").collect::<Vec<_>>(),
            [("a", "1"), ("b", "")]
        );
    }
}
