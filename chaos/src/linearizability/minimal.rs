//! The smallest part of a failing key that still fails.
//!
//! Operations cannot simply be left out: without the put, a get of its value would look like a fault of its own. An operation
//! is *let go* in a way that only allows more: one that looks is dropped; one that wrote may have happened at any time after its
//! start, or never. If the rest still fails, the operation let go was not needed for the contradiction.

use serde::Serialize;

use super::search::{Answer, linearizable};
use super::steps::{Step, steps};
use crate::operation::Operation;

/// Most work done in the hope of a smaller witness: sets tried, times the steps in each. A second at most.
const HOPE: usize = 20_000_000;

/// What is known about the size of a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Necessity {
    /// No contradiction in this key, up to the moment of the failure, needs fewer operations.
    Smallest,
    /// None of these operations can be let go; another, smaller set may exist.
    Irreducible,
    /// The limit was reached before the witness was small.
    Cut,
}

/// A failing key up to the answer that made it fail.
pub(crate) struct Cut<'a> {
    pub(crate) at_ns: i64,
    /// The whole key.
    pub(crate) operations: Vec<&'a Operation>,
    /// What had begun by then.
    steps: Vec<Step>,
    /// Which of the steps is the answer.
    breaking: usize,
}

/// The operations that contradict each other.
pub(crate) struct Witness<'a> {
    /// In the order of their starts; the answer that made it fail is [`Witness::breaking`].
    pub(crate) operations: Vec<&'a Operation>,
    pub(crate) breaking: &'a Operation,
    pub(crate) necessity: Necessity,
}

/// Finds the first answer after which the key cannot be saved. What begins later is left out, and what ends later was not over.
pub(crate) fn cut_at_failure<'a>(key: &[&'a Operation], budget: &mut u64) -> Cut<'a> {
    let all = steps(key);
    let mut answers: Vec<usize> = (0..all.len()).filter(|index| all[*index].end.is_some()).collect();
    answers.sort_by_key(|index| (all[*index].end, *index));
    // Fails after the answer `high`, and not (as far as is known) after any before `low`.
    let (mut low, mut high) = (0, answers.len().saturating_sub(1));
    while low < high {
        let middle = usize::midpoint(low, high);
        if fails(&until(&all, &answers[..=middle]), budget) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let steps = until(&all, &answers[..=high]);
    let breaking_source = all[answers[high]].source;
    Cut {
        at_ns: all[answers[high]].end.unwrap_or(i64::MAX),
        operations: key.to_vec(),
        breaking: steps
            .iter()
            .position(|step| step.source == breaking_source)
            .unwrap_or(0),
        steps,
    }
}

/// The steps as they were known when the last of these answers had arrived.
fn until(all: &[Step], answers: &[usize]) -> Vec<Step> {
    let Some(&last) = answers.last() else {
        return Vec::new();
    };
    let at = all[last].end.unwrap_or(i64::MAX);
    let mut answered = vec![false; all.len()];
    answers.iter().for_each(|index| answered[*index] = true);
    let known = |(index, step): (usize, &Step)| {
        if answered[index] { Some(*step) } else { let_go(*step) }
    };
    all.iter()
        .enumerate()
        .filter(|(_, step)| step.start <= at)
        .filter_map(known)
        .collect()
}

fn let_go(step: Step) -> Option<Step> {
    (!step.effect.only_looks()).then_some(Step { end: None, ..step })
}

fn fails(steps: &[Step], budget: &mut u64) -> bool {
    linearizable(steps, budget) == Answer::No
}

