//! Snapshots on disk: checkpoints of the database (hard links) with a manifest. Complete, or not there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fed_core::machine::Machine;

use super::manifest::{self, Manifest, ManifestFile};
use super::{State, db};
use crate::error::StartError;
use crate::identity::at;
use crate::platform::{Database, fs};
use crate::raft::LogId;

const BUILDING: &str = "building";

/// A complete snapshot. Its folder goes when it is replaced and nobody sends it any more.
pub(crate) struct SnapshotDir {
    pub(crate) path: PathBuf,
    pub(crate) manifest: Manifest,
    obsolete: AtomicBool,
}

impl SnapshotDir {
    pub(crate) fn new(path: PathBuf, manifest: Manifest) -> Self {
        Self {
            path,
            manifest,
            obsolete: AtomicBool::new(false),
        }
    }

    /// What is wrong with its files, if something is.
    #[cfg(feature = "simulation")]
    pub(crate) fn damage(&self) -> Option<String> {
        let whole = |file: &ManifestFile| file.matches(&self.path.join(&file.name)).unwrap_or(false);
        let damaged = self.manifest.files.iter().find(|file| !whole(file))?;
        Some(format!("{} damaged in {}", damaged.name, self.path.display()))
    }
}

impl Drop for SnapshotDir {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire)
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            // The next start removes it.
            tracing::warn!(folder = %self.path.display(), %error, "an old snapshot could not be removed");
        }
    }
}

/// The newest complete snapshot; everything else in the folder goes.
pub(super) fn find(folder: &Path) -> Result<Option<Arc<SnapshotDir>>, StartError> {
    let mut newest: Option<SnapshotDir> = None;
    fs::create_dir_all(folder).map_err(|e| at(folder, e))?;
    for entry in fs::list(folder).map_err(|e| at(folder, e))? {
        let path = folder.join(entry.name);
        let found = match Manifest::read(&path) {
            Ok(manifest) => SnapshotDir::new(path, manifest),
            Err(_) => {
                fs::remove_dir_all(&path).map_err(|e| at(&path, e))?;
                continue;
            }
        };
        let (keep, drop) = match newest.take() {
            Some(other) if other.manifest.index() >= found.manifest.index() => (other, Some(found)),
            other => (found, other),
        };
        if let Some(old) = drop {
            old.obsolete.store(true, Ordering::Release);
        }
        newest = Some(keep);
    }
    Ok(newest.map(Arc::new))
}

impl<M: Machine> State<M> {
    pub(crate) fn last_snapshot(&self) -> Option<Arc<SnapshotDir>> {
        self.last_snapshot.lock().clone()
    }

    /// Makes a snapshot of what is applied now. Blocks for as long as it takes to write memory to disk and to
    /// read the whole state once.
    pub(crate) fn build_snapshot(&self) -> io::Result<Arc<SnapshotDir>> {
        let generation = self.generation.read().clone();
        let building = self.folders.snapshots.join(BUILDING);
        if fs::exists(&building) {
            fs::remove_dir_all(&building)?;
        }
        generation.db().checkpoint(&building).map_err(io::Error::other)?;
        // Applies go on meanwhile: what the checkpoint holds, only the checkpoint knows.
        let meta = db::peek_meta(&building).map_err(io::Error::other)?;
        if let Some(newer) = self.last_snapshot()
            && newer.manifest.last.map(LogId::from) > meta.applied.map(LogId::from)
        {
            // One came in from the leader meanwhile.
            fs::remove_dir_all(&building)?;
            return Ok(newer);
        }
        let manifest = Manifest::of(&building, &meta)?;
        self.adopt_snapshot(&building, manifest)
    }

    /// Makes the files in `folder` the last snapshot.
    pub(super) fn adopt_snapshot(&self, folder: &Path, manifest: Manifest) -> io::Result<Arc<SnapshotDir>> {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is("snapshot-in-place") || crate::planted::is("purge-too-early") {
            return self.adopt_too_early(folder, manifest);
        }
        let file = folder.join(manifest::FILE);
        fs::write(&file, &manifest.bytes()?)?;
        for ManifestFile { name, .. } in &manifest.files {
            fs::sync(&folder.join(name))?;
        }
        fs::sync(&file)?;
        fs::sync(folder)?;
        let path = self.free_name(manifest.index());
        fs::rename(folder, &path)?;
        fs::sync(&self.folders.snapshots)?;
        let snapshot = Arc::new(SnapshotDir::new(path, manifest));
        #[cfg(feature = "simulation")]
        if let Some(last) = snapshot.manifest.last {
            let made = crate::witness::Happened::Snapshot(crate::witness::Place::of(last.into()));
            crate::witness::saw(self.identity.node.0, made);
        }
        let old = self.last_snapshot.lock().replace(snapshot.clone());
        if let Some(old) = old {
            old.obsolete.store(true, Ordering::Release);
        }
        Ok(snapshot)
    }

    #[cfg(feature = "planted-bugs")]
    fn adopt_too_early(&self, folder: &Path, manifest: Manifest) -> io::Result<Arc<SnapshotDir>> {
        let path = self.free_name(manifest.index());
        fs::rename(folder, &path)?;
        fs::write(&path.join(manifest::FILE), &manifest.bytes()?)?;
        let snapshot = Arc::new(SnapshotDir::new(path, manifest));
        #[cfg(feature = "simulation")]
        if let (Some(last), true) = (snapshot.manifest.last, crate::planted::is("snapshot-in-place")) {
            let made = crate::witness::Happened::Snapshot(crate::witness::Place::of(last.into()));
            crate::witness::saw(self.identity.node.0, made);
        }
        *self.last_snapshot.lock() = Some(snapshot.clone());
        Ok(snapshot)
    }

    fn free_name(&self, index: u64) -> PathBuf {
        (0_u32..)
            .map(|n| self.folders.snapshots.join(format!("{index}-{n}")))
            .find(|path| !fs::exists(path))
            .expect("a folder holds fewer than four billion snapshots")
    }
}

/// Puts the snapshot's files into a new folder: what the database never changes as hard links, the rest as copies.
pub(super) fn clone_files(from: &Path, manifest: &Manifest, to: &Path) -> io::Result<()> {
    if fs::exists(to) {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for file in &manifest.files {
        let (source, target) = (from.join(&file.name), to.join(&file.name));
        if !file.name.ends_with(".sst") || fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
        }
        fs::sync(&target)?;
    }
    fs::sync(to)
}
