//! The state as a folder to be kept elsewhere, and a new state made from one.

use std::io;
use std::ops::Bound;
use std::path::Path;

use fed_core::ids::ClientId;
use fed_core::kv::{Overlay, ReadStore, StoreError, Table, Visit};
use fed_core::machine::{Machine, Request, apply_batch};

use super::manifest::{self, Manifest};
use super::snapshot::clone_files;
use super::{Folders, State, db, owned_by};
use crate::error::{BackupError, StartError};
use crate::identity::{Identity, at, write_durably};
use crate::platform::{Database, Db, Kind, chance, fs};
use crate::raft::stored::{StoredMembers, StoredMeta};
use crate::raft::{LogId, Membership};

impl<M: Machine> State<M> {
    /// Copies the state as it is now into a new folder, with its manifest, durably. Blocks.
    pub(crate) fn back_up(&self, folder: &Path) -> io::Result<()> {
        let generation = self.generation.read().clone();
        generation.db().checkpoint(folder).map_err(io::Error::other)?;
        let meta = db::peek_meta(folder).map_err(io::Error::other)?;
        let manifest = Manifest::of(folder, &meta)?;
        let file = folder.join(manifest::FILE);
        fs::write(&file, &manifest.bytes()?)?;
        for file in &manifest.files {
            fs::sync(&folder.join(&file.name))?;
        }
        fs::sync(&file)?;
        fs::sync(folder)
    }
}

/// The files of a backup, whole and open for reading.
pub(crate) struct Kept {
    pub(crate) manifest: Manifest,
    pub(crate) meta: StoredMeta,
    db: Db,
}

impl Kept {
    /// Opens the folder after every file in it was compared with the manifest. Changes nothing there.
    pub(crate) fn open(folder: &Path) -> Result<Self, BackupError> {
        let damaged = |what: String| BackupError::Damaged {
            path: folder.to_owned(),
            what,
        };
        let read = Manifest::read(folder).map_err(|e| damaged(format!("{} cannot be read: {e}", manifest::FILE)));
        let manifest = read?;
        for file in &manifest.files {
            let whole = file.is_safe() && file.matches(&folder.join(&file.name)).unwrap_or(false);
            if !whole {
                return Err(damaged(format!("{} is missing or not what was saved", file.name)));
            }
        }
        let meta = db::peek_meta(folder).map_err(damaged)?;
        let db = Db::peek(folder, Kind::State).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { manifest, meta, db })
    }

    /// The names and sizes of all files, the manifest last.
    pub(crate) fn files(&self, folder: &Path) -> Result<Vec<(String, u64)>, BackupError> {
        let manifest = folder.join(manifest::FILE);
        let size = fs::length(&manifest).map_err(|e| at(&manifest, e))?;
        let files = self.manifest.files.iter().map(|file| (file.name.clone(), file.size));
        Ok(files.chain([(manifest::FILE.to_owned(), size)]).collect())
    }
}

impl ReadStore for Kept {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        db::get(&self.db, table, key)
    }

    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        db::scan(&self.db, table, start, end, visit)
    }
}

/// Who a restored state belongs to, and where it begins.
pub(crate) struct Beginning<'a> {
    pub(crate) owner: &'a Identity,
    pub(crate) applied: LogId,
    pub(crate) members: &'a Membership,
}

/// Makes the state of a new cluster from the files of a backup and applies `first` to it; the replies to those.
pub(crate) fn restore<M: Machine>(
    data_dir: &Path,
    from: &Path,
    kept: &Kept,
    machine: &M,
    first: Vec<M::Command>,
    beginning: &Beginning<'_>,
) -> Result<Vec<M::Reply>, BackupError> {
    let folders = Folders::of(data_dir);
    for folder in [&folders.state, &folders.snapshots, &folders.incoming] {
        fs::create_dir_all(folder).map_err(|e| at(folder, e))?;
    }
    let path = folders.generation(1);
    clone_files(from, &kept.manifest, &path).map_err(|e| at(&path, e))?;
    let (generation, mut meta) = db::open(&path, 1)?;
    if let Some(members) = meta.members.take() {
        let before = members.membership().map_err(StartError::Core)?;
        meta.retired.extend(before.nodes().map(|(&id, _)| id));
    }
    meta.applied = Some(beginning.applied.into());
    meta.members_at = meta.applied;
    meta.members = Some(StoredMembers::from(beginning.members));
    let meta = owned_by(meta, beginning.owner);

    let client = ClientId(chance::draw_u128());
    let requests = (1..).zip(first).map(|(sequence, command)| Request {
        client,
        sequence,
        command,
    });
    let mut overlay = Overlay::new(&generation);
    let outcomes = apply_batch(machine, &mut overlay, requests.collect())?;
    let changes = overlay.into_changes();
    let failed = |what: String| StartError::Damaged {
        path: path.clone(),
        what,
    };
    generation.write(changes, &meta).map_err(failed)?;
    generation.db().sync().map_err(|e| failed(e.to_string()))?;
    drop(generation);
    write_durably(&folders.current(), b"1\n")?;
    fs::sync(&folders.state).map_err(|e| at(&folders.state, e))?;
    Ok(outcomes.into_iter().map(|outcome| outcome.reply).collect())
}
