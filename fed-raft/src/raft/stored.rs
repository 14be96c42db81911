//! The forms in which the log and the state keep consensus data. Frozen per version: a change of shape is a new
//! version, and a migration from the one before.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use fed_core::codec::{self, CodecError};
use serde::{Deserialize, Serialize};

use super::{Batch, Entry, LogId, Membership, Payload, Peer, Vote, log_id, vote};

const KIND_ENTRY: u8 = 128;
const KIND_VOTE: u8 = 129;
const KIND_LOG_ID: u8 = 130;
const KIND_META: u8 = 131;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredLogId {
    term: u64,
    node: u64,
    index: u64,
}

impl From<LogId> for StoredLogId {
    fn from(id: LogId) -> Self {
        Self {
            term: id.leader_id.term,
            node: id.leader_id.node_id,
            index: id.index,
        }
    }
}

impl From<StoredLogId> for LogId {
    fn from(id: StoredLogId) -> Self {
        log_id(id.term, id.node, id.index)
    }
}

#[derive(Serialize, Deserialize)]
struct StoredVote {
    term: u64,
    node: u64,
    committed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredMember {
    id: u64,
    address: String,
    incarnation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredMembers {
    groups: Vec<Vec<u64>>,
    members: Vec<StoredMember>,
}

impl From<&Membership> for StoredMembers {
    fn from(membership: &Membership) -> Self {
        Self {
            groups: membership
                .get_joint_config()
                .iter()
                .map(|group| group.iter().copied().collect())
                .collect(),
            members: membership
                .nodes()
                .map(|(&id, peer)| StoredMember {
                    id,
                    address: peer.address.clone(),
                    incarnation: peer.incarnation,
                })
                .collect(),
        }
    }
}

impl StoredMembers {
    /// Without voters it is what a node has before it hears of any cluster.
    pub(crate) fn membership(self) -> Result<Membership, String> {
        if self.groups.is_empty() && self.members.is_empty() {
            return Ok(Membership::default());
        }
        let groups: Vec<BTreeSet<u64>> = self
            .groups
            .into_iter()
            .map(|group| group.into_iter().collect())
            .collect();
        let members: BTreeMap<u64, Peer> = self
            .members
            .into_iter()
            .map(|m| {
                let peer = Peer {
                    address: m.address,
                    incarnation: m.incarnation,
                };
                (m.id, peer)
            })
            .collect();
        Membership::new(groups, members).map_err(|e| e.to_string())
    }
}

#[derive(Serialize, Deserialize)]
enum StoredPayload {
    Blank,
    Batch(Bytes),
    Members(StoredMembers),
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    id: StoredLogId,
    payload: StoredPayload,
}

/// What the state keeps about itself, written with every change of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct StoredMeta {
    pub(crate) cluster: u128,
    pub(crate) node: u64,
    pub(crate) incarnation: u64,
    pub(crate) applied: Option<StoredLogId>,
    pub(crate) members_at: Option<StoredLogId>,
    pub(crate) members: Option<StoredMembers>,
    /// Members that were removed: their ids are never used again, their calls are refused.
    pub(crate) retired: BTreeSet<u64>,
    /// Which commands all members are known to understand.
    pub(crate) feature_level: u32,
}

pub(crate) fn encode_entry(entry: &Entry) -> Result<Vec<u8>, CodecError> {
    let payload = match &entry.payload {
        Payload::Blank => StoredPayload::Blank,
        Payload::Normal(Batch(bytes)) => StoredPayload::Batch(bytes.clone()),
        Payload::Membership(members) => StoredPayload::Members(StoredMembers::from(members)),
    };
    let stored = StoredEntry {
        id: entry.log_id.into(),
        payload,
    };
    codec::encode(KIND_ENTRY, 1, &stored)
}

pub(crate) fn decode_entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    let stored: StoredEntry = codec::decode(KIND_ENTRY, 1, bytes)?;
    let payload = match stored.payload {
        StoredPayload::Blank => Payload::Blank,
        StoredPayload::Batch(bytes) => Payload::Normal(Batch(bytes)),
        StoredPayload::Members(members) => Payload::Membership(
            members
                .membership()
                .map_err(|why| CodecError::Payload { kind: KIND_ENTRY, why })?,
        ),
    };
    Ok(Entry {
        log_id: stored.id.into(),
        payload,
    })
}

pub(crate) fn encode_vote(v: &Vote) -> Result<Vec<u8>, CodecError> {
    let stored = StoredVote {
        term: v.leader_id().term,
        node: v.leader_id().node_id,
        committed: v.is_committed(),
    };
    codec::encode(KIND_VOTE, 1, &stored)
}

pub(crate) fn decode_vote(bytes: &[u8]) -> Result<Vote, CodecError> {
    let stored: StoredVote = codec::decode(KIND_VOTE, 1, bytes)?;
    Ok(vote(stored.term, stored.node, stored.committed))
}

pub(crate) fn encode_log_id(id: LogId) -> Result<Vec<u8>, CodecError> {
    codec::encode(KIND_LOG_ID, 1, &StoredLogId::from(id))
}

pub(crate) fn decode_log_id(bytes: &[u8]) -> Result<LogId, CodecError> {
    codec::decode::<StoredLogId>(KIND_LOG_ID, 1, bytes).map(LogId::from)
}

pub(crate) fn encode_meta(meta: &StoredMeta) -> Result<Vec<u8>, CodecError> {
    codec::encode(KIND_META, 1, meta)
}

pub(crate) fn decode_meta(bytes: &[u8]) -> Result<StoredMeta, CodecError> {
    codec::decode(KIND_META, 1, bytes)
}
