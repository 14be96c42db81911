//! What a run proves: every promise with its verdict, from the history and the journal alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal::{self, Entry, LostLeader, Sample};
use super::{HISTORY, JOURNAL, RunFailure};
use crate::history::History;
use crate::linearizability::{self, Limits};
use crate::plan::{Bars, Cover, Plan};
use crate::replica::{self, HashSample};
use crate::verdict::Verdict;

/// The verdict over a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// Over all findings.
    pub verdict: Verdict,
    /// One for each promise.
    pub findings: Vec<Finding>,
    /// Operations of the clients.
    pub operations: usize,
    /// Those with a known outcome.
    pub known: usize,
    /// Changes of the leader that were seen.
    pub leader_changes: usize,
    /// Seconds from the first operation to the last.
    pub seconds: f64,
}

/// One promise, and whether it was kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The promise.
    pub what: String,
    /// Whether it was kept.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
}

/// Judges the run in this folder.
///
/// # Errors
/// When its files cannot be read.
pub(super) fn judge(plan: &Plan, folder: &Path) -> Result<Judgement, RunFailure> {
    let history = History::read(&folder.join(HISTORY))?;
    let entries = journal::read(&folder.join(JOURNAL)).map_err(RunFailure::Broken)?;
    let limits = Limits {
        known_operations: plan.bars.operations,
        ..Limits::default()
    };
    let report = linearizability::check(&history.operations, &limits);
    let story = report.violations.first().map(|violation| {
        let story = violation
            .story
            .iter()
            .map(|sentence| format!("\n    {sentence}"))
            .collect::<String>();
        format!("; key {:?}: {}{story}", violation.key, violation.summary)
    });
    let little = report.too_little.as_ref().map(|why| format!("; too little: {why}"));
    let undecided = (!report.undecided.is_empty()).then(|| format!("; {} keys undecided", report.undecided.len()));
    let extra: String = [story, little, undecided].into_iter().flatten().collect();
    let coverage = &report.coverage;
    let mut findings = vec![Finding {
        what: "linearizable".into(),
        verdict: report.verdict,
        seen: format!(
            "{} operations on {} keys, {} unknown{extra}",
            coverage.operations, coverage.keys, coverage.unknown
        ),
    }];
    findings.extend(judge_entries(&plan.bars, &entries));
    if plan.must_lose {
        findings = vec![control(report.verdict, &findings)];
    }
    let verdict = findings
        .iter()
        .fold(Verdict::True, |verdict, finding| verdict.and(finding.verdict));
    let first = history
        .operations
        .iter()
        .map(|operation| operation.start_ns)
        .min()
        .unwrap_or(0);
    let last = history
        .operations
        .iter()
        .map(|operation| operation.end_ns)
        .max()
        .unwrap_or(0);
    Ok(Judgement {
        verdict,
        findings,
        operations: coverage.operations,
        known: coverage.known,
        leader_changes: leaders(&entries).len().saturating_sub(1),
        seconds: seconds(first, last),
    })
}

/// What must lose acknowledged writes passes when that was noticed, and by nothing else.
fn control(linearizable: Verdict, findings: &[Finding]) -> Finding {
    let verdict = if linearizable == Verdict::False {
        Verdict::True
    } else {
        Verdict::Unknown
    };
    let seen = findings.first().map_or("", |finding| finding.seen.as_str());
    finding("control: lost writes are noticed", verdict, seen)
}

/// Everything but the history.
fn judge_entries(bars: &Bars, entries: &[Entry]) -> Vec<Finding> {
    let mut findings = vec![
        hashes(entries),
        watches(entries),
        one_leader_a_term(entries),
        ids(entries),
        processes(entries),
        equal(bars, entries),
    ];
    findings.extend(new_leader(bars, entries));
    findings.extend(terms(bars, entries));
    findings.extend(refusals(bars, entries));
    findings.extend(storms(bars, entries));
    findings.extend(damages(entries));
    findings.extend(memory(bars, entries));
    findings.extend(covered(bars, entries));
    findings
}

