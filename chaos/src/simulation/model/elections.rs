//! Who may lead. A leader is a term *and* a node (openraft's `leader_id_adv`): of one term the greater node may follow the
//! smaller, so that what must never be twice is not the leader of a term, but a majority that did not grant it.

use std::collections::{BTreeMap, BTreeSet};

use fed_raft::simulation::{Ballot, Members};

/// All votes that were ever given, and all leaders.
#[derive(Default)]
pub(super) struct Elections {
    /// Who gave their vote to the candidate of a term, durably.
    granted: BTreeMap<(u64, u64), BTreeSet<u64>>,
    /// Terms and leaders, in the order in which they began to lead.
    leaders: Vec<(u64, u64)>,
}

impl Elections {
    pub(super) fn granted(&mut self, voter: u64, ballot: Ballot) {
        self.granted
            .entry((ballot.term, ballot.node))
            .or_default()
            .insert(voter);
    }

    /// Somebody leads; false when that is known.
    pub(super) fn begins(&mut self, ballot: Ballot) -> bool {
        let leader = (ballot.term, ballot.node);
        let is_new = !self.leaders.contains(&leader);
        if is_new {
            self.leaders.push(leader);
        }
        is_new
    }

    /// Why it may not lead under these members: of each group more than half must have granted it.
    pub(super) fn lacks_a_majority(&self, ballot: Ballot, members: &Members) -> Option<String> {
        let granted = self
            .granted
            .get(&(ballot.term, ballot.node))
            .cloned()
            .unwrap_or_default();
        let lacking = members
            .voters
            .iter()
            .find(|group| group.iter().filter(|id| granted.contains(id)).count() <= group.len() / 2)?;
        Some(format!(
            "node {} leads in term {}, and of the voters {lacking:?} only {granted:?} granted it",
            ballot.node, ballot.term
        ))
    }

    /// How often another node began to lead than before.
    pub(super) fn changes(&self) -> usize {
        self.leaders.windows(2).filter(|pair| pair[0].1 != pair[1].1).count()
    }

    pub(super) fn leaders(&self) -> usize {
        self.leaders.len()
    }
}
