//! A log that a crash left behind the state.

use std::io;

use openraft::storage::RaftLogStorage;

use super::LogStore;
use crate::raft::LogId;

impl LogStore {
    /// Makes the log fit a state that got further. True when entries up to `applied` are missing in it.
    ///
    /// The state is not synced, but what of it reaches the disk may get there before the log does: then the log ends
    /// earlier, or even has, at an index that is applied, what a leader before left there. That can never be committed,
    /// and goes.
    pub(crate) async fn fit(&mut self, applied: LogId) -> io::Result<bool> {
        let at = self.id_at(applied.index)?;
        if at.is_some_and(|id| id != applied) {
            let before = match applied.index.checked_sub(1) {
                Some(before) => self.id_at(before)?,
                None => None,
            };
            let purged = self.inner.marks.lock().purged;
            self.truncate_after(before.or(purged)).await?;
        }
        let last = self.inner.marks.lock().last;
        Ok(last.is_none_or(|last| last.index < applied.index))
    }

    /// Whose entry is at the index, if one is there.
    fn id_at(&self, index: u64) -> io::Result<Option<LogId>> {
        let found = self.read(index..index.saturating_add(1), usize::MAX)?;
        Ok(found.first().map(|entry| entry.log_id))
    }
}

// The folders here are the machine's.
#[cfg(all(test, not(feature = "simulation")))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use fed_core::ids::NodeId;
    use openraft::storage::IOFlushed;

    use super::*;
    use crate::identity::{ClusterId, Identity};
    use crate::metrics::Metrics;
    use crate::raft::{Entry, Payload, log_id};

    /// A log with entries of term 1 up to `last`.
    async fn log(last: u64) -> (tempfile::TempDir, LogStore) {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = Identity {
            cluster: ClusterId(1),
            node: NodeId(1),
            incarnation: 1,
            founder: true,
            seeds: Vec::new(),
        };
        let path = folder.path().join("log");
        LogStore::create(&path, &identity).expect("made");
        let on_failure = Arc::new(|why: String| panic!("{why}"));
        let metrics = Arc::new(Metrics::new());
        let mut log = LogStore::open(&path, &identity, Duration::ZERO, on_failure, &metrics).expect("opens");
        let entries = (0..=last).map(|index| Entry {
            log_id: log_id(1, 1, index),
            payload: Payload::Blank,
        });
        log.append(entries, IOFlushed::noop()).await.expect("appended");
        (folder, log)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_log_that_has_what_is_applied_is_left_alone() {
        let (_folder, mut log) = log(7).await;
        assert!(!log.fit(log_id(1, 1, 5)).await.expect("works"));
        assert_eq!(log.id_at(7).expect("readable"), Some(log_id(1, 1, 7)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_log_that_ends_before_what_is_applied_needs_a_snapshot() {
        let (_folder, mut log) = log(7).await;
        assert!(log.fit(log_id(1, 1, 9)).await.expect("works"));
        assert_eq!(log.id_at(7).expect("readable"), Some(log_id(1, 1, 7)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_an_earlier_leader_left_where_something_else_was_applied_goes() {
        let (_folder, mut log) = log(7).await;
        assert!(log.fit(log_id(2, 3, 5)).await.expect("works"));
        assert_eq!(log.id_at(5).expect("readable"), None);
        assert_eq!(log.id_at(4).expect("readable"), Some(log_id(1, 1, 4)));
    }
}
