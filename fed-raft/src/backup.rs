//! Backups: the state at one revision as a folder of files to be kept elsewhere, and a new cluster made from one.
//!
//! ```text
//! Cluster::backup(folder)   a running node writes its state there, while it goes on
//! Backup::open(folder)      every file is compared with the manifest; the state can be read
//! Backup::verify()          every row is read, and its hash compared with the one the cluster had
//! restore(config, backup)   a new cluster of one node, with that state
//! ```
//!
//! How the folder is packed, encrypted and carried away is the program's affair: the files hold the machine's data as it is.

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use fed_core::ids::{NodeId, Revision};
use fed_core::kv::{ReadStore, StoreError, Table, Visit};
use fed_core::machine::{self, Machine};

use crate::config::Config;
use crate::error::{BackupError, StartError};
use crate::identity::{self, ClusterId, Identity, at};
use crate::log::LogStore;
use crate::node::Node;
use crate::platform::{chance, fs, tasks};
use crate::raft::{LogId, Membership, Peer, log_id, vote};
use crate::state::{Beginning, Kept};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupInfo {
    /// The cluster it was made of.
    pub cluster: ClusterId,
    /// The node that made it.
    pub node: NodeId,
    /// The revision of its state.
    pub revision: Revision,
    /// The hash of its state: that of every node of the cluster at that revision.
    pub state_hash: u128,
    /// The last log entry in it.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// The feature level that a program must know to use it.
    pub feature_level: u32,
    /// The names and sizes of its files, in bytes; all that is to be carried away.
    pub files: Vec<(String, u64)>,
}

/// A backup's folder, whole, open for reading as a [`ReadStore`]. Nothing in the folder is changed.
pub struct Backup {
    folder: PathBuf,
    kept: Kept,
    info: BackupInfo,
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup")
            .field("folder", &self.folder)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Backup {
    /// Opens a folder that [`Cluster::backup`](crate::Cluster::backup) made, here or on another machine. Reads every file once.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] when a file is missing or is not what was saved.
    pub fn open(folder: &Path) -> Result<Self, BackupError> {
        let kept = Kept::open(folder)?;
        let applied = kept.meta.applied.map(LogId::from);
        let info = BackupInfo {
            cluster: ClusterId(kept.meta.cluster),
            node: NodeId(kept.meta.node),
            revision: machine::revision(&kept)?,
            state_hash: machine::state_hash(&kept)?,
            index: applied.map_or(0, |id| id.index),
            term: applied.map_or(0, |id| id.leader_id.term),
            feature_level: kept.meta.feature_level.max(1),
            files: kept.files(folder)?,
        };
        Ok(Self {
            folder: folder.to_owned(),
            kept,
            info,
        })
    }

    /// What it holds.
    #[must_use]
    pub fn info(&self) -> &BackupInfo {
        &self.info
    }

    /// Reads every row and compares the hash of all of them with the one that the cluster kept.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] when they differ.
    pub fn verify(&self) -> Result<(), BackupError> {
        let found = machine::recomputed_state_hash(&self.kept)?;
        if found == self.info.state_hash {
            return Ok(());
        }
        Err(BackupError::Damaged {
            path: self.folder.clone(),
            what: format!(
                "its rows have the hash {found:032x}, the cluster had {:032x}",
                self.info.state_hash
            ),
        })
    }
}

impl ReadStore for Backup {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.kept.get(table, key)
    }

    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        self.kept.scan(table, start, end, visit)
    }
}

/// A cluster that [`restore`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored<R> {
    /// Its first node.
    pub identity: Identity,
    /// What became of the commands applied first, in their order.
    pub replies: Vec<R>,
}

/// Ids of nodes are log indexes, and the cluster that was backed up may have given some away afterwards: the new one begins its
/// log at a round number at least this much later.
const APART: u64 = 1_000_000;

/// Makes, in the empty folder of `config`, the first node of a *new* cluster that begins with the state of a backup. `first` is
/// applied to it before anybody sees it: what must not outlive the old cluster goes there. [`Cluster::start`](crate::Cluster::start)
/// brings the node up; others join it.
///
/// The old cluster, should it still run, and the new one cannot speak to each other. No id that the old one had given when the
/// backup was made is given again, nor, as long as it wrote less than a million log entries since, any later one.
///
/// # Errors
/// [`BackupError`]. What was written by then is taken away again, as far as the disk allows.
pub fn restore<M: Machine>(
    config: &Config,
    backup: &Backup,
    machine: &M,
    first: Vec<M::Command>,
) -> Result<Restored<M::Reply>, BackupError> {
    config.check().map_err(StartError::from)?;
    let data_dir = &config.data_dir;
    if let Some(owner) = identity::inspect(data_dir)? {
        return Err(BackupError::Start(StartError::Occupied {
            path: data_dir.clone(),
            node: owner.node,
        }));
    }
    let known = machine.newest_level();
    if backup.info.feature_level > known {
        return Err(BackupError::Start(StartError::NewerLevel {
            path: backup.folder.clone(),
            found: backup.info.feature_level,
            known,
        }));
    }
    let begins = (backup.info.index / APART + 2) * APART;
    let identity = Identity {
        cluster: ClusterId(chance::draw_u128() | 1),
        node: NodeId(begins),
        incarnation: chance::draw_u64(),
        founder: false,
        seeds: Vec::new(),
    };
    identity::make_durably(data_dir).map_err(|e| at(data_dir, e))?;
    let made = fill(config, backup, machine, first, &identity);
    if made.is_err() {
        // The folder was empty before. What cannot be removed now is told by the next start.
        for name in ["log", "state", "snapshots", "incoming", "LOCK", "FORMAT", "identity"] {
            let path = data_dir.join(name);
            drop(fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)));
        }
    }
    Ok(Restored {
        replies: made?,
        identity,
    })
}

/// The log, the state, and last whose they are.
fn fill<M: Machine>(
    config: &Config,
    backup: &Backup,
    machine: &M,
    first: Vec<M::Command>,
    identity: &Identity,
) -> Result<Vec<M::Reply>, BackupError> {
    let data_dir = &config.data_dir;
    let _lock = identity::lock(data_dir)?;
    let id = identity.node.0;
    let term = backup.info.term + 1;
    LogStore::create_voting(&data_dir.join("log"), identity, vote(term, id, false))?;
    let address = match config.advertise.as_str() {
        "" => config.listen.as_str(),
        told => told,
    };
    let peer = Peer {
        address: address.to_owned(),
        incarnation: identity.incarnation,
    };
    let members = Membership::new(vec![[id].into()], std::collections::BTreeMap::from([(id, peer)]));
    let beginning = Beginning {
        owner: identity,
        applied: log_id(term, id, id),
        members: &members.map_err(|e| StartError::Core(e.to_string()))?,
    };
    let replies = crate::state::restore(data_dir, &backup.folder, &backup.kept, machine, first, &beginning)?;
    identity::seal(data_dir, identity)?;
    Ok(replies)
}

impl<M: Machine> Node<M> {
    pub(crate) async fn backup(&self, folder: &Path) -> Result<Backup, BackupError> {
        if self.life.is_closing() {
            return Err(BackupError::Stopped(self.life.reason()));
        }
        let (state, to) = (self.state.clone(), folder.to_owned());
        let written = tasks::blocking(move || {
            state.back_up(&to)?;
            Ok(Backup::open(&to))
        });
        written.await.map_err(|source: io::Error| at(folder, source))?
    }
}
