//! Databases: RocksDB.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRawIteratorWithThreadMode,
    DBRecoveryMode, IteratorMode, Options, Range, ReadOptions, WriteBatch, WriteOptions,
};
use self_cell::self_cell;

use super::torn;
use crate::platform::{Changes, Database, DatabaseError, ENTRIES, Kind, META, Reads, Row, Space, TABLES, Visit};

const BLOCK_CACHE: usize = 64 << 20;
/// Read at once of each file while all of it is checked.
const READ_AHEAD: usize = 1 << 20;
/// Rows between two questions whether a check is to go on.
const ASK_EVERY: u64 = 1_024;
/// Room made for a batch before anything is in it: what one command changes.
const USUAL_BATCH: usize = 4 << 10;

type Result<T> = std::result::Result<T, DatabaseError>;
type RocksSnapshot<'a> = rocksdb::Snapshot<'a>;

/// An open database.
pub(crate) struct Rocks {
    db: DB,
}

self_cell!(
    pub(crate) struct Pinned {
        owner: Arc<Rocks>,
        #[covariant]
        dependent: RocksSnapshot,
    }
);

struct Batch<'a> {
    rocks: &'a Rocks,
    batch: WriteBatch,
}

impl Changes for Batch<'_> {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        // The one that has no name to be looked up by, and gets nearly all.
        if space == TABLES {
            self.batch.put(key, value);
        } else {
            self.batch.put_cf(self.rocks.column(space), key, value);
        }
    }

    fn delete(&mut self, space: Space, key: &[u8]) {
        if space == TABLES {
            self.batch.delete(key);
        } else {
            self.batch.delete_cf(self.rocks.column(space), key);
        }
    }

    fn delete_range(&mut self, space: Space, from: &[u8], to: &[u8]) {
        self.batch.delete_range_cf(self.rocks.column(space), from, to);
    }
}

impl Rocks {
    fn column(&self, space: Space) -> &ColumnFamily {
        self.db
            .cf_handle(space.0)
            .expect("all column families of its kind are opened with the database")
    }
}

impl Reads for Rocks {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.db.get_cf(self.column(space), key).map_err(failed)
    }

    fn scan(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<()> {
        let (first, options) = range(start, end);
        each(self.db.raw_iterator_cf_opt(self.column(space), options), &first, visit)
    }
}

impl Reads for Pinned {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let column = self.borrow_owner().column(space);
        self.borrow_dependent().get_cf(column, key).map_err(failed)
    }

    fn scan(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<()> {
        let (first, options) = range(start, end);
        let column = self.borrow_owner().column(space);
        each(
            self.borrow_dependent().raw_iterator_cf_opt(column, options),
            &first,
            visit,
        )
    }
}

impl Database for Rocks {
    type Pinned = Pinned;

    fn create(folder: &Path, kind: Kind) -> Result<Self> {
        let mut options = options(kind);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        open(folder, kind, &options)
    }

    fn open(folder: &Path, kind: Kind) -> Result<Self> {
        if kind == Kind::Log {
            torn::cut_torn_tail(folder)?;
        }
        open(folder, kind, &options(kind))
    }

    fn peek(folder: &Path, kind: Kind) -> Result<Self> {
        let db = DB::open_cf_descriptors_read_only(&options(kind), folder, columns(kind), false).map_err(failed)?;
        Ok(Self { db })
    }

    fn last(&self, space: Space) -> Result<Option<Row>> {
        let mut rows = self.db.iterator_cf(self.column(space), IteratorMode::End);
        let last = rows.next().transpose().map_err(failed)?;
        Ok(last.map(|(key, value)| (key.into_vec(), value.into_vec())))
    }

    fn write(&self, fill: impl FnOnce(&mut dyn Changes)) -> Result<()> {
        let mut batch = Batch {
            rocks: self,
            batch: WriteBatch::with_capacity_bytes(USUAL_BATCH),
        };
        fill(&mut batch);
        self.db.write_opt(batch.batch, &unsynced()).map_err(failed)
    }

    fn sync(&self) -> Result<()> {
        self.db.flush_wal(true).map_err(failed)
    }

    fn has_failed(&self) -> bool {
        let errors = self.db.property_int_value("rocksdb.background-errors");
        matches!(errors, Ok(Some(1..)))
    }

    fn check(&self, over: &dyn Fn() -> bool) -> Result<()> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(READ_AHEAD);
        let mut rows = self.db.raw_iterator_cf_opt(self.column(TABLES), options);
        rows.seek_to_first();
        let mut read = 0_u64;
        while rows.valid() && !(read.is_multiple_of(ASK_EVERY) && over()) {
            rows.next();
            read += 1;
        }
        rows.status().map_err(failed)
    }

    fn checkpoint(&self, folder: &Path) -> Result<()> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(folder))
            .map_err(failed)
    }

    fn bytes_between(&self, space: Space, from: &[u8], to: &[u8]) -> u64 {
        let range = Range::new(from, to);
        self.db
            .get_approximate_sizes_cf(self.column(space), &[range])
            .iter()
            .sum()
    }

    fn pin(this: &Arc<Self>) -> Pinned {
        Pinned::new(this.clone(), |rocks| rocks.db.snapshot())
    }
}

fn open(folder: &Path, kind: Kind, options: &Options) -> Result<Rocks> {
    let db = DB::open_cf_descriptors(options, folder, columns(kind)).map_err(failed)?;
    Ok(Rocks { db })
}

