//! The database of one generation: one key space, the first byte of a key is its table.

use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fed_core::kv::{Before, Change, ReadStore, StoreError, Table, Visit};
use parking_lot::Mutex;

use super::ahead::{self, Ahead};
use super::rows::Rows;
use crate::error::StartError;
use crate::log::failed;
use crate::platform::{Changes, Database, DatabaseError, Db, Kind, Reads, TABLES, fs};
use crate::raft::LogId;
use crate::raft::stored::{self, StoredMeta};

/// What the state knows of itself; the key is empty.
pub(super) const META: Table = Table(8);

/// An open generation. Its folder goes when it is obsolete and the last reader has gone.
pub(super) struct Generation {
    pub(super) number: u64,
    path: PathBuf,
    obsolete: AtomicBool,
    /// For apply, which alone writes a generation in use, and for readers, who have a [`View`](super::View) each.
    rows: Rows,
    /// The index of the last write.
    applied: AtomicU64,
    ahead: Mutex<Ahead>,
    /// `None` only while it is dropped: the folder may go after the database is closed.
    db: Option<Arc<Db>>,
}

impl Generation {
    pub(super) fn db(&self) -> &Arc<Db> {
        self.db
            .as_ref()
            .expect("the database is taken out only when the generation is dropped")
    }

    pub(super) fn make_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    /// Makes the changes and the new meta, all or nothing.
    pub(super) fn write(&self, changes: Vec<Change>, meta: &StoredMeta) -> Result<(), String> {
        let index = index(meta);
        let meta = stored::encode_meta(meta).map_err(|e| e.to_string())?;
        let mut keys = Vec::with_capacity(changes.len());
        let write = self.db().write(|batch| {
            for change in &changes {
                let key = full_key(change.table, &change.key);
                match &change.value {
                    Some(value) => batch.put(TABLES, &key, value),
                    None => batch.delete(TABLES, &key),
                }
                keys.push(key);
            }
            put_meta(batch, &meta);
        });
        write.map_err(|e| e.to_string())?;
        for (key, change) in keys.into_iter().zip(changes) {
            match change.before {
                Before::Unknown => self.rows.put(key, change.value, index),
                // What is inserted or discarded is a log of some kind: nobody asks for it again soon.
                Before::Nothing | Before::Was(_) => self.rows.forget(&key, index),
            }
        }
        self.applied.store(index, Ordering::Release);
        Ok(())
    }

    /// A row of the view of this index, which `pinned` is.
    pub(super) fn get_at(
        &self,
        index: u64,
        pinned: &impl Reads,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        with_full_key(table, key, |key| {
            if let Some(known) = self.rows.at(key, index) {
                return Ok(known);
            }
            let found = pinned.get(TABLES, key).map_err(backend)?;
            self.rows.found(key, found.as_deref(), index);
            Ok(found)
        })
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        drop(self.db.take());
        if self.obsolete.load(Ordering::Acquire)
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            // The next start removes it.
            tracing::warn!(folder = %self.path.display(), %error, "an old state could not be removed");
        }
    }
}

impl ReadStore for Generation {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        with_full_key(table, key, |key| {
            if let Some(known) = self.rows.newest(key) {
                return Ok(known);
            }
            let found = self.db().get(TABLES, key).map_err(backend)?;
            self.rows
                .found(key, found.as_deref(), self.applied.load(Ordering::Acquire));
            Ok(found)
        })
    }

    fn get_in_turn(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut ahead = self.ahead.lock();
        if let Some(found) = ahead.take(table, key) {
            return Ok(Some(found));
        }
        let (mut rows, mut bytes) = (VecDeque::new(), 0);
        self.scan(table, Bound::Included(key), Bound::Unbounded, &mut |key, value| {
            bytes += value.len();
            rows.push_back((key.to_vec(), value.to_vec()));
            if rows.len() < ahead::ROWS && bytes < ahead::BYTES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        ahead.keep(table, rows);
        Ok(ahead.take(table, key))
    }

    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        scan(&**self.db(), table, start, end, visit)
    }
}

pub(super) fn create(path: &Path, meta: &StoredMeta) -> Result<(), StartError> {
    let meta = stored::encode_meta(meta).map_err(|e| StartError::Damaged {
        path: path.to_owned(),
        what: e.to_string(),
    })?;
    let db = Db::create(path, Kind::State).map_err(|e| failed(path, e))?;
    db.write(|batch| put_meta(batch, &meta))
        .and_then(|()| db.sync())
        .map_err(|e| failed(path, e))
}

