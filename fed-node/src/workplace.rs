//! Where a node's folder is made until it is whole: `<data_dir>/unfinished`. What an interrupted `init` or `backup restore` left there
//! stands in nobody's way, and goes with the next try.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::founding::{cluster_dir, raft_config};
use crate::{leftovers, talk};

/// The folder, which goes with everything in it when this is dropped.
pub(crate) struct Workplace {
    data_dir: PathBuf,
    folder: PathBuf,
}

impl Workplace {
    /// A new one in a data folder that is there.
    ///
    /// # Errors
    /// When it cannot be made, or what is left of an earlier one not be removed.
    pub(crate) fn begin(data_dir: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = folder(data_dir);
        clear(&folder)?;
        leftovers::note(&folder);
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self {
            data_dir: data_dir.to_owned(),
            folder,
        })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// What fed-raft needs to know, to make the node's cluster folder here.
    pub(crate) fn raft_config(&self, config: &Config) -> fed_raft::Config {
        let mut raft = raft_config(config);
        raft.data_dir = cluster_dir(&self.folder);
        raft
    }

    /// Puts the cluster folder where it belongs, in one step: from then on the data folder is a node's.
    ///
    /// # Errors
    /// When it cannot be put there; the data folder is nobody's then.
    pub(crate) fn finish(self) -> io::Result<()> {
        std::fs::rename(cluster_dir(&self.folder), cluster_dir(&self.data_dir))?;
        // In this order: after a power cut it has the new name, or none, but never both, of which one would be swept away with all that is in it.
        std::fs::File::open(&self.folder)?.sync_all()?;
        std::fs::File::open(&self.data_dir)?.sync_all()
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        match clear(&self.folder) {
            Ok(()) => leftovers::forget(&self.folder),
            Err(error) => talk!("{}: {error}; remove it, it is not encrypted", self.folder.display()),
        }
    }
}

/// Removes what an interrupted command left in the folder of a node, which needs it no more.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn sweep(data_dir: &Path) -> io::Result<()> {
    clear(&folder(data_dir))
}

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("unfinished")
}

fn clear(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
