//! The invariants of Raft, checked against what every node tells of itself.

mod elections;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use elections::Elections;
use fed_raft::simulation::{Ballot, Happened, Members, Note, Place};

/// What is known of one node.
#[derive(Default)]
struct Node {
    log: BTreeMap<u64, Note>,
    /// The log up to here is on disk.
    durable: u64,
    vote: Option<Ballot>,
    purged: u64,
    snapshot: u64,
    applied: u64,
    /// What it said that it knows to be committed; found at its start, it may be less than before.
    committed: u64,
    /// Whether it applied or installed anything since its start: before that the state may be behind the snapshot.
    settled: bool,
    up: bool,
}

impl Node {
    fn last(&self) -> u64 {
        self.log.last_key_value().map_or(self.purged, |(index, _)| *index)
    }

    /// Whether the entry survives a power cut here.
    fn keeps(&self, place: Place) -> bool {
        let in_log = self.durable >= place.index && self.log.get(&place.index).is_some_and(|note| note.place == place);
        in_log || self.snapshot >= place.index
    }
}

/// What is known of all nodes.
#[derive(Default)]
pub(super) struct Model {
    nodes: BTreeMap<u64, Node>,
    /// What some node knows to be committed.
    committed: BTreeMap<u64, Note>,
    /// What each leader's entry at an index holds, and which entry was before it.
    written: BTreeMap<Place, (u64, Option<Place>)>,
    /// The hash of the state after an index.
    hashes: BTreeMap<u64, (u64, u128)>,
    /// The incarnation that was admitted under an id.
    incarnations: BTreeMap<u64, u64>,
    /// Ids of removed members.
    removed: BTreeSet<u64>,
    members_at: u64,
    elections: Elections,
    violations: Vec<String>,
}

impl Model {
    pub(super) fn violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// How often another node became leader, and in how many terms somebody did.
    pub(super) fn leader_changes(&self) -> usize {
        self.elections.changes()
    }

    pub(super) fn terms_led(&self) -> usize {
        self.elections.leaders()
    }

    pub(super) fn committed_entries(&self) -> usize {
        self.committed.len()
    }

