//! What a run tells: one line of JSON from the process of a seed to whoever started it.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// What became of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// "true", "false" or "unknown".
    pub verdict: String,
    /// Promises that were broken, the first first.
    pub violations: Vec<String>,
    /// Why too little was seen, if so.
    pub too_little: Option<String>,
    /// When the first violation was seen, or the run ended: simulated milliseconds.
    pub at_ms: u64,
    /// Operations of clients.
    pub operations: usize,
    /// Those with a known outcome.
    pub known: usize,
    /// How often another node became the leader.
    pub leader_changes: usize,
    /// How often some node became the leader.
    pub terms_led: usize,
    /// Log entries committed.
    pub committed: usize,
    /// Snapshots that came in at a node.
    pub installed: usize,
    /// Events delivered to watchers.
    pub watched: usize,
    /// The faults that were made, by kind.
    pub faults: Vec<(String, usize)>,
    /// Of everything that happened, in order: equal for equal runs.
    pub trace: String,
}

impl Report {
    /// What it means.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.violations.is_empty(), &self.too_little) {
            (false, _) => Verdict::False,
            (true, Some(_)) => Verdict::Unknown,
            (true, None) => Verdict::True,
        }
    }
}
