//! Verdicts over made-up journals.

use super::super::journal::LostLeader;
use super::*;
use crate::plan::Cover;

fn sample(at_s: f64, node: usize, term: u64, leads: bool) -> Entry {
    Entry::Sample(Sample {
        at_ns: (at_s * 1e9) as i64,
        node,
        id: node as u64 + 100,
        leads,
        quorum: true,
        term,
        applied: 5,
        revision: 5,
        hash: "aa".into(),
        voters: 3,
    })
}

fn lost(at_s: f64, seconds: f64) -> Entry {
    Entry::Fault {
        at_ns: (at_s * 1e9) as i64,
        words: "split".into(),
        lost_leader: Some(LostLeader {
            node: 1,
            term: 1,
            seconds,
        }),
        cover: vec![Cover::LeaderInMinority],
    }
}

fn verdict(bars: &Bars, entries: &[Entry], what: &str) -> Verdict {
    let findings = judge_entries(bars, entries);
    let found = findings.iter().find(|finding| finding.what.contains(what));
    found.unwrap_or_else(|| panic!("{what} is not judged")).verdict
}

#[test]
fn a_majority_must_replace_its_leader_in_time() {
    let bars = Bars {
        new_leader_s: 3.0,
        ..Bars::default()
    };
    let soon = [sample(0.0, 1, 1, true), lost(1.0, 4.0), sample(2.5, 2, 2, true)];
    assert_eq!(verdict(&bars, &soon, "new leader"), Verdict::True);
    // The old one still says that it leads; that is no new leader.
    let never = [sample(0.0, 1, 1, true), lost(1.0, 4.0), sample(2.5, 1, 1, true)];
    assert_eq!(verdict(&bars, &never, "new leader"), Verdict::False);
    let late = [sample(0.0, 1, 1, true), lost(1.0, 4.0), sample(4.5, 2, 2, true)];
    assert_eq!(verdict(&bars, &late, "new leader"), Verdict::False);
    let short = [sample(0.0, 1, 1, true), lost(1.0, 1.0)];
    assert_eq!(verdict(&bars, &short, "new leader"), Verdict::Unknown);
}

#[test]
fn a_leader_that_comes_after_a_greater_one_of_its_term_and_two_nodes_of_one_id_are_found() {
    let bars = Bars::default();
    let good = [sample(0.0, 1, 1, true), sample(1.0, 2, 2, true)];
    assert_eq!(verdict(&bars, &good, "order of their ids"), Verdict::True);
    // The greater may follow; who was cut off says for long that it leads.
    let followed = [
        sample(0.0, 1, 2, true),
        sample(1.0, 2, 2, true),
        sample(9.0, 1, 2, true),
    ];
    assert_eq!(verdict(&bars, &followed, "order of their ids"), Verdict::True);
    let bad = [sample(0.0, 2, 2, true), sample(3.0, 1, 2, true)];
    assert_eq!(verdict(&bars, &bad, "order of their ids"), Verdict::False);
    let mut same_id = good.to_vec();
    if let Entry::Sample(sample) = &mut same_id[1] {
        sample.id = 101;
    }
    assert_eq!(verdict(&bars, &same_id, "id twice"), Verdict::False);
}

#[test]
fn what_was_asked_for_and_did_not_happen_is_too_little() {
    let bars = Bars {
        cover: vec![Cover::LeaderInMinority, Cover::LeaderInMajority],
        ..Bars::default()
    };
    assert_eq!(verdict(&bars, &[lost(1.0, 4.0)], "coverage"), Verdict::Unknown);
    let both = Bars {
        cover: vec![Cover::LeaderInMinority],
        ..Bars::default()
    };
    assert_eq!(verdict(&both, &[lost(1.0, 4.0)], "coverage"), Verdict::True);
}

#[test]
fn a_refusal_counts_only_while_its_node_was_cut_off() {
    let bars = Bars {
        refusal_s: 3.0,
        ..Bars::default()
    };
    let probe = |seconds, refused, cut_off| Entry::Probe {
        at_ns: 0,
        node: 1,
        seconds,
        answer: "Unavailable".into(),
        refused,
        cut_off,
    };
    let judged = |entry| verdict(&bars, &[entry], "refuses");
    assert_eq!(judged(probe(2.0, true, true)), Verdict::True);
    assert_eq!(judged(probe(2.0, false, true)), Verdict::False);
    assert_eq!(judged(probe(4.0, true, true)), Verdict::False);
    assert_eq!(judged(probe(2.0, false, false)), Verdict::Unknown);
}

