//! Could this history have come from one single correct copy of the data, on which every operation took effect at one moment
//! between its start and its end?
//!
//! Keys are independent, so each is judged for itself (`search.rs`). For a key that fails, the smallest part of its history that
//! already fails is found (`minimal.rs`) and told in words (`explain.rs`).

mod coverage;
mod explain;
mod minimal;
mod search;
mod steps;
mod window;

use std::collections::HashMap;

use serde::Serialize;

use crate::operation::Operation;
use crate::verdict::Verdict;
use crate::words::Origin;
pub use coverage::Coverage;
pub use minimal::Necessity;
use search::Answer;

/// Bounds on the work, so that every check ends. They count steps tried, not time: the same history has the same verdict on
/// every machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Steps tried for one key. One step takes about 0.2 microseconds and 20 bytes.
    pub steps_per_key: u64,
    /// Steps tried for all keys together.
    pub steps: u64,
    /// How many failing keys are explained, those that failed first; the others are named.
    pub explained: usize,
    /// Fewer operations with a known outcome than this are too little to call a history true.
    pub known_operations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            steps_per_key: 4_000_000,
            steps: 100_000_000,
            explained: 5,
            known_operations: 2,
        }
    }
}

/// What the check found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// True only if every key is linearizable and enough was seen; false as soon as one key is not.
    pub verdict: Verdict,
    /// What the history holds.
    pub coverage: Coverage,
    /// Why too little was seen to call it true, if so.
    pub too_little: Option<String>,
    /// The failing keys that are explained, the earliest failure first.
    pub violations: Vec<Violation>,
    /// The other failing keys.
    pub more_violations: Vec<String>,
    /// Keys on which the limit was reached first.
    pub undecided: Vec<String>,
    /// Steps tried, explanations included.
    pub steps: u64,
}

/// One key whose history no correct copy could have produced.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// When the answer arrived that made it impossible, on the clock of the history.
    pub at_ns: i64,
    /// One sentence for an operator; times count from the first operation of the history.
    pub summary: String,
    /// The operations that cannot all be true, one sentence each, in the order of their starts.
    pub story: Vec<String>,
    /// The same as lines of a history.
    pub lines: Vec<String>,
    /// How small the witness is known to be.
    pub necessity: Necessity,
}

/// Checks a history.
pub fn check(operations: &[Operation], limits: &Limits) -> Report {
    let keys = by_key(operations);
    let coverage = Coverage::of(operations, &keys);
    let mut budget = limits.steps;
    let (mut failing, mut undecided) = (Vec::new(), Vec::new());
    for key in &keys {
        match decide(key, limits, &mut budget) {
            Answer::Yes => {}
            Answer::No => failing.push(within(limits.steps_per_key, &mut budget, |budget| {
                minimal::cut_at_failure(key, budget)
            })),
            Answer::Exhausted => undecided.push(key[0].key.clone()),
        }
    }
    failing.sort_by_key(|cut| cut.at_ns);
    let origin = Origin(operations.iter().map(|operation| operation.start_ns).min().unwrap_or(0));
    let more_violations = failing
        .iter()
        .skip(limits.explained)
        .map(|cut| cut.operations[0].key.clone())
        .collect();
    failing.truncate(limits.explained);
    let violations: Vec<Violation> = failing
        .into_iter()
        .map(|cut| {
            let witness = within(limits.steps_per_key, &mut budget, |budget| {
                minimal::minimise(&cut, budget)
            });
            explain::violation(&cut, &witness, origin)
        })
        .collect();
    let too_little = coverage.too_little(limits.known_operations);
    let verdict = match (violations.is_empty(), undecided.is_empty() && too_little.is_none()) {
        (false, _) => Verdict::False,
        (true, true) => Verdict::True,
        (true, false) => Verdict::Unknown,
    };
    Report {
        verdict,
        coverage,
        too_little,
        violations,
        more_violations,
        undecided,
        steps: limits.steps - budget,
    }
}

/// Is this one key linearizable? `None` if the limit was reached first. Operations of other keys must not be among them.
pub fn check_key(operations: &[&Operation], steps: u64) -> Option<bool> {
    match search::linearizable(&steps::steps(operations), &mut { steps }) {
        Answer::Yes => Some(true),
        Answer::No => Some(false),
        Answer::Exhausted => None,
    }
}

fn decide(key: &[&Operation], limits: &Limits, budget: &mut u64) -> Answer {
    within(limits.steps_per_key, budget, |budget| {
        search::linearizable(&steps::steps(key), budget)
    })
}

/// Runs with at most `most` of the budget, and takes from it what was used.
fn within<T>(most: u64, budget: &mut u64, run: impl FnOnce(&mut u64) -> T) -> T {
    let share = most.min(*budget);
    let mut left = share;
    let result = run(&mut left);
    *budget -= share - left;
    result
}

/// The operations of each key, keys in the order of their first appearance.
fn by_key(operations: &[Operation]) -> Vec<Vec<&Operation>> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut keys: Vec<Vec<&Operation>> = Vec::new();
    for operation in operations {
        let number = *numbers.entry(&operation.key).or_insert(keys.len());
        if number == keys.len() {
            keys.push(Vec::new());
        }
        keys[number].push(operation);
    }
    keys
}
