//! What belongs into the audit log without being a change of the map.

use fed_core::audit::Actor;
use fed_core::command::{Command, Reply};
use fed_core::map::FederationMap;
use fed_raft::Cluster;
use tokio::sync::mpsc;

use super::origin;
use crate::api::Refusal;

/// The feature level from which members know notes.
const LEVEL: u32 = 3;

/// Writes into the audit log what somebody did. It is done: what cannot be written down is said in this node's log instead.
pub(crate) async fn note(cluster: &Cluster<FederationMap>, who: Actor, text: String) {
    if cluster.status().feature_level < LEVEL {
        tracing::info!(%who, text, "not in the audit log: some members do not know such entries yet");
        return;
    }
    let command = Command::By {
        origin: origin(who.clone(), cluster.id()),
        command: Box::new(Command::Note { text: text.clone() }),
    };
    let failed = match cluster.propose(command).await.map(|proposed| proposed.reply) {
        Ok(Reply::Refused(why)) => why.to_string(),
        Ok(_) => return,
        Err(error) => error.to_string(),
    };
    tracing::warn!(%who, text, why = failed, "not in the audit log");
}

/// Writes refusals down as they come, until nobody tells of any more.
pub(crate) async fn write_refusals(cluster: Cluster<FederationMap>, mut refusals: mpsc::Receiver<Refusal>) {
    while let Some(Refusal { who, text }) = refusals.recv().await {
        note(&cluster, who, text).await;
    }
}
