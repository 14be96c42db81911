//! Each rule is broken once, by what a node tells of itself, and named; and what is right breaks none.

use super::*;

fn place(term: u64, index: u64) -> Place {
    Place {
        index,
        term,
        leader: term,
    }
}

fn note(term: u64, index: u64) -> Note {
    Note {
        place: place(term, index),
        hash: term * 1_000 + index,
        members: None,
    }
}

/// An entry that makes these three the voters, each in its first folder.
fn members(term: u64, index: u64, nodes: &[(u64, u64)]) -> Note {
    let voters = vec![nodes.iter().map(|(id, _)| *id).collect()];
    let members = Members {
        voters,
        nodes: nodes.to_vec(),
    };
    Note {
        members: Some(members),
        ..note(term, index)
    }
}

fn three() -> Note {
    members(1, 1, &[(1, 10), (2, 20), (3, 30)])
}

fn ballot(term: u64, node: u64, committed: bool) -> Happened {
    Happened::Voted(Ballot { term, node, committed })
}

fn appended(notes: &[Note]) -> Happened {
    Happened::Appended(notes.to_vec())
}

fn applied(notes: &[Note], hash: u128) -> Happened {
    Happened::Applied {
        entries: notes.to_vec(),
        revision: 0,
        hash,
    }
}

fn installed(index: u64, hash: u128, recomputed: u128) -> Happened {
    Happened::Installed {
        at: place(1, index),
        revision: 0,
        hash,
        recomputed,
    }
}

/// A start on an empty disk, or on one that holds these entries, this vote and a snapshot up to there.
fn started(log: &[Note], vote: Option<Ballot>, snapshot: u64, purged: u64) -> Happened {
    let at = |index| (index > 0).then(|| place(1, index));
    Happened::Started {
        vote,
        log: log.to_vec(),
        purged: at(purged),
        committed: None,
        applied: None,
        snapshot: at(snapshot),
        damaged: None,
    }
}

/// The three nodes have the first entry, which names them, on disk; node 1 leads in term 1 and knows it to be committed.
fn founded() -> Vec<(u64, Happened)> {
    let mut all: Vec<(u64, Happened)> = (1..=3).map(|id| (id, started(&[], None, 0, 0))).collect();
    for id in [1, 2, 3] {
        all.push((id, ballot(1, 1, false)));
        all.push((id, appended(&[three()])));
        all.push((id, Happened::Synced(1)));
    }
    all.push((1, ballot(1, 1, true)));
    all.push((1, Happened::Committed(place(1, 1))));
    all.push((1, applied(&[three()], 7)));
    all
}

/// What is broken by this, after the founding, all of it at one moment.
fn broken(happened: &[(u64, Happened)]) -> Vec<String> {
    let mut model = Model::default();
    model.take(&founded());
    assert_eq!(model.violations(), Vec::<String>::new(), "the founding is right");
    model.take(happened);
    model.violations()
}

#[track_caller]
fn breaks(rule: &str, happened: &[(u64, Happened)]) {
    let all = broken(happened);
    assert!(
        all.iter().any(|violation| violation.starts_with(&format!("{rule}: "))),
        "{rule} is not among {all:?}"
    );
}

#[test]
fn what_is_right_breaks_nothing() {
    let two = note(1, 2);
    let replicated = [
        (1, appended(&[two.clone()])),
        (1, Happened::Synced(2)),
        (2, appended(&[two.clone()])),
        (2, Happened::Synced(2)),
        (1, Happened::Committed(place(1, 2))),
        (1, applied(&[two.clone()], 8)),
        (1, Happened::Snapshot(place(1, 2))),
        (1, Happened::Purged(place(1, 1))),
        // The greater node follows the smaller in the same term, and a third one in the next.
        (2, ballot(1, 2, false)),
        (1, ballot(1, 2, false)),
        (2, ballot(1, 2, true)),
        (3, Happened::Snapshot(place(1, 2))),
        (3, installed(2, 8, 8)),
    ];
    assert_eq!(broken(&replicated), Vec::<String>::new());
}

#[test]
fn nobody_leads_whom_no_majority_granted() {
    breaks("election safety", &[(2, ballot(2, 2, false)), (2, ballot(2, 2, true))]);
    // Granted to another candidate of the term.
    breaks(
        "election safety",
        &[
            (2, ballot(2, 2, false)),
            (1, ballot(2, 3, false)),
            (3, ballot(2, 3, false)),
            (2, ballot(2, 2, true)),
        ],
    );
    let granted = [
        (2, ballot(2, 2, false)),
        (3, ballot(2, 2, false)),
        (2, ballot(2, 2, true)),
    ];
    assert_eq!(broken(&granted), Vec::<String>::new());
}

#[test]
fn of_two_groups_of_voters_each_must_grant_it() {
    let joint = Note {
        members: Some(Members {
            voters: vec![vec![1, 2, 3], vec![3, 4, 5]],
            nodes: vec![(1, 10), (2, 20), (3, 30), (4, 40), (5, 50)],
        }),
        ..note(1, 2)
    };
    let elected = |voters: &[u64]| {
        let mut all = vec![(3, appended(&[joint.clone()]))];
        all.extend(voters.iter().map(|id| (*id, ballot(2, 3, false))));
        all.push((3, ballot(2, 3, true)));
        all
    };
    breaks("election safety", &elected(&[1, 2, 3]));
    assert_eq!(broken(&elected(&[2, 3, 4])), Vec::<String>::new());
}

#[test]
fn a_leader_has_all_that_is_committed() {
    let two = note(1, 2);
    let mut all = vec![];
    for id in [1, 2] {
        all.push((id, appended(&[two.clone()])));
        all.push((id, Happened::Synced(2)));
    }
    all.push((1, Happened::Committed(place(1, 2))));
    all.extend([
        (2, ballot(2, 3, false)),
        (3, ballot(2, 3, false)),
        (3, ballot(2, 3, true)),
    ]);
    breaks("leader completeness", &all);
}

