//! What the map refuses.

use super::{Code, Explanation, row};

pub(super) static ROWS: &[Explanation] = &[
    row(
        Code::AlreadyThere,
        "There is one of that name already.",
        &["it was added before, or by somebody else"],
        &["fed-node user set ID ...", "choose another id"],
    ),
    row(
        Code::ChangedMeanwhile,
        "Somebody else changed the object after it was read. Nothing was changed.",
        &["two administrators, or a script beside you"],
        &["look at it, then repeat the command"],
    ),
    row(
        Code::NumberTaken,
        "The number, alias or id already leads to another user.",
        &["a number given twice"],
        &[
            "fed-node where NUMBER",
            "choose another number, or take it from that user first",
        ],
    ),
    row(
        Code::NameInUse,
        "A name that must be one of a kind belongs to another object.",
        &["two nodes with one name"],
        &["set node.name", "fed-node node list"],
    ),
    row(
        Code::ObjectMissing,
        "The object does not exist.",
        &["a misspelt id", "it was removed"],
        &["fed-node user list", "fed-node device list"],
    ),
    row(
        Code::FieldInvalid,
        "A field holds what it may not.",
        &[
            "characters that mean something to a dialplan",
            "too long, or out of range",
        ],
        &["the text names the field and what is allowed"],
    ),
    row(
        Code::UserMissing,
        "A device needs a user that exists.",
        &["the user is to be added first"],
        &["fed-node user add USER --no-device"],
    ),
    row(
        Code::SessionEnded,
        "The node's session is not open: what it reports does not count.",
        &["the node was cut off or slow for longer than raft.session_ttl_ms"],
        &["it mends itself within seconds", "fed-node status"],
    ),
    row(
        Code::BoundElsewhere,
        "The device is registered at another node since.",
        &["the phone moved"],
        &["fed-node where DEVICE"],
    ),
    row(
        Code::RealmBound,
        "The realm cannot be changed while there are devices: their digests contain it.",
        &["realm set after the first user"],
        &["remove the devices, set the realm, add them again with their passwords"],
    ),
    row(
        Code::RequestForgotten,
        "The request is too old: what became of it is no longer remembered.",
        &["it was sent again after a very long time"],
        &["look whether it is there before repeating it"],
    ),
];
