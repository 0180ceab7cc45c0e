//! The symmetric keys, by their numbers.

use wire::ntp::auth::Key;

/// Holds keys by number. Of several with one number the first is used.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// In the order of numbers, each once.
    keys: Vec<Key>,
}

impl Keys {
    /// Takes keys in the order of a key file. Returns them with the numbers that more than one had.
    #[must_use]
    pub fn new(mut keys: Vec<Key>) -> (Self, Vec<u32>) {
        // A stable sort keeps the first first.
        keys.sort_by_key(Key::id);
        let mut repeated = Vec::new();
        keys.dedup_by(|later, earlier| {
            let same = later.id() == earlier.id();
            if same {
                repeated.push(later.id());
            }
            same
        });
        repeated.dedup();
        (Self { keys }, repeated)
    }

    /// Returns the key with this number.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&Key> {
        let place = self.keys.binary_search_by_key(&id, Key::id).ok()?;
        self.keys.get(place)
    }

    /// Returns how many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Reports whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use wire::ntp::auth::Algorithm;

    use super::*;

    #[test]
    fn the_first_key_of_a_number_is_used() {
        let key = |id, bytes: &[u8]| Key::new(id, Algorithm::Md5, bytes).unwrap();
        let (keys, repeated) = Keys::new(vec![
            key(9, b"a"),
            key(2, b"b"),
            key(9, b"c"),
            key(9, b"d"),
            key(1, b"e"),
        ]);
        assert_eq!(repeated, [9]);
        assert_eq!(keys.len(), 3);
        assert_eq!(keys.get(9), Some(&key(9, b"a")));
        assert_eq!(keys.get(2), Some(&key(2, b"b")));
        assert_eq!(keys.get(3), None);
        assert!(Keys::default().is_empty());
    }
}
