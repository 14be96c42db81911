//! What peers send and what stands in the log, damaged: refused in words, never a panic.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use fed_core::command::Command;
use fed_core::ids::{ClientId, NodeId};
use fed_core::map::FederationMap;
use fed_proto::peer as proto;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest, VoteResponse};
use prost::Message;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use super::stored::{self, StoredMembers, StoredMeta};
use super::wire::{
    from_append, from_append_reply, from_snapshot_header, from_transfer, from_transfer_reply, from_vote_reply,
    from_vote_request, to_append, to_append_reply, to_membership, to_transfer, to_transfer_reply, to_vote_reply,
    to_vote_request,
};
use super::{Batch, Entry, Membership, Payload, Peer, log_id, vote};
use crate::batch::{self, split};
use crate::identity;
use crate::transport::Badge;
use fuzzing::fuzz;

#[path = "../../../tests/fuzz/mod.rs"]
mod fuzzing;

/// Bytes of fed-core's envelope before the payload.
const HEADER: usize = 13;

fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let (Some(payload), true) = (bytes.len().checked_sub(HEADER), bytes.starts_with(b"fd")) {
        bytes[9..HEADER].copy_from_slice(&u32::try_from(payload).expect("small").to_be_bytes());
        let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[2..5]), &bytes[9..]);
        bytes[5..9].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

fn membership() -> Membership {
    let peer = |id: u64| {
        let peer = Peer {
            address: format!("10.0.0.{id}:7401"),
            incarnation: id << 33,
        };
        (id, peer)
    };
    let joint = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
    Membership::new(joint, BTreeMap::from_iter((1..6).map(peer))).expect("a membership")
}

fn requests() -> Batch {
    let commands = [
        Command::OpenSession { node: NodeId(2) },
        Command::DeleteNode { id: NodeId(3) },
    ];
    let requests: Vec<Bytes> = (1..)
        .zip(commands)
        .map(|(sequence, command)| {
            batch::encode_request::<FederationMap>(ClientId(5), sequence, command).expect("encodes")
        })
        .collect();
    batch::join(requests.iter())
}

fn entries() -> Vec<Entry> {
    let entry = |index, payload| Entry {
        log_id: log_id(3, 1, index),
        payload,
    };
    vec![
        entry(8, Payload::Blank),
        entry(9, Payload::Normal(requests())),
        entry(10, Payload::Membership(membership())),
    ]
}

#[test]
fn messages_of_peers_that_are_damaged_are_refused() {
    let append = to_append(AppendEntriesRequest {
        vote: vote(3, 1, true),
        prev_log_id: Some(log_id(2, 1, 7)),
        leader_commit: Some(log_id(3, 1, 8)),
        entries: entries(),
    });
    fuzz("append", &[append.encode_to_vec()], &[], |bytes| {
        proto::AppendRequest::decode(bytes).is_ok_and(|message| from_append(message).is_ok())
    });
    let replies = [Ok(Some(log_id(3, 1, 9))), Ok(None)].map(|reply| to_append_reply(reply).encode_to_vec());
    fuzz("append reply", &replies, &[], |bytes| {
        proto::AppendReply::decode(bytes).is_ok_and(|message| from_append_reply(message).is_ok())
    });
    let request = to_vote_request(&VoteRequest::new(vote(4, 2, false), Some(log_id(3, 1, 9))), true);
    fuzz("vote", &[request.encode_to_vec()], &[], |bytes| {
        proto::VoteRequest::decode(bytes).is_ok_and(|message| from_vote_request(message).is_ok())
    });
    let reply = to_vote_reply(&VoteResponse::new(vote(4, 2, false), Some(log_id(3, 1, 9)), true));
    fuzz("vote reply", &[reply.encode_to_vec()], &[], |bytes| {
        proto::VoteReply::decode(bytes).is_ok_and(|message| from_vote_reply(message).is_ok())
    });
    let transfer = TransferLeaderRequest::new(vote(3, 1, true), 2, Some(log_id(3, 1, 9)));
    fuzz("transfer", &[to_transfer(&transfer).encode_to_vec()], &[], |bytes| {
        proto::TransferLeaderRequest::decode(bytes).is_ok_and(|message| from_transfer(message).is_ok())
    });
    fuzz(
        "transfer reply",
        &[to_transfer_reply(Ok(())).encode_to_vec()],
        &["\n\u{4}\u{8}\u{3}"],
        |bytes| {
            proto::TransferLeaderReply::decode(bytes)
                .is_ok_and(|message| from_transfer_reply(message, &transfer).is_ok())
        },
    );
    let header = proto::SnapshotHeader {
        membership: Some(to_membership(&membership())),
        ..proto::SnapshotHeader::default()
    };
    fuzz("snapshot", &[header.encode_to_vec()], &[], |bytes| {
        proto::SnapshotHeader::decode(bytes).is_ok_and(|message| from_snapshot_header(&message).is_ok())
    });
}

