//! Counting leaders.

use std::sync::Arc;

use fed_core::machine::Machine;
use openraft::async_runtime::watch::WatchReceiver;

use crate::node::Node;

/// Counts every leader that this node comes to know, until it stops.
pub(crate) async fn count_leaders<M: Machine>(node: Arc<Node<M>>) {
    let mut changes = node.raft.server_metrics();
    let mut known = None;
    loop {
        let leader = {
            let now = changes.borrow_and_update();
            now.current_leader.map(|id| (id, now.vote.leader_id().term))
        };
        if leader.is_some() && leader != known {
            known = leader;
            node.metrics.leader_changes.inc();
            if let Some((id, term)) = leader {
                tracing::info!(leader = id, term, "this node follows a leader");
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = node.life.stop.cancelled() => return,
        }
    }
}
