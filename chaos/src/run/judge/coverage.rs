//! Whether what a plan is about really happened.

use std::collections::BTreeSet;

use super::super::journal::Entry;
use super::leaders::leaders;
use super::{Finding, finding};
use crate::plan::{Bars, Cover};
use crate::verdict::Verdict;

pub(super) fn covered(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
    let mut seen: BTreeSet<Cover> = BTreeSet::new();
    for entry in entries {
        match entry {
            Entry::Fault { cover, .. } | Entry::Seen { cover, .. } => seen.extend(cover),
            Entry::Log { installed: 1.., .. } => {
                seen.insert(Cover::SnapshotInstalled);
            }
            Entry::Probe {
                refused: true,
                cut_off: true,
                ..
            } => {
                seen.insert(Cover::MinorityRefused);
            }
            _ => {}
        }
    }
    let changes = leaders(entries).len().saturating_sub(1);
    let missing: Vec<String> = bars
        .cover
        .iter()
        .filter(|cover| !seen.contains(cover))
        .map(|cover| format!("{cover:?}"))
        .collect();
    if bars.cover.is_empty() && bars.leader_changes == 0 {
        return None;
    }
    let enough = missing.is_empty() && changes >= bars.leader_changes;
    let verdict = if enough { Verdict::True } else { Verdict::Unknown };
    let mut words = format!("{changes} changes of the leader ({} asked for)", bars.leader_changes);
    if !missing.is_empty() {
        words.push_str(&format!("; did not happen: {}", missing.join(", ")));
    }
    Some(finding("coverage", verdict, words))
}
