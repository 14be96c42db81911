//! What the API needs of its node, and of what is beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use fed_core::audit::Actor;
use fed_core::ids::{NodeId, Revision};
use fed_core::map::FederationMap;
use fed_proto::client as pb;
use fed_raft::Cluster;
use tonic::Status;

use super::door::Door;
use crate::backup::Source;
use crate::config::RaftConfig;
use crate::diary::Diary;
use crate::security::Vault;

/// What the API shows of the Asterisk beside this node.
#[async_trait]
pub trait AsteriskSide: Send + Sync + 'static {
    /// How it is.
    fn status(&self) -> pb::AsteriskStatus;

    /// Waits until it holds all that the map had at a revision; forever, where it has no trouble and does not get there.
    ///
    /// # Errors
    /// In words, when it cannot be written to now: it gets what it lacks once it can.
    async fn ready(&self, revision: Revision) -> Result<(), String>;

    /// Compares the map with it; see `Drift` in the protocol.
    ///
    /// # Errors
    /// In words, with the remedy, when it cannot be asked.
    async fn drift(&self) -> Result<Drift, String>;
}

/// What a comparison found.
#[derive(Debug, Clone, Default)]
pub struct Drift {
    /// How much was compared.
    pub compared: u64,
    /// What differs.
    pub differences: Vec<pb::Difference>,
}

/// How a node is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removal {
    /// Although the rest has no majority up.
    pub lose_quorum: bool,
    /// Although the node runs: it is cut off.
    pub cut_off: bool,
    /// Only when the members are still those that this log entry named.
    pub if_members_at: Option<u64>,
}

/// Takes nodes out of the federation.
#[async_trait]
pub trait Leave: Send + Sync + 'static {
    /// Removes a node from the map and the cluster for whoever asked; this one stops serving
    /// afterwards. The revision of the map without it.
    ///
    /// # Errors
    /// The status to answer.
    async fn remove(&self, who: Actor, node: NodeId, how: Removal) -> Result<u64, Status>;
}

/// What the API needs of its node.
pub struct NodeView {
    /// The cluster.
    pub cluster: Cluster<FederationMap>,
    /// This node's name.
    pub name: String,
    /// Its Asterisk.
    pub asterisk: Arc<dyn AsteriskSide>,
    /// Whether there is one, which tells its registrations itself.
    pub has_asterisk: bool,
    /// Where its certificate comes from; none where nothing is encrypted.
    pub(crate) certificates: Option<crate::security::Source>,
    /// How nodes leave.
    pub leave: Arc<dyn Leave>,
    /// Who comes in.
    pub door: Arc<Door>,
    /// The key of the secrets in the map.
    pub vault: Arc<Vault>,
    /// What it saw happen.
    pub diary: Arc<Diary>,
    /// Its data folder, whose disk can be measured.
    pub data_dir: PathBuf,
    /// The times that a disk has to keep up with.
    pub raft: RaftConfig,
    /// What backups are made of.
    pub backups: Source,
    /// When it started.
    pub started: Instant,
    /// Ends watches when the node stops.
    pub stop: tokio_util::sync::CancellationToken,
}
