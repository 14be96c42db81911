//! The newest entries, in memory.

use std::collections::VecDeque;
use std::ops::Range;

use crate::raft::Entry;

/// How much is kept; enough for a follower that is a few seconds behind.
const KEEP_BYTES: usize = 32 << 20;
const KEEP_ENTRIES: usize = 16_384;

/// A run of consecutive entries that ends where the log ends.
#[derive(Default)]
pub(super) struct Tail {
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
}

impl Tail {
    pub(super) fn push(&mut self, entry: Entry, size: usize) {
        if let Some((last, _)) = self.entries.back()
            && last.log_id.index + 1 != entry.log_id.index
        {
            self.clear();
        }
        self.entries.push_back((entry, size));
        self.bytes += size;
        while self.entries.len() > 1 && (self.bytes > KEEP_BYTES || self.entries.len() > KEEP_ENTRIES) {
            self.pop_front();
        }
    }

    /// The index of the oldest entry here.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.front().map(|(entry, _)| entry.log_id.index)
    }

    /// The entries of `range` that the tail has, each with its size, when it has the first one.
    pub(super) fn range(&self, range: Range<u64>) -> Option<impl Iterator<Item = &(Entry, usize)>> {
        let first = self.entries.front()?.0.log_id.index;
        let skip = usize::try_from(range.start.checked_sub(first)?).ok()?;
        if skip >= self.entries.len() {
            return None;
        }
        let take = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        Some(self.entries.iter().skip(skip).take(take))
    }

    pub(super) fn truncate_from(&mut self, index: u64) {
        while self
            .entries
            .back()
            .is_some_and(|(entry, _)| entry.log_id.index >= index)
        {
            if let Some((_, size)) = self.entries.pop_back() {
                self.bytes -= size;
            }
        }
    }

    pub(super) fn purge_to(&mut self, index: u64) {
        while self
            .entries
            .front()
            .is_some_and(|(entry, _)| entry.log_id.index <= index)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some((_, size)) = self.entries.pop_front() {
            self.bytes -= size;
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }
}
