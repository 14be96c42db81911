//! Consensus, the members and the store.

use super::{Code, Explanation, row};

pub(super) static ROWS: &[Explanation] = &[
    row(
        Code::NoLeader,
        "No leader was found in time. Nothing was changed.",
        &[
            "no majority of the voters is up and reachable",
            "an election is under way",
        ],
        &[
            "fed-node status",
            "bring a majority up; for good lost: fed-node recover",
        ],
    ),
    row(
        Code::Overloaded,
        "Too much is waiting. Nothing was changed.",
        &["a burst of changes", "a slow disk"],
        &["repeat it after a pause", "fed-node check perf"],
    ),
    row(
        Code::LowSpace,
        "The disk is nearly full: only what makes the map smaller is taken.",
        &["logs, recordings or backups on the same disk"],
        &["df -h DIR", "free some space, or lower disk.min_free_mb"],
    ),
    row(
        Code::TooLarge,
        "The change is larger than one log entry may be.",
        &["too many objects in one call"],
        &["split it"],
    ),
    row(
        Code::LevelTooLow,
        "Not all nodes understand this change yet.",
        &["nodes of an older version"],
        &[
            "fed-node status",
            "bring every node to the same version; the level then rises by itself",
        ],
    ),
    row(
        Code::CommandUnreadable,
        "The change could not be encoded, or the leader could not read it.",
        &["nodes of different versions", "a defect"],
        &["bring every node to the same version"],
    ),
    row(
        Code::Stopping,
        "The node asked is stopping.",
        &["it was told to, or had to"],
        &["fed-node --server OTHER status"],
    ),
    row(
        Code::WriteUnknown,
        "The change was not acknowledged in time. It may have happened, or may still.",
        &["the quorum was lost while it was under way", "a leader that died"],
        &["look whether it is there", "repeat it only when it is not"],
    ),
    row(
        Code::ReadNoQuorum,
        "No majority confirmed the read in time.",
        &["no majority is up and reachable"],
        &["fed-node status", "fed-node doctor"],
    ),
    row(
        Code::ReadBehind,
        "This node has not reached that revision yet.",
        &["it is catching up"],
        &["fed-node status   (BEHIND)", "repeat it"],
    ),
    row(
        Code::StoreDamaged,
        "The node's store failed or holds what cannot be read.",
        &["a failing disk"],
        &[
            "fed-node check replicas",
            "take the node out and in again: fed-node leave ID at another node, empty the folder, fed-node join TOKEN",
        ],
    ),
    row(
        Code::MembersRefused,
        "The members were not changed: the rest would not be safe, or the node is not what the change needs.",
        &["without it there would be no majority", "it is a learner, or no member"],
        &["fed-node status", "bring others up first, or join another node"],
    ),
    row(
        Code::MembersNoLeader,
        "The members were not changed: no leader was found in time.",
        &["no majority of the voters is up and reachable"],
        &["fed-node status"],
    ),
    row(
        Code::MembersUnknown,
        "The change of members was not confirmed in time. It may have happened, or may still.",
        &["the quorum was lost while it was under way"],
        &["fed-node status", "repeat it once a majority is up"],
    ),
    row(
        Code::NoMember,
        "It is no member of the federation.",
        &["a misspelt id, or it has left"],
        &["fed-node node list"],
    ),
    row(
        Code::MemberUnreachable,
        "The member cannot be reached from the node asked.",
        &["it is down", "a firewall or a cut cable"],
        &["fed-node status", "fed-node doctor"],
    ),
    row(
        Code::MemberTooOld,
        "The member does not know the question.",
        &["it runs an older version"],
        &["bring the nodes to the same version"],
    ),
    row(
        Code::MemberFailed,
        "The member was asked and could not answer.",
        &["its Asterisk is down", "it is stopping"],
        &["fed-node status", "fed-node logs --node NODE --level warn"],
    ),
    row(
        Code::LastNode,
        "This is the last node: it cannot leave.",
        &["the federation ends with it"],
        &["stop it and delete its data folder"],
    ),
    row(
        Code::NodeStillUp,
        "The node is up, so it is not taken out from elsewhere.",
        &["it runs, and would come back by itself"],
        &["fed-node leave   (on that node)", "or stop it first"],
    ),
    row(
        Code::HalfLeft,
        "The node is out of the map, but may still be a member.",
        &["the quorum was lost half-way"],
        &["fed-node leave NODE   (again, once a majority is up)"],
    ),
];
