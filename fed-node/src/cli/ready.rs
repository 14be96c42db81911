//! Waiting, after a change, until the Asterisks have it: whoever was told "added" may register.

use std::time::Duration;

use fed_proto::client as pb;
use pb::change::What;
use tonic::Code;

use super::client::Client;
use crate::talk;

/// Whether Asterisks are written to because of it.
pub(super) fn reaches_asterisk(change: &What) -> bool {
    matches!(
        change,
        What::PutUser(_) | What::DeleteUser(_) | What::PutDevice(_) | What::DeleteDevice(_)
    )
}

/// Waits, no longer than `patience`, until every Asterisk has the map as of this revision, and says which do not. The change itself
/// stands, whatever comes of it; true when they all have it.
pub(crate) async fn wait_for_asterisks(client: &Client, revision: u64, patience: Duration) -> bool {
    let request = pb::ReadyRequest {
        revision,
        patience_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
    };
    match client.operations.clone().ready(request).await {
        Ok(reply) => {
            let nodes = reply.into_inner().nodes;
            let behind: Vec<&pb::Readiness> = nodes.iter().filter(|node| !node.ready).collect();
            for node in &behind {
                talk!("not at {} yet: {}", node.node_name, node.why);
            }
            behind.is_empty()
        }
        // An older node, which cannot say.
        Err(status) if status.code() == Code::Unimplemented => false,
        Err(status) => {
            talk!(
                "it was changed; whether the Asterisks have it already is not known: {}",
                status.message()
            );
            false
        }
    }
}
