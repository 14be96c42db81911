//! The types that tie openraft to this crate. None of them is stored or sent: `stored` and `wire` have the
//! forms for that.

use std::any::Any;
use std::fmt;

use bytes::Bytes;

#[cfg(test)]
mod fuzz;
pub(crate) mod stored;
#[cfg(test)]
mod suite;
pub(crate) mod wire;

openraft::declare_raft_types!(
    /// One entry is one batch of requests, already encoded.
    pub(crate) TypeConfig:
        D = Batch,
        R = Applied,
        Node = Peer,
        AsyncRuntime = crate::platform::Runtime,
);

pub(crate) type Raft<M> = openraft::Raft<TypeConfig, crate::state::StateMachine<M>>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type Payload = openraft::EntryPayload<Batch, u64, Peer>;
pub(crate) type Membership = openraft::Membership<u64, Peer>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;

/// What the cluster knows of a member besides its id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// `host:port`.
    pub(crate) address: String,
    /// Of the data folder that was admitted.
    pub(crate) incarnation: u64,
}

/// The payload of a log entry: see [`crate::batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch(pub(crate) Bytes);

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes", self.0.len())
    }
}

/// What applying an entry gave, for whoever proposed it here.
pub(crate) enum Applied {
    /// A blank entry or a change of members.
    Nothing,
    /// `Vec<Proposed<M::Reply>>`: the machine's type is not known to openraft.
    Answers(Box<dyn Any + Send + Sync>),
}

impl fmt::Debug for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Answers(_) => "Answers",
        })
    }
}

pub(crate) fn log_id(term: u64, node: u64, index: u64) -> LogId {
    let leader = openraft::impls::leader_id_adv::LeaderId { term, node_id: node };
    LogId::new(leader, index)
}

pub(crate) fn vote(term: u64, node: u64, committed: bool) -> Vote {
    if committed {
        Vote::new_committed(term, node)
    } else {
        Vote::new(term, node)
    }
}