fn finding(what: &str, verdict: Verdict, seen: impl Into<String>) -> Finding {
    Finding {
        what: what.to_owned(),
        verdict,
        seen: seen.into(),
    }
}

fn kept(yes: bool) -> Verdict {
    if yes { Verdict::True } else { Verdict::False }
}

fn samples(entries: &[Entry]) -> impl Iterator<Item = &Sample> {
    entries.iter().filter_map(|entry| match entry {
        Entry::Sample(sample) => Some(sample),
        _ => None,
    })
}

fn seconds(from_ns: i64, to_ns: i64) -> f64 {
    (to_ns - from_ns) as f64 / 1e9
}

/// The hash covers what is remembered of requests, so it belongs to a log index and not to a revision.
fn hashes(entries: &[Entry]) -> Finding {
    let at_index = |sample: &Sample| HashSample {
        node: sample.node as i64,
        revision: sample.applied,
        hash: sample.hash.clone(),
    };
    let report = replica::check(&samples(entries).map(at_index).collect::<Vec<_>>());
    let faults: String = report.faults.iter().take(3).map(|fault| format!("; {fault}")).collect();
    let seen = format!("{} log indexes compared{faults}", report.compared);
    finding("equal hashes", report.verdict, seen)
}

fn watches(entries: &[Entry]) -> Finding {
    let watched = entries.iter().find_map(|entry| match entry {
        Entry::Watched { changes, faults } => Some((*changes, faults)),
        _ => None,
    });
    let (verdict, seen) = match watched {
        None => (Verdict::Unknown, "the run did not end in order".to_owned()),
        Some((0, _)) => (Verdict::Unknown, "no change was told".to_owned()),
        Some((changes, faults)) => {
            let words: String = faults.iter().take(3).map(|fault| format!("; {fault}")).collect();
            (
                kept(faults.is_empty()),
                format!("{changes} changes told, {} faults{words}", faults.len()),
            )
        }
    };
    finding("watches in order, without gap or repeat", verdict, seen)
}

/// (term, node) of every leader that was seen, in the order of terms.
fn leaders(entries: &[Entry]) -> BTreeSet<(u64, usize)> {
    samples(entries)
        .filter(|sample| sample.leads)
        .map(|sample| (sample.term, sample.node))
        .collect()
}

fn one_leader_a_term(entries: &[Entry]) -> Finding {
    let leaders: Vec<_> = leaders(entries).into_iter().collect();
    let twice: Vec<_> = leaders.windows(2).filter(|two| two[0].0 == two[1].0).collect();
    let seen = match twice.first() {
        None => format!("{} leaders seen", leaders.len()),
        Some(two) => format!("n{} and n{} both led in term {}", two[0].1, two[1].1, two[0].0),
    };
    let verdict = if leaders.is_empty() {
        Verdict::Unknown
    } else {
        kept(twice.is_empty())
    };
    finding("one leader a term", verdict, seen)
}

fn ids(entries: &[Entry]) -> Finding {
    let mut owners: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for sample in samples(entries) {
        owners.entry(sample.id).or_default().insert(sample.node);
    }
    let twice = owners.iter().find(|(_, nodes)| nodes.len() > 1);
    let seen = match twice {
        None => format!("{} ids", owners.len()),
        Some((id, nodes)) => format!("id {id} belonged to {} nodes", nodes.len()),
    };
    finding("no id twice", kept(twice.is_none()), seen)
}

fn processes(entries: &[Entry]) -> Finding {
    let broken: Vec<&str> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Broken { words, .. } => Some(words.as_str()),
            _ => None,
        })
        .collect();
    let seen = if broken.is_empty() {
        "nothing broke".to_owned()
    } else {
        broken.join("; ")
    };
    finding("no process ends by itself", kept(broken.is_empty()), seen)
}

