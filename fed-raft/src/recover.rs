//! Recovery from a lost quorum, while nothing runs: one surviving folder becomes a cluster of its own.
//!
//! The survivor gets a new cluster id, so nothing of the old cluster can speak to it, nor it to them. Its incarnation
//! stays: nodes that join later read the old log first, and must know the survivor in it. Its log goes on with an entry that names it as the only member, so its state, ids and revisions go on too.
//! What the lost nodes had and this one had not is given up: [`Recovery`] says it before and after.
//!
//! A recovery that was interrupted refuses every start until it is run again; it then goes on where it was.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fed_core::ids::{NodeId, Revision};

use crate::error::StartError;
use crate::identity::{self, ClusterId, Identity};
use crate::log::LogStore;
use crate::platform::{chance, fs};
use crate::raft::{Entry, LogId, Membership, Payload, Peer, log_id, vote};
use crate::state;

/// A member that is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its id, which is never used again.
    pub id: NodeId,
    /// Where it was.
    pub address: String,
    /// Whether it voted.
    pub voter: bool,
}

/// What a recovery does, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The survivor. It keeps its id.
    pub node: NodeId,
    /// The cluster it belonged to.
    pub old_cluster: ClusterId,
    /// The cluster it is the only member of afterwards. `None`: not carried out.
    pub new_cluster: Option<ClusterId>,
    /// The last log entry it has. What the others acknowledged after it is given up. Of several survivors, the one
    /// with the highest `(last_term, last_index)` gives up least.
    pub last_index: u64,
    /// The term of that entry.
    pub last_term: u64,
    /// The last entry applied to its state; those after it up to `last_index` are applied with the next start, even
    /// if the old cluster had never acknowledged them.
    pub applied_index: u64,
    /// The revision of its state.
    pub revision: Revision,
    /// All other members: their folders must be emptied before those machines join again.
    pub given_up: Vec<GivenUp>,
    /// Whether an earlier recovery of this folder was interrupted, and this one goes on with it.
    pub resumed: bool,
}

/// What [`recover`] would do. Changes nothing.
///
/// # Errors
/// As [`recover`].
pub fn plan_recovery(data_dir: &Path) -> Result<Recovery, StartError> {
    let old = owner(data_dir)?;
    let _lock = identity::lock(data_dir)?;
    Ok(look(data_dir, &old)?.0)
}

/// Makes the node of this folder the only member of a new cluster.
///
/// # Errors
/// [`StartError::InUse`] while a process runs in the folder; others as they say. After an error in between, the folder
/// does not start until the recovery is run again.
pub fn recover(data_dir: &Path) -> Result<Recovery, StartError> {
    let old = owner(data_dir)?;
    let _lock = identity::lock(data_dir)?;
    let (mut recovery, last, own_address) = look(data_dir, &old)?;
    let new = match begun(data_dir)? {
        Some(new) => new,
        None => {
            let new = Identity {
                cluster: ClusterId(chance::draw_u128() | 1),
                founder: false,
                seeds: Vec::new(),
                ..old.clone()
            };
            identity::write_durably(&mark(data_dir), identity::render(&new).as_bytes())?;
            new
        }
    };
    let term = recovery.last_term.max(last.vote_term) + 1;
    let entry = Entry {
        log_id: log_id(term, new.node.0, recovery.last_index + 1),
        payload: Payload::Membership(alone(&new, own_address)?),
    };
    let log = data_dir.join("log");
    LogStore::begin_anew(&log, &old, &new, &entry, vote(term, new.node.0, false))?;
    state::change_owner(data_dir, &old, &new)?;
    identity::replace(data_dir, &new)?;
    let mark = mark(data_dir);
    fs::remove_file(&mark).map_err(|e| identity::at(&mark, e))?;
    fs::sync(data_dir).map_err(|e| identity::at(data_dir, e))?;
    recovery.new_cluster = Some(new.cluster);
    Ok(recovery)
}

/// Refuses a folder in the middle of a recovery.
pub(crate) fn check_finished(data_dir: &Path) -> Result<(), StartError> {
    match begun(data_dir)? {
        Some(_) => Err(StartError::Unfinished(data_dir.to_owned())),
        None => Ok(()),
    }
}

/// What else the log says.
struct Last {
    vote_term: u64,
}

/// Everything a person must know before, read from the folder.
fn look(data_dir: &Path, old: &Identity) -> Result<(Recovery, Last, String), StartError> {
    let new = begun(data_dir)?;
    let state = state::inspect(data_dir, old, new.as_ref())?;
    let applied = state.applied.map_or(0, |id| id.index);
    let log = LogStore::inspect(&data_dir.join("log"), old, new.as_ref(), applied)?;
    let members = log.members.or(state.members).unwrap_or_default();
    let nothing = || StartError::NothingToRecover(data_dir.to_owned());
    let last: LogId = log.last.or(state.applied).ok_or_else(nothing)?;
    // The entry with which an interrupted recovery began is no entry of the old cluster.
    let last_index = last.index - u64::from(log.begun);
    let voters: Vec<u64> = members.voter_ids().collect();
    let me = old.node.0;
    let own = members.get_node(&me).ok_or_else(nothing)?.address.clone();
    let given_up = members.nodes().filter(|(id, _)| **id != me).map(|(&id, peer)| GivenUp {
        id: NodeId(id),
        address: peer.address.clone(),
        voter: voters.contains(&id),
    });
    let recovery = Recovery {
        node: old.node,
        old_cluster: old.cluster,
        new_cluster: None,
        last_index,
        last_term: last.leader_id.term,
        applied_index: applied,
        revision: state.revision,
        given_up: given_up.collect(),
        resumed: new.is_some(),
    };
    let last = Last {
        vote_term: log.vote_term,
    };
    Ok((recovery, last, own))
}

/// The membership of a cluster of one.
fn alone(new: &Identity, address: String) -> Result<Membership, StartError> {
    let id = new.node.0;
    let peer = Peer {
        address,
        incarnation: new.incarnation,
    };
    Membership::new(vec![[id].into()], BTreeMap::from([(id, peer)])).map_err(|e| StartError::Core(e.to_string()))
}

fn owner(data_dir: &Path) -> Result<Identity, StartError> {
    identity::inspect(data_dir)?.ok_or_else(|| StartError::Empty(data_dir.to_owned()))
}

/// The file that is there from the first change to the last; it holds who the folder will belong to.
fn mark(data_dir: &Path) -> PathBuf {
    data_dir.join("recovery")
}

fn begun(data_dir: &Path) -> Result<Option<Identity>, StartError> {
    let path = mark(data_dir);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(identity::at(&path, source)),
    };
    let what = "it does not say who the folder was to belong to".to_owned();
    identity::parse(&text)
        .map(Some)
        .ok_or(StartError::Damaged { path, what })
}
