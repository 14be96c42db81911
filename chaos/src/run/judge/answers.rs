//! Promises about answers that no history has: refusals of a minority, and storms.

use super::super::client::NO_CODE;
use super::super::journal::Entry;
use super::{Finding, fault_at, finding, kept, samples, seconds};
use crate::plan::Bars;
use crate::verdict::Verdict;

/// Only nodes that were cut off until they answered count: others may have been healed meanwhile.
pub(super) fn refusals(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
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

/// Whoever is refused learns why, by a code that can be looked up.
pub(super) fn coded(entries: &[Entry]) -> Option<Finding> {
    let codes = entries.iter().find_map(|entry| match entry {
        Entry::Refused { codes } => Some(codes),
        _ => None,
    })?;
    let words: Vec<String> = codes
        .iter()
        .map(|(code, count)| format!("{code} {count} times"))
        .collect();
    let seen = if words.is_empty() {
        "nothing was refused".to_owned()
    } else {
        words.join(", ")
    };
    Some(finding(
        "every refusal has a code",
        kept(!codes.keys().any(|code| code.starts_with(NO_CODE))),
        seen,
    ))
}

pub(super) fn storms(bars: &Bars, entries: &[Entry]) -> Vec<Finding> {
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
