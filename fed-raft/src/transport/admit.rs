//! Who may speak to this node.

use fed_core::machine::Machine;
use fed_proto::peer as proto;
use openraft::async_runtime::watch::WatchReceiver;
use tonic::Status;

use super::Badge;
use super::confirmed::LOST;
use crate::node::Node;
use crate::raft::wire;
use crate::security::{Caller, Security};

/// How the refusal of a node that was removed ends; this is by what that node knows it.
pub(crate) const REMOVED: &str = "was removed from the cluster";

impl<M: Machine> Node<M> {
    /// Refuses nodes that were removed, folders that are not the ones let in, and those that have lost what they had confirmed.
    pub(super) fn check_caller(&self, badge: &Badge) -> Result<(), Status> {
        if self.state.is_retired(badge.from) {
            return Err(Status::permission_denied(format!("node {} {REMOVED}", badge.from)));
        }
        if self.channels.confirmed.has_lost(badge.from) {
            return Err(Status::permission_denied(format!("node {} {LOST}", badge.from)));
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

    /// With certificates, a call is made by the node that the connection's certificate names, or refused.
    pub(super) fn check_proof(&self, badge: &Badge, caller: Option<&Caller>) -> Result<(), Status> {
        if matches!(self.config.security, Security::Plaintext) {
            return Ok(());
        }
        match caller.and_then(|caller| caller.name) {
            Some(name) if name.cluster == self.identity.cluster && name.node.0 == badge.from => Ok(()),
            Some(name) => Err(Status::permission_denied(format!(
                "the certificate is that of {name}, and the call says that it comes from node {}",
                badge.from
            ))),
            None => Err(Status::unauthenticated(
                "the caller shows no certificate of a node: only members may ask this",
            )),
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