    /// The power of the node went, or it stopped.
    pub(super) fn went_down(&mut self, id: u64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            let durable = node.durable;
            node.log.retain(|index, _| *index <= durable);
            node.up = false;
        }
    }

    /// Takes in what happened since the last time, then checks what must hold between moments.
    pub(super) fn take(&mut self, happened: &[(u64, Happened)]) {
        let mut touched = BTreeSet::new();
        for (id, what) in happened {
            touched.insert(*id);
            self.happened(*id, what);
        }
        for id in touched {
            self.check_order(id);
        }
    }

    fn broken(&mut self, rule: &str, what: String) {
        self.violations.push(format!("{rule}: {what}"));
    }

    fn happened(&mut self, id: u64, what: &Happened) {
        match what {
            Happened::Started {
                vote,
                log,
                purged,
                committed,
                applied,
                snapshot,
                damaged,
            } => {
                if let Some(damage) = damaged {
                    self.broken("snapshots are whole", format!("node {id} started and found {damage}"));
                }
                self.started(id, *vote, log);
                let index = |place: &Option<Place>| place.map_or(0, |place| place.index);
                let found = Node {
                    log: log.iter().map(|note| (note.place.index, note.clone())).collect(),
                    durable: log.last().map_or(index(purged), |note| note.place.index),
                    vote: *vote,
                    purged: index(purged),
                    snapshot: index(snapshot),
                    applied: index(applied),
                    committed: index(committed),
                    settled: false,
                    up: true,
                };
                let known = self.nodes.insert(id, found).unwrap_or_default();
                if index(snapshot) < known.snapshot {
                    let what = format!(
                        "node {id} had a snapshot up to {} and found one up to {}",
                        known.snapshot,
                        index(snapshot)
                    );
                    self.broken("a finished snapshot survives", what);
                }
                if index(purged) > index(snapshot) {
                    let what = format!(
                        "node {id} found its log purged to {} and its snapshot up to {}",
                        index(purged),
                        index(snapshot)
                    );
                    self.broken("purged <= snapshot", what);
                }
            }
            Happened::Voted(ballot) => self.voted(id, *ballot),
            Happened::Appended(notes) => notes.iter().for_each(|note| self.appended(id, note)),
            Happened::Synced(index) => {
                let node = self.nodes.entry(id).or_default();
                node.durable = node.durable.max((*index).min(node.last()));
            }
            Happened::Truncated(from) => {
                let node = self.nodes.entry(id).or_default();
                node.log.retain(|index, _| index < from);
                node.durable = node.durable.min(from.saturating_sub(1));
                if *from <= node.committed {
                    let what = format!(
                        "node {id} dropped entries from {from} on, and knew {} committed",
                        node.committed
                    );
                    self.broken("committed entries stay", what);
                }
            }
            Happened::Purged(upto) => {
                let node = self.nodes.entry(id).or_default();
                node.log.retain(|index, _| *index > upto.index);
                node.purged = node.purged.max(upto.index);
                node.durable = node.durable.max(upto.index);
            }
            Happened::Committed(place) => {
                let known = self.nodes.entry(id).or_default().committed;
                if place.index < known {
                    let what = format!("node {id} knew {known} to be committed, and now {}", place.index);
                    self.broken("commits only grow", what);
                }
                self.committed_up_to(id, place.index);
            }
            Happened::Applied {
                entries,
                revision: _,
                hash,
            } => {
                for note in entries {
                    self.applied(id, note);
                }
                if let Some(last) = entries.last() {
                    self.hashed(id, last.place.index, *hash);
                }
            }
            Happened::Snapshot(place) => {
                let node = self.nodes.entry(id).or_default();
                node.snapshot = node.snapshot.max(place.index);
            }
            Happened::Installed {
                at, hash, recomputed, ..
            } => {
                if hash != recomputed {
                    let what = format!(
                        "node {id} installed a snapshot up to {}, and what it holds now is not what the snapshot says",
                        at.index
                    );
                    self.broken("snapshot + log = live state", what);
                }
                let node = self.nodes.entry(id).or_default();
                let before = std::mem::replace(&mut node.applied, at.index);
                node.committed = node.committed.max(at.index);
                let was_settled = std::mem::replace(&mut node.settled, true);
                if was_settled && at.index < before {
                    let what = format!(
                        "node {id} had applied {before} and installed a snapshot up to {}",
                        at.index
                    );
                    self.broken("applied in order", what);
                }
                self.hashed(id, at.index, *hash);
            }
        }
    }

    fn started(&mut self, id: u64, vote: Option<Ballot>, log: &[Note]) {
        // Stopped gracefully, if nobody said otherwise.
        self.went_down(id);
        let Some(known) = self.nodes.get(&id) else { return };
        let first = log.first().map_or(u64::MAX, |note| note.place.index);
        let found: BTreeMap<u64, &Note> = log.iter().map(|note| (note.place.index, note)).collect();
        let lost = known
            .log
            .iter()
            .find(|(index, note)| **index >= first.min(known.purged + 1) && found.get(index) != Some(note));
        if let Some((index, _)) = lost.filter(|(index, _)| **index > known.snapshot) {
            let what = format!("node {id} had entry {index} on disk and found it gone");
            self.broken("what is synced survives", what);
        }
        let known_vote = self.nodes.get(&id).and_then(|node| node.vote);
        if known_vote > vote {
            let what = format!("node {id} had given the vote {known_vote:?} and found {vote:?}");
            self.broken("a vote is not forgotten", what);
        }
    }

    fn voted(&mut self, id: u64, ballot: Ballot) {
        let node = self.nodes.entry(id).or_default();
        if node
            .vote
            .is_some_and(|vote| (vote.term, vote.node) > (ballot.term, ballot.node))
        {
            let what = format!("node {id} voted {ballot:?} after {:?}", node.vote);
            self.broken("votes only grow", what);
            return;
        }
        node.vote = Some(ballot);
        self.elections.granted(id, ballot);
        if ballot.committed && ballot.node == id && self.elections.begins(ballot) {
            self.leads(id, ballot);
        }
    }

    fn leads(&mut self, id: u64, ballot: Ballot) {
        let term = ballot.term;
        let node = self.nodes.entry(id).or_default();
        let missing = self
            .committed
            .range(node.purged.max(node.snapshot) + 1..)
            .find(|(index, note)| node.log.get(index) != Some(note));
        let incomplete = missing.map(|(index, note)| {
            format!(
                "node {id} leads in term {term} without the committed entry {index} of term {}",
                note.place.term
            )
        });
        let lacks = self
            .members_known_to(id)
            .and_then(|members| self.elections.lacks_a_majority(ballot, members));
        if let Some(what) = incomplete {
            self.broken("leader completeness", what);
        }
        if let Some(what) = lacks {
            self.broken("election safety", what);
        }
    }

    /// The newest members that the node's own log and snapshot speak of, committed or not: those whose votes it needs.
    fn members_known_to(&self, id: u64) -> Option<&Members> {
        let node = self.nodes.get(&id)?;
        let in_log = node.log.values().rev().find_map(|note| note.members.as_ref());
        let below = node.purged.max(node.snapshot);
        let in_snapshot = || {
            let known = self.committed.range(..=below).rev();
            known.map(|(_, note)| note).find_map(|note| note.members.as_ref())
        };
        in_log.or_else(in_snapshot)
    }

    fn appended(&mut self, id: u64, note: &Note) {
        let node = self.nodes.entry(id).or_default();
        let index = note.place.index;
        let before = node.log.get(&index.wrapping_sub(1)).map(|note| note.place);
        let replaced = node.log.insert(index, note.clone());
        node.durable = node.durable.min(index.saturating_sub(1));
        if let Some(old) = replaced.filter(|old| old.place != note.place && index <= node.committed) {
            let what = format!(
                "node {id} replaced its committed entry {:?} by {:?}",
                old.place, note.place
            );
            self.broken("committed entries stay", what);
        }
        let (hash, previous) = self.written.entry(note.place).or_insert((note.hash, before));
        let other_content = *hash != note.hash;
        let other_past = match (&previous, before) {
            (Some(known), Some(before)) => *known != before,
            _ => false,
        };
        if previous.is_none() {
            *previous = before;
        }
        if other_content {
            self.broken(
                "log matching",
                format!("two entries at {:?} differ (node {id})", note.place),
            );
        }
        if other_past {
            let what = format!("the entries before {:?} differ (node {id}: {before:?})", note.place);
            self.broken("log matching", what);
        }
    }

    fn committed_up_to(&mut self, id: u64, index: u64) {
        let node = self.nodes.entry(id).or_default();
        let from = node.committed + 1;
        node.committed = node.committed.max(index);
        let news: Vec<Note> = node
            .log
            .range(from..)
            .take_while(|(at, _)| **at <= index)
            .map(|(_, note)| note.clone())
            .collect();
        for note in news {
            self.commit(id, &note);
        }
    }

    /// Some node says that the entry is committed.
    fn commit(&mut self, id: u64, note: &Note) {
        let index = note.place.index;
        match self.committed.get(&index) {
            Some(known) if known != note => {
                let what = format!(
                    "entry {index} was committed as {:?}, and node {id} has {:?}",
                    known.place, note.place
                );
                self.broken("state-machine safety", what);
            }
            Some(_) => {}
            None => {
                if !self.is_on_a_quorum(id, note.place) {
                    let what = format!(
                        "node {id} takes {:?} for committed, and no majority has it on disk",
                        note.place
                    );
                    self.broken("committed on a quorum", what);
                }
                self.committed.insert(index, note.clone());
                if let Some(members) = &note.members {
                    self.members(index, members);
                }
            }
        }
    }

    /// Under the members that hold at the entry, or any later ones that the node knows of.
    fn is_on_a_quorum(&self, id: u64, place: Place) -> bool {
        let Some(node) = self.nodes.get(&id) else { return false };
        let within = |notes: &BTreeMap<u64, Note>| {
            let mut earlier = notes.range(..=place.index).rev();
            earlier.find_map(|(_, note)| note.members.clone())
        };
        let later = node.log.range(place.index + 1..);
        let candidates: Vec<Members> = within(&node.log)
            .into_iter()
            .chain(within(&self.committed))
            .chain(later.filter_map(|(_, note)| note.members.clone()))
            .collect();
        let keeps = |id: &u64| self.nodes.get(id).is_some_and(|node| node.keeps(place));
        let majority = |group: &Vec<u64>| group.iter().filter(|id| keeps(id)).count() > group.len() / 2;
        // Before anything is known of the members there is nothing to check.
        candidates.is_empty() || candidates.iter().any(|members| members.voters.iter().all(majority))
    }

    fn members(&mut self, index: u64, members: &Members) {
        for (id, incarnation) in &members.nodes {
            let first = *self.incarnations.entry(*id).or_insert(*incarnation);
            if first != *incarnation || self.removed.contains(id) {
                self.broken(
                    "ids are used once",
                    format!("entry {index} lets a second node in as {id}"),
                );
            }
        }
        if index > self.members_at {
            self.members_at = index;
            let now: BTreeSet<u64> = members.nodes.iter().map(|(id, _)| *id).collect();
            self.removed
                .extend(self.incarnations.keys().filter(|id| !now.contains(id)).copied());
        }
    }

    fn applied(&mut self, id: u64, note: &Note) {
        let index = note.place.index;
        let node = self.nodes.entry(id).or_default();
        if index != node.applied + 1 && index != 0 {
            let what = format!("node {id} applied {index} after {}", node.applied);
            self.broken("applied in order", what);
        }
        let node = self.nodes.entry(id).or_default();
        node.applied = index;
        node.settled = true;
        self.commit(id, note);
    }

    fn hashed(&mut self, id: u64, index: u64, hash: u128) {
        let (first, known) = *self.hashes.entry(index).or_insert((id, hash));
        if known != hash {
            let what = format!("nodes {first} and {id} applied {index} and hold different states");
            self.broken("equal index, equal state", what);
        }
    }

    fn check_order(&mut self, id: u64) {
        let Some(node) = self.nodes.get(&id) else { return };
        if !node.settled || !node.up {
            return;
        }
        let (purged, snapshot, applied, committed) = (node.purged, node.snapshot, node.applied, node.committed);
        let last = node.last().max(snapshot);
        let in_order = [purged, snapshot, applied, committed, last].is_sorted();
        if !in_order {
            let what = format!(
                "node {id} has purged {purged}, snapshot {snapshot}, applied {applied}, committed {committed}, last {last}"
            );
            self.broken("purged <= snapshot <= applied <= committed <= last", what);
        }
    }
}
