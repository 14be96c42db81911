//! The audit log of version 1. Frozen: nothing here may change.

use serde::{Deserialize, Serialize};

use crate::audit;
use crate::ids::{NodeId, Revision, TokenId};

#[derive(Serialize, Deserialize)]
pub(crate) struct Entry {
    sequence: u64,
    revision: u64,
    who: Actor,
    via: u64,
    at_unix: u64,
    what: Vec<String>,
    hash: [u8; 32],
}

#[derive(Serialize, Deserialize)]
enum Actor {
    Local,
    Token(String),
    Node(u64),
    Anyone,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Head {
    first: u64,
    next: u64,
    before_first: [u8; 32],
    last: [u8; 32],
}

impl From<&audit::Entry> for Entry {
    fn from(entry: &audit::Entry) -> Self {
        let origin = &entry.origin;
        Self {
            sequence: entry.sequence,
            revision: entry.revision.0,
            who: match &origin.who {
                audit::Actor::Local => Actor::Local,
                audit::Actor::Token(id) => Actor::Token(id.clone().into()),
                audit::Actor::Node(id) => Actor::Node(id.0),
                audit::Actor::Anyone => Actor::Anyone,
            },
            via: origin.via.0,
            at_unix: origin.at_unix,
            what: entry.what.clone(),
            hash: entry.hash.0,
        }
    }
}

impl From<Entry> for audit::Entry {
    fn from(entry: Entry) -> Self {
        Self {
            sequence: entry.sequence,
            revision: Revision(entry.revision),
            origin: audit::Origin {
                who: match entry.who {
                    Actor::Local => audit::Actor::Local,
                    Actor::Token(id) => audit::Actor::Token(TokenId::stored(id)),
                    Actor::Node(id) => audit::Actor::Node(NodeId(id)),
                    Actor::Anyone => audit::Actor::Anyone,
                },
                via: NodeId(entry.via),
                at_unix: entry.at_unix,
            },
            what: entry.what,
            hash: audit::Hash(entry.hash),
        }
    }
}

impl From<&audit::Head> for Head {
    fn from(head: &audit::Head) -> Self {
        Self {
            first: head.first,
            next: head.next,
            before_first: head.before_first.0,
            last: head.last.0,
        }
    }
}

impl From<Head> for audit::Head {
    fn from(head: Head) -> Self {
        Self {
            first: head.first,
            next: head.next,
            before_first: audit::Hash(head.before_first),
            last: audit::Hash(head.last),
        }
    }
}
