//! The audit log: who changed what, at which revision, as a chain of hashes that is the same on every node.
//!
//! Each entry's hash covers the entry and the hash before it, so an entry that was changed, taken out or put in is found by
//! [`verify`], on any node and from any copy. At most [`MOST_ENTRIES`] are kept; the hash of the last one that went is
//! kept in the [`Head`], so the chain of the others still begins somewhere known. Whoever notes the newest hash elsewhere now and then
//! also finds a chain that was made anew as a whole.
//!
//! Entries name objects and never values, so no secret can come into them.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::Change;
use crate::ids::{NodeId, Revision, TokenId};

/// So many entries are kept; then the oldest goes for each new one.
pub const MOST_ENTRIES: u64 = 50_000;

/// Objects named in one entry; of a command that changed more, the rest is counted. Whoever has such a command done names its objects in
/// notes before it.
pub const MOST_NAMED: usize = 16;

/// Who asked for a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// Somebody on the node's own machine, who could read its data folder.
    Local,
    /// The bearer of a token.
    Token(TokenId),
    /// A node, by itself.
    Node(NodeId),
    /// Nobody was asked who they are: `security.plaintext`.
    Anyone,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Token(id) => write!(f, "token {id}"),
            Self::Node(id) => write!(f, "node {id}"),
            Self::Anyone => f.write_str("anyone"),
        }
    }
}

/// Who asked for a change, where, and when by the clock there. The time is a note: nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Who.
    pub who: Actor,
    /// The node that was asked.
    pub via: NodeId,
    /// Seconds since 1970 by that node's clock.
    pub at_unix: u64,
}

/// A hash of the chain. Printed as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Hash {
    /// The hash written as 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log, from 1.
    pub sequence: u64,
    /// The revision that it made.
    pub revision: Revision,
    /// Who, where, when.
    pub origin: Origin,
    /// What changed, such as `user_put alice`; or what happened without a change of the map, in words.
    pub what: Vec<String>,
    /// The hash of this entry and the one before it.
    pub hash: Hash,
}

impl Entry {
    /// The entry after `head` that says this.
    #[must_use]
    pub fn new(head: &Head, revision: Revision, origin: Origin, what: Vec<String>) -> Self {
        let mut entry = Self {
            sequence: head.next,
            revision,
            origin,
            what,
            hash: Hash::default(),
        };
        entry.hash = entry.hash_after(head.last);
        entry
    }

    /// What its hash must be when the one before it is `before`. Frozen: every field, each with its length.
    fn hash_after(&self, before: Hash) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(before.0);
        for number in [self.sequence, self.revision.0, self.origin.via.0, self.origin.at_unix] {
            hasher.update(number.to_be_bytes());
        }
        let who = self.origin.who.to_string();
        for text in std::iter::once(&who).chain(&self.what) {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        Hash(hasher.finalize().into())
    }
}

/// Changes as an entry names them: each by its kind and its object, the first few of many.
#[must_use]
pub fn named(changes: &[Change]) -> Vec<String> {
    let named = changes.iter().take(MOST_NAMED);
    let mut what: Vec<_> = named
        .map(|change| format!("{} {}", change.kind(), change.object()))
        .collect();
    if changes.len() > MOST_NAMED {
        what.push(format!("and {} more", changes.len() - MOST_NAMED));
    }
    what
}

/// Where the log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The sequence of the oldest entry kept.
    pub first: u64,
    /// The sequence of the next entry.
    pub next: u64,
    /// The hash before the oldest entry kept: that of the entry that went last, zeros while none has gone.
    pub before_first: Hash,
    /// The hash of the newest entry.
    pub last: Hash,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            first: 1,
            next: 1,
            before_first: Hash::default(),
            last: Hash::default(),
        }
    }
}

/// What is wrong with the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is not there.
    #[error("entry {0} is missing")]
    Missing(u64),
    /// An entry, or the one before it, is not what it was.
    #[error("entry {0} was changed, or the one before it was")]
    Changed(u64),
}

/// Follows the chain over `entries`, which come after the entry `after` with the hash `before`.
///
/// # Errors
/// [`Broken`] with the first entry that does not fit.
pub fn verify<'e>(
    mut after: u64,
    mut before: Hash,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Result<(u64, Hash), Broken> {
    for entry in entries {
        if entry.sequence != after + 1 {
            return Err(Broken::Missing(after + 1));
        }
        if entry.hash != entry.hash_after(before) {
            return Err(Broken::Changed(entry.sequence));
        }
        (after, before) = (entry.sequence, entry.hash);
    }
    Ok((after, before))
}
