//! What a step did, as the journal will have it.

use super::journal::LostLeader;
use crate::plan::Cover;

/// What was done.
pub(super) struct Done {
    pub(super) words: String,
    pub(super) at_ns: Option<i64>,
    pub(super) lost_leader: Option<LostLeader>,
    pub(super) cover: Vec<Cover>,
}

impl Done {
    pub(super) fn of(words: String) -> Self {
        Done {
            words,
            at_ns: None,
            lost_leader: None,
            cover: Vec::new(),
        }
    }
}

pub(super) fn lost(leader: usize, term: u64, seconds: f64) -> LostLeader {
    LostLeader {
        node: leader + 1,
        term,
        seconds,
    }
}

pub(super) fn names(nodes: &[usize]) -> String {
    nodes
        .iter()
        .map(|node| format!("n{}", node + 1))
        .collect::<Vec<_>>()
        .join(" ")
}
