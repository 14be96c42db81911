//! Rows lately read or written by apply, in memory: most commands touch rows that others touched a moment ago, and a read from
//! the database costs ten times as much.
//!
//! Two halves: what is used goes into the young one; when that is full it becomes the old one and the old one is dropped. So memory
//! is bounded and nothing is sorted.

use std::collections::HashMap;

/// Bytes of keys and values in one half.
const HALF: usize = 48 << 20;
/// What a row takes besides its bytes, about.
const OVERHEAD: usize = 80;

/// A value, or that there is none.
type Value = Option<Box<[u8]>>;
/// Keys come from clients, so the hasher must not be one whose collisions can be worked out; the standard one was a twentieth of
/// all of apply.
type Half = HashMap<Box<[u8]>, Value, ahash::RandomState>;

/// The rows. Right for as long as every write to the database is told to it.
#[derive(Default)]
pub(super) struct Rows {
    young: Half,
    old: Half,
    /// What is in the young half.
    bytes: usize,
}

impl Rows {
    /// What is known of the key: its value, or that it has none.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        if let Some(value) = self.young.get(key) {
            return Some(value.as_deref().map(<[u8]>::to_vec));
        }
        let (key, value) = self.old.remove_entry(key)?;
        let found = value.as_deref().map(<[u8]>::to_vec);
        self.insert(key, value);
        Some(found)
    }

    /// What the database holds now under the key.
    pub(super) fn put(&mut self, key: Vec<u8>, value: Option<&[u8]>) {
        self.old.remove(key.as_slice());
        self.insert(key.into(), value.map(Box::from));
    }

    /// The key is to be looked up again.
    pub(super) fn forget(&mut self, key: &[u8]) {
        if let Some((key, value)) = self.young.remove_entry(key) {
            self.bytes -= size(key.len(), value.as_deref());
        }
        self.old.remove(key);
    }

    fn insert(&mut self, key: Box<[u8]>, value: Value) {
        let length = key.len();
        self.bytes += size(length, value.as_deref());
        if let Some(before) = self.young.insert(key, value) {
            self.bytes -= size(length, before.as_deref());
        }
        if self.bytes > HALF {
            std::mem::swap(&mut self.young, &mut self.old);
            // Emptied, not dropped: it grows to the same size again.
            self.young.clear();
            self.bytes = 0;
        }
    }
}

fn size(key: usize, value: Option<&[u8]>) -> usize {
    key + value.map_or(0, <[u8]>::len) + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_put_is_the_one_that_is_found() {
        let mut rows = Rows::default();
        rows.put(b"a".to_vec(), Some(b"1"));
        rows.put(b"b".to_vec(), None);
        rows.put(b"a".to_vec(), Some(b"2"));
        assert_eq!(rows.get(b"a"), Some(Some(b"2".to_vec())));
        assert_eq!(rows.get(b"b"), Some(None));
        assert_eq!(rows.get(b"c"), None);
        rows.forget(b"b");
        assert_eq!(rows.get(b"b"), None, "not known any more");
    }

    #[test]
    fn a_row_written_again_and_again_pushes_no_other_out() {
        let mut rows = Rows::default();
        let value = vec![0; 1 << 20];
        rows.put(b"used".to_vec(), Some(b"1"));
        for _ in 0..200 {
            rows.put(b"written".to_vec(), Some(&value));
        }
        for _ in 0..200 {
            rows.put(b"gone".to_vec(), Some(&value));
            rows.forget(b"gone");
        }
        assert_eq!(rows.get(b"used"), Some(Some(b"1".to_vec())));
        assert_eq!(rows.bytes, size(4, Some(b"1")) + size(7, Some(&value)));
    }

    #[test]
    fn memory_is_bounded_and_no_old_value_comes_back() {
        let mut rows = Rows::default();
        let value = vec![0; 1 << 20];
        rows.put(b"kept".to_vec(), Some(b"old"));
        for n in 0..200u32 {
            rows.put(n.to_be_bytes().to_vec(), Some(&value));
            if n == 46 {
                // The first half is full by now: the row is found in the old one, and overwritten from there.
                rows.put(b"kept".to_vec(), Some(b"new"));
            }
            if let Some(found) = rows.get(b"kept") {
                let expected: &[u8] = if n < 46 { b"old" } else { b"new" };
                assert_eq!(found.as_deref(), Some(expected));
            }
        }
        let held: usize = rows
            .young
            .values()
            .chain(rows.old.values())
            .flatten()
            .map(|v| v.len())
            .sum();
        assert!(held <= 2 * HALF + value.len(), "{held}");
        assert_eq!(rows.get(&0u32.to_be_bytes()), None);
    }
}