/// Finds a small set of operations that contradict each other whatever else happened.
pub(crate) fn minimise<'a>(cut: &Cut<'a>, budget: &mut u64) -> Witness<'a> {
    let mut reduction = Reduction {
        cut,
        budget,
        exhausted: false,
    };
    let mut kept = reduction.shrink();
    let mut necessity = if reduction.exhausted {
        Necessity::Cut
    } else {
        Necessity::Irreducible
    };
    if necessity == Necessity::Irreducible {
        match reduction.smaller_than(kept.len()) {
            Some(Some(smaller)) => (kept, necessity) = (smaller, Necessity::Smallest),
            Some(None) => necessity = Necessity::Smallest,
            None => {}
        }
    }
    let mut sources: Vec<usize> = kept.iter().map(|index| cut.steps[*index].source).collect();
    sources.sort_unstable_by_key(|source| (cut.operations[*source].start_ns, *source));
    Witness {
        operations: sources.into_iter().map(|source| cut.operations[source]).collect(),
        breaking: cut.operations[cut.steps[cut.breaking].source],
        necessity,
    }
}

struct Reduction<'c, 'a, 'b> {
    cut: &'c Cut<'a>,
    budget: &'b mut u64,
    exhausted: bool,
}

impl Reduction<'_, '_, '_> {
    /// Does the contradiction stand with these steps alone, all others let go?
    fn stands(&mut self, kept: &[usize]) -> bool {
        let mut keep = vec![false; self.cut.steps.len()];
        kept.iter().for_each(|index| keep[*index] = true);
        let with = |(index, step): (usize, &Step)| {
            if keep[index] { Some(*step) } else { let_go(*step) }
        };
        let steps: Vec<Step> = self.cut.steps.iter().enumerate().filter_map(with).collect();
        self.exhausted |= *self.budget == 0;
        fails(&steps, self.budget)
    }

    /// Lets go of as much as possible, in ever smaller portions: what only looks first, then the oldest.
    fn shrink(&mut self) -> Vec<usize> {
        let steps = &self.cut.steps;
        let mut kept = self.candidates();
        kept.sort_by_key(|index| (!steps[*index].effect.only_looks(), steps[*index].end));
        let mut portion = kept.len();
        while portion > 0 {
            let mut first = 0;
            while first < kept.len() {
                let portion_end = (first + portion).min(kept.len());
                let rest: Vec<usize> = kept[..first].iter().chain(&kept[portion_end..]).copied().collect();
                let with_breaking: Vec<usize> = rest.iter().copied().chain([self.cut.breaking]).collect();
                if self.stands(&with_breaking) {
                    kept = rest;
                } else {
                    first = portion_end;
                }
            }
            portion /= 2;
        }
        kept.push(self.cut.breaking);
        kept
    }

    /// Every known step but the breaking one, which every contradiction needs: before it there was none.
    fn candidates(&self) -> Vec<usize> {
        let steps = &self.cut.steps;
        (0..steps.len())
            .filter(|index| steps[*index].end.is_some() && *index != self.cut.breaking)
            .collect()
    }

    /// A smaller set, smallest first; `None` if it would take too long to try all.
    fn smaller_than(&mut self, size: usize) -> Option<Option<Vec<usize>>> {
        // Writes before reads and late before early: what an operator understands best.
        let mut candidates = self.candidates();
        let steps = &self.cut.steps;
        candidates.sort_by_key(|index| (steps[*index].effect.only_looks(), std::cmp::Reverse(steps[*index].end)));
        let breaking = self.cut.breaking;
        let pairs = candidates.len() * candidates.len() / 2;
        let affordable = match size {
            0..=2 => 0,
            3 => candidates.len(),
            4 => candidates.len() + pairs,
            _ => return None,
        };
        if affordable * steps.len() > HOPE {
            return None;
        }
        if size > 1 && self.stands(&[breaking]) {
            return Some(Some(vec![breaking]));
        }
        for &one in candidates.iter().filter(|_| size > 2) {
            if self.stands(&[one, breaking]) {
                return Some(Some(vec![one, breaking]));
            }
        }
        for (position, &one) in candidates.iter().enumerate().filter(|_| size > 3) {
            for &two in &candidates[position + 1..] {
                if self.stands(&[one, two, breaking]) {
                    return Some(Some(vec![one, two, breaking]));
                }
            }
        }
        (!self.exhausted).then_some(None)
    }
}
