//! JSON, written: how reports are told to programs.

use std::fmt::{self, Display, Formatter, Write};

/// A value; displays as JSON (RFC 8259) without white space. The fields of an object keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number, written without an exponent; `null` when it is none.
    Number(f64),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// An object: its names, which need no escapes, and their values.
    Object(Vec<(&'static str, Self)>),
}

impl Display for Json {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            // Whoever reads a zero with a sign asks what it means.
            Self::Number(0.0) => formatter.write_char('0'),
            Self::Number(value) if value.is_finite() => write!(formatter, "{value}"),
            Self::Number(_) => formatter.write_str("null"),
            Self::Text(text) => write_text(formatter, text),
            Self::List(values) => {
                formatter.write_char('[')?;
                for (index, value) in values.iter().enumerate() {
                    write!(formatter, "{}{value}", if index > 0 { "," } else { "" })?;
                }
                formatter.write_char(']')
            }
            Self::Object(fields) => {
                formatter.write_char('{')?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    write!(
                        formatter,
                        "{}\"{name}\":{value}",
                        if index > 0 { "," } else { "" }
                    )?;
                }
                formatter.write_char('}')
            }
        }
    }
}

/// Writes a text between quotation marks (RFC 8259 §7).
fn write_text(formatter: &mut Formatter<'_>, text: &str) -> fmt::Result {
    formatter.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(formatter, "\\{character}")?,
            '\0'..=' ' if character != ' ' => write!(formatter, "\\u{:04x}", u32::from(character))?,
            _ => formatter.write_char(character)?,
        }
    }
    formatter.write_char('"')
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Json {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Null, Self::Integer)
    }
}

macro_rules! integers {
    ($($integer:ty),+) => {
        $(impl From<$integer> for Json {
            fn from(value: $integer) -> Self {
                Self::Integer(i64::from(value))
            }
        })+
    };
}

integers!(u8, u16, u32, i8, i16, i32);

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<char> for Json {
    fn from(character: char) -> Self {
        Self::Text(character.to_string())
    }
}

impl<T: Into<Self>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Makes a [`Json`](crate::json::Json) object of fields: `object! { "name": value, … }`.
#[macro_export]
macro_rules! object {
    ($($name:literal: $value:expr),+ $(,)?) => {
        $crate::json::Json::Object(vec![$(($name, $crate::json::Json::from($value))),+])
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_standard_wants() {
        let value = object! {
            "text": "a \"b\"\\\n\u{1}é",
            "number": -1.5e-9,
            "zero": -0.0,
            "none": f64::NAN,
            "large": u64::MAX,
            "missing": None::<u32>,
            "flag": true,
            "list": Json::List(vec![1u32.into(), Json::Object(Vec::new())]),
        };
        let text = "{\"text\":\"a \\\"b\\\"\\\\\\u000a\\u0001é\",\"number\":-0.0000000015,\"zero\":0,\"none\":null,\"large\":null,\
                    \"missing\":null,\"flag\":true,\"list\":[1,{}]}";
        assert_eq!(value.to_string(), text);
    }
}
