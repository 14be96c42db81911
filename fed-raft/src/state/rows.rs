//! Rows lately read or written, in memory: most commands and most readers touch rows that others touched a moment ago, and a read
//! from the database costs ten times as much.
//!
//! Apply asks for the newest of a row. A reader asks for it as it was at the index of its view: a row is known from the index on at
//! which it was read or written, and every write takes its place before the view that has the write is published, so what is known is
//! right for every view from that index on. A reader that was slow puts nothing in that a write has overtaken meanwhile.
//!
//! Two halves: what is used goes into the young one; when that is full it becomes the old one and the old one is dropped. So memory
//! is bounded and nothing is sorted. In shards, so that readers seldom wait for each other.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};

/// Parts with a lock of their own.
const SHARDS: usize = 16;
/// Bytes of keys and values in one half of a shard.
const HALF: usize = (48 << 20) / SHARDS;
/// What a row takes besides its bytes, about.
const OVERHEAD: usize = 88;

/// A value, or that there is none.
type Value = Option<Box<[u8]>>;
/// Keys come from clients, so the hasher must not be one whose collisions can be worked out; the standard one was a twentieth of
/// all of apply.
type Hasher = ahash::RandomState;
type Half = HashMap<Box<[u8]>, Row, Hasher>;

struct Row {
    /// Every view from this index on has this value, until another one takes its place here.
    since: u64,
    value: Value,
}

/// The rows. Right for as long as every write to the database is told to it.
pub(super) struct Rows {
    shards: Vec<Mutex<Shard>>,
    hasher: Hasher,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: Hasher::new(),
        }
    }
}

impl Rows {
    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        // The upper bits: the tables within use the lower ones of another hash.
        let hash = self.hasher.hash_one(key) >> 32;
        self.shards[hash as usize % SHARDS].lock()
    }

    /// What is known of the key now: its value, or that it has none. For who writes.
    pub(super) fn newest(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        self.shard(key).get(key, u64::MAX)
    }

    /// What is known of the key in the view of this index.
    pub(super) fn at(&self, key: &[u8], index: u64) -> Option<Option<Vec<u8>>> {
        self.shard(key).get(key, index)
    }

    /// What the view of this index holds under the key.
    pub(super) fn found(&self, key: &[u8], value: Option<&[u8]>, index: u64) {
        let mut shard = self.shard(key);
        if shard.written <= index {
            shard.put(key.into(), value.map(Box::from), index);
        }
    }

    /// What the write of this index puts under the key. Before anybody can have a view of it.
    pub(super) fn put(&self, key: Vec<u8>, value: Option<Vec<u8>>, index: u64) {
        let mut shard = self.shard(&key);
        shard.written = index;
        shard.put(key.into(), value.map(Vec::into_boxed_slice), index);
    }

    /// The write of this index changes what is under the key, and nobody will ask for it soon. Before anybody can have a view of it.
    pub(super) fn forget(&self, key: &[u8], index: u64) {
        let mut shard = self.shard(key);
        shard.written = index;
        shard.forget(key);
    }
}

#[derive(Default)]
struct Shard {
    young: Half,
    old: Half,
    /// What is in the young half.
    bytes: usize,
    /// The index of the last write to any key of this shard: what older views hold may have been overtaken.
    written: u64,
}

impl Shard {
    fn get(&mut self, key: &[u8], index: u64) -> Option<Option<Vec<u8>>> {
        let known = |row: &Row| (row.since <= index).then(|| row.value.as_deref().map(<[u8]>::to_vec));
        if let Some(row) = self.young.get(key) {
            return known(row);
        }
        let found = known(self.old.get(key)?)?;
        if let Some((key, row)) = self.old.remove_entry(key) {
            self.insert(key, row);
        }
        Some(found)
    }

    fn put(&mut self, key: Box<[u8]>, value: Value, since: u64) {
        self.old.remove(&key);
        self.insert(key, Row { since, value });
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some((key, row)) = self.young.remove_entry(key) {
            self.bytes -= size(key.len(), row.value.as_deref());
        }
        self.old.remove(key);
    }

