//! Snapshots on disk: checkpoints of the database (hard links) with a manifest. Complete, or not there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use fed_core::machine::Machine;

use super::manifest::{self, Manifest, ManifestFile};
use super::{State, db};
use crate::error::StartError;
use crate::identity::at;
use crate::platform::{Database, fs};
use crate::raft::LogId;

const BUILDING: &str = "building";
/// Begins the name of a snapshot that is being removed.
const GOING: &str = "going-";

/// A complete snapshot. Its folder goes when it is replaced and nobody sends it any more.
pub(crate) struct SnapshotDir {
    pub(crate) path: PathBuf,
    pub(crate) manifest: Manifest,
    obsolete: AtomicBool,
    /// The first file that was found not to be what the manifest says.
    damaged: OnceLock<PathBuf>,
}

impl SnapshotDir {
    pub(crate) fn new(path: PathBuf, manifest: Manifest) -> Self {
        Self {
            path,
            manifest,
            obsolete: AtomicBool::new(false),
            damaged: OnceLock::new(),
        }
    }

    /// Reads all its files and compares them with the manifest; whether they are what it says. Blocks for as long as that takes.
    pub(crate) fn check(&self) -> bool {
        let damaged = self.manifest.files.iter().find(|file| {
            match file.matches(&self.path.join(&file.name)) {
                Ok(whole) => !whole,
                // Any other error says nothing of what the file holds.
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            }
        });
        if let Some(file) = damaged {
            self.damaged.get_or_init(|| self.path.join(&file.name));
        }
        damaged.is_none()
    }

    /// What [`SnapshotDir::check`] found, with the two ways out.
    pub(crate) fn damage(&self) -> Option<StartError> {
        self.damaged.get().map(|path| StartError::Damaged {
            path: path.clone(),
            what: NOT_THE_MANIFESTS.to_owned(),
        })
    }
}

const NOT_THE_MANIFESTS: &str = "the snapshot's file is damaged: it is not what the manifest beside it says";

impl Drop for SnapshotDir {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire)
            && let Err(error) = set_aside(&self.path).and_then(|going| fs::remove_dir_all(&going))
        {
            // The next start removes it.
            tracing::warn!(folder = %self.path.display(), %error, "an old snapshot could not be removed");
        }
    }
}

/// Takes its name from a snapshot before anything of it is removed: the name says that it is whole.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let going = path.with_file_name(format!("{GOING}{name}"));
    fs::rename(path, &going)?;
    if let Some(folder) = path.parent() {
        fs::sync(folder)?;
    }
    Ok(going)
}

/// The newest complete snapshot; everything else in the folder goes.
pub(super) fn find(folder: &Path) -> Result<Option<Arc<SnapshotDir>>, StartError> {
    let mut newest: Option<SnapshotDir> = None;
    fs::create_dir_all(folder).map_err(|e| at(folder, e))?;
    for entry in fs::list(folder).map_err(|e| at(folder, e))? {
        let path = folder.join(entry.name);
        let found = match Manifest::read(&path) {
            Ok(manifest) => SnapshotDir::new(path, manifest),
            // Its name is given to a folder last, when all that is in it is synced.
            Err(error) if has_its_name(&path) => {
                let path = path.join(manifest::FILE);
                let what = format!("the snapshot's manifest is damaged: {error}");
                return Err(StartError::Damaged { path, what });
            }
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

/// Whether the folder is called what a complete snapshot is: see [`State::adopt_snapshot`].
fn has_its_name(folder: &Path) -> bool {
    let name = folder.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_digit()))
}

impl<M: Machine> State<M> {
    /// Refuses a snapshot that the state is to be made of and that is damaged: the state is behind it when the node died while it was
    /// installed.
    pub(crate) fn check_snapshot_ahead(&self) -> Result<(), StartError> {
        let Some(snapshot) = self.last_snapshot() else {
            return Ok(());
        };
        if snapshot.manifest.last.map(LogId::from) <= self.view().applied() || snapshot.check() {
            return Ok(());
        }
        snapshot.damage().map_or(Ok(()), Err)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_was_being_removed_when_the_process_was_killed_is_no_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = Manifest {
            last: None,
            members_at: None,
            members: None,
            files: Vec::new(),
        };
        let path = folder.path().join("5-0");
        let make = || {
            fs::create_dir_all(&path).expect("makes");
            fs::write(&path.join(manifest::FILE), &manifest.bytes().expect("is written")).expect("writes");
        };
        make();
        let found = find(folder.path()).expect("whole").expect("a snapshot");
        found.obsolete.store(true, Ordering::Release);
        drop(found);
        assert!(!fs::exists(&path), "one that is replaced goes");
        make();
        let going = set_aside(&path).expect("renames");
        // The manifest happened to go first.
        std::fs::remove_file(going.join(manifest::FILE)).expect("removes");
        assert!(find(folder.path()).expect("no damage").is_none());
        assert!(
            fs::list(folder.path()).expect("reads").is_empty(),
            "what was left of it is gone"
        );
    }
}
