//! Labels: what groups hosts, and what a label target selects.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Invalid;
use crate::invalid::quoted;

/// One `key:value` pair; the value is a path of segments joined by dots, from general to special.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    key: String,
    value: String,
}

impl Label {
    /// Longest key, and longest value, in bytes.
    pub const PART_BYTES_MAX: usize = 120;

    /// Makes a label from its two parts.
    ///
    /// # Errors
    /// [`Invalid`] when a part is empty, too long or holds anything but letters, digits, `_`, `-` and, in
    /// the value, single dots between segments.
    pub fn new(key: &str, value: &str) -> Result<Self, Invalid> {
        let whole = format!("{key}:{value}");
        let word = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if key.len() > Self::PART_BYTES_MAX || value.len() > Self::PART_BYTES_MAX {
            return Err(Invalid::new(
                "",
                format!("label {} is too long", quoted(&whole)),
                format!("keep key and value within {} bytes", Self::PART_BYTES_MAX),
            ));
        }
        if !word(key) || !value.split('.').all(word) {
            return Err(Invalid::new(
                "",
                format!("{} is not a label", quoted(&whole)),
                "write key:value from letters, digits, _ and -, with dots between segments of the value, \
                 such as group:web.eu",
            ));
        }
        Ok(Label {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }

    /// The part before the colon.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The part after the colon.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Says whether a host with `labels` is meant: `group:web` selects `group:web` and `group:web.eu`, but
    /// not `group:webx`.
    pub fn selects(&self, labels: &Labels) -> bool {
        labels.get(&self.key).is_some_and(|value| {
            value
                .strip_prefix(self.value.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key, self.value)
    }
}

impl FromStr for Label {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once(':').unwrap_or((text, ""));
        Label::new(key, value)
    }
}

/// The labels of one host: at most [`Labels::COUNT_MAX`], one value per key, ordered by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "BTreeMap<String, String>")]
#[schema(value_type = BTreeMap<String, String>)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// How many labels a host can carry.
    pub const COUNT_MAX: usize = 32;

    /// The value of `key`, if the host has that label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The labels in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Says whether the host has no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = Invalid;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, Invalid> {
        if map.len() > Self::COUNT_MAX {
            return Err(Invalid::new(
                "",
                format!("{} labels are too many", map.len()),
                format!("give a host at most {}", Self::COUNT_MAX),
            ));
        }
        for (key, value) in &map {
            Label::new(key, value)?;
        }
        Ok(Labels(map))
    }
}

impl FromIterator<Label> for Labels {
    /// Collects labels; a later value of the same key wins, and those past [`Labels::COUNT_MAX`] are left out.
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        let mut map = BTreeMap::new();
        for label in labels {
            if map.len() < Self::COUNT_MAX || map.contains_key(&label.key) {
                map.insert(label.key, label.value);
            }
        }
        Labels(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_selects_its_own_value_and_what_is_below_it() {
        let selects = |target: &str, has: &str| {
            let labels = Labels::from_iter([has.parse().unwrap()]);
            target.parse::<Label>().unwrap().selects(&labels)
        };
        assert!(selects("group:web", "group:web"));
        assert!(selects("group:web", "group:web.dev.us-east"));
        assert!(selects("group:web.dev", "group:web.dev.us-east"));
        assert!(!selects("group:web", "group:webx"));
        assert!(!selects("group:web.dev", "group:web"));
        assert!(!selects("group:web", "role:web"));
    }

    #[test]
    fn refuses_what_could_not_be_written_back() {
        for bad in [
            "", ":", "a:", ":b", "a b:c", "a:b..c", "a:.b", "a:b\n", "ä:b", "a:b:c",
        ] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
        assert!(format!("a:{}", "x".repeat(121)).parse::<Label>().is_err());
    }
}
