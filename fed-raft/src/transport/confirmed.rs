//! What the followers have confirmed to this node while it leads, so that one which has lost it is noticed.
//!
//! A follower never loses what it confirmed, unless its data folder was exchanged for an older copy, or another process runs on a
//! copy of it. openraft takes that for impossible; it is not told, and the node is not spoken to any more.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::raft::{LogId, Vote};

/// How the refusal of a node that has lost entries ends; this is by what that node knows it.
pub(crate) const LOST: &str =
    "has lost entries that it had confirmed: its data folder is an older copy, or another process runs on a copy of it";

/// By node. Empty at the start of the process, and anew for each term in which it leads.
#[derive(Default)]
pub(crate) struct Confirmed {
    by_node: Mutex<HashMap<u64, Follower>>,
}

struct Follower {
    /// The leader's, under which all of it was confirmed.
    vote: Vote,
    /// Index of the last entry confirmed.
    index: u64,
    lost: bool,
}

impl Confirmed {
    /// A follower has everything up to `last`.
    pub(super) fn note(&self, node: u64, vote: &Vote, last: &LogId) {
        let mut by_node = self.by_node.lock();
        let index = last.index;
        match by_node.get_mut(&node) {
            Some(known) if known.vote == *vote => known.index = known.index.max(index),
            Some(known) => (known.vote, known.index) = (*vote, index),
            None => {
                let vote = *vote;
                let lost = false;
                by_node.insert(node, Follower { vote, index, lost });
            }
        }
    }

    /// The index that a follower has confirmed by now, `None` where it has confirmed nothing under this vote.
    pub(super) fn index(&self, node: u64, vote: &Vote) -> Option<u64> {
        let by_node = self.by_node.lock();
        let known = by_node.get(&node).filter(|known| known.vote == *vote);
        known.map(|known| known.index)
    }

    /// Takes note of a follower that has lost what it had confirmed; true the first time.
    pub(super) fn lose(&self, node: u64) -> bool {
        let mut by_node = self.by_node.lock();
        by_node
            .get_mut(&node)
            .is_some_and(|known| !std::mem::replace(&mut known.lost, true))
    }

    /// Whether the node has lost what it had confirmed to this one.
    pub(crate) fn has_lost(&self, node: u64) -> bool {
        self.by_node.lock().get(&node).is_some_and(|known| known.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{log_id, vote};

    #[test]
    fn what_was_confirmed_counts_under_its_vote_and_loss_stays() {
        let confirmed = Confirmed::default();
        let (first, second) = (vote(1, 1, true), vote(2, 1, true));
        assert!(!confirmed.lose(2), "it has confirmed nothing");
        confirmed.note(2, &first, &log_id(1, 1, 9));
        confirmed.note(2, &first, &log_id(1, 1, 7));
        assert_eq!(confirmed.index(2, &first), Some(9));
        assert_eq!((confirmed.index(2, &second), confirmed.index(3, &first)), (None, None));
        confirmed.note(2, &second, &log_id(2, 1, 4));
        assert_eq!(confirmed.index(2, &second), Some(4), "another term begins anew");
        assert!(!confirmed.has_lost(2));
        assert!(confirmed.lose(2) && !confirmed.lose(2), "told once");
        confirmed.note(2, &first, &log_id(1, 1, 10));
        assert!(confirmed.has_lost(2), "for good");
    }
}
