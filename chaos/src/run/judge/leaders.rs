//! Promises about leaders and terms.

use std::collections::{BTreeMap, BTreeSet};

use super::super::journal::{Entry, LostLeader};
use super::{Finding, fault_at, finding, kept, samples, seconds};
use crate::plan::Bars;
use crate::verdict::Verdict;

/// A leader may have led for so long before it was seen: asked ten times a second, it has 1.5 s to answer.
const SEEN_LATE_NS: i64 = 2_000_000_000;

/// (term, node) of every leader that was seen, in the order of terms.
pub(super) fn leaders(entries: &[Entry]) -> BTreeSet<(u64, usize)> {
    samples(entries)
        .filter(|sample| sample.leads)
        .map(|sample| (sample.term, sample.node))
        .collect()
}

/// A leader is a term and an id (openraft's `leader_id_adv`): within a term a greater id may follow a smaller one, never the other way
/// round. Who was cut off may say for a while that it still leads, so what counts is who was first seen when; nodes are asked
/// ten times a second.
pub(super) fn in_order(entries: &[Entry]) -> Finding {
    let mut first: BTreeMap<(u64, u64), i64> = BTreeMap::new();
    for sample in samples(entries).filter(|sample| sample.leads) {
        let seen = first.entry((sample.term, sample.id)).or_insert(sample.at_ns);
        *seen = (*seen).min(sample.at_ns);
    }
    let (mut followed, mut wrong) = (0, Vec::new());
    for (((term, id), at), ((next_term, next_id), next_at)) in first.iter().zip(first.iter().skip(1)) {
        if term == next_term {
            followed += 1;
            if at - next_at > SEEN_LATE_NS {
                wrong.push(format!("; in term {term} id {id} came to lead after id {next_id}"));
            }
        }
    }
    let seen = format!(
        "{} leaders seen, {followed} of them after another of their term{}",
        first.len(),
        wrong.concat()
    );
    let verdict = if first.is_empty() {
        Verdict::Unknown
    } else {
        kept(wrong.is_empty())
    };
    finding("leaders of a term in the order of their ids", verdict, seen)
}

/// For each leader that a majority lost: how long until that majority had another one.
pub(super) fn new_leader(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
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

pub(super) fn terms(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
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