pub(super) fn open(path: &Path, number: u64) -> Result<(Generation, StoredMeta), StartError> {
    let db = Db::open(path, Kind::State).map_err(|e| failed(path, e))?;
    let meta = read_meta(&db).map_err(|what| StartError::Damaged {
        path: path.to_owned(),
        what,
    })?;
    let generation = Generation {
        number,
        path: path.to_owned(),
        obsolete: AtomicBool::new(false),
        rows: Rows::default(),
        applied: AtomicU64::new(index(&meta)),
        ahead: Mutex::new(Ahead::default()),
        db: Some(Arc::new(db)),
    };
    Ok((generation, meta))
}

/// The meta in a folder that nobody writes to.
pub(super) fn peek_meta(path: &Path) -> Result<StoredMeta, String> {
    let db = Db::peek(path, Kind::State).map_err(|e| e.to_string())?;
    read_meta(&db)
}

/// Replaces the meta of a generation that is not in use yet, durably.
pub(super) fn rewrite_meta(generation: &Generation, meta: &StoredMeta) -> Result<(), String> {
    generation.write(Vec::new(), meta)?;
    generation.db().sync().map_err(|e| e.to_string())
}

fn read_meta(db: &Db) -> Result<StoredMeta, String> {
    let bytes = db
        .get(TABLES, &full_key(META, b""))
        .map_err(|e| e.to_string())?
        .ok_or("the state does not say what it holds")?;
    stored::decode_meta(&bytes).map_err(|e| e.to_string())
}

fn put_meta(batch: &mut dyn Changes, meta: &[u8]) {
    batch.put(TABLES, &full_key(META, b""), meta);
}

pub(super) fn get(db: &impl Reads, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    with_full_key(table, key, |key| db.get(TABLES, key)).map_err(backend)
}

pub(super) fn scan(
    db: &impl Reads,
    table: Table,
    start: Bound<&[u8]>,
    end: Bound<&[u8]>,
    visit: Visit<'_>,
) -> Result<(), StoreError> {
    let full = |bound: Bound<&[u8]>| bound.map(|key| full_key(table, key));
    let start = match full(start) {
        Bound::Unbounded => Bound::Included(vec![table.0]),
        bound => bound,
    };
    let end = match full(end) {
        Bound::Unbounded => table
            .0
            .checked_add(1)
            .map_or(Bound::Unbounded, |next| Bound::Excluded(vec![next])),
        bound => bound,
    };
    let (start, end) = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
    db.scan(TABLES, start, end, &mut |key, value| visit(&key[1..], value))
        .map_err(backend)
}

fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(table.0);
    full.extend_from_slice(key);
    full
}

/// Calls `with` with the full key. One of usual length needs no memory of its own.
fn with_full_key<T>(table: Table, key: &[u8], with: impl FnOnce(&[u8]) -> T) -> T {
    let mut short = [0; 64];
    match short.get_mut(..=key.len()) {
        Some(full) => {
            full[0] = table.0;
            full[1..].copy_from_slice(key);
            with(full)
        }
        None => with(&full_key(table, key)),
    }
}

/// The index of the last log entry in a state; 0 before the first.
fn index(meta: &StoredMeta) -> u64 {
    meta.applied.map_or(0, |id| LogId::from(id).index)
}

fn backend(error: DatabaseError) -> StoreError {
    StoreError::Backend(error.to_string())
}

#[cfg(all(test, not(feature = "simulation")))]
mod tests {
    use super::*;

    const LOG: Table = Table(20);

    #[test]
    fn rows_read_in_turn_are_those_that_are_there_and_leave_those_in_use_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let meta = StoredMeta::default();
        create(folder.path(), &meta).expect("a new one");
        let (generation, _) = open(folder.path(), 1).expect("opens");
        let change = |n: u64, value: Option<u64>, before| Change {
            table: LOG,
            key: n.to_be_bytes().to_vec(),
            value: value.map(|value| value.to_be_bytes().to_vec()),
            before,
        };
        let most = 3 * ahead::ROWS as u64;
        let rows: Vec<_> = (0..most).map(|n| change(n, Some(n), Before::Nothing)).collect();
        generation.write(rows, &meta).expect("written");
        let in_turn = |n: u64| generation.get_in_turn(LOG, &n.to_be_bytes()).expect("read");
        for n in 0..most {
            let was = in_turn(n).expect("it is there");
            assert_eq!(was, n.to_be_bytes());
            let gone = change(n, None, Before::Was(was));
            let next = change(most + n, Some(most + n), Before::Nothing);
            generation.write(vec![gone, next], &meta).expect("written");
            assert_eq!(generation.get(LOG, &n.to_be_bytes()), Ok(None), "discarded");
        }
        assert_eq!(in_turn(0), None, "no row comes back");
        assert_eq!(in_turn(most), Some(most.to_be_bytes().to_vec()), "written meanwhile");
    }
}
