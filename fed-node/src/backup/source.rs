//! A backup at a running node: the state's files in a folder of its own, packed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fed_core::map::FederationMap;
use fed_raft::{Cluster, Consistency};

use super::archive::Packer;
use super::file::{CLUSTER_KEY, HEAD};
use super::head::Head;
use super::scratch::Scratch;

/// Longest wait for a majority to confirm that nothing acknowledged is missing.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);

/// The folder, inside the data folder, of backups that are being made.
fn workshop(data_dir: &Path) -> PathBuf {
    data_dir.join("backup-in-progress")
}

/// What backups are made of.
#[derive(Clone)]
pub struct Source {
    cluster: Cluster<FederationMap>,
    data_dir: PathBuf,
    node_name: String,
}

impl Source {
    /// Backups of the cluster whose member has its data in `data_dir`. What an interrupted one left there goes.
    #[must_use]
    pub fn new(cluster: Cluster<FederationMap>, data_dir: &Path, node_name: &str) -> Self {
        let left = workshop(data_dir);
        match std::fs::remove_dir_all(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(folder = %left.display(), %error, "what an interrupted backup left cannot be removed");
            }
            _ => {}
        }
        Self {
            cluster,
            data_dir: data_dir.to_owned(),
            node_name: node_name.to_owned(),
        }
    }

    /// Takes the state as it is now. With a quorum, everything that was acknowledged before this call is in it.
    ///
    /// # Errors
    /// What was in the way, in words.
    pub async fn make(&self) -> Result<Making, String> {
        let confirmed = self.cluster.read(Consistency::Linearizable, CONFIRMED_WITHIN).await;
        let complete = confirmed.is_ok();
        drop(confirmed);
        let words = |error: &dyn std::fmt::Display| format!("the backup could not be made: {error}");
        let scratch = Scratch::new(&workshop(&self.data_dir)).map_err(|error| words(&error))?;
        let folder = scratch.path().join("state");
        let backup = self.cluster.backup(&folder).await.map_err(|error| words(&error))?;
        let key = match std::fs::read(self.data_dir.join("security").join(CLUSTER_KEY)) {
            Ok(key) => Some(key),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(words(&format!("{CLUSTER_KEY}: {error}"))),
        };
        let head = Head::of(&backup, &self.node_name, complete, key.is_some()).map_err(|error| words(&error))?;
        Ok(Making {
            head,
            files: backup.info().files.clone(),
            folder,
            key,
            _scratch: scratch,
        })
    }
}

/// A backup in a folder that goes with it.
pub struct Making {
    head: Head,
    files: Vec<(String, u64)>,
    folder: PathBuf,
    key: Option<Vec<u8>>,
    _scratch: Scratch,
}

impl Making {
    /// What is in it.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Writes all of it. Blocks.
    ///
    /// # Errors
    /// When a file cannot be read, or `out` not be written.
    pub fn pack(&self, out: impl Write) -> io::Result<()> {
        let mut packer = Packer::new(out);
        let head = serde_json::to_vec_pretty(&self.head)?;
        packer.add(HEAD, head.len() as u64, &head[..])?;
        if let Some(key) = &self.key {
            packer.add(CLUSTER_KEY, key.len() as u64, &key[..])?;
        }
        for (name, size) in &self.files {
            packer.add(name, *size, File::open(self.folder.join(name))?)?;
        }
        packer.finish().map(drop)
    }
}
