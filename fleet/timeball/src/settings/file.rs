//! The settings file as a flat list of entries with their lines: the only place that knows YAML.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Largest settings file that is read.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// One value of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The keys that lead to it.
    pub(crate) path: Vec<String>,
    /// The value.
    pub(crate) value: Value,
    /// The line it stands on, from 1.
    pub(crate) line: u64,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// One text, as it stands in the file.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misread {
    /// The line, 0 when it is not known.
    pub(crate) line: u64,
    /// What is wrong and what to do.
    pub(crate) problem: String,
}

/// Reads YAML into entries in the order of the file. An empty document has none.
///
/// # Errors
/// [`Misread`] when it is not YAML, repeats a key or nests where a value is needed.
pub(crate) fn entries(yaml: &str) -> Result<Vec<Entry>, Misread> {
    if yaml.len() > BYTES_MAX {
        return Err(Misread {
            line: 0,
            problem: format!("the file is larger than {BYTES_MAX} bytes"),
        });
    }
    let root: Spanned<Node> = serde_saphyr::from_str(yaml).map_err(|error| Misread {
        line: error.location().map_or(0, |location| location.line()),
        problem: error.without_snippet().to_string(),
    })?;
    let mut entries = Vec::new();
    match root.value {
        Node::Fields(_) => flatten(yaml, root, &mut Vec::new(), &mut entries)?,
        Node::Empty => {}
        Node::Scalar(_) | Node::List(_) => {
            return Err(Misread {
                line: root.referenced.line(),
                problem: "keys and values are needed, such as `client:` with `url: …` below it".to_owned(),
            });
        }
    }
    Ok(entries)
}

fn flatten(
    yaml: &str,
    node: Spanned<Node>,
    path: &mut Vec<String>,
    entries: &mut Vec<Entry>,
) -> Result<(), Misread> {
    let line = node.referenced.line();
    let value = match node.value {
        // A group without anything in it says nothing.
        Node::Empty => return Ok(()),
        Node::Scalar(_) => Value::Text(scalar(yaml, &node)),
        Node::List(items) => Value::List(
            items
                .iter()
                .map(|item| match item.value {
                    Node::Scalar(_) => Ok(scalar(yaml, item)),
                    Node::Empty | Node::List(_) | Node::Fields(_) => Err(Misread {
                        line: item.referenced.line(),
                        problem: format!("{}: a list of plain values is needed", path.join(".")),
                    }),
                })
                .collect::<Result<_, _>>()?,
        ),
        Node::Fields(fields) => {
            for (key, value) in fields {
                path.push(key);
                flatten(yaml, value, path, entries)?;
                path.pop();
            }
            return Ok(());
        }
    };
    entries.push(Entry {
        path: path.clone(),
        value,
        line,
    });
    Ok(())
}

/// The text of a scalar. Numbers and the like are taken as they stand in the file, so that a label `1.10` is
/// not `1.1`.
fn scalar(yaml: &str, node: &Spanned<Node>) -> String {
    match &node.value {
        Node::Scalar(Some(text)) => text.clone(),
        _ => {
            let span = node.referenced.span();
            let from = usize::try_from(span.offset()).unwrap_or(usize::MAX);
            let chars = usize::try_from(span.len()).unwrap_or(0);
            yaml.chars()
                .skip(from)
                .take(chars)
                .collect::<String>()
                .trim()
                .to_owned()
        }
    }
}

/// Any YAML.
#[derive(Debug)]
enum Node {
    Empty,
    /// A text, or `None` for a number or a truth value, whose text stands in the file.
    Scalar(Option<String>),
    List(Vec<Spanned<Node>>),
    Fields(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Some(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(yaml: &str) -> Vec<(String, Value, u64)> {
        entries(yaml)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.path.join("."), entry.value, entry.line))
            .collect()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn values_keep_their_text_and_line() {
        let yaml = "# größe\nagent:\n  labels:\n    rack: 1.10\n    row: 010\n    ok: true\n  \
                    quoted: \"a b\"\nlist: [a:b, 'c']\nempty:\n";
        assert_eq!(
            flat(yaml),
            [
                ("agent.labels.rack".into(), text("1.10"), 4),
                ("agent.labels.row".into(), text("010"), 5),
                ("agent.labels.ok".into(), text("true"), 6),
                ("agent.quoted".into(), text("a b"), 7),
                ("list".into(), Value::List(vec!["a:b".into(), "c".into()]), 8),
            ]
        );
        assert_eq!(flat(""), []);
        assert_eq!(flat("# nothing\n"), []);
    }

    #[test]
    fn what_is_not_a_file_of_settings_is_refused_with_its_line() {
        for (yaml, line) in [
            ("a: 1\nb: [\n", 2),
            ("just text\n", 1),
            ("- a\n", 1),
            ("a:\n  - b: 1\n", 2),
            ("a: 1\na: 2\n", 2),
        ] {
            let misread = entries(yaml).unwrap_err();
            assert!(misread.line >= line, "{yaml:?}: {misread:?}");
        }
        assert!(entries(&"x".repeat(BYTES_MAX + 1)).is_err());
    }
}
