//! The database under the log: where things are in it, and what a start reads.

use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use super::Marks;
use crate::error::StartError;
use crate::identity::Identity;
use crate::platform::{Database, DatabaseError, Db, ENTRIES, Kind, META, Reads, Row, fs};
use crate::raft::stored;

pub(super) const VOTE: &[u8] = b"vote";
pub(super) const PURGED: &[u8] = b"purged";
pub(super) const COMMITTED: &[u8] = b"committed";
pub(super) const OWNER: &[u8] = b"owner";

pub(super) fn create(folder: &Path, identity: &Identity) -> Result<(), StartError> {
    let owner = owner(identity);
    let db = Db::create(folder, Kind::Log).map_err(|e| failed(folder, e))?;
    db.write(|changes| changes.put(META, OWNER, &owner))
        .and_then(|()| db.sync())
        .map_err(|e| failed(folder, e))
}

pub(super) fn open(folder: &Path, identity: &Identity) -> Result<Db, StartError> {
    if !fs::exists(&folder.join("CURRENT")) {
        return Err(StartError::Wiped {
            path: folder.to_owned(),
            node: identity.node,
            part: "log",
        });
    }
    let db = Db::open(folder, Kind::Log).map_err(|e| failed(folder, e))?;
    let found = db.get(META, OWNER).map_err(|e| failed(folder, e))?;
    if found.as_deref() != Some(owner(identity).as_slice()) {
        return Err(StartError::Mixed {
            path: folder.to_owned(),
            part: "the log",
        });
    }
    Ok(db)
}

pub(super) fn load_marks(db: &Db, folder: &Path) -> Result<Marks, StartError> {
    let damaged = |what: String| StartError::Damaged {
        path: folder.to_owned(),
        what,
    };
    let meta = |key: &[u8]| db.get(META, key).map_err(|e| failed(folder, e));
    let log_id = |key: &[u8]| {
        meta(key)?
            .map(|bytes| stored::decode_log_id(&bytes))
            .transpose()
            .map_err(|e| damaged(format!("{}: {e}", String::from_utf8_lossy(key))))
    };
    let vote = meta(VOTE)?
        .map(|bytes| stored::decode_vote(&bytes))
        .transpose()
        .map_err(|e| damaged(format!("the vote: {e}")))?;
    let purged = log_id(PURGED)?;
    let committed = log_id(COMMITTED)?;
    let entry = |row: Option<Row>| {
        row.map(|(_, value)| stored::decode_entry(&value))
            .transpose()
            .map_err(|e| damaged(format!("a log entry: {e}")))
    };
    let first = entry(first(db).map_err(|e| failed(folder, e))?)?;
    let last = entry(db.last(ENTRIES).map_err(|e| failed(folder, e))?)?;
    let begins = purged.map_or(0, |id| id.index + 1);
    if let Some(first) = first
        && first.log_id.index != begins
    {
        return Err(damaged(format!(
            "the log begins at {} where {begins} belongs",
            first.log_id.index
        )));
    }
    Ok(Marks {
        vote,
        purged,
        last: last.map(|entry| entry.log_id).or(purged),
        committed,
        committed_waits: false,
    })
}

fn first(db: &Db) -> Result<Option<Row>, DatabaseError> {
    let mut first = None;
    db.scan(ENTRIES, Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
        first = Some((key.to_vec(), value.to_vec()));
        ControlFlow::Break(())
    })?;
    Ok(first)
}

pub(super) fn bytes_between(db: &Db, from: u64, to: u64) -> u64 {
    db.bytes_between(ENTRIES, &key(from), &key(to.saturating_add(1)))
}

pub(super) fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

pub(super) fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

pub(super) fn owner(identity: &Identity) -> Vec<u8> {
    format!("{}/{}/{}", identity.cluster, identity.node, identity.incarnation).into_bytes()
}

/// What a start is told when the database in a folder cannot be used.
pub(crate) fn failed(folder: &Path, error: DatabaseError) -> StartError {
    match error {
        DatabaseError::InUse(_) => StartError::InUse(folder.to_owned()),
        DatabaseError::Io(what) => crate::identity::at(folder, other(what)),
        DatabaseError::Damaged(what) => StartError::Damaged {
            path: folder.to_owned(),
            what,
        },
    }
}
