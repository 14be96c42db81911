//! The log of a survivor: what it holds, and its new beginning.

use std::ops::{Bound, ControlFlow};
use std::path::Path;

use super::LogStore;
use super::db::{self, OWNER, VOTE, key, owner};
use crate::error::StartError;
use crate::identity::Identity;
use crate::platform::{Database, Db, ENTRIES, META, Reads};
use crate::raft::{Entry, LogId, Membership, Payload, Vote, stored};

/// What a log says to somebody who decides about a recovery.
pub(crate) struct Inspected {
    pub(crate) last: Option<LogId>,
    pub(crate) vote_term: u64,
    /// The newest members named after the entry asked for.
    pub(crate) members: Option<Membership>,
    /// Whether a recovery has put its own entry at the end, which names no members of the old cluster.
    pub(crate) begun: bool,
}

impl LogStore {
    /// Looks at the log of `old`, or of `new` when a recovery got that far.
    pub(crate) fn inspect(
        folder: &Path,
        old: &Identity,
        new: Option<&Identity>,
        after: u64,
    ) -> Result<Inspected, StartError> {
        let (db, begun) = open_either(folder, old, new)?;
        let marks = db::load_marks(&db, folder)?;
        let mut members = Ok(None);
        let visited = db.scan(
            ENTRIES,
            Bound::Included(&key(after + 1)),
            Bound::Unbounded,
            &mut |_, value| {
                match stored::decode_entry(value) {
                    Ok(Entry {
                        log_id,
                        payload: Payload::Membership(found),
                    }) if !(begun && marks.last == Some(log_id)) => members = Ok(Some(found)),
                    Ok(_) => {}
                    Err(error) => {
                        members = Err(error);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            },
        );
        visited.map_err(|e| db::failed(folder, e))?;
        Ok(Inspected {
            last: marks.last,
            vote_term: marks.vote.map_or(0, |vote| vote.leader_id().term),
            members: members.map_err(|e| StartError::Damaged {
                path: folder.to_owned(),
                what: format!("a log entry: {e}"),
            })?,
            begun,
        })
    }

    /// Makes an empty log that has voted: its first entry follows what a state brings along.
    pub(crate) fn create_voting(folder: &Path, identity: &Identity, vote: Vote) -> Result<(), StartError> {
        db::create(folder, identity)?;
        let voted = stored::encode_vote(&vote).map_err(|e| StartError::Core(e.to_string()))?;
        let db = db::open(folder, identity)?;
        db.write(|changes| changes.put(META, VOTE, &voted))
            .and_then(|()| db.sync())
            .map_err(|e| db::failed(folder, e))
    }

    /// Adds `entry`, votes `vote`, and gives the log to `new`: all or nothing, durable, and once however often it is
    /// called.
    pub(crate) fn begin_anew(
        folder: &Path,
        old: &Identity,
        new: &Identity,
        entry: &Entry,
        vote: Vote,
    ) -> Result<(), StartError> {
        let db = match db::open(folder, new) {
            Ok(_) => return Ok(()),
            Err(StartError::Mixed { .. }) => db::open(folder, old)?,
            Err(error) => return Err(error),
        };
        let encoded = |e: fed_core::codec::CodecError| StartError::Core(e.to_string());
        let bytes = stored::encode_entry(entry).map_err(encoded)?;
        let voted = stored::encode_vote(&vote).map_err(encoded)?;
        db.write(|changes| {
            changes.put(ENTRIES, &key(entry.log_id.index), &bytes);
            changes.put(META, VOTE, &voted);
            changes.put(META, OWNER, &owner(new));
        })
        .and_then(|()| db.sync())
        .map_err(|e| db::failed(folder, e))
    }
}

fn open_either(folder: &Path, old: &Identity, new: Option<&Identity>) -> Result<(Db, bool), StartError> {
    match (db::open(folder, old), new) {
        (Err(StartError::Mixed { .. }), Some(new)) => Ok((db::open(folder, new)?, true)),
        (opened, _) => Ok((opened?, false)),
    }
}
