//! The state of a survivor: what it holds, and its new owner.

use std::path::Path;

use fed_core::ids::Revision;
use fed_core::machine;

use super::{Folders, current_generation, db, owned_by};
use crate::error::StartError;
use crate::identity::{Identity, at};
use crate::platform::fs;
use crate::raft::stored::StoredMeta;
use crate::raft::{LogId, Membership};

/// What a state says to somebody who decides about a recovery.
pub(crate) struct Inspected {
    pub(crate) applied: Option<LogId>,
    pub(crate) members: Option<Membership>,
    pub(crate) revision: Revision,
}

/// Looks at the state of `old`, or of `new` when a recovery got that far.
pub(crate) fn inspect(data_dir: &Path, old: &Identity, new: Option<&Identity>) -> Result<Inspected, StartError> {
    let (generation, meta, path) = open(data_dir, old, new)?;
    let damaged = |what: String| StartError::Damaged { path, what };
    let members = meta.members.map(crate::raft::stored::StoredMembers::membership);
    let members = members.transpose().map_err(damaged)?;
    let revision = machine::revision(&generation).map_err(|e| StartError::Core(e.to_string()))?;
    Ok(Inspected {
        applied: meta.applied.map(LogId::from),
        members,
        revision,
    })
}

/// Gives the state to `new`, durably. Snapshots still belong to the old cluster: they go, and the next start makes
/// one when it needs one.
pub(crate) fn change_owner(data_dir: &Path, old: &Identity, new: &Identity) -> Result<(), StartError> {
    let (generation, meta, path) = open(data_dir, old, Some(new))?;
    let damaged = |what: String| StartError::Damaged { path, what };
    db::rewrite_meta(&generation, &owned_by(meta, new)).map_err(damaged)?;
    drop(generation);
    let folders = Folders::of(data_dir);
    for folder in [&folders.snapshots, &folders.incoming] {
        fs::remove_dir_all(folder)
            .and_then(|()| fs::create_dir_all(folder))
            .map_err(|e| at(folder, e))?;
    }
    fs::sync(data_dir).map_err(|e| at(data_dir, e))
}

fn open(
    data_dir: &Path,
    old: &Identity,
    new: Option<&Identity>,
) -> Result<(db::Generation, StoredMeta, std::path::PathBuf), StartError> {
    let folders = Folders::of(data_dir);
    let number = current_generation(&folders, old)?;
    let path = folders.generation(number);
    let (generation, meta) = db::open(&path, number)?;
    let belongs_to = |to: &Identity| owned_by(meta.clone(), to) == meta;
    if belongs_to(old) || new.is_some_and(belongs_to) {
        Ok((generation, meta, path))
    } else {
        Err(StartError::Mixed {
            path,
            part: "the state",
        })
    }
}
