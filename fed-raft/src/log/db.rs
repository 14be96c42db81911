//! The RocksDB folder under the log: column families, options, keys.

use std::io;
use std::path::Path;

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, IteratorMode, Options, Range, WriteBatch, WriteOptions,
};

use super::Marks;
use crate::error::StartError;
use crate::identity::Identity;
use crate::raft::stored;

pub(super) const ENTRIES: &str = "entries";
pub(super) const META: &str = "meta";

pub(super) const VOTE: &[u8] = b"vote";
pub(super) const PURGED: &[u8] = b"purged";
pub(super) const COMMITTED: &[u8] = b"committed";
const OWNER: &[u8] = b"owner";

pub(super) fn create(folder: &Path, identity: &Identity) -> Result<(), StartError> {
    let mut options = options();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let db = DB::open_cf_descriptors(&options, folder, columns()).map_err(|e| failed(folder, &e))?;
    let mut batch = WriteBatch::default();
    batch.put_cf(column(&db, META), OWNER, owner(identity));
    db.write_opt(batch, &writes())
        .and_then(|()| db.flush_wal(true))
        .map_err(|e| failed(folder, &e))
}

pub(super) fn open(folder: &Path, identity: &Identity) -> Result<DB, StartError> {
    if !folder.join("CURRENT").is_file() {
        return Err(StartError::Wiped {
            path: folder.to_owned(),
            node: identity.node,
            part: "log",
        });
    }
    let db = DB::open_cf_descriptors(&options(), folder, columns()).map_err(|e| failed(folder, &e))?;
    let found = db.get_cf(column(&db, META), OWNER).map_err(|e| failed(folder, &e))?;
    if found.as_deref() != Some(owner(identity).as_slice()) {
        return Err(StartError::Mixed {
            path: folder.to_owned(),
            part: "the log",
        });
    }
    Ok(db)
}

pub(super) fn load_marks(db: &DB, folder: &Path) -> Result<Marks, StartError> {
    let damaged = |what: String| StartError::Damaged {
        path: folder.to_owned(),
        what,
    };
    let meta = |key: &[u8]| db.get_cf(column(db, META), key).map_err(|e| failed(folder, &e));
    let log_id = |key: &[u8]| {
        meta(key)?
            .map(|bytes| stored::decode_log_id(&bytes))
            .transpose()
            .map_err(|e| damaged(format!("{}: {e}", String::from_utf8_lossy(key))))
    };
    let vote = meta(VOTE)?
        .map(|bytes| stored::decode_vote(&bytes))
        .transpose()
        .map_err(|e| damaged(format!("the vote: {e}")))?;
    let purged = log_id(PURGED)?;
    let committed = log_id(COMMITTED)?;
    let end = |mode| {
        db.iterator_cf(column(db, ENTRIES), mode)
            .next()
            .transpose()
            .map_err(|e| failed(folder, &e))?
            .map(|(_, value)| stored::decode_entry(&value))
            .transpose()
            .map_err(|e| damaged(format!("a log entry: {e}")))
    };
    let first = end(IteratorMode::Start)?;
    let last = end(IteratorMode::End)?;
    let begins = purged.map_or(0, |id| id.index + 1);
    if let Some(first) = first
        && first.log_id.index != begins
    {
        return Err(damaged(format!(
            "the log begins at {} where {begins} belongs",
            first.log_id.index
        )));
    }
    Ok(Marks {
        vote,
        purged,
        last: last.map(|entry| entry.log_id).or(purged),
        committed,
        committed_waits: false,
    })
}

pub(super) fn bytes_between(db: &DB, from: u64, to: u64) -> u64 {
    let (start, end) = (key(from), key(to.saturating_add(1)));
    let range = Range::new(&start, &end);
    db.get_approximate_sizes_cf(column(db, ENTRIES), &[range]).iter().sum()
}

pub(super) fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

pub(super) fn column<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    db.cf_handle(name)
        .expect("both column families are opened with the database")
}

/// Into the write-ahead log's buffer; the sync thread writes and syncs it.
pub(super) fn writes() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(false);
    options
}

pub(super) fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

fn owner(identity: &Identity) -> Vec<u8> {
    format!("{}/{}/{}", identity.cluster, identity.node, identity.incarnation).into_bytes()
}

fn columns() -> [ColumnFamilyDescriptor; 3] {
    let mut entries = Options::default();
    entries.set_write_buffer_size(64 << 20);
    let names = [
        ("default", Options::default()),
        (ENTRIES, entries),
        (META, Options::default()),
    ];
    names.map(|(name, options)| ColumnFamilyDescriptor::new(name, options))
}

fn options() -> Options {
    let mut options = Options::default();
    // RocksDB's default drops everything after a damaged record, silently: acknowledged entries, perhaps.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_manual_wal_flush(true);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(3);
    options.set_max_open_files(256);
    options
}

fn failed(folder: &Path, error: &rocksdb::Error) -> StartError {
    let what = error.to_string();
    match error.kind() {
        rocksdb::ErrorKind::IOError if what.contains("lock") => StartError::InUse(folder.to_owned()),
        rocksdb::ErrorKind::IOError => crate::identity::at(folder, other(what)),
        _ => StartError::Damaged {
            path: folder.to_owned(),
            what,
        },
    }
}
