//! Sending a snapshot: a header, then of each file what the other side does not have yet.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fed_proto::peer as proto;
use openraft::errors::{NetworkError, StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;
use prometheus_client::metrics::counter::Counter;
use proto::snapshot_part::Part;
use proto::snapshot_reply::Reply;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::channels::{Channels, Client};
use crate::platform::{fs, tasks};
use crate::raft::{LogId, TypeConfig, Vote, wire};
use crate::state::SnapshotDir;

const CHUNK: usize = 256 << 10;
/// The other side checks and installs the whole snapshot before it answers.
const INSTALL: Duration = Duration::from_secs(300);
/// No part was taken for this long: the connection is dead.
const STALL: Duration = Duration::from_secs(10);

type Sent = Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>>;

pub(super) async fn snapshot(
    channels: Arc<Channels>,
    mut client: Client,
    node: u64,
    vote: Vote,
    snapshot: Arc<SnapshotDir>,
) -> Sent {
    let header = header(&vote, &snapshot).map_err(|e| broken(&e))?;
    let checked = snapshot.clone();
    let whole = tasks::blocking(move || Ok(checked.check())).await;
    if !whole.map_err(|e| broken(&e))? {
        return Err(broken(&"it is damaged, and this node ends for it"));
    }
    let (parts, input) = mpsc::channel(4);
    offer(&parts, Part::Header(header)).await?;
    let request = channels.request(node, ReceiverStream::new(input));
    let mut replies = client
        .install_snapshot(request)
        .await
        .map_err(|status| StreamingError::from(super::append::unreachable(&status)))?
        .into_inner();
    let mut wait = async |within| match tokio::time::timeout(within, replies.message()).await {
        Ok(Ok(Some(reply))) => reply.reply.ok_or_else(|| broken(&"an empty reply")),
        Ok(Ok(None)) => Err(broken(&"the other side closed the stream")),
        Ok(Err(status)) => Err(refused(&status)),
        Err(_) => Err(broken(&"the other side does not answer")),
    };
    let offsets = match wait(STALL).await? {
        Reply::Wanted(wanted) => wanted.offsets,
        Reply::Installed(vote) => return installed(vote),
    };
    tracing::info!(
        node,
        index = snapshot.manifest.index(),
        files = snapshot.manifest.files.len(),
        "sending a snapshot"
    );
    for (number, file) in snapshot.manifest.files.iter().enumerate() {
        let from = offsets.get(number).copied().unwrap_or(0).min(file.size);
        let path = snapshot.path.join(&file.name);
        let number = u32::try_from(number).map_err(|e| broken(&e))?;
        send_file(&parts, number, path, from, &channels.metrics.snapshot_sent_bytes).await?;
    }
    offer(&parts, Part::End(proto::SnapshotEnd {})).await?;
    drop(parts);
    match wait(INSTALL).await? {
        Reply::Installed(vote) => installed(vote),
        Reply::Wanted(_) => Err(broken(&"the other side asks twice")),
    }
}

fn installed(vote: proto::Vote) -> Sent {
    let vote = wire::from_vote(Some(vote)).map_err(|e| broken(&e))?;
    Ok(SnapshotResponse::new(vote))
}

async fn send_file(
    parts: &mpsc::Sender<proto::SnapshotPart>,
    number: u32,
    path: PathBuf,
    from: u64,
    sent: &Counter,
) -> Result<(), StreamingError<TypeConfig>> {
    let mut offset = from;
    loop {
        let path = path.clone();
        let read = tasks::blocking(move || fs::read_at(&path, offset, CHUNK)).await;
        let data = Bytes::from(read.map_err(|e| broken(&e))?);
        if data.is_empty() {
            return Ok(());
        }
        let length = data.len() as u64;
        let chunk = proto::SnapshotChunk {
            file: number,
            offset,
            data,
        };
        offer(parts, Part::Chunk(chunk)).await?;
        sent.inc_by(length);
        offset += length;
    }
}

async fn offer(parts: &mpsc::Sender<proto::SnapshotPart>, part: Part) -> Result<(), StreamingError<TypeConfig>> {
    let part = proto::SnapshotPart { part: Some(part) };
    match tokio::time::timeout(STALL, parts.send(part)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(broken(&"the other side stopped taking parts")),
        Err(_) => Err(broken(&"the other side takes no more parts")),
    }
}

fn header(vote: &Vote, snapshot: &SnapshotDir) -> io::Result<proto::SnapshotHeader> {
    let meta = snapshot.manifest.meta()?;
    let files = snapshot.manifest.files.iter().map(|file| proto::SnapshotFile {
        name: file.name.clone(),
        size: file.size,
        checksum: Bytes::copy_from_slice(&file.checksum.to_be_bytes()),
    });
    Ok(proto::SnapshotHeader {
        vote: Some(wire::to_vote(vote)),
        last: meta.last_log_id.map(wire::to_log_id),
        membership_at: meta.last_membership.log_id().map(|id: LogId| wire::to_log_id(id)),
        membership: Some(wire::to_membership(meta.last_membership.membership())),
        files: files.collect(),
    })
}

fn broken(why: &dyn std::fmt::Display) -> StreamingError<TypeConfig> {
    NetworkError::from_string(format!("sending a snapshot: {why}")).into()
}

fn refused(status: &Status) -> StreamingError<TypeConfig> {
    Unreachable::from_string(format!("sending a snapshot: {}", status.message())).into()
}
