//! The log as openraft sees it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::atomic::Ordering;

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use rocksdb::{Direction, IteratorMode, WriteBatch};

use super::LogStore;
use super::db::{COMMITTED, ENTRIES, META, PURGED, VOTE, column, key, other, writes};
use super::sync::Job;
use crate::raft::{Entry, LogId, TypeConfig, Vote, stored};

/// Replication sends no more than about this much in one message.
const LARGEST_READ: usize = 2 << 20;

impl LogStore {
    /// The entries of `range` that are there, until they are more than `limit` bytes; at least one.
    fn read(&self, range: Range<u64>, limit: usize) -> io::Result<Vec<Entry>> {
        let tail = self.inner.tail.read();
        let mut entries = Vec::new();
        let mut bytes = 0;
        if let Some(found) = tail.range(range.clone()) {
            for (entry, size) in found {
                bytes += size;
                if bytes > limit && !entries.is_empty() {
                    break;
                }
                entries.push(entry.clone());
            }
            return Ok(entries);
        }
        let db = &self.inner.db;
        let from = key(range.start);
        let mode = IteratorMode::From(&from, Direction::Forward);
        for row in db.iterator_cf(column(db, ENTRIES), mode) {
            let (found, value) = row.map_err(other)?;
            let index = <[u8; 8]>::try_from(&*found).map(u64::from_be_bytes);
            let index = index.map_err(|_| other("the log has a key that is no index"))?;
            if index >= range.end {
                break;
            }
            bytes += value.len();
            if bytes > limit && !entries.is_empty() {
                break;
            }
            let entry = stored::decode_entry(&value).map_err(|e| other(format!("log entry {index}: {e}")))?;
            if entry.log_id.index != index {
                return Err(other(format!("log entry {index} says it is {}", entry.log_id.index)));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        self.read(half_open(&range), usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.inner.marks.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, LARGEST_READ)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let marks = self.inner.marks.lock();
        Ok(LogState {
            last_purged_log_id: marks.purged,
            last_log_id: marks.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let db = &self.inner.db;
        let bytes = stored::encode_vote(vote).map_err(other)?;
        db.put_cf_opt(column(db, META), VOTE, bytes, &writes()).map_err(other)?;
        self.flush().await?;
        self.inner.marks.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut marks = self.inner.marks.lock();
        marks.committed = committed;
        marks.committed_waits = committed.is_some();
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.inner.marks.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let inner = &self.inner;
        let mut batch = WriteBatch::default();
        let mut appended = Vec::new();
        for entry in entries {
            let bytes = stored::encode_entry(&entry).map_err(other)?;
            batch.put_cf(column(&inner.db, ENTRIES), key(entry.log_id.index), &bytes);
            appended.push((entry, bytes.len()));
        }
        {
            let mut tail = inner.tail.write();
            let mut marks = inner.marks.lock();
            if let (true, Some(committed)) = (marks.committed_waits, marks.committed) {
                let bytes = stored::encode_log_id(committed).map_err(other)?;
                batch.put_cf(column(&inner.db, META), COMMITTED, bytes);
            }
            inner.db.write_opt(batch, &writes()).map_err(other)?;
            marks.committed_waits = false;
            for (entry, size) in appended {
                marks.last = Some(entry.log_id);
                inner.appended.fetch_add(size as u64, Ordering::Relaxed);
                tail.push(entry, size);
            }
        }
        inner.syncer.send(Job::Appended(callback))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let inner = &self.inner;
        let from = last.map_or(0, |id| id.index + 1);
        let mut tail = inner.tail.write();
        let mut marks = inner.marks.lock();
        if marks.last.is_none_or(|id| id.index < from) {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(column(&inner.db, ENTRIES), key(from), key(u64::MAX));
        inner.db.write_opt(batch, &writes()).map_err(other)?;
        tail.truncate_from(from);
        marks.last = last.or(marks.purged);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let inner = &self.inner;
        let mut tail = inner.tail.write();
        let mut marks = inner.marks.lock();
        if marks.purged.is_some_and(|id| id.index >= upto.index) {
            return Ok(());
        }
        let from = marks.purged.map_or(0, |id| id.index + 1);
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(column(&inner.db, ENTRIES), key(from), key(upto.index + 1));
        let bytes = stored::encode_log_id(upto).map_err(other)?;
        batch.put_cf(column(&inner.db, META), PURGED, bytes);
        inner.db.write_opt(batch, &writes()).map_err(other)?;
        tail.purge_to(upto.index);
        marks.purged = Some(upto);
        if marks.last.is_none_or(|id| id.index < upto.index) {
            marks.last = Some(upto);
        }
        Ok(())
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(&at) => at,
        Bound::Excluded(&at) => at + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&at) => at.saturating_add(1),
        Bound::Excluded(&at) => at,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