fn equal(bars: &Bars, entries: &[Entry]) -> Finding {
    let healed = entries.iter().find_map(|entry| match entry {
        Entry::Healed { at_ns } => Some(*at_ns),
        _ => None,
    });
    let equal = entries.iter().find_map(|entry| match entry {
        Entry::Equal { at_ns } => Some(*at_ns),
        _ => None,
    });
    let what = "all back and equal after healing";
    match (healed, equal) {
        (Some(healed), Some(equal)) => {
            let took = seconds(healed, equal);
            finding(
                what,
                kept(bars.equal_s == 0.0 || took <= bars.equal_s),
                format!("{took:.1} s"),
            )
        }
        (Some(_), None) => finding(what, Verdict::False, "never"),
        (None, _) => finding(what, Verdict::Unknown, "the run did not end in order"),
    }
}

/// For each leader that a majority lost: how long until that majority had another one.
fn new_leader(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
    let gap = |at_ns: i64, lost: &LostLeader| {
        samples(entries)
            .filter(|sample| sample.at_ns > at_ns && sample.node != lost.node && sample.term > lost.term)
            .find(|sample| sample.leads && sample.quorum)
            .map(|sample| seconds(at_ns, sample.at_ns))
            .filter(|gap| *gap <= lost.seconds.max(bars.new_leader_s))
    };
    let (mut gaps, mut never) = (Vec::new(), 0);
    for entry in entries {
        if let Entry::Fault {
            at_ns,
            lost_leader: Some(lost),
            ..
        } = entry
        {
            match gap(*at_ns, lost) {
                Some(gap) => gaps.push(gap),
                // One that is back before the others may notice need not be replaced.
                None if lost.seconds >= bars.new_leader_s => never += 1,
                None => {}
            }
        }
    }
    if bars.new_leader_s == 0.0 {
        return None;
    }
    let worst = gaps.iter().copied().fold(0.0, f64::max);
    let verdict = match (gaps.is_empty(), never) {
        (true, 0) => Verdict::Unknown,
        (_, never) => kept(never == 0 && worst <= bars.new_leader_s),
    };
    let seen = format!("{} times, at most {worst:.2} s; never in time: {never}", gaps.len());
    Some(finding(
        &format!("a new leader within {} s", bars.new_leader_s),
        verdict,
        seen,
    ))
}

fn terms(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
    let faults: Vec<i64> = entries.iter().filter_map(fault_at).collect();
    let (first, last) = (*faults.first()?, *faults.last()?);
    let term = |until: i64| {
        samples(entries)
            .filter(|sample| sample.at_ns <= until)
            .map(|sample| sample.term)
            .max()
    };
    let began = term(last)?.saturating_sub(term(first)?);
    let rate = began as f64 / seconds(first, last).max(1.0);
    let what = format!("at most {:.2} terms a second", bars.terms_per_s);
    let seen = format!("{began} terms in {:.0} s: {rate:.2} a second", seconds(first, last));
    (bars.terms_per_s > 0.0).then(|| finding(&what, kept(rate <= bars.terms_per_s), seen))
}

fn fault_at(entry: &Entry) -> Option<i64> {
    match entry {
        Entry::Fault { at_ns, .. } => Some(*at_ns),
        _ => None,
    }
}

/// Only nodes that were cut off until they answered count: others may have been healed meanwhile.
fn refusals(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
    if bars.refusal_s == 0.0 {
        return None;
    }
    let (mut good, mut bad, mut worst) = (0, Vec::new(), 0.0_f64);
    for entry in entries {
        let Entry::Probe {
            node,
            seconds,
            answer,
            refused,
            cut_off,
            ..
        } = entry
        else {
            continue;
        };
        match (*cut_off, *refused && *seconds <= bars.refusal_s) {
            (true, true) => {
                good += 1;
                worst = worst.max(*seconds);
            }
            (true, false) => bad.push(format!("n{node} after {seconds:.1} s: {answer}")),
            (false, _) if *seconds > bars.refusal_s => bad.push(format!("n{node} took {seconds:.1} s: {answer}")),
            (false, _) => {}
        }
    }
    let verdict = if good == 0 && bad.is_empty() {
        Verdict::Unknown
    } else {
        kept(bad.is_empty())
    };
    let words: String = bad.iter().map(|one| format!("; {one}")).collect();
    let seen = format!("{good} refusals, at most {worst:.2} s{words}");
    Some(finding("a minority refuses in time, with a typed error", verdict, seen))
}

