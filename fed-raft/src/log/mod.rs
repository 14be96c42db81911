//! The log: entries and the vote, in a database, synced by one thread.
//!
//! - What is acknowledged is on disk: an append's callback and a vote's return come after `fsync`.
//! - All writes go through one write-ahead log in the order they were made, so a synced write implies the ones
//!   before it.
//! - A torn tail is dropped at the start; damage anywhere else refuses the start.
//! - The newest entries are also in memory, so replication and apply do not read the disk.

mod db;
mod fit;
mod recover;
mod store;
mod sync;
mod tail;

pub(crate) use db::failed;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::error::StartError;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::platform::{Database, Db};
use crate::raft::{LogId, Vote};
use sync::{Job, Syncer};
use tail::Tail;

/// Told when the log can no longer be written, with the reason.
pub(crate) type OnFailure = Arc<dyn Fn(String) + Send + Sync>;

/// A handle on the log; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    #[cfg(feature = "simulation")]
    node: u64,
    db: Arc<Db>,
    /// Held for writing while entries change, so that a reader sees the log before or after.
    tail: RwLock<Tail>,
    marks: Mutex<Marks>,
    syncer: Syncer,
    appended: AtomicU64,
}

/// What the log knows besides its entries.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    committed: Option<LogId>,
    /// Whether `committed` is newer than in the database: it is written along with the next entries.
    committed_waits: bool,
}

impl LogStore {
    /// Makes the log of a new node.
    pub(crate) fn create(folder: &Path, identity: &Identity) -> Result<(), StartError> {
        db::create(folder, identity)
    }

    /// Opens the log of `identity`, which must be there.
    pub(crate) fn open(
        folder: &Path,
        identity: &Identity,
        delay_sync: Duration,
        on_failure: OnFailure,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let db = Arc::new(db::open(folder, identity)?);
        let marks = db::load_marks(&db, folder)?;
        let seconds = metrics.fsync.clone();
        let syncer = Syncer::start(db.clone(), identity, delay_sync, on_failure, seconds)
            .map_err(|e| crate::identity::at(folder, e))?;
        let inner = Inner {
            #[cfg(feature = "simulation")]
            node: identity.node.0,
            db,
            tail: RwLock::new(Tail::default()),
            marks: Mutex::new(marks),
            syncer,
            appended: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Bytes of entries appended since the start.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.inner.appended.load(Ordering::Relaxed)
    }

    /// The bytes of the entries with indexes in `from..=to`: exactly for those in memory, roughly for older ones.
    pub(crate) fn bytes_between(&self, from: u64, to: u64) -> u64 {
        let tail = self.inner.tail.read();
        let in_memory = tail.first().map_or(u64::MAX, |first| first.max(from));
        let sizes = tail.range(in_memory..to.saturating_add(1)).into_iter().flatten();
        let newer: usize = sizes.map(|(_, size)| size).sum();
        drop(tail);
        let older = match in_memory.min(to.saturating_add(1)) {
            end if end > from => db::bytes_between(&self.inner.db, from, end - 1),
            _ => 0,
        };
        older + newer as u64
    }

    /// Whether the database gave up on a write in the background: it takes no more.
    pub(crate) fn has_failed(&self) -> bool {
        self.inner.db.has_failed()
    }

    /// Makes everything written so far durable.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.inner.syncer.send(Job::Wait(done))?;
        wait.await.map_err(io::Error::other)?
    }
}
