//! Digests of files, as they are recorded and reported.

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 in lower-case hex, 64 digits.
pub(crate) fn sha256_hex(content: &[u8]) -> String {
    digest(&SHA256, content)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