fn storms(bars: &Bars, entries: &[Entry]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in entries {
        let Entry::Storm {
            at_ns,
            end_ns,
            acknowledged,
            overloaded,
            refused,
            unknown,
        } = entry
        else {
            continue;
        };
        let next_fault = entries
            .iter()
            .filter_map(fault_at)
            .filter(|at| at > &(at_ns + 50_000_000))
            .min();
        let until = next_fault.map_or(*end_ns, |at| at.min(*end_ns));
        let term = |at: i64| {
            samples(entries)
                .filter(|sample| sample.at_ns <= at)
                .map(|sample| sample.term)
                .max()
        };
        let began = term(until).unwrap_or(0) - term(*at_ns).unwrap_or(0);
        let seen = format!(
            "{} acknowledged, {overloaded} refused as too many, {refused} refused otherwise, {unknown} unknown, in {:.1} s; \
             terms begun before the next fault: {began}",
            acknowledged.len(),
            seconds(*at_ns, *end_ns)
        );
        let calm = !bars.calm_storm || began == 0;
        let verdict = if acknowledged.is_empty() {
            Verdict::Unknown
        } else {
            kept(calm)
        };
        findings.push(finding("load causes no election", verdict, seen));
    }
    if let Some((looked_for, missing)) = entries.iter().find_map(|entry| match entry {
        Entry::Missing { looked_for, missing } => Some((looked_for, missing)),
        _ => None,
    }) {
        let some: Vec<&str> = missing.iter().take(5).map(String::as_str).collect();
        let seen = format!("{} of {looked_for} missing {}", missing.len(), some.join(" "));
        findings.push(finding(
            "nothing acknowledged in a storm is lost",
            kept(missing.is_empty()),
            seen,
        ));
    }
    findings
}

fn damages(entries: &[Entry]) -> Option<Finding> {
    let mut all: Vec<(bool, String)> = Vec::new();
    for entry in entries {
        if let Entry::Damaged {
            node,
            file,
            noticed,
            said,
            ..
        } = entry
        {
            all.push((*noticed, format!("n{node} {file}: {said}")));
        }
    }
    let missed: Vec<&str> = all
        .iter()
        .filter(|(noticed, _)| !noticed)
        .map(|(_, words)| words.as_str())
        .collect();
    let seen = format!(
        "{} of {} noticed {}",
        all.len() - missed.len(),
        all.len(),
        missed.join("; ")
    );
    (!all.is_empty()).then(|| finding("damage is noticed, named and not served", kept(missed.is_empty()), seen))
}

fn memory(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
    let most = entries.iter().filter_map(|entry| match entry {
        Entry::Memory { bytes, .. } => Some(*bytes >> 20),
        _ => None,
    });
    let most = most.max()?;
    let what = format!("at most {} MiB of memory", bars.memory_mib);
    (bars.memory_mib > 0).then(|| finding(&what, kept(most <= bars.memory_mib), format!("{most} MiB")))
}

fn covered(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
    let mut seen: BTreeSet<Cover> = BTreeSet::new();
    for entry in entries {
        match entry {
            Entry::Fault { cover, .. } => seen.extend(cover),
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn two_leaders_of_one_term_and_two_nodes_of_one_id_are_found() {
        let bars = Bars::default();
        let good = [sample(0.0, 1, 1, true), sample(1.0, 2, 2, true)];
        assert_eq!(verdict(&bars, &good, "leader a term"), Verdict::True);
        let bad = [sample(0.0, 1, 2, true), sample(1.0, 2, 2, true)];
        assert_eq!(verdict(&bars, &bad, "leader a term"), Verdict::False);
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
}
