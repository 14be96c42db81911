//! How a node sees itself and its cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use fed_core::ids::{NodeId, Revision};
use fed_core::machine::{self, Machine};
use openraft::async_runtime::watch::WatchReceiver;

use crate::node::Node;
use crate::raft::LogId;

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A voter, and the leader.
    Leader,
    /// A voter.
    Voter,
    /// Has everything, votes on nothing.
    Learner,
}

/// One member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// `host:port` under which it serves its peers.
    pub address: String,
    /// Which life of its data folder was admitted.
    pub incarnation: u64,
    /// What it does.
    pub role: Role,
    /// Log entries it lacks. Known to the leader only.
    pub lag: Option<u64>,
    /// How long ago it last answered the leader. Known to the leader only.
    pub silent: Option<Duration>,
}

/// A change of the members, or of who leads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembersChange {
    /// A learner votes.
    Promote(NodeId),
    /// A member goes for good.
    Remove(NodeId),
    /// The same although the rest has no majority up.
    RemoveLosingQuorum(NodeId),
    /// A voter leads.
    TransferLeadership(NodeId),
}

/// A node's own view at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// The cluster.
    pub cluster: crate::ClusterId,
    /// The leader, if this node knows of one.
    pub leader: Option<NodeId>,
    /// Whether a majority was heard from (as leader) or a leader was (as another) within an election timeout.
    pub quorum: bool,
    /// The term.
    pub term: u64,
    /// The last log entry here.
    pub last_index: u64,
    /// The last one known to be committed and applied here.
    pub applied_index: u64,
    /// The last one in a snapshot here.
    pub snapshot_index: u64,
    /// The last one no longer in the log here.
    pub purged_index: u64,
    /// The revision of the state here.
    pub revision: Revision,
    /// The hash of the state at that revision: equal revisions have equal hashes on all nodes.
    pub state_hash: u128,
    /// Commands up to this feature level may be proposed.
    pub feature_level: u32,
    /// Requests waiting at this node to be proposed.
    pub queued: usize,
    /// The log entry that named the members: it changes whenever they do.
    pub members_index: u64,
    /// Everybody, as far as this node knows, by id.
    pub members: Vec<Member>,
    /// Ids of the voters: one group, or the old and the new one while a change of voters is under way, each of which needs a majority of its
    /// own. [`can_lose`](crate::can_lose) says what that bears.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// Why this node stopped, if it did.
    pub stopped: Option<String>,
}

impl<M: Machine> Node<M> {
    pub(crate) fn status(&self) -> Status {
        let members = self.members();
        let quorum = !self.is_cut_off();
        let view = self.state.view();
        // A store that cannot even read its own hash has no state to speak of; the next apply stops the node.
        let state_hash = machine::state_hash(&*view).unwrap_or_default();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: Option<LogId>| id.map_or(0, |id| id.index);
        let groups = metrics.membership_config.membership().get_joint_config();
        Status {
            node: self.identity.node,
            cluster: self.identity.cluster,
            leader: metrics.current_leader.map(NodeId),
            quorum,
            term: metrics.current_term,
            last_index: metrics.last_log_index.unwrap_or(0),
            applied_index: view.index(),
            snapshot_index: index(metrics.snapshot),
            purged_index: index(metrics.purged),
            revision: view.revision(),
            state_hash,
            feature_level: self.state.feature_level(),
            queued: self.queue.length(),
            members_index: index(*metrics.membership_config.log_id()),
            members,
            voters: groups
                .iter()
                .map(|group| group.iter().copied().map(NodeId).collect())
                .collect(),
            stopped: self.life.why(),
        }
    }
}
