//! What the applier knows of the whole state: revision, hash, and the ordinals of its clients, in one row.

use std::ops::{Bound, ControlFlow};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::codec;
use crate::ids::Revision;
use crate::kv::{ReadStore, StoreError, Table, WriteStore};

/// The ledger's own row; not part of the hash, which it holds.
const META: Table = Table(0);
/// Tables that the applier and the machine write and the hash covers.
const HASHED: [(u8, u8); 2] = [(1, 7), (FIRST_OF_MACHINE, u8::MAX)];
/// The first table that belongs to the machine.
pub(super) const FIRST_OF_MACHINE: u8 = 16;

const KEY: &[u8] = b"ledger";
const KIND: u8 = 32;

/// Frozen: version 1 of the stored row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) revision: u64,
    /// Wrapping sum of the hashes of all rows: order and batching leave no trace in it.
    pub(super) hash: u128,
    /// Clients are numbered as they are first seen; those from `oldest_client` on are remembered.
    pub(super) oldest_client: u64,
    pub(super) next_client: u64,
}

impl Ledger {
    pub(super) fn load(store: &dyn ReadStore) -> Result<Self, StoreError> {
        let Some(bytes) = store.get(META, KEY)? else {
            return Ok(Self::default());
        };
        codec::decode(KIND, 1, &bytes).map_err(|source| damaged(META, KEY, source))
    }

    pub(super) fn save(&self, store: &mut dyn WriteStore) -> Result<(), StoreError> {
        let bytes = codec::encode(KIND, 1, self).map_err(StoreError::Encode)?;
        store.put(META, KEY.to_vec(), bytes);
        Ok(())
    }

    /// Puts a row, keeping the hash right; `old` is the value that was there.
    pub(super) fn put(
        &mut self,
        store: &mut dyn WriteStore,
        table: Table,
        key: Vec<u8>,
        old: Option<&[u8]>,
        new: Vec<u8>,
    ) {
        self.forget(table, &key, old);
        self.hash = self.hash.wrapping_add(row_hash(table, &key, &new));
        store.put(table, key, new);
    }

    /// Puts a row where there was none, keeping the hash right.
    pub(super) fn insert(&mut self, store: &mut dyn WriteStore, table: Table, key: Vec<u8>, new: Vec<u8>) {
        self.hash = self.hash.wrapping_add(row_hash(table, &key, &new));
        store.insert(table, key, new);
    }

    /// Removes a row, keeping the hash right; `old` is the value that was there.
    pub(super) fn delete(&mut self, store: &mut dyn WriteStore, table: Table, key: Vec<u8>, old: Option<&[u8]>) {
        self.forget(table, &key, old);
        store.delete(table, key);
    }

    /// Removes a row that was just read, keeping the hash right; `old` is the value that is there.
    pub(super) fn discard(&mut self, store: &mut dyn WriteStore, table: Table, key: Vec<u8>, old: Vec<u8>) {
        self.forget(table, &key, Some(&old));
        store.discard(table, key, old);
    }

    fn forget(&mut self, table: Table, key: &[u8], old: Option<&[u8]>) {
        if let Some(old) = old {
            self.hash = self.hash.wrapping_sub(row_hash(table, key, old));
        }
    }
}

/// The revision of the last command that changed the state; 0 for an empty store.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn revision(store: &dyn ReadStore) -> Result<Revision, StoreError> {
    Ok(Revision(Ledger::load(store)?.revision))
}

/// The hash of the whole state, requests remembered included: equal on all replicas that applied the same log.
/// One read.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn state_hash(store: &dyn ReadStore) -> Result<u128, StoreError> {
    let ledger = Ledger::load(store)?;
    Ok(with_revision(ledger.hash, ledger.revision))
}

/// What [`state_hash`] must say, worked out from every row: reads the whole store. A difference means damage.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn recomputed_state_hash(store: &dyn ReadStore) -> Result<u128, StoreError> {
    let mut hash = 0u128;
    for table in HASHED.into_iter().flat_map(|(first, last)| first..=last).map(Table) {
        store.scan(table, Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            hash = hash.wrapping_add(row_hash(table, key, value));
            ControlFlow::Continue(())
        })?;
    }
    Ok(with_revision(hash, revision(store)?.0))
}

fn with_revision(hash: u128, revision: u64) -> u128 {
    hash.wrapping_add(row_hash(META, b"revision", &revision.to_be_bytes()))
}

fn row_hash(table: Table, key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(&[table.0]);
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.digest128()
}

pub(super) fn damaged(table: Table, key: &[u8], source: codec::CodecError) -> StoreError {
    StoreError::Damaged {
        table: table.0,
        key: key.escape_ascii().to_string(),
        source,
    }
}
