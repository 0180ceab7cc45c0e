//! Lines of the journal: a check sum, a blank, and an entry as JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::sha256_hex;

/// How many hex digits of the entry's SHA-256 stand before it.
const SUM_DIGITS: usize = 16;

/// What was read from a journal.
pub(super) struct Read<E> {
    pub(super) entries: Vec<E>,
    /// How many lines before the last one cannot be read.
    pub(super) damaged: usize,
    /// Whether the last line was not written to its end.
    pub(super) torn: bool,
}

pub(super) fn write<E: Serialize>(entry: &E) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(entry)?;
    Ok(format!("{} {json}\n", sum(json.as_bytes())).into_bytes())
}

pub(super) fn read<E: DeserializeOwned>(content: &[u8]) -> Read<E> {
    let mut read = Read {
        entries: Vec::new(),
        damaged: 0,
        torn: false,
    };
    let mut lines = content
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| *line != b"\n")
        .peekable();
    while let Some(line) = lines.next() {
        match entry(line) {
            Some(entry) => read.entries.push(entry),
            None if lines.peek().is_none() => read.torn = true,
            None => read.damaged += 1,
        }
    }
    read
}

/// A line without its end was not written to its end.
fn entry<E: DeserializeOwned>(line: &[u8]) -> Option<E> {
    let line = line.strip_suffix(b"\n")?;
    let (found, json) = line.split_at_checked(SUM_DIGITS)?;
    let json = json.strip_prefix(b" ")?;
    if sum(json).as_bytes() != found {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn sum(json: &[u8]) -> String {
    let mut sum = sha256_hex(json);
    sum.truncate(SUM_DIGITS);
    sum
}
