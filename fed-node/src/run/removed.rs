//! A node that was taken out while it was down, or whose folder is an older copy, learns it here: the others do not speak to it
//! any more, and say why.

use std::time::Duration;

use bytes::Bytes;
use fed_core::map::FederationMap;
use fed_raft::{AskError, Cluster};

/// Pause between two rounds of questions.
const EVERY: Duration = Duration::from_secs(2);
/// Longest wait for one answer.
const WITHIN: Duration = Duration::from_secs(1);

/// Waits until a member says that it speaks to this node no more; the words, with the remedy. Asks only while there is no quorum here.
pub(super) async fn told(cluster: &Cluster<FederationMap>) -> String {
    loop {
        tokio::time::sleep(EVERY).await;
        let status = cluster.status();
        if status.quorum {
            continue;
        }
        for member in status.members.iter().filter(|member| member.id != status.node) {
            // Whatever else is answered, it is one that speaks to this node.
            if let Err(shut_out @ (AskError::Removed(_) | AskError::Lost(_))) =
                cluster.ask(member.id, Bytes::new(), WITHIN).await
            {
                return shut_out.to_string();
            }
        }
    }
}
