//! What a simulated node did, for whoever checks the whole: told at the moment it happens, in the order it happens.

use std::cell::RefCell;

use xxhash_rust::xxh3::xxh3_64;

use crate::raft::{Entry, LogId, Payload, Vote, stored};

thread_local! {
    static SEEN: RefCell<Vec<(u64, Happened)>> = const { RefCell::new(Vec::new()) };
}

/// Where a leader put an entry: its index, and whose entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The position in the log.
    pub index: u64,
    /// The leader's term.
    pub term: u64,
    /// The leader.
    pub leader: u64,
}

/// A log entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// Where it is.
    pub place: Place,
    /// Of what it holds.
    pub hash: u64,
    /// When it is a change of members: the groups of voters, and everybody with the incarnation that was admitted.
    pub members: Option<Members>,
}

/// Who belongs to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Members {
    /// Two while a change is under way; a majority of each is needed.
    pub voters: Vec<Vec<u64>>,
    /// Ids, each with the incarnation of the folder.
    pub nodes: Vec<(u64, u64)>,
}

/// A vote: for whom in which term; granted by a majority or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The term.
    pub term: u64,
    /// The candidate.
    pub node: u64,
    /// Whether a majority granted it.
    pub committed: bool,
}

/// Something that a node did.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Happened {
    /// It started and found this on its disk.
    Started {
        /// The vote.
        vote: Option<Ballot>,
        /// The entries in the log.
        log: Vec<Note>,
        /// The last entry no longer in the log.
        purged: Option<Place>,
        /// The last entry known to be committed.
        committed: Option<Place>,
        /// The last entry in the state.
        applied: Option<Place>,
        /// The last entry in the newest snapshot.
        snapshot: Option<Place>,
        /// What is wrong with that snapshot's files.
        damaged: Option<String>,
    },
    /// A vote was given and is durable.
    Voted(Ballot),
    /// Entries were written, not yet synced.
    Appended(Vec<Note>),
    /// The log up to here is durable.
    Synced(u64),
    /// Entries from this index on were dropped.
    Truncated(u64),
    /// Entries up to here were dropped.
    Purged(Place),
    /// Entries up to here are known to be committed.
    Committed(Place),
    /// Entries became state.
    Applied {
        /// Which.
        entries: Vec<Note>,
        /// The revision after them.
        revision: u64,
        /// The hash of the state after them, as the state says.
        hash: u128,
    },
    /// A snapshot was made, or came in, and is durable.
    Snapshot(Place),
    /// The state was replaced by a snapshot that ends here.
    Installed {
        /// The last entry in it.
        at: Place,
        /// The revision.
        revision: u64,
        /// The hash of the state, as the state says.
        hash: u128,
        /// The hash of the state, computed from all that is in it.
        recomputed: u128,
    },
}

impl Place {
    pub(crate) fn of(id: LogId) -> Self {
        Self {
            index: id.index,
            term: id.leader_id.term,
            leader: id.leader_id.node_id,
        }
    }
}

impl Ballot {
    pub(crate) fn of(vote: &Vote) -> Self {
        Self {
            term: vote.leader_id().term,
            node: vote.leader_id().node_id,
            committed: vote.is_committed(),
        }
    }
}

impl Note {
    pub(crate) fn of(entry: &Entry) -> Self {
        let members = match &entry.payload {
            Payload::Membership(members) => Some(Members {
                voters: members
                    .get_joint_config()
                    .iter()
                    .map(|group| group.iter().copied().collect())
                    .collect(),
                nodes: members.nodes().map(|(&id, peer)| (id, peer.incarnation)).collect(),
            }),
            Payload::Blank | Payload::Normal(_) => None,
        };
        Self {
            place: Place::of(entry.log_id),
            hash: stored::encode_entry(entry).map_or(0, |bytes| xxh3_64(&bytes)),
            members,
        }
    }
}

pub(crate) fn saw(node: u64, happened: Happened) {
    SEEN.with_borrow_mut(|seen| seen.push((node, happened)));
}

/// What the nodes did since the last call, each with its id.
#[must_use]
pub fn take() -> Vec<(u64, Happened)> {
    SEEN.take()
}
