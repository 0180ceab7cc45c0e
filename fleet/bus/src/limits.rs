//! What a key, a value, a name and a delivery may be: the same on every bus.

use bytes::Bytes;

use crate::{Bucket, BusError, Delivery, KEY_BYTES_MAX, Log, PAYLOAD_BYTES_MAX, VALUE_BYTES_MAX};

/// Longest name of a bucket or log, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Checks a bucket's name and a key.
pub fn check_key(bucket: Bucket, key: &str) -> Result<(), BusError> {
    check_name("bucket", bucket.name)?;
    let whats_wrong = if key.is_empty() {
        "is empty".to_owned()
    } else if key.len() > KEY_BYTES_MAX {
        format!("has {} bytes; {KEY_BYTES_MAX} are allowed", key.len())
    } else if let Some(other) = key.chars().find(|&c| !is_key_char(c)) {
        format!("has {other:?}; letters, digits, '-', '_', '=', '/' and '.' are allowed")
    } else if key.starts_with('.') || key.ends_with('.') || key.contains("..") {
        "has a dot at its start or end, or two in a row".to_owned()
    } else {
        return Ok(());
    };
    // The key itself is shown only as far as it is printable and short.
    let shown: String = key.chars().take(64).collect();
    Err(BusError::Invalid(format!(
        "key {shown:?} for {} {whats_wrong}",
        bucket.name
    )))
}

/// Checks a bucket's name and a prefix of keys: a key, or nothing for all keys.
pub fn check_prefix(bucket: Bucket, prefix: &str) -> Result<(), BusError> {
    if prefix.is_empty() {
        check_name("bucket", bucket.name)
    } else {
        check_key(bucket, prefix)
    }
}

/// Checks the size of a value for a bucket.
pub fn check_value(bucket: Bucket, key: &str, value: &Bytes) -> Result<(), BusError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(BusError::Invalid(format!(
            "the value for {key} of {} has {} bytes; {VALUE_BYTES_MAX} are allowed",
            bucket.name,
            value.len()
        )));
    }
    Ok(())
}

/// Checks a log's name.
pub fn check_log(log: Log) -> Result<(), BusError> {
    check_name("log", log.name)
}

/// Checks a log's name and the size of an entry for it.
pub fn check_log_entry(log: Log, value: &Bytes) -> Result<(), BusError> {
    check_log(log)?;
    let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
    if value.len() > VALUE_BYTES_MAX || length > log.bytes_max || log.entries_max == 0 {
        return Err(BusError::Invalid(format!(
            "an entry of {length} bytes is more than log {} takes",
            log.name
        )));
    }
    Ok(())
}

/// Checks the size of a delivery's payload.
pub fn check_delivery(delivery: &Delivery) -> Result<(), BusError> {
    if delivery.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(BusError::Invalid(format!(
            "the payload of delivery {} has {} bytes; {PAYLOAD_BYTES_MAX} are allowed",
            delivery.id,
            delivery.payload.len()
        )));
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<(), BusError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
        return Err(BusError::Invalid(format!(
            "{what} name {name:?} must be of 1 to {NAME_BYTES_MAX} letters, digits and '-'"
        )));
    }
    Ok(())
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | '/' | '.')
}
