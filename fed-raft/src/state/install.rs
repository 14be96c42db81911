//! Installing a snapshot: a new generation beside the old, then one rename. A crash at any point leaves one valid
//! generation.

use std::io;
use std::sync::Arc;

use fed_core::machine::Machine;

use super::manifest::Manifest;
use super::snapshot::{SnapshotDir, clone_files};
use super::{State, db, owned_by};
use crate::identity::write_durably;
use crate::platform::fs;
use crate::raft::LogId;

impl<M: Machine> State<M> {
    /// Replaces the whole state with the snapshot's.
    pub(super) fn install(&self, snapshot: &SnapshotDir, index: u64) -> io::Result<()> {
        let manifest: &Manifest = &snapshot.manifest;
        for file in &manifest.files {
            if !file.is_safe() || !file.matches(&snapshot.path.join(&file.name))? {
                return Err(io::Error::other(format!(
                    "the snapshot's file {} is damaged",
                    file.name
                )));
            }
        }
        let old = self.generation.read().clone();
        let number = old.number + 1;
        let path = self.folders.generation(number);
        clone_files(&snapshot.path, manifest, &path)?;
        let (generation, found) = db::open(&path, number).map_err(io::Error::other)?;
        let at = found.applied.map_or(0, |id| LogId::from(id).index);
        if at != index || found.cluster != self.identity.cluster.0 {
            return Err(io::Error::other(format!(
                "the snapshot ends at {at} of cluster {:032x}, not at {index} of {}",
                found.cluster, self.identity.cluster
            )));
        }
        self.check_level(found.feature_level).map_err(io::Error::other)?;
        let meta = owned_by(found, &self.identity);
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is("install-keeps-deleted") {
            let kept = keep_deleted(&old, &generation).map_err(io::Error::other)?;
            generation.write(kept, &meta).map_err(io::Error::other)?;
        }
        db::rewrite_meta(&generation, &meta).map_err(io::Error::other)?;
        fs::sync(&self.folders.state)?;

        let copy = self.folders.snapshots.join("installing");
        clone_files(&snapshot.path, manifest, &copy)?;
        // First the snapshot, then the switch: after a crash in between, openraft installs it again.
        self.adopt_snapshot(&copy, manifest.clone())?;
        write_durably(&self.folders.current(), format!("{number}\n").as_bytes()).map_err(io::Error::other)?;

        let generation = Arc::new(generation);
        let _turn = self.turn.lock();
        *self.generation.write() = generation.clone();
        *self.meta.lock() = meta.clone();
        self.publish(generation, &meta)?;
        #[cfg(feature = "simulation")]
        self.tell_installed()?;
        self.hub.jump(self.revision());
        old.make_obsolete();
        tracing::info!(revision = self.revision().0, "a snapshot was installed");
        Ok(())
    }

    #[cfg(feature = "simulation")]
    fn tell_installed(&self) -> io::Result<()> {
        let view = self.view();
        let Some(at) = view.applied() else { return Ok(()) };
        let installed = crate::witness::Happened::Installed {
            at: crate::witness::Place::of(at),
            revision: view.revision().0,
            hash: fed_core::machine::state_hash(&*view).map_err(io::Error::other)?,
            recomputed: fed_core::machine::recomputed_state_hash(&*view).map_err(io::Error::other)?,
        };
        crate::witness::saw(self.identity.node.0, installed);
        Ok(())
    }
}

/// The planted bug: the rows of the old state that the new one does not have.
#[cfg(feature = "planted-bugs")]
fn keep_deleted(
    old: &db::Generation,
    new: &db::Generation,
) -> Result<Vec<fed_core::kv::Change>, fed_core::kv::StoreError> {
    use std::ops::{Bound, ControlFlow};

    use fed_core::kv::{Before, Change, ReadStore, Table};
    let mut kept = Vec::new();
    for table in (16..32).map(Table) {
        old.scan(table, Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            if new.get(table, key).is_ok_and(|there| there.is_none()) {
                kept.push(Change {
                    table,
                    key: key.to_vec(),
                    value: Some(value.to_vec()),
                    before: Before::Unknown,
                });
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(kept)
}
