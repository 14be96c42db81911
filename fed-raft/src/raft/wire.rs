//! Between openraft's types and the messages of `peer.proto`.

use std::collections::{BTreeMap, BTreeSet};

use fed_proto::peer as proto;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::{
    Batch, Entry, LogId, Membership, Payload, Peer, SnapshotMeta, StoredMembership, TypeConfig, Vote, log_id, vote,
};

/// A message lacks what it must have, or says what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a peer sent a message with a missing or impossible {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

impl From<Malformed> for tonic::Status {
    fn from(malformed: Malformed) -> Self {
        Self::invalid_argument(malformed.to_string())
    }
}

pub(crate) fn to_log_id(id: LogId) -> proto::LogId {
    proto::LogId {
        term: id.leader_id.term,
        node: id.leader_id.node_id,
        index: id.index,
    }
}

pub(crate) fn from_log_id(id: proto::LogId) -> LogId {
    log_id(id.term, id.node, id.index)
}

pub(crate) fn to_vote(v: &Vote) -> proto::Vote {
    proto::Vote {
        term: v.leader_id().term,
        node: v.leader_id().node_id,
        committed: v.is_committed(),
    }
}

pub(crate) fn from_vote(v: Option<proto::Vote>) -> Result<Vote, Malformed> {
    let v = v.ok_or(Malformed("vote"))?;
    Ok(vote(v.term, v.node, v.committed))
}

pub(crate) fn to_member(id: u64, peer: &Peer) -> proto::Member {
    proto::Member {
        id,
        address: peer.address.clone(),
        incarnation: peer.incarnation,
    }
}

pub(crate) fn from_member(member: proto::Member) -> (u64, Peer) {
    let peer = Peer {
        address: member.address,
        incarnation: member.incarnation,
    };
    (member.id, peer)
}

pub(crate) fn to_membership(membership: &Membership) -> proto::Membership {
    proto::Membership {
        groups: membership
            .get_joint_config()
            .iter()
            .map(|group| proto::membership::Group {
                voters: group.iter().copied().collect(),
            })
            .collect(),
        members: membership.nodes().map(|(&id, peer)| to_member(id, peer)).collect(),
    }
}

pub(crate) fn from_membership(membership: proto::Membership) -> Result<Membership, Malformed> {
    if membership.groups.is_empty() && membership.members.is_empty() {
        return Ok(Membership::default());
    }
    let groups: Vec<BTreeSet<u64>> = membership
        .groups
        .into_iter()
        .map(|group| group.voters.into_iter().collect())
        .collect();
    let members: BTreeMap<u64, Peer> = membership.members.into_iter().map(from_member).collect();
    Membership::new(groups, members).map_err(|_| Malformed("membership"))
}

pub(crate) fn to_entry(entry: Entry) -> proto::Entry {
    use proto::entry::Payload as Sent;
    let payload = match entry.payload {
        Payload::Blank => Sent::Blank(proto::Blank {}),
        Payload::Normal(Batch(bytes)) => Sent::Batch(bytes),
        Payload::Membership(members) => Sent::Membership(to_membership(&members)),
    };
    proto::Entry {
        id: Some(to_log_id(entry.log_id)),
        payload: Some(payload),
    }
}

pub(crate) fn from_entry(entry: proto::Entry) -> Result<Entry, Malformed> {
    use proto::entry::Payload as Sent;
    let payload = match entry.payload.ok_or(Malformed("entry payload"))? {
        Sent::Blank(_) => Payload::Blank,
        Sent::Batch(bytes) => Payload::Normal(Batch(bytes)),
        Sent::Membership(members) => Payload::Membership(from_membership(members)?),
    };
    Ok(Entry {
        log_id: from_log_id(entry.id.ok_or(Malformed("entry id"))?),
        payload,
    })
}

pub(crate) fn to_append(request: AppendEntriesRequest<TypeConfig>) -> proto::AppendRequest {
    proto::AppendRequest {
        vote: Some(to_vote(&request.vote)),
        previous: request.prev_log_id.map(to_log_id),
        committed: request.leader_commit.map(to_log_id),
        entries: request.entries.into_iter().map(to_entry).collect(),
    }
}

pub(crate) fn from_append(request: proto::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    Ok(AppendEntriesRequest {
        vote: from_vote(request.vote)?,
        prev_log_id: request.previous.map(from_log_id),
        leader_commit: request.committed.map(from_log_id),
        entries: request.entries.into_iter().map(from_entry).collect::<Result<_, _>>()?,
    })
}

