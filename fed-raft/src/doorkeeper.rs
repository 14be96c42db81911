//! Who may join: decided by the program around the leader.

use std::net::IpAddr;

use bytes::Bytes;
use fed_core::ids::NodeId;
use futures::future::BoxFuture;

/// Why somebody was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turned {
    /// For good, with the words for whoever asked.
    Away(String),
    /// It is asked again a moment later.
    Later(String),
}

/// Decides who may join, and what a new member gets. Asked at the leader only.
pub trait Doorkeeper: Send + Sync + 'static {
    /// Whether whoever applies with this, and says that the others will find it at `address` (perhaps empty), may come in. Only looks:
    /// an id is drawn for nobody else. `from` is where the application came from: of one that a member passed on, that member.
    fn admit(&self, from: IpAddr, address: String, application: Bytes) -> BoxFuture<'_, Result<(), Turned>>;

    /// What the node gets that is let in under this id. What may be used once is used up here.
    fn equip(&self, node: NodeId, address: String, application: Bytes) -> BoxFuture<'_, Result<Bytes, Turned>>;
}