fn columns(kind: Kind) -> Vec<ColumnFamilyDescriptor> {
    match kind {
        Kind::Log => {
            let mut entries = Options::default();
            entries.set_write_buffer_size(32 << 20);
            entries.set_max_write_buffer_number(4);
            vec![
                ColumnFamilyDescriptor::new(TABLES.0, Options::default()),
                ColumnFamilyDescriptor::new(ENTRIES.0, entries),
                ColumnFamilyDescriptor::new(META.0, Options::default()),
            ]
        }
        Kind::State => vec![ColumnFamilyDescriptor::new(TABLES.0, options(kind))],
    }
}

fn options(kind: Kind) -> Options {
    let mut options = Options::default();
    options.set_max_background_jobs(2);
    // A write that finds all of them full waits for the disk, and in the log the whole node waits with it.
    options.set_max_write_buffer_number(4);
    options.set_keep_log_file_num(3);
    match kind {
        Kind::Log => {
            // RocksDB's default drops everything after a damaged record, silently: acknowledged entries, perhaps.
            options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
            options.set_manual_wal_flush(true);
            // The vote is written rarely; without a limit its column family would keep the whole write-ahead log from being dropped,
            // and a start reads all of it.
            options.set_max_total_wal_size(96 << 20);
            options.set_max_open_files(256);
        }
        Kind::State => {
            let mut table = BlockBasedOptions::default();
            table.set_bloom_filter(10.0, false);
            table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE));
            // Filters and indexes stay with their open file, some 12 MB for a million bindings. In the cache those of a large file are
            // larger than one of its shards, so that each get reads a megabyte and checks its sum.
            table.set_cache_index_and_filter_blocks(false);
            options.set_block_based_table_factory(&table);
            // What is hot is in the first levels: compressing it costs more than it saves.
            let [plain, packed] = [DBCompressionType::None, DBCompressionType::Lz4];
            options.set_compression_per_level(&[plain, plain, packed, packed, packed, packed, packed]);
            options.set_write_buffer_size(32 << 20);
            // Most of what a new row asks is whether something is there that is not: a filter answers that without four searches.
            options.set_memtable_whole_key_filtering(true);
            options.set_memtable_prefix_bloom_ratio(0.05);
            options.set_max_open_files(512);
        }
    }
    options
}

/// Into the write-ahead log only; `sync` makes it durable.
fn unsynced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(false);
    options
}

/// Where an iterator over the range starts, and the options that end it.
fn range(start: Bound<&[u8]>, end: Bound<&[u8]>) -> (Vec<u8>, ReadOptions) {
    let after = |key: &[u8]| {
        let mut next = key.to_vec();
        next.push(0);
        next
    };
    let first = match start {
        Bound::Included(key) => key.to_vec(),
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => Vec::new(),
    };
    let last = match end {
        Bound::Included(key) => Some(after(key)),
        Bound::Excluded(key) => Some(key.to_vec()),
        Bound::Unbounded => None,
    };
    let mut options = ReadOptions::default();
    if let Some(last) = last {
        // RocksDB does not allow an upper bound below the lower one.
        options.set_iterate_upper_bound(last.max(first.clone()));
    }
    (first, options)
}

/// Visits the rows from `first` on where they lie, without a copy of each.
fn each(mut rows: DBRawIteratorWithThreadMode<'_, DB>, first: &[u8], visit: Visit<'_>) -> Result<()> {
    rows.seek(first);
    while let Some((key, value)) = rows.item() {
        if visit(key, value).is_break() {
            return Ok(());
        }
        rows.next();
    }
    rows.status().map_err(failed)
}

fn failed(error: rocksdb::Error) -> DatabaseError {
    let what = error.to_string();
    match error.kind() {
        rocksdb::ErrorKind::IOError if what.contains("lock") => DatabaseError::InUse(what),
        rocksdb::ErrorKind::IOError => DatabaseError::Io(what),
        _ => DatabaseError::Damaged(what),
    }
}

#[cfg(test)]
mod tests {
    use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};

    use super::*;

    #[test]
    fn a_look_up_in_a_large_file_reads_a_block_and_not_again_what_finds_it() {
        // Ten bits of filter for each row: more than a megabyte.
        const ROWS: u32 = 1_000_000;
        let folder = tempfile::tempdir().expect("a folder");
        let rocks = Rocks::create(folder.path(), Kind::State).expect("a new one");
        for first in (0..ROWS).step_by(100_000) {
            let write = rocks.write(|changes| {
                for n in first..first + 100_000 {
                    changes.put(TABLES, &n.to_be_bytes(), b"value");
                }
            });
            write.expect("written");
        }
        rocks.db.flush().expect("in files");
        rocks.db.compact_range::<&[u8], &[u8]>(None, None);
        let get = |n: u32| rocks.get(TABLES, &n.to_be_bytes()).expect("read");
        // Opens the file.
        assert!(get(ROWS / 4).is_some());
        set_perf_stats(PerfStatsLevel::EnableCount);
        let mut seen = PerfContext::default();
        seen.reset();
        assert_eq!(get(ROWS / 2).as_deref(), Some(&b"value"[..]));
        let read = seen.metric(PerfMetric::BlockReadByte);
        assert!((1..40_000).contains(&read), "{read} bytes");
    }
}