pub(crate) fn to_append_reply(result: StreamAppendResult<TypeConfig>) -> proto::AppendReply {
    use proto::append_reply::{Matched, Result as Sent};
    let result = match result {
        Ok(last) => Sent::Matched(Matched {
            last: last.map(to_log_id),
        }),
        Err(StreamAppendError::Conflict(at)) => Sent::Conflict(to_log_id(at)),
        Err(StreamAppendError::HigherVote(v)) => Sent::HigherVote(to_vote(&v)),
    };
    proto::AppendReply { result: Some(result) }
}

pub(crate) fn from_append_reply(reply: proto::AppendReply) -> Result<StreamAppendResult<TypeConfig>, Malformed> {
    use proto::append_reply::Result as Sent;
    Ok(match reply.result.ok_or(Malformed("append result"))? {
        Sent::Matched(matched) => Ok(matched.last.map(from_log_id)),
        Sent::Conflict(at) => Err(StreamAppendError::Conflict(from_log_id(at))),
        Sent::HigherVote(v) => Err(StreamAppendError::HigherVote(from_vote(Some(v))?)),
    })
}

pub(crate) fn to_vote_request(request: &VoteRequest<TypeConfig>, pre_vote: bool) -> proto::VoteRequest {
    proto::VoteRequest {
        vote: Some(to_vote(&request.vote)),
        last: request.last_log_id.map(to_log_id),
        leadership_transfer: request.leadership_transfer,
        pre_vote,
    }
}

pub(crate) fn from_vote_request(request: proto::VoteRequest) -> Result<VoteRequest<TypeConfig>, Malformed> {
    let mut vote_request = VoteRequest::new(from_vote(request.vote)?, request.last.map(from_log_id));
    vote_request.leadership_transfer = request.leadership_transfer;
    Ok(vote_request)
}

pub(crate) fn to_vote_reply(reply: &VoteResponse<TypeConfig>) -> proto::VoteReply {
    proto::VoteReply {
        vote: Some(to_vote(&reply.vote)),
        last: reply.last_log_id.map(to_log_id),
        granted: reply.vote_granted,
    }
}

pub(crate) fn from_vote_reply(reply: proto::VoteReply) -> Result<VoteResponse<TypeConfig>, Malformed> {
    Ok(VoteResponse::new(
        from_vote(reply.vote)?,
        reply.last.map(from_log_id),
        reply.granted,
    ))
}

pub(crate) fn to_transfer(request: &TransferLeaderRequest<TypeConfig>) -> proto::TransferLeaderRequest {
    proto::TransferLeaderRequest {
        from: Some(to_vote(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().copied().map(to_log_id),
    }
}

pub(crate) fn from_transfer(
    request: proto::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, Malformed> {
    Ok(TransferLeaderRequest::new(
        from_vote(request.from)?,
        request.to,
        request.last.map(from_log_id),
    ))
}

pub(crate) fn to_transfer_reply(reply: TransferLeaderResponse<TypeConfig>) -> proto::TransferLeaderReply {
    use proto::transfer_leader_reply::{LogNotFlushed, Refusal};
    let refusal = match reply {
        Ok(()) => None,
        Err(TransferLeaderError::VoteChanged { actual, .. }) => Some(Refusal::VoteChanged(to_vote(&actual))),
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => Some(Refusal::LogNotFlushed(LogNotFlushed {
            expected: expected.map(to_log_id),
            actual: actual.map(to_log_id),
        })),
    };
    proto::TransferLeaderReply { refusal }
}

pub(crate) fn from_transfer_reply(
    reply: proto::TransferLeaderReply,
    asked: &TransferLeaderRequest<TypeConfig>,
) -> Result<TransferLeaderResponse<TypeConfig>, Malformed> {
    use proto::transfer_leader_reply::Refusal;
    Ok(match reply.refusal {
        None => Ok(()),
        Some(Refusal::VoteChanged(actual)) => Err(TransferLeaderError::VoteChanged {
            expected: *asked.from_leader(),
            actual: from_vote(Some(actual))?,
        }),
        Some(Refusal::LogNotFlushed(logs)) => Err(TransferLeaderError::LogNotFlushed {
            expected: logs.expected.map(from_log_id),
            actual: logs.actual.map(from_log_id),
        }),
    })
}

/// The header of a snapshot without its files.
pub(crate) fn from_snapshot_header(header: &proto::SnapshotHeader) -> Result<SnapshotMeta, Malformed> {
    let membership = header.membership.clone().unwrap_or_default();
    Ok(SnapshotMeta {
        last_log_id: header.last.map(from_log_id),
        last_membership: StoredMembership::new(header.membership_at.map(from_log_id), from_membership(membership)?),
    })
}