    fn insert(&mut self, key: Box<[u8]>, row: Row) {
        let length = key.len();
        self.bytes += size(length, row.value.as_deref());
        if let Some(before) = self.young.insert(key, row) {
            self.bytes -= size(length, before.value.as_deref());
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

    fn value(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    #[test]
    fn the_last_value_put_is_the_one_that_is_found() {
        let rows = Rows::default();
        rows.put(b"a".to_vec(), value("1"), 1);
        rows.put(b"b".to_vec(), None, 1);
        rows.put(b"a".to_vec(), value("2"), 2);
        assert_eq!(rows.newest(b"a"), Some(value("2")));
        assert_eq!(rows.newest(b"b"), Some(None));
        assert_eq!(rows.newest(b"c"), None);
        rows.forget(b"b", 3);
        assert_eq!(rows.newest(b"b"), None, "not known any more");
    }

    #[test]
    fn a_view_is_told_what_it_holds_and_nothing_later() {
        let rows = Rows::default();
        rows.found(b"a", Some(b"1"), 5);
        assert_eq!(rows.at(b"a", 4), None, "it may have been written at 5");
        assert_eq!(rows.at(b"a", 5), Some(value("1")));
        assert_eq!(rows.at(b"a", 7), Some(value("1")), "nothing came in between");
        rows.put(b"a".to_vec(), value("2"), 8);
        assert_eq!(rows.at(b"a", 7), None, "the older view asks the database");
        assert_eq!(rows.at(b"a", 8), Some(value("2")));
        rows.found(b"a", Some(b"1"), 7);
        assert_eq!(
            rows.at(b"a", 8),
            Some(value("2")),
            "a slow reader of an older view changes nothing"
        );
        rows.forget(b"a", 9);
        rows.found(b"a", Some(b"2"), 8);
        assert_eq!(rows.at(b"a", 9), None, "what was overtaken does not come back");
        rows.found(b"a", None, 9);
        assert_eq!(rows.at(b"a", 9), Some(None));
    }

    #[test]
    fn a_row_written_again_and_again_pushes_no_other_out() {
        let mut rows = Shard::default();
        let value = vec![0; HALF / 4];
        let boxed = || Some(value.clone().into_boxed_slice());
        rows.put(b"used".as_slice().into(), Some(b"1".as_slice().into()), 0);
        for _ in 0..20 {
            rows.put(b"written".as_slice().into(), boxed(), 0);
        }
        for _ in 0..20 {
            rows.put(b"gone".as_slice().into(), boxed(), 0);
            rows.forget(b"gone");
        }
        assert_eq!(rows.get(b"used", 0), Some(Some(b"1".to_vec())));
        assert_eq!(rows.bytes, size(4, Some(b"1")) + size(7, Some(&value)));
    }

    #[test]
    fn memory_is_bounded_and_no_old_value_comes_back() {
        const ROWS: usize = 48;
        let mut rows = Shard::default();
        let value = vec![0; HALF / ROWS];
        let boxed = |value: &[u8]| Some(Box::from(value));
        rows.put(b"kept".as_slice().into(), boxed(b"old"), 0);
        for n in 0..4 * ROWS {
            rows.put(n.to_be_bytes().as_slice().into(), boxed(&value), 0);
            if n == ROWS {
                // The first half is full by now: the row is found in the old one, and overwritten from there.
                rows.put(b"kept".as_slice().into(), boxed(b"new"), 0);
            }
            if let Some(found) = rows.get(b"kept", 0) {
                let expected: &[u8] = if n < ROWS { b"old" } else { b"new" };
                assert_eq!(found.as_deref(), Some(expected));
            }
        }
        let all = rows.young.values().chain(rows.old.values());
        let held: usize = all.filter_map(|row| row.value.as_ref()).map(|value| value.len()).sum();
        assert!(held <= 2 * HALF + value.len(), "{held}");
        assert_eq!(rows.get(&0usize.to_be_bytes(), 0), None);
    }
}
