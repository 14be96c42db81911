//! What a run proves: every promise with its verdict, from the history and the journal alone.

mod answers;
mod coverage;
mod leaders;
mod nodes;
mod state;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal::{self, Entry, Sample};
use super::{HISTORY, JOURNAL, RunFailure};
use crate::history::History;
use crate::linearizability::{self, Limits};
use crate::plan::{Bars, Plan};
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
        leader_changes: leaders::leaders(&entries).len().saturating_sub(1),
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
        state::hashes(entries),
        state::watches(entries),
        leaders::in_order(entries),
        nodes::ids(entries),
        nodes::processes(entries),
        nodes::panics(entries),
        state::scanned(entries),
        state::equal(bars, entries),
    ];
    findings.extend(leaders::new_leader(bars, entries));
    findings.extend(leaders::terms(bars, entries));
    findings.extend(answers::refusals(bars, entries));
    findings.extend(answers::coded(entries));
    findings.extend(answers::storms(bars, entries));
    findings.extend(nodes::damages(entries));
    findings.extend(nodes::memory(bars, entries));
    findings.extend(coverage::covered(bars, entries));
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

fn fault_at(entry: &Entry) -> Option<i64> {
    match entry {
        Entry::Fault { at_ns, .. } => Some(*at_ns),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
