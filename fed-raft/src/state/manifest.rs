//! What a snapshot consists of: the entry it ends with, the members, and its files with their checksums.

use std::io;
use std::path::Path;

use fed_core::codec;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::platform::fs;
use crate::raft::stored::{StoredLogId, StoredMembers, StoredMeta};
use crate::raft::{LogId, SnapshotMeta, StoredMembership};

const KIND_MANIFEST: u8 = 134;
pub(super) const FILE: &str = "MANIFEST.fed";

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestFile {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// XXH3, 128 bits.
    pub(crate) checksum: u128,
}

/// Frozen: version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) last: Option<StoredLogId>,
    pub(crate) members_at: Option<StoredLogId>,
    pub(crate) members: Option<StoredMembers>,
    pub(crate) files: Vec<ManifestFile>,
}

impl Manifest {
    /// Of a checkpoint that was made in `folder` and says `meta` of itself.
    pub(super) fn of(folder: &Path, meta: &StoredMeta) -> io::Result<Self> {
        let mut files = Vec::new();
        for found in fs::list(folder)? {
            if found.name == "LOCK" || found.name.starts_with("LOG") || found.is_dir {
                continue;
            }
            files.push(ManifestFile::of(folder, &found.name)?);
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            last: meta.applied,
            members_at: meta.members_at,
            members: meta.members.clone(),
            files,
        })
    }

    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let bytes = fs::read(&folder.join(FILE))?;
        codec::decode(KIND_MANIFEST, 1, &bytes).map_err(io::Error::other)
    }

    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        codec::encode(KIND_MANIFEST, 1, self).map_err(io::Error::other)
    }

    pub(crate) fn meta(&self) -> io::Result<SnapshotMeta> {
        let members = match self.members.clone() {
            Some(members) => members.membership().map_err(io::Error::other)?,
            None => crate::raft::Membership::default(),
        };
        Ok(SnapshotMeta {
            last_log_id: self.last.map(LogId::from),
            last_membership: StoredMembership::new(self.members_at.map(LogId::from), members),
        })
    }

    pub(crate) fn index(&self) -> u64 {
        self.last.map_or(0, |id| LogId::from(id).index)
    }
}

impl ManifestFile {
    pub(crate) fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        Ok(Self {
            name: name.to_owned(),
            size: fs::length(&path)?,
            checksum: checksum(&path)?,
        })
    }

    /// Whether the file is there, whole and undamaged.
    pub(crate) fn matches(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::length(path)? == self.size && checksum(path)? == self.checksum)
    }

    /// A plain name, so that nothing is written outside the folder.
    pub(crate) fn is_safe(&self) -> bool {
        !self.name.is_empty()
            && self.name != FILE
            && !self.name.starts_with('.')
            && self
                .name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    }
}

/// Read at once when a checksum is taken.
const CHUNK: usize = 1 << 20;

fn checksum(path: &Path) -> io::Result<u128> {
    let mut hasher = Xxh3::new();
    let mut offset = 0;
    loop {
        let bytes = fs::read_at(path, offset, CHUNK)?;
        if bytes.is_empty() {
            return Ok(hasher.digest128());
        }
        offset += bytes.len() as u64;
        hasher.update(&bytes);
    }
}
