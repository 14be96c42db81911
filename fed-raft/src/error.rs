//! What can go wrong, for whom, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use fed_core::ids::{NodeId, Revision, SessionId};
use fed_core::kv::StoreError;

use crate::security::NodeName;

/// A field of [`Config`](crate::Config) with a value that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the setting {field} is not usable: {rule}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

/// Why a data folder could not be made, read or opened, or a node not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is nothing in the folder.
    #[error("{} holds no node yet: make a cluster with `init`, or join one with `join`", .0.display())]
    Empty(PathBuf),
    /// The folder holds a node already.
    #[error("{} already belongs to node {node}: start it, or choose an empty folder", .path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        node: NodeId,
    },
    /// The folder belongs to somebody else.
    #[error("{} belongs to node {found}, this is node {expected}: name the right folder", .path.display())]
    OtherNode {
        /// The folder.
        path: PathBuf,
        /// Who should own it.
        expected: NodeId,
        /// Who owns it.
        found: NodeId,
    },
    /// Parts of the folder come from different nodes, clusters or incarnations.
    #[error("{} is put together from different nodes ({part} is of another one): restore the whole folder, or make an empty one and join again", .path.display())]
    Mixed {
        /// The folder.
        path: PathBuf,
        /// Which part does not belong.
        part: &'static str,
    },
    /// The identity is there, the data is not: a wiped node must not come back under its old id.
    #[error("{} names node {node} but its {part} is gone: a node without its data may not use its old id (acknowledged changes could be lost). Remove node {node} from the cluster, then join with an empty folder", .path.display())]
    Wiped {
        /// The folder.
        path: PathBuf,
        /// The id in it.
        node: NodeId,
        /// What is missing.
        part: &'static str,
    },
    /// Another process has the folder open.
    #[error("{} is in use by another process: stop it first", .0.display())]
    InUse(PathBuf),
    /// Written by a newer program.
    #[error("{} is in format {found}; this program reads up to {known}: use version {needs} or later", .path.display())]
    NewerFormat {
        /// The folder.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format known here.
        known: u32,
        /// The program version that can read it.
        needs: String,
    },
    /// The state holds what only newer programs understand.
    #[error("{} uses feature level {found}; this program knows up to {known}: use the version that wrote it, or a later one", .path.display())]
    NewerLevel {
        /// The folder of the state.
        path: PathBuf,
        /// The feature level found.
        found: u32,
        /// The highest one known here.
        known: u32,
    },
    /// A file is damaged where no crash can have damaged it.
    #[error("{}: {what}. Either remove the node from the cluster and let it join again with an empty folder, or, where it is the only one left, restore the state from a backup into a new cluster; an older copy of this folder must not be put back", .path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The address to serve peers on cannot be had.
    #[error("cannot serve peers on {address}: {source}; choose another address or stop what uses it")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder could not be used.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate is not this node's.
    #[error(
        "the certificate is that of {found}, this is {expected}: use the certificate that was made for this folder"
    )]
    OtherName {
        /// Whose it should be.
        expected: NodeName,
        /// Whose it is.
        found: NodeName,
    },
    /// The cluster did not take this node in.
    #[error("joining over {seed} failed: {why}")]
    Join {
        /// The address asked.
        seed: String,
        /// Why.
        why: String,
    },
    /// A recovery from a lost quorum was begun in the folder and not finished.
    #[error("{}: a recovery was begun and interrupted: run it again, it goes on where it was", .0.display())]
    Unfinished(PathBuf),
    /// The node never got anything from its cluster.
    #[error("{} has nothing of its cluster: there is nothing to recover from it. Choose the folder of another survivor", .0.display())]
    NothingToRecover(PathBuf),
    /// The consensus core did not start.
    #[error("the node could not start: {0}")]
    Core(String),
}

/// Why a backup could not be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something of the backup is missing or not what was saved.
    #[error("{}: the backup is damaged: {what}; take another one", .path.display())]
    Damaged {
        /// The folder of the backup.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The folder for the new cluster, or a file.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The state in it cannot be read.
    #[error("the state of the backup cannot be read: {0}; take another one")]
    Store(#[from] StoreError),
    /// This node is stopping or has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

/// What became of a proposal that was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It may have been applied, or may be later. Ask again with the same request to know.
    #[error("the outcome is unknown: {why}; it may have been applied, look before asking again")]
    OutcomeUnknown {
        /// What happened last.
        why: String,
    },
    /// Certainly not applied: no leader was found in time.
    #[error("no leader was found in time, nothing was changed; is a majority of the nodes up and reachable?")]
    NoLeader,
    /// Certainly not applied: too much is waiting already.
    #[error("too many requests are waiting, nothing was changed; try again after {} ms", .retry_after.as_millis())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// Certainly not applied: little space is left where it would have to be written, and it does not shrink the
    /// state. It passes by itself when there is space again.
    #[error("only {free} bytes are free around {}, {needed} are needed to take more; nothing was changed. Free some space there, or delete what is no longer needed", .path.display())]
    LowSpace {
        /// The data folder, of this node or of the leader.
        path: PathBuf,
        /// Bytes free in its file system.
        free: u64,
        /// Bytes that must be.
        needed: u64,
    },
    /// Certainly not applied: larger than a log entry may be.
    #[error("the command takes {bytes} bytes, at most {limit} are allowed; nothing was changed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Certainly not applied: not all members understand it yet. The level rises by itself once all of them run a
    /// version that knows it.
    #[error(
        "the command needs feature level {needed}, the cluster is at {current}; nothing was changed. Bring all nodes to a version that knows it: the level then rises by itself"
    )]
    FeatureLevel {
        /// The level it needs.
        needed: u32,
        /// The cluster's level, as this node knows it.
        current: u32,
    },
    /// Certainly not applied: it could not be encoded, or the leader could not read it.
    #[error("the command was refused, nothing was changed: {0}")]
    Refused(String),
    /// Certainly not applied: this node is stopping or has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

/// Why a read could not be answered with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader confirmed the read in time. [`Consistency::Local`](crate::Consistency::Local) still answers.
    #[error("no majority confirmed the read in time; a local read still answers, perhaps from the past")]
    NoQuorum,
    /// Too many reads wait here already.
    #[error("too many reads are waiting here; try again after {} ms", .retry_after.as_millis())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The revision was not reached here in time.
    #[error("revision {wanted} was not reached here in time, this node is at {reached}")]
    Behind {
        /// The revision asked for.
        wanted: Revision,
        /// Where this node is.
        reached: Revision,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This node is stopping or has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

/// Why a session could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepAliveError {
    /// It has ended; open a new one.
    #[error("session {0} has ended; open a new one")]
    Ended(SessionId),
    /// No leader answered. The session may still be open: try again.
    #[error("no leader answered the keep-alive: {0}")]
    NoLeader(String),
    /// This node is stopping or has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

/// Why the members were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// The change was refused; the text says why and what to do.
    #[error("{0}")]
    Refused(String),
    /// No leader was found in time.
    #[error("no leader was found in time; is a majority of the nodes up and reachable?")]
    NoLeader,
    /// It may have happened, or may be later: look at the members.
    #[error("the outcome is unknown: {0}; look at the members before trying again")]
    OutcomeUnknown(String),
    /// This node is stopping or has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}
