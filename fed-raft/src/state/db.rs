//! The RocksDB folder of one generation: one key space, the first byte of a key is its table.

use std::fs;
use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use fed_core::kv::{Change, ReadStore, StoreError, Table, Visit};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, IteratorMode, Options, ReadOptions, WriteBatch,
    WriteOptions,
};

use crate::error::StartError;
use crate::raft::stored::{self, StoredMeta};

/// What the state knows of itself; the key is empty.
pub(super) const META: Table = Table(8);

const BLOCK_CACHE: usize = 64 << 20;

/// An open generation. Its folder goes when it is obsolete and the last reader has gone.
pub(super) struct Generation {
    pub(super) number: u64,
    path: PathBuf,
    obsolete: AtomicBool,
    /// `None` only while it is dropped: the folder may go after the database is closed.
    db: Option<DB>,
}

impl Generation {
    pub(super) fn db(&self) -> &DB {
        self.db
            .as_ref()
            .expect("the database is taken out only when the generation is dropped")
    }

    pub(super) fn make_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    /// Makes the changes and the new meta, all or nothing.
    pub(super) fn write(&self, changes: Vec<Change>, meta: &StoredMeta) -> Result<(), String> {
        let mut batch = WriteBatch::default();
        for change in changes {
            let key = full_key(change.table, &change.key);
            match change.value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        put_meta(&mut batch, meta)?;
        self.db().write_opt(batch, &unsynced()).map_err(|e| e.to_string())
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
        self.db().get(full_key(table, key)).map_err(backend)
    }

    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        let (mode_key, options) = range(table, start, end);
        let mode = IteratorMode::From(&mode_key, Direction::Forward);
        each(self.db().iterator_opt(mode, options), visit)
    }
}

pub(super) fn create(path: &Path, meta: &StoredMeta) -> Result<(), StartError> {
    let mut options = options();
    options.create_if_missing(true);
    let db = DB::open(&options, path).map_err(|e| failed(path, &e))?;
    let mut batch = WriteBatch::default();
    put_meta(&mut batch, meta).map_err(|what| StartError::Damaged {
        path: path.to_owned(),
        what,
    })?;
    db.write_opt(batch, &unsynced())
        .and_then(|()| db.flush_wal(true))
        .map_err(|e| failed(path, &e))
}

pub(super) fn open(path: &Path, number: u64) -> Result<(Generation, StoredMeta), StartError> {
    let db = DB::open(&options(), path).map_err(|e| failed(path, &e))?;
    let meta = read_meta(&db).map_err(|what| StartError::Damaged {
        path: path.to_owned(),
        what,
    })?;
    let generation = Generation {
        number,
        path: path.to_owned(),
        obsolete: AtomicBool::new(false),
        db: Some(db),
    };
    Ok((generation, meta))
}

/// The meta in a folder that nobody writes to.
pub(super) fn peek_meta(path: &Path) -> Result<StoredMeta, String> {
    let db = DB::open_for_read_only(&options(), path, false).map_err(|e| e.to_string())?;
    read_meta(&db)
}

/// Replaces the meta of a generation that is not in use yet, durably.
pub(super) fn rewrite_meta(generation: &Generation, meta: &StoredMeta) -> Result<(), String> {
    generation.write(Vec::new(), meta)?;
    generation.db().flush_wal(true).map_err(|e| e.to_string())
}

fn read_meta(db: &DB) -> Result<StoredMeta, String> {
    let bytes = db
        .get(full_key(META, b""))
        .map_err(|e| e.to_string())?
        .ok_or("the state does not say what it holds")?;
    stored::decode_meta(&bytes).map_err(|e| e.to_string())
}

fn put_meta(batch: &mut WriteBatch, meta: &StoredMeta) -> Result<(), String> {
    let bytes = stored::encode_meta(meta).map_err(|e| e.to_string())?;
    batch.put(full_key(META, b""), bytes);
    Ok(())
}

pub(super) fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(table.0);
    full.extend_from_slice(key);
    full
}

/// Where an iterator over the range starts, and the options that end it.
pub(super) fn range(table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>) -> (Vec<u8>, ReadOptions) {
    let after = |key: &[u8]| {
        let mut next = full_key(table, key);
        next.push(0);
        next
    };
    let first = match start {
        Bound::Included(key) => full_key(table, key),
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => vec![table.0],
    };
    let last = match end {
        Bound::Included(key) => after(key),
        Bound::Excluded(key) => full_key(table, key),
        Bound::Unbounded => table.0.checked_add(1).map_or(Vec::new(), |next| vec![next]),
    };
    let mut options = ReadOptions::default();
    if !last.is_empty() {
        // RocksDB does not allow an upper bound below the lower one.
        options.set_iterate_upper_bound(last.max(first.clone()));
    }
    (first, options)
}

pub(super) fn each(
    rows: impl Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>>,
    visit: Visit<'_>,
) -> Result<(), StoreError> {
    for row in rows {
        let (key, value) = row.map_err(backend)?;
        if let ControlFlow::Break(()) = visit(&key[1..], &value) {
            break;
        }
    }
    Ok(())
}

pub(super) fn backend(error: rocksdb::Error) -> StoreError {
    StoreError::Backend(error.to_string())
}

fn unsynced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(false);
    options
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE));
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(32 << 20);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(3);
    options.set_max_open_files(512);
    options
}

fn failed(path: &Path, error: &rocksdb::Error) -> StartError {
    let what = error.to_string();
    match error.kind() {
        rocksdb::ErrorKind::IOError if what.contains("lock") => StartError::InUse(path.to_owned()),
        rocksdb::ErrorKind::IOError => crate::identity::at(path, io::Error::other(what)),
        _ => StartError::Damaged {
            path: path.to_owned(),
            what,
        },
    }
}
