//! The store under the map: ordered tables of bytes, and a buffer of changes over one.
//!
//! The applier and the views see only these traits, so the same code runs over memory in tests and over
//! RocksDB on a node. [`Overlay`] gives all-or-nothing: changes gather in it, are visible to its own reads,
//! and reach the store below only when somebody takes them out and writes them.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use crate::codec::CodecError;
use crate::sealing::SealError;

mod overlay;

pub use overlay::Overlay;

/// A table. 16 and above belong to the machine, 0 to 7 to [`crate::machine`], 8 to 15 to what keeps the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(pub u8);

/// Why a store could not answer. The map is then in doubt: the caller must not go on from half an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store itself failed (a disk, a closed database).
    #[error("the store failed: {0}")]
    Backend(String),
    /// A value is there but cannot be read.
    #[error(
        "the value under {key} in table {table} is damaged: {source}; restore this node from the others (leave, then join again)"
    )]
    Damaged {
        /// The table.
        table: u8,
        /// The key, escaped.
        key: String,
        /// What is wrong with it.
        source: CodecError,
    },
    /// Two records disagree (an index points at nothing).
    #[error("the store contradicts itself: {0}; restore this node from the others (leave, then join again)")]
    Inconsistent(String),
    /// A value could not be written.
    #[error("a value could not be encoded: {0}")]
    Encode(CodecError),
    /// A secret is there, but this node cannot open it.
    #[error("the secret of {what} cannot be opened: {why}")]
    Sealed {
        /// What it belongs to.
        what: String,
        /// Why not, and what to do.
        why: SealError,
    },
    /// A machine wrote to a table that is not its own.
    #[error("the machine wrote to table {table}, which is reserved")]
    Reserved {
        /// The table.
        table: u8,
    },
}

/// What [`ReadStore::scan`] calls with each key and value.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// An ordered store that does not change while it is read.
pub trait ReadStore: Send + Sync {
    /// The value under `key`, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// As [`ReadStore::get`], for a table whose rows never change once they are there, and are asked for in the order of
    /// their keys, each once: the store may read ahead.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    fn get_in_turn(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(table, key)
    }

    /// Visits the keys of `table` between `start` and `end` in byte order, until `visit` breaks. An empty or
    /// inverted range visits nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; what was visited before is then not the whole.
    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError>;
}

/// A store that takes changes into memory. Reads see them at once.
pub trait WriteStore: ReadStore {
    /// Puts `value` under `key`, in place of what was there.
    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>);

    /// Puts `value` under `key`, where the caller knows that there is nothing: who keeps sums over the rows need not look,
    /// and who keeps rows at hand need not keep this one.
    fn insert(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.put(table, key, value);
    }

    /// Removes what is under `key`, if anything.
    fn delete(&mut self, table: Table, key: Vec<u8>);

    /// Removes what is under `key`, where the caller has just read that it is `was`: nobody else need look, or keep in mind that
    /// it is gone.
    fn discard(&mut self, table: Table, key: Vec<u8>, was: Vec<u8>) {
        drop(was);
        self.delete(table, key);
    }

    /// Makes one change.
    fn change(&mut self, change: Change) {
        let Change {
            table,
            key,
            value,
            before,
        } = change;
        match (value, before) {
            (Some(value), Before::Nothing) => self.insert(table, key, value),
            (Some(value), Before::Unknown | Before::Was(_)) => self.put(table, key, value),
            (None, Before::Was(was)) => self.discard(table, key, was),
            (None, Before::Unknown | Before::Nothing) => self.delete(table, key),
        }
    }
}

/// One change to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// The new value; `None` removes the key.
    pub value: Option<Vec<u8>>,
    /// What was under the key before.
    pub before: Before,
}

/// What whoever changes a row knows of what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// Who wants to know must look.
    Unknown,
    /// There was nothing: see [`WriteStore::insert`].
    Nothing,
    /// This: see [`WriteStore::discard`].
    Was(Vec<u8>),
}

/// Visits all keys of `table` that begin with `prefix`.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn scan_prefix(store: &dyn ReadStore, table: Table, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
    let end = after_prefix(prefix);
    let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    store.scan(table, Bound::Included(prefix), end, visit)
}

/// The first key after all that begin with `prefix`, if there is one.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// A store in memory: for tests, tools and small embeddings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemStore {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl ReadStore for MemStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        if is_empty_range(start, end) {
            return Ok(());
        }
        for (key, value) in self
            .tables
            .get(&table)
            .into_iter()
            .flat_map(|t| t.range::<[u8], _>((start, end)))
        {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl WriteStore for MemStore {
    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.tables.entry(table).or_default().insert(key, value);
    }

    fn delete(&mut self, table: Table, key: Vec<u8>) {
        if let Some(rows) = self.tables.get_mut(&table) {
            rows.remove(&key);
            if rows.is_empty() {
                self.tables.remove(&table);
            }
        }
    }
}

/// `BTreeMap::range` panics on a range that is inverted or excludes its one key on both sides.
fn is_empty_range(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(a), Bound::Included(b)) => a > b,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a >= b,
    }
}
