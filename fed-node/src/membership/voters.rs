//! Who votes, as a node says it.

use std::collections::BTreeSet;

use fed_core::ids::NodeId;
use fed_proto::client as pb;

/// The voters as [`fed_raft::can_lose`] takes them: in two groups while they are changed. A node of an older version does not tell groups,
/// only who votes.
pub(crate) fn voters(status: &pb::StatusReply) -> Vec<BTreeSet<NodeId>> {
    if status.voter_groups.is_empty() {
        let voters = status.members.iter().filter(|member| member.role != "learner");
        return vec![voters.map(|member| NodeId(member.id)).collect()];
    }
    let group = |group: &pb::VoterGroup| group.ids.iter().copied().map(NodeId).collect();
    status.voter_groups.iter().map(group).collect()
}
