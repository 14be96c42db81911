//! Promises about what the nodes hold and tell.

use super::super::journal::{Entry, Sample};
use super::{Finding, finding, kept, samples, seconds};
use crate::plan::Bars;
use crate::replica::{self, HashSample};
use crate::verdict::Verdict;

/// The hash covers what is remembered of requests, so it belongs to a log index and not to a revision.
pub(super) fn hashes(entries: &[Entry]) -> Finding {
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

pub(super) fn watches(entries: &[Entry]) -> Finding {
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

/// What could not be read at the end may be lost.
pub(super) fn scanned(entries: &[Entry]) -> Finding {
    let scan = entries.iter().find_map(|entry| match entry {
        Entry::FinalScan { keys, unread } => Some((*keys, unread)),
        _ => None,
    });
    let what = "every key is read when all is over";
    match scan {
        None => finding(what, Verdict::Unknown, "the run did not end in order"),
        Some((keys, unread)) => {
            let verdict = if unread.is_empty() {
                Verdict::True
            } else {
                Verdict::Unknown
            };
            let some: Vec<&str> = unread.iter().take(5).map(String::as_str).collect();
            let seen = format!("{} of {keys} read {}", keys - unread.len(), some.join(" "));
            finding(what, verdict, seen.trim_end())
        }
    }
}

pub(super) fn equal(bars: &Bars, entries: &[Entry]) -> Finding {
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
