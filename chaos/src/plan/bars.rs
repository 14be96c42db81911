//! What a plan asks of the cluster, beyond being correct, and of itself.

use serde::{Deserialize, Serialize};

/// Bars; zero or empty is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bars {
    /// Fewer operations with a known outcome are too little coverage.
    pub operations: usize,
    /// Fewer changes of the leader are too little coverage.
    pub leader_changes: usize,
    /// What must really have happened; otherwise too little coverage.
    pub cover: Vec<Cover>,
    /// A majority without its leader has a new one within so many seconds.
    pub new_leader_s: f64,
    /// At most so many new terms a second, from the first step to the last.
    pub terms_per_s: f64,
    /// After the last step, all nodes have equal hashes within so many seconds.
    pub equal_s: f64,
    /// A node without a quorum refuses a write, with a typed error, within so many seconds.
    pub refusal_s: f64,
    /// No term may begin because of load: none between a storm and the next fault.
    pub calm_storm: bool,
    /// Most memory of one node, in mebibytes.
    pub memory_mib: u64,
}

impl Bars {
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, bar) in [
            ("new_leader_s", self.new_leader_s),
            ("terms_per_s", self.terms_per_s),
            ("equal_s", self.equal_s),
            ("refusal_s", self.refusal_s),
        ] {
            if !(bar.is_finite() && bar >= 0.0) {
                return Err(format!("bars: {name}: {bar} is no number from 0 on"));
            }
        }
        Ok(())
    }
}

/// Something that happened or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cover {
    /// The leader was on the side without a majority.
    LeaderInMinority,
    /// The leader was on the side with the majority.
    LeaderInMajority,
    /// The leader was paused.
    LeaderPaused,
    /// The leader was killed.
    LeaderKilled,
    /// The leader left.
    LeaderRemoved,
    /// A node without a quorum refused a write with a typed error.
    MinorityRefused,
    /// A new node joined.
    Joined,
    /// The leader died while a change of the members was under way, which had to be asked for again.
    ChangeInterrupted,
    /// A power cut took with it what was written and not synced.
    UnsyncedLost,
    /// A disk refused a write because it was full.
    DiskFull,
    /// A sync failed.
    SyncFailed,
    /// A node says that its wall clock is not the harness's.
    ClockMoved,
    /// A node's wall clock went faster or slower than the harness's, as it says itself.
    ClockRate,
    /// A packet was lost on a wire that was cut. Only the switch knows.
    PacketsCut,
    /// A packet was kept on a clogged wire. Only the switch knows.
    PacketsClogged,
    /// A node installed a snapshot of another's.
    SnapshotInstalled,
}
