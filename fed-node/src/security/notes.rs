//! What belongs into the audit log without being a change of the map.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fed_core::audit::Actor;
use fed_core::command::{Command, Reply};
use fed_core::map::FederationMap;
use fed_raft::Cluster;
use tokio::sync::mpsc;

use super::files::{folder, write_private};
use super::origin;
use crate::api::Refusal;

/// The feature level from which members know notes.
pub(crate) const NOTES_FROM_LEVEL: u32 = 3;

/// Writes into the audit log what somebody did. It is done: what cannot be written down is said in this node's log instead.
pub(crate) async fn note(cluster: &Cluster<FederationMap>, who: Actor, text: String) {
    if cluster.status().feature_level < NOTES_FROM_LEVEL {
        tracing::info!(%who, text, "not in the audit log: some members do not know such entries yet");
        return;
    }
    if let Err(why) = write(cluster, who.clone(), text.clone()).await {
        tracing::warn!(%who, text, why, "not in the audit log");
    }
}

async fn write(cluster: &Cluster<FederationMap>, who: Actor, text: String) -> Result<(), String> {
    let command = Command::By {
        origin: origin(who, cluster.id()),
        command: Box::new(Command::Note { text }),
    };
    match cluster.propose(command).await.map(|proposed| proposed.reply) {
        Ok(Reply::Refused(why)) => Err(why.to_string()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// What was done to a node's folder while the node did not run, one note a line.
fn waiting(data_dir: &Path) -> Result<PathBuf, String> {
    Ok(folder(data_dir)?.join("notes-to-write"))
}

/// Has something written into the audit log when the node of this folder runs next.
///
/// # Errors
/// When it cannot be kept until then.
pub(crate) fn note_at_start(data_dir: &Path, text: &str) -> Result<(), String> {
    let file = waiting(data_dir)?;
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    write_private(&file, &format!("{before}{text}\n")).map_err(|why| format!("{}: {why}", file.display()))
}

/// Pause before another try.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes down what was done while this node did not run, as soon as it can be.
pub(crate) async fn write_waiting(cluster: Cluster<FederationMap>, data_dir: PathBuf) {
    let Ok(file) = waiting(&data_dir) else { return };
    let Ok(text) = std::fs::read_to_string(&file) else {
        return;
    };
    for line in text.lines().filter(|line| !line.is_empty()) {
        loop {
            if cluster.status().feature_level >= NOTES_FROM_LEVEL {
                match write(&cluster, Actor::Local, line.to_owned()).await {
                    Ok(()) => break,
                    Err(why) => tracing::debug!(why, "a note waits for the audit log"),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    // Otherwise it is written down once more at the next start.
    let _ = std::fs::remove_file(&file);
}

/// Writes refusals down as they come, until nobody tells of any more.
pub(crate) async fn write_refusals(cluster: Cluster<FederationMap>, mut refusals: mpsc::Receiver<Refusal>) {
    while let Some(Refusal { who, text }) = refusals.recv().await {
        note(&cluster, who, text).await;
    }
}
