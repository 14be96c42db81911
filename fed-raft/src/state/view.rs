//! The state at one moment, for readers.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::Revision;
use fed_core::kv::{ReadStore, StoreError, Table, Visit};
use fed_core::machine;

use super::db::{self, Generation};
use crate::platform::{Database, Db};
use crate::raft::LogId;
use crate::raft::stored::StoredMeta;

/// What one apply left; shared by everybody who reads until the next one.
pub(crate) struct View {
    /// Goes before the generation: a folder goes after all that reads it.
    pinned: <Db as Database>::Pinned,
    generation: Arc<Generation>,
    applied: Option<LogId>,
    revision: Revision,
}

impl View {
    pub(super) fn take(generation: Arc<Generation>, meta: &StoredMeta) -> Result<Self, StoreError> {
        let mut view = Self {
            pinned: Db::pin(generation.db()),
            generation,
            applied: meta.applied.map(LogId::from),
            revision: Revision(0),
        };
        view.revision = machine::revision(&view)?;
        Ok(view)
    }

    /// The last log entry in it; 0 before the first.
    pub(crate) fn index(&self) -> u64 {
        self.applied.map_or(0, |id| id.index)
    }

    pub(crate) fn applied(&self) -> Option<LogId> {
        self.applied
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }
}

impl ReadStore for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.generation.get_at(self.index(), &self.pinned, table, key)
    }

    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        db::scan(&self.pinned, table, start, end, visit)
    }
}

/// The state as it was at one revision. Cheap to clone; does not change while it is held.
///
/// Holding it long keeps old data on disk: take a new one for every piece of work.
#[derive(Clone)]
pub struct Snapshot {
    view: Arc<View>,
    age: Duration,
    stale: bool,
}

impl Snapshot {
    pub(crate) fn new(view: Arc<View>, age: Duration, stale: bool) -> Self {
        Self { view, age, stale }
    }

    /// The revision of this state.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.view.revision()
    }

    /// The index of the last log entry in this state.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.view.index()
    }

    /// When this node last knew, before the snapshot was taken, that it heard from a majority (as leader) or from
    /// the leader (as any other): what is missing here is at most what happened since. Zero for a linearizable
    /// read.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Whether this node had been out of touch for longer than an election takes, so that the rest of the cluster
    /// may have gone on without it. Never for a linearizable read.
    #[must_use]
    pub fn stale(&self) -> bool {
        self.stale
    }

    /// The hash of the whole state: equal on all nodes at equal revisions.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn state_hash(&self) -> Result<u128, StoreError> {
        machine::state_hash(&*self.view)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("revision", &self.revision())
            .field("index", &self.index())
            .field("age", &self.age)
            .field("stale", &self.stale)
            .finish()
    }
}

impl ReadStore for Snapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.view.get(table, key)
    }

    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        self.view.scan(table, start, end, visit)
    }
}

#[cfg(all(test, not(feature = "simulation")))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use fed_core::kv::{Before, Change};
    use parking_lot::RwLock;

    use super::*;
    use crate::raft::log_id;

    const TABLE: Table = Table(20);
    const KEYS: u64 = 7;

    /// What the view of this index holds under the key: the last index that wrote it, each one key in turn; every third time it is removed.
    fn expected(key: u64, index: u64) -> Option<Vec<u8>> {
        let last = (1..=index)
            .rev()
            .take(KEYS as usize)
            .find(|index| index % KEYS == key)?;
        (!last.is_multiple_of(3)).then(|| last.to_be_bytes().to_vec())
    }

    fn write(generation: &Arc<Generation>, index: u64) -> Arc<View> {
        let key = index % KEYS;
        let value = expected(key, index);
        // Also as the rows of logs are written, which are not kept.
        let before = match (index.is_multiple_of(5), expected(key, index - 1)) {
            (false, _) => Before::Unknown,
            (true, None) => Before::Nothing,
            (true, Some(was)) => Before::Was(was),
        };
        let change = Change {
            table: TABLE,
            key: key.to_be_bytes().to_vec(),
            value,
            before,
        };
        let meta = StoredMeta {
            applied: Some(log_id(1, 0, index).into()),
            ..StoredMeta::default()
        };
        generation.write(vec![change], &meta).expect("written");
        Arc::new(View::take(generation.clone(), &meta).expect("a view"))
    }

    #[test]
    fn every_view_shows_what_it_holds_while_others_are_written() {
        const WRITES: u64 = 3000;
        let folder = tempfile::tempdir().expect("a folder");
        db::create(folder.path(), &StoredMeta::default()).expect("a new one");
        let (generation, meta) = db::open(folder.path(), 1).expect("opens");
        let generation = Arc::new(generation);
        let first = Arc::new(View::take(generation.clone(), &meta).expect("a view"));
        let (newest, done) = (RwLock::new(first), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut held = newest.read().clone();
                    let mut reads = 0u64;
                    while !done.load(Ordering::Acquire) || held.index() < WRITES {
                        for view in [newest.read().clone(), held.clone()] {
                            let key = reads % KEYS;
                            let found = view.get(TABLE, &key.to_be_bytes()).expect("read");
                            assert_eq!(found, expected(key, view.index()), "key {key} at {}", view.index());
                            reads += 1;
                        }
                        if reads.is_multiple_of(40) {
                            held = newest.read().clone();
                        }
                    }
                });
            }
            for index in 1..=WRITES {
                let view = write(&generation, index);
                *newest.write() = view;
            }
            done.store(true, Ordering::Release);
        });
    }
}