#[test]
fn badges_that_are_damaged_are_refused() {
    let badges = ["1/0123456789abcdef0123456789abcdef/2/77/1", "1/0/0/77/0"].map(|badge| badge.as_bytes().to_vec());
    let words = ["/", "-", "+", " ", "0x", "18446744073709551616", "f"];
    fuzz("badge", &badges, &words, |bytes| {
        // Other bytes do not get as far.
        let Ok(value) = MetadataValue::<Ascii>::try_from(bytes) else {
            return false;
        };
        let mut metadata = MetadataMap::new();
        metadata.insert("fed-peer", value);
        Badge::read(&metadata).is_ok_and(|badge| {
            badge.write(&mut metadata);
            assert_eq!(Badge::read(&metadata).expect("its own text"), badge);
            true
        })
    });
}

#[test]
fn what_stands_in_the_log_damaged_is_refused() {
    let stored: Vec<Vec<u8>> = entries()
        .iter()
        .map(|entry| stored::encode_entry(entry).expect("encodes"))
        .collect();
    fuzz("log entry", &stored, &[], |bytes| stored::decode_entry(bytes).is_ok());
    fuzz("log entry, checksum repaired", &stored, &[], |bytes| {
        stored::decode_entry(&resealed(bytes)).is_ok()
    });
    let cast = stored::encode_vote(&vote(3, 1, true)).expect("encodes");
    fuzz("stored vote", &[cast], &[], |bytes| {
        stored::decode_vote(&resealed(bytes)).is_ok()
    });
    let at = stored::encode_log_id(log_id(3, 1, 9)).expect("encodes");
    fuzz("stored log id", &[at], &[], |bytes| {
        stored::decode_log_id(&resealed(bytes)).is_ok()
    });
    let meta = StoredMeta {
        applied: Some(log_id(3, 1, 9).into()),
        members: Some(StoredMembers::from(&membership())),
        retired: BTreeSet::from([4, 5]),
        ..StoredMeta::default()
    };
    let meta = stored::encode_meta(&meta).expect("encodes");
    fuzz("stored meta", &[meta], &[], |bytes| {
        stored::decode_meta(&resealed(bytes))
            .is_ok_and(|meta| meta.members.is_none_or(|members| members.membership().is_ok()))
    });
    fuzz(
        "batch",
        &[requests().0.to_vec(), batch::raise(2).0.to_vec()],
        &[],
        |bytes| split::<FederationMap>(&Batch(Bytes::copy_from_slice(bytes))).is_ok(),
    );
    let request = batch::encode_request::<FederationMap>(ClientId(5), 1, Command::OpenSession { node: NodeId(2) });
    fuzz("request", &[request.expect("encodes").to_vec()], &[], |bytes| {
        batch::decode_request::<FederationMap>(&resealed(bytes)).is_ok()
    });
}

#[test]
fn an_identity_file_that_is_damaged_is_refused() {
    let text = b"cluster feed\nnode 7\nincarnation 99\nfounder false\nseeds 127.0.0.1:7401,[::1]:7401\n".to_vec();
    fuzz("identity", &[text], &["\n", " ", "node", "-1"], |bytes| {
        identity::parse(&String::from_utf8_lossy(bytes)).is_some()
    });
}
