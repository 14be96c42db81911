//! What is in a backup, in words: the first thing in it.

use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_raft::Backup;
use serde::{Deserialize, Serialize};

use crate::cli::{Show, clock};

/// The newest contents that this program reads and those it writes.
pub(super) const FORMAT: u32 = 1;

/// What a backup holds. Fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the contents.
    pub format: u32,
    /// The version of fed-node that made it.
    pub program: String,
    /// By the clock of the node that made it.
    pub made_at: String,
    /// The federation.
    pub federation: String,
    /// The node that made it.
    pub node: u64,
    /// Its name.
    pub node_name: String,
    /// The revision of the map.
    pub revision: u64,
    /// The hash of the state at that revision, in hex.
    pub state_hash: String,
    /// False: the node had no quorum, so that changes acknowledged before may be missing.
    pub complete: bool,
    /// Users.
    pub users: u64,
    /// Devices.
    pub devices: u64,
    /// Settings that are set.
    pub settings: u64,
    /// Bindings; not restored.
    pub bindings: u64,
    /// Nodes; not restored.
    pub nodes: u64,
    /// Bytes of the state's files.
    pub bytes: u64,
    /// Whether the key that seals credentials is in it.
    pub cluster_key: bool,
}

impl Head {
    /// What to say of `backup`.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub(super) fn of(backup: &Backup, node_name: &str, complete: bool, cluster_key: bool) -> Result<Self, StoreError> {
        let (info, view) = (backup.info(), MapView::new(backup));
        let counts = view.counts()?;
        Ok(Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: clock::utc(clock::unix_now()),
            federation: info.cluster.to_string(),
            node: info.node.0,
            node_name: node_name.to_owned(),
            revision: info.revision.0,
            state_hash: format!("{:032x}", info.state_hash),
            complete,
            users: counts.users,
            devices: counts.devices,
            settings: view.setting_keys()?.len() as u64,
            bindings: counts.bindings,
            nodes: counts.nodes,
            bytes: info.files.iter().map(|(_, size)| size).sum(),
            cluster_key,
        })
    }

    /// One line: `revision 42, 10,000 users`.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "revision {}, {} users and {} devices",
            self.revision,
            grouped(self.users),
            grouped(self.devices)
        )
    }
}

impl Show for Head {
    fn text(&self) -> String {
        let key = if self.cluster_key { "in it" } else { "none" };
        let complete = if self.complete {
            "yes"
        } else {
            "no: the node had no quorum, the last changes may be missing"
        };
        crate::cli::fields(&[
            ("federation", self.federation.clone()),
            ("made at", self.made_at.clone()),
            (
                "by",
                format!("node {} (id {}), fed-node {}", self.node_name, self.node, self.program),
            ),
            ("revision", self.revision.to_string()),
            ("state hash", self.state_hash.clone()),
            ("complete", complete.to_owned()),
            ("users", grouped(self.users)),
            ("devices", grouped(self.devices)),
            ("settings", grouped(self.settings)),
            (
                "not restored",
                format!(
                    "{} nodes, {} bindings, their sessions",
                    self.nodes,
                    grouped(self.bindings)
                ),
            ),
            ("cluster key", key.to_owned()),
            ("bytes", grouped(self.bytes)),
        ])
    }
}

/// `10,000`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0, 999, 1_000, 10_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "10,000", "1,234,567"]
        );
    }
}
