//! The state: the machine's data in a database, one generation at a time.
//!
//! - One write batch per apply holds the data and what the state knows of itself (last applied entry, members):
//!   there is no moment at which one is there without the other.
//! - Its own write-ahead log is never synced: the Raft log is what is synced, and the state follows it.
//! - A snapshot that comes in becomes a new generation; one small file, renamed, says which is valid.

mod ahead;
mod apply;
mod backup;
mod db;
mod install;
mod machine;
mod manifest;
mod recover;
mod rows;
mod snapshot;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fed_core::ids::Revision;
use fed_core::machine::Machine;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::error::StartError;
use crate::identity::{Identity, at, write_durably};
use crate::metrics::Metrics;
use crate::platform::{Database, DatabaseError, fs};
use crate::raft::stored::StoredMeta;
use crate::watch::Hub;
pub(crate) use backup::{Beginning, Kept, restore};
use db::Generation;
pub(crate) use machine::StateMachine;
pub(crate) use manifest::{Manifest, ManifestFile};
pub(crate) use recover::{change_owner, inspect};
pub(crate) use snapshot::SnapshotDir;
pub use view::Snapshot;
pub(crate) use view::View;

/// What apply, snapshots and readers share.
pub(crate) struct State<M: Machine> {
    pub(crate) machine: Arc<M>,
    pub(crate) hub: Arc<Hub<M::Event>>,
    metrics: Arc<Metrics>,
    folders: Folders,
    identity: Identity,
    generation: RwLock<Arc<Generation>>,
    /// Held by whoever changes the state, for as long as that takes.
    turn: Mutex<()>,
    /// Held for a moment only: every message of a peer and every proposal asks it, heartbeats among them.
    meta: Mutex<StoredMeta>,
    view: watch::Sender<Arc<View>>,
    last_snapshot: Mutex<Option<Arc<SnapshotDir>>>,
}

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    state: PathBuf,
    snapshots: PathBuf,
    pub(crate) incoming: PathBuf,
}

impl Folders {
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self {
            state: data_dir.join("state"),
            snapshots: data_dir.join("snapshots"),
            incoming: data_dir.join("incoming"),
        }
    }

    fn generation(&self, number: u64) -> PathBuf {
        self.state.join(number.to_string())
    }

    fn current(&self) -> PathBuf {
        self.state.join("CURRENT")
    }
}

/// Makes the empty state of a new node.
pub(crate) fn create(data_dir: &Path, identity: &Identity) -> Result<(), StartError> {
    let folders = Folders::of(data_dir);
    for folder in [&folders.state, &folders.snapshots, &folders.incoming] {
        fs::create_dir_all(folder).map_err(|e| at(folder, e))?;
    }
    db::create(&folders.generation(1), &owned_by(StoredMeta::default(), identity))?;
    write_durably(&folders.current(), b"1\n")?;
    fs::sync(data_dir).map_err(|e| at(data_dir, e))
}

impl<M: Machine> State<M> {
    /// Opens the valid generation and drops what an interrupted install or snapshot left.
    pub(crate) fn open(
        data_dir: &Path,
        identity: &Identity,
        machine: M,
        watch_events: usize,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, StartError> {
        let folders = Folders::of(data_dir);
        let number = current_generation(&folders, identity)?;
        remove_other_generations(&folders, number)?;
        let path = folders.generation(number);
        let (generation, meta) = db::open(&path, number)?;
        if owned_by(meta.clone(), identity) != meta {
            return Err(StartError::Mixed {
                path,
                part: "the state",
            });
        }
        let known = machine.newest_level();
        if meta.feature_level > known {
            return Err(StartError::NewerLevel {
                path,
                found: meta.feature_level,
                known,
            });
        }
        let damaged = |what: String| StartError::Damaged {
            path: path.clone(),
            what,
        };
        let generation = Arc::new(generation);
        let view = View::take(generation.clone(), &meta).map_err(|e| damaged(e.to_string()))?;
        let hub = Arc::new(Hub::new(view.revision(), watch_events));
        let last_snapshot = snapshot::find(&folders.snapshots)?;
        Ok(Arc::new(Self {
            machine: Arc::new(machine),
            hub,
            metrics,
            folders,
            identity: identity.clone(),
            generation: RwLock::new(generation),
            turn: Mutex::new(()),
            meta: Mutex::new(meta),
            view: watch::Sender::new(Arc::new(view)),
            last_snapshot: Mutex::new(last_snapshot),
        }))
    }

    /// The state as of the last apply.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Changes whenever something was applied.
    pub(crate) fn views(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    pub(crate) fn revision(&self) -> Revision {
        self.view.borrow().revision()
    }

    /// Whether the database gave up on a write in the background: it takes no more.
    pub(crate) fn has_failed(&self) -> bool {
        self.generation.read().db().has_failed()
    }

    /// Reads the whole state, or until `over`: the damage in it, unless a snapshot has taken its place meanwhile. Blocks for as long as
    /// that takes.
    pub(crate) fn check(&self, over: &dyn Fn() -> bool) -> Option<StartError> {
        let generation = self.generation.read().clone();
        let Err(DatabaseError::Damaged(what)) = generation.db().check(over) else {
            return None;
        };
        let (path, what) = (
            self.folders.generation(generation.number),
            format!("the state is damaged: {what}"),
        );
        Arc::ptr_eq(&generation, &self.generation.read()).then_some(StartError::Damaged { path, what })
    }

    /// Commands up to this feature level may be proposed.
    pub(crate) fn feature_level(&self) -> u32 {
        self.meta.lock().feature_level.max(1)
    }

    /// Refuses a feature level that this program does not know, in words.
    fn check_level(&self, level: u32) -> Result<(), String> {
        let known = self.machine.newest_level();
        if level <= known {
            return Ok(());
        }
        Err(format!(
            "the cluster uses feature level {level}, this program knows up to {known}: use the version that the other nodes run"
        ))
    }

    /// Whether the member was removed: its id is spent.
    pub(crate) fn is_retired(&self, node: u64) -> bool {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is("id-reused") {
            return false;
        }
        self.meta.lock().retired.contains(&node)
    }

    #[cfg(feature = "planted-bugs")]
    pub(crate) fn any_retired(&self) -> Option<u64> {
        self.meta.lock().retired.first().copied()
    }

    pub(crate) fn incoming(&self) -> &Path {
        &self.folders.incoming
    }
}

fn owned_by(mut meta: StoredMeta, identity: &Identity) -> StoredMeta {
    meta.cluster = identity.cluster.0;
    meta.node = identity.node.0;
    meta.incarnation = identity.incarnation;
    meta
}

fn current_generation(folders: &Folders, identity: &Identity) -> Result<u64, StartError> {
    let path = folders.current();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StartError::Wiped {
                path: folders.state.clone(),
                node: identity.node,
                part: "state",
            });
        }
        Err(source) => return Err(at(&path, source)),
    };
    text.trim().parse().map_err(|_| StartError::Damaged {
        path,
        what: "it does not name a generation".to_owned(),
    })
}

fn remove_other_generations(folders: &Folders, keep: u64) -> Result<(), StartError> {
    let keep = keep.to_string();
    for found in fs::list(&folders.state).map_err(|e| at(&folders.state, e))? {
        if found.is_dir && found.name != keep {
            let path = folders.state.join(&found.name);
            fs::remove_dir_all(&path).map_err(|e| at(&path, e))?;
        }
    }
    Ok(())
}
