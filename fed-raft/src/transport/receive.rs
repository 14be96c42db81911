//! Receiving a snapshot into `incoming/`. What was received stays there until the snapshot is whole, so that a
//! transfer that broke off goes on where it was.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fed_core::machine::Machine;
use fed_proto::peer as proto;
use proto::snapshot_part::Part;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::server::core_stopped;
use crate::node::Node;
use crate::platform::{fs, tasks};
use crate::raft::stored::StoredMembers;
use crate::raft::wire::{self, Malformed};
use crate::raft::{LogId, SnapshotMeta, Vote};
use crate::state::{Manifest, ManifestFile, SnapshotDir};

/// Receives one snapshot and has it installed.
pub(super) async fn receive<M: Machine>(
    node: &Node<M>,
    mut parts: Streaming<proto::SnapshotPart>,
    replies: &mpsc::Sender<Result<proto::SnapshotReply, Status>>,
) -> Result<(), Status> {
    use proto::snapshot_reply::{Reply, Wanted};
    let first = parts.message().await?.and_then(|part| part.part);
    let Some(Part::Header(header)) = first else {
        return Err(Malformed("snapshot header").into());
    };
    let gone = |_| Status::cancelled("the sender has gone");
    let answer = |reply| {
        let reply = Some(reply);
        replies.send(Ok(proto::SnapshotReply { reply }))
    };
    let _only_one = node
        .receiving
        .try_lock()
        .map_err(|_| Status::resource_exhausted("another snapshot is coming in"))?;
    let incoming = Incoming::new(node.state.incoming(), header)?;
    let offsets = incoming.offsets().await?;
    answer(Reply::Wanted(Wanted { offsets })).await.map_err(gone)?;
    incoming.take(&mut parts).await?;
    let vote = incoming.vote;
    let (meta, snapshot) = incoming.complete().await?;
    let snapshot = openraft::Snapshot { meta, snapshot };
    let installed = node.raft.install_full_snapshot(vote, snapshot).await;
    let response = installed.map_err(core_stopped)?;
    node.heard_from_leader();
    let vote = wire::to_vote(&response.vote);
    answer(Reply::Installed(vote)).await.map_err(gone)
}

/// A snapshot on its way in.
struct Incoming {
    folder: PathBuf,
    vote: Vote,
    meta: SnapshotMeta,
    files: Vec<ManifestFile>,
}

impl Incoming {
    fn new(folder: &Path, header: proto::SnapshotHeader) -> Result<Self, Malformed> {
        let meta = wire::from_snapshot_header(&header)?;
        let files = header
            .files
            .into_iter()
            .map(|file| {
                let checksum = <[u8; 16]>::try_from(&*file.checksum).map_err(|_| Malformed("snapshot checksum"))?;
                let file = ManifestFile {
                    name: file.name,
                    size: file.size,
                    checksum: u128::from_be_bytes(checksum),
                };
                file.is_safe().then_some(file).ok_or(Malformed("snapshot file name"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            folder: folder.to_owned(),
            vote: wire::from_vote(header.vote)?,
            meta,
            files,
        })
    }

    /// Where each file goes while it is incomplete: by content, so that it is found again.
    fn path(&self, file: &ManifestFile) -> PathBuf {
        self.folder.join(format!("{:032x}-{}", file.checksum, file.name))
    }

    /// How much of each file is there; files of other snapshots go.
    async fn offsets(&self) -> io::Result<Vec<u64>> {
        let folder = self.folder.clone();
        let wanted: Vec<(PathBuf, u64)> = self.files.iter().map(|file| (self.path(file), file.size)).collect();
        tasks::blocking(move || {
            fs::create_dir_all(&folder)?;
            for found in fs::list(&folder)? {
                let path = folder.join(found.name);
                if found.is_dir {
                    fs::remove_dir_all(&path)?;
                } else if !wanted.iter().any(|(wanted, _)| *wanted == path) {
                    fs::remove_file(&path)?;
                }
            }
            let mut offsets = Vec::with_capacity(wanted.len());
            for (path, size) in &wanted {
                let there = fs::length(path).unwrap_or(0);
                if there > *size {
                    fs::remove_file(path)?;
                }
                offsets.push(if there > *size { 0 } else { there });
            }
            Ok(offsets)
        })
        .await
    }

    /// Writes what comes until the end.
    async fn take(&self, parts: &mut Streaming<proto::SnapshotPart>) -> Result<(), Status> {
        loop {
            let part = parts.message().await?.and_then(|part| part.part);
            let chunk = match part {
                Some(Part::Chunk(chunk)) => chunk,
                Some(Part::End(_)) => return Ok(()),
                Some(Part::Header(_)) | None => {
                    return Err(Status::invalid_argument("the snapshot broke off"));
                }
            };
            let wanted = self
                .files
                .get(chunk.file as usize)
                .ok_or(Malformed("snapshot file number"))?;
            if chunk.offset.saturating_add(chunk.data.len() as u64) > wanted.size {
                return Err(Malformed("snapshot offset").into());
            }
            let path = self.path(wanted);
            tasks::blocking(move || fs::write_at(&path, chunk.offset, &chunk.data)).await?;
        }
    }

    /// Checks the files and gives them their names. A file that is not what it should be goes, so that the next
    /// attempt sends it anew.
    async fn complete(self) -> io::Result<(SnapshotMeta, Arc<SnapshotDir>)> {
        tasks::blocking(move || {
            let folder = self.folder.join("complete");
            if fs::exists(&folder) {
                fs::remove_dir_all(&folder)?;
            }
            fs::create_dir_all(&folder)?;
            for file in &self.files {
                let path = self.path(file);
                if !fs::exists(&path) && file.size == 0 {
                    fs::write(&path, b"")?;
                }
                if !file.matches(&path)? {
                    fs::remove_file(&path)?;
                    return Err(io::Error::other(format!("the file {} arrived damaged", file.name)));
                }
            }
            for file in &self.files {
                fs::rename(&self.path(file), &folder.join(&file.name))?;
            }
            let members = &self.meta.last_membership;
            let manifest = Manifest {
                last: self.meta.last_log_id.map(Into::into),
                members_at: members.log_id().map(|id: LogId| id.into()),
                members: Some(StoredMembers::from(members.membership())),
                files: self.files,
            };
            Ok((self.meta, Arc::new(SnapshotDir::new(folder, manifest))))
        })
        .await
    }
}
