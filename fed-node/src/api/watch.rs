//! A watch for a client: the cluster's stream of changes until the client goes or the node stops.

use std::sync::Arc;

use fed_core::ids::Revision;
use fed_proto::client as pb;
use fed_raft::WatchItem;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::events;
use super::service::NodeView;

/// What a watching client reads.
pub(super) type Stream = ReceiverStream<Result<pb::WatchItem, Status>>;

/// Revisions that may wait for a slow client; the cluster's watch holds the rest.
const WAITING: usize = 64;

/// Changes after `after`, or from now on.
pub(super) fn start(node: &Arc<NodeView>, after: Option<u64>) -> Stream {
    let (sender, receiver) = mpsc::channel(WAITING);
    let from = after.map_or_else(|| node.cluster.local().revision(), Revision);
    let mut watch = node.cluster.watch(from);
    let stop = node.stop.clone();
    tokio::spawn(async move {
        loop {
            let item = tokio::select! {
                item = watch.next() => item,
                () = stop.cancelled() => return,
                () = sender.closed() => return,
            };
            use pb::watch_item::What;
            let (what, last) = match item {
                Some(WatchItem::Events { revision, events }) => (What::Events(events::events(revision, events)), false),
                Some(WatchItem::Progress(revision)) => (What::Progress(revision.0), false),
                Some(WatchItem::Compacted { oldest }) => (What::Compacted(oldest.0), true),
                Some(WatchItem::Stopped { .. }) | None => return,
            };
            if sender.send(Ok(pb::WatchItem { what: Some(what) })).await.is_err() || last {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}
