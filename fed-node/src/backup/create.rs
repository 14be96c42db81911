//! `backup create`: from a running node into a file.

use std::io::Write;
use std::path::Path;

use fed_proto::client as pb;
use serde::Serialize;

use super::file::{Writing, at};
use super::head::Head;
use crate::cli::{Client, Failure, Intent, Outcome, Show, print, tell_made};
use crate::config::Secret;
use crate::talk;

#[derive(Debug, Serialize)]
struct Saved {
    file: String,
    verified: bool,
    #[serde(flatten)]
    head: Head,
}

impl Show for Saved {
    fn text(&self) -> String {
        format!("{}: saved and verified to {}", self.file, self.head.summary())
    }
}

/// Saves the map of the node asked into a file that is not there yet.
///
/// # Errors
/// When the node cannot be asked, or the file not be written and read again; nothing is left of it then.
pub async fn create(client: &Client, path: &Path, key: &Secret, intent: Intent) -> Outcome {
    if intent.dry_run {
        Writing::may_begin(path)?;
        let status = client.api.clone().status(pb::StatusRequest {}).await;
        let status = status.map_err(Failure::of_read)?.into_inner();
        let counts = status.counts.unwrap_or_default();
        let fields = vec![
            ("revision", status.revision.to_string()),
            ("users", counts.users.to_string()),
            ("devices", counts.devices.to_string()),
        ];
        return tell_made(intent.output, format!("backup {}", path.display()), fields);
    }
    let mut writing = Writing::begin(path, key)?;
    if let Err(failure) = receive(client, &mut writing, path).await {
        writing.discard();
        return Err(failure);
    }
    let (to, secret) = (path.to_owned(), key.clone());
    let head = tokio::task::spawn_blocking(move || writing.keep(&to, &secret)).await;
    let head = head.map_err(Failure::failed)??;
    if !head.complete {
        talk!(
            "stale: the node {} has no quorum; changes that the others acknowledged may be missing in this backup",
            head.node_name
        );
    }
    let file = path.display().to_string();
    print(
        intent.output,
        &Saved {
            file,
            verified: true,
            head,
        },
    )
}

async fn receive(client: &Client, writing: &mut Writing, path: &Path) -> Outcome {
    let parts = client.api.clone().backup(pb::BackupRequest {}).await;
    let mut parts = parts.map_err(Failure::of_read)?.into_inner();
    while let Some(part) = parts.message().await.map_err(Failure::of_read)? {
        writing.write_all(&part.data).map_err(|error| at(path, &error))?;
    }
    Ok(())
}
