//! A folder for a while, for its owner alone: what is in it is not encrypted.

use std::io;
use std::path::{Path, PathBuf};

use crate::leftovers;

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new folder inside `parent`, which is made when it is not there.
    pub(super) fn new(parent: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = parent.join(format!("fed-backup-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(parent)?;
        leftovers::note(&path);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        leftovers::forget(&self.0);
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "a folder of a backup could not be removed: remove it, it is not encrypted");
        }
    }
}
