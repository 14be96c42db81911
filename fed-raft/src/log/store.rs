//! The log as openraft sees it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, ControlFlow, Range, RangeBounds};
use std::sync::atomic::Ordering;

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};

use super::LogStore;
use super::db::{COMMITTED, PURGED, VOTE, key, other};
use super::sync::Job;
use crate::platform::{Database, ENTRIES, META, Reads};
use crate::raft::{Entry, LogId, TypeConfig, Vote, stored};
#[cfg(feature = "simulation")]
use crate::witness::{Ballot, Happened, Note, Place, saw};

/// Replication sends no more than about this much in one message.
const LARGEST_READ: usize = 2 << 20;

impl LogStore {
    #[cfg(feature = "simulation")]
    pub(crate) fn tell_start(
        &self,
        applied: Option<LogId>,
        snapshot: Option<LogId>,
        damaged: Option<String>,
    ) -> io::Result<()> {
        let log = self.read(0..u64::MAX, usize::MAX)?;
        let marks = *self.inner.marks.lock();
        let started = Happened::Started {
            vote: marks.vote.as_ref().map(Ballot::of),
            log: log.iter().map(Note::of).collect(),
            purged: marks.purged.map(Place::of),
            committed: marks.committed.map(Place::of),
            applied: applied.map(Place::of),
            snapshot: snapshot.map(Place::of),
            damaged,
        };
        saw(self.inner.node, started);
        Ok(())
    }

    /// The entries of `range` that are there, until they are more than `limit` bytes; at least one.
    pub(super) fn read(&self, range: Range<u64>, limit: usize) -> io::Result<Vec<Entry>> {
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
        let (from, to) = (key(range.start), key(range.end));
        let (from, to) = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
        let mut wrong = None;
        let scanned = self.inner.db.scan(ENTRIES, from, to, &mut |key, value| {
            bytes += value.len();
            if bytes > limit && !entries.is_empty() {
                return ControlFlow::Break(());
            }
            match read_row(key, value) {
                Ok(entry) => {
                    entries.push(entry);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    wrong = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        scanned.map_err(other)?;
        if let Some(error) = wrong {
            return Err(error);
        }
        Ok(entries)
    }
}

fn read_row(key: &[u8], value: &[u8]) -> io::Result<Entry> {
    let index = <[u8; 8]>::try_from(key).map(u64::from_be_bytes);
    let index = index.map_err(|_| other("the log has a key that is no index"))?;
    let entry = stored::decode_entry(value).map_err(|e| other(format!("log entry {index}: {e}")))?;
    if entry.log_id.index == index {
        Ok(entry)
    } else {
        Err(other(format!("log entry {index} says it is {}", entry.log_id.index)))
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
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is("vote-not-persisted") {
            self.inner.marks.lock().vote = Some(*vote);
            #[cfg(feature = "simulation")]
            saw(self.inner.node, Happened::Voted(Ballot::of(vote)));
            return Ok(());
        }
        let bytes = stored::encode_vote(vote).map_err(other)?;
        let db = &self.inner.db;
        db.write(|changes| changes.put(META, VOTE, &bytes)).map_err(other)?;
        self.flush().await?;
        self.inner.marks.lock().vote = Some(*vote);
        #[cfg(feature = "simulation")]
        saw(self.inner.node, Happened::Voted(Ballot::of(vote)));
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut marks = self.inner.marks.lock();
        marks.committed = committed;
        marks.committed_waits = committed.is_some();
        #[cfg(feature = "simulation")]
        if let Some(committed) = committed {
            saw(self.inner.node, Happened::Committed(Place::of(committed)));
        }
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
        let mut appended = Vec::new();
        for entry in entries {
            let bytes = stored::encode_entry(&entry).map_err(other)?;
            appended.push((entry, bytes));
        }
        {
            let mut tail = inner.tail.write();
            let mut marks = inner.marks.lock();
            let committed = marks.committed.filter(|_| marks.committed_waits);
            let committed = committed.map(stored::encode_log_id).transpose().map_err(other)?;
            let write = inner.db.write(|changes| {
                for (entry, bytes) in &appended {
                    changes.put(ENTRIES, &key(entry.log_id.index), bytes);
                }
                if let Some(bytes) = committed {
                    changes.put(META, COMMITTED, &bytes);
                }
            });
            write.map_err(other)?;
            marks.committed_waits = false;
            #[cfg(feature = "simulation")]
            {
                let entries = appended.iter().map(|(entry, _)| Note::of(entry)).collect();
                saw(inner.node, Happened::Appended(entries));
            }
            for (entry, bytes) in appended {
                marks.last = Some(entry.log_id);
                inner.appended.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                tail.push(entry, bytes.len());
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
        let write = inner
            .db
            .write(|changes| changes.delete_range(ENTRIES, &key(from), &key(u64::MAX)));
        write.map_err(other)?;
        tail.truncate_from(from);
        #[cfg(feature = "simulation")]
        saw(inner.node, Happened::Truncated(from));
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
        let bytes = stored::encode_log_id(upto).map_err(other)?;
        let write = inner.db.write(|changes| {
            changes.delete_range(ENTRIES, &key(from), &key(upto.index + 1));
            changes.put(META, PURGED, &bytes);
        });
        write.map_err(other)?;
        tail.purge_to(upto.index);
        #[cfg(feature = "simulation")]
        saw(inner.node, Happened::Purged(Place::of(upto)));
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
