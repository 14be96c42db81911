//! `recover`: when most voters are lost for good, the data folder of one survivor becomes a federation of its own.

use std::fmt::Write;
use std::io::IsTerminal;

use fed_raft::{GivenUp, Recovery};
use serde::Serialize;

use crate::cli::{Exit, Failure, Intent, Outcome, Show, print};
use crate::config::Config;
use crate::explain::Coded;
use crate::founding::{cluster_dir, start_failure};
use crate::security::{found, note_at_start};
use crate::talk;

/// `recover`: says what would happen, and does it with `--yes` or when somebody at a terminal says so.
///
/// # Errors
/// When the folder is in use, or is not one to recover from.
pub fn recover(config: &Config, intent: Intent) -> Outcome {
    let folder = cluster_dir(&config.data_dir);
    let shown = |recovery: &Recovery| {
        print(
            intent.output,
            &View::new(recovery, config.data_dir.display().to_string()),
        )
    };
    if intent.dry_run || !intent.yes {
        shown(&fed_raft::plan_recovery(&folder).map_err(|error| start_failure(&error))?)?;
        if intent.dry_run || !std::io::stdin().is_terminal() {
            return Ok(());
        }
        intent.confirm("Make this node a federation of its own, and give the others up for good?")?;
    }
    let recovery = fed_raft::recover(&folder).map_err(|error| start_failure(&error))?;
    // What others of the old federation hold is worth nothing here.
    if let Some(identity) = fed_raft::inspect(&folder).map_err(|error| start_failure(&error))? {
        found(config, &identity).map_err(|error| {
            let text = format!(
                "{error}; the folder is that of a federation of its own now, and has no certificate for it yet: mend that, then give `fed-node recover --yes` again"
            );
            Failure::new(Exit::Failed, text).coded(error.code())
        })?;
    }
    let note = format!(
        "recovered: made a federation of its own out of federation {} at revision {}",
        recovery.old_cluster, recovery.revision
    );
    if let Err(why) = note_at_start(&config.data_dir, &note) {
        talk!("this will not be in the audit log: {why}");
    }
    shown(&recovery)
}

#[derive(Debug, Serialize)]
struct View {
    data_dir: String,
    node: u64,
    old_cluster: String,
    new_cluster: Option<String>,
    last_term: u64,
    last_index: u64,
    applied_index: u64,
    revision: u64,
    given_up: Vec<Lost>,
    done: bool,
}

#[derive(Debug, Serialize)]
struct Lost {
    id: u64,
    address: String,
    voter: bool,
}

impl From<&GivenUp> for Lost {
    fn from(lost: &GivenUp) -> Self {
        Self {
            id: lost.id.0,
            address: lost.address.clone(),
            voter: lost.voter,
        }
    }
}

impl View {
    fn new(recovery: &Recovery, data_dir: String) -> Self {
        Self {
            data_dir,
            node: recovery.node.0,
            old_cluster: recovery.old_cluster.to_string(),
            new_cluster: recovery.new_cluster.map(|id| id.to_string()),
            last_term: recovery.last_term,
            last_index: recovery.last_index,
            applied_index: recovery.applied_index,
            revision: recovery.revision.0,
            given_up: recovery.given_up.iter().map(Lost::from).collect(),
            done: recovery.new_cluster.is_some(),
        }
    }
}

impl Show for View {
    fn text(&self) -> String {
        let mut text = String::new();
        let verb = if self.done { "is now" } else { "would become" };
        let _ = writeln!(
            text,
            "node {} in {} {verb} the only member of a federation of its own.",
            self.node, self.data_dir
        );
        let _ = writeln!(
            text,
            "It has the log up to entry {} (term {}) and the map at revision {}; of several survivors, recover the one with the highest term and entry.",
            self.last_index, self.last_term, self.revision
        );
        text.push_str("Given up for good:\n");
        let _ = writeln!(
            text,
            "  - every change that the others acknowledged after entry {}",
            self.last_index
        );
        for lost in &self.given_up {
            let kind = if lost.voter { "voter" } else { "learner" };
            let _ = writeln!(
                text,
                "  - node {} ({kind}, {}): never start it again; empty its data folder, then `fed-node join` gives it a new id",
                lost.id, lost.address
            );
        }
        if self.last_index > self.applied_index {
            let _ = writeln!(
                text,
                "The entries {} to {} may never have been acknowledged; they are kept.",
                self.applied_index + 1,
                self.last_index
            );
        }
        text.push_str(if self.done {
            "Start it with `fed-node run`, take the lost nodes out of the map with `fed-node leave NODE`, and join new ones."
        } else {
            "Nothing was changed. Do it with --yes once you are sure that the lost nodes stay down: as long as a majority of them can meet, they go on as the old federation."
        });
        text
    }
}
