//! A sum over each stored value, so that a byte that flipped on the disk is an error and not an answer.
//!
//! SQLite finds damage in the structure of its pages, not in the bytes of a value. The sum is no defence
//! against somebody who can write the file.

/// The sum over a value in a bucket and what identifies it.
pub(super) fn of_entry(bucket: i64, key: &str, revision: i64, written_ms: i64, value: &[u8]) -> i64 {
    Sum::new()
        .number(bucket)
        .bytes(key.as_bytes())
        .number(revision)
        .number(written_ms)
        .bytes(value)
        .done()
}

/// The sum over an entry of a log and what identifies it.
pub(super) fn of_log_entry(log: i64, sequence: i64, id: &[u8; 16], written_ms: i64, value: &[u8]) -> i64 {
    Sum::new()
        .number(log)
        .number(sequence)
        .bytes(id)
        .number(written_ms)
        .bytes(value)
        .done()
}

/// A sum that grows field by field. Changing any one 8-byte word of what was summed changes the result: every
/// step is a bijection of the sum so far and of the word.
struct Sum(u64);

impl Sum {
    fn new() -> Self {
        Sum(0x7469_6d65_6261_6c6c)
    }

    fn number(self, word: i64) -> Self {
        self.word(word.cast_unsigned())
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut sum = words
            .iter()
            .fold(self, |sum, word| sum.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        sum = sum.word(u64::from_le_bytes(last));
        // The length tells a value from the same with zeros behind.
        sum.word(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
    }

    /// The sum as SQLite stores it.
    fn done(self) -> i64 {
        self.0.cast_signed()
    }

    fn word(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Sum(mixed ^ (mixed >> 32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let value: Vec<u8> = (0..100).collect();
        let sum = |bytes: &[u8]| Sum::new().number(7).bytes(bytes).done();
        let good = sum(&value);
        for bit in 0..value.len() * 8 {
            let mut bad = value.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(sum(&bad), good, "bit {bit}");
        }
        assert_ne!(sum(&value[..99]), good);
        assert_ne!(sum(&[]), sum(&[0]));
    }
}