#[test]
fn a_run_that_did_not_end_in_order_passes_nothing() {
    assert_eq!(verdict(&Bars::default(), &[], "all back"), Verdict::Unknown);
    let healed = [Entry::Healed { at_ns: 1 }];
    assert_eq!(verdict(&Bars::default(), &healed, "all back"), Verdict::False);
}

#[test]
fn what_is_known_later_counts_as_having_happened() {
    let bars = Bars {
        cover: vec![Cover::DiskFull, Cover::SnapshotInstalled],
        ..Bars::default()
    };
    let full = Entry::Seen {
        at_ns: 1,
        words: "full".into(),
        cover: vec![Cover::DiskFull],
    };
    let log = |installed| Entry::Log {
        node: 1,
        installed,
        panics: Vec::new(),
    };
    assert_eq!(verdict(&bars, &[full.clone(), log(1)], "coverage"), Verdict::True);
    assert_eq!(verdict(&bars, &[full, log(0)], "coverage"), Verdict::Unknown);
    assert_eq!(verdict(&bars, &[log(1)], "coverage"), Verdict::Unknown);
}

#[test]
fn a_panic_a_refusal_without_a_code_and_a_key_that_nobody_could_read_are_found() {
    let bars = Bars::default();
    let log = |panics: &[&str]| Entry::Log {
        node: 2,
        installed: 0,
        panics: panics.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(verdict(&bars, &[log(&[])], "panics"), Verdict::True);
    assert_eq!(
        verdict(&bars, &[log(&["thread panicked at x"])], "panics"),
        Verdict::False
    );
    assert_eq!(verdict(&bars, &[], "panics"), Verdict::Unknown);

    let refused = |code: &str| Entry::Refused {
        codes: [(code.to_owned(), 3)].into(),
    };
    assert_eq!(verdict(&bars, &[refused("FED-0203")], "has a code"), Verdict::True);
    assert_eq!(
        verdict(&bars, &[refused("none: Unknown: words")], "has a code"),
        Verdict::False
    );

    let scan = |unread: &[&str]| Entry::FinalScan {
        keys: 9,
        unread: unread.iter().map(|key| (*key).to_owned()).collect(),
    };
    assert_eq!(verdict(&bars, &[scan(&[])], "every key is read"), Verdict::True);
    assert_eq!(
        verdict(&bars, &[scan(&["k1.3"])], "every key is read"),
        Verdict::Unknown
    );
    assert_eq!(verdict(&bars, &[], "every key is read"), Verdict::Unknown);
}

#[test]
fn damage_that_is_named_wrongly_is_not_named() {
    let damaged = |said: &str| Entry::Damaged {
        at_ns: 1,
        node: 2,
        file: "/cluster/state/1/000056.sst".into(),
        noticed: true,
        said: said.into(),
    };
    let judged = |said| verdict(&Bars::default(), &[damaged(said)], "damage is noticed");
    for good in [
        "/d/cluster/state/1: the state is damaged: let it join again",
        "/d/cluster/state: the database fails: let it join again",
        "/d/cluster/snapshots/7-0/000056.sst is damaged: let it join again",
    ] {
        assert_eq!(judged(good), Verdict::True, "{good}");
    }
    for bad in [
        "/d/cluster/log/000009.log is damaged: let it join again",
        "let it join again",
        "/d/cluster/state/1: the state is damaged",
    ] {
        assert_eq!(judged(bad), Verdict::False, "{bad}");
    }
}

#[test]
fn memory_that_nobody_measured_is_not_little() {
    let bars = Bars {
        memory_mib: 512,
        ..Bars::default()
    };
    let used = |mib: u64| Entry::Memory {
        node: 1,
        bytes: mib << 20,
    };
    for (mib, wanted) in [(0, Verdict::Unknown), (512, Verdict::True), (513, Verdict::False)] {
        assert_eq!(verdict(&bars, &[used(mib)], "of memory"), wanted, "{mib} MiB");
    }
}
