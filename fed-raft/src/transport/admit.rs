//! Who may speak to this node.

use fed_core::machine::Machine;
use fed_proto::peer as proto;
use openraft::async_runtime::watch::WatchReceiver;
use tonic::Status;

use super::Badge;
use crate::node::Node;
use crate::raft::wire;

/// How the refusal of a node that was removed ends; this is by what that node knows it.
pub(crate) const REMOVED: &str = "was removed from the cluster";

impl<M: Machine> Node<M> {
    /// Refuses nodes that were removed, and folders that are not the ones let in.
    pub(super) fn check_caller(&self, badge: &Badge) -> Result<(), Status> {
        if self.state.is_retired(badge.from) {
            return Err(Status::permission_denied(format!("node {} {REMOVED}", badge.from)));
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let known = metrics.membership_config.membership().get_node(&badge.from);
        match known {
            Some(peer) if peer.incarnation != badge.incarnation => Err(Status::permission_denied(format!(
                "node {} speaks from another data folder than the one that was let in",
                badge.from
            ))),
            _ => Ok(()),
        }
    }

    /// What a caller is told that took this node for the leader.
    pub(super) fn not_leader(&self) -> proto::NotLeader {
        let leader = self.leader_member();
        proto::NotLeader {
            leader: leader.map(|(id, peer)| wire::to_member(id, &peer)),
        }
    }
}
