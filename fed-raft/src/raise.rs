//! Raising the feature level: once every member runs a program that understands it, the leader puts it into the log.

use std::time::Duration;

use fed_core::machine::Machine;
use fed_proto::peer as proto;

use crate::batch;
use crate::node::Node;
use crate::transport::Lane;

/// How long a member may take to say what it understands.
const PATIENCE: Duration = Duration::from_secs(1);

impl<M: Machine> Node<M> {
    /// The leader's part: asks everybody, and raises the level to what all of them understand. A member that does not
    /// answer keeps it where it is.
    pub(crate) async fn raise_feature_level(&self) {
        let current = self.state.feature_level();
        let mut common = self.state.machine.newest_level();
        for member in self.members() {
            if common <= current {
                return;
            }
            if member.id != self.identity.node {
                match self.newest_level_of(member.id.0, &member.address).await {
                    Some(known) => common = common.min(known),
                    None => return,
                }
            }
        }
        if common <= current {
            return;
        }
        match tokio::time::timeout(
            self.config.propose_timeout,
            self.raft.client_write(batch::raise(common)),
        )
        .await
        {
            Ok(Ok(_)) => tracing::info!(
                feature_level = common,
                "all members understand it: the feature level was raised"
            ),
            Ok(Err(error)) => tracing::debug!(%error, "the feature level was not raised yet"),
            Err(_) => tracing::debug!("the feature level was not raised in time"),
        }
    }

    /// The highest feature level that the program of a node knows; `None` where it does not say.
    pub(crate) async fn newest_level_of(&self, id: u64, address: &str) -> Option<u32> {
        let mut client = self.channels.client(id, address, Lane::Client).ok()?;
        let call = client.describe(self.channels.request(id, proto::DescribeRequest {}));
        let reply = tokio::time::timeout(PATIENCE, call).await.ok()?.ok()?;
        Some(reply.into_inner().newest_level.max(1))
    }
}
