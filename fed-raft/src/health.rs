//! Whether a node works at all: what a watchdog asks before it lets the node live on.

use std::sync::Arc;
use std::time::Duration;

use fed_core::machine::Machine;

use crate::node::Node;

impl<M: Machine> Node<M> {
    /// Whether the consensus task takes its turn and the state can be read, both within that time.
    pub(crate) async fn responds(self: &Arc<Self>, within: Duration) -> bool {
        let node = self.clone();
        let state = tokio::task::spawn_blocking(move || node.status());
        let both = async { self.raft.with_raft_state(|_| ()).await.is_ok() && state.await.is_ok() };
        tokio::time::timeout(within, both).await.unwrap_or(false)
    }
}
