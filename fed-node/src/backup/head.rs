//! What is in a backup, in words: the first thing in it.

use std::time::{SystemTime, UNIX_EPOCH};

use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_raft::Backup;
use serde::{Deserialize, Serialize};

use crate::cli::Show;

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
            made_at: utc(now()),
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

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// `2026-11-22T03:10:00Z`
pub(super) fn utc(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in eras of 400 years (Howard Hinnant's civil_from_days).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
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
    fn times_and_numbers_are_written_for_people() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_795_316_999), "2026-11-22T03:09:59Z");
        assert_eq!(
            [0, 999, 1_000, 10_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "10,000", "1,234,567"]
        );
    }
}
