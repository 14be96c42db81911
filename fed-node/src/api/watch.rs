//! A watch for a client: the cluster's stream of changes until the client goes or the node stops.

use std::sync::Arc;

use fed_core::event::Change;
use fed_core::ids::Revision;
use fed_proto::client as pb;
use fed_raft::WatchItem;
use pb::watch_item::What;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::caller::Caller;
use super::node::NodeView;
use super::{events, rules};

/// What a watching client reads.
pub(super) type Stream = ReceiverStream<Result<pb::WatchItem, Status>>;

/// Revisions that may wait for a slow client; the cluster's watch holds the rest.
const WAITING: usize = 64;

/// What a caller is told of one revision: changes of tokens are for those who may list them. Where nothing is left, the
/// revision is told all the same.
fn seen_by(caller: &Caller, revision: Revision, mut changes: Vec<Change>) -> What {
    if !caller.role.holds(rules::TOKENS) {
        changes.retain(|change| !matches!(change, Change::TokenPut { .. } | Change::TokenDeleted { .. }));
    }
    if changes.is_empty() {
        return What::Progress(revision.0);
    }
    What::Events(events::events(revision, changes))
}

/// Changes after `after`, or from now on.
pub(super) fn start(node: &Arc<NodeView>, after: Option<u64>, caller: Caller) -> Stream {
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
            let (what, last) = match item {
                Some(WatchItem::Events { revision, events }) => (seen_by(&caller, revision, events), false),
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
