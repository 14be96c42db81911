//! Promises about single nodes: their ids, processes, damage and memory.

use std::collections::{BTreeMap, BTreeSet};

use super::super::disks::WAY_OUT;
use super::super::journal::Entry;
use super::{Finding, finding, kept, samples};
use crate::plan::Bars;
use crate::verdict::Verdict;

pub(super) fn ids(entries: &[Entry]) -> Finding {
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

pub(super) fn processes(entries: &[Entry]) -> Finding {
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

/// Of a node that ends because its disk failed, too: it ends in order.
pub(super) fn panics(entries: &[Entry]) -> Finding {
    let logs: Vec<(usize, &Vec<String>)> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Log { node, panics, .. } => Some((*node, panics)),
            _ => None,
        })
        .collect();
    let told = logs
        .iter()
        .flat_map(|(node, panics)| panics.iter().map(move |line| format!("; n{node}: {line}")));
    let told: Vec<String> = told.collect();
    let verdict = match logs.is_empty() {
        true => Verdict::Unknown,
        false => kept(told.is_empty()),
    };
    let some: String = told.iter().take(3).cloned().collect();
    finding(
        "no node panics",
        verdict,
        format!("{} logs read, {} panics{some}", logs.len(), told.len()),
    )
}

pub(super) fn damages(entries: &[Entry]) -> Option<Finding> {
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
            let good = *noticed && said.contains(WAY_OUT) && names(said, file);
            all.push((good, format!("n{node} {file}: {said}")));
        }
    }
    let missed: Vec<&str> = all
        .iter()
        .filter(|(noticed, _)| !noticed)
        .map(|(_, words)| words.as_str())
        .collect();
    let seen = format!(
        "{} of {} noticed and named, with a way out {}",
        all.len() - missed.len(),
        all.len(),
        missed.join("; ")
    );
    (!all.is_empty()).then(|| finding("damage is noticed, named and not served", kept(missed.is_empty()), seen))
}

/// Whether it is said what is damaged: the file, or the part of the data folder that it is in.
fn names(said: &str, file: &str) -> bool {
    let mut parts = file.trim_start_matches('/').split('/');
    let part = parts.by_ref().take(2).collect::<Vec<_>>().join("/");
    let file = parts.next_back();
    said.contains(&part) || file.is_some_and(|file| said.contains(file))
}

pub(super) fn memory(bars: &Bars, entries: &[Entry]) -> Option<Finding> {
    let most = entries.iter().filter_map(|entry| match entry {
        Entry::Memory { bytes, .. } => Some(*bytes >> 20),
        _ => None,
    });
    let most = most.max()?;
    let what = format!("at most {} MiB of memory", bars.memory_mib);
    // A process that uses none was never looked at.
    let verdict = if most == 0 {
        Verdict::Unknown
    } else {
        kept(most <= bars.memory_mib)
    };
    (bars.memory_mib > 0).then(|| finding(&what, verdict, format!("{most} MiB")))
}
