//! The required steps that have not happened yet, in the order of their starts, and which of them may happen next.

use super::steps::Effect;

/// A list from which steps are taken out and put back in the opposite order (Knuth's dancing links), so that both are quick.
pub(crate) struct Window {
    steps: Vec<(Effect, i64, i64)>,
    /// Neighbours of each step; the last entry is the list's own end on both sides.
    next: Vec<u32>,
    previous: Vec<u32>,
    /// Earliest end among the steps visited since `first`.
    earliest_end: i64,
}

impl Window {
    /// Takes (effect, start, end), in the order of their starts.
    pub(crate) fn new(steps: Vec<(Effect, i64, i64)>) -> Self {
        let length = u32::try_from(steps.len()).expect("fewer than 2^32 operations fit into memory");
        let next = (1..=length).chain([0]).collect();
        let previous = [length].into_iter().chain(0..length).collect();
        Window {
            steps,
            next,
            previous,
            earliest_end: i64::MAX,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next[self.steps.len()] as usize == self.steps.len()
    }

    pub(crate) fn effect(&self, number: u32) -> Effect {
        self.steps[number as usize].0
    }

    pub(crate) fn end(&self, number: u32) -> i64 {
        self.steps[number as usize].2
    }

    /// Begins a walk over the steps that may happen next: those that no other remaining step has to precede, because it ended
    /// before they started.
    pub(crate) fn first(&mut self) -> Option<u32> {
        self.earliest_end = i64::MAX;
        self.at(self.next[self.steps.len()])
    }

    /// Goes on with the walk.
    pub(crate) fn after(&mut self, number: u32) -> Option<u32> {
        self.earliest_end = self.earliest_end.min(self.end(number));
        self.after_without(number)
    }

    /// Goes on with the walk as if this step had happened. Ask before it is removed.
    pub(crate) fn after_without(&self, number: u32) -> Option<u32> {
        self.at(self.next[number as usize])
    }

    fn at(&self, number: u32) -> Option<u32> {
        let (_, start, _) = self.steps.get(number as usize)?;
        (*start <= self.earliest_end).then_some(number)
    }

    pub(crate) fn remove(&mut self, number: u32) {
        let (next, previous) = (self.next[number as usize], self.previous[number as usize]);
        self.next[previous as usize] = next;
        self.previous[next as usize] = previous;
    }

    /// Puts back the step that was removed last of those still missing.
    pub(crate) fn restore(&mut self, number: u32) {
        let (next, previous) = (self.next[number as usize], self.previous[number as usize]);
        self.next[previous as usize] = number;
        self.previous[next as usize] = number;
    }
}
