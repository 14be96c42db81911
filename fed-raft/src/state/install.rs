//! Installing a snapshot: a new generation beside the old, then one rename. A crash at any point leaves one valid
//! generation.

use std::io;
use std::sync::Arc;

use fed_core::machine::Machine;

use super::manifest::Manifest;
use super::snapshot::{SnapshotDir, clone_files};
use super::{State, db, owned_by};
use crate::identity::write_durably;
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
        let meta = owned_by(found, &self.identity);
        db::rewrite_meta(&generation, &meta).map_err(io::Error::other)?;
        crate::identity::sync_folder(&self.folders.state)?;

        let copy = self.folders.snapshots.join("installing");
        clone_files(&snapshot.path, manifest, &copy)?;
        // First the snapshot, then the switch: after a crash in between, openraft installs it again.
        self.adopt_snapshot(&copy, manifest.clone())?;
        write_durably(&self.folders.current(), format!("{number}\n").as_bytes()).map_err(io::Error::other)?;

        let generation = Arc::new(generation);
        let mut kept = self.meta.lock();
        *self.generation.write() = generation.clone();
        *kept = meta;
        self.publish(generation, &kept)?;
        drop(kept);
        self.hub.jump(self.revision());
        old.make_obsolete();
        Ok(())
    }
}
