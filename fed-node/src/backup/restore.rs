//! `backup restore`: a new federation that begins with the users, devices and settings of a backup.

use std::path::Path;

use data_encoding::HEXLOWER;
use fed_core::command::{Command, Expect, Reply};
use fed_core::ids::TokenId;
use fed_core::kv::StoreError;
use fed_core::map::{FederationMap, MapView};
use fed_core::records::setting;
use fed_raft::{Backup, BackupError};
use serde::Serialize;

use super::file::{Opened, at};
use super::head::Head;
use crate::cli::{Exit, Failure, Intent, Outcome, Show, print, tell_made};
use crate::config::{Config, Secret};
use crate::{founding, security, talk};

#[derive(Debug, Serialize)]
struct Restored {
    data_dir: String,
    federation: String,
    node: u64,
    join: String,
    tokens_revoked: usize,
    from: Head,
}

impl Show for Restored {
    fn text(&self) -> String {
        format!(
            "made federation {} with node {} in {} from {} ({})\n{}\nstart it with `fed-node run`; further nodes, with empty data folders: {}",
            self.federation,
            self.node,
            self.data_dir,
            self.from.summary(),
            self.from.made_at,
            tokens_are_gone(self.tokens_revoked),
            self.join
        )
    }
}

fn tokens_are_gone(count: usize) -> String {
    format!(
        "its {count} tokens are not taken over, as some may have been revoked since: `fed-node token create` makes new ones"
    )
}

/// The tokens of a backup: those that were revoked after it was made would be good again.
fn tokens(backup: &Backup) -> Result<Vec<TokenId>, StoreError> {
    let tokens = MapView::new(backup).tokens(None, usize::MAX)?;
    Ok(tokens.into_iter().map(|record| record.value.id).collect())
}

/// What must not outlive the old federation: its nodes, with their sessions and bindings, and its tokens. The capabilities of the
/// new one are signed with a key of its own.
fn first_changes(backup: &Backup) -> Result<Vec<Command>, StoreError> {
    let nodes = MapView::new(backup).nodes()?;
    let mut changes: Vec<Command> = nodes
        .into_iter()
        .map(|record| Command::DeleteNode { id: record.value.id })
        .collect();
    changes.extend(tokens(backup)?.into_iter().map(|id| Command::RevokeToken { id }));
    changes.push(Command::PutSetting {
        key: setting::CAPABILITY_KEY.to_owned(),
        value: HEXLOWER.encode(&rand::random::<[u8; 32]>()).into(),
        expect: Expect::Any,
    });
    Ok(changes)
}

/// Makes the data folder of the first node of a new federation. Everything of the backup is read and checked before.
///
/// # Errors
/// When the backup is not whole or the folder is taken; nothing was made then.
pub fn restore(config: &Config, path: &Path, key: &Secret, intent: Intent) -> Outcome {
    let cluster = founding::cluster_dir(&config.data_dir);
    if let Some(owner) = fed_raft::inspect(&cluster).map_err(|error| founding::start_failure(&error))? {
        return Err(Failure::usage(format!(
            "{} already belongs to node {}: a backup is restored into an empty data folder; choose one with --data-dir",
            config.data_dir.display(),
            owner.node
        )));
    }
    if intent.dry_run {
        let opened = Opened::unpack(path, key, &std::env::temp_dir())?;
        opened.verify(path)?;
        let tokens = tokens(&opened.backup).map_err(|error| at(path, &error))?.len();
        let fields = vec![
            ("from", opened.head.summary()),
            ("made at", opened.head.made_at.clone()),
            ("tokens", tokens_are_gone(tokens)),
        ];
        let object = format!("a new federation in {}", config.data_dir.display());
        return tell_made(intent.output, object, fields);
    }
    // Whatever comes in between, the data folder is a node's only when all of it is there.
    let folder_made = founding::NewFolder::make(&config.data_dir)?;
    let workplace = founding::begin(&config.data_dir)?;
    let opened = Opened::unpack(path, key, workplace.path())?;
    opened.verify(path)?;
    let tokens = tokens(&opened.backup).map_err(|error| at(path, &error))?.len();
    intent.confirm(&format!(
        "Make a new federation in {} from {} of {}?",
        config.data_dir.display(),
        opened.head.summary(),
        opened.head.made_at
    ))?;
    let changes = first_changes(&opened.backup).map_err(|error| at(path, &error))?;
    let restored = fed_raft::restore(&workplace.raft_config(config), &opened.backup, &FederationMap, changes);
    let restored = restored.map_err(|error| match error {
        BackupError::Start(error) => founding::start_failure(&error),
        error => Failure::new(Exit::Failed, error),
    })?;
    if let Some(why) = restored.replies.iter().find_map(|reply| match reply {
        Reply::Refused(why) => Some(why),
        _ => None,
    }) {
        return Err(at(
            path,
            &format!("its map could not be made ready: {why}; take another backup"),
        ));
    }
    founding::adopt_cluster_key(&config.data_dir, opened.cluster_key.as_deref())?;
    security::found(config, &restored.identity).map_err(|error| Failure::of(Exit::Usage, &error))?;
    let note = format!(
        "restored a backup of federation {}, revision {}; {tokens} tokens revoked",
        opened.head.federation, opened.head.revision
    );
    if let Err(why) = security::note_at_start(&config.data_dir, &note) {
        talk!("this will not be in the audit log: {why}");
    }
    let from = opened.head.clone();
    drop(opened);
    founding::finish(workplace, &config.data_dir)?;
    folder_made.stays();
    print(
        intent.output,
        &Restored {
            data_dir: config.data_dir.display().to_string(),
            federation: restored.identity.cluster.to_string(),
            node: restored.identity.node.0,
            join: founding::how_to_join(config),
            tokens_revoked: tokens,
            from,
        },
    )
}