#[test]
fn votes_and_commits_only_grow() {
    breaks("votes only grow", &[(2, ballot(3, 3, false)), (2, ballot(2, 2, false))]);
    let two = note(1, 2);
    breaks(
        "commits only grow",
        &[
            (1, appended(&[two.clone()])),
            (1, Happened::Synced(2)),
            (2, appended(&[two])),
            (2, Happened::Synced(2)),
            (1, Happened::Committed(place(1, 2))),
            (1, Happened::Committed(place(1, 1))),
        ],
    );
}

#[test]
fn a_vote_and_what_was_synced_survive_a_start() {
    let voted = Ballot {
        term: 2,
        node: 3,
        committed: false,
    };
    breaks(
        "a vote is not forgotten",
        &[(2, ballot(2, 3, false)), (2, started(&[three()], None, 0, 0))],
    );
    breaks("what is synced survives", &[(2, started(&[], None, 0, 0))]);
    breaks(
        "a finished snapshot survives",
        &[
            (1, Happened::Snapshot(place(1, 1))),
            (1, started(&[three()], Some(voted), 0, 0)),
        ],
    );
    // What was only written may be gone.
    let unsynced = [
        (2, ballot(2, 3, false)),
        (2, appended(&[note(1, 2)])),
        (2, started(&[three()], Some(voted), 0, 0)),
    ];
    assert_eq!(broken(&unsynced), Vec::<String>::new());
}

#[test]
fn a_damaged_snapshot_and_a_log_purged_too_far_are_noticed_at_the_start() {
    let Happened::Started { vote, log, .. } = started(&[], None, 0, 0) else {
        unreachable!()
    };
    let damaged = Happened::Started {
        vote,
        log,
        purged: None,
        committed: None,
        applied: None,
        snapshot: None,
        damaged: Some("a file is missing".into()),
    };
    breaks("snapshots are whole", &[(9, damaged)]);
    breaks("purged <= snapshot", &[(9, started(&[], None, 3, 4))]);
}

#[test]
fn the_logs_of_two_nodes_match() {
    let two = note(1, 2);
    let other = Note {
        hash: 99,
        ..two.clone()
    };
    breaks(
        "log matching",
        &[(1, appended(&[two.clone()])), (2, appended(&[other]))],
    );
    // The same entry after another past.
    breaks(
        "log matching",
        &[
            (1, appended(&[note(1, 2), note(3, 3)])),
            (2, appended(&[note(2, 2), note(3, 3)])),
        ],
    );
}

#[test]
fn what_is_committed_is_on_a_majority_of_disks_and_stays() {
    let two = note(1, 2);
    breaks(
        "committed on a quorum",
        &[
            (1, appended(&[two.clone()])),
            (1, Happened::Synced(2)),
            (2, appended(&[two.clone()])),
            (1, Happened::Committed(place(1, 2))),
        ],
    );
    breaks("committed entries stay", &[(1, Happened::Truncated(1))]);
    breaks("committed entries stay", &[(1, appended(&[note(2, 1)]))]);
    // Two nodes take two things for committed at one index.
    let mut all = Vec::new();
    for id in [1, 2, 3] {
        all.push((id, appended(&[two.clone()])));
        all.push((id, Happened::Synced(2)));
    }
    all.push((1, Happened::Committed(place(1, 2))));
    all.push((2, appended(&[note(2, 2)])));
    all.push((2, Happened::Committed(place(2, 2))));
    breaks("state-machine safety", &all);
}

#[test]
fn entries_are_applied_in_order_and_only_when_committed() {
    breaks("applied in order", &[(1, applied(&[note(1, 3)], 8))]);
    breaks(
        "applied in order",
        &[(1, applied(&[note(1, 2)], 8)), (1, installed(1, 7, 7))],
    );
    let order = "purged <= snapshot <= applied <= committed <= last";
    let two = note(1, 2);
    let mut all = Vec::new();
    for id in [1, 2] {
        all.push((id, appended(&[two.clone()])));
        all.push((id, Happened::Synced(2)));
    }
    // On a majority, and applied by who was not told that it is committed.
    all.push((1, applied(&[two], 8)));
    breaks(order, &all);
    breaks(order, &[(1, Happened::Committed(place(1, 9)))]);
    breaks(order, &[(1, Happened::Snapshot(place(1, 9)))]);
    breaks(order, &[(1, Happened::Purged(place(1, 1)))]);
}

#[test]
fn the_same_index_means_the_same_state() {
    breaks(
        "equal index, equal state",
        &[(2, Happened::Committed(place(1, 1))), (2, applied(&[three()], 6))],
    );
    breaks("snapshot + log = live state", &[(3, installed(1, 7, 6))]);
}

#[test]
fn an_id_belongs_to_one_folder_and_never_comes_back() {
    let commit = |notes: &[Note]| {
        let mut all = Vec::new();
        for id in [1, 2, 3] {
            all.push((id, appended(notes)));
            all.push((id, Happened::Synced(9)));
        }
        let last = notes.last().map_or(0, |note| note.place.index);
        all.push((1, Happened::Committed(place(1, last))));
        all
    };
    breaks(
        "ids are used once",
        &commit(&[members(1, 2, &[(1, 10), (2, 20), (3, 31)])]),
    );
    let gone = members(1, 2, &[(1, 10), (2, 20)]);
    let back = members(1, 3, &[(1, 10), (2, 20), (3, 30)]);
    breaks("ids are used once", &commit(&[gone, back]));
}
